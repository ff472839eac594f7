#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zoo {

/// The sizes that train_bpe() takes: 256 bytes, <unk>, </s> and a piece are the least.
inline constexpr std::int64_t least_bpe_size = 259;
inline constexpr std::int64_t largest_bpe_size = 1'000'000;

/// Trains a SentencePiece model of byte-pair encoding (Sennrich, Haddow and Birch 2016, "Neural machine translation of
/// rare words with subword units") with `size` pieces on lines of text without their ends, and returns the content of
/// its .model file. Equal lines give an equal model. Text is left as it is: no normalisation, no prefix, white space
/// kept, runs of spaces may be pieces; a character without a piece is its bytes, so that no text is unknown. Throws
/// UsageError when this text does not make a model of this size.
std::string train_bpe(std::int64_t size, const std::vector<std::string>& lines);

}  // namespace zoo
