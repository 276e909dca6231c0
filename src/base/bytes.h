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
