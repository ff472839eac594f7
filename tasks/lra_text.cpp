// LRA Text: the sentiment of IMDb reviews, byte by byte; Tay et al. 2021, "Long Range Arena", with the reviews of Maas
// et al. 2011. lra_text.md, beside this file, documents it.

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "tasks/common/byte_text.h"
#include "tasks/common/data_file.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"
#include "zoo/core/task.h"

namespace {

using zoo::Example;
using zoo::Split;
namespace fs = std::filesystem;

constexpr std::size_t reviews_of_a_kind = 12'500, validation_of_a_kind = 1'250;

/// The names of the reviews of one kind in the order of their numbers: reviews of a film are neighbours.
std::vector<std::string> review_names(const zoo::DataSource& source, const fs::path& folder) {
  std::vector<std::pair<std::uint64_t, std::string>> found;
  std::error_code error;
  for (fs::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    const std::string name = file->path().filename().string();
    const bool is_review = file->path().extension() == ".txt" && name[0] >= '0' && name[0] <= '9';
    if (is_review) found.emplace_back(std::strtoull(name.c_str(), nullptr, 10), name);
  }
  if (error) {
    throw zoo::UsageError("task {}: cannot read '{}': {}; {}", source.task, folder.string(), error.message(),
                          source.advice());
  }
  if (found.size() != reviews_of_a_kind) {
    throw zoo::UsageError("task {}: '{}' holds {} reviews (NUMBER_RATING.txt); there must be {}; {}", source.task,
                          folder.string(), found.size(), reviews_of_a_kind, source.advice());
  }
  std::ranges::sort(found);
  std::vector<std::string> names;
  for (auto& [number, name] : found) names.push_back(std::move(name));
  return names;
}

class LraText final : public zoo::Task {
 public:
  explicit LraText(const zoo::Options& options)
      : seq_len_(options.integer("seq_len")),
        source_{"lra_text", options.text("data_dir"), "train/pos, train/neg, test/pos and test/neg",
                "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"} {
    for (std::size_t part = 0; part < 2; ++part) {
      for (std::size_t kind = 0; kind < 2; ++kind) names_[part][kind] = review_names(source_, folder(part, kind));
    }
  }

  void generate(Split split, std::uint64_t, std::uint64_t index, Example& example) const override {
    check_example_index(*this, split, index);
    // Kinds alternate, so that the first examples of a split have as many of each.
    const std::size_t kind = index % 2, part = split == Split::test ? 1 : 0;
    const std::size_t review = index / 2 + (split == Split::validation ? reviews_of_a_kind - validation_of_a_kind : 0);
    const zoo::DataSource folder_source{source_.task, folder(part, kind), source_.expected, source_.address};
    const zoo::DataFile file(folder_source, names_[part][kind][review]);
    if (file.size() == 0) throw zoo::Error("task lra_text: the review '{}' is empty", file.path().string());

    static thread_local std::vector<std::uint8_t> bytes;
    const auto length = static_cast<std::size_t>(seq_len_);
    bytes.resize(std::min<std::size_t>(length, file.size()));
    file.read(0, bytes);
    example.tokens.assign(length, zoo::tasks::byte_padding);
    std::ranges::transform(bytes, example.tokens.begin(), zoo::tasks::byte_token);
    example.labels.assign(length, zoo::unlabelled);
    example.labels[bytes.size() - 1] = static_cast<std::int32_t>(kind);
  }

  std::int64_t vocab_size() const override { return zoo::tasks::byte_vocabulary; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}}; }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::classes, 2}; }
  std::optional<std::uint64_t> example_count(Split split) const override {
    return 2 * (split == Split::train        ? reviews_of_a_kind - validation_of_a_kind
                : split == Split::validation ? validation_of_a_kind
                                             : reviews_of_a_kind);
  }

  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    const std::string text = zoo::tasks::readable_bytes(example.tokens);
    const std::size_t last = text.size() - 1;
    return fmt::format("{} bytes, token = byte + 1; {} of padding (0) follow:\n  {}\nlabel at position {}: {}\n",
                       last + 1, example.tokens.size() - last - 1, text, last,
                       example.labels[last] == 1 ? "1 (positive)" : "0 (negative)");
  }

 private:
  fs::path folder(std::size_t part, std::size_t kind) const {
    return source_.folder / (part == 0 ? "train" : "test") / (kind == 0 ? "neg" : "pos");
  }

  std::int64_t seq_len_;
  zoo::DataSource source_;
  std::array<std::array<std::vector<std::string>, 2>, 2> names_;  // [train or test][neg or pos]
};

}  // namespace

ZOO_REGISTER_TASK(lra_text) {
  zoo::OptionSchema options;
  options.text("data_dir", "data/aclImdb", "folder of the IMDb reviews")
      .integer("seq_len", 4096, {1, 1 << 20}, "length T of an example; longer reviews are cut");
  return {.name = "lra_text",
          .description = "sentiment of IMDb reviews, byte by byte (reads the user's files)",
          .paper = "Tay et al. 2021, Long Range Arena; Maas et al. 2011, Learning Word Vectors for Sentiment Analysis",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<LraText>(given); },
          .test_cases = {},
          .needs_files = true};
}
