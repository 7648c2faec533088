#!/usr/bin/env bash
# Everything CI checks, from a fresh clone: install, lint, types, tests. Unit tests run on the built wheel, which is what
# users install; those that look at the checkout itself run here.
#   --all            also the tests that take most of a minute each (marked `long`)
#   --with-servers   install PostgreSQL, Prometheus and Chromium with apt if they are missing (also when CI=true)
#   other arguments  go to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

step() { say "" && say "== $* (at $SECONDS s)"; }

missing_servers() {
    local -A packages=([postgres]=postgresql [prometheus]=prometheus [chromium]=chromium)
    local program
    for program in "${!packages[@]}"; do
        # Debian keeps the PostgreSQL server off PATH.
        if ! command -v "$program" >/dev/null && ! compgen -G "/usr/lib/postgresql/*/bin/$program" >/dev/null; then
            printf '%s ' "${packages[$program]}"
        fi
    done
}

install_servers() {
    local -a missing
    read -ra missing <<<"$(missing_servers)"
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! command -v apt-get >/dev/null || [[ $EUID -ne 0 ]]; then
        say "not root on Debian: ${missing[*]} stay missing, and the tests that need them are skipped"
        return 0
    fi
    step "apt-get install ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2; then
        say "warning: apt-get failed; the tests that need ${missing[*]} are skipped"
    fi
}

# The wheel in an environment of its own, with a copy of the tests and no sources in sight.
test_wheel() {
    local room=$1
    .venv/bin/python -m build --outdir "$room/dist" . >"$room/build.log" 2>&1 || {
        cat "$room/build.log" >&2
        return 1
    }
    .venv/bin/python -m venv "$room/venv"
    install "$room/venv/bin/python" "$(echo "$room"/dist/*.whl)[dev]"
    mkdir "$room/tests"
    cp -r tests/unit tests/support tests/conftest.py "$room/tests/"
    cp pyproject.toml "$room/"
    (
        cd "$room"
        venv/bin/pinchpoint --version
        venv/bin/pinchpoint run --help >/dev/null
        # What the tests with clocks in them leave of the cores: they go first.
        nice -n 19 venv/bin/pytest -q -n 2 tests/unit
    )
}

# Run a group of tests; a failure ends it only once all groups have run.
failed=0 last=.pytest_cache/v/cache/lastfailed
group() {
    step "$1"
    shift
    .venv/bin/pytest -q "$@" || {
        [[ $? == 1 ]] || die "pytest could not run these tests"
        failed=1
    }
}

# Real servers are pressed and timed there: what a busy machine explains passes alone, once it is quiet.
again_alone() {
    local most=6
    ! grep -q '"tests/unit/' "$last" || die "tests failed; see above"
    [[ $(grep -c '": true' "$last") -le $most ]] || die "more tests failed than a busy machine explains; see above"
    step "tests that failed, alone"
    .venv/bin/pytest -q --last-failed --last-failed-no-failures none -p no:xdist tests/e2e tests/integration
}

# Say how the wheel did, once it is done.
await_wheel() {
    wait "$wheel" || {
        cat "$room/log" >&2
        die "the wheel failed its tests"
    }
    step "the wheel: $(tail -n 1 "$room/log")"
}

servers=${CI:-false}
all=false
while [[ ${1:-} == --with-servers || ${1:-} == --all ]]; do
    case $1 in
        --with-servers) servers=true ;;
        --all) all=true ;;
    esac
    shift
done
if [[ $servers == true ]]; then
    install_servers
fi
ensure_venv dev
room=$(mktemp -d)
step "style and types; the wheel and its tests meanwhile"
test_wheel "$room" >"$room/log" 2>&1 &
wheel=$!
# `|| true`: under `set -e` a failing command in the trap would become the exit code.
trap 'kill "$wheel" 2>/dev/null || true; rm -rf "$room"' EXIT
scripts/lint.sh
if [[ $# -gt 0 ]]; then
    await_wheel
    step "tests"
    .venv/bin/pytest -q "$@"
else
    rm -f "$last" # what earlier runs of somebody else failed
    # Most of these wait more than they work: four at a time on two cores.
    mapfile -t sources < <(grep -lw checkout tests/unit/*.py)
    group "integration and end-to-end tests, unit tests of the checkout itself" -n 4 --dist worksteal \
        -m "not alone and not paced and (sources or not unit)" tests/e2e tests/integration "${sources[@]}"
    lasting=paced
    [[ $all == true ]] || lasting="paced and not long"
    group "tests of runs that last" -n 2 --dist worksteal -m "$lasting" tests/e2e tests/integration
    await_wheel
    # These look at clocks: nothing else may run.
    group "tests that need the machine to themselves" -m alone tests/integration tests/e2e
    [[ $failed == 0 ]] || again_alone
fi
left_out=$(missing_servers)
say ""
say "all checks passed in $SECONDS s${left_out:+; without tests that need: $left_out}"
