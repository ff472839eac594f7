#pragma once

#include <string>
#include <vector>

#include "zoo/sweep/cells.h"

namespace zoo {

/// One task of MAD (Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures", section 3 and appendix
/// B.1) with its variants: the task as it stands first, then each with one variable changed.
struct MadTask {
  std::string name;
  std::vector<CellPart> variants;  ///< options that differ from the task's own, and the number of training examples
};

/// The six tasks with the published variants, or `quick`, each as it stands alone.
std::vector<MadTask> mad_grid(bool quick);

}  // namespace zoo
