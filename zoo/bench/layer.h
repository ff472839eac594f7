#pragma once

#include <cstdint>
#include <vector>

#include "zoo/bench/sgemm_rate.h"
#include "zoo/core/precision.h"
#include "zoo/core/profile.h"
#include "zoo/nn/single_layer.h"

namespace zoo {

/// How layers are measured.
struct LayerBenchmark {
  std::int64_t d_model = 256;
  std::int64_t batch_size = 4;
  std::vector<std::int64_t> seq_len = {256, 1024, 4096};
  /// Where a token is decoded. Empty: at 100, and at 100,000 too for layers whose state does not grow.
  std::vector<std::int64_t> positions;
  Precision precision = Precision::float32;  ///< of products: whoever measures has it in force (WithPrecision)
  double seconds = 0.5;                      ///< at least so long for each quantity, and at least three times
};

/// Wall times of one thing done several times.
struct Timing {
  double least = 0;
  double median = 0;
};

/// A layer on sequences of one length.
struct LayerSpeed {
  std::int64_t seq_len = 0;
  Timing forward;            ///< a batch, on the tape
  Timing step;               ///< a batch forward and backward, to gradients of input and parameters
  Timing prefill;            ///< one sequence, off the tape
  double forward_flops = 0;  ///< counted (zoo/core/flops.h)
  double step_flops = 0;
  std::size_t input_bytes = 0;   ///< of x [B,T,D]
  std::size_t peak_bytes = 0;    ///< that the step takes beyond x, dy and the parameters
  std::int64_t state_bytes = 0;  ///< of one sequence at its end
};

/// A layer that decodes one sequence token by token.
struct DecodeSpeed {
  std::int64_t position = 0;  ///< of the first token timed
  Timing token;
  std::int64_t state_bytes = 0;
  std::uint64_t system_allocations = 0;  ///< of the pool, while the tokens were timed
};

/// A layer of one width with drawn parameters.
class LayerMeter {
 public:
  /// Throws UsageError when the layer cannot be built like this.
  LayerMeter(const LayerEntry& entry, const nlohmann::json& options, const LayerBenchmark& benchmark);

  const SingleLayer& single() const { return single_; }
  /// Where decoding is to be measured: what the benchmark says, or what suits the layer.
  const std::vector<std::int64_t>& positions() const { return positions_; }
  /// Samples the yardstick before and after.
  LayerSpeed measure(std::int64_t seq_len, SgemmRate& sgemm) const;
  DecodeSpeed measure_decoding(std::int64_t position) const;
  /// The ops of one forward and backward pass, with what they compute and move; `shared_traffic`: also what GPUs'
  /// kernels would move through shared memory.
  std::vector<Profile::Entry> profile_step(std::int64_t seq_len, bool shared_traffic) const;

 private:
  bool state_grows() const;

  LayerBenchmark benchmark_;
  std::vector<std::int64_t> positions_;
  SingleLayer single_;
  Tensor slab_;
};

/// Bytes that measuring takes at the very least: x, y and their gradients. A floating-point number, since it may be
/// absurd.
double least_bytes(const LayerBenchmark& benchmark);

}  // namespace zoo
