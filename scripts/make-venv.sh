#!/usr/bin/env bash
# Makes .venv with steer installed editable, or brings it up to date. Runs that meet wait for each other.
# STEER_REQUIRE_NATIVE=1: fail where the native engine could not be built. PYTHON: the interpreter to use.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
stamp=.venv/.steer-installed

explain_missing_native() {
    echo "steer: the native engine was not built; the reference engine runs in its place (correct, but slow)."
    if ! command -v cargo >/dev/null; then
        echo "steer: cargo is missing. Install Rust 1.85 or later (https://rustup.rs) and gcc, then: make venv"
    else
        echo "steer: to see why: cargo build --release --locked --features python --manifest-path native/Cargo.toml"
        echo "steer: it takes cargo >= 1.85 (here: $(cargo --version 2>/dev/null || echo one that does not run)), gcc," \
            "and the crates of native/Cargo.lock; then: make venv"
    fi
}

# What an installed environment depends on; the Python sources are not among it, since the install is editable.
inputs() {
    printf '%s\n' pyproject.toml constraints.txt steer/__init__.py scripts/make-venv.sh .cargo/config.toml \
        native/Cargo.toml native/Cargo.lock
    find native/src -name '*.rs'
    # cargo that was missing at the last install and is here now is a reason to install again, and the reverse
    [ "$(cat "$stamp" 2>/dev/null)" = "$(command -v cargo || echo none)" ] || echo /dev/null
}

up_to_date() {
    [ -e "$stamp" ] || return 1
    local input
    while read -r input; do
        if [ "$input" = /dev/null ] || [ "$input" -nt "$stamp" ]; then return 1; fi
    done < <(inputs)
}

native_works() { .venv/bin/python -c 'import steer.dataplane._native' 2>/dev/null; }

install() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "steer: $python is $("$python" --version 2>&1); steer needs Python 3.11 or later: make venv PYTHON=python3.11" >&2
        exit 1
    }
    if [ ! -x .venv/bin/pip ]; then
        echo "steer: making .venv"
        "$python" -m venv .venv || { echo "steer: no venv module: apt-get install python3-venv" >&2; exit 1; }
    fi
    echo "steer: installing into .venv (builds the native engine where cargo is found; a minute or two)"
    rm -f steer/dataplane/_native*.so # an engine older than its sources must not pass for a new one
    .venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
    command -v cargo >"$stamp" || echo none >"$stamp"
}

exec 9>.venv.lock
if command -v flock >/dev/null; then flock 9; fi
require_native=${STEER_REQUIRE_NATIVE:-0}
if ! up_to_date || { [ "$require_native" = 1 ] && ! native_works; }; then
    install
fi
if ! native_works; then
    explain_missing_native >&2
    if [ "$require_native" = 1 ]; then
        echo "steer: STEER_REQUIRE_NATIVE=1, so this is an error" >&2
        exit 1
    fi
fi
