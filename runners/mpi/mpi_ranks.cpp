#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <limits>
#include <span>

#include "zoo/core/error.h"
#include "zoo/sweep/ranks.h"

namespace {

using zoo::Error;

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error("MPI cannot {}: {}", what, text);
}

class MpiRanks final : public zoo::Ranks {
 public:
  MpiRanks() {
    check(MPI_Init(nullptr, nullptr), "start");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "tell this process its rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "tell the number of processes");
  }
  ~MpiRanks() override { MPI_Finalize(); }
  MpiRanks(const MpiRanks&) = delete;
  MpiRanks& operator=(const MpiRanks&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void sum(std::span<float> values) override { sum_as(MPI_FLOAT, values); }
  void sum(std::span<double> values) override { sum_as(MPI_DOUBLE, values); }
  void sum(std::span<std::uint64_t> values) override { sum_as(MPI_UINT64_T, values); }
  void abort(int exit_code) override { MPI_Abort(MPI_COMM_WORLD, exit_code); }

  void send(int to, const std::string& text) override {
    if (text.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
      throw Error("a message of {} bytes is too long for MPI", text.size());
    }
    check(MPI_Send(text.data(), static_cast<int>(text.size()), MPI_CHAR, to, 0, MPI_COMM_WORLD), "send a message");
  }

  std::optional<std::pair<int, std::string>> receive() override {
    int there = 0;
    MPI_Status status;
    check(MPI_Iprobe(MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &there, &status), "look for messages");
    if (there == 0) return std::nullopt;
    int length = 0;
    check(MPI_Get_count(&status, MPI_CHAR, &length), "tell the length of a message");
    std::string text(static_cast<std::size_t>(length), '\0');
    check(MPI_Recv(text.data(), length, MPI_CHAR, status.MPI_SOURCE, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
          "receive a message");
    return std::pair(status.MPI_SOURCE, std::move(text));
  }

 private:
  // By one rank, which tells the others: MPI does not promise that what each sums by itself has the same bits.
  template <typename T>
  void sum_as(MPI_Datatype type, std::span<T> values) {
    constexpr std::size_t most = std::size_t{1} << 28;
    for (; !values.empty(); values = values.subspan(std::min(most, values.size()))) {
      const auto count = static_cast<int>(std::min(most, values.size()));
      void* in = rank_ == 0 ? MPI_IN_PLACE : values.data();
      check(MPI_Reduce(in, values.data(), count, type, MPI_SUM, 0, MPI_COMM_WORLD), "sum over the processes");
      check(MPI_Bcast(values.data(), count, type, 0, MPI_COMM_WORLD), "tell the processes a sum");
    }
  }

  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

/// What the command looks up in this library; the caller owns what it gets.
extern "C" [[gnu::visibility("default")]] zoo::Ranks* zoo_open_mpi() {
  return std::make_unique<MpiRanks>().release();
}
