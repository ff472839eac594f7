#include "zoo/core/shared_traffic.h"

#include <utility>

namespace zoo {

namespace {
thread_local bool wants_shared_traffic = false;
thread_local SharedBytes shared_counted = {};
}  // namespace

CountsSharedTraffic::CountsSharedTraffic() : before_(std::exchange(wants_shared_traffic, true)) {}

CountsSharedTraffic::~CountsSharedTraffic() {
  wants_shared_traffic = before_;
}

bool counts_shared_traffic() {
  return wants_shared_traffic;
}

void count_shared_bytes(const SharedBytes& bytes) {
  for (std::size_t i = 0; i < modelled_gpus; ++i) shared_counted[i] += bytes[i];
}

SharedBytes shared_bytes_counted() {
  return shared_counted;
}

}  // namespace zoo
