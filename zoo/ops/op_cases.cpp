#include "zoo/ops/op_cases.h"

namespace zoo {

Registry<OpEntry>& op_registry() {
  static Registry<OpEntry> registry("op");
  return registry;
}

}  // namespace zoo
