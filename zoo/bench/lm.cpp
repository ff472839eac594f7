#include "zoo/bench/lm.h"

#include <chrono>
#include <cmath>
#include <functional>
#include <optional>

#include "zoo/bench/median.h"
#include "zoo/bench/sgemm_rate.h"
#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/core/seconds.h"
#include "zoo/lm/generate.h"

namespace zoo {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(const std::function<void()>& work) {
  const Clock::time_point began = Clock::now();
  work();
  return seconds_since(began);
}

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocab, std::uint64_t seed) {
  RandomStream random(RandomKey::of(seed, "bench lm"));
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab)));
  return tokens;
}

// Bytes a second at which the threads together sum up this memory.
double read_rate(const Tensor& memory) {
  const float* values = memory.data<float>();
  std::vector<double> samples;
  double sink = 0;
  for (int i = 0; i < 5; ++i) {
    samples.push_back(seconds_of([&] {
      std::vector<float> sums(static_cast<std::size_t>(threads()) * 16, 0.0F);
      const std::int64_t parts = threads();
      parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t part = begin; part < end; ++part) {
          // Sixty-four sums side by side, so that reading is all there is to wait for.
          float lanes[64] = {};
          const std::int64_t from = memory.size() * part / parts, to = memory.size() * (part + 1) / parts;
          for (std::int64_t at = from; at + 64 <= to; at += 64) {
            for (int lane = 0; lane < 64; ++lane) lanes[lane] += values[at + lane];
          }
          float total = 0;
          for (const float lane : lanes) total += lane;
          sums[static_cast<std::size_t>(part) * 16] = total;
        }
      });
      sink += sums.front();
    }));
  }
  if (std::isnan(sink)) throw Error("the weights are not finite");
  return static_cast<double>(memory.bytes()) / median(samples);
}

void train(LmTrainer& trainer, const LmSettings& settings, const LmBenchmark& benchmark, LmMeasurement& measured) {
  SgemmRate sgemm;
  std::optional<Profile> profile;
  for (std::int64_t step = 0; step <= benchmark.steps; ++step) {
    const auto tokens = random_tokens(settings.batch_sequences * (settings.context + 1), settings.model.vocab_size,
                                      static_cast<std::uint64_t>(step));
    const double flops = flops_counted();
    if (step == 1 && benchmark.profile) profile.emplace();
    const double seconds = seconds_of([&] {
      if (!std::isfinite(trainer.step(tokens, 0, step).loss)) throw Error("the loss was not finite at step {}", step);
    });
    if (step > 0) {
      measured.step_seconds.push_back(seconds);
      measured.flops += flops_counted() - flops;
    }
    for (int i = 0; i < 2; ++i) sgemm.sample();
  }
  if (profile) measured.profile = profile->entries();
  measured.sgemm_flops = sgemm.flops_per_second();
  measured.peak_bytes = pool_statistics().peak_bytes_in_use;
}

}  // namespace

LmMeasurement measure_lm(const LmSettings& settings, const LmExecution& execution, const LmBenchmark& benchmark) {
  LmMeasurement measured;
  Collective alone;
  LmTrainer trainer(settings, execution, alone);
  measured.parameters = count_values(trainer.model().parameters());
  if (benchmark.steps > 0) train(trainer, settings, benchmark, measured);
  if (benchmark.generate > 0) {
    Clock::time_point last = Clock::now();
    const GenerateOptions options{.sampling = {.temperature = 0}, .max_tokens = benchmark.generate + 1};
    const std::uint64_t number[] = {0};
    std::optional<Profile> profile;
    if (benchmark.profile && benchmark.steps == 0) profile.emplace();
    generate(trainer.model(), {random_tokens(benchmark.prompt, settings.model.vocab_size, 0)}, number, options,
             [&](std::size_t, std::int32_t) {
               measured.token_seconds.push_back(seconds_since(last));
               last = Clock::now();
             });
    if (profile) measured.profile = profile->entries();
    measured.token_seconds.erase(measured.token_seconds.begin());  // the prompt's
    const NoTape off;
    ModelState state = trainer.model().initial_state(1);
    trainer.model().forward(Tensor::zeros({1, benchmark.prompt + benchmark.generate}, DType::i32), state, {});
    // A token reads one row of the embedding; a tied head reads all of it.
    const double embedding =
        settings.model.tied_head ? 0 : 4.0 * static_cast<double>(settings.model.vocab_size * settings.model.d_model);
    measured.bytes_per_token =
        static_cast<double>(trainer.model().slab().bytes()) - embedding + static_cast<double>(state.bytes());
    measured.read_bytes_per_second = read_rate(trainer.model().slab());
  }
  return measured;
}

}  // namespace zoo
