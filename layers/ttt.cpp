#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "layers/ttt/frame.h"
#include "layers/ttt/learned_rate.h"
#include "zoo/core/plugin.h"
#include "zoo/nn/learner.h"

namespace {

using namespace zoo;

// A TTT layer, of any learner (Sun et al. 2024, "Learning to (learn at test time): RNNs with expressive hidden states",
// section 3.1): the hidden state is the weights W of an inner model f, which learns from the sequence as it is read.
//
//     l(W; x_t) = |f(theta_K x_t; W) - theta_V x_t|^2     W_t = W_{t-1} - eta G_t     z_t = f(theta_Q x_t; W_t)
//
// with G_t the gradient of l at W_{t-1} (online), at the W of the last mini-batch's end, or at W_0 (batch). With a
// learned eta the loss is half of that, and the update the released layers', W_i = W_0 - tok_i sum_{j<=i} eta_j G_j
// from the mini-batch's start on.
class Ttt final : public Layer {
 public:
  explicit Ttt(Builder& builder)
      : heads_(builder.options().integer("heads")),
        gradient_(builder.options().text("gradient")),
        K_(gradient_ == "online" ? 1 : builder.options().integer("mini_batch")),
        optimizer_(optimizer_of(builder.options())),
        dual_(dual_of(builder.options(), optimizer_)),
        learned_(builder.options().is_choice("eta")),
        frame_(builder, "ttt",
               {.heads = heads_,
                .mini_batch = K_,
                .rope_base = builder.options().real("rope_base"),
                .share_qk = builder.options().boolean("share_qk"),
                .conv_kernel = builder.options().integer("conv_kernel"),
                .gate = builder.options().boolean("gate"),
                .post_norm = builder.options().boolean("post_norm")}),
        model_(model_of(builder.options(), frame_.d())) {
    const Options& options = builder.options();
    if (learned_) {
      eta_ = ttt::LearnedRate(builder, heads_, options.real("base_lr"), options.text("inner") == "mlp");
      if (options.boolean("token_scale")) token_scale_ = ttt::TokenScale(builder, K_);
    } else {
      rate_ = options.real("eta");
    }
    if (options.boolean("residual_norm")) {
      norm_weight_ = builder.parameter("ttt_norm_weight", {heads_, frame_.d()}, Initializer::constant(1));
      norm_bias_ = builder.parameter("ttt_norm_bias", {heads_, frame_.d()}, Initializer::constant(0));
    }
    add_maps(builder);
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    frame_.start(state, batch);
    if (model_->memory() > 0) {
      for (const char* name : {"k_inputs", "q_inputs"}) {
        state.set(name, Tensor::zeros({batch, model_->memory(), heads_, frame_.d()}, frame_.dtype()));
      }
    }
    for (const Map& map : maps_) {
      for (const Values& values : map.values) {
        const Shape shape{batch, heads_ * map.groups, values.rows, map.out};
        const Tensor initial = ops::reshape(initial_value(values), shape.with(0, 1));
        state.set(values.name, ops::broadcast_to(initial, shape));
        if (K_ > 1) state.set(values.name + "_grad", Tensor::zeros(shape, frame_.dtype()));
        for (const std::string& each : optimizer_.statistics()) {
          state.set(values.name + "_" + each, Tensor::zeros(shape, frame_.dtype()));
        }
      }
    }
    return state;
  }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const std::int64_t T = x.dim(1), memory = model_->memory();
    ttt::Views views = frame_.views(x, state);
    if (memory > 0) {
      views.k = append_to_state(state, "k_inputs", views.k, memory);
      views.q = append_to_state(state, "q_inputs", views.q, memory);
    }
    const Tensor k = by_head(views.k), v = by_head(views.v), q = by_head(views.q);
    const Tensor eta = ops::reshape(by_head(rates(x, context)), {x.dim(0), heads_, T, 1});

    const Learner learner(*model_, optimizer_, {dual_, learned_ ? 0.5 : 1.0, value(norm_weight_), value(norm_bias_)});
    Learner::Store store = load(state);
    Tensors z;
    for (std::int64_t begin = 0; begin < T;) {
      const std::int64_t step = state.position + begin;
      // A mini-batch that never ends is read in parts, whose sums go on.
      const std::int64_t n = std::min(T - begin, gradient_ == "batch" ? part : K_ - step % K_);
      const std::int64_t end = begin + n;
      const Learner::Lesson lesson = learner.train(store, ops::slice(k, 2, begin, memory + end),
                                                   ops::slice(v, 2, begin, end), ops::slice(eta, 2, begin, end), step);
      const Tensor scale = token_scale(step, n);
      z.push_back(learner.predict(lesson, ops::slice(q, 2, begin, memory + end), scale));
      if (gradient_ != "batch" && (step + n) % K_ == 0) {
        learner.finish(store, scale.defined() ? ops::slice(scale, 0, n - 1, n) : scale);
      }
      begin = end;
    }
    save(store, state);
    return frame_.output(by_head(ops::concat(z, 2)), x, context);
  }

 private:
  // Tokens of a batch that never ends which are read at once.
  static constexpr std::int64_t part = 16;

  // W or b of a map: its name, the parameter it starts from, or a constant.
  struct Values {
    std::string name;
    Parameter parameter;
    Tensor constant;
    std::int64_t rows;
  };
  struct Map {
    std::int64_t groups, out;
    std::vector<Values> values;  // W, and b where there is one
  };

  static InnerOptimizer optimizer_of(const Options& options) {
    const std::string& name = options.text("inner_optimizer");
    if (name == "adam") return InnerOptimizer(InnerOptimizer::Kind::adam);
    return InnerOptimizer(name == "momentum" ? InnerOptimizer::Kind::momentum : InnerOptimizer::Kind::sgd);
  }

  static bool dual_of(const Options& options, const InnerOptimizer& optimizer) {
    const std::string& form = options.text("form");
    if (form == "dual" && !optimizer.linear()) {
      throw UsageError(
          "layer ttt: form=dual needs updates that are linear in gradients, which inner_optimizer=adam does not give; "
          "choose sgd or momentum, or form=primal");
    }
    return form != "primal" && optimizer.linear();
  }

  static std::unique_ptr<InnerModel> model_of(const Options& options, std::int64_t d) {
    const std::string& inner = options.text("inner");
    if (inner == "conv") return std::make_unique<InnerConv>(d, options.integer("conv_kernel"));
    if (inner == "linear") return std::make_unique<InnerMlp>(d, 1, 1);
    return std::make_unique<InnerMlp>(d, options.integer("inner_depth"), options.integer("inner_expand"));
  }

  void add_maps(Builder& builder) {
    const PoolVector<InnerModel::Map> maps = model_->maps();
    for (std::size_t l = 0; l < maps.size(); ++l) {
      const std::string index = std::to_string(l + 1);
      Map map{.groups = maps[l].groups, .out = maps[l].out, .values = {}};
      map.values.push_back({.name = "W" + index, .parameter = {}, .constant = {}, .rows = maps[l].in});
      if (builder.options().boolean("inner_bias")) {
        map.values.push_back({.name = "b" + index, .parameter = {}, .constant = {}, .rows = 1});
      }
      for (Values& values : map.values) {
        const bool W = &values == &map.values.front();
        const Shape shape = (W ? maps[l].W : maps[l].b).insert(0, heads_);
        if (builder.options().boolean("learn_initial")) {
          values.parameter =
              builder.parameter(values.name, shape, W ? Initializer::normal(0.02) : Initializer::constant(0));
        } else {
          values.constant = Tensor::zeros(shape, DType::f64);
          if (W && !model_->learns_from_zero()) draw(values.constant, builder.layer_index, l);
        }
      }
      maps_.push_back(std::move(map));
    }
  }

  // N(0, 0.02), the same for every run.
  static void draw(Tensor& values, int layer, std::size_t map) {
    RandomStream stream(RandomKey::of(0, "ttt/initial").fold(static_cast<std::uint64_t>(layer)).fold(map));
    for (std::int64_t i = 0; i < values.size(); ++i) values.data<double>()[i] = 0.02 * stream.normal();
  }

  Tensor initial_value(const Values& values) const {
    return values.parameter.defined() ? values.parameter.value() : values.constant.to(frame_.dtype());
  }

  static Tensor value(const Parameter& parameter) { return parameter.defined() ? parameter.value() : Tensor{}; }
  static Tensor by_head(const Tensor& x) { return ops::transpose(x, 1, 2); }

  // [B,T,H]
  Tensor rates(const Tensor& x, const Context& context) const {
    return learned_ ? eta_(x, context) : Tensor::full({x.dim(0), x.dim(1), heads_}, rate_, x.dtype());
  }

  Tensor token_scale(std::int64_t step, std::int64_t n) const {
    if (!token_scale_) return {};
    return ops::reshape(token_scale_->of(gradient_ == "batch" ? step : step % K_, n), {n, 1});
  }

  Learner::Store load(const State& state) const {
    const bool begun = gradient_ == "batch" || state.position % K_ != 0;
    Learner::Store store;
    for (const Map& map : maps_) {
      Learner::Map loaded;
      for (const Values& values : map.values) {
        const bool W = &values == &map.values.front();
        (W ? loaded.W : loaded.b) = state.get(values.name);
        if (begun) (W ? loaded.W_sum : loaded.b_sum) = state.get(values.name + "_grad");
        for (const std::string& each : optimizer_.statistics()) {
          (W ? loaded.W_statistics : loaded.b_statistics).push_back(state.get(values.name + "_" + each));
        }
      }
      store.push_back(std::move(loaded));
    }
    return store;
  }

  void save(const Learner::Store& store, State& state) const {
    const std::vector<std::string> statistics = optimizer_.statistics();
    for (std::size_t l = 0; l < maps_.size(); ++l) {
      for (const Values& values : maps_[l].values) {
        const bool W = &values == &maps_[l].values.front();
        const Learner::Map& map = store[l];
        const Tensor &now = W ? map.W : map.b, &sum = W ? map.W_sum : map.b_sum;
        state.set(values.name, now);
        if (K_ > 1) state.set(values.name + "_grad", sum.defined() ? sum : Tensor::zeros(now.shape(), now.dtype()));
        for (std::size_t i = 0; i < statistics.size(); ++i) {
          state.set(values.name + "_" + statistics[i], (W ? map.W_statistics : map.b_statistics)[i]);
        }
      }
    }
  }

  std::int64_t heads_;
  std::string gradient_;
  std::int64_t K_;
  InnerOptimizer optimizer_;
  bool dual_;
  bool learned_;
  ttt::Frame frame_;
  std::unique_ptr<InnerModel> model_;
  double rate_ = 0;
  ttt::LearnedRate eta_;
  std::optional<ttt::TokenScale> token_scale_;
  Parameter norm_weight_;
  Parameter norm_bias_;
  std::vector<Map> maps_;
};

}  // namespace

ZOO_REGISTER_LAYER(ttt) {
  return {
      .name = "ttt",
      .description = "the state is a model of your choice that learns as it reads",
      .paper = "Sun et al., Learning to (learn at test time): RNNs with expressive hidden states, 2024",
      .options =
          OptionSchema()
              .integer("heads", 4, {1, 1024}, "heads, each with an inner model of its own")
              .choice("inner", "linear", {"linear", "mlp", "conv"}, "the inner model; conv runs along the tokens")
              .integer("inner_depth", 2, {1, 16}, "affine maps of the inner mlp")
              .integer("inner_expand", 4, {1, 64}, "width inside the inner mlp, over that of a head")
              .choice("inner_optimizer", "sgd", {"sgd", "momentum", "adam"}, "how the inner model learns")
              .boolean("inner_bias", true, "biases in the inner model")
              .choice("gradient", "mini_batch", {"online", "mini_batch", "batch"},
                      "gradients are taken at the last token's weights, the last mini-batch's, or the initial ones")
              .integer("mini_batch", 16, {1, 4096}, "tokens whose gradients are taken at once, K")
              .choice(
                  "form", "auto", {"auto", "primal", "dual"},
                  "primal: each token's weights are made; dual: they are not (sgd, momentum); auto: dual if it can be")
              .real_or_choice("eta", "learned", {"learned"}, {0, 1e6}, "inner learning rate, or learned for each token")
              .real("base_lr", 1, {0, 1e6}, "learned rates lie between 0 and base_lr / d; mlp: warmed up")
              .boolean("learn_initial", true, "the initial weights W_0 are trained; else 0, or a fixed draw (mlp)")
              .boolean("residual_norm", true, "f(x) = x + LN(g(x)), not g(x)")
              .boolean("post_norm", true, "LayerNorm of the predictions")
              .boolean("token_scale", true,
                       "with learned eta: scale the sum of i+1 gradients by 1/(i+1) + a trained number")
              .real("rope_base", 10000, {0, 1e12}, "base of rotary positions within the mini-batch; 0 = none")
              .boolean("gate", false, "times gelu of a projection of the input, as in the Mamba backbone")
              .boolean("share_qk", false, "q and k are two convolutions of one projection, as in the Mamba backbone")
              .integer("conv_kernel", 4, {1, 4096}, "length of these convolutions, and of the inner model conv"),
      .make = make<Ttt>(),
      .wishes = ttt::wishes,
      .test_cases = {
          {.d_model = 8, .options = {{"heads", 2}}},
          {.d_model = 8,
           .options = {{"heads", 2}, {"inner", "mlp"}, {"base_lr", 0.1}, {"mini_batch", 5}, {"form", "primal"}}},
          {.d_model = 6,
           .options = {{"heads", 1},
                       {"inner", "mlp"},
                       {"inner_depth", 3},
                       {"inner_expand", 2},
                       {"gradient", "online"},
                       {"share_qk", true},
                       {"gate", true}}},
          {.d_model = 8,
           .options = {{"heads", 2}, {"inner", "conv"}, {"inner_optimizer", "momentum"}, {"mini_batch", 6}}},
          {.d_model = 8,
           .options = {{"heads", 2},
                       {"eta", 0.01},
                       {"gradient", "batch"},
                       {"residual_norm", false},
                       {"post_norm", false},
                       {"inner_bias", false},
                       {"learn_initial", false},
                       {"rope_base", 0}}},
          {.d_model = 8,
           .options = {{"heads", 2},
                       {"inner_optimizer", "adam"},
                       {"mini_batch", 4},
                       {"base_lr", 0.1},
                       {"token_scale", false}}},
          {.d_model = 8,
           .options = {
               {"heads", 2}, {"inner", "mlp"}, {"learn_initial", false}, {"gradient", "batch"}, {"mini_batch", 8}}}}};
}
