#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/command.h"
#include "zoo/io/store.h"

namespace zoo::test {

using Arguments = std::vector<std::string>;

inline Arguments operator+(Arguments first, const Arguments& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// Real sweeps, as small as they can be.
class SmallSweep : public testing::Test {
 protected:
  // Four runs in all: two layers at two learning rates.
  Arguments sweep(const std::string& name = "runs") const {
    return Arguments{"recall",
                     "--layers",
                     "attention,base_conv",
                     "--d-model",
                     "16",
                     "--lr",
                     "0.01,0.001",
                     "--vocab-size",
                     "32",
                     "--seq-len",
                     "16",
                     "--kv-pairs",
                     "2",
                     "--epochs",
                     "3",
                     "--train-examples",
                     "48",
                     "--test-examples",
                     "16",
                     "--batch-size",
                     "16",
                     "--workers",
                     "2",
                     "--store",
                     store(name),
                     "--out",
                     directory_ / (name + ".out")};
  }
  // The same with enough epochs to be caught at work.
  Arguments long_sweep(const std::string& name) const {
    Arguments arguments = sweep(name);
    *std::next(std::ranges::find(arguments, "--epochs")) = "24";
    *std::next(std::ranges::find(arguments, "--train-examples")) = "256";
    return arguments + Arguments{"--stop-accuracy", "none"};
  }
  std::string store(const std::string& name = "runs") const { return directory_ / (name + ".db"); }
  std::vector<zoo::Run> runs(const std::string& name = "runs") const {
    return Store(store(name), Store::Mode::read).runs();
  }

  // results.csv without the column of times: `,seconds,status,mqar,"{...}",` and two figures, of which only the slice
  // holds commas; it is quoted.
  std::string results(const std::string& name = "runs") const {
    std::istringstream lines(read_file(directory_ / (name + ".out/results.csv")));
    std::string all;
    for (std::string line; std::getline(lines, line);) {
      const auto task = line.rfind(',', line.rfind(",\"{") - 1);
      const auto status = line.rfind(',', task - 1);
      const auto seconds = line.rfind(',', status - 1);
      all += line.substr(0, seconds) + line.substr(status) + "\n";
    }
    return all;
  }

  TemporaryDirectory directory_;
};

}  // namespace zoo::test
