#include <gmock/gmock.h>

#include "tests/cli/command.h"
#include "zoo/io/tensor_file.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

/// On a small Llama of transformers with a vocabulary of 31, and what transformers made of 2 sequences of 37 tokens.
class LmLogits : public testing::Test {
 protected:
  LmLogits() { write_tensors(input_, std::vector<NamedTensor>{{"tokens", read_tensor(answer_, "tokens")}}); }

  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"lm",      "logits", "--checkpoint", checkpoint_,
                                    "--input", input_,   "--output",     output_};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  void expect_refused(const std::vector<std::string>& all, const std::string& words) const {
    const ProcessResult result = run_zoo(all);
    EXPECT_EQ(result.exit_code, 2) << words;
    EXPECT_THAT(result.output, IsEmpty());
    EXPECT_THAT(result.error, HasSubstr(words));
    EXPECT_FALSE(std::filesystem::exists(output_)) << words;
  }
  void expect_tokens_refused(const Tensor& tokens, const std::string& words) const {
    write_tensors(input_, std::vector<NamedTensor>{{"tokens", tokens}});
    expect_refused(arguments(), words);
  }
  double difference() const {
    const Tensor logits = read_tensor(SafetensorsFile(output_), "logits").to(DType::f64);
    const Tensor expected = read_tensor(answer_, "logits").to(DType::f64);
    EXPECT_EQ(logits.shape(), expected.shape());
    double largest = 0;
    for (std::int64_t i = 0; i < logits.size(); ++i) {
      largest = std::max(largest, std::abs(logits.data<double>()[i] - expected.data<double>()[i]));
    }
    return largest;
  }

  std::string checkpoint_ = std::string(ZOO_SOURCE) + "/tests/golden/lm/llama_grouped";
  SafetensorsFile answer_{checkpoint_ + "/answer.safetensors"};
  TemporaryDirectory folder_;
  std::string input_ = folder_ / "tokens.safetensors";
  std::string output_ = folder_ / "logits.safetensors";
};

// The tolerance of tests/golden/pretrained_test.cpp.
TEST_F(LmLogits, AreTheReferencesHoweverTheTokensAreCut) {
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{}, {"--chunks", "5,1,7,24"}, {"--dtype", "f64"}}) {
    const ProcessResult result = run_zoo(arguments(more));
    ASSERT_EQ(result.exit_code, 0) << result.error;
    EXPECT_THAT(result.output, IsEmpty());
    EXPECT_LT(difference(), 2e-5);
  }
}

TEST_F(LmLogits, AreThoseOfTheExportedModel) {
  const std::string exported = folder_ / "some/folder";
  const ProcessResult result = run_zoo({"lm", "export", "--from", checkpoint_, "--out", exported});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  ASSERT_EQ(run_zoo(arguments()).exit_code, 0);
  const std::string before = read_file(output_);
  checkpoint_ = exported;
  ASSERT_EQ(run_zoo(arguments()).exit_code, 0);
  EXPECT_EQ(read_file(output_), before);
  EXPECT_EQ(run_zoo({"lm", "export", "--from", checkpoint_, "--out", "/dev/null/folder"}).exit_code, 1);
  EXPECT_EQ(run_zoo({"lm", "export", "--from", checkpoint_}).exit_code, 2);
  EXPECT_EQ(run_zoo({"lm", "export", "--from", folder_ / "nowhere", "--out", exported}).exit_code, 2);
}

TEST_F(LmLogits, RefuseTokensThatAreNone) {
  expect_tokens_refused(Tensor::from<std::int32_t>({1, 3}, {0, 31, 1}),
                        "token [0, 1] is 31; the model's vocabulary goes");
  expect_tokens_refused(Tensor::from<std::int32_t>({2, 1}, {0, -1}), "token [1, 0] is -1");
  expect_tokens_refused(Tensor::empty({2, 0}, DType::i32), "is [2, 0]; expected [B, T], neither of them 0");
  expect_tokens_refused(Tensor::zeros({3}, DType::i32), "is [3]; expected [B, T]");
  expect_tokens_refused(Tensor::zeros({1, 3}), "has dtype F32; expected I32 or I64");
  write_tensors(input_, std::vector<NamedTensor>{{"token", Tensor::zeros({1, 3}, DType::i32)}});
  expect_refused(arguments(), "did you mean 'token'");
}

TEST_F(LmLogits, WrongUsage) {
  expect_refused(arguments({"--chunks", "5,1"}), "--chunks 5,1 does not add up to the length of the tokens, 37");
  expect_refused(arguments({"--chunks", "30,9223372036854775807,7"}), "does not add up");
  expect_refused(arguments({"--dtype", "bf16"}), "--dtype is 'bf16'");
  expect_refused({"lm", "logits", "--input", input_, "--output", output_}, "--checkpoint is missing");
  checkpoint_ = folder_ / "nowhere";
  expect_refused(arguments(), "nowhere");
  EXPECT_EQ(run_zoo({"lm", "logits", "--help"}).exit_code, 0);
  EXPECT_THAT(run_zoo({"lm", "--help"}).output, AllOf(HasSubstr("logits"), HasSubstr("export")));
}

}  // namespace
}  // namespace zoo::test
