#include "zoo/check/conformance.h"

#include <gmock/gmock.h>

#include "zoo/core/parallel.h"
#include "zoo/core/plugin.h"

namespace zoo::test {
namespace {

/// One check of one registered layer or feed-forward, over all of its test cases.
struct CheckOfLayer {
  const LayerEntry* entry;
  std::string check;

  // What ctest lists instead of the bytes.
  friend std::ostream& operator<<(std::ostream& out, const CheckOfLayer& one) {
    return out << one.entry->name << " " << one.check;
  }
};

std::vector<CheckOfLayer> all_checks() {
  std::vector<CheckOfLayer> all;
  for (const Registry<LayerEntry>* registry : {&layer_registry(), &feed_forward_registry()}) {
    for (const LayerEntry& entry : registry->entries()) {
      for (const CheckDescription& check : conformance_checks()) all.push_back({&entry, std::string(check.name)});
    }
  }
  return all;
}

class Conformance : public testing::TestWithParam<CheckOfLayer> {};

TEST_P(Conformance, Holds) {
  CheckOptions options;
  options.only_checks = {GetParam().check};
  bool skipped = true;
  std::string reason;
  for (const Finding& finding : check_layer(*GetParam().entry, options)) {
    EXPECT_NE(finding.outcome, Outcome::failed)
        << "case " << finding.case_number << ", d_model " << finding.layer_case.d_model << ", options "
        << finding.layer_case.options << ":\n"
        << finding.message << "\nmeasured " << finding.measured << ", bound " << finding.bound;
    skipped &= finding.outcome == Outcome::skipped;
    reason = finding.message;
  }
  if (skipped) GTEST_SKIP() << reason;
}

std::string name_of(const testing::TestParamInfo<CheckOfLayer>& test) {
  return test.param.entry->name + "_" + test.param.check;
}
INSTANTIATE_TEST_SUITE_P(All, Conformance, testing::ValuesIn(all_checks()), name_of);

}  // namespace
}  // namespace zoo::test

// Tests over a registry are made when GoogleTest starts, so the registries are filled before. One thread: ctest runs
// several tests at a time.
int main(int argc, char** argv) {
  zoo::set_threads(1);
  zoo::register_builtin();
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
