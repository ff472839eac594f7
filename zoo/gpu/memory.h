#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Device memory, aligned to 256 bytes; nullptr for 0 bytes. `file` and `line` name the allocation in reports. Throws
/// Error with the bytes asked for and free when there is not enough.
void* device_allocate(std::size_t bytes, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE());
/// Waits for all work of the device, then frees. Throws Error when `memory` was not allocated or is free already, and
/// when a red zone around it was written to. nullptr is ignored.
void device_free(void* memory);

/// Device memory that the host may read and write too, once the work that touches it is done; for device_free. On the
/// emulated device all its memory is open to the host from the first such allocation on: that the host waits is then
/// not enforced, but who does not wait finds what was there before, NaN in fresh memory.
void* unified_allocate(std::size_t bytes, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE());

/// Host memory that the device can copy from and to while the host goes on.
void* pinned_allocate(std::size_t bytes);
void pinned_free(void* memory) noexcept;

/// Copies of a stream, done in its order. The host's side must be pinned memory, and must not be read or written before
/// the stream has been synchronised. Throws Error when a range is not inside one allocation of the right kind.
void copy_to_device_async(void* device, const void* pinned, std::size_t bytes, Stream& stream);
void copy_to_host_async(void* pinned, const void* device, std::size_t bytes, Stream& stream);
void copy_on_device_async(void* to, const void* from, std::size_t bytes, Stream& stream);
/// Sets every byte of a range of device memory.
void fill_async(void* device, unsigned char value, std::size_t bytes, Stream& stream);

namespace detail {
/// Frees in a destructor: what device_free would throw is kept for the next synchronize() of any stream.
void device_free_later(void* memory) noexcept;
}  // namespace detail

/// An array that it owns, of memory that `release` gives back.
template <typename T, void (*release)(void*) noexcept>
class OwnedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  OwnedArray() = default;
  ~OwnedArray() { release(data_); }
  OwnedArray(OwnedArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  OwnedArray& operator=(OwnedArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

 protected:
  OwnedArray(void* memory, std::size_t count) : data_(static_cast<T*>(memory)), size_(count) {}

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// An owned array in device memory. data() is for kernels and copies; the host must not follow it.
template <typename T>
class DeviceBuffer : public OwnedArray<T, detail::device_free_later> {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::size_t count, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE())
      : OwnedArray<T, detail::device_free_later>(device_allocate(count * sizeof(T), file, line), count) {}
};

/// An owned array in pinned host memory.
template <typename T>
class PinnedBuffer : public OwnedArray<T, pinned_free> {
 public:
  explicit PinnedBuffer(std::size_t count) : OwnedArray<T, pinned_free>(pinned_allocate(count * sizeof(T)), count) {}

  T& operator[](std::size_t i) { return this->data()[i]; }
  const T& operator[](std::size_t i) const { return this->data()[i]; }
  T* begin() { return this->data(); }
  T* end() { return this->data() + this->size(); }
  const T* begin() const { return this->data(); }
  const T* end() const { return this->data() + this->size(); }
};

/// A new device array with these values; waits for the copy.
template <typename T>
DeviceBuffer<std::remove_const_t<T>> to_device(std::span<T> values, Stream& stream, const char* file = __builtin_FILE(),
                                               unsigned line = __builtin_LINE()) {
  using Value = std::remove_const_t<T>;
  DeviceBuffer<Value> result(values.size(), file, line);
  PinnedBuffer<Value> staging(values.size());
  std::copy(values.begin(), values.end(), staging.begin());
  copy_to_device_async(result.data(), staging.data(), staging.bytes(), stream);
  stream.synchronize();
  return result;
}

/// The values of a device array, once all work of the stream is done.
template <typename T>
std::vector<T> to_host(const DeviceBuffer<T>& values, Stream& stream) {
  PinnedBuffer<T> staging(values.size());
  copy_to_host_async(staging.data(), values.data(), values.bytes(), stream);
  stream.synchronize();
  return {staging.begin(), staging.end()};
}

}  // namespace zoo::gpu
