#!/usr/bin/env bash
# Compares the training of language models and their generation with PyTorch 2 on the CPU, and with llm.c where --llmc
# names a checkout: tests/peers/lm.sh [OPTIONS OF lm.py]
#
# Sets up PyTorch and transformers in an environment of their own, builds zoo, and times them in turn. Keep the machine
# idle meanwhile.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install_packages build
build_zoo zoo_command -DZOO_BUILD_TESTS=OFF
peers_environment torch numpy transformers

say "Timing"
exec "$peers_python" "$zoo_root/tests/peers/lm.py" --zoo "$zoo_root/build/release/zoo" "$@"
