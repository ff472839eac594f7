#!/usr/bin/env bash
# Is every barrier of the kernels needed, and would the tests miss it? Takes out one after another in a copy of the last
# commit (build/barriers) and runs the kernels' tests under ThreadSanitizer. A line for each says "race" (reported by the
# kernel's name), "fails" (otherwise) or "not missed"; the exit code is 1 where one is not missed whose line does not say
# why it stays. 9 minutes for all of them on two cores. Regular expressions choose files: tests/gpu/barriers.sh delta_rule
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../runners/setup.sh"

install_packages build test tidy

copy=$zoo_root/build/barriers
say "Building the last commit in $copy"
cd "$zoo_root"
if [[ -e $copy ]]; then
  git -C "$copy" checkout --quiet --force --detach "$(git rev-parse HEAD)"
else
  git worktree prune
  git worktree add --quiet --detach "$copy"
fi
cd "$copy"
cmake --preset tsan --log-level=WARNING -DZOO_NVCC=OFF >/dev/null
build() { cmake --build --preset tsan --target zoo_gpu_tests >build/barriers.log 2>&1; }
build || fail "the tests cannot be built: $copy/build/barriers.log"

# Planted faults are no kernel's, and some transforms are slow for their size.
tests() {
  OMP_TOOL=disabled TSAN_OPTIONS="suppressions=$copy/tests/tsan_suppressions.txt atexit_sleep_ms=0" \
    timeout 600 build/tsan/tests/zoo_gpu_tests --gtest_fail_fast \
    --gtest_filter='-Planted*:Fault*:Graph*:CopyAsync*:*Nvcc*:Cuda*:LongConvFft.IsTheDefinition*:LongConvFft.IsTaken*' \
    >build/barriers.log 2>&1
}
tests || fail "the tests fail with all barriers in place: $copy/build/barriers.log"

say "Taking them out"
found=0
barrier='__sync(threads|warp)\(\);'
while IFS=: read -r file line text; do
  sed -i -E "${line}s/$barrier/;/" "$file"
  build || fail "$file:$line cannot be taken out: $copy/build/barriers.log"
  if tests; then
    verdict="not missed"
    if [[ $text == *'//'* ]]; then verdict+=":${text##*//}"; else found=1; fi
  elif grep -q 'race: this thread' build/barriers.log; then
    verdict="race"
  else
    verdict="fails"
  fi
  echo "$file:$line $verdict"
  git checkout --quiet "$file"
done < <(grep -nE "$barrier" zoo/gpu/*.cu zoo/gpu/*.h | grep -E "$(IFS='|'; echo "${*:-.}")")
exit "$found"
