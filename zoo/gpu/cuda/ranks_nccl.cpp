#include <nccl.h>

#include <array>
#include <chrono>
#include <cstring>
#include <exception>
#include <span>
#include <thread>

#include "zoo/core/error.h"
#include "zoo/gpu/cuda/state.h"
#include "zoo/gpu/device.h"
#include "zoo/gpu/rank_devices.h"
#include "zoo/gpu/ranks.h"

namespace zoo::gpu {

namespace {

DeviceIdentity identity_of(const cudaDeviceProp& properties) {
  DeviceIdentity identity = {};
  static_assert(sizeof(identity) == sizeof(properties.uuid));
  std::memcpy(identity.data(), &properties.uuid, sizeof(identity));
  return identity;
}

class NcclSum final : public RankSum {
 public:
  explicit NcclSum(Collective& ranks) : rank_(ranks.rank()), size_(ranks.size()) {
    int number = 0;
    int count = 0;
    cudaDeviceProp properties;
    cuda::check(cudaGetDevice(&number), "asking for the device");
    cuda::check(cudaGetDeviceCount(&count), "counting devices");
    cuda::check(cudaGetDeviceProperties(&properties, number), "asking for the GPU's properties");
    require_a_device_each(ranks, identity_of(properties), device().name, count);
    const ncclUniqueId id = agree_on_id(ranks);
    check(ncclCommInitRank(&communicator_, size_, id, rank_), "starting");
  }
  // A rank that fails while others wait for it must not wait for them, or the job would never end.
  ~NcclSum() override {
    if (communicator_ == nullptr) return;
    if (failed_ || std::uncaught_exceptions() > 0) {
      ncclCommAbort(communicator_);
    } else {
      ncclCommDestroy(communicator_);
    }
  }
  NcclSum(const NcclSum&) = delete;
  NcclSum& operator=(const NcclSum&) = delete;

  // Not ncclAllReduce, which does not promise the same bits on all ranks. This moves as much.
  void sum(float* values, std::int64_t count, Stream& stream) override {
    const auto part = static_cast<std::size_t>(count / size_);
    const auto rest = static_cast<std::size_t>(count % size_);
    float* own = values + part * static_cast<std::size_t>(rank_);
    float* last = values + part * static_cast<std::size_t>(size_);
    cudaStream_t on = stream.state().stream;
    if (part > 0) {
      check(ncclReduceScatter(values, own, part, ncclFloat, ncclSum, communicator_, on), "summing");
      check(ncclAllGather(own, values, part, ncclFloat, communicator_, on), "telling a sum");
    }
    if (rest > 0) {
      check(ncclReduce(last, last, rest, ncclFloat, ncclSum, 0, communicator_, on), "summing");
      check(ncclBroadcast(last, last, rest, ncclFloat, 0, communicator_, on), "telling a sum");
    }
    wait(on);
  }

 private:
  // Rank 0's, which the ranks pass on as a sum in which all others have zeros.
  ncclUniqueId agree_on_id(Collective& ranks) {
    ncclUniqueId id = {};
    if (rank_ == 0) check(ncclGetUniqueId(&id), "making an id for the job");
    std::array<std::uint64_t, sizeof(id) / sizeof(std::uint64_t)> words = {};
    static_assert(sizeof(words) == sizeof(id));
    std::memcpy(words.data(), &id, sizeof(id));
    ranks.sum(std::span(words));
    std::memcpy(&id, words.data(), sizeof(id));
    return id;
  }

  // What goes wrong between the machines is not the stream's to find: it would wait for ever.
  void wait(cudaStream_t stream) {
    for (cudaError_t status = cudaStreamQuery(stream); status != cudaSuccess; status = cudaStreamQuery(stream)) {
      failed_ = status != cudaErrorNotReady;
      if (failed_) cuda::check(status, "waiting for a sum over the ranks");
      ncclResult_t found = ncclSuccess;
      check(ncclCommGetAsyncError(communicator_, &found), "asking for errors");
      check(found, "summing");
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

  void check(ncclResult_t status, const char* what) {
    if (status == ncclSuccess) return;
    failed_ = true;
    throw Error(
        "NCCL failed at {}, on rank {} of {} with {}: {} ({}); NCCL_DEBUG=INFO says more, and a build with "
        "-DCMAKE_DISABLE_FIND_PACKAGE_NCCL=ON sums by MPI instead",
        what, rank_, size_, device().name, ncclGetErrorString(status), ncclGetLastError(communicator_));
  }

  int rank_;
  int size_;
  bool failed_ = false;
  ncclComm_t communicator_ = nullptr;
};

}  // namespace

std::unique_ptr<RankSum> make_rank_sum(Collective& ranks) {
  return std::make_unique<NcclSum>(ranks);
}

std::string rank_sum_name() {
  int version = 0;
  ncclGetVersion(&version);
  return fmt::format("NCCL {}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

}  // namespace zoo::gpu
