#include "zoo/io/event_file.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "tests/cli/command.h"

namespace zoo::test {
namespace {

std::uint32_t word(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// CRC-32C bit by bit.
std::uint32_t crc(std::string_view bytes) {
  std::uint32_t value = ~0U;
  for (const char byte : bytes) {
    value ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? 0x82F63B78U : 0);
  }
  return ~value;
}

std::uint32_t masked(std::string_view bytes) {
  const std::uint32_t value = crc(bytes);
  return ((value >> 15) | (value << 17)) + 0xA282EAD8U;
}

std::string only_file(const std::filesystem::path& folder) {
  const std::filesystem::directory_iterator files(folder);
  return read_file(files->path());
}

TEST(EventFile, IsFramedAsTensorFlowsRecords) {
  ASSERT_EQ(crc("123456789"), 0xE3069283U);  // the standard's check value
  const TemporaryDirectory directory;
  {
    EventFile file(directory.path(), 4);
    file.add(4,
             std::array<std::pair<std::string_view, double>, 2>{{{"train/loss", 1.5}, {"train/learning_rate", 0.25}}});
  }
  const std::string bytes = only_file(directory.path());
  std::vector<std::string> events;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::uint32_t length = word(bytes, at);
    EXPECT_EQ(word(bytes, at + 4), 0U);
    EXPECT_EQ(word(bytes, at + 8), masked(std::string_view(bytes).substr(at, 8)));
    events.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(word(bytes, at + 12 + length), masked(events.back()));
    at += 16 + length;
  }
  ASSERT_EQ(at, bytes.size());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  // Event.step (2) = 4 and session_log (7) { status (1) = START (1) }, behind nine bytes of wall time.
  EXPECT_EQ(events[1].substr(9), std::string("\x10\x04\x3a\x02\x08\x01"));
  // summary (5) { value (1) { tag (1), simple_value (2) = 1.5F } ... }
  const std::string loss = std::string("\x0a\x11\x0a\x0a") + "train/loss" + std::string("\x15\x00\x00\xc0\x3f", 5);
  EXPECT_EQ(events[2].substr(9, 4), std::string("\x10\x04\x2a\x2f"));
  EXPECT_EQ(events[2].substr(13, loss.size()), loss);
}

}  // namespace
}  // namespace zoo::test
