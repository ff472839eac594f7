#pragma once

namespace zoo {

/// Marks calls into libraries whose allocations are not ours to avoid (oneDNN makes a few a call), so that the test
/// that counts allocations can leave them out.
class ForeignCode {
 public:
  ForeignCode();
  ~ForeignCode();
  ForeignCode(const ForeignCode&) = delete;
  ForeignCode& operator=(const ForeignCode&) = delete;
};

/// Whether this thread is within a ForeignCode.
bool in_foreign_code();

}  // namespace zoo
