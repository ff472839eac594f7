#include "zoo/io/safetensors.h"

#include <gmock/gmock.h>

#include <cstring>

#include "tests/cli/command.h"
#include "zoo/core/error.h"

namespace zoo {
namespace {

using test::read_file;
using test::TemporaryDirectory;
using test::write_file;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::span<const std::byte> bytes_of(const auto& values) {
  return std::as_bytes(std::span(values));
}

template <typename T>
std::vector<T> read_as(const SafetensorsFile& file, const std::string& name) {
  std::vector<T> values(file.bytes(name) / sizeof(T));
  file.read(name, std::as_writable_bytes(std::span(values)));
  return values;
}

std::string with_length(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

TEST(Safetensors, ReadsWhatItWrote) {
  const TemporaryDirectory folder;
  const std::vector<std::int32_t> tokens = {1, -100, INT32_MAX, INT32_MIN, 5, 6};
  const std::vector<double> doubles = {0.1, -0.0};
  const std::vector<std::uint16_t> halves = {0x3c00, 0xffff, 7};
  write_safetensors(folder / "file",
                    {{{"halves", "BF16", {3}}, bytes_of(halves)},
                     {{"tokens", "I32", {2, 3}}, bytes_of(tokens)},
                     {{"doubles \"\n\u00fc", "F64", {2, 1, 1}}, bytes_of(doubles)},
                     {{"none", "F32", {4, 0}}, {}},
                     {{"scalar", "I32", {}}, bytes_of(tokens).first(4)}},
                    {{"format", "pt"}, {"note", "\u00e4 \"quoted\""}});
  const SafetensorsFile file(folder / "file");
  EXPECT_THAT(file.metadata(), ElementsAre(std::pair("format", "pt"), std::pair("note", "\u00e4 \"quoted\"")));
  std::vector<std::string> names;
  for (const SafetensorsInfo& info : file.tensors()) names.push_back(info.name);
  EXPECT_THAT(names, testing::UnorderedElementsAre("halves", "tokens", "doubles \"\n\u00fc", "none", "scalar"));
  EXPECT_EQ(names.front(), "doubles \"\n\u00fc") << "wide values first, so that all are aligned";
  EXPECT_EQ(file.info("tokens"), (SafetensorsInfo{"tokens", "I32", {2, 3}}));
  EXPECT_EQ(read_as<std::int32_t>(file, "tokens"), tokens);
  EXPECT_EQ(read_as<double>(file, "doubles \"\n\u00fc"), doubles);
  EXPECT_EQ(read_as<std::uint16_t>(file, "halves"), halves);
  EXPECT_THAT(file.info("none").shape, ElementsAre(4, 0));
  EXPECT_THAT(file.read("none"), IsEmpty());
  EXPECT_THAT(file.info("scalar").shape, IsEmpty());
  EXPECT_THAT(read_as<std::int32_t>(file, "scalar"), ElementsAre(1));
  EXPECT_FALSE(file.has("token"));
  EXPECT_THROW(file.read("tokens", {}), Error);
  try {
    file.read("tokns");
    ADD_FAILURE() << "there is no such tensor";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr(folder / "file"), HasSubstr("did you mean 'tokens'?")));
  }
}

// As the reference implementation lays a file out.
TEST(Safetensors, BytesAreThoseOfTheFormat) {
  const TemporaryDirectory folder;
  const float value = 1.5f;
  write_safetensors(folder / "file", {{{"w", "F32", {1}}, std::as_bytes(std::span(&value, 1))}});
  const std::string header = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(folder / "file"), with_length(padded, std::string("\0\0\xc0\x3f", 4)));
  write_safetensors(folder / "empty", {});
  EXPECT_THAT(SafetensorsFile(folder / "empty").tensors(), IsEmpty());
}

std::string refusal(const std::string& content) {
  const TemporaryDirectory folder;
  write_file(folder / "file", content);
  try {
    const SafetensorsFile file(folder / "file");
    return "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("'" + (folder / "file") + "' is not a valid safetensors file: "));
    EXPECT_LT(std::strlen(error.what()), 600u) << "messages stay short whatever is in the file";
    return error.what();
  }
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":)" + entry(dtype, shape, offsets) + "}";
}

TEST(Safetensors, TruncatedFilesAreRefused) {
  EXPECT_THAT(refusal(""), HasSubstr("it has 0 bytes, less than the 8"));
  EXPECT_THAT(refusal("1234567"), HasSubstr("it has 7 bytes"));
  const std::string whole = with_length(one("F32", "[2]", "[0,8]"), "12345678");
  EXPECT_EQ(refusal(whole), "accepted");
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_NE(refusal(whole.substr(0, size)), "accepted") << size;
  EXPECT_THAT(refusal(whole.substr(0, 40)), HasSubstr("but only 32 follow: it is cut off, or of another format"));
  EXPECT_THAT(refusal(whole.substr(0, whole.size() - 1)), HasSubstr("tensor 'w' ends at byte 8 of 7"));
  EXPECT_THAT(refusal(whole + "9"), HasSubstr("its last 1 bytes belong to no tensor"));
  EXPECT_THAT(refusal("\xff\xff\xff\xff\xff\xff\xff\xff rest"), HasSubstr("at most 100000000 are allowed"));
  EXPECT_THAT(refusal(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8)), HasSubstr("100000001 bytes; at most 100000000"));
  EXPECT_THAT(refusal(std::string("\0\xe1\xf5\x05\0\0\0\0", 8)), HasSubstr("100000000 bytes, but only 0 follow"));
}

TEST(Safetensors, HeadersThatAreNotOfTheFormatAreRefused) {
  EXPECT_THAT(refusal(with_length("")), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(refusal(with_length("[]")), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(refusal(with_length("{")), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(with_length("{} x")), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(with_length("{\"a\xff\":1}")), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(with_length("{\"" + std::string(100'000, 'x'))), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(with_length(R"({"w":)" + std::string(100'000, '['))), HasSubstr("nested too deeply"));
  EXPECT_THAT(refusal(with_length(R"({"w":1})")), HasSubstr("tensor 'w' must have dtype, shape and data_offsets"));
  EXPECT_THAT(refusal(with_length(R"({"w":{"dtype":"F32","shape":[]}})")), HasSubstr("must have dtype"));
  EXPECT_THAT(refusal(with_length(R"({"__metadata__":[]})")), HasSubstr("__metadata__ is not an object"));
  EXPECT_THAT(refusal(with_length(R"({"__metadata__":{"a":1}})")), HasSubstr("'a' in its __metadata__ is not a text"));
  EXPECT_THAT(
      refusal(with_length(R"({"w":)" + entry("F32", "[0]", "[0,0]") + R"(,"w":)" + entry("F32", "[0]", "[0,0]") + "}")),
      HasSubstr("names 'w' twice"));
  EXPECT_THAT(refusal(with_length(R"({"w":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}})")),
              HasSubstr("names 'dtype' twice"));
  const std::string two = R"({"v":)" + entry("F32", "[0]", "[0,0]") + R"(,"w":)" + entry("F32", "[0]", "[0,0]") + "}";
  EXPECT_EQ(refusal(with_length(two)), "accepted") << "each tensor has the same keys";
}

TEST(Safetensors, DTypesAndShapesThatDoNotFitAreRefused) {
  EXPECT_THAT(refusal(with_length(one("F33", "[0]", "[0,0]"))),
              AllOf(HasSubstr("tensor 'w' has unknown dtype \"F33\"; known are BOOL, U8"), HasSubstr("BF16")));
  EXPECT_THAT(refusal(with_length(R"({"w":{"dtype":4,"shape":[0],"data_offsets":[0,0]}})")), HasSubstr("dtype 4"));
  for (const std::string shape :
       {"[-1]", "[1.0]", "[\"1\"]", "[[1]]", "[18446744073709551616]", "[9223372036854775808]", "[null]", "[true]"}) {
    EXPECT_THAT(refusal(with_length(one("F32", shape, "[0,4]"), "1234")), HasSubstr("is")) << shape;
  }
  EXPECT_THAT(refusal(with_length(one("F32", "[-1]", "[0,4]"), "1234")), HasSubstr("the shape [-1] of tensor 'w'"));
  EXPECT_THAT(refusal(with_length(one("F32", "7", "[0,4]"), "1234")),
              HasSubstr("the shape 7 of tensor 'w' is not a list"));
  EXPECT_THAT(refusal(with_length(one("F32", "[4294967296,4294967296]", "[0,0]"))),
              HasSubstr("more values than any file"));
  EXPECT_THAT(refusal(with_length(one("U8", "[9223372036854775807,2,1]", "[0,0]"))),
              HasSubstr("more values than any file"));
  EXPECT_EQ(refusal(with_length(one("U8", "[9223372036854775807,2,0]", "[0,0]"))), "accepted");
  EXPECT_THAT(refusal(with_length(one("F32", "[2]", "[0,4]"), "1234")),
              HasSubstr("tensor 'w' of dtype F32 and shape [2] needs 8 bytes, but its data_offsets [0,4] hold 4"));
}

TEST(Safetensors, OffsetsThatDoNotTileTheDataAreRefused) {
  for (const std::string offsets : {"[0]", "[0,4,4]", "[-4,0]", "[4,0]", "[0.0,4.0]", "\"04\"", "{}", "[0,\"4\"]"}) {
    EXPECT_THAT(refusal(with_length(one("F32", "[1]", offsets), "1234")), HasSubstr("are not [begin, end]")) << offsets;
  }
  EXPECT_THAT(refusal(with_length(one("F32", "[1]", "[1,5]"), "12345")), HasSubstr("bytes 0 to 0 before tensor 'w'"));
  EXPECT_THAT(refusal(with_length(one("F32", "[1]", "[18446744073709551611,18446744073709551615]"), "1234")),
              HasSubstr("ends at byte 18446744073709551615 of 4"));
  const auto two = [](const std::string& v, const std::string& w) {
    return with_length(R"({"v":)" + entry("F32", "[1]", v) + R"(,"w":)" + entry("F32", "[1]", w) + "}", "12345678");
  };
  EXPECT_EQ(refusal(two("[0,4]", "[4,8]")), "accepted");
  EXPECT_EQ(refusal(two("[4,8]", "[0,4]")), "accepted");
  EXPECT_THAT(refusal(two("[0,4]", "[2,6]")),
              HasSubstr("tensor 'w' begins at byte 2, inside tensor 'v', which ends at 4"));
  EXPECT_THAT(refusal(two("[0,4]", "[0,4]")), HasSubstr("inside tensor 'v'"));
  EXPECT_THAT(refusal(two("[0,4]", "[5,9]")), HasSubstr("ends at byte 9 of 8"));
}

TEST(Safetensors, FilesThatCannotBeOpenedAreUsageErrors) {
  const TemporaryDirectory folder;
  EXPECT_THROW(SafetensorsFile(folder / "missing"), UsageError);
  EXPECT_THROW(SafetensorsFile(folder.path()), UsageError);
  EXPECT_THROW(SafetensorsFile("/dev/null"), UsageError);
}

TEST(Safetensors, AFileCutWhileItIsOpenIsAnError) {
  const TemporaryDirectory folder;
  write_file(folder / "file", with_length(one("F32", "[2]", "[0,8]"), "12345678"));
  const SafetensorsFile file(folder / "file");
  std::filesystem::resize_file(folder / "file", 10);
  EXPECT_THROW(file.read("w"), Error);
}

TEST(Safetensors, WritingKeepsToTheFormatOrWritesNothing) {
  const TemporaryDirectory folder;
  const std::vector<std::int32_t> values = {1, 2};
  const auto write = [&](std::vector<SafetensorsEntry> entries) {
    write_safetensors(folder / "file", std::move(entries));
  };
  EXPECT_THROW(write({{{"w", "I31", {2}}, bytes_of(values)}}), Error);
  EXPECT_THROW(write({{{"w", "I32", {3}}, bytes_of(values)}}), Error);
  EXPECT_THROW(write({{{"w", "I32", {-2}}, bytes_of(values)}}), Error);
  EXPECT_THROW(write({{{"w", "I32", {2}}, bytes_of(values)}, {{"w", "I32", {2}}, bytes_of(values)}}), Error);
  EXPECT_THROW(write({{{"__metadata__", "I32", {2}}, bytes_of(values)}}), Error);
  EXPECT_THROW(write({{{"\xff", "I32", {2}}, bytes_of(values)}}), Error);
  SafetensorsWriter writer(folder / "file", {{"w", "I32", {2}}});
  writer.write(bytes_of(values).first(5));
  EXPECT_THROW(writer.commit(), Error) << "three bytes are missing";
  EXPECT_THROW(writer.write(bytes_of(values)), Error) << "five too many";
  EXPECT_FALSE(std::filesystem::exists(folder / "file"));
  writer.write(bytes_of(values).subspan(5));
  writer.commit();
  EXPECT_EQ(read_as<std::int32_t>(SafetensorsFile(folder / "file"), "w"), values);
}

}  // namespace
}  // namespace zoo
