#include <gmock/gmock.h>

#include "zoo/core/plugin.h"

// Tests that run over a registry are made when GoogleTest starts, so the registries are filled before.
int main(int argc, char** argv) {
  zoo::register_builtin();
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
