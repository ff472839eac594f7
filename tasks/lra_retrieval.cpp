// LRA Retrieval: do two papers cite each other or share a citation, from their texts, byte by byte, each read without
// sight of the other; Tay et al. 2021, "Long Range Arena", with the pairs of Radev et al. 2013. lra_retrieval.md,
// beside this file, documents it.

#include <algorithm>
#include <array>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/common/byte_text.h"
#include "tasks/common/data_file.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"
#include "zoo/core/task.h"

namespace {

using zoo::Example;
using zoo::Split;

/// A file of lines LABEL, ID, ID, TEXT, TEXT with tabs between. Where its lines begin is found when first asked for: a
/// file has more than a gigabyte.
class PairsFile {
 public:
  PairsFile(const zoo::DataSource& source, const std::string& name) : task_(source.task), file_(source, name) {
    if (file_.size() == 0) throw zoo::UsageError("task {}: '{}' is empty", task_, file_.path().string());
  }

  std::uint64_t count() const { return lines().size() - 1; }

  /// A line without its end. Throws Error when it has not five columns.
  std::array<std::string_view, 5> columns(std::uint64_t line, std::vector<std::uint8_t>& memory) const {
    memory.resize(lines()[line + 1] - lines()[line]);
    file_.read(lines()[line], memory);
    std::string_view text(reinterpret_cast<const char*>(memory.data()), memory.size());
    while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
    std::array<std::string_view, 5> columns;
    for (std::size_t column = 0; column < 4; ++column) {
      const std::size_t tab = text.find('\t');
      if (tab == std::string_view::npos) reject(line, fmt::format("has {} columns", column + 1));
      columns[column] = text.substr(0, tab);
      text.remove_prefix(tab + 1);
    }
    columns[4] = text;
    return columns;
  }

  [[noreturn]] void reject(std::uint64_t line, const std::string& what) const {
    throw zoo::Error("task {}: line {} of '{}' {}; a line must be LABEL, ID, ID, TEXT, TEXT with tabs between", task_,
                     line + 1, file_.path().string(), what);
  }

 private:
  /// Where each line begins, and where the file ends.
  const std::vector<std::uint64_t>& lines() const {
    std::call_once(indexed_, [this] {
      std::vector<std::uint8_t> piece(std::size_t{1} << 20);
      lines_.push_back(0);
      for (std::uint64_t begin = 0; begin < file_.size(); begin += piece.size()) {
        piece.resize(std::min<std::uint64_t>(piece.size(), file_.size() - begin));
        file_.read(begin, piece);
        for (auto at = piece.begin(); (at = std::find(at, piece.end(), '\n')) != piece.end();) {
          lines_.push_back(begin + static_cast<std::uint64_t>(++at - piece.begin()));
        }
      }
      if (lines_.back() != file_.size()) lines_.push_back(file_.size());  // the last line has no end
    });
    return lines_;
  }

  std::string task_;
  zoo::DataFile file_;
  mutable std::once_flag indexed_;
  mutable std::vector<std::uint64_t> lines_;
};

class LraRetrieval final : public zoo::Task {
 public:
  explicit LraRetrieval(const zoo::Options& options)
      : seq_len_(options.integer("seq_len")),
        source_{"lra_retrieval", options.text("data_dir"),
                "new_aan_pairs.train.tsv, new_aan_pairs.eval.tsv and new_aan_pairs.test.tsv",
                "https://storage.googleapis.com/long-range-arena/lra_release.gz (lra_release/lra_release/tsv_data)"} {}

  void generate(Split split, std::uint64_t, std::uint64_t index, Example& example) const override {
    check_example_index(*this, split, index);
    static thread_local std::vector<std::uint8_t> memory;
    const PairsFile& file = file_of(split);
    const auto columns = file.columns(index, memory);
    const bool related = columns[0] == "1" || columns[0] == "1.0";
    if (!related && columns[0] != "0" && columns[0] != "0.0") {
      file.reject(index, fmt::format("has the label '{}', not 0 or 1", columns[0].substr(0, 20)));
    }
    const auto length = static_cast<std::size_t>(seq_len_);
    example.tokens.assign(2 * length, zoo::tasks::byte_padding);
    example.labels.assign(2 * length, zoo::unlabelled);
    example.labels.back() = related ? 1 : 0;
    for (std::size_t which = 0; which < 2; ++which) {
      const std::string_view text = columns[3 + which].substr(0, length);
      const auto end = example.tokens.begin() + static_cast<std::ptrdiff_t>((which + 1) * length);
      std::ranges::transform(text, end - std::ssize(text), zoo::tasks::byte_token);
    }
  }

  std::int64_t vocab_size() const override { return zoo::tasks::byte_vocabulary; }
  std::int64_t seq_len() const override { return 2 * seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}}; }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::pair, 2}; }
  std::optional<std::uint64_t> example_count(Split split) const override { return file_of(split).count(); }

  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    const auto length = static_cast<std::size_t>(seq_len_);
    std::string description = fmt::format("two texts of at most {} bytes, token = byte + 1:\n", seq_len_);
    for (std::size_t which = 0; which < 2; ++which) {
      const std::string text = zoo::tasks::readable_bytes(std::span(example.tokens).subspan(which * length, length));
      description += fmt::format("{} bytes behind {} of padding (0):\n  {}\n", text.size(), length - text.size(), text);
    }
    return description + fmt::format("label at position {}: {}\n", seq_len() - 1,
                                     example.labels.back() == 1 ? "1 (related)" : "0 (not related)");
  }

 private:
  const PairsFile& file_of(Split split) const { return files_[static_cast<std::size_t>(split)]; }

  std::int64_t seq_len_;
  zoo::DataSource source_;
  std::array<PairsFile, 3> files_ = {PairsFile(source_, "new_aan_pairs.train.tsv"),
                                     PairsFile(source_, "new_aan_pairs.eval.tsv"),
                                     PairsFile(source_, "new_aan_pairs.test.tsv")};
};

}  // namespace

ZOO_REGISTER_TASK(lra_retrieval) {
  zoo::OptionSchema options;
  options.text("data_dir", "data/lra_retrieval", "folder of the pairs of papers")
      .integer("seq_len", 4000, {1, 1 << 20}, "length T of each of the two texts; longer ones are cut");
  return {.name = "lra_retrieval",
          .description = "whether two papers are related, from their texts read apart (reads the user's files)",
          .paper = "Tay et al. 2021, Long Range Arena; Radev et al. 2013, The ACL Anthology Network corpus",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<LraRetrieval>(given); },
          .test_cases = {},
          .needs_files = true};
}
