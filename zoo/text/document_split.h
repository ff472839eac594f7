#pragma once

#include <cstdint>

#include "zoo/core/task.h"

namespace zoo {

/// Which documents of a text are for validation: each with probability `fraction`, drawn by its index and a seed. Of
/// two or more documents at least one is for validation (unless the fraction is 0) and at least one for training.
class DocumentSplit {
 public:
  DocumentSplit(double fraction, std::uint64_t seed, std::int64_t documents);

  Split of(std::int64_t document) const;

 private:
  double draw(std::int64_t document) const;

  double fraction_;
  std::uint64_t seed_;
  std::int64_t always_train_ = -1;
  std::int64_t always_validation_ = -1;
};

}  // namespace zoo
