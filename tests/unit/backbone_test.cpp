#include "zoo/nn/backbone.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/unit/layer_testing.h"
#include "zoo/core/error.h"
#include "zoo/nn/model.h"
#include "zoo/ops/ops.h"

namespace zoo {
namespace {

using testing_support::distance;
using testing_support::normal;
using testing_support::rows_at;

constexpr std::int64_t batch = 2;
constexpr std::int64_t length = 21;
constexpr std::int64_t vocabulary = 11;

Tensor some_tokens() {
  Tensor tokens = Tensor::empty({batch, length}, DType::i32);
  RandomStream stream(RandomKey::of(3, "tokens"));
  for (std::int64_t i = 0; i < tokens.size(); ++i) {
    tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(stream.below(vocabulary));
  }
  return tokens;
}

Tensor columns(const Tensor& tokens, std::int64_t begin, std::int64_t end) {
  Tensor part = Tensor::empty({batch, end - begin}, DType::i32);
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t t = begin; t < end; ++t) {
      part.data<std::int32_t>()[b * (end - begin) + t - begin] = tokens.data<std::int32_t>()[b * length + t];
    }
  }
  return part;
}

ModelSpec small_model(const std::string& layer, const nlohmann::json& layer_options, const std::string& backbone,
                      const std::string& feed_forward, std::int64_t d_model) {
  return {.layer = layer,
          .layer_options = layer_options,
          .backbone = backbone,
          .backbone_options = {{"initial_scale", 10}},  // so that softmaxes and gates are far from rest
          .feed_forward = feed_forward,
          .blocks = 3,
          .d_model = d_model,
          .vocab_size = vocabulary,
          .max_length = length};
}

// What a model gives in chunks of these lengths, repeated to the end.
Tensor in_chunks(const Model& model, const Tensor& tokens, std::initializer_list<std::int64_t> lengths) {
  const NoTape no_tape;
  ModelState state = model.initial_state(batch);
  Tensors parts;
  std::int64_t begin = 0;
  while (begin < length) {
    for (const std::int64_t wanted : lengths) {
      const std::int64_t end = std::min(begin + wanted, length);
      if (begin < end) parts.push_back(model.forward(columns(tokens, begin, end), state, {}));
      begin = end;
    }
  }
  EXPECT_EQ(state.position, length);
  return ops::concat(parts, 1);
}

Tensors variables(const Model& model) {
  Tensors result;
  for (const Parameter& parameter : model.parameters()) result.push_back(parameter.value());
  return result;
}

struct Whole {
  std::string layer;
  nlohmann::json layer_options;
  std::string backbone;
  std::string feed_forward;
  std::int64_t d_model;
};

// Rounding of three blocks in float64: 1e-16 times sums of some hundred terms, through the gain of the layers.
constexpr double rounding = 1e-9;

void check(const Whole& whole) {
  SCOPED_TRACE(whole.layer + whole.layer_options.dump() + " in " + whole.backbone + " with " + whole.feed_forward);
  const ModelSpec spec =
      small_model(whole.layer, whole.layer_options, whole.backbone, whole.feed_forward, whole.d_model);
  const Model model(spec, 1, DType::f64);
  const Tensor tokens = some_tokens();
  ModelState state = model.initial_state(batch);
  const Tensor y = model.forward(tokens, state, {});
  ASSERT_EQ(y.shape(), (Shape{batch, length, whole.d_model}));

  EXPECT_LT(distance(in_chunks(model, tokens, {1}), y), rounding) << "token by token";
  EXPECT_LT(distance(in_chunks(model, tokens, {5, 1, 9}), y), rounding) << "in chunks of 5, 1, 9";

  const Rows rows = rows_at(batch, length, {3, 4, 20, 30});
  Context context;
  context.rows = &rows;
  ModelState rows_state = model.initial_state(batch);
  const Tensor read = model.forward(tokens, rows_state, context);
  EXPECT_LT(distance(read, ops::gather_rows(ops::reshape(y, {batch * length, whole.d_model}), rows.indices)), rounding)
      << "the rows that are read";

  // The loss of those rows has the same gradient as the loss of the whole at those rows, finite for every parameter.
  const Tensor labels = Tensor::from<std::int32_t>({4}, {1, 0, 7, 10});
  const Tensor loss = ops::linear_cross_entropy(read, model.head().weight(), {}, labels);
  const Tensor same =
      ops::linear_cross_entropy(ops::gather_rows(ops::reshape(y, {batch * length, whole.d_model}), rows.indices),
                                model.head().weight(), {}, labels);
  const Tensors inputs = variables(model);
  const Tensors gradients = grad(loss, inputs);
  const Tensors expected = grad(same, inputs);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const std::string& name = model.parameters()[i].spec().name;
    ASSERT_TRUE(gradients[i].defined()) << name;
    for (const double value : gradients[i].values<double>()) ASSERT_TRUE(std::isfinite(value)) << name;
    EXPECT_LT(distance(gradients[i], expected[i]), rounding) << name;
  }
}

std::vector<std::string> feed_forwards() {
  std::vector<std::string> names = feed_forward_registry().names();
  names.emplace_back("none");
  return names;
}

// A multiple of the layer's width at which the feed-forward can be made.
std::int64_t width_for(const LayerCase& layer, const std::string& feed_forward) {
  if (feed_forward == "none") return layer.d_model;
  const std::int64_t least = feed_forward_registry().get(feed_forward).test_cases.front().d_model;
  return (std::max(least, layer.d_model) + layer.d_model - 1) / layer.d_model * layer.d_model;
}

TEST(Backbones, AnyLayerWorksInAnyWithAnyFeedForward) {
  for (const std::string& backbone : backbone_registry().names()) {
    for (const std::string& feed_forward : feed_forwards()) {
      for (const std::string& layer : layer_registry().names()) {
        // All of a layer's cases on its own, and one beside each feed-forward.
        for (const LayerCase& test_case : layer_registry().get(layer).test_cases) {
          check({layer, {{layer, test_case.options}}, backbone, feed_forward, width_for(test_case, feed_forward)});
          if (feed_forward != "none") break;
        }
      }
    }
  }
}

TEST(Backbones, LearnedPositionsWorkInAny) {
  for (const std::string& backbone : backbone_registry().names()) {
    check({"attention", {{"attention", {{"positions", "learned"}}}}, backbone, "swiglu", 8});
  }
}

TEST(Backbones, AHybridAlternatesItsPartsInAny) {
  for (const std::string& backbone : backbone_registry().names()) {
    check({"base_conv+attention", nlohmann::json::object(), backbone, "mlp", 8});
  }
}

// y_t = x_t, and a wish for a convolution before it: the backbone's convolution is all that happens.
class Wishful final : public Layer {
 public:
  explicit Wishful(Builder&) {}
  Tensor forward(const Tensor& x, State&, const Context&) override { return x; }
};

void register_wishful() {
  if (layer_registry().find("wishful") != nullptr) return;
  layer_registry().add({.name = "wishful",
                        .description = "asks for a convolution of 4 taps and does nothing",
                        .paper = "none",
                        .options = {},
                        .make = make<Wishful>(),
                        .wishes = [](const Options&) { return BackboneWishes{.temporal_convolution = 4}; },
                        .test_cases = {{.d_model = 8}}});
}

// The parameters' names, without the blocks' numbers.
std::vector<std::string> names_in_first_block(const Model& model) {
  std::vector<std::string> names;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.spec().name.starts_with("blocks.0.")) names.push_back(parameter.spec().name.substr(9));
  }
  return names;
}

TEST(Backbones, MambaConvolvesBeforeALayerThatAsksForIt) {
  register_wishful();
  check({"wishful", nlohmann::json::object(), "mamba", "none", 8});
  check({"wishful+attention", nlohmann::json::object(), "mamba", "swiglu", 8});

  const Model model(small_model("wishful", nlohmann::json::object(), "mamba", "none", 8), 1);
  EXPECT_EQ(names_in_first_block(model),
            (std::vector<std::string>{"conv.norm.weight", "conv.conv.weight", "conv.conv.bias", "norm.weight"}));
  // Three blocks, each with the last 3 inputs of its convolution, in float32.
  ModelState state = model.initial_state(batch);
  EXPECT_EQ(state.bytes(), 3 * batch * 3 * 8 * 4);
  model.forward(some_tokens(), state, {});
  EXPECT_EQ(state.bytes(), 3 * batch * 3 * 8 * 4);

  const Model transformer(small_model("wishful", nlohmann::json::object(), "transformer", "none", 8), 1);
  EXPECT_EQ(names_in_first_block(transformer), (std::vector<std::string>{"norm1.weight"}));
  EXPECT_EQ(transformer.initial_state(batch).bytes(), 0);
}

// The definitions written out, on a block of their own.
TEST(Backbones, TransformerAndMambaAreWhatTheySay) {
  struct Definition {
    std::string backbone;
    std::vector<std::string> norms;
    double epsilon;
  };
  for (const Definition& definition :
       {Definition{"transformer", {"norm1", "norm2"}, 1e-6}, Definition{"mamba", {"norm", "norm2"}, 1e-5}}) {
    ModelSpec spec = small_model("base_conv", nlohmann::json::object(), definition.backbone, "swiglu", 8);
    spec.blocks = 1;
    // Small numbers, so that the epsilons of the norms matter.
    spec.backbone_options = {{"initial_scale", 0.1}};
    const Model model(spec, 1, DType::f64);
    const auto value = [&](const std::string& name) {
      for (const Parameter& parameter : model.parameters()) {
        if (parameter.spec().name == name) return parameter.value();
      }
      ADD_FAILURE() << "no parameter " << name;
      return Tensor{};
    };
    Tensor r = ops::gather_rows(value("embedding.weight"), some_tokens());
    const auto norm = [&](const Tensor& x, const std::string& name) {
      return ops::rms_norm(x, value(name + ".weight"), definition.epsilon);
    };
    const testing_support::OwnedLayer mixer = testing_support::make_layer("base_conv", 8);
    for (const Parameter& parameter : mixer.parameters) {
      parameter.set_value(value("blocks.0.mixer." + parameter.spec().name));
    }
    r = r + mixer(norm(r, "blocks.0." + definition.norms[0]));
    const Tensor h = norm(r, "blocks.0." + definition.norms[1]);
    const std::string swiglu = "blocks.0.feed_forward.";
    r = r + ops::linear(ops::silu(ops::linear(h, value(swiglu + "gate_proj.weight"))) *
                            ops::linear(h, value(swiglu + "up_proj.weight")),
                        value(swiglu + "down_proj.weight"));
    ModelState state = model.initial_state(batch);
    EXPECT_LT(distance(model.forward(some_tokens(), state, {}), norm(r, "norm_f")), 1e-12) << definition.backbone;
  }
}

}  // namespace
}  // namespace zoo
