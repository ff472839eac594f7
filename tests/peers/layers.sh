#!/usr/bin/env bash
# Compares layers, forward and backward, with their public implementations in PyTorch 2 on the CPU:
# tests/peers/layers.sh [OPTIONS OF layers.py]
#
# Sets up PyTorch and what the implementations need as tests/peers/golden/run.sh does, builds zoo, and times both in turn.
# Keep the machine idle meanwhile.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install_packages build
build_zoo zoo_command -DZOO_BUILD_TESTS=OFF
peers_environment torch numpy safetensors transformers einops mambapy
peers_checkout ttt-lm-pytorch https://github.com/test-time-training/ttt-lm-pytorch
peers_checkout flash-linear-attention https://github.com/fla-org/flash-linear-attention

say "Timing"
exec "$peers_python" "$zoo_root/tests/peers/layers.py" --zoo "$zoo_root/build/release/zoo" "$@"
