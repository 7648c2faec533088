#!/usr/bin/env bash
# Measure pinchpoint itself: print a table, write runs/bench/NAME.json, exit 1 when a figure misses its target.
#
#   scripts/bench.sh [--quick] NAME…
#
#   overhead    throughput and p99 of one saturated worker with probe, collector and exporter, over the bare app's
#   capacity    error and spread of the capacity on apps of known ceiling, and on a disturbed host (20 minutes)
#   search      the same on simulated servers, hundreds of runs: error and spread of the search alone (some minutes)
#   collector   CPU of the collector with one, three and nine workers
#   generator   requests per second of one load process beside stock Locust's and wrk's, send lag, and two processes
#   throttled   is a generator that is the limit called one, and a server's limit never so? 26 runs (a quarter of an hour)
#   diagnosis   seconds and megabytes of diagnosing a minute, and an hour of nine workers
#   zoo         how often the verdict is right, on known faults: three rounds of an hour; goes on where it was stopped.
#               Options: --round N, --case NAME, --only tuned|held-out, --rediagnose, --help for all
#   zoo-labels  are the labels of the fault zoo true? Without the classifier; options: --case, --family, --severity, --again
#   zoo-page    fill docs/accuracy.md from what the zoo has recorded so far; options: --final, --results FILE
#   zoo-pack    keep one small recording of each case as a test's fixture; options: --round N, --case NAME, --expect
#
# The sides of a comparison take turns, each in a fresh process. --quick measures less often, and says so.
# Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
if [ $# -eq 0 ] || [ "$1" = -h ] || [ "$1" = --help ]; then
    sed -n '2,21s/^# \{0,1\}//p' scripts/bench.sh
    exit $(($# == 0 ? 2 : 0))
fi
case "$1" in
    zoo*) ensure_venv dev ;; # its services use packages that pinchpoint itself does without
    *) ensure_venv ;;
esac
exec .venv/bin/python scripts/bench "$@"
