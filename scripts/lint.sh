#!/usr/bin/env bash
# Check style and types of everything; changes nothing. Mend style with `ruff check --fix . && ruff format .`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
ensure_venv dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
scripts/typetree
MYPYPATH=build/typing .venv/bin/mypy -p pinchpoint
MYPYPATH=build/typing:tests .venv/bin/mypy --explicit-package-bases tests
MYPYPATH=build/typing:scripts/bench:tests .venv/bin/mypy scripts/bench/*.py
