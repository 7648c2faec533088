#!/usr/bin/env bash
# Run the same load once for each worker count: `pinchpoint sweep` from a fresh clone.
# All arguments go to `pinchpoint sweep`; see `scripts/sweep.sh --help`.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
ensure_venv
pinchpoint=$PWD/.venv/bin/pinchpoint
cd "$called_from"
exec "$pinchpoint" sweep "$@"
