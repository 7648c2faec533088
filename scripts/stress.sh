#!/usr/bin/env bash
# Find what breaks a Python web app first: `pinchpoint run` from a fresh clone, with nothing installed but Python.
# Without arguments: the reference app on SQLite. All arguments go to `pinchpoint run`; see `scripts/stress.sh --help`.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
ensure_venv
pinchpoint=$PWD/.venv/bin/pinchpoint
cd "$called_from"
exec "$pinchpoint" run "$@"
