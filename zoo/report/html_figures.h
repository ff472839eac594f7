#pragma once

#include <functional>
#include <span>
#include <string>

#include "zoo/report/plots.h"

namespace zoo::report {

/// Draws figures, and goes on without plots when that fails.
class FigureWriter {
 public:
  /// `warn` is told once when plots cannot be drawn, and must outlive this.
  explicit FigureWriter(const std::function<void(const std::string&)>& warn) : warn_(warn) {}

  /// Figures as <figure> elements with titles of this heading level, those that are not open inside <details>. The
  /// first that cannot be drawn has the reason in its place.
  std::string write(std::span<const Figure> figures, const Styles& styles, int heading);

 private:
  std::vector<std::string> draw(std::span<const Figure> figures);

  const std::function<void(const std::string&)>& warn_;
  int count_ = 0;
  std::string failure_;
};

}  // namespace zoo::report
