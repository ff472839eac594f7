#pragma once

namespace zoo::test {

/// Whether this is a build with ThreadSanitizer, which keeps its own records in files: where files must not grow, a
/// process of it ends by a signal as soon as it has much to record.
inline constexpr bool thread_sanitizer =
#if defined(__SANITIZE_THREAD__)
    true;
#elif defined(__has_feature)
    __has_feature(thread_sanitizer);
#else
    false;
#endif

}  // namespace zoo::test
