#include <zoo/core/plugin.h>

#include <cstdlib>
#include <stdexcept>
#include <string_view>

// A plugin that goes wrong in the way that ZOO_TEST_FAULT names; without it, all is well.

namespace {

bool fault(std::string_view name) {
  const char* chosen = std::getenv("ZOO_TEST_FAULT");
  return chosen != nullptr && chosen == name;
}

volatile int zero = 0;
volatile int quotient = 7;
int* volatile nowhere = nullptr;

// Its faults are meant: a sanitizer must let them happen.
__attribute__((no_sanitize("undefined"))) void go_wrong() {
  if (fault("exception")) throw std::runtime_error("the moon is full");
  if (fault("odd exception")) throw 7;
  if (fault("usage error")) throw zoo::UsageError("d_model must be divisible by seven");
  if (fault("division by zero")) quotient = quotient / zero;
  if (fault("null pointer")) *nowhere = 1;
  if (fault("abort")) std::abort();
  if (fault("exit")) std::exit(0);
  while (fault("endless loop")) quotient = quotient + 1;
}

[[gnu::constructor]] void run_at_once() {
  if (fault("static initialiser")) std::abort();
}

class Identity : public zoo::Layer {
 public:
  explicit Identity(zoo::Builder&) {}
  zoo::Tensor forward(const zoo::Tensor& x, zoo::State&, const zoo::Context&) override { return x; }
};

class Faulty final : public Identity {
 public:
  explicit Faulty(zoo::Builder& builder) : Identity(builder) { go_wrong(); }
};

template <typename L>
zoo::LayerEntry entry(const char* name) {
  return {.name = name,
          .description = "does nothing, if all goes well",
          .paper = "",
          .options = {},
          .make = zoo::make<L>(),
          .test_cases = {}};
}

}  // namespace

ZOO_REGISTER_LAYER(faulty) {
  if (fault("no layer")) {
    zoo::LayerEntry nothing = entry<Faulty>("faulty");
    nothing.make = [](zoo::Builder&) { return nullptr; };
    return nothing;
  }
  return entry<Faulty>("faulty");
}

ZOO_REGISTER_LAYER(second) {
  if (fault("registration")) throw std::runtime_error("the registry is closed on Sundays");
  if (fault("same name twice")) return entry<Faulty>("faulty");
  if (fault("bad name")) return entry<Identity>("base+attention");
  return entry<Identity>("second");
}

ZOO_REGISTER_TASK(silence) {
  return {.name = fault("taken name") ? "mqar" : "silence",
          .description = "nothing to remember",
          .paper = "",
          .options = {},
          .make = [](const zoo::Options&) -> std::unique_ptr<zoo::Task> {
            if (fault("task exception")) throw std::runtime_error("nothing to say");
            class Silence final : public zoo::Task {
              void generate(zoo::Split, std::uint64_t, std::uint64_t, zoo::Example& example) const override {
                example.tokens.assign(1, 0);
                example.labels.assign(1, 0);
              }
              std::int64_t vocab_size() const override { return 1; }
              std::int64_t seq_len() const override { return 1; }
              std::vector<zoo::Slice> slices() const override { return {}; }
              std::string describe(const zoo::Example&) const override { return "(silence)"; }
            };
            return std::make_unique<Silence>();
          },
          .test_cases = {}};
}
