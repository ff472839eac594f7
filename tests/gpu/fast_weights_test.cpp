#include "zoo/gpu/fast_weights.h"

#include <array>
#include <string>

#include "fast_weights_model.h"
#include "gpu_testing.h"
#include "numbers.h"
#include "zoo/gpu/emulation.h"

namespace zoo::gpu {
namespace {

using cpu::FastWeightsSizes;
using testing::HasSubstr;

// In the order of the kernels' structs: q, k, v, eta, token_scale, norm_weight, norm_bias, and W, b, W_sum, b_sum of
// each map.
constexpr std::size_t first_map = 7;
using Tensors = std::vector<std::vector<float>>;
template <typename T>
using Named = std::vector<std::pair<std::string, std::vector<T>>>;

struct Inputs {
  Tensors tensors;
  std::vector<float> dz;
  Tensors dmaps;
};

std::int64_t rows_of(const FastWeightsSizes& sizes) {
  return sizes.batch * sizes.length * sizes.heads;
}

// Rates that are a small part of 1 / d, and scales about 1 over the tokens summed, as those of layers: larger ones
// diverge.
Inputs random_inputs(const FastWeightsSizes& sizes) {
  const std::int64_t d = sizes.widths[0], rows = rows_of(sizes), heads = sizes.batch * sizes.heads;
  Inputs in;
  for (unsigned i = 0; i < 3; ++i) in.tensors.push_back(normal_numbers(rows * d, i));
  in.tensors.push_back(normal_numbers(rows, 3, 0.2F / static_cast<float>(d)));
  for (float& rate : in.tensors.back()) rate = std::abs(rate);
  in.tensors.push_back(normal_numbers(sizes.mini_batch, 4));
  for (std::size_t i = 0; i < in.tensors[4].size(); ++i)
    in.tensors[4][i] = (0.5F + std::abs(in.tensors[4][i])) / static_cast<float>(i + 1);
  for (unsigned i = 5; i < 7; ++i) in.tensors.push_back(normal_numbers(sizes.heads * d, i));
  for (std::size_t l = 0; l < static_cast<std::size_t>(sizes.maps); ++l) {
    const std::int64_t out = sizes.widths[l + 1];
    for (const std::int64_t inputs : {sizes.widths[l], std::int64_t{1}, sizes.widths[l], std::int64_t{1}}) {
      const auto seed = static_cast<unsigned>(in.tensors.size());
      in.tensors.push_back(normal_numbers(heads * inputs * out, seed, inputs == 1 ? 1.0F : 0.3F));
      in.dmaps.push_back(normal_numbers(heads * inputs * out, seed + 50));
    }
  }
  in.dz = normal_numbers(rows * d, 40);
  return in;
}

Row part(const std::vector<Number>& tensor, std::int64_t begin, std::int64_t count) {
  return {tensor.begin() + begin, tensor.begin() + begin + count};
}
std::vector<Row> matrix(const std::vector<Number>& tensor, std::int64_t index, std::int64_t in, std::int64_t out) {
  std::vector<Row> result;
  for (std::int64_t i = 0; i < in; ++i) result.push_back(part(tensor, (index * in + i) * out, out));
  return result;
}

const char* const names[] = {"q",  "k",      "v",      "eta", "token_scale", "norm_weight", "norm_bias", "W1",
                             "b1", "W1_sum", "b1_sum", "W2",  "b2",          "W2_sum",      "b2_sum"};

// Each result and gradient by its name.
Named<double> plain(const FastWeightsSizes& sizes, const Inputs& in) {
  Number::forget();
  std::vector<std::vector<Number>> x;
  for (const std::vector<float>& tensor : in.tensors) x.push_back(variables(tensor));
  const std::int64_t d = sizes.widths[0];
  std::vector<Number> z(in.dz.size());
  std::vector<std::vector<Number>> behind(in.dmaps.size());
  for (std::int64_t index = 0; index < sizes.batch * sizes.heads; ++index) {
    const std::int64_t head = index % sizes.heads;
    Model model;
    model.epsilon = sizes.epsilon;
    model.norm_weight = part(x[5], head * d, d);
    model.norm_bias = part(x[6], head * d, d);
    for (std::size_t l = 0; l < static_cast<std::size_t>(sizes.maps); ++l) {
      const std::int64_t inputs = sizes.widths[l], outputs = sizes.widths[l + 1];
      const auto* at = &x[first_map + 4 * l];
      model.maps.push_back({matrix(at[0], index, inputs, outputs), matrix(at[2], index, inputs, outputs),
                            part(at[1], index * outputs, outputs), part(at[3], index * outputs, outputs)});
      if (sizes.first > 0) continue;
      for (Row& row : model.maps.back().W_sum) row.assign(row.size(), 0);
      model.maps.back().b_sum.assign(static_cast<std::size_t>(outputs), 0);
    }
    for (std::int64_t t = 0; t < sizes.length; ++t) {
      const std::int64_t row = (index / sizes.heads * sizes.length + t) * sizes.heads + head;
      const std::int64_t i = (sizes.first + t) % sizes.mini_batch;
      const Number scale = x[4][static_cast<std::size_t>(i)];
      model.learn(part(x[1], row * d, d), part(x[2], row * d, d), x[3][static_cast<std::size_t>(row)]);
      const Row of_token = model.read(part(x[0], row * d, d), scale);
      std::copy(of_token.begin(), of_token.end(), z.begin() + row * d);
      if (i + 1 == sizes.mini_batch) model.start_again(scale);
    }
    for (std::size_t l = 0; l < model.maps.size(); ++l) {
      const Model::Map& map = model.maps[l];
      const auto add = [&](std::size_t i, const Row& row) {
        behind[4 * l + i].insert(behind[4 * l + i].end(), row.begin(), row.end());
      };
      for (const Row& row : map.W) add(0, row);
      add(1, map.b);
      for (const Row& row : map.W_sum) add(2, row);
      add(3, map.b_sum);
    }
  }
  Number loss = weighted_sum(z, in.dz);
  for (std::size_t i = 0; i < behind.size(); ++i) loss += weighted_sum(behind[i], in.dmaps[i]);
  const std::vector<double> derivatives = Number::derivatives(loss);
  Named<double> result = {{"z", values_of(z)}};
  for (std::size_t i = 0; i < behind.size(); ++i)
    result.emplace_back(std::string("last ") + names[first_map + i], values_of(behind[i]));
  for (std::size_t i = 0; i < x.size(); ++i) result.emplace_back(std::string("d") + names[i], by(x[i], derivatives));
  return result;
}

// Sums the parts of sequences, [B,count] to [count], or of all, when count is that of one.
std::vector<float> summed(const std::vector<float>& parts, std::size_t count) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < parts.size(); ++i) result[i % count] += parts[i];
  return result;
}

template <typename T>
cpu::FastMaps<T> maps_of(std::span<T* const> pointers) {
  cpu::FastMaps<T> maps;
  for (std::size_t l = 0; 4 * l < pointers.size(); ++l)
    maps[l] = {pointers[4 * l], pointers[4 * l + 1], pointers[4 * l + 2], pointers[4 * l + 3]};
  return maps;
}

Named<float> on_device(const FastWeightsSizes& sizes, const Inputs& in, Precision precision = Precision::float32,
                       bool of_maps = true) {
  Stream stream;
  std::vector<DeviceBuffer<float>> inputs, outputs, gradients, given;
  std::vector<const float*> input, given_map;
  std::vector<float*> output, gradient;
  for (const std::vector<float>& tensor : in.tensors) {
    inputs.push_back(to_device(std::span(tensor), stream));
    input.push_back(inputs.back().data());
  }
  for (std::size_t i = 0; i < in.tensors.size(); ++i) {
    const bool of_each_head = i >= 4 && i < first_map;
    gradients.emplace_back(of_each_head
                               ? static_cast<std::size_t>(sizes.batch * sizes.heads) *
                                     (i == 4 ? in.tensors[i].size() : static_cast<std::size_t>(sizes.widths[0]))
                               : in.tensors[i].size());
    gradient.push_back(gradients.back().data());
  }
  for (const std::vector<float>& tensor : in.dmaps) {
    given.push_back(to_device(std::span(tensor), stream));
    given_map.push_back(of_maps ? given.back().data() : nullptr);
    outputs.emplace_back(tensor.size());
    output.push_back(outputs.back().data());
  }
  const DeviceBuffer<float> dz = to_device(std::span(in.dz), stream);
  DeviceBuffer<float> z(in.dz.size());
  DeviceBuffer<float> checkpoints(
      static_cast<std::size_t>(sizes.batch * sizes.heads * sizes.checkpoints() * sizes.checkpoint_values()));
  DeviceBuffer<float> forward(static_cast<std::size_t>(fast_weights_forward_workspace(sizes)));
  DeviceBuffer<float> backward(static_cast<std::size_t>(fast_weights_backward_workspace(sizes)));
  const cpu::FastWeightsInputs<float> all = {
      input[0], input[1], input[2], input[3],
      input[4], input[5], input[6], maps_of<const float>(std::span(input).subspan(first_map))};
  fast_weights_forward(sizes, all, {z.data(), maps_of<float>(output), checkpoints.data()}, forward.data(), precision,
                       stream);
  fast_weights_backward(sizes, all, checkpoints.data(), dz.data(), maps_of<const float>(given_map),
                        {gradient[0], gradient[1], gradient[2], gradient[3], gradient[4], gradient[5], gradient[6],
                         maps_of<float>(std::span(gradient).subspan(first_map))},
                        backward.data(), precision, stream);
  Named<float> result = {{"z", to_host(z, stream)}};
  for (std::size_t i = 0; i < outputs.size(); ++i)
    result.emplace_back(std::string("last ") + names[first_map + i], to_host(outputs[i], stream));
  for (std::size_t i = 0; i < gradients.size(); ++i)
    result.emplace_back(std::string("d") + names[i], summed(to_host(gradients[i], stream), in.tensors[i].size()));
  return result;
}

LargestError errors_of(const Named<float>& results, const Named<double>& expected) {
  LargestError errors;
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].first, expected[i].first);
    errors.compare(results[i].first.c_str(), results[i].second, expected[i].second);
  }
  return errors;
}

struct Case {
  const char* name;
  std::int64_t batch, length, heads, d, hidden;  // hidden 0: one map
  std::int64_t mini_batch, first;

  friend void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }
  FastWeightsSizes sizes() const {
    FastWeightsSizes result = {.batch = batch,
                               .length = length,
                               .heads = heads,
                               .maps = hidden == 0 ? 1 : 2,
                               .widths = {d, hidden == 0 ? d : hidden, hidden == 0 ? 0 : d},
                               .mini_batch = mini_batch,
                               .first = first,
                               .epsilon = 1e-3};
    return result;
  }
};

const Case cases[] = {
    {"linear_one_token", 1, 1, 1, 4, 0, 16, 0},
    {"linear_two_sequences_and_heads", 2, 9, 2, 16, 0, 4, 0},
    {"linear_width_20", 1, 21, 1, 20, 0, 16, 0},
    {"linear_width_32_of_five_checkpointed_mini_batches", 1, 83, 1, 32, 0, 16, 0},
    {"linear_width_64", 1, 24, 1, 64, 0, 16, 0},
    {"linear_begun", 1, 20, 2, 5, 0, 8, 3},
    {"linear_begun_and_ended", 1, 13, 1, 6, 0, 8, 3},
    {"linear_pieces_of_a_mini_batch", 1, 150, 1, 6, 0, 70, 10},
    {"mlp", 2, 9, 2, 8, 20, 4, 0},
    {"mlp_begun", 1, 17, 1, 5, 32, 7, 2},
    {"mlp_width_16", 1, 20, 1, 16, 64, 16, 0},
    {"mlp_one_token", 1, 1, 1, 8, 32, 4, 1},
};

class FastWeights : public testing::TestWithParam<Case> {};

// Of float32, splitting into TF32 loses 3 2^-22 of a product at most, and a float sum 2^-24 of each of its partial
// sums: together below 4e-7 of a sum of products of either sign, root mean square. A gradient goes through five sums at
// most (a norm's are of the same kind), whose errors add up as squares: 9e-7; and the norms remove what of a gradient
// is along x^ and 1, half of it in narrow heads.
TEST_P(FastWeights, IsTheDefinition) {
  const FastWeightsSizes sizes = GetParam().sizes();
  const Inputs inputs = random_inputs(sizes);
  const LargestError errors = errors_of(on_device(sizes, inputs), plain(sizes, inputs));
  EXPECT_LT(errors.value(), 2e-6) << errors.text();
  RecordProperty("errors", errors.text());
}

INSTANTIATE_TEST_SUITE_P(Cases, FastWeights, testing::ValuesIn(cases),
                         [](const auto& test) { return test.param.name; });

FastWeightsSizes sizes_of(const char* name) {
  for (const Case& each : cases) {
    if (std::string(each.name) == name) return each.sizes();
  }
  throw Error("no case is named {}", name);
}

// Rounding to p bits errs by u = 2^-(p+1) 0.72 / sqrt(3) of a number, root mean square, and so sqrt(2) u of a sum of
// products. Results are behind up to five such sums, each of what those before it err by.
TEST(FastWeightsNumbers, ErrAsTheirFormatDoes) {
  const FastWeightsSizes sizes = sizes_of("mlp_width_16");
  const Inputs inputs = random_inputs(sizes);
  const Named<double> expected = plain(sizes, inputs);
  for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, std::pair{Precision::bf16, 7}}) {
    const double unit = std::ldexp(1.0, -bits - 1) * 0.72 / std::sqrt(3.0);
    const LargestError errors = errors_of(on_device(sizes, inputs, precision), expected);
    EXPECT_LT(errors.value(), 10 * unit) << errors.text();
    EXPECT_GT(errors.value(), unit) << "more exact than its format: not rounded as the hardware does; "
                                    << errors.text();
  }
}

// A mini-batch that has not ended goes on from the sums that were left.
TEST(FastWeightsNumbers, GoOnFromTheMapsBehindAnySplit) {
  const FastWeightsSizes sizes = sizes_of("mlp_width_16");
  Inputs inputs = random_inputs(sizes);
  const std::vector<float> whole = on_device(sizes, inputs)[0].second;
  for (const std::int64_t split : {16, 7}) {
    FastWeightsSizes begin = sizes, rest = sizes;
    begin.length = split;
    rest.length = sizes.length - split;
    rest.first = split % sizes.mini_batch;
    const Named<float> before = on_device(begin, inputs);
    Inputs behind = inputs;
    for (std::size_t i = 0; i < 4; ++i)
      behind.tensors[i].erase(behind.tensors[i].begin(), behind.tensors[i].begin() + split * (i < 3 ? 16 : 1));
    behind.dz.erase(behind.dz.begin(), behind.dz.begin() + split * 16);
    for (std::size_t i = first_map; i < behind.tensors.size(); ++i)
      behind.tensors[i] = before[1 + i - first_map].second;
    const std::vector<float> z = on_device(rest, behind)[0].second;
    const std::vector<float> expected(whole.begin() + split * 16, whole.end());
    if (split == 16) {
      EXPECT_EQ(z, expected);
    }
    EXPECT_LT(relative_error(z, {expected.begin(), expected.end()}), 1e-6);
  }
}

TEST(FastWeightsNumbers, RepeatBitForBitInEveryOrder) {
  const FastWeightsSizes sizes = sizes_of("mlp_begun");
  const Inputs inputs = random_inputs(sizes);
  set_schedule_seed(1);
  const Named<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  EXPECT_EQ(on_device(sizes, inputs), first);
}

// Whose gradients nobody gave are zero.
TEST(FastWeightsNumbers, GradientsOfTheMapsBehindMayBeMissing) {
  const FastWeightsSizes sizes = sizes_of("linear_begun");
  Inputs inputs = random_inputs(sizes);
  for (std::vector<float>& gradient : inputs.dmaps) gradient.assign(gradient.size(), 0);
  EXPECT_EQ(on_device(sizes, inputs), on_device(sizes, inputs, Precision::float32, /*of_maps=*/false));
}

// What lies in shared memory and what in device memory are the same numbers.
TEST(FastWeightsLaunch, WhatDoesNotFitLiesInDeviceMemory) {
  const FastWeightsSizes sizes = sizes_of("mlp_width_16");
  const Inputs inputs = random_inputs(sizes);
  const Named<float> expected = on_device(sizes, inputs);
  const std::int64_t kept = fast_weights_backward_workspace(sizes);
  EXPECT_EQ(fast_weights_forward_workspace(sizes), 0);
  const Device whole = device();
  Device small = whole;
  small.shared_bytes_per_block = 24 * 1024;
  emulate_device(small);
  EXPECT_LE(fast_weights_backward_kernels(sizes)[0].shared_bytes, small.shared_bytes_per_block);
  EXPECT_GT(fast_weights_forward_workspace(sizes), 0);
  EXPECT_GT(fast_weights_backward_workspace(sizes), kept);
  EXPECT_EQ(on_device(sizes, inputs), expected);
  emulate_device(a100());
  EXPECT_EQ(on_device(sizes, inputs), expected);
  emulate_device(whole);
}

// Of TTT-MLP with heads of 64, W and their gradients, 4 64 (256 + 4) and 4 256 (64 + 4) floats, are larger than what a
// block has: the gradients lie in shared memory, W in the block's device memory.
TEST(FastWeightsLaunch, TheGradientsOfWideMapsLieInSharedMemory) {
  const FastWeightsSizes sizes = {.batch = 2, .length = 64, .heads = 3, .maps = 2, .widths = {64, 256, 64}};
  const std::size_t maps = sizeof(float) * (64 * 260 + 256 * 68);
  const LaunchShape backward = fast_weights_backward_kernels(sizes)[0];
  EXPECT_EQ(backward.blocks, 6U);
  EXPECT_EQ(backward.threads, 256U);
  EXPECT_GT(2 * maps, device().shared_bytes_per_block);
  EXPECT_GT(backward.shared_bytes, maps);
  EXPECT_EQ(resident_blocks(backward), 1U);
  EXPECT_EQ(fast_weights_forward_workspace(sizes), 0);
}

TEST(FastWeightsLaunch, RefusesWhatItDoesNotCompute) {
  Stream stream;
  const auto refused = [&](const FastWeightsSizes& sizes) {
    return error_of([&] { fast_weights_forward(sizes, {}, {}, nullptr, Precision::float32, stream); });
  };
  FastWeightsSizes sizes = {.batch = 1, .length = 64, .heads = 1, .maps = 1, .widths = {4, 4}};
  EXPECT_TRUE(fast_weights_fit(sizes));
  sizes.first = 16;
  EXPECT_THAT(refused(sizes), HasSubstr("first is 16; it must be below mini_batch"));
  sizes.first = 0;
  sizes.maps = 3;
  EXPECT_THAT(refused(sizes), HasSubstr("maps is 3; it must be 1 or 2"));
  sizes.maps = 2;
  sizes.widths = {4, 8, 5};
  EXPECT_THAT(refused(sizes), HasSubstr("the last width is 5; it must be the first"));
  sizes.widths = {4, 0, 4};
  EXPECT_THAT(refused(sizes), HasSubstr("hidden width is 0; it must be from 1 to 2147483647"));
  sizes.widths = {2048, 2048, 2048};
  EXPECT_FALSE(fast_weights_fit(sizes));
  EXPECT_THAT(refused(sizes), HasSubstr("16 rows of width 2048 do not fit 3 times into the"));
}

}  // namespace
}  // namespace zoo::gpu
