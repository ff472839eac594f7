#include "runners/lm/lm.h"

#include <span>
#include <string>

#include "runners/command_group.h"

namespace zoo {

Registry<Command>& lm_registry() {
  static Registry<Command> registry("subcommand");
  return registry;
}

namespace {

int run(std::span<const std::string> arguments) {
  return run_group({.name = "lm",
                    .description = "Full language models of any layer, under identical settings.",
                    .member = "subcommand",
                    .members = lm_registry()},
                   arguments);
}

const RegisterCommand command({.name = "lm", .help = "prepare text, train and compare language models", .run = run});

}  // namespace
}  // namespace zoo
