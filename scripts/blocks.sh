#!/usr/bin/env bash
# Which length of a block gives the narrowest intervals in the same wall time? Runs examples/blocks.rs on the machine as it is and while
# the rig takes its processors away, and writes docs/blocks.md:
#
#   scripts/blocks.sh [SECONDS]     SECONDS: in each condition (default 3600)
#
# Leave the machine alone meanwhile. The rig needs root, or once a build
# sudo setcap cap_sys_nice+ep target/release/examples/steal; without it: CONDITIONS=quiet.
#
# Environment: CONDITIONS (some of: quiet steady swinging; default: all), OUT (the file; default docs/blocks.md).
set -euo pipefail
cd "$(dirname "$0")/.."
# Bash reads on as it runs. Braces have it read all first, as somebody may edit this in the hours that it takes.
{
. scripts/noise/conditions.sh

seconds=${1:-3600}
out=${OUT:-docs/blocks.md}
binaries=${CARGO_TARGET_DIR:-target}/release/examples
read -ra conditions <<< "${CONDITIONS:-$ALL_CONDITIONS}"
cargo build --release --locked --example blocks --example steal
if rig_needed "${conditions[@]}"; then
    rig_ready "$binaries/steal" || { echo 'blocks: without the rig there is CONDITIONS=quiet' >&2; exit 2; }
fi

{
    echo '# Lengths of blocks'
    echo
    echo "Made by \`scripts/blocks.sh $seconds\`; do not edit."
    echo
    echo 'Pairs of blocks of the same work, as a duel runs them: what a pair takes, how much the logarithms of its ratios scatter (Qn), and how'
    echo 'wide the exact interval of the signed-rank test at 0.5% a side is after so much wall time. Opening and warming connections and'
    echo 'the observer are part of that time. A median of fewer than 40 samples, and a p95 of fewer than 400, is not judged in a duel.'
    echo '"≈" is by the spread alone, as fewer pairs were measured than have an interval.'
    echo
} > "$out.part"
for condition in "${conditions[@]}"; do
    arguments=$(rig_arguments "$condition")
    rig=() heading='On the machine as it is'
    if [ -n "$arguments" ]; then
        # Several words.
        # shellcheck disable=SC2206
        rig=("$binaries/steal" $arguments --)
        heading="Under the rig: steal $arguments"
    fi
    ${rig[@]+"${rig[@]}"} "$binaries/blocks" --seconds "$seconds" --heading "$heading" >> "$out.part"
done
mv "$out.part" "$out"
echo "blocks: wrote $out" >&2
exit
}
