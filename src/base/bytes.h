// Bytes: views, big-endian integers, sizes with units. Every multi-byte integer on our disks and in upstream's
// volume files is big-endian (spec/volume-format, head).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace holdfast {

using BytesView = std::span<const std::uint8_t>;

inline BytesView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view text_of(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The last place of `c` in `text`, or npos. std::string_view::rfind goes byte by byte; this is the C library's.
inline std::size_t find_last(std::string_view text, char c) {
  const void* at = text.empty() ? nullptr : ::memrchr(text.data(), c, text.size());
  return at == nullptr ? std::string_view::npos : static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

// Whether `text` holds a byte below `limit`, which is at most 128: what searches for control characters, and so finds
// none in nearly every text, looks at eight bytes at a time.
inline bool has_byte_below(std::string_view text, std::uint8_t limit) {
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  if (text.size() < 8) {
    bool found = false;
    for (const char c : text) found |= static_cast<std::uint8_t>(c) < limit;
    return found;
  }
  // Subtracting borrows into the highest bit of a byte below the limit, and from a byte above it only behind such a one.
  std::uint64_t found = 0;
  const auto look = [&](std::size_t at) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    found |= (word - kOnes * limit) & ~word;
  };
  for (std::size_t at = 0; at + 8 < text.size(); at += 8) look(at);
  look(text.size() - 8);
  return (found & kHigh) != 0;
}

template <typename T>
constexpr T byte_swapped(T v) {
  static_assert(std::is_unsigned_v<T>);
  if constexpr (sizeof(T) == 1) return v;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(v);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(v);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(v);
}

// Reads or writes sizeof(T) bytes at `p`, which need not be aligned. T is an unsigned integer.
template <typename T>
T load_be(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return byte_swapped(v);
}
template <typename T>
void store_be(void* p, T v) {
  v = byte_swapped(v);
  std::memcpy(p, &v, sizeof v);
}
template <typename T>
void append_be(std::string& out, T v) {
  v = byte_swapped(v);
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

constexpr std::uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
constexpr std::uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
constexpr std::uint64_t operator""_GiB(unsigned long long n) { return n << 30; }

// Lower-case hex of `bytes`; and back, empty optional-like false on odd length or a bad digit.
std::string hex(BytesView bytes);
bool unhex(std::string_view text, std::string& out);

}  // namespace holdfast
