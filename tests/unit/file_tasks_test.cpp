// The tasks that read the user's files, on files of the right format and size that hold little: sparse ones.

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/cli/command.h"
#include "zoo/core/error.h"
#include "zoo/core/task.h"

namespace zoo {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::TemporaryDirectory;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

using Bytes = std::vector<std::uint8_t>;

// Writes bytes at an offset of a file that is `size` long, zero where nothing was written.
void write_sparse(const std::string& path, std::uint64_t size, std::uint64_t offset, const Bytes& bytes) {
  if (!fs::exists(path)) std::ofstream(path, std::ios::binary);
  fs::resize_file(path, size);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good()) << path;
}

Example make_example(const Task& task, Split split, std::uint64_t index) {
  Example example;
  task.generate(split, 0, index, example);
  check_example(task, example, index);
  Example again;
  task.generate(split, 1, index, again);
  EXPECT_TRUE(example == again) << "the data does not depend on the seed";
  EXPECT_FALSE(task.describe(example).empty());
  return example;
}

std::string refusal(const std::string& task, const json& options) {
  try {
    make_task(task, options);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

std::string failure(const Task& task, Split split, std::uint64_t index) {
  try {
    Example example;
    task.generate(split, 0, index, example);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(FileTasks, CountTheirExamples) {
  struct Two final : Task {
    void generate(Split, std::uint64_t, std::uint64_t, Example&) const override {}
    std::int64_t vocab_size() const override { return 1; }
    std::int64_t seq_len() const override { return 1; }
    std::vector<Slice> slices() const override { return {}; }
    std::optional<std::uint64_t> example_count(Split) const override { return 2; }
    std::string describe(const Example&) const override { return ""; }
  } two;
  EXPECT_NO_THROW(check_example_count(two, Split::test, 2));
  EXPECT_THROW(check_example_count(two, Split::test, 3), UsageError);
  EXPECT_NO_THROW(check_example_index(two, Split::test, 1));
  EXPECT_THROW(check_example_index(two, Split::test, 2), Error);
  EXPECT_EQ(make_task("parity", {})->example_count(Split::train), std::nullopt);
}

TEST(FileTasks, AMissingFolderSaysWhatBelongsThereAndWhereToGetIt) {
  const TemporaryDirectory folder;
  for (const TaskEntry& entry : task_registry().entries()) {
    if (!entry.needs_files) continue;
    const std::string message = refusal(entry.name, {{"data_dir", folder / "none"}});
    EXPECT_THAT(message, AllOf(HasSubstr("task " + entry.name), HasSubstr(folder / "none"), HasSubstr("No such file"),
                               HasSubstr("data_dir must hold "), HasSubstr("https://")));
  }
}

constexpr std::uint64_t batch_bytes = 10'000 * 3073;

// Batch k's first record is of label k; its red is 10 k, green 20 k, blue the position in the row.
void write_cifar(const TemporaryDirectory& folder) {
  for (std::uint8_t k = 1; k <= 6; ++k) {
    Bytes record(3073, 10);
    record[0] = k;
    std::fill_n(record.begin() + 1, 1024, static_cast<std::uint8_t>(10 * k));
    std::fill_n(record.begin() + 1 + 1024, 1024, static_cast<std::uint8_t>(20 * k));
    for (std::size_t i = 0; i < 1024; ++i) record[1 + 2048 + i] = static_cast<std::uint8_t>(i % 32);
    const std::string name = k == 6 ? "test_batch.bin" : fmt::format("data_batch_{}.bin", k);
    write_sparse(folder / name, batch_bytes, 0, record);
    // Validation begins in the middle of the last training batch.
    if (k == 5) write_sparse(folder / name, batch_bytes, 5000 * 3073, record);
  }
}

TEST(FileTasks, CifarIsReadInGreyAndInColour) {
  const TemporaryDirectory folder;
  write_cifar(folder);
  const auto grey = make_task("lra_image", {{"data_dir", folder.path().string()}});
  const auto colour = make_task("sequential_cifar", {{"data_dir", folder.path().string()}});
  for (const Task* task : {grey.get(), colour.get()}) {
    EXPECT_EQ(task->example_count(Split::train), 45'000u);
    EXPECT_EQ(task->example_count(Split::validation), 5'000u);
    EXPECT_EQ(task->example_count(Split::test), 10'000u);
    EXPECT_THAT(failure(*task, Split::train, 45'000), HasSubstr("the train split has no example 45000; it has 45000"));
  }
  struct Place {
    Split split;
    std::uint64_t index;
    int batch;
  };
  for (const auto& [split, index, batch] : {Place{Split::train, 0, 1},
                                            {Split::train, 10'000, 2},
                                            {Split::train, 40'000, 5},
                                            {Split::validation, 0, 5},
                                            {Split::test, 0, 6}}) {
    const Example tokens = make_example(*grey, split, index), reals = make_example(*colour, split, index);
    for (int i = 0; i < 1024; ++i) {
      const int luma = (299 * 10 * batch + 587 * 20 * batch + 114 * (i % 32)) / 1000;
      ASSERT_EQ(tokens.tokens[static_cast<std::size_t>(i)], luma);
      const float* pixel = &reals.reals[static_cast<std::size_t>(3 * i)];
      ASSERT_EQ(pixel[0], static_cast<float>(10 * batch) / 255);
      ASSERT_EQ(pixel[1], static_cast<float>(20 * batch) / 255);
      ASSERT_EQ(pixel[2], static_cast<float>(i % 32) / 255);
    }
    for (const Example* example : {&tokens, &reals}) {
      ASSERT_EQ(example->labels.back(), batch);
      ASSERT_EQ(std::ranges::count(example->labels, unlabelled), 1023);
    }
  }
  write_sparse(folder / "test_batch.bin", batch_bytes, 3073, {11});
  EXPECT_THAT(failure(*grey, Split::test, 1), AllOf(HasSubstr("record 1 of"), HasSubstr("label 11")));
  fs::resize_file(folder / "test_batch.bin", 3073);
  EXPECT_THAT(failure(*grey, Split::test, 1), HasSubstr("ends at byte 3073; it had 30730000 bytes when it was opened"));
}

TEST(FileTasks, ATruncatedBatchIsNamedWithItsSizeAndTheSizeExpected) {
  const TemporaryDirectory folder;
  write_cifar(folder);
  fs::resize_file(folder / "data_batch_3.bin", 1000);
  EXPECT_THAT(
      refusal("lra_image", {{"data_dir", folder.path().string()}}),
      AllOf(HasSubstr("data_batch_3.bin' has 1000 bytes; a batch of CIFAR-10 has 30730000: the file is truncated"),
            HasSubstr("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz")));
  fs::remove(folder / "data_batch_2.bin");
  EXPECT_THAT(refusal("lra_image", {{"data_dir", folder.path().string()}}),
              AllOf(HasSubstr("cannot read '" + (folder / "data_batch_2.bin") + "': No such file"),
                    HasSubstr("data_batch_1.bin to data_batch_5.bin and test_batch.bin")));
}

Bytes idx_header(std::uint32_t items, bool pictures) {
  Bytes header = {0, 0, 8, static_cast<std::uint8_t>(pictures ? 3 : 1)};
  const auto add = [&](std::uint32_t value) {
    for (const int shift : {24, 16, 8, 0}) header.push_back(static_cast<std::uint8_t>(value >> shift));
  };
  add(items);
  if (pictures) add(28), add(28);
  return header;
}

// Picture i holds i in its pixel i and is labelled i % 10.
void write_mnist(const TemporaryDirectory& folder, const std::string& prefix, std::uint8_t items) {
  Bytes pictures = idx_header(items, true), labels = idx_header(items, false);
  for (std::uint8_t i = 0; i < items; ++i) {
    Bytes picture(784, 0);
    picture[i] = i;
    pictures.insert(pictures.end(), picture.begin(), picture.end());
    labels.push_back(i % 10);
  }
  write_sparse(folder / (prefix + "-images-idx3-ubyte"), pictures.size(), 0, pictures);
  write_sparse(folder / (prefix + "-labels-idx1-ubyte"), labels.size(), 0, labels);
}

TEST(FileTasks, MnistIsReadFromIdxFiles) {
  const TemporaryDirectory folder;
  write_mnist(folder, "train", 60);
  write_mnist(folder, "t10k", 20);
  const json options = {{"data_dir", folder.path().string()}};
  const auto task = make_task("sequential_mnist", options);
  EXPECT_EQ(task->example_count(Split::train), 55u);
  EXPECT_EQ(task->example_count(Split::validation), 5u);
  EXPECT_EQ(task->example_count(Split::test), 20u);
  struct Place {
    Split split;
    std::uint64_t index;
    std::size_t item;
  };
  for (const auto& [split, index, item] :
       {Place{Split::train, 54, 54}, {Split::validation, 0, 55}, {Split::validation, 4, 59}, {Split::test, 19, 19}}) {
    const Example example = make_example(*task, split, index);
    for (std::size_t i = 0; i < 784; ++i) ASSERT_EQ(example.reals[i], i == item ? static_cast<float>(item) / 255 : 0);
    EXPECT_EQ(example.labels.back(), static_cast<int>(item % 10));
  }
  EXPECT_THAT(failure(*task, Split::test, 20), HasSubstr("no example 20"));

  json permuted = options;
  permuted["permuted"] = true;
  const auto other = make_task("sequential_mnist", permuted);
  std::set<std::size_t> places;
  for (std::uint64_t index = 1; index < 55; ++index) {
    const Example example = make_example(*other, Split::train, index);
    EXPECT_EQ(std::ranges::count(example.reals, 0.f), 783);
    const auto lit = std::ranges::find_if(example.reals, [](float value) { return value > 0; });
    places.insert(static_cast<std::size_t>(lit - example.reals.begin()));
  }
  EXPECT_EQ(places.size(), 54u) << "another place for each pixel";
  EXPECT_GT(*places.rbegin(), 400u) << "pixels of the first two rows are spread";
}

TEST(FileTasks, BrokenIdxFilesAreNamedWithWhatIsWrong) {
  const TemporaryDirectory folder;
  const json options = {{"data_dir", folder.path().string()}};
  write_mnist(folder, "train", 60);
  write_mnist(folder, "t10k", 20);
  const std::string images = folder / "train-images-idx3-ubyte";
  const auto message = [&] { return refusal("sequential_mnist", options); };
  fs::resize_file(images, 5000);
  EXPECT_THAT(message(),
              HasSubstr("has 5000 bytes; what its header tells of (60 x 28 x 28) has 47056: the file is truncated"));
  fs::resize_file(images, 5);
  EXPECT_THAT(message(), HasSubstr("has 5 bytes; an IDX file's header alone has 16: the file is truncated"));
  write_sparse(images, 5000, 0, {'<', 'h', 't', 'm'});
  EXPECT_THAT(message(), HasSubstr("begins with the bytes 3c 68 74 6d; an IDX file of bytes with 3 dimensions begins "
                                   "with 00 00 08 03"));
  fs::remove(images);
  write_sparse(images + ".gz", 10, 0, {31, 139});
  EXPECT_THAT(message(), HasSubstr("it is there packed: unpack it with  gunzip -k '" + images + ".gz'"));
  write_mnist(folder, "train", 61);
  write_sparse(folder / "train-labels-idx1-ubyte", 8 + 60, 0, idx_header(60, false));
  EXPECT_THAT(message(), HasSubstr("61 pictures"));
}

// One review of its own at the beginning and the end of each kind; the others are one file under many names.
void write_reviews(const fs::path& folder, const std::string& kind) {
  fs::create_directories(folder / kind);
  const fs::path shared = folder / kind / "1_1.txt";
  std::ofstream(shared) << "the same";
  for (int i = 0; i < 12'500; ++i) {
    const fs::path name = folder / kind / fmt::format("{}_7.txt", i);
    if (i == 0 || i == 12'499) {
      std::ofstream(name) << kind << ' ' << i;
    } else {
      fs::create_hard_link(shared, name);
    }
  }
  fs::remove(shared);
}

std::string text_of(const Example& example) {
  std::string text;
  for (const std::int32_t token : example.tokens) {
    if (token != 0) text += static_cast<char>(token - 1);
  }
  return text;
}

TEST(FileTasks, ReviewsAreReadByteByByte) {
  const TemporaryDirectory folder;
  for (const char* kind : {"neg", "pos"}) write_reviews(folder.path() / "train", kind);
  fs::create_directory_symlink(folder.path() / "train", folder.path() / "test");
  const json options = {{"data_dir", folder.path().string()}, {"seq_len", 12}};
  const auto task = make_task("lra_text", options);
  EXPECT_EQ(task->example_count(Split::train), 22'500u);
  EXPECT_EQ(task->example_count(Split::validation), 2'500u);
  EXPECT_EQ(task->example_count(Split::test), 25'000u);
  const std::vector<std::tuple<Split, std::uint64_t, std::string>> expected = {
      {Split::train, 0, "neg 0"},         {Split::train, 1, "pos 0"},         {Split::train, 2, "the same"},
      {Split::train, 22'499, "the same"}, {Split::validation, 0, "the same"}, {Split::validation, 2'498, "neg 12499"},
      {Split::test, 24'999, "pos 12499"}};
  for (const auto& [split, index, text] : expected) {
    const Example example = make_example(*task, split, index);
    EXPECT_EQ(text_of(example), text);
    EXPECT_EQ(example.labels[text.size() - 1], static_cast<int>(index % 2));
    EXPECT_EQ(std::ranges::count(example.labels, unlabelled), 11);
    EXPECT_THAT(std::span(example.tokens).subspan(text.size()), Each(0));
  }
  json cut = options;
  cut["seq_len"] = 4;
  EXPECT_EQ(text_of(make_example(*make_task("lra_text", cut), Split::train, 2)), "the ");

  fs::remove(folder.path() / "train/pos/77_7.txt");
  EXPECT_THAT(refusal("lra_text", options),
              AllOf(HasSubstr("train/pos' holds 12499 reviews (NUMBER_RATING.txt); there must be 12500"),
                    HasSubstr("aclImdb_v1.tar.gz")));
}

}  // namespace
}  // namespace zoo
