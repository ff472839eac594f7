#include "zoo/core/error.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace zoo {

namespace {

/// Insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

/// Case and the choice between - and _ are the likeliest slips: they cost nothing.
std::string folded(std::string_view name) {
  std::string text(name);
  std::ranges::transform(text, text.begin(), [](char letter) {
    return letter == '-' ? '_' : letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return text;
}

}  // namespace

std::string nearest_name(std::string_view name, std::span<const std::string> candidates) {
  constexpr std::size_t longest = 64;  // no name is longer; a pasted page is not a typo
  if (name.empty() || name.size() > longest) return "";
  const std::string wanted = folded(name);
  std::string nearest;
  std::size_t least = 0;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, folded(candidate));
    // One slip in a name of up to 4 letters, two up to 8, three in longer ones.
    const std::size_t likely = std::min<std::size_t>(3, (std::max(name.size(), candidate.size()) + 3) / 4);
    if (distance > likely || distance >= wanted.size() || (!nearest.empty() && distance >= least)) continue;
    nearest = candidate;
    least = distance;
  }
  return nearest;
}

std::string unknown_name_message(std::string_view kind, std::string_view name,
                                 std::span<const std::string> candidates) {
  std::string message = fmt::format("unknown {} '{}'", kind, name);
  if (const std::string nearest = nearest_name(name, candidates); nearest.empty()) {
    message.push_back('.');
  } else {
    message.append(fmt::format("; did you mean '{}'?", nearest));
  }
  message.append(candidates.empty() ? " There are none." : fmt::format(" Known: {}", fmt::join(candidates, ", ")));
  return message;
}

}  // namespace zoo
