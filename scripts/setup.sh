#!/usr/bin/env bash
# Installs what pgduel needs beyond a Rust toolchain: a C compiler (to link Rust programs), PostgreSQL with contrib
# (pgduel starts a throw-away server from its binaries), and pgvector. Says what it will do before doing it, and does
# nothing, quickly, where everything is there.
#
#   scripts/setup.sh            install what is missing
#   scripts/setup.sh --check    only say what is missing; exit 1 if anything is
#   scripts/setup.sh --tests    also Chromium, in which tests open the HTML report, and PgBouncer (on Debian; elsewhere those tests skip without)
set -euo pipefail

# The pgvector that pgduel's vector scenarios need: 0.8 brought iterative index scans.
PGVECTOR_SUITE=trixie
PGVECTOR_VERSION=0.8.0
# Migrations use views with security_invoker.
POSTGRESQL_OLDEST=15

say()  { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

check_only=no
tests=no
case "${1:-}" in
    '') ;;
    --check) check_only=yes ;;
    --tests) tests=yes ;;
    *) fail "unknown argument '$1' (allowed: --check, --tests)" ;;
esac

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else fail "must install packages, but this is neither root nor is there sudo. Run as root: scripts/setup.sh"
    fi
}

check_cargo() {
    # Root may be installing packages for somebody who has it.
    have cargo || [ "$(id -u)" = 0 ] || fail "no cargo. Install the Rust toolchain first: https://rustup.rs"
    have cargo || say "no cargo here: whoever builds pgduel needs the Rust toolchain, https://rustup.rs"
}

# --- macOS ---------------------------------------------------------------------------------------------------------

setup_macos() {
    local bin share found=''
    have cc || fail "no C compiler. Run: xcode-select --install"
    for bin in /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
        [ -x "$bin/pg_config" ] || continue
        share=$("$bin/pg_config" --sharedir)
        [ -f "$share/extension/vector.control" ] && found=$bin
    done
    [ -n "$found" ] || fail "no PostgreSQL with pgvector. Run: brew install postgresql@17 pgvector"
    say "ready: $found"
}

# --- Debian and its relatives --------------------------------------------------------------------------------------

# Whether the pgvector of major version $1 is new enough.
has_pgvector() {
    local control=/usr/share/postgresql/$1/extension/vector.control version
    [ -f "$control" ] || return 1
    version=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" "$control")
    [ -n "$version" ] && dpkg --compare-versions "$version" ge "$PGVECTOR_VERSION"
}

# Newest installed major version that can serve; empty if none. $1 = "vector" asks for pgvector as well.
installed_major() {
    local dir major best=''
    for dir in /usr/lib/postgresql/*/bin; do
        [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] || continue
        major=${dir#/usr/lib/postgresql/}; major=${major%/bin}
        [ "$major" -ge "$POSTGRESQL_OLDEST" ] || continue
        [ -f "/usr/share/postgresql/$major/extension/pg_stat_statements.control" ] || continue
        [ "${1:-}" != vector ] || has_pgvector "$major" || continue
        if [ -z "$best" ] || [ "$major" -gt "$best" ]; then best=$major; fi
    done
    printf '%s' "$best"
}

have_browser() {
    have chromium || have chromium-browser || have google-chrome || have google-chrome-stable
}

# Debian's own chromium is a package; elsewhere the name may stand for something that only points to another installer.
is_debian() {
    # shellcheck disable=SC1091
    [ "$(. /etc/os-release && printf '%s' "${ID:-}")" = debian ]
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2
}

# Whether apt would install package $1 in version $2 or newer.
has_candidate() {
    local candidate
    candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
    [ -n "$candidate" ] && [ "$candidate" != '(none)' ] && dpkg --compare-versions "$candidate" ge "$2"
}

# The archive this machine already installs its release from, so that mirrors and proxies keep working.
archive_uri() {
    local codename=$1
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v codename="$codename" '$1 == codename && !seen++ { print $2 }'
}

# Builds pgvector from Debian's own, signed source package of a newer release. Neither the machine's package sources
# nor its package lists change: everything happens in a temporary directory, except the final `make install`.
build_pgvector() {
    local major=$1 distribution codename uri pg_config pgxs jobs
    local -a apt
    # shellcheck disable=SC1091
    distribution=$(. /etc/os-release && printf '%s' "${ID:-}")
    # shellcheck disable=SC1091
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    # Only Debian's archive is known to have the source under this suite's name.
    [ "$distribution" = debian ] || fail "'$distribution' has no postgresql-$major-pgvector $PGVECTOR_VERSION or newer. Add PostgreSQL's own package archive (https://wiki.postgresql.org/wiki/Apt), then run this again"
    uri=$(archive_uri "$codename")
    [ -n "$uri" ] || fail "found no package archive for '$codename' in apt's configuration. Install pgvector for PostgreSQL $major by hand: https://github.com/pgvector/pgvector#installation"
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -f "$keyring" ] || fail "no $keyring: cannot verify pgvector's source. Run: apt-get install debian-archive-keyring"

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/headers" "$work/source"
    printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$PGVECTOR_SUITE" > "$work/sources.list"
    apt=(apt-get -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
         -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Get::List-Cleanup=0
         -o Acquire::Languages=none -o "APT::Sandbox::User=$(id -un)")
    say "fetching pgvector's source ($PGVECTOR_SUITE)"
    "${apt[@]}" update >&2
    (cd "$work" && "${apt[@]}" source --download-only pgvector >&2)
    tar -xf "$work"/pgvector_*.orig.tar.* -C "$work/source" --strip-components=1

    # postgresql-server-dev would pull in Clang and LLVM, 500 MB for bitcode that only JIT inlining of vector
    # functions uses. Its headers and makefiles are enough: unpack them beside the source.
    pg_config=/usr/lib/postgresql/$major/bin/pg_config
    pgxs=$("$pg_config" --pgxs)
    # OPTFLAGS= leaves out -march=native: the result is the package's, not this processor's.
    local -a flags=(OPTFLAGS= with_llvm=no "PG_CONFIG=$pg_config") headers=()
    if [ ! -f "$("$pg_config" --includedir-server)/postgres.h" ]; then
        (cd "$work" && apt-get -q -o "APT::Sandbox::User=$(id -un)" download "postgresql-server-dev-$major" libpq-dev >&2)
        for deb in "$work"/*.deb; do dpkg -x "$deb" "$work/headers"; done
        headers=("pkgincludedir=$work/headers$("$pg_config" --pkgincludedir)")
        [ -f "$pgxs" ] || flags+=("PGXS=$work/headers$pgxs")
    fi
    jobs=$(nproc 2>/dev/null || echo 2)
    say "building pgvector for PostgreSQL $major"
    make -s -C "$work/source" -j"$jobs" "${flags[@]}" ${headers[@]+"${headers[@]}"} >&2
    as_root make -s -C "$work/source" "${flags[@]}" install >&2
    rm -rf "$work"
    trap - EXIT
}

setup_debian() {
    local major plan=() packages=() pgvector=no
    have cc || { plan+=('a C compiler (gcc, libc6-dev)'); packages+=(gcc libc6-dev); }
    have make || { plan+=('make'); packages+=(make); }
    if [ "$tests" = yes ] && ! have_browser && is_debian; then
        plan+=('Chromium, for the tests of the HTML report')
        packages+=(chromium)
    fi
    if [ "$tests" = yes ] && ! have pgbouncer && ! [ -x /usr/sbin/pgbouncer ] && is_debian; then
        plan+=('PgBouncer, for the tests of poolers (an idle service of its own may start with the package)')
        packages+=(pgbouncer)
    fi
    major=$(installed_major vector)
    if [ -z "$major" ]; then
        pgvector=yes
        major=$(installed_major)
        [ -n "$major" ] || plan+=('PostgreSQL with contrib (postgresql)')
        plan+=("pgvector (the package for that PostgreSQL, or $PGVECTOR_VERSION built from Debian's source package)")
    fi
    if [ ${#plan[@]} = 0 ]; then
        say "ready: PostgreSQL $major with pgvector"
        return
    fi
    if [ "$check_only" = yes ]; then
        printf 'setup: missing: %s\n' "${plan[@]}" >&2
        exit 1
    fi
    printf 'setup: will install: %s\n' "${plan[@]}" >&2

    as_root apt-get -q update >&2
    if [ -z "$major" ]; then
        major=$(LC_ALL=C apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
        [ -n "$major" ] || fail "apt knows no package 'postgresql'. Install PostgreSQL 15 or newer and run this again"
        [ "$major" -ge "$POSTGRESQL_OLDEST" ] || fail "apt offers PostgreSQL $major here, and pgduel needs $POSTGRESQL_OLDEST or newer. Add PostgreSQL's own package archive (https://wiki.postgresql.org/wiki/Apt), then run this again"
        packages+=("postgresql-$major")
    fi
    if [ "$pgvector" = yes ] && has_candidate "postgresql-$major-pgvector" "$PGVECTOR_VERSION"; then
        packages+=("postgresql-$major-pgvector")
        pgvector=no
    fi
    # An idle server of the distribution's own (port 5432) may start with the package; pgduel never uses it.
    [ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
    [ "$pgvector" = no ] || build_pgvector "$major"

    [ -n "$(installed_major vector)" ] || fail "PostgreSQL $major still has no pgvector after the installation"
    say "ready: PostgreSQL $(installed_major vector) with pgvector"
}

check_cargo
case "$(uname -s)" in
    Darwin) setup_macos ;;
    Linux)
        if have apt-get; then setup_debian
        else
            fail "this script knows Debian, its relatives, and macOS. Install a C compiler, PostgreSQL 15 or newer with contrib, and pgvector $PGVECTOR_VERSION or newer, then run: cargo build --release"
        fi ;;
    *) fail "unknown system '$(uname -s)'. Use docker compose instead, see docs/servers.md" ;;
esac
