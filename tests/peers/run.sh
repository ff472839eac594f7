#!/usr/bin/env bash
# Compares the MQAR training step with PyTorch 2 on the CPU: tests/peers/run.sh [OPTIONS OF mqar_step.py]
#
# Sets up PyTorch with pip in a throw-away environment (ZOO_PEERS_VENV, or build/peers-venv; about 6 GB, since PyPI's
# wheel brings its CUDA libraries along), builds zoo, and times both in turn. Keep the machine idle meanwhile.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# torch.compile builds C++ against Python's headers.
install_packages build peers
build_zoo zoo_command -DZOO_BUILD_TESTS=OFF
peers_environment torch numpy

say "Timing"
exec "$peers_python" "$zoo_root/tests/peers/mqar_step.py" --zoo "$zoo_root/build/release/zoo" "$@"
