#include "zoo/lm/generate.h"

#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/core/tape.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

// A prompt is read in pieces, so that its activations do not all live at once.
constexpr std::int64_t longest_piece = 2048;

// The logits [B,V] after a chunk of tokens [B,T].
Tensor last_logits(const Model& model, const Tensor& tokens, ModelState& state) {
  const std::int64_t B = tokens.dim(0), T = tokens.dim(1);
  Rows rows{.indices = Tensor::empty({B}, DType::i32), .offsets = Tensor::empty({B + 1}, DType::i32)};
  for (std::int64_t b = 0; b <= B; ++b) {
    if (b < B) rows.indices.data<std::int32_t>()[b] = static_cast<std::int32_t>(b * T + T - 1);
    rows.offsets.data<std::int32_t>()[b] = static_cast<std::int32_t>(b);
  }
  const Tensor hidden = model.forward(tokens, state, {.rows = &rows});
  return ops::linear(hidden, model.head().weight());
}

Tensor piece_of(const std::vector<std::vector<std::int32_t>>& prompts, std::int64_t begin, std::int64_t end) {
  Tensor tokens = Tensor::empty({std::ssize(prompts), end - begin}, DType::i32);
  auto* to = tokens.data<std::int32_t>();
  for (const auto& prompt : prompts) to = std::copy(prompt.begin() + begin, prompt.begin() + end, to);
  return tokens;
}

}  // namespace

std::vector<std::vector<std::int32_t>> generate(const Model& model,
                                                const std::vector<std::vector<std::int32_t>>& prompts,
                                                std::span<const std::uint64_t> numbers, const GenerateOptions& options,
                                                const std::function<void(std::size_t, std::int32_t)>& token) {
  const NoTape off;
  const std::size_t count = prompts.size();
  std::vector<std::vector<std::int32_t>> texts(count);
  if (count == 0 || options.max_tokens == 0) return texts;
  const std::int64_t length = std::ssize(prompts.front());
  if (length == 0) throw UsageError("the prompt is empty; give it at least one token");
  if (std::ranges::any_of(prompts, [&](const auto& prompt) { return std::ssize(prompt) != length; })) {
    throw Error("prompts that are read together must be of one length");
  }
  check_sampling(options.sampling);

  ModelState state = model.initial_state(static_cast<std::int64_t>(count));
  Tensor logits;
  for (std::int64_t begin = 0; begin < length; begin += longest_piece) {
    logits = last_logits(model, piece_of(prompts, begin, std::min(begin + longest_piece, length)), state);
  }
  std::vector<std::vector<std::int32_t>> seen = prompts;
  std::vector<std::uint8_t> ended(count, 0);
  for (std::int64_t made = 0; made < options.max_tokens; ++made) {
    Tensor next = Tensor::empty({std::ssize(prompts), 1}, DType::i32);
    const std::int64_t vocab = logits.dim(1);
    for (std::size_t i = 0; i < count; ++i) {
      std::int32_t chosen = seen[i].back();  // of a text that has ended: whatever, its row goes on unread
      if (ended[i] == 0) {
        RandomStream random(
            RandomKey::of(options.seed, "generate").fold(numbers[i]).fold(static_cast<std::uint64_t>(made)));
        const std::span row(logits.data<float>() + static_cast<std::int64_t>(i) * vocab,
                            static_cast<std::size_t>(vocab));
        chosen = sample(row, seen[i], options.sampling, random);
        if (token) token(i, chosen);
        ended[i] = chosen == options.end ? 1 : 0;
        if (ended[i] == 0) {
          texts[i].push_back(chosen);
          seen[i].push_back(chosen);
        }
      }
      next.data<std::int32_t>()[i] = chosen;
    }
    if (std::ranges::count(ended, 0) == 0 || made + 1 == options.max_tokens) break;
    logits = last_logits(model, next, state);
  }
  return texts;
}

}  // namespace zoo
