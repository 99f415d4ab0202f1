# shellcheck shell=bash
# Conditions of the machine in which pgduel is tried, for scripts that source this: what examples/steal.rs takes of each processor
# meanwhile. examples/noise.rs says the same in words.

ALL_CONDITIONS='quiet steady swinging'

# rig_arguments CONDITION: words for the rig; none where nothing is taken.
rig_arguments() {
    case $1 in
        quiet) ;;
        steady) echo '--share 0.15 --burst 6ms' ;;
        swinging) echo '--share 0.25 --burst 12ms --swing 45s' ;;
        *) echo "there is no condition '$1'; there are: $ALL_CONDITIONS" >&2; return 2 ;;
    esac
}

# rig_needed CONDITION...: whether any of them takes processors away. Fails on one that does not exist.
rig_needed() {
    local condition arguments needed=1
    for condition in "$@"; do
        arguments=$(rig_arguments "$condition") || exit 2
        [ -z "$arguments" ] || needed=0
    done
    return $needed
}

# rig_ready RIG: whether it may take processors away here, before hours are spent on what does not need it. It says why not.
rig_ready() {
    "$1" --share 0.01 --burst 1ms --seconds 0.05 2> /dev/null || "$1" --share 0.01 --burst 1ms --seconds 0.05
}
