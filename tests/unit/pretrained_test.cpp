#include "zoo/lm/pretrained.h"

#include <gmock/gmock.h>

#include <bit>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/cli/command.h"
#include "zoo/io/tensor_file.h"
#include "zoo/lm/pretrained_format.h"

namespace zoo::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// What the call refuses with; empty when it does not.
std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

/// A copy of a small checkpoint of each format, to be spoilt.
class PretrainedFolder : public testing::Test {
 protected:
  void take(const std::string& name) {
    for (const auto& file : fs::directory_iterator(fs::path(ZOO_SOURCE_FOLDER) / "tests/golden/lm" / name)) {
      fs::copy(file.path(), folder_.path() / file.path().filename(), fs::copy_options::overwrite_existing);
    }
    settings_ = json::parse(read_file(config_));
  }

  std::string refusal_of_spec() {
    return refusal([&] { pretrained_spec(path()); });
  }
  /// With these settings changed; null takes one away.
  std::string refusal_with(const json& changes) {
    json settings = settings_;
    settings.merge_patch(changes);
    write_file(config_, settings.dump());
    return refusal_of_spec();
  }
  void expect_taken(const json& changes) { EXPECT_EQ(refusal_with(changes), "") << changes.dump(); }

  std::vector<NamedTensor> tensors() const { return read_tensors(SafetensorsFile(weights_)); }
  std::string path() const { return folder_.path().string(); }

  Model load() const {
    Model model = Model::zeros(pretrained_spec(path()));
    load_pretrained(path(), model);
    return model;
  }

  TemporaryDirectory folder_;
  std::string config_ = folder_ / "config.json";
  std::string weights_ = folder_ / "model.safetensors";
  json settings_;
};

TEST_F(PretrainedFolder, IsRecognisedByItsModelType) {
  take("llama_tied");
  EXPECT_TRUE(is_pretrained(path()));
  for (const char* content : {"{", "[]", "{}", "{\"model_type\": \"gpt2\"}", "{\"model_type\": 3}", "\xff"}) {
    write_file(config_, content);
    EXPECT_FALSE(is_pretrained(path())) << content;
    EXPECT_THAT(refusal_of_spec(), HasSubstr(config_)) << content;
  }
  fs::remove(config_);
  EXPECT_FALSE(is_pretrained(path()));
  EXPECT_THAT(refusal_of_spec(), HasSubstr("cannot open '" + config_ + "'"));
  EXPECT_FALSE(is_pretrained(folder_ / "nowhere"));
  write_file(config_, std::string(2 << 20, ' '));
  EXPECT_THAT(refusal_of_spec(), HasSubstr("such a file has at most"));
  write_file(config_, std::string(500'000, '['));
  EXPECT_THAT(refusal_of_spec(), HasSubstr("is not JSON"));
}

TEST_F(PretrainedFolder, SaysAllThatLlamaCannotBeHere) {
  take("llama_grouped");
  EXPECT_THAT(refusal_with({{"hidden_act", "gelu"},
                            {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}}},
                            {"sliding_window", 4096},
                            {"rms_norm_eps", "small"},
                            {"num_attention_heads", 4.5},
                            {"attention_bias", 1},
                            {"quantization_config", {{"bits", 4}}}}),
              AllOf(HasSubstr(config_), HasSubstr("hidden_act is \"gelu\"; supported is silu or swish"),
                    HasSubstr("\"rope_type\":\"linear\"}; rotary positions are supported without scaling"),
                    HasSubstr("sliding_window is 4096"), HasSubstr("rms_norm_eps is \"small\"; expected a number"),
                    HasSubstr("num_attention_heads is 4.5; expected a whole number from 1 to 1024"),
                    HasSubstr("attention_bias is 1; expected true or false"), HasSubstr("quantization_config is")));
  EXPECT_THAT(refusal_with({{"hidden_size", nullptr}}), HasSubstr("hidden_size is not there"));
  EXPECT_THAT(refusal_with({{"hidden_size", 33}, {"head_dim", nullptr}}), HasSubstr("heads cannot share it"));
  EXPECT_THAT(refusal_with({{"rope_scaling", {{"type", "dynamic"}, {"factor", 2}}}}), HasSubstr("rope_scaling is"));
  EXPECT_THAT(refusal_with({{"rope_scaling", 2}}), HasSubstr("rope_scaling is 2; expected an object"));
  EXPECT_THAT(refusal_with({{"num_key_value_heads", 3}}), HasSubstr("heads 4 is not divisible by kv_heads 3"));
}

TEST_F(PretrainedFolder, RotaryBasesStandInOldPlacesAndNew) {
  take("llama_grouped");
  const auto base = [&](const json& changes) {
    EXPECT_EQ(refusal_with(changes), "");
    return pretrained_spec(path()).layer_options.at("attention").at("rope_base").get<double>();
  };
  EXPECT_EQ(base(json::object()), 500);
  EXPECT_EQ(base({{"rope_parameters", nullptr}}), 10000);
  EXPECT_EQ(base({{"rope_parameters", nullptr}, {"rope_theta", 300.0}, {"rope_scaling", nullptr}}), 300);
  EXPECT_EQ(base({{"rope_theta", 300.0}}), 500) << "transformers 5 takes the newer one";
}

TEST_F(PretrainedFolder, SaysWhatOtherFormatsCannotBeHere) {
  take("mamba_plain");
  EXPECT_THAT(refusal_with({{"hidden_act", "relu"}}), HasSubstr("hidden_act is \"relu\""));
  EXPECT_THAT(refusal_with({{"time_step_rank", "some"}}), HasSubstr("time_step_rank is \"some\"; expected a whole"));
  expect_taken({{"time_step_rank", "auto"}, {"time_step_min", 7}, {"residual_in_fp32", false}});
  expect_taken({{"tie_word_embeddings", nullptr}});

  take("mamba2_plain");
  EXPECT_THAT(refusal_with({{"num_heads", 5}}), HasSubstr("times head_dim 8 it must be hidden_size 24 times expand 2"));
  EXPECT_THAT(refusal_with({{"rms_norm", false}}), HasSubstr("rms_norm is false"));
  EXPECT_THAT(refusal_with({{"time_step_limit", {1, 0.5}}}), HasSubstr("time_step_limit is [1,0.5]"));
  EXPECT_THAT(refusal_with({{"time_step_limit", "Infinity"}}), HasSubstr("time_step_limit is \"Infinity\""));
  EXPECT_THAT(refusal_with({{"n_groups", 4}}), HasSubstr("cannot form 4 groups"));
  // As Python writes infinity, without quotes, and as transformers 5 marks it.
  for (const char* limits : {"[0.0, Infinity]", R"([0.0, {"__float__": "Infinity"}])"}) {
    settings_.erase("time_step_limit");
    std::string text = settings_.dump();
    text.pop_back();
    write_file(config_, fmt::format("{}, \"note\": \"an \\\" Infinity\", \"time_step_limit\": {}}}", text, limits));
    EXPECT_EQ(refusal_of_spec(), "") << limits;
    EXPECT_EQ(pretrained_spec(path()).layer_options.at("mamba2").at("dt_max"), 0);
  }

  take("rwkv_plain");
  EXPECT_THAT(refusal_with({{"attention_hidden_size", 0}}), HasSubstr("attention_hidden_size is 0"));
  expect_taken({{"rescale_every", -1}});

  take("ttt_linear");
  EXPECT_THAT(refusal_with({{"ttt_layer_type", "conv"}}), HasSubstr("supported is linear or mlp"));
  EXPECT_THAT(refusal_with({{"num_attention_heads", 5}}), HasSubstr("d_model 32 is not divisible by heads 5"));
}

TEST_F(PretrainedFolder, RefusesSizesBeyondTheFileBeforeAnythingIsMade) {
  take("llama_tied");
  EXPECT_THAT(refusal_with({{"num_hidden_layers", 2000000000}}), HasSubstr("but the weights are 20 tensors in all"));
  EXPECT_THAT(refusal_with({{"hidden_size", 9e18}}), HasSubstr("expected a whole number from 1 to 16777216"));
  EXPECT_THAT(refusal_with({{"hidden_size", -1}}), HasSubstr("hidden_size is -1"));
  EXPECT_THAT(refusal_with({{"hidden_size", 16777216}, {"intermediate_size", 16777216}, {"head_dim", 8}}),
              HasSubstr("expected [16777216, 16777216]"));
  EXPECT_THAT(refusal_with({{"vocab_size", 2147483647}}), HasSubstr("expected [2147483647, 32]"));
  EXPECT_THAT(refusal_with({{"vocab_size", 2147483648}}), HasSubstr("vocab_size is 2147483648"));
}

TEST_F(PretrainedFolder, ListsAllThatIsWrongWithTensors) {
  take("llama_grouped");
  std::vector<NamedTensor> spoilt;
  for (auto& [name, tensor] : tensors()) {
    if (name == "model.norm.weight") continue;
    if (name == "lm_head.weight") tensor = Tensor::zeros({7, 3});
    if (name == "model.layers.1.mlp.up_proj.weight") tensor = Tensor::zeros(tensor.shape(), DType::i32);
    spoilt.emplace_back(
        name == "model.layers.0.self_attn.q_proj.weight" ? "model.layers.0.self_attn.q_porj.weight" : name, tensor);
  }
  // Old files have these; they hold no more than the base.
  spoilt.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", Tensor::zeros({4}));
  write_tensors(weights_, spoilt);
  EXPECT_THAT(refusal_of_spec(),
              AllOf(HasSubstr(weights_), HasSubstr("there is no tensor 'model.norm.weight'; expected [32]"),
                    HasSubstr("tensor 'lm_head.weight' is [7, 3]; expected [31, 32]"),
                    HasSubstr("tensor 'model.layers.1.mlp.up_proj.weight' has dtype I32"),
                    HasSubstr("there is no tensor 'model.layers.0.self_attn.q_proj.weight'"),
                    HasSubstr("did you mean 'model.layers.0.self_attn.q_proj.weight'?"), Not(HasSubstr("inv_freq"))));
  write_tensors(weights_, std::vector<NamedTensor>{{"x", Tensor::zeros({2})}});
  EXPECT_THAT(refusal_with({{"num_hidden_layers", 1}}), AllOf(HasSubstr("unknown tensor 'x'")));
  write_file(weights_, "nothing");
  EXPECT_THAT(refusal_of_spec(), HasSubstr("is not a valid safetensors file"));
  fs::remove(weights_);
  EXPECT_THAT(refusal_of_spec(), HasSubstr("has neither model.safetensors nor model.safetensors.index.json"));
  write_file(folder_ / "pytorch_model.bin", "");
  EXPECT_THAT(refusal_of_spec(), HasSubstr("pytorch_model.bin: save it again"));
}

TEST_F(PretrainedFolder, ATiedHeadMayBeThereIfItIsTheEmbedding) {
  take("llama_tied");
  std::vector<NamedTensor> all = tensors();
  Tensor head;
  for (const auto& [name, tensor] : all) {
    if (name == "model.embed_tokens.weight") head = tensor.clone();
  }
  all.emplace_back("lm_head.weight", head);
  write_tensors(weights_, all);
  load();
  head.data<float>()[5] += 1;
  write_tensors(weights_, all);
  EXPECT_THAT(refusal([&] { load(); }), AllOf(HasSubstr("tie_word_embeddings is true"), HasSubstr("'lm_head.weight'")));
  EXPECT_THAT(refusal_with({{"tie_word_embeddings", false}}), "");
  load();
}

TEST_F(PretrainedFolder, HalfPrecisionIsConverted) {
  take("rwkv_plain");
  const Model exact = load();
  const auto rounded = [&](const std::string& dtype) {
    std::vector<SafetensorsEntry> entries;
    std::vector<std::vector<std::uint16_t>> halves;
    const std::vector<NamedTensor> all = tensors();
    halves.reserve(all.size());
    for (const auto& [name, tensor] : all) {
      std::vector<std::uint16_t>& bits = halves.emplace_back();
      for (const float value : tensor.values<float>()) bits.push_back(std::bit_cast<std::uint32_t>(value) >> 16);
      entries.push_back({{name, dtype, {tensor.shape().dims().begin(), tensor.shape().dims().end()}},
                         std::as_bytes(std::span(bits))});
    }
    return std::pair(entries, std::move(halves));
  };
  auto [entries, halves] = rounded("BF16");
  write_safetensors(weights_, entries);
  const Model model = load();
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const Tensor &one = model.parameters()[i].value(), &other = exact.parameters()[i].value();
    for (std::int64_t j = 0; j < one.size(); ++j) {
      const auto bits = std::bit_cast<std::uint32_t>(other.data<float>()[j]) & 0xFFFF0000u;
      ASSERT_EQ(one.data<float>()[j], std::bit_cast<float>(bits)) << model.parameters()[i].spec().name;
    }
  }
}

TEST_F(PretrainedFolder, ShardsAreReadAsOneFile) {
  take("mamba_plain");
  const Model whole = load();
  const std::vector<NamedTensor> all = tensors();
  const std::size_t half = all.size() / 2;
  json map = json::object();
  for (std::size_t i = 0; i < all.size(); ++i) map[all[i].first] = i < half ? "one.safetensors" : "two.safetensors";
  write_tensors(folder_ / "one.safetensors", std::span(all).first(half));
  write_tensors(folder_ / "two.safetensors", std::span(all).subspan(half));
  fs::remove(weights_);
  const auto write_index = [&](const json& names) {
    write_file(folder_ / "model.safetensors.index.json", json{{"metadata", {}}, {"weight_map", names}}.dump());
  };
  write_index(map);
  const Model sharded = load();
  for (std::size_t i = 0; i < whole.parameters().size(); ++i) {
    EXPECT_THAT(sharded.parameters()[i].value().values<float>(),
                testing::ElementsAreArray(whole.parameters()[i].value().values<float>()));
  }

  const auto with = [&](const std::string& tensor, const json& file) {
    json names = map;
    names[tensor] = file;
    write_index(names);
    return refusal_of_spec();
  };
  EXPECT_THAT(with("more", "three.safetensors"), HasSubstr("three.safetensors"));
  for (const char* file : {"../one.safetensors", "/etc/passwd", "..", "", "a/b"}) {
    EXPECT_THAT(with("more", file), HasSubstr("expected the name of a file in the same folder")) << file;
  }
  EXPECT_THAT(with("more", 3), HasSubstr("puts tensor 'more' into 3"));
  EXPECT_THAT(with("more", "one.safetensors"), HasSubstr("tensor 'more' is not in 'one.safetensors'"));
  EXPECT_THAT(with(all[0].first, "two.safetensors"), HasSubstr("is not in 'two.safetensors'"));
  write_tensors(folder_ / "two.safetensors", std::span(all).subspan(half - 1));
  EXPECT_THAT(with(all[0].first, "one.safetensors"), HasSubstr("and in another shard"));
  write_file(folder_ / "model.safetensors.index.json", "{\"weight_map\": [1]}");
  EXPECT_THAT(refusal_of_spec(), HasSubstr("has no weight_map"));
}

ModelSpec llama_spec() {
  return {.layer = "attention",
          .layer_options = {{"attention", {{"heads", 2}, {"positions", "rope"}}}},
          .backbone = "transformer",
          .feed_forward = "swiglu",
          .d_model = 8,
          .vocab_size = 11,
          .max_length = 20};
}

TEST_F(PretrainedFolder, WhatNoFormatHoldsIsNotWritten) {
  const auto refused = [&](const ModelSpec& spec) {
    return refusal([&] { export_pretrained(spec, Model(spec, 1), folder_ / "out"); });
  };
  EXPECT_EQ(refused(llama_spec()), "");
  fs::remove_all(folder_ / "out");
  ModelSpec spec = llama_spec();
  spec.layer_options = {{"attention", {{"heads", 2}, {"window", 4}}}};
  EXPECT_THAT(refused(spec), AllOf(HasSubstr("format llama cannot hold the model"),
                                   HasSubstr("positions none, Llama has rope"), HasSubstr("a window of 4")));
  for (const char* layer : {"retnet", "attention+mamba"}) {
    spec = llama_spec();
    spec.layer = layer;
    spec.layer_options = json::object();
    EXPECT_THAT(refused(spec), AllOf(HasSubstr(fmt::format("no public format can hold layer {}", layer)),
                                     HasSubstr("mamba2 holds mamba2 in backbone mamba")));
  }
  spec = llama_spec();
  spec.feed_forward = "mlp";
  EXPECT_THAT(refused(spec), HasSubstr("with feed-forward mlp"));
  spec = llama_spec();
  spec.head = {HeadKind::classes, 3};
  EXPECT_THAT(refused(spec), HasSubstr("not a language model's"));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

// A model of ours with the options at their defaults, and what its config.json says when it is read again.
TEST_F(PretrainedFolder, AModelOfOursIsReadAsItWas) {
  for (const ModelSpec& spec :
       {llama_spec(),
        ModelSpec{.layer = "mamba", .backbone = "mamba", .d_model = 8, .vocab_size = 11, .max_length = 20},
        ModelSpec{.layer = "mamba2",
        .layer_options = {{"mamba2", {{"head_dim", 4}, {"dt_max", 0.5}}}},
        .backbone = "mamba",
        .d_model = 8,
        .vocab_size = 11,
        .max_length = 20,
        .tied_head = false},
        ModelSpec{.layer = "rwkv4",
        .backbone = "rwkv",
        .feed_forward = "rwkv_channel_mix",
        .d_model = 8,
        .vocab_size = 11,
        .max_length = 20},
        ModelSpec{.layer = "ttt_mlp",
        .layer_options = {{"ttt_mlp", {{"heads", 2}, {"share_qk", true}}}},
        .backbone = "mamba",
        .backbone_options = {{"norm_eps", 1e-6}},
        .feed_forward = "swiglu",
        .d_model = 8,
        .vocab_size = 11,
        .max_length = 20}}) {
    SCOPED_TRACE(spec.layer);
    const Model model(spec, 3);
    const std::string out = folder_ / ("out-" + spec.layer);
    export_pretrained(spec, model, out);
    const ModelSpec again = pretrained_spec(out);
    EXPECT_EQ(again.tied_head, spec.tied_head);
    Model read = Model::zeros(again);
    load_pretrained(out, read);
    ModelState one = model.initial_state(1), other = read.initial_state(1);
    const Tensor tokens = Tensor::from<std::int32_t>({1, 5}, {3, 1, 4, 1, 5});
    EXPECT_THAT(read.forward(tokens, other, {}).values<float>(),
                testing::ElementsAreArray(model.forward(tokens, one, {}).values<float>()));
  }
}

}  // namespace
}  // namespace zoo::test
