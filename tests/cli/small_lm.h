#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/cli/small_sweep.h"
#include "zoo/core/random.h"

namespace zoo::test {

// Language models of a few thousand parameters on a text of a few thousand words.
class SmallLm : public testing::Test {
 protected:
  void SetUp() override {
    for (const std::uint64_t document : {0, 1}) {
      std::ofstream file(directory_ / ("text" + std::to_string(document)));
      RandomStream random(RandomKey::of(document, "text"));
      for (int word = 0; word < 3000; ++word) file << (word % 12 == 11 ? "\n" : " ") << "word" << random.below(20);
    }
    const ProcessResult result =
        run_zoo({"lm", "prepare", "--text", directory_ / "text0", directory_ / "text1", "--tokenizer", "byte",
                 "--validation", "0.5", "--out", directory_ / "corpus"});
    ASSERT_EQ(result.exit_code, 0) << result.error;
  }

  Arguments sizes() const {
    return {"--corpus",
            directory_ / "corpus",
            "--preset",
            "tiny",
            "--blocks",
            "1",
            "--d-model",
            "16",
            "--heads",
            "2",
            "--context",
            "32",
            "--batch-tokens",
            "128",
            "--steps",
            "8",
            "--validation-tokens",
            "128",
            "--threads",
            "1"};
  }
  Arguments train(const std::string& name, const std::string& layer = "attention") const {
    return Arguments{"lm", "train", "--layer", layer, "--out", directory_ / name} + sizes();
  }
  std::string model(const std::string& run, const std::string& step = "00000008") const {
    return read_file(directory_ / (run + "/checkpoints/step-" + step + "/model.safetensors"));
  }

  TemporaryDirectory directory_;
};

}  // namespace zoo::test
