#!/usr/bin/env bash
# The Python module beside PyTorch: installs it with pip into a throw-away environment, and trains a PyTorch model on
# examples of a zoo task through PyTorch's own loader.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install_packages build peers
peers_environment torch numpy
say "Installing the module"
"$(dirname "$peers_python")/pip" install --quiet "$zoo_root/runners/python"

say "Training in PyTorch"
cd /
exec "$peers_python" "$zoo_root/tests/peers/python_loader.py"
