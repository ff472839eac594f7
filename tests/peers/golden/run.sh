#!/usr/bin/env bash
# Makes the reference cases of tests/golden again from public implementations: tests/peers/golden/run.sh [LAYER...]
#
# Sets up PyTorch and transformers with pip in a throw-away environment (ZOO_PEERS_VENV, or build/peers-venv; about 6 GB,
# since PyPI's wheel brings its CUDA libraries along) and checks out the code of two papers beside it (ZOO_PEERS_SOURCES,
# or build/peers-sources). Only the CPU is used.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../environment.sh"

peers_environment torch numpy safetensors transformers einops
peers_checkout ttt-lm-pytorch https://github.com/test-time-training/ttt-lm-pytorch
peers_checkout flash-linear-attention https://github.com/fla-org/flash-linear-attention

say "Computing the references"
exec "$peers_python" "$zoo_root/tests/peers/golden/make.py" "$@"
