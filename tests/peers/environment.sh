# Sourced by the scripts that compare with other implementations: PyTorch and what belongs to it. Functions only.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../../runners/setup.sh"

# peers_environment PACKAGE...: a Python environment with these packages; sets peers_python.
peers_environment() {
  local environment=${ZOO_PEERS_VENV:-$zoo_root/build/peers-venv} package
  peers_python=$environment/bin/python
  install_packages peers
  [[ -x $peers_python ]] || python3 -m venv "$environment"
  for package in "$@"; do
    if ! "$peers_python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$package') is None)"; then
      say "Installing $package in $environment"
      "$peers_python" -m pip install --quiet "$package"
    fi
  done
}

# peers_checkout NAME URL: the newest source of a public repository in the folder that ZOO_PEERS_SOURCES names, which the
# Python files find by that variable. A folder that is there is taken as it is.
peers_checkout() {
  export ZOO_PEERS_SOURCES=${ZOO_PEERS_SOURCES:-$zoo_root/build/peers-sources}
  [[ -d $ZOO_PEERS_SOURCES/$1 ]] && return
  say "Checking out $1 in $ZOO_PEERS_SOURCES"
  mkdir -p "$ZOO_PEERS_SOURCES"
  git clone --quiet --depth 1 "$2" "$ZOO_PEERS_SOURCES/$1"
}
