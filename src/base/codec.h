// Writer and Reader for what masters replicate: big-endian integers, texts with a 32-bit length in front.
//
// A Reader never runs past its bytes: after the first failed read everything reads as zero and ok() is false, so a
// decoder reads all its fields and asks once at the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/strong_id.h"
#include "base/uuid.h"

namespace holdfast {

class Writer {
 public:
  void u8(std::uint8_t v) { bytes_.push_back(static_cast<char>(v)); }
  void u32(std::uint32_t v) { append_be(bytes_, v); }
  void u64(std::uint64_t v) { append_be(bytes_, v); }
  void uuid(const Uuid& v) {
    u64(v.high);
    u64(v.low);
  }
  void text(std::string_view v) {
    u32(static_cast<std::uint32_t>(v.size()));
    bytes_.append(v);
  }
  // An id writes as its value.
  template <typename Tag>
  void id(const StrongId<Tag, std::uint64_t>& v) {
    u64(v.value());
  }
  template <typename Tag>
  void id(const StrongId<Tag, std::uint32_t>& v) {
    u32(v.value());
  }
  template <typename Tag>
  void id(const StrongId<Tag, Uuid>& v) {
    uuid(v.value());
  }

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(BytesView bytes) : bytes_(bytes) {}

  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  Uuid uuid() {
    Uuid v;
    v.high = u64();
    v.low = u64();
    return v;
  }
  std::string text() {
    const std::uint32_t length = u32();
    if (!has(length)) return {};
    std::string v(text_of(bytes_.subspan(at_, length)));
    at_ += length;
    return v;
  }
  template <typename Id>
  Id id() {
    using Value = typename Id::ValueType;
    if constexpr (std::is_same_v<Value, Uuid>) {
      return Id(uuid());
    } else {
      return Id(number<Value>());
    }
  }
  // A count of things of at least `bytes_each` bytes: false counts (more than the rest could hold) fail at once, so
  // that nobody reserves memory for them.
  std::uint32_t count(std::size_t bytes_each) {
    const std::uint32_t n = u32();
    if (n > left() / bytes_each) ok_ = false;
    return ok_ ? n : 0;
  }

  // What was read makes no sense to the caller: as if it could not be read.
  void fail() { ok_ = false; }

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && at_ == bytes_.size(); }
  std::size_t left() const { return ok_ ? bytes_.size() - at_ : 0; }

 private:
  bool has(std::size_t n) {
    if (!ok_ || bytes_.size() - at_ < n) ok_ = false;
    return ok_;
  }
  template <typename T>
  T number() {
    if (!has(sizeof(T))) return T{};
    const T v = load_be<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return v;
  }

  BytesView bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace holdfast
