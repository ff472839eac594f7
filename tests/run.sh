#!/usr/bin/env bash
# Runs every test: installs what is missing (Debian 12, Ubuntu 24.04), builds, and ends with ctest's summary and exit code.
# Options are passed on to ctest: tests/run.sh -R Attention
#
# Tests labelled `long` are left out; they run with: ctest --preset release -L long
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../runners/setup.sh"

install_packages build test
# The interpreter that the packages above are for, where there is another one too.
python=$(command -v /usr/bin/python3 || command -v python3)
build_zoo all -DZOO_BUILD_TESTS=ON -DZOO_PYTHON=ON -DPython_EXECUTABLE="$python"

say "Testing"
cd "$zoo_root"
exec ctest --preset release --label-exclude '^long$' --parallel "$(nproc)" "$@"
