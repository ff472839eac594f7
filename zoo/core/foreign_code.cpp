#include "zoo/core/foreign_code.h"

namespace zoo {

namespace {
thread_local int depth = 0;
}

ForeignCode::ForeignCode() {
  ++depth;
}

ForeignCode::~ForeignCode() {
  --depth;
}

bool in_foreign_code() {
  return depth > 0;
}

}  // namespace zoo
