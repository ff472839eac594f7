#include "zoo/io/event_file.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <boost/crc.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "zoo/core/error.h"

namespace zoo {

namespace {

// Protocol buffers' wire format: a field is its number and kind in one varint, then the value.
enum class Kind : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

class Message {
 public:
  Message& integer(int field, std::int64_t value) {
    key(field, Kind::varint);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real64(int field, double value) {
    key(field, Kind::fixed64);
    little_endian(std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real32(int field, float value) {
    key(field, Kind::fixed32);
    little_endian(std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  Message& text(int field, std::string_view value) {
    key(field, Kind::bytes);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

  template <typename Integer>
  void little_endian(Integer value) {
    for (std::size_t i = 0; i < sizeof(Integer); ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xFF);
  }

 private:
  void key(int field, Kind kind) { varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(kind)); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// CRC-32C (Castagnoli), rotated and shifted so that a CRC of data that holds CRCs is not weak (TensorFlow's crc32c.h).
std::uint32_t masked_crc(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return std::rotr(static_cast<std::uint32_t>(crc.checksum()), 15) + 0xA282EAD8U;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7.
Message event(std::int64_t step) {
  return Message().real64(1, now()).integer(2, step);
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t first_step) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw Error("cannot create the folder {}: {}", folder.string(), failure.message());
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host.front() = '\0';
  path_ =
      folder / fmt::format("events.out.tfevents.{}.{}.{}", static_cast<std::int64_t>(now()), host.data(), ::getpid());
  file_.reset(std::fopen(path_.c_str(), "ab"));
  if (!file_) throw Error("cannot write {}: {}", path_.string(), std::strerror(errno));
  write(Message().real64(1, now()).text(3, "brain.Event:2").bytes());
  // SessionLog: status = 1, of which START is 1.
  write(event(first_step).text(7, Message().integer(1, 1).bytes()).bytes());
}

void EventFile::add(std::int64_t step, std::span<const std::pair<std::string_view, double>> scalars) {
  // Summary: value = 1, of which tag = 1 and simple_value = 2.
  Message summary;
  for (const auto& [tag, value] : scalars) {
    summary.text(1, Message().text(1, tag).real32(2, static_cast<float>(value)).bytes());
  }
  write(event(step).text(5, summary.bytes()).bytes());
}

void EventFile::write(std::string_view event) {
  Message length;
  length.little_endian(std::uint64_t{event.size()});
  Message record;
  record.little_endian(std::uint64_t{event.size()});
  record.little_endian(masked_crc(length.bytes()));
  Message end;
  end.little_endian(masked_crc(event));
  const std::string bytes = record.bytes() + std::string(event) + end.bytes();
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size() || std::fflush(file_.get()) != 0) {
    throw Error("cannot write {}: {}; is the disk full?", path_.string(), std::strerror(errno));
  }
}

}  // namespace zoo
