#include "zoo/text/tokenizer_choice.h"

#include <filesystem>

#include "zoo/core/error.h"
#include "zoo/text/byte_tokenizer.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

TokenizerChoice::TokenizerChoice(const std::string& name) : name_(name) {
  if (name == "byte") {
    given_ = std::make_shared<ByteTokenizer>();
  } else {
    throw UsageError(
        "--tokenizer is '{}'; it must be byte, bpe:SIZE (a size such as 8192) or sentencepiece:MODEL (a "
        "file)",
        name);
  }
}

std::string TokenizerChoice::record() const {
  return name_;
}

std::unique_ptr<Tokenizer> TokenizerChoice::make(const PrepareSettings& settings, const PrepareRecord&,
                                                 const SplitReader::Settings&, const PrepareObserver&) const {
  const std::string file = settings.out + "/" + tokenizer_file_name;
  if (!std::filesystem::exists(file)) given_->save(settings.out);
  return load_tokenizer(settings.out);
}

}  // namespace zoo
