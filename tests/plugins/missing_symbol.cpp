#include <zoo/core/plugin.h>

int never_defined();

ZOO_REGISTER_LAYER(missing_symbol) {
  return {.name = "missing_symbol",
          .description = std::to_string(never_defined()),
          .paper = "",
          .options = {},
          .make = {},
          .test_cases = {}};
}
