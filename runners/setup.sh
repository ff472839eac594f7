# Sourced by the scripts that need a machine with zoo on it: installs packages and builds. Functions only.
# shellcheck shell=bash

zoo_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\n==> %s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# packages_of SECTION...: the packages of these sections of debian-packages.txt, one a line.
packages_of() {
  local section
  for section in "$@"; do
    awk -v section="[$section]" '/^\[/ { inside = $0 == section; next } /^[^#]/ { if (inside) print $1 }' \
      "$zoo_root/runners/debian-packages.txt"
  done
}

is_installed() { [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# install_packages SECTION...: installs what is missing of these sections; does nothing when all is there.
install_packages() {
  local package
  local -a missing=() as_root=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This is not Debian or Ubuntu: going on with what is here. CMake names what is missing."
    return
  fi
  for package in $(packages_of "$@"); do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0

  say "Installing ${missing[*]}"
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      fail "packages are missing, and there is no sudo; as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  local -a apt=(apt-get --quiet=2 -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
  # A package source of somebody else's that fails to update need not matter: the installation will tell.
  "${as_root[@]}" "${apt[@]}" update || say "apt-get update failed; trying with the lists that are here"
  "${as_root[@]}" "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get could not install ${missing[*]}; its messages are above"
}

# build_zoo TARGET [CMAKE OPTION...]: builds a target in build/release.
build_zoo() {
  local target=$1 jobs gigabytes
  shift
  # A compiler takes up to a gigabyte.
  gigabytes=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
  jobs=$(nproc)
  if ((gigabytes < jobs)); then jobs=$((gigabytes > 1 ? gigabytes : 1)); fi
  say "Building zoo in $zoo_root/build/release ($jobs at a time)"
  (
    cd "$zoo_root"
    cmake --preset release --log-level=WARNING "$@" >/dev/null
    cmake --build --preset release --parallel "$jobs" --target "$target"
  )
}
