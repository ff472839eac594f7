#include <gmock/gmock.h>

#include <map>

#include "tests/cli/background.h"
#include "tests/cli/command.h"
#include "zoo/text/corpus.h"

namespace zoo::test {
namespace {

namespace fs = std::filesystem;

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class LmPrepare : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) const {
    write_file(directory_ / name, text);
    return directory_ / name;
  }
  std::string out(const std::string& name = "corpus") const { return directory_ / name; }
  ProcessResult prepare(const Arguments& text, const Arguments& more = {}, const std::string& to = "corpus") const {
    return run_zoo(
        Arguments{"lm", "prepare", "--out", out(to), "--text"} + text +
        (std::ranges::find(more, "--tokenizer") == more.end() ? Arguments{"--tokenizer", "byte"} : Arguments{}) + more);
  }
  void expect_usage_error(const ProcessResult& result, const std::string& words) const {
    EXPECT_EQ(result.exit_code, 2) << result.error;
    EXPECT_THAT(result.error, HasSubstr(words));
    EXPECT_THAT(result.output, IsEmpty());
  }

  TemporaryDirectory directory_;
};

std::map<std::string, std::string> content(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    // The command's words have the folder's name in them.
    if (entry.path().extension() != ".json") files[entry.path().filename().string()] = read_file(entry.path());
  }
  return files;
}

TEST_F(LmPrepare, MakesACorpusOfOneFileAndSaysHowItIsSplit) {
  const std::string text = file("book.txt", "a first line\nand a second\nand the last one\n");
  const ProcessResult result = prepare({text});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.error, HasSubstr("the text is one document: the last 5% of it are for validation"));
  EXPECT_THAT(result.output, AllOf(HasSubstr("train       1 documents, 26 bytes, 27 tokens"),
                                   HasSubstr("validation  1 documents, 17 bytes, 18 tokens"), HasSubstr("hash")));
  const ProcessResult again = prepare({text});
  EXPECT_EQ(again.exit_code, 0) << again.error;
  EXPECT_THAT(again.output, HasSubstr("was made before"));
  const ProcessResult checked = run_zoo({"lm", "prepare", "--check", out()});
  EXPECT_EQ(checked.exit_code, 0) << checked.error;
  EXPECT_THAT(checked.output, HasSubstr("is whole: 27 train tokens, 18 validation tokens"));
}

TEST_F(LmPrepare, SubwordsAndAModelOfTheUsersOwn) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "the number " + std::to_string(i) + " is a number\n";
  const ProcessResult trained = prepare({file("a", text), file("b", text)}, {"--tokenizer", "bpe:320"});
  ASSERT_EQ(trained.exit_code, 0) << trained.error;
  EXPECT_THAT(trained.error, Not(AnyOf(HasSubstr("LOG("), HasSubstr("trainer"), HasSubstr(".cc"))));
  const ProcessResult given = prepare({directory_ / "a", directory_ / "b"},
                                      {"--tokenizer", "sentencepiece:" + out() + "/tokenizer.model"}, "given");
  ASSERT_EQ(given.exit_code, 0) << given.error;
  EXPECT_EQ(content(out("given")), content(out()));
  EXPECT_EQ(Corpus(out("given")).tokenizer().name(), "sentencepiece:tokenizer.model");
}

TEST_F(LmPrepare, InvalidUtf8IsRefusedWithItsPlaceOrReplaced) {
  const std::string good = file("good.txt", std::string(3000000, 'x'));
  const std::string bad = file("bad.txt", std::string(2000000, 'y') + "\xE9t\xE9 and more\n");
  expect_usage_error(prepare({good, bad}), "bad.txt' is not valid UTF-8 at byte 2000000 (0xE9)");
  EXPECT_FALSE(fs::exists(out()));
  EXPECT_EQ(prepare({good, bad}, {"--lossy"}).exit_code, 0);
  const Corpus corpus(out());
  EXPECT_EQ(corpus.bytes(Split::train) + corpus.bytes(Split::validation), 3000000 + 2000000 + 3 + 1 + 3 + 10);
  expect_usage_error(prepare({file("wide.txt", std::string("\xFF\xFEh\0i\0", 6))}, {}, "other"), "iconv -f UTF-16");
}

TEST_F(LmPrepare, WrongArgumentsAreExplained) {
  const std::string text = file("text", "some text\nof two lines\n");
  expect_usage_error(run_zoo({"lm", "prepare"}), "needs --text");
  expect_usage_error(run_zoo({"lm", "prepare", "--text", text, "--out", out()}), "needs --tokenizer");
  expect_usage_error(prepare({text}, {"--validaton", "0.1"}), "did you mean");
  for (const std::string bad : {"1", "-0.1", "1.5", "nan", "x"}) {
    expect_usage_error(prepare({text}, {"--validation", bad}), "--validation");
  }
  for (const std::string bad : {"", "bytes", "bpe", "bpe:", "bpe:0", "bpe:10", "bpe:x", "bpe:1e9", "bpe:1000000000",
                                "sentencepiece:", "sentencepiece:/none.model"}) {
    expect_usage_error(prepare({text}, {"--tokenizer", bad}), "");
  }
  expect_usage_error(prepare({text}, {"--tokenizer", "bpe:260"}), "too few pieces for this text");
  expect_usage_error(prepare({text}, {"--tokenizer", "bpe:60000"}), "give at most bpe:");
  expect_usage_error(prepare({text}, {"--tokenizer", "sentencepiece:" + text}), "is not a SentencePiece model");
  expect_usage_error(prepare({text}, {"--separator", "a\nb"}), "--separator");
  expect_usage_error(prepare({text}, {"--shard-tokens", "0"}), "--shard-tokens");
  expect_usage_error(prepare({text}, {"--seed", "-1"}), "--seed");
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(LmPrepare, TextThatCannotBeReadIsNamed) {
  const std::string text = file("text", "some text\nof two lines\n");
  expect_usage_error(prepare({text, directory_ / "none"}), "none': No such file");
  expect_usage_error(prepare({directory_.path()}), "it is a folder; give the files in it");
  expect_usage_error(prepare({"/dev/zero"}), "not a regular file");
  expect_usage_error(prepare({file("empty", ""), file("empty too", "")}), "there is no text");
  expect_usage_error(prepare({file("ends", "--\n--\n")}, {"--separator", "--"}), "there is no text");
  expect_usage_error(prepare({file("short", "abc")}), "too little");
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(LmPrepare, AFolderOfSomethingElseIsLeftAlone) {
  const std::string text = file("text", "some text\nof two lines\n");
  fs::create_directory(out());
  write_file(out() + "/notes", "mine");
  expect_usage_error(prepare({text}), "('notes') is no corpus");
  EXPECT_EQ(read_file(out() + "/notes"), "mine");
  expect_usage_error(prepare({text}, {}, "text"), "give another --out");
  expect_usage_error(prepare({text}, {}, "text/below"), "give another --out");
  expect_usage_error(run_zoo({"lm", "prepare", "--check", out()}), "is not a corpus");
}

TEST_F(LmPrepare, OtherArgumentsOrOtherTextAreToldApart) {
  const std::string text = file("text", "some text\nof two lines\n");
  ASSERT_EQ(prepare({text}).exit_code, 0);
  expect_usage_error(prepare({text}, {"--seed", "1"}), "was begun with --seed '0', and '1' is given");
  expect_usage_error(prepare({text}, {"--separator", "x"}), "--separator none, and 'x' is given");
  expect_usage_error(prepare({text}, {"--tokenizer", "bpe:280"}), "--tokenizer 'byte', and 'bpe:280' is given");
  expect_usage_error(prepare({text, text}), "was begun with 1 text files, and 2 are given");
  write_file(text, "some text\nof two lines\n");
  EXPECT_EQ(prepare({text}).exit_code, 0) << "the same text written again is the same text";
  write_file(text, "some text\nof TWO lines\n");
  expect_usage_error(prepare({text}), "was begun with another content");
  write_file(text, "some text\nof two lines\nand a third\n");
  expect_usage_error(prepare({text}), "had 23 bytes");
}

TEST_F(LmPrepare, KilledAtAnyMomentItEndsWithTheSameFiles) {
  std::string text;
  for (int i = 0; text.size() < 3000000; ++i) text += std::to_string(i) + " is a line of this text\n";
  const std::string path = file("text", text);
  const Arguments more = {"--shard-tokens", "150000", "--validation", "0.1"};
  ASSERT_EQ(prepare({path}, more, "whole").exit_code, 0);
  const Arguments words = Arguments{"lm", "prepare", "--out", out(), "--text", path, "--tokenizer", "byte"} + more;
  int killed = 0;
  for (const std::string& awaited : {std::string("prepare.json"), std::string("tokenizer.json"),
                                     std::string("train-00000.tokens.part"), std::string("train-00004.tokens"),
                                     std::string("train-00011.tokens.part"), std::string("validation-00001.tokens")}) {
    Background process(words, directory_ / "errors");
    int code = 1;
    if (wait_for([&] { return fs::exists(out() + "/" + awaited) || fs::exists(out() + "/corpus.json"); })) {
      process.send(SIGKILL);
      code = process.wait();
    }
    killed += code == -SIGKILL ? 1 : 0;
    EXPECT_THAT(code, AnyOf(0, -SIGKILL)) << process.errors();
    if (!fs::exists(out() + "/corpus.json")) {
      expect_usage_error(run_zoo({"lm", "prepare", "--check", out()}), "with the same arguments goes on with it");
    }
  }
  EXPECT_GE(killed, 1);
  const ProcessResult last = run_zoo(words);
  EXPECT_EQ(last.exit_code, 0) << last.error;
  EXPECT_EQ(content(out()), content(out("whole")));
  EXPECT_EQ(Corpus(out()).hash(), Corpus(out("whole")).hash());
  EXPECT_FALSE(fs::exists(out() + "/progress.json"));
}

TEST_F(LmPrepare, AFullDiskIsSaidAndTheNextCallGoesOn) {
  const std::string path = file("text", std::string(3000000, 'x'));
  const Arguments words = {"lm", "prepare", "--out", out(), "--text", path, "--tokenizer", "byte"};
  // A limit on the size of files is refused in the same way; its signal is ignored, as a full disk sends none.
  Arguments limited = {"/bin/sh", "-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"", ZOO_COMMAND};
  const ProcessResult full = run_process({.arguments = limited + words});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.error, AllOf(HasSubstr("cannot write"), HasSubstr("with the same arguments goes on")));
  const ProcessResult next = run_zoo(words);
  EXPECT_EQ(next.exit_code, 0) << next.error;
  EXPECT_EQ(run_zoo({"lm", "prepare", "--check", out()}).exit_code, 0);
}

TEST_F(LmPrepare, DamageIsFoundByCheck) {
  ASSERT_EQ(prepare({file("text", "some text\nof two lines\n")}).exit_code, 0);
  std::string shard = read_file(out() + "/train-00000.tokens");
  shard[64] = 'X';
  write_file(out() + "/train-00000.tokens", shard);
  expect_usage_error(run_zoo({"lm", "prepare", "--check", out()}), "train-00000.tokens' is damaged");
}

TEST_F(LmPrepare, TwoAtOnceDoNotShareAFolder) {
  std::string text(8000000, 'x');
  const std::string path = file("text", text);
  const Arguments words = {"lm",          "prepare", "--out",          out(),   "--text", path,
                           "--tokenizer", "byte",    "--shard-tokens", "100000"};
  Background first(words, directory_ / "errors");
  ASSERT_TRUE(wait_for([&] { return fs::exists(out()); }));
  const ProcessResult second = run_zoo(words);
  const int code = first.wait();
  // Whoever came first makes it; the other waits for nothing, and is refused unless all was done already.
  EXPECT_TRUE(code == 0 || second.exit_code == 0) << first.errors() << second.error;
  for (const auto& [exit_code, error] : {std::pair{code, first.errors()}, std::pair{second.exit_code, second.error}}) {
    EXPECT_THAT(exit_code, AnyOf(0, 2)) << error;
    if (exit_code == 2) {
      EXPECT_THAT(error, HasSubstr("another zoo lm prepare is at work"));
    }
  }
}

}  // namespace
}  // namespace zoo::test
