// Sums over the processes of a job, and which GPU belongs to which of them.
#include "zoo/gpu/ranks.h"

#include <cstdlib>
#include <functional>
#include <map>

#include "gpu_testing.h"
#include "zoo/gpu/rank_devices.h"

namespace zoo::gpu {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// One rank of several, of whom the others say what they are made to say.
class Told final : public Collective {
 public:
  Told(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  using Collective::sum;
  void sum(std::span<float> values) override {
    for (float& value : values) value += others;
  }
  void sum(std::span<std::uint64_t> values) override {
    for (const auto& [place, word] : words) values[place] += word;
  }

  float others = 0;
  std::map<std::size_t, std::uint64_t> words;

 private:
  int rank_, size_;
};

__global__ void count_up(float* values) {
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
}

// Work that the stream has been given is done before the host adds.
TEST(RankSum, WaitsForWhatIsToBeSummed) {
  constexpr int count = 32;
  Stream stream;
  Told ranks(1, 2);
  ranks.others = 100;
  auto* values = static_cast<float*>(unified_allocate(count * sizeof(float)));
  launch(count_up, 1, count, 0, stream, values);
  make_rank_sum(ranks)->sum(values, count, stream);
  for (int i = 0; i < count; ++i) EXPECT_EQ(values[i], static_cast<float>(100 + i));
  device_free(values);
  EXPECT_EQ(rank_sum_name(), "MPI");
}

TEST(RankDevices, TwoRanksOnOneAreRefusedByBothNumbers) {
  Told apart(2, 3);
  apart.words = {{0, 7}, {1, 1}, {2, 7}, {3, 2}};
  EXPECT_NO_THROW(require_a_device_each(apart, {7, 3}, "H100", 2));
  Told together(2, 3);
  together.words = {{0, 7}, {1, 1}, {2, 7}, {3, 2}};
  EXPECT_THAT(error_of([&] {
                require_a_device_each(together, {7, 1}, "H100", 2);
              }),
              AllOf(HasSubstr("ranks 0 and 2 of 3 have the same GPU"), HasSubstr("this machine shows 2 (H100)"),
                    HasSubstr("mpirun --map-by ppr:2:node"), HasSubstr("CUDA_VISIBLE_DEVICES")));
}

// An environment in which a launcher has set these variables and no others.
class Launched {
 public:
  using Variables = std::map<std::string, std::string>;
  explicit Launched(const Variables& set) {
    for (const char* name : names) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      unsetenv(name);
    }
    for (const auto& [name, value] : set) setenv(name.c_str(), value.c_str(), 1);
  }
  ~Launched() {
    for (const char* name : names) unsetenv(name);
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), 1);
  }
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;

 private:
  static constexpr const char* names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"};
  Variables before_;
};

TEST(RankDevices, TheLauncherSaysThePlaceOnTheMachine) {
  {
    const Launched alone(Launched::Variables{});
    EXPECT_EQ(local_rank(), 0);
    EXPECT_EQ(place_of_rank(), "");
  }
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
    const Launched launched(Launched::Variables{{name, "3"}});
    EXPECT_EQ(local_rank(), 3) << name;
    EXPECT_THAT(place_of_rank(), HasSubstr(" for local rank 3 on the machine ")) << name;
  }
  // Under mpirun in a job of Slurm, whose own number is that of mpirun's daemon.
  const Launched both(Launched::Variables{{"OMPI_COMM_WORLD_LOCAL_RANK", "2"}, {"SLURM_LOCALID", "0"}});
  EXPECT_EQ(local_rank(), 2);
  const Launched wrong(Launched::Variables{{"SLURM_LOCALID", "two"}});
  EXPECT_THAT(error_of([] { local_rank(); }), HasSubstr("SLURM_LOCALID is 'two'"));
}

}  // namespace
}  // namespace zoo::gpu
