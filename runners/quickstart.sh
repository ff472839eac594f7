#!/usr/bin/env bash
# From a bare Debian 12 or Ubuntu 24.04 to a recall report: installs what is missing, builds the command, and runs the
# quick preset. Options are passed on to `zoo recall`: runners/quickstart.sh --layers attention,base_conv
#
# Results go to out/quick. Runs that are there already are not made again.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

install_packages build
build_zoo zoo_command -DZOO_BUILD_TESTS=OFF

out=$zoo_root/out/quick
mkdir -p "$out"
say "Running the quick recall benchmark"
"$zoo_root/build/release/zoo" recall --preset quick --store "$out/runs.db" --out "$out" "$@"
say "The report: $out/report.html"
