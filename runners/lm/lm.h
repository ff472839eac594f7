#pragma once

#include <utility>

#include "runners/command.h"

namespace zoo {

/// What `zoo lm` can do: `zoo lm NAME` runs the entry with the arguments after its name.
Registry<Command>& lm_registry();

/// Registers a subcommand of `zoo lm` from the file that defines it, as RegisterCommand does one of `zoo`.
struct RegisterLm {
  explicit RegisterLm(Command command) { lm_registry().add(std::move(command)); }
};

}  // namespace zoo
