// OutBuffer: the bytes of an answer that wait to be sent. Like a std::string that only grows at its end, with room
// taken once for all parts of a header line. Not thread-safe: each connection has its own.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace holdfast::http {

class OutBuffer {
 public:
  // Begins with room for `first` bytes and comes back to that when it is cleared with more than `kept`.
  OutBuffer(std::size_t first, std::size_t kept) : first_(first), kept_(kept) { reserve(first); }

  std::size_t size() const { return size_; }
  std::string_view view() const { return {bytes_.get(), size_}; }

  void clear() {
    size_ = 0;
    if (capacity_ > kept_) reserve(first_);
  }

  // `n` more bytes, which the caller writes at once. Valid until the next call that adds.
  char* grow(std::size_t n) {
    if (capacity_ - size_ < n) reserve(std::max(capacity_ * 2, size_ + n));
    char* at = bytes_.get() + size_;
    size_ += n;
    return at;
  }

  OutBuffer& append(std::string_view text) {
    if (!text.empty()) std::memcpy(grow(text.size()), text.data(), text.size());
    return *this;
  }

  OutBuffer& append_number(std::uint64_t number, int base = 10) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, number, base).ptr;
    return append({digits, static_cast<std::size_t>(end - digits)});
  }

 private:
  void reserve(std::size_t capacity) {
    std::unique_ptr<char[]> bytes(new char[capacity]);
    if (size_ > 0) std::memcpy(bytes.get(), bytes_.get(), size_);
    bytes_ = std::move(bytes);
    capacity_ = capacity;
  }

  std::size_t first_;
  std::size_t kept_;
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace holdfast::http
