#include "zoo/bench/layer.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "zoo/bench/median.h"
#include "zoo/core/flops.h"
#include "zoo/core/pool.h"
#include "zoo/core/seconds.h"
#include "zoo/core/tape.h"

namespace zoo {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t timed_tokens = 64;    // of decoding
constexpr std::int64_t warmup_tokens = 8;    // before them
constexpr std::int64_t prefill_chunk = 512;  // of the way to a far position

Timing summarise(const std::vector<double>& seconds) {
  return {.least = *std::ranges::min_element(seconds), .median = median(seconds)};
}

// Once to warm up, then three times or more; a body that takes long, once.
template <typename Body>
Timing repeat(double least_seconds, const Body& body) {
  constexpr double long_seconds = 10;
  constexpr std::size_t least_times = 3;
  body();
  std::vector<double> seconds;
  double total = 0;
  while (seconds.empty() || (total < long_seconds && (seconds.size() < least_times || total < least_seconds))) {
    const Clock::time_point begin = Clock::now();
    body();
    seconds.push_back(seconds_since(begin));
    total += seconds.back();
  }
  return summarise(seconds);
}

Tensor draw(const Shape& shape, std::string_view purpose) {
  Tensor result = Tensor::empty(shape);
  RandomStream random(RandomKey::of(0, purpose));
  for (std::int64_t i = 0; i < result.size(); ++i) result.data<float>()[i] = static_cast<float>(random.normal());
  return result;
}

Context trained() {
  Context context;
  context.progress = 1;
  return context;
}

// A batch through the layer and back, to the gradients of input and parameters.
struct Pass {
  const SingleLayer& single;
  Tensor x;
  Tensor dy;
  Tensors wanted;

  Pass(const SingleLayer& layer, const Shape& shape)
      : single(layer), x(draw(shape, "bench/x").variable()), dy(draw(shape, "bench/dy")), wanted({x}) {
    for (const Parameter& parameter : single.parameters) wanted.push_back(parameter.value());
  }

  Tensor forward() const {
    State state = single.layer->initial_state(x.dim(0));
    return run(*single.layer, x, state, trained());
  }
  Tensors step() const {
    const Tensor y = forward();
    return grad(std::span(&y, 1), wanted, std::span(&dy, 1), {.create_graph = false, .release_tape = true});
  }
};

}  // namespace

LayerMeter::LayerMeter(const LayerEntry& entry, const nlohmann::json& options, const LayerBenchmark& benchmark)
    : benchmark_(benchmark), positions_(benchmark.positions) {
  const bool choose = positions_.empty();
  if (choose) positions_ = {100, 100'000};
  const std::int64_t longest =
      std::max(std::ranges::max(benchmark.seq_len), std::ranges::max(positions_) + timed_tokens);
  single_ = make_single_layer(entry, benchmark.d_model, options, longest);
  slab_ = initialize(single_.parameters, 0);
  if (choose && state_grows()) positions_.pop_back();
}

bool LayerMeter::state_grows() const {
  const NoTape off;
  const Tensor x = draw({1, 32, benchmark_.d_model}, "bench/state");
  State state = single_.layer->initial_state(1);
  run(*single_.layer, x, state, trained());
  const std::int64_t bytes = state.bytes();
  run(*single_.layer, x, state, trained());
  return state.bytes() > bytes;
}

LayerSpeed LayerMeter::measure(std::int64_t seq_len, SgemmRate& sgemm) const {
  sgemm.sample();
  const Pass pass(single_, {benchmark_.batch_size, seq_len, benchmark_.d_model});
  const Tensor& x = pass.x;
  const auto forward = [&] { return pass.forward(); };
  const auto step = [&] { return pass.step(); };

  LayerSpeed speed{.seq_len = seq_len, .forward = {}, .step = {}, .prefill = {}, .input_bytes = x.bytes()};
  const double before = flops_counted();
  forward();
  const double between = flops_counted();
  const std::size_t in_use = pool_statistics().bytes_in_use;
  reset_pool_peak();
  step();
  speed.forward_flops = between - before;
  speed.step_flops = flops_counted() - between;
  speed.peak_bytes = pool_statistics().peak_bytes_in_use - in_use;
  speed.forward = repeat(benchmark_.seconds, forward);
  speed.step = repeat(benchmark_.seconds, step);

  const NoTape off;
  const Tensor sequence = x.rows(0, 1);
  speed.prefill = repeat(benchmark_.seconds, [&] {
    State state = single_.layer->initial_state(1);
    run(*single_.layer, sequence, state, trained());
    speed.state_bytes = state.bytes();
  });
  sgemm.sample();
  return speed;
}

DecodeSpeed LayerMeter::measure_decoding(std::int64_t position) const {
  const NoTape off;
  const Tensor x = draw({1, prefill_chunk, benchmark_.d_model}, "bench/x");
  State state = single_.layer->initial_state(1);
  const std::int64_t warm = std::max<std::int64_t>(position - warmup_tokens, 0);
  while (state.position < warm) {
    const std::int64_t length = std::min(warm - state.position, prefill_chunk);
    run(*single_.layer, x.view({prefill_chunk, 1, benchmark_.d_model}).rows(0, length).view(x.shape().with(1, length)),
        state, trained());
  }
  Tensors tokens;
  for (std::int64_t i = 0; i < timed_tokens; ++i) {
    tokens.push_back(x.view({prefill_chunk, 1, benchmark_.d_model}).rows(i, 1));
  }
  while (state.position < position) run(*single_.layer, tokens[0], state, trained());

  std::vector<double> seconds(timed_tokens);
  const std::uint64_t allocations = pool_statistics().system_allocations;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    const Clock::time_point begin = Clock::now();
    run(*single_.layer, tokens[i], state, trained());
    seconds[i] = seconds_since(begin);
  }
  return {.position = position,
          .token = summarise(seconds),
          .state_bytes = state.bytes(),
          .system_allocations = pool_statistics().system_allocations - allocations};
}

std::vector<Profile::Entry> LayerMeter::profile_step(std::int64_t seq_len, bool shared_traffic) const {
  const Pass pass(single_, {benchmark_.batch_size, seq_len, benchmark_.d_model});
  std::optional<CountsSharedTraffic> counts;
  if (shared_traffic) counts.emplace();
  const Profile profile;
  pass.step();
  return profile.entries();
}

double least_bytes(const LayerBenchmark& benchmark) {
  constexpr double tensors = 4;  // x, y and their gradients
  return tensors * sizeof(float) * static_cast<double>(benchmark.batch_size) *
         static_cast<double>(std::ranges::max(benchmark.seq_len)) * static_cast<double>(benchmark.d_model);
}

}  // namespace zoo
