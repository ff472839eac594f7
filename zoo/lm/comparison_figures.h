#pragma once

#include <span>
#include <vector>

#include "zoo/lm/comparison.h"
#include "zoo/report/plots.h"

namespace zoo {

/// The plots of a comparison: the loss against tokens, training FLOPs and wall time (training loss, averaged over
/// neighbouring steps, and validation loss), and perplexity by the position in the context. Lines are means over seeds.
std::vector<report::Figure> lm_figures(std::span<const LmSubject> subjects, const report::Styles& styles);

}  // namespace zoo
