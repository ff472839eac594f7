#include "zoo/text/tokenizer.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "zoo/core/error.h"
#include "zoo/io/atomic_file.h"
#include "zoo/text/byte_tokenizer.h"
#include "zoo/text/json_file.h"
#include "zoo/text/sentencepiece_tokenizer.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

namespace {

constexpr int tokenizer_version = 1;

}  // namespace

void write_tokenizer_file(const std::string& folder, const nlohmann::json& content) {
  nlohmann::json all = content;
  all["format"] = "zoo tokenizer";
  all["version"] = tokenizer_version;
  write_file_atomically(folder + "/" + tokenizer_file_name, all.dump(2) + "\n");
}

std::string digest(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

void check_token(const Tokenizer& tokenizer, std::int32_t token) {
  if (token >= 0 && token < tokenizer.vocab_size()) return;
  throw UsageError("{} is no token of {}: its tokens are 0 to {}", token, tokenizer.name(), tokenizer.vocab_size() - 1);
}

std::string tokenizer_digest(const std::string& folder) {
  const JsonFile file(folder + "/" + tokenizer_file_name, "zoo tokenizer", tokenizer_version);
  const std::string type = file.text("type");
  return digest(type == "byte" ? type : type + " " + file.text("model_hash"));
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& folder) {
  const JsonFile file(folder + "/" + tokenizer_file_name, "zoo tokenizer", tokenizer_version);
  const std::string type = file.text("type");
  if (type == "byte") return std::make_unique<ByteTokenizer>();
  if (type == "bpe" || type == "sentencepiece") {
    const std::string path = folder + "/" + tokenizer_model_name;
    std::string model = read_model(path);
    if (digest(model) != file.text("model_hash")) {
      throw UsageError("'{}' is damaged: it is not the model that '{}' was written with", path, file.path());
    }
    return std::make_unique<SentencePieceTokenizer>(
        file.text("name"), type == "bpe" ? ModelOrigin::trained : ModelOrigin::given, std::move(model), path);
  }
  throw UsageError("'{}' has the tokenizer type '{}', which this zoo does not know", file.path(), type);
}

}  // namespace zoo
