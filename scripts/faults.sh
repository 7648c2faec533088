#!/usr/bin/env bash
# Run the reference app with each known fault and compare the verdict with the fault's label.
#
#   scripts/faults.sh [--times N] [FAULT…] [-- options of `pinchpoint run`]
#
# Prints one line a run and exits 1 when a verdict was wrong. The label is read after the verdict is written.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

times=1
faults=()
while [ $# -gt 0 ]; do
    case "$1" in
        --times) times="$2"; shift 2 ;;
        --) shift; break ;;
        -h | --help) sed -n '2,6s/^# \{0,1\}//p' scripts/faults.sh; exit 0 ;;
        *) faults+=("$1"); shift ;;
    esac
done
if [ ${#faults[@]} -eq 0 ]; then
    faults=(python-cpu db-pool sync-call slow-query leak)
fi
if [ $# -eq 0 ]; then
    set -- --budget 60s
fi

ensure_venv
mkdir -p build
wrong=0
for fault in "${faults[@]}"; do
    for ((round = 1; round <= times; round++)); do
        code=0
        ".venv/bin/pinchpoint" run --fault "$fault" --json "$@" >"build/faults.json" 2>"build/faults.log" || code=$?
        ".venv/bin/python" - "$fault" "$round" "$code" <<'PY' || wrong=1
import json, sys
from pinchpoint.commands.target import known_faults

fault, number, code = sys.argv[1:]
wanted = "/".join(known_faults()[fault])
try:
    report = json.load(open("build/faults.json", encoding="utf-8"))
except ValueError:
    print(f"{fault:<12} {number}  exit {code}: no report; see build/faults.log")
    sys.exit(1)
verdict, capacity = report["verdict"], report["capacity"]
named = f"{verdict['class']}/{verdict['cause']}"
rate = capacity["sustainable_rps"]
print(
    f"{fault:<12} {number}  {'right' if named == wanted else 'WRONG'}  {named:<20} "
    f"{verdict['status']:<9} {verdict['confidence']:.2f}  sustainable {rate and round(rate)} rps  exit {code}",
    flush=True,
)
sys.exit(named != wanted)
PY
    done
done
exit "$wrong"
