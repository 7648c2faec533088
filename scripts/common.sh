# Shared by the scripts, which source it from the root of the checkout. Progress goes to stderr: stdout is for results.
# shellcheck shell=bash

# What `.venv` is made of. A changed stamp means: install again.
STAMP=.venv/.pinchpoint-installed

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 2
}

is_suitable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Print a Python >= 3.11: $PYTHON if it is set, else the first on PATH. Shims that point nowhere are passed over.
find_python() {
    if [[ -n ${PYTHON:-} ]]; then
        is_suitable "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 or later"
        printf '%s\n' "$PYTHON"
        return
    fi
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_suitable "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local python
    if python=$(find_python); then
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv >&2 ||
            die "'$python -m venv' failed; on Debian or Ubuntu: apt-get install python3-venv"
    elif [[ -n ${PYTHON:-} ]]; then
        exit 2
    elif command -v uv >/dev/null; then
        say "making .venv with uv"
        uv venv --quiet --clear --seed --python '>=3.11' .venv >&2 || die "uv found no Python 3.11 or later"
    else
        die "no Python 3.11 or later found; install one (Debian, Ubuntu: apt-get install python3 python3-venv) or set PYTHON"
    fi
}

# install PYTHON ARGUMENTS: uv is faster but does not read pip's settings (mirrors, wheel folders), so pip is the fallback.
install() {
    local python=$1
    shift
    if command -v uv >/dev/null && uv pip install --quiet --python "$python" "$@" >/dev/null 2>&1; then
        return
    fi
    # Twice quiet: warnings about missing wheel folders are noise, errors still show.
    "$python" -m pip install --disable-pip-version-check --no-input --quiet --quiet "$@" >&2
}

# ensure_venv [EXTRA]: have a .venv with pinchpoint (and EXTRA) in it, installed once for each state of pyproject.toml.
ensure_venv() {
    local extra=${1:-} state started=$SECONDS
    state="$(cksum <pyproject.toml) $PWD"
    if [[ -x .venv/bin/python && -x .venv/bin/pinchpoint && -f $STAMP ]]; then
        case "$(<"$STAMP")" in
            "$state dev") return ;;
            "$state ") [[ -z $extra ]] && return ;;
        esac
    fi
    # A moved checkout leaves a .venv whose scripts point to the old place.
    if ! .venv/bin/python -c '' 2>/dev/null || [[ -f $STAMP && "$(<"$STAMP")" != *" $PWD "* ]]; then
        make_venv
    fi
    say "installing pinchpoint${extra:+ with [$extra]} into .venv (once; about half a minute)"
    rm -f "$STAMP"
    install .venv/bin/python -e ".${extra:+[$extra]}" || die "the installation failed; see above"
    printf '%s %s\n' "$state" "$extra" >"$STAMP"
    say "installed in $((SECONDS - started)) s"
}
