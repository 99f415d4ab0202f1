#!/usr/bin/env bash
# How often does pgduel call a difference that is not there, and how often does it find one that is? Runs --quick duels whose right
# verdict is known, on the machine as it is and while a rig takes its processors away, and makes the table of docs/noise.md:
#
#   scripts/aa-runs.sh              in each condition 30 runs of one variant against itself (A/A), 20 with three tenths more work
#                                   after, and a long one that measures what these three tenths come to; about two hours
#   scripts/aa-runs.sh 1 1          a trial with one run of each
#   scripts/aa-runs.sh table FOLDER the table of what is in a folder, on stdout
#
# Leave the machine alone meanwhile. The rig needs root, or once a build
# sudo setcap cap_sys_nice+ep target/release/examples/steal; without it: CONDITIONS=quiet.
#
# Environment: OUT (folder for runs and their table, noise.md; default: a new one below results/. Runs that are complete there are not
# run again, so a broken-off series goes on), CONDITIONS (some of: quiet steady swinging), PGDUEL and STEAL (the binaries; default: those
# in target/release, built first), LONG_BUDGET (of the long run; default 4m). With all runs in all conditions docs/noise.md is written, too.
set -euo pipefail
cd "$(dirname "$0")/.."
# Bash reads on as it runs. Braces have it read all first, as somebody may edit this in the hours that it takes.
{
. scripts/noise/conditions.sh

table() { cargo run --quiet --release --locked --example noise -- "$1"; }

usage() { echo "aa-runs: $1; use: scripts/aa-runs.sh [A/A RUNS] [PLANTED RUNS], or scripts/aa-runs.sh table FOLDER" >&2; exit 2; }

if [ "${1:-}" = table ]; then
    if [ $# -ne 2 ] || [ ! -d "$2" ]; then usage 'table wants a folder of runs'; fi
    table "$2"
    exit
fi
[ $# -le 2 ] || usage "'$3' is too much"
same_runs=${1:-30}
planted_runs=${2:-20}
for count in "$same_runs" "$planted_runs"; do
    case "$count" in
        '' | *[!0-9]*) usage "'$count' is no number" ;;
    esac
done
[ $((same_runs + planted_runs)) -gt 0 ] || usage 'nothing to run'

read -ra conditions <<< "${CONDITIONS:-$ALL_CONDITIONS}"
if [ -z "${PGDUEL:-}" ]; then
    cargo build --release --locked
    PGDUEL=${CARGO_TARGET_DIR:-target}/release/pgduel
fi
if rig_needed "${conditions[@]}"; then
    if [ -z "${STEAL:-}" ]; then
        cargo build --release --locked --example steal
        STEAL=${CARGO_TARGET_DIR:-target}/release/examples/steal
    fi
    rig_ready "$STEAL" || { echo 'aa-runs: without the rig there is CONDITIONS=quiet' >&2; exit 2; }
fi
out=${OUT:-results/noise-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$out"
echo "aa-runs: runs go to $out; OUT=$out scripts/aa-runs.sh $same_runs $planted_runs goes on there" >&2

# duel CONDITION NAME NUMBER ARGUMENT...: one run, unless it is there. Five seeds in turn: five sets of data and arrivals, seeded once each (the
# scenarios have no vectors). The order of blocks and the rig's bursts are others in each run.
duel() {
    local condition=$1 folder=$out/$1/$2 number=$3 code=0 begin=$SECONDS arguments rig=()
    shift 3
    [ ! -e "$folder.done" ] || return 0
    # What an interrupted run left.
    rm -rf -- "$folder"
    mkdir -p "$out/$condition"
    arguments=$(rig_arguments "$condition")
    if [ -n "$arguments" ]; then
        # Several words.
        # shellcheck disable=SC2206
        rig=("$STEAL" $arguments --seed $((number + 1)) --report "$folder.rig.json" --)
    fi
    ${rig[@]+"${rig[@]}"} "$PGDUEL" --project scripts/noise duel "$@" --seed $((number % 5 + 1)) --vectors 100 --out "$folder" \
        > "$folder.txt" 2> "$folder.log" || code=$?
    # Verdicts (0, 1, 3) and invalid runs (4) are results here; anything else ends the script.
    case $code in
        0 | 1 | 3 | 4) ;;
        *) echo "aa-runs: $folder: pgduel ended with exit code $code:" >&2; tail -n 5 "$folder.log" "$folder.txt" >&2; exit "$code" ;;
    esac
    # Exit code and seconds. Its presence says that the run is complete.
    echo "$code $((SECONDS - begin))" > "$folder.part"
    mv "$folder.part" "$folder.done"
    echo "aa-runs: $folder: exit code $code, $((SECONDS - begin)) s" >&2
}

for condition in "${conditions[@]}"; do
    for ((i = 0; i < same_runs; i++)); do
        duel "$condition" "same-$i" "$i" omniops/same --aa --quick
    done
    for ((i = 0; i < planted_runs; i++)); do
        duel "$condition" "planted-$i" "$((same_runs + i))" omniops/planted --quick
    done
    [ "$planted_runs" -eq 0 ] || duel "$condition" long 0 omniops/planted --budget "${LONG_BUDGET:-4m}"
done

table "$out" > "$out/noise.md.part"
mv "$out/noise.md.part" "$out/noise.md"
echo "aa-runs: wrote $out/noise.md" >&2
if [ "$same_runs" -ge 30 ] && [ "$planted_runs" -ge 20 ] && [ "${conditions[*]}" = "$ALL_CONDITIONS" ]; then
    cp "$out/noise.md" docs/noise.md
    echo 'aa-runs: wrote docs/noise.md' >&2
fi
exit
}
