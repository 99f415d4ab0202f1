# One line a task; `make` alone lists them. Works with GNU make 3.81 (macOS) and later.

# rustup's default place, for shells that were open before it was installed.
export PATH := $(HOME)/.cargo/bin:$(PATH)

QUICK_PGDUEL = target/quick/pgduel

# One scenario of each family: history fetch, analytics, RLS-heavy join, embedding ingestion, vector search.
QUICKSTART_SCENARIOS = \
	omniops/history-fetch \
	omniops/trend-30d \
	omniops/join-7d \
	omniops/embedding-ingest \
	omniops/vector-search

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test bench lint build check-setup

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: a C compiler, PostgreSQL with contrib, pgvector
	@scripts/setup.sh

check-setup: ## say what setup would install, and change nothing
	@scripts/setup.sh --check || true

build: setup ## build target/release/pgduel
	cargo build --release --locked

# Without link-time optimisation, which takes longer than the duel. The scenarios state the regressions that are known, so it ends with 0.
quickstart: setup ## duel the Omniops suite's before and after on one scenario of each family, in minutes
	cargo build --profile quick --locked
	@echo '$(QUICK_PGDUEL) duel $(strip $(QUICKSTART_SCENARIOS)) --quick'
	@env -u DATABASE_URL -u PGOPTIONS $(QUICK_PGDUEL) duel $(QUICKSTART_SCENARIOS) --quick

test: ## every test, against a real PostgreSQL that the tests start themselves
	@scripts/setup.sh --tests
	cargo test --locked

# Each table has a file of its own, so that one can be made again without the others: make bench BENCH_TABLES=lag
BENCH_TABLES = throughput lag ceilings duel rtt memory beside stall faults

bench: build ## measure the engine beside pgbench, into docs/engine; takes an hour and a half, and wants the machine for itself
	@for table in $(BENCH_TABLES); do \
		case $$table in \
			stall|faults) command="cargo run --release --locked --example $$table" ;; \
			*) command="cargo bench --locked --bench engine -- $$table" ;; \
		esac; \
		echo "$$command"; \
		$$command > docs/engine/$$table.part && mv docs/engine/$$table.part docs/engine/$$table.md || exit 1; \
	done

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
