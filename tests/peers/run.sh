#!/usr/bin/env bash
# Compares the MQAR training step with PyTorch 2 on the CPU: tests/peers/run.sh [OPTIONS OF mqar_step.py]
#
# Sets up PyTorch with pip in a throw-away environment (ZOO_PEERS_VENV, or build/peers-venv; about 6 GB, since PyPI's
# wheel brings its CUDA libraries along), builds zoo, and times both in turn. Keep the machine idle meanwhile.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source runners/setup.sh

environment=${ZOO_PEERS_VENV:-$PWD/build/peers-venv}
# torch.compile builds C++ against Python's headers.
install_packages python3-venv python3-dev
build_zoo
if ! "$environment/bin/python" -c 'import torch' 2>/dev/null; then
  echo "Setting up PyTorch in $environment"
  python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet 'torch>=2' numpy
fi
exec "$environment/bin/python" tests/peers/mqar_step.py --zoo build/release/zoo "$@"
