#!/usr/bin/env bash
# Exchanges small language models with transformers and with the release of TTT, both ways, and compares logits:
# tests/peers/interchange.sh [OPTIONS OF interchange.py]
#
# Sets up PyTorch, transformers and the release as tests/peers/golden/run.sh does, and builds zoo. Only the CPU is used.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install_packages build
build_zoo zoo_command -DZOO_BUILD_TESTS=OFF
peers_environment torch numpy safetensors transformers einops
peers_checkout ttt-lm-pytorch https://github.com/test-time-training/ttt-lm-pytorch

say "Comparing"
exec "$peers_python" "$zoo_root/tests/peers/interchange.py" --zoo "$zoo_root/build/release/zoo" "$@"
