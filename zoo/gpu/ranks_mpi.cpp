// The sums over ranks without NCCL: in the host's memory.
#include <span>

#include "zoo/gpu/device.h"
#include "zoo/gpu/ranks.h"

namespace zoo::gpu {

namespace {

class HostSum final : public RankSum {
 public:
  explicit HostSum(Collective& ranks) : ranks_(&ranks) {}

  void sum(float* values, std::int64_t count, Stream& stream) override {
    stream.synchronize();
    ranks_->sum(std::span(values, static_cast<std::size_t>(count)));
  }

 private:
  Collective* ranks_;
};

}  // namespace

std::unique_ptr<RankSum> make_rank_sum(Collective& ranks) {
  return std::make_unique<HostSum>(ranks);
}

std::string rank_sum_name() {
  return device().emulated ? "MPI" : "MPI, through the host: this zoo is built without NCCL";
}

}  // namespace zoo::gpu
