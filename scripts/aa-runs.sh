#!/usr/bin/env bash
# How often does pgduel call a difference that is not there, and how often does it find one that is? Runs --quick duels whose right
# verdict is known, and writes docs/noise.md:
#
#   scripts/aa-runs.sh              30 runs of the same work on both sides (A/A), 10 with three tenths more work after; over an hour
#   scripts/aa-runs.sh 1 1          a trial with one run of each
#
# Environment: PGDUEL (the binary; default: target/release/pgduel, built first), OUT (where runs and table go; default: a new folder
# below results/, and the table to docs/noise.md), LONG_BUDGET (of the long run that measures what was planted; default 4m).
set -euo pipefail
cd "$(dirname "$0")/.."

same_runs=${1:-30}
planted_runs=${2:-10}
for count in "$same_runs" "$planted_runs"; do
    case "$count" in
        '' | *[!0-9]*) echo "aa-runs: '$count' is no number; use: scripts/aa-runs.sh [A/A RUNS] [PLANTED RUNS]" >&2; exit 2 ;;
    esac
done
[ $((same_runs + planted_runs)) -gt 0 ] || { echo 'aa-runs: nothing to run' >&2; exit 2; }

if [ -z "${PGDUEL:-}" ]; then
    cargo build --release --locked
    PGDUEL=target/release/pgduel
fi
table=${OUT:+$OUT/noise.md}
table=${table:-docs/noise.md}
out=${OUT:-results/noise-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$out"

# Five seeds in turn: five sets of data, of arrivals and of block orders, seeded once each. The scenarios have no vectors.
seed() { echo $(($1 % 5 + 1)); }

# Verdicts (0, 1, 3) and invalid runs (4) are results here; anything else ends the script.
duel() {
    local folder=$1 code=0
    shift
    "$PGDUEL" --project scripts/noise duel "$@" --vectors 100 --out "$folder" > "$folder.txt" 2> "$folder.log" || code=$?
    case $code in
        0 | 1 | 3 | 4) ;;
        *) echo "aa-runs: pgduel ended with exit code $code:" >&2; tail -n 5 "$folder.log" "$folder.txt" >&2; exit "$code" ;;
    esac
    echo "aa-runs: $folder: exit code $code" >&2
}

same=() planted=() long=()
for ((i = 0; i < same_runs; i++)); do
    duel "$out/same-$i" omniops/same --aa --quick --seed "$(seed "$i")"
    same+=("$out/same-$i")
done
for ((i = 0; i < planted_runs; i++)); do
    duel "$out/planted-$i" omniops/planted --quick --seed "$(seed "$i")"
    planted+=("$out/planted-$i")
done
if [ "$planted_runs" -gt 0 ]; then
    duel "$out/long" omniops/planted --budget "${LONG_BUDGET:-4m}"
    long=("$out/long")
fi

{
    echo '# Noise: what this judge gets wrong'
    echo
    echo 'Made by `scripts/aa-runs.sh '"$same_runs $planted_runs"'`; do not edit. How to read it: [method.md](method.md#how-to-check-the-judge).'
    echo
    cargo run --quiet --locked --example noise -- \
        ${same[@]+--same "${same[@]}"} ${planted[@]+--planted "${planted[@]}"} ${long[@]+--long "${long[@]}"}
} > "$table.part"
mv "$table.part" "$table"
echo "aa-runs: wrote $table" >&2
