// Tasks whose examples are two sequences that are read apart, and the one of them that is there: LRA Retrieval.

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "tests/cli/command.h"
#include "tests/unit/task_testing.h"
#include "zoo/train/trainer.h"

namespace zoo {
namespace {

using nlohmann::json;
using test::make_example;
using test::TemporaryDirectory;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* files[] = {"new_aan_pairs.train.tsv", "new_aan_pairs.eval.tsv", "new_aan_pairs.test.tsv"};

json options_of(const TemporaryDirectory& folder, std::int64_t seq_len) {
  return {{"data_dir", folder.path().string()}, {"seq_len", seq_len}};
}

void write_files(const TemporaryDirectory& folder, const std::string& lines) {
  for (const char* name : files) std::ofstream(folder / name, std::ios::binary) << lines;
}

// Texts of three letters, each a or b; related are those that begin alike: sixty-four pairs.
std::string letter_pairs() {
  std::string lines;
  for (int pair = 0; pair < 64; ++pair) {
    std::string texts[2];
    for (int bit = 0; bit < 6; ++bit) texts[bit / 3] += (pair >> bit & 1) != 0 ? 'b' : 'a';
    lines +=
        fmt::format("{}.0\tA{}\tB{}\t{}\t{}\n", texts[0][0] == texts[1][0] ? 1 : 0, pair, pair, texts[0], texts[1]);
  }
  return lines;
}

std::string failure(const Task& task, std::uint64_t index) {
  try {
    make_example(task, Split::train, index);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(PairTasks, RetrievalReadsLinesOfFiveColumns) {
  const TemporaryDirectory folder;
  // Nothing is special in a text but a tab and a line's end; the last line may lack its own.
  write_files(folder, "1.0\tP1\tP2\tabc\tde\"f, g\n0\tP3\tP4\t\th\xc3\xa9\r\n0.0\tP5\tP6\tlonger than T\tx");
  const auto task = make_task("lra_retrieval", options_of(folder, 5));
  EXPECT_EQ(task->seq_len(), 10);
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    EXPECT_EQ(task->example_count(split), 3u);
    const Example first = make_example(*task, split, 0), second = make_example(*task, split, 1),
                  third = make_example(*task, split, 2);
    for (const Example* example : {&first, &second, &third}) EXPECT_NO_THROW(check_example(*task, *example, 0));
    EXPECT_THAT(first.tokens,
                ElementsAre(0, 0, 'a' + 1, 'b' + 1, 'c' + 1, 'd' + 1, 'e' + 1, '"' + 1, 'f' + 1, ',' + 1));
    EXPECT_THAT(second.tokens, ElementsAre(0, 0, 0, 0, 0, 0, 0, 'h' + 1, 0xc3 + 1, 0xa9 + 1));
    EXPECT_THAT(third.tokens, ElementsAre('l' + 1, 'o' + 1, 'n' + 1, 'g' + 1, 'e' + 1, 0, 0, 0, 0, 'x' + 1));
    EXPECT_EQ(first.labels.back(), 1);
    EXPECT_EQ(second.labels.back(), 0);
    EXPECT_EQ(third.labels.back(), 0);
    EXPECT_EQ(std::ranges::count(first.labels, unlabelled), 9);
  }
  EXPECT_THAT(task->describe(make_example(*task, Split::test, 0)),
              AllOf(HasSubstr("3 bytes behind 2 of padding (0):\n  abc\n"), HasSubstr("de\"f,\n"),
                    HasSubstr("label at position 9: 1 (related)")));
}

TEST(PairTasks, RetrievalNamesTheLineThatIsWrong) {
  const TemporaryDirectory folder;
  write_files(folder, "1\tP1\tP2\ta\tb\n1\tP1\tP2\ta\n\nyes\tP1\tP2\ta\tb\n");
  const auto task = make_task("lra_retrieval", options_of(folder, 4));
  EXPECT_EQ(failure(*task, 0), "no error");
  EXPECT_THAT(failure(*task, 1), AllOf(HasSubstr("line 2 of '" + (folder / files[0]) + "' has 4 columns"),
                                       HasSubstr("LABEL, ID, ID, TEXT, TEXT with tabs between")));
  EXPECT_THAT(failure(*task, 2), HasSubstr("line 3 of"));
  EXPECT_THAT(failure(*task, 3), HasSubstr("has the label 'yes', not 0 or 1"));
  EXPECT_THAT(failure(*task, 4), HasSubstr("has no example 4; it has 4"));
  std::ofstream(folder / files[2], std::ios::trunc).close();
  EXPECT_THAT(test::refusal("lra_retrieval", options_of(folder, 4)), HasSubstr("new_aan_pairs.test.tsv' is empty"));
}

TEST(PairTasks, ABatchHoldsTheSequencesOfAPairAsNeighbours) {
  const TemporaryDirectory folder;
  write_files(folder, letter_pairs());
  const auto task = make_task("lra_retrieval", options_of(folder, 4));
  const std::uint64_t indices[] = {1, 0};
  Batch batch;
  fill_batch(*task, Split::train, 0, indices, batch);
  EXPECT_EQ(batch.batch, 4);
  EXPECT_EQ(batch.seq_len, 4);
  EXPECT_EQ(batch.an_example, 2);
  const std::int32_t a = 'a' + 1, b = 'b' + 1;
  EXPECT_THAT(batch.tokens, ElementsAre(0, b, a, a, 0, a, a, a, 0, a, a, a, 0, a, a, a));
  EXPECT_THAT(batch.rows, ElementsAre(3, 7, 11, 15));
  EXPECT_THAT(batch.offsets, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(batch.row_labels, ElementsAre(0, 1));
  EXPECT_THAT(batch.label_offsets, ElementsAre(0, 1, 2));

  // The second pair alone; then a window that ends before anything is read.
  Part part = part_of(batch, {.first = 2, .count = 2, .begin = 0, .end = 4});
  EXPECT_THAT(part.rows.indices.values<std::int32_t>(), ElementsAre(3, 7));
  EXPECT_THAT(part.answers.labels.values<std::int32_t>(), ElementsAre(1));
  EXPECT_THAT(part.positions.values<std::int32_t>(), ElementsAre(1));
  part = part_of(batch, {.first = 0, .count = 4, .begin = 0, .end = 2});
  EXPECT_EQ(part.rows.count(), 0);
  EXPECT_EQ(part.answers.labels.size(), 0);
  // However little memory there is for a part, a pair is not torn.
  EXPECT_EQ(part_size(batch, 1 << 20, 1 << 10), 2);
  EXPECT_EQ(part_size(batch, 4, 8), 4);
}

// Whether two first letters are the same is told by neither text alone: half of all answers would be right.
TEST(PairTasks, AModelLearnsWhatOnlyBothTextsTell) {
  const TemporaryDirectory folder;
  write_files(folder, letter_pairs());
  const json part = {{"examples", 64}};
  const RunSettings settings = read_settings(RunSpec{
      .subject = {{"layer", "min_gru"}, {"layer_options", json::object()}},
      .axes = {{"d_model", 32},
               {"lr", 3e-3},
               {"seed", 0},
               {"cell", {{"batch_size", 64}, {"train", {part}}, {"test", {part}}}}},
      .setting = {
          {"task", "lra_retrieval"},
          {"task_options", options_of(folder, 3)},
          {"epochs", 400},
          {"stop_accuracy", nullptr},
          {"backbone", "transformer"},
          {"backbone_options", json::object()},
          {"feed_forward", "swiglu"},
          {"feed_forward_options", json::object()},
          {"blocks", 1},
          {"optimizer", {{"name", "adamw"}, {"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-8}, {"weight_decay", 0}}},
          {"schedule", {{"name", "constant"}, {"by", "epoch"}, {"warmup", 0}, {"final", 0}}},
          {"clip", nullptr},
          {"precision", "f32"},
          {"tied_head", false}}});
  Trainer trainer(settings);
  EXPECT_EQ(settings.model.max_length, 3) << "of a sequence, not of both";
  Batch batch;
  std::vector<std::uint64_t> indices(64);
  std::iota(indices.begin(), indices.end(), 0);
  fill_batch(*settings.train[0].task, Split::train, 0, indices, batch);
  for (int step = 0; step < 400; ++step) trainer.step(batch, step);
  const Scores scores = trainer.evaluate(batch);
  EXPECT_EQ(scores.all.labelled, 64);
  EXPECT_EQ(scores.all.correct, 64);
  EXPECT_EQ(scores.sequences, 64);
  EXPECT_EQ(scores.sequences_correct, 64);
}

// What the head says depends on which text came first, as [a, b, a*b, a-b] does.
TEST(PairTasks, TheHeadReadsBothVectorsInTheirOrder) {
  HeadSpec spec{HeadKind::pair, 2};
  ModelSpec model_spec;
  model_spec.layer = "min_gru";
  model_spec.d_model = 8;
  model_spec.vocab_size = 5;
  model_spec.max_length = 3;
  model_spec.head = spec;
  const Model model(model_spec, 3);
  std::vector<float> values(16);
  std::iota(values.begin(), values.end(), -7.5F);
  const Answers answers{.labels = Tensor::from<std::int32_t>({1}, {1}), .targets = {}};
  const auto loss = [&] { return model.head().loss(Tensor::from<float>({2, 8}, values), answers).item(); };
  const double forward = loss();
  std::rotate(values.begin(), values.begin() + 8, values.end());
  EXPECT_NE(loss(), forward);
}

}  // namespace
}  // namespace zoo
