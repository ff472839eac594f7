#include "tests/conformance/broken_layers.h"

#include <cmath>
#include <limits>

#include "zoo/core/flops.h"

/// Layers broken on purpose, each in one way, and the check that has to notice.
namespace zoo::test {
namespace {

using testing::HasSubstr;

// What the breakages below change is the only thing wrong.
TEST(BrokenLayers, TheSoundOnePasses) {
  for (const Finding& finding : check_layer(entry_of<Sound>())) {
    EXPECT_NE(finding.outcome, Outcome::failed) << finding.check << ": " << finding.message;
  }
}

struct LooksAhead final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return Sound::forward(x, state, context) + ops::scale(ops::mean(x, 1, true), 1e-6);
  }
};
TEST(BrokenLayers, LookingAhead) {
  expect_caught<LooksAhead>("causality", "earlier outputs");
}

struct ForgetsState final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor y = Sound::forward(x, state, context);
    state.set("h", ops::scale(state.get("h"), 0));
    return y;
  }
};
TEST(BrokenLayers, ForgettingTheState) {
  expect_caught<ForgetsState>("chunks", "the output");
}

struct Undecided final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return Sound::forward(x, state, context) + 1e-6 * ++calls;
  }
  int calls = 0;
};
TEST(BrokenLayers, OtherBitsTheSecondTime) {
  expect_caught<Undecided>("repeatable", "computed twice");
}

struct ReadsAnything final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor anything = Tensor::empty({x.dim(2)}, x.dtype());
    return Sound::forward(x, state, context) + ops::scale(anything, 0);
  }
};
TEST(BrokenLayers, ReadingMemoryThatNobodyWrote) {
  expect_caught<ReadsAnything>("memory", "begins as NaN");
}

struct WritesBeyond final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    // Within the pool's block, which is a multiple of 64 bytes, but beyond what was asked for.
    Tensor block = Tensor::zeros({1}, x.dtype());
    if (x.dtype() == DType::f32) *(block.data<float>() + 1) = 0;
    return Sound::forward(x, state, context);
  }
};
TEST(BrokenLayers, WritingBeyondABlock) {
  if (pool_reuses_blocks()) {
    expect_caught<WritesBeyond>("memory", "beyond their ends");
  } else {
    EXPECT_DEATH(expect_caught<WritesBeyond>("memory", ""), "heap-buffer-overflow") << "AddressSanitizer comes first";
  }
}

struct MixesBatch final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return Sound::forward(x, state, context) + ops::mean(x, 0, true);
  }
};
TEST(BrokenLayers, MixingSequencesOfABatch) {
  expect_caught<MixesBatch>("batch", "alone");
}

struct NotANumberAtTheEnd final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor y = Sound::forward(x, state, context);
    return state.position < 15000 ? y : y + std::numeric_limits<double>::quiet_NaN();
  }
};
TEST(BrokenLayers, NotFiniteAtTheEnd) {
  expect_caught<NotANumberAtTheEnd>("long", "is not finite");
}

struct Unstabilised final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor e = ops::exp(Sound::forward(x, state, context));
    return e / ops::sum(e, -1, true);
  }
};
TEST(BrokenLayers, ExponentialThatOverflows) {
  expect_caught<Unstabilised>("large", "is not finite");
}

/// An inner learner that diverges: h_t = x_t^2 h_{t-1}, by its definition.
struct Diverges final : Sound {
  using Sound::Sound;
  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("h", Tensor::full({batch, 1, d_model_}, 1, w_.value().dtype()));
    return state;
  }
  Tensor forward(const Tensor& x, State& state, const Context&) override {
    Tensor h = state.get("h");
    Tensors all;
    for (std::int64_t t = 0; t < x.dim(1); ++t) {
      h = h * ops::square(ops::slice(x, 1, t, t + 1));
      all.push_back(h);
    }
    state.set("h", h);
    return ops::linear(ops::linear(ops::concat(all, 1), w_), u_);
  }
};
TEST(BrokenLayers, GrowingByDefinitionIsNoFault) {
  const Finding finding = finding_of<Diverges>("large");
  EXPECT_EQ(finding.outcome, Outcome::skipped) << finding.message;
}

struct DeclaresTwice final : Sound {
  explicit DeclaresTwice(Builder& builder) : Sound(builder) {
    builder.parameter("w", {d_model_}, Initializer::constant(0));
  }
};
TEST(BrokenLayers, ParameterDeclaredTwice) {
  expect_caught<DeclaresTwice>("parameters", "'w' is declared twice");
  expect_caught<DeclaresTwice>("save_load", "w");
}

struct NeverUses final : Sound {
  explicit NeverUses(Builder& builder) : Sound(builder) {
    builder.parameter("spare", {d_model_}, Initializer::constant(0));
  }
};
TEST(BrokenLayers, ParameterThatNothingDependsOn) {
  expect_caught<NeverUses>("parameters", "'spare'");
}

/// Depends on how often a layer was built.
struct HiddenDraw final : Sound {
  explicit HiddenDraw(Builder& builder) : Sound(builder), number(++built) {}
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return Sound::forward(x, state, context) + 0.01 * number;
  }
  static inline int built = 0;
  int number;
};
TEST(BrokenLayers, SavedWithoutAllItDependsOn) {
  expect_caught<HiddenDraw>("save_load", "not a parameter");
}

struct WrongRows final : Sound {
  using Sound::Sound;
  bool reads_rows() const override { return true; }
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor y = Sound::forward(x, state, context);
    if (context.rows == nullptr) return y;
    return ops::slice(ops::reshape(y, {-1, d_model_}), 0, 0, context.rows->count());
  }
};
TEST(BrokenLayers, OtherRowsThanThoseRead) {
  expect_caught<WrongRows>("rows", "some rows");
}

struct FalselyPositionwise final : Sound {
  using Sound::Sound;
  bool positionwise() const override { return true; }
};
TEST(BrokenLayers, ClaimingToWorkByPosition) {
  expect_caught<FalselyPositionwise>("positionwise");
}

struct AlwaysDrops final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return ops::dropout(Sound::forward(x, state, context), 0.1, context.random);
  }
};
struct DropsByPlace final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor y = Sound::forward(x, state, context);
    return context.training ? ops::dropout(y, 0.1, context.random) : y;
  }
};
TEST(BrokenLayers, DropoutOutsideTraining) {
  expect_caught<AlwaysDrops>("dropout", "outside training");
}
TEST(BrokenLayers, DropoutThatDependsOnHowABatchIsCut) {
  expect_caught<DropsByPlace>("dropout", "first_sequence");
}

/// Small values behind large ones.
struct Cancels final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return (Sound::forward(x, state, context) + 10000.0) - 10000.0;
  }
};
TEST(BrokenLayers, LosingDigits) {
  expect_caught<Cancels>("precision", "the output");
}

struct CubicWork final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    count_flops(std::pow(static_cast<double>(x.dim(1)), 3));
    return Sound::forward(x, state, context);
  }
};
TEST(BrokenLayers, WorkThatGrowsFasterThanSquare) {
  expect_caught<CubicWork>("flops", "exponent");
}

struct QuadraticState final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    state.set("scores", Tensor::zeros({x.dim(0), x.dim(1), x.dim(1)}));
    return Sound::forward(x, state, context);
  }
};
TEST(BrokenLayers, StateThatGrowsFasterThanLinearly) {
  expect_caught<QuadraticState>("state_bytes", "growth");
}

struct Silent final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return ops::scale(Sound::forward(x, state, context), 1e-9);
  }
};
TEST(BrokenLayers, NothingThatCanBeLearned) {
  expect_caught<Silent>("learning");
}

struct Throws final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor&, State&, const Context&) override { throw Error("the cat sat on it"); }
};
TEST(BrokenLayers, ExceptionsAreFindings) {
  for (const Finding& finding : check_layer(entry_of<Throws>())) {
    if (finding.outcome == Outcome::skipped) continue;
    EXPECT_EQ(finding.outcome, Outcome::failed) << finding.check;
    EXPECT_THAT(finding.message, HasSubstr("the cat sat on it"));
  }
}

TEST(CheckLayer, RefusesCasesAndChecksThatAreNot) {
  CheckOptions options;
  options.only_case = 2;
  EXPECT_THROW(check_layer(entry_of<Sound>(), options), UsageError);
  options = {};
  options.only_checks = {"causalty"};
  try {
    check_layer(entry_of<Sound>(), options);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'causality'"));
  }
}

TEST(CheckLayer, OneFindingAloneIsTheSameAsAmongAll) {
  LayerEntry entry = entry_of<Sound>();
  entry.test_cases = {{.d_model = 6}, {.d_model = 4}};
  CheckOptions options;
  options.seed = 7;
  options.only_checks = {"gradient", "precision"};
  const std::vector<Finding> all = check_layer(entry, options);
  ASSERT_EQ(all.size(), 4U);
  options.only_case = 2;
  options.only_checks = {"precision"};
  const std::vector<Finding> one = check_layer(entry, options);
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0].measured, all[3].measured);
  EXPECT_EQ(one[0].message, all[3].message);
  EXPECT_EQ(all[3].case_number, 2U);
}

}  // namespace
}  // namespace zoo::test
