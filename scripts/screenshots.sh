#!/usr/bin/env bash
# Makes the pictures of the documentation from one recorded run, with headless Chromium (apt-get install chromium):
#
#   scripts/screenshots.sh RUN [FOLDER]     RUN: a folder with run.jsonl; FOLDER: default docs/images
#
# Environment: PGDUEL (the binary, default target/release/pgduel), LINES_SHOWN (of the terminal, default 60), TALL (height of the HTML
# pictures in CSS pixels, default 1700).
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
run=$(cd "$1" && pwd)
images=${2:-$(cd "$(dirname "$0")/.." && pwd)/docs/images}
pgduel=${PGDUEL:-$(cd "$(dirname "$0")/.." && pwd)/target/release/pgduel}
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    { echo 'screenshots: no Chromium on the path' >&2; exit 1; }
mkdir -p "$images"
images=$(cd "$images" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shoot PAGE WIDTH HEIGHT SCALE light|dark PICTURE
shoot() {
    # Blink's setting: 0 is dark, 1 is light.
    local scheme=1
    [ "$5" = light ] || scheme=0
    "$browser" --headless --no-sandbox --disable-gpu --disable-background-networking --disable-dev-shm-usage --no-first-run \
        --host-resolver-rules='MAP * ~NOTFOUND' --hide-scrollbars --user-data-dir="$work/profile" \
        --blink-settings=preferredColorScheme=$scheme --force-device-scale-factor="$4" --window-size="$2,$3" \
        --virtual-time-budget=2000 --screenshot="$6" "file://$1" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    [ -s "$6" ] || { echo "screenshots: the browser wrote no $6" >&2; cat "$work/log" >&2; exit 1; }
    echo "screenshots: $6" >&2
}

# The terminal: a pseudo-terminal of 100 columns, its colours turned into spans.
terminal() {
    local text
    text=$(script -qec "stty cols 100; '$pgduel' report '$run' --format terminal" /dev/null | tr -d '\r' | head -n "${LINES_SHOWN:-60}") ||
        [ $? -ne 2 ] # The exit code is that of the run.
    # The command stands on one line, however long; the picture breaks it as a terminal would. Letters, not bytes, are counted.
    lines=$(printf '%s\n' "$text" | LC_ALL=C sed -e 's/\x1b\[[0-9;]*m//g' -e 's/[\x80-\xbf]//g' | awk '{ n += length($0) ? int((length($0) + 99) / 100) : 1 } END { print n }')
    cat <<'STYLE'
<!doctype html><meta charset="utf-8"><style>
  body { margin: 0; background: #16181d; }
  pre { margin: 0; padding: 16px; width: 100ch; box-sizing: content-box; white-space: pre-wrap; word-break: break-all; color: #d5d8de; font: 14px/20px "DejaVu Sans Mono", Menlo, monospace; }
  [data-sgr="1"] { font-weight: bold; color: #fff; }
  [data-sgr="2"] { color: #8b919c; }
  [data-sgr="1;31"] { font-weight: bold; color: #ff7b72; }
  [data-sgr="31"], [data-sgr="38;5;1"], [data-sgr="38;5;9"] { color: #ff7b72; }
  [data-sgr="32"], [data-sgr="38;5;2"], [data-sgr="38;5;10"] { color: #56d364; }
  [data-sgr="33"], [data-sgr="38;5;3"], [data-sgr="38;5;11"] { color: #e3b341; }
</style><pre>
STYLE
    printf '%s\n' "$text" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' \
        -e 's/\x1b\[\(0\|39\)m/<\/span>/g' -e 's/\x1b\[\([0-9;]*\)m/<span data-sgr="\1">/g'
    echo '</pre>'
}

# Reports print the same from any folder, but find no project to look for.
"$pgduel" report "$run" --format html > "$work/report.html" || [ $? -ne 2 ]
lines=0
terminal > "$work/terminal.html"
shoot "$work/terminal.html" 876 $((lines * 20 + 32)) 2 dark "$images/terminal.png"
shoot "$work/report.html" 1280 "${TALL:-1700}" 1 light "$images/report-light.png"

# A window cannot be as narrow as a telephone; a frame can.
printf '<!doctype html><style>body { margin: 0 } iframe { display: block; border: 0 }</style><iframe src="report.html" width="390" height="%s"></iframe>' \
    "${TALL:-1700}" > "$work/narrow.html"
shoot "$work/narrow.html" 390 "${TALL:-1700}" 2 dark "$images/report-dark-narrow.png"
