#!/bin/sh
# Make .venv from requirements.lock: `make` runs it as `tools/install.sh PYTHON`.
# uv installs, in seconds: the one on the PATH, else the one that pip installs into .venv first. Where uv cannot, pip does.
set -eu
python=$1 bin=.venv/bin uv='' pip=''

say() { echo "making .venv: $*"; }

# Make an empty .venv that pip can fill. Debian's python3 may lack ensurepip, but its own pip can install there.
make_venv_with_pip() {
    if "$python" -m pip --python "$python" --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip .venv
        pip="$python -m pip --python $bin/python"
    elif "$python" -m venv .venv; then
        pip="$bin/python -m pip"
    else
        say "no way to install: $python has neither pip nor ensurepip, and no uv that works is on the PATH" >&2
        exit 1
    fi
}

rm -rf .venv
if uv --version >/dev/null 2>&1; then
    "$python" -m venv --without-pip .venv
    uv=uv
else
    make_venv_with_pip
    say "uv is not on the PATH; pip installs it into .venv"
    if $pip install -q --require-hashes -r tools/uv.txt; then uv=$bin/uv; fi
fi

# Python compiles what it imports, once, unless it may not keep the result
compile=${PYTHONDONTWRITEBYTECODE:+--compile-bytecode}
packages=$(grep -c '==' requirements.lock)
if [ -n "$uv" ] && say "$($uv --version | cut -d' ' -f1,2) installs up to $packages packages of requirements.lock" &&
    $uv pip install --python $bin/python $compile --require-hashes -r requirements.lock; then
    $uv pip install -q --python $bin/python --no-deps --no-build-isolation -e .
else
    say "pip installs up to $packages packages of requirements.lock; this takes one to two minutes"
    if [ -z "$pip" ]; then make_venv_with_pip; fi
    $pip install --require-hashes -r requirements.lock
    $pip install -q --no-deps --no-build-isolation -e .
fi
