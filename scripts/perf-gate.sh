#!/usr/bin/env bash
# Hold the benchmarks of the API against a saved run: exit 1 when a mean has become more than 20 % slower, or when a
# requirement is missed.
#
#   scripts/perf-gate.sh save [NAME]       measure, and save the run as NAME (default: baseline)
#   scripts/perf-gate.sh compare [NAME]    measure again, and compare with the newest run saved as NAME
#
# A failure counts when it shows twice running: what a neighbour on the machine has slowed down once is no regression.
# Saved runs are in .benchmarks; they are compared on the machine and with the Python that measured them.
# Nothing else should run meanwhile. Exit codes: 0 as fast as before, 1 slower, 2 nothing was compared.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

SLOWER=mean:20%
ATTEMPTS=2

usage() { sed -n '2,10s/^# \{0,1\}//p' scripts/perf-gate.sh; }

measure() { .venv/bin/pytest tests/performance -m performance "$@"; }

# Exit as `measure` does, after as many failures as count.
hold() {
    local attempt code
    for ((attempt = 1; attempt <= ATTEMPTS; attempt++)); do
        code=0
        measure "$@" || code=$?
        case $code in
            0) return 0 ;;
            # Of pytest: a benchmark has failed or become slower.
            1) say "attempt $attempt of $ATTEMPTS failed" ;;
            *) die "nothing was compared (pytest ended with code $code)" ;;
        esac
    done
    return 1
}

command=${1:-}
name=${2:-baseline}
case $command in
    save)
        ensure_venv dev
        hold --benchmark-save="$name"
        ;;
    compare)
        ensure_venv dev
        hold --benchmark-compare="$name" --benchmark-compare-fail="$SLOWER"
        ;;
    -h | --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
