#include <gmock/gmock.h>

#include <cmath>

#include "tests/cli/small_sweep.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Reproduce = SmallSweep;

TEST_F(Reproduce, IsEqualToItsRecord) {
  ASSERT_EQ(run_zoo(sweep()).exit_code, 0);
  for (const zoo::Run& run : runs()) {
    const ProcessResult result = run_zoo({"reproduce", run.id, "--store", store()});
    EXPECT_EQ(result.exit_code, 0) << result.output << result.error;
    EXPECT_THAT(result.output,
                AllOf(HasSubstr(run.id), HasSubstr("equal, bit for bit"), Not(HasSubstr("environment"))));
  }
}

TEST_F(Reproduce, TellsWhatDiffers) {
  ASSERT_EQ(run_zoo(sweep()).exit_code, 0);
  const zoo::Run run = runs().front();
  {
    Store writable(store());
    std::vector<SliceResult> slices = run.slices;
    slices[0].loss = std::nextafter(slices[0].loss, 100);
    writable.finish(run.id, run.status, run.message, run.summary, slices);
  }
  const ProcessResult result = run_zoo({"reproduce", run.id, "--store", store()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("1 figures differ"), HasSubstr("loss"), HasSubstr("environment is the same")));
}

TEST_F(Reproduce, WrongUse) {
  ASSERT_EQ(run_zoo(sweep()).exit_code, 0);
  std::string typo = runs().front().id;
  typo.back() = typo.back() == '0' ? '1' : '0';
  const ProcessResult unknown = run_zoo({"reproduce", typo, "--store", store()});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.error, HasSubstr("did you mean '" + runs().front().id + "'"));
  EXPECT_EQ(run_zoo({"reproduce", "--store", store()}).exit_code, 2);
  EXPECT_EQ(run_zoo({"reproduce", typo, "--store", directory_ / "none.db"}).exit_code, 2);
  EXPECT_EQ(run_zoo({"reproduce", typo, "--stor", store()}).exit_code, 2);
}

}  // namespace
}  // namespace zoo::test
