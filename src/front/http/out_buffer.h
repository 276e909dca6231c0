// OutBuffer: the bytes of an answer that wait to be sent. Like a std::string that only grows at its end, with room
// taken once for all parts of a header line. Not thread-safe: each connection has its own.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace holdfast::http {

class OutBuffer {
 public:
  // Begins with room for `first` bytes and comes back to that when it is cleared with more than `kept`.
  OutBuffer(std::size_t first, std::size_t kept) : first_(first), kept_(kept) { reserve(first); }

  // Begins in `room`, which stays the caller's, and allocates when that does not suffice.
  explicit OutBuffer(std::span<char> room)
      : first_(room.size()), kept_(SIZE_MAX), bytes_(room.data()), capacity_(room.size()) {}

  OutBuffer(const OutBuffer&) = delete;

  std::size_t size() const { return size_; }
  std::string_view view() const { return {bytes_, size_}; }

  void clear() {
    size_ = 0;
    if (capacity_ > kept_) reserve(first_);
  }

  // `n` more bytes, which the caller writes at once. Valid until the next call that adds.
  char* grow(std::size_t n) {
    if (capacity_ - size_ < n) [[unlikely]] reserve(std::max(capacity_ * 2, size_ + n));
    char* at = bytes_ + size_;
    size_ += n;
    return at;
  }

  OutBuffer& append(std::string_view text) {
    if (!text.empty()) std::memcpy(grow(text.size()), text.data(), text.size());
    return *this;
  }

  OutBuffer& append_number(std::uint64_t number, int base = 10) {
    constexpr std::size_t kDigitsMax = 20;  // of decimal numbers: no base below 10 is for a head
    char* digits = grow(kDigitsMax);
    const auto end = std::to_chars(digits, digits + kDigitsMax, number, base).ptr;
    size_ -= kDigitsMax - static_cast<std::size_t>(end - digits);
    return *this;
  }

  // A header's line. A CR, LF or NUL in the value is replaced by a blank, so no value can forge a header.
  OutBuffer& append_line(std::string_view name, std::string_view value) {
    char* to = grow(name.size() + value.size() + 4);
    std::memcpy(to, name.data(), name.size());
    to += name.size();
    to[0] = ':';
    to[1] = ' ';
    to += 2;
    if (!value.empty()) std::memcpy(to, value.data(), value.size());
    char* const end = to + value.size();
    if (has_byte_below(value, '\r' + 1)) std::replace_if(to, end, is_forbidden, ' ');
    end[0] = '\r';
    end[1] = '\n';
    return *this;
  }

  void erase(std::size_t at, std::size_t n) {
    std::memmove(bytes_ + at, bytes_ + at + n, size_ - at - n);
    size_ -= n;
  }

 private:
  static bool is_forbidden(char c) { return c == '\r' || c == '\n' || c == '\0'; }

  void reserve(std::size_t capacity) {
    std::unique_ptr<char[]> bytes(new char[capacity]);
    if (size_ > 0) std::memcpy(bytes.get(), bytes_, size_);
    owned_ = std::move(bytes);
    bytes_ = owned_.get();
    capacity_ = capacity;
  }

  std::size_t first_;
  std::size_t kept_;
  std::unique_ptr<char[]> owned_;
  char* bytes_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace holdfast::http
