#!/usr/bin/env bash
# Press the app with each value of one knob and name the value to choose: `pinchpoint sweep` from a fresh clone.
#
#   scripts/sweep.sh                                    1 and 2 workers of the reference app
#   scripts/sweep.sh --workers 1,2,3 --budget 90s       three runs of 30 s for each count, in random order
#   scripts/sweep.sh --pool-size 2,5,10 --budget 60s    the reference app's connection pool
#
# All arguments go to `pinchpoint sweep`; `scripts/sweep.sh --help` lists them, docs/sweeps.md says what is made of the runs.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
ensure_venv
pinchpoint=$PWD/.venv/bin/pinchpoint
cd "$called_from"
exec "$pinchpoint" sweep "$@"
