#include "zoo/core/flops.h"

namespace zoo {

namespace {
thread_local double counted = 0;
}

void count_flops(double flops) {
  counted += flops;
}

double flops_counted() {
  return counted;
}

}  // namespace zoo
