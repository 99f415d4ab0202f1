# The harness in a container, for people without a Rust toolchain: docker compose run --rm pgduel duel omniops --quick
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/pgduel /pgduel

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home pgduel && install -d -o pgduel /work /work/results
COPY --from=build /pgduel /usr/local/bin/pgduel
USER pgduel
WORKDIR /work
COPY --chown=pgduel seeds seeds
COPY --chown=pgduel scenarios scenarios
ENTRYPOINT ["pgduel"]
CMD ["--help"]
