// What every registered task must keep to, at each of its test cases. A test case needs enough different examples that
// none comes twice among a few thousand.

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <latch>
#include <map>
#include <ostream>
#include <set>
#include <thread>
#include <utility>

#include "tests/unit/example_hash.h"
#include "zoo/core/task.h"

namespace zoo {
namespace {

constexpr Split all_splits[] = {Split::train, Split::validation, Split::test};

struct Case {
  std::string task;
  std::size_t number;
};

void PrintTo(const Case& tested, std::ostream* out) {
  *out << tested.task << " with test_cases[" << tested.number << "]";
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const TaskEntry& entry : task_registry().entries()) {
    for (std::size_t i = 0; i < entry.test_cases.size(); ++i) cases.push_back({entry.name, i});
  }
  return cases;
}

class TaskConformance : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const nlohmann::json& options = task_registry().get(GetParam().task).test_cases[GetParam().number];
    SCOPED_TRACE(options.dump());
    ASSERT_TRUE(options.is_object());
    task_ = make_task(GetParam().task, options);
  }

  Example example(Split split, std::uint64_t seed, std::uint64_t index) const {
    Example made;
    task_->generate(split, seed, index, made);
    return made;
  }

  std::unique_ptr<Task> task_;
};

TEST_P(TaskConformance, ExamplesAreOfTheLengthAndVocabularyPromised) {
  ASSERT_GE(task_->seq_len(), 1);
  ASSERT_GE(task_->head().outputs, 1);
  std::set<std::int32_t> groups;
  for (const Split split : all_splits) {
    for (std::uint64_t index = 0; index < 300; ++index) {
      const Example made = example(split, 3, index);
      ASSERT_NO_THROW(check_example(*task_, made, index));
      ASSERT_TRUE(std::ranges::any_of(made.labels, [](std::int32_t label) { return label != unlabelled; }))
          << "nothing to learn in example " << index;
      for (std::size_t t = 0; t < made.groups.size(); ++t) {
        if (made.labels[t] != unlabelled) groups.insert(made.groups[t]);
      }
    }
  }
  // Some may be rare, as great distances are.
  EXPECT_GE(groups.size(), std::min<std::size_t>(2, task_->groups().size())) << "all labels are in one group";
}

TEST_P(TaskConformance, AnExampleIsTheSameWheneverItIsMade) {
  const std::uint64_t indices[] = {0, 1, 2, 3, 1000, 999'999'999'999, UINT64_MAX};
  for (const Split split : all_splits) {
    std::vector<Example> forward, backward;
    for (const std::uint64_t index : indices) forward.push_back(example(split, 1, index));
    std::ranges::for_each(std::rbegin(indices), std::rend(indices),
                          [&](std::uint64_t index) { backward.push_back(example(split, 1, index)); });
    std::ranges::reverse(backward);
    EXPECT_TRUE(forward == backward);
  }
  const auto again = make_task(GetParam().task, task_registry().get(GetParam().task).test_cases[GetParam().number]);
  Example made;
  again->generate(Split::train, 1, 5, made);
  EXPECT_TRUE(made == example(Split::train, 1, 5));
}

TEST_P(TaskConformance, EveryElementIsWrittenWhateverWasThere) {
  const auto length = static_cast<std::size_t>(task_->seq_len());
  for (const std::size_t size : {std::size_t{0}, length / 2, length, 3 * length}) {
    // What the task uses holds something else; what it does not use is empty.
    const auto spoil = [&](auto& values) {
      if (!values.empty()) values.assign(size, 77'777);
    };
    Example reused = example(Split::test, 2, 11);
    for (auto* values : {&reused.tokens, &reused.labels, &reused.groups}) spoil(*values);
    for (auto* values : {&reused.reals, &reused.targets}) spoil(*values);
    task_->generate(Split::test, 2, 11, reused);
    EXPECT_TRUE(reused == example(Split::test, 2, 11)) << size;
    const std::int32_t *tokens = reused.tokens.data(), *labels = reused.labels.data();
    task_->generate(Split::test, 2, 12, reused);
    EXPECT_EQ(reused.tokens.data(), tokens) << "the memory of tokens must be reused";
    EXPECT_EQ(reused.labels.data(), labels) << "the memory of labels must be reused";
  }
}

TEST_P(TaskConformance, SplitsAndSeedsShareNoExample) {
  std::map<std::string, std::string> seen;  // by hash: all examples themselves would take too much memory
  for (const std::uint64_t seed : {0, 1}) {
    for (const Split split : all_splits) {
      for (std::uint64_t index = 0; index < 2000; ++index) {
        const std::string name =
            std::to_string(index) + " of " + std::string(split_name(split)) + ", seed " + std::to_string(seed);
        test::ExampleHash hash;
        hash.add(example(split, seed, index));
        const auto [other, is_new] = seen.emplace(hash.text(), name);
        ASSERT_TRUE(is_new) << "examples " << other->second << " and " << name << " are equal";
      }
    }
  }
}

TEST_P(TaskConformance, ThreadsAgree) {
  constexpr std::uint64_t count = 300;
  std::vector<Example> expected(count);
  for (std::uint64_t i = 0; i < count; ++i) expected[i] = example(Split::train, 4, i);
  // Long enough, from a common start, that both threads are in the task at once, other examples in each.
  const std::uint64_t rounds = std::max<std::uint64_t>(3, 5000 / static_cast<std::uint64_t>(task_->seq_len()));
  std::latch start(2);
  std::atomic<std::int64_t> wrong = 0;
  const auto check = [&](std::uint64_t first) {
    start.arrive_and_wait();
    Example made;
    for (std::uint64_t i = 0; i < rounds * count; ++i) {
      const std::uint64_t index = (first + i) % count;
      task_->generate(Split::train, 4, index, made);
      if (made != expected[index]) ++wrong;
    }
  };
  std::thread first(check, 0), second(check, count / 2);
  first.join();
  second.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(TaskConformance, DescribesItsExamplesAndSlices) {
  const std::string text = task_->describe(example(Split::train, 0, 0));
  EXPECT_FALSE(text.empty());
  EXPECT_NE(text, task_->describe(example(Split::train, 0, 1)));
  std::set<std::string> names;
  for (const Slice& slice : task_->slices()) {
    EXPECT_FALSE(slice.name.empty());
    EXPECT_TRUE(names.insert(slice.name).second) << slice.name << " is there twice";
  }
}

// Counts of labels, and the most frequent one.
class LabelCounts {
 public:
  void add(std::int32_t label) { ++counts_[label]; }
  bool contains(std::int32_t label) const { return counts_.contains(label); }
  std::int64_t count(std::int32_t label) const { return contains(label) ? counts_.at(label) : 0; }
  // The label with the greatest value of `weight`, the smallest such label; unlabelled when there are none.
  template <typename Weight>
  std::int32_t best(const Weight& weight) const {
    std::int32_t best = unlabelled;
    for (const auto& [label, count] : counts_) {
      if (best == unlabelled || weight(label) > weight(best)) best = label;
    }
    return best;
  }

 private:
  std::map<std::int32_t, std::int64_t> counts_;
};

// A model that knows only the position predicts there the label most frequent in validation, whose labels are those of
// test in kind. It must not beat the same model which ignores how frequent labels are at that position, but for which
// of them are possible there.
TEST_P(TaskConformance, ThePositionDoesNotTellTheAnswer) {
  constexpr std::uint64_t count = 3000;
  const auto length = static_cast<std::size_t>(task_->seq_len());
  std::vector<LabelCounts> at(length);
  LabelCounts everywhere;
  Example made;
  for (std::uint64_t index = 0; index < count; ++index) {
    task_->generate(Split::validation, 0, index, made);
    for (std::size_t t = 0; t < length; ++t) {
      if (made.labels[t] == unlabelled) continue;
      at[t].add(made.labels[t]);
      everywhere.add(made.labels[t]);
    }
  }
  std::vector<std::int32_t> by_position, by_frequency;
  for (const LabelCounts& here : at) {
    by_position.push_back(here.best([&](std::int32_t label) { return here.count(label); }));
    by_frequency.push_back(here.best([&](std::int32_t label) { return everywhere.count(label); }));
  }
  double labelled = 0, position_correct = 0, frequency_correct = 0;
  for (std::uint64_t index = 0; index < count; ++index) {
    task_->generate(Split::test, 0, index, made);
    for (std::size_t t = 0; t < length; ++t) {
      if (made.labels[t] == unlabelled) continue;
      ++labelled;
      position_correct += made.labels[t] == by_position[t];
      frequency_correct += made.labels[t] == by_frequency[t];
    }
  }
  // Both counts scatter by about the square root of what is expected; five such deviations, and a few for small counts.
  const double allowed = frequency_correct + 5 * std::sqrt(2 * frequency_correct) + 10;
  EXPECT_LE(position_correct, allowed) << "of " << labelled << " labelled positions";
}

// What a model knows without the sequence it reads: nothing, the token it reads, or the position.
struct Contextless {
  static constexpr const char* names[] = {"nothing", "the current token", "the position"};
  std::map<std::pair<int, std::int64_t>, LabelCounts> counts;

  // The head of a decoder stands on the last position, whichever position it answers for.
  template <typename Visit>
  static void visit(const Task& task, const Example& example, const Visit& label_at) {
    for (std::size_t t = 0; t < example.labels.size(); ++t) {
      if (example.labels[t] == unlabelled) continue;
      const std::int64_t token = example.tokens.empty()                  ? 0
                                 : task.head().kind == HeadKind::decoder ? example.tokens.back()
                                                                         : example.tokens[t];
      const std::int64_t known[] = {0, token, static_cast<std::int64_t>(t)};
      for (int what = 0; what < 3; ++what) label_at(std::pair(what, known[what]), example.labels[t]);
    }
  }
};

// Nor may a model that ignores the context answer well: one that says what was most frequent, of all, after the current
// token, or at the position, misses a quarter of the labels or more. Every label counts the same, however frequent, so
// that a task may label much that is easy. Labels of train may differ in kind, so validation is learned from, too.
TEST_P(TaskConformance, AModelThatIgnoresTheContextFails) {
  if (task_->head().kind == HeadKind::regression) return;  // has targets instead
  constexpr std::uint64_t count = 500;
  Example made;
  for (const Split learned : {Split::train, Split::validation}) {
    Contextless model;
    for (std::uint64_t index = 0; index < count; ++index) {
      task_->generate(learned, 0, index, made);
      Contextless::visit(*task_, made, [&](auto known, std::int32_t label) { model.counts[known].add(label); });
    }
    std::map<std::pair<int, std::int64_t>, std::int32_t> answers;
    for (const auto& [known, labels] : model.counts) {
      answers[known] = labels.best([&labels = labels](std::int32_t label) { return labels.count(label); });
    }
    struct Score {
      double correct = 0, count = 0;
    };
    std::map<std::int32_t, Score> scores[3];
    for (std::uint64_t index = 0; index < count; ++index) {
      task_->generate(Split::test, 0, index, made);
      Contextless::visit(*task_, made, [&](auto known, std::int32_t label) {
        Score& score = scores[known.first][label];
        ++score.count;
        if (answers.contains(known)) score.correct += answers[known] == label;
      });
    }
    for (int what = 0; what < 3; ++what) {
      double sum = 0;
      for (const auto& [label, score] : scores[what]) sum += score.correct / score.count;
      EXPECT_LE(sum / static_cast<double>(scores[what].size()), 0.75)
          << "of the labels are known from " << Contextless::names[what] << ", as learned from " << split_name(learned);
    }
  }
}

// The same for numbers: the mean target of a position must not be much nearer than the mean of all.
TEST_P(TaskConformance, ThePositionDoesNotTellTheTarget) {
  if (task_->head().kind != HeadKind::regression) return;  // has labels instead
  struct Mean {
    double sum = 0, count = 0;
    void add(double value) { sum += value, ++count; }
    double squared_error(double value) const { return (value - sum / count) * (value - sum / count); }
  };
  std::map<std::size_t, Mean> at;
  Mean all;
  const auto visit = [&](Split split, const auto& target_at) {
    Example made;
    for (std::uint64_t index = 0; index < 3000; ++index) {
      task_->generate(split, 0, index, made);
      for (std::size_t t = 0; t < made.labels.size(); ++t) {
        if (made.labels[t] != unlabelled) target_at(t, made.targets[t]);
      }
    }
  };
  visit(Split::train, [&](std::size_t t, double target) {
    at[t].add(target);
    all.add(target);
  });
  double from_position = 0, from_nothing = 0;
  visit(Split::test, [&](std::size_t t, double target) {
    ASSERT_TRUE(at.contains(t)) << t;
    from_position += at[t].squared_error(target);
    from_nothing += all.squared_error(target);
  });
  EXPECT_GT(from_nothing, 0) << "all targets are equal";
  EXPECT_GE(from_position, 0.75 * from_nothing);
}

INSTANTIATE_TEST_SUITE_P(Registered, TaskConformance, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& tested) {
                           return tested.param.task + "_" + std::to_string(tested.param.number);
                         });

TEST(TaskRegistry, EveryTaskIsDescribedAndHasTestCases) {
  EXPECT_FALSE(task_registry().entries().empty());
  for (const TaskEntry& entry : task_registry().entries()) {
    EXPECT_EQ(entry.test_cases.empty(), entry.needs_files) << entry.name;
    EXPECT_FALSE(entry.description.empty()) << entry.name;
    for (const OptionSpec& option : entry.options.specs()) {
      EXPECT_FALSE(option.help.empty()) << option.name;
      // Texts are names of the user's own files.
      const bool tested = std::ranges::any_of(entry.test_cases, [&](const nlohmann::json& options) {
        return options.contains(option.name) && options[option.name] != option.default_value;
      });
      EXPECT_TRUE(tested || option.type == OptionType::text || entry.needs_files)
          << "no test case of " << entry.name << " sets " << option.name;
    }
  }
}

}  // namespace
}  // namespace zoo
