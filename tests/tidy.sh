#!/usr/bin/env bash
# Runs clang-tidy over every source file, with the checks of .clang-tidy: installs what is missing (Debian 12, Ubuntu
# 24.04), configures the clang build, whose compile commands it reads, and ends with exit code 1 when there is a finding.
# Regular expressions choose files: tests/tidy.sh zoo/ops layers/
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../runners/setup.sh"

install_packages build test tidy

say "Configuring"
cd "$zoo_root"
cmake --preset clang --log-level=WARNING -DZOO_BUILD_TESTS=ON -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
cmake --build --preset clang --target zoo_revision >/dev/null  # the one header that the build makes

say "Reading the code"
exec run-clang-tidy-14 -p build/clang -quiet -j "$(nproc)" "$@"
