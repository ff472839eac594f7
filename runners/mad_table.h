#pragma once

#include <span>
#include <string>

#include "zoo/io/store.h"

namespace zoo {

/// The table of the MAD paper (Poli et al. 2024, table 1): a row a layer and width, a column a task, and their average.
/// A task's figure is the mean over its variants of the class accuracy (mean over classes of the accuracy on each) on
/// the test split, at the learning rate and weight decay that are best on the validation split, means over seeds; in
/// brackets the plain accuracy. A run that diverged counts as 0; variants that have no ended run are left out, and
/// marked.
std::string mad_table(std::span<const Run> runs);

}  // namespace zoo
