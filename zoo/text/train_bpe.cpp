#include "zoo/text/train_bpe.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <unordered_map>

#include "zoo/core/error.h"

namespace zoo {

namespace {

class LineIterator : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return next_ == lines_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return lines_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  std::size_t next_ = 0;
};

// The digits after the last place where `mark` stands in a message, or "".
std::string number_after(const std::string& message, const std::string& mark) {
  const std::size_t at = message.rfind(mark);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + mark.size();
  return message.substr(begin, message.find_first_not_of("0123456789", begin) - begin);
}

// What SentencePiece says is for its own command line.
[[noreturn]] void explain(std::int64_t size, const std::string& message) {
  if (const std::string least = number_after(message, "required_chars. " + std::to_string(size) + " vs ");
      !least.empty()) {
    throw UsageError("bpe:{} has too few pieces for this text: its characters and the 256 bytes take {}", size, least);
  }
  if (const std::string most = number_after(message, "set it to a value <= "); !most.empty()) {
    throw UsageError("bpe:{} has more pieces than this text makes: give at most bpe:{}, or more text", size, most);
  }
  throw UsageError("SentencePiece cannot train bpe:{} on this text: {}", size, message);
}

}  // namespace

std::string train_bpe(std::int64_t size, const std::vector<std::string>& lines) {
  std::size_t longest = 4192;  // SentencePiece's own default, and not less than the 10 that it takes at least
  for (const std::string& line : lines) longest = std::max(longest, line.size());
  const std::unordered_map<std::string, std::string> settings = {
      {"minloglevel", "3"},
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(size)},
      {"max_sentence_length", std::to_string(longest)},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"allow_whitespace_only_pieces", "true"},
      {"byte_fallback", "true"},
      {"unk_id", "0"},
      {"eos_id", "1"},
      {"bos_id", "-1"},
      {"pad_id", "-1"},
  };
  if (lines.empty()) throw UsageError("bpe:{} has no text to be trained on", size);
  LineIterator iterator(lines);
  std::string model;
  const sentencepiece::util::Status status = sentencepiece::SentencePieceTrainer::Train(settings, &iterator, &model);
  if (!status.ok()) explain(size, status.ToString());
  return model;
}

}  // namespace zoo
