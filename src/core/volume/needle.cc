#include "core/volume/needle.h"

#include <algorithm>
#include <array>

#include "base/crc32c.h"

namespace holdfast::volume {
namespace {

constexpr std::size_t kCrcBytes = 4;
constexpr std::size_t kAppendAtBytes = 8;
constexpr std::size_t kLastModifiedBytes = 5;
constexpr std::size_t kTtlBytes = 2;

Error corrupt(const char* what) { return Error(Code::corrupt, what); }

// The flags that will stand in the record: parts that do not fit their length field are left out.
std::uint8_t flags_to_store(const NeedleView& needle) {
  std::uint8_t flags = needle.flags;
  if (needle.mime.size() > kMimeBytesMax) flags &= static_cast<std::uint8_t>(~kFlagMime);
  if (needle.pairs.size() > kPairsBytesMax) flags &= static_cast<std::uint8_t>(~kFlagPairs);
  return flags;
}

std::string_view name_to_store(const NeedleView& needle) { return needle.name.substr(0, kNameBytesMax); }

std::size_t optional_parts_bytes(const NeedleView& needle, std::uint8_t flags) {
  std::size_t bytes = 0;
  if (flags & kFlagName) bytes += 1 + name_to_store(needle).size();
  if (flags & kFlagMime) bytes += 1 + needle.mime.size();
  if (flags & kFlagLastModified) bytes += kLastModifiedBytes;
  if (flags & kFlagTtl) bytes += kTtlBytes;
  if (flags & kFlagPairs) bytes += 2 + needle.pairs.size();
  return bytes;
}

// Upstream pads with what its scratch buffer last held; readers never look at it (spec/volume-format 3.3).
void append_padding(std::string& out, const NeedleView& needle, std::int32_t size, std::uint8_t flags,
                    Version version) {
  std::array<std::uint8_t, kAlignment> scratch{};
  if (version == Version::v3) {
    store_be(scratch.data(), static_cast<std::uint32_t>(size));
  } else if (version == Version::v2 && size > 0 && (flags & kFlagLastModified)) {
    store_be(scratch.data(), static_cast<std::uint32_t>(needle.last_modified));
    store_be(scratch.data() + 4, static_cast<std::uint32_t>(needle.id.value()));
  } else {
    store_be(scratch.data(), needle.id.value());
  }
  out.append(reinterpret_cast<const char*>(scratch.data()), padding_bytes(size, version));
}

void append_optional_parts(std::string& out, const NeedleView& needle, std::uint8_t flags) {
  out.push_back(static_cast<char>(flags));
  if (flags & kFlagName) {
    const auto name = name_to_store(needle);
    out.push_back(static_cast<char>(name.size()));
    out.append(name);
  }
  if (flags & kFlagMime) {
    out.push_back(static_cast<char>(needle.mime.size()));
    out.append(needle.mime);
  }
  if (flags & kFlagLastModified) {
    out.push_back(static_cast<char>(needle.last_modified >> 32));
    append_be(out, static_cast<std::uint32_t>(needle.last_modified));
  }
  if (flags & kFlagTtl) {
    out.push_back(static_cast<char>(needle.ttl.count()));
    out.push_back(static_cast<char>(needle.ttl.unit()));
  }
  if (flags & kFlagPairs) {
    append_be(out, static_cast<std::uint16_t>(needle.pairs.size()));
    out.append(needle.pairs);
  }
}

// Takes pieces from the front of a record's bytes and remembers whether they were all there.
class Reader {
 public:
  explicit Reader(BytesView bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  bool failed() const { return failed_; }

  BytesView take(std::size_t n) {
    if (n > bytes_.size()) {
      failed_ = true;
      bytes_ = {};
      return {};
    }
    const auto out = bytes_.first(n);
    bytes_ = bytes_.subspan(n);
    return out;
  }
  std::string_view take_text(std::size_t n) { return text_of(take(n)); }
  template <typename T>
  T take_be() {
    const auto bytes = take(sizeof(T));
    return bytes.empty() ? T{} : load_be<T>(bytes.data());
  }

 private:
  BytesView bytes_;
  bool failed_ = false;
};

// From the flags to the body's end. Each part is read only while bytes remain, as upstream does.
Status parse_optional_parts(BytesView bytes, NeedleView& needle) {
  Reader in(bytes);
  if (!in.empty()) needle.flags = in.take_be<std::uint8_t>();
  if (!in.empty() && needle.has(kFlagName)) needle.name = in.take_text(in.take_be<std::uint8_t>());
  if (!in.empty() && needle.has(kFlagMime)) needle.mime = in.take_text(in.take_be<std::uint8_t>());
  if (!in.empty() && needle.has(kFlagLastModified)) {
    const std::uint64_t high = in.take_be<std::uint8_t>();
    needle.last_modified = high << 32 | in.take_be<std::uint32_t>();
  }
  if (!in.empty() && needle.has(kFlagTtl)) {
    const auto count = in.take_be<std::uint8_t>();
    needle.ttl = Ttl::from_bytes(count, in.take_be<std::uint8_t>());
  }
  if (!in.empty() && needle.has(kFlagPairs)) needle.pairs = in.take_text(in.take_be<std::uint16_t>());
  if (in.failed()) return corrupt("a part of the needle runs over its end");
  return {};
}

void parse_crc_and_time(const std::uint8_t* tail, Version version, NeedleView& needle) {
  needle.stored_crc = load_be<std::uint32_t>(tail);
  if (version == Version::v3) needle.append_at_ns = load_be<std::uint64_t>(tail + kCrcBytes);
}

std::size_t tail_bytes(Version version) { return kCrcBytes + (version == Version::v3 ? kAppendAtBytes : 0); }

}  // namespace

NeedleHeader NeedleHeader::parse(const std::uint8_t* bytes) {
  return {Cookie(load_be<std::uint32_t>(bytes)), NeedleId(load_be<std::uint64_t>(bytes + 4)),
          static_cast<std::int32_t>(load_be<std::uint32_t>(bytes + 12))};
}

bool NeedleView::is_expired(std::uint64_t now_ns) const {
  if (!has(kFlagTtl) || !has(kFlagLastModified) || ttl.is_none()) return false;
  constexpr std::uint64_t kSecond = 1'000'000'000;
  const auto modified_ns = std::min(last_modified, UINT64_MAX / kSecond) * kSecond;
  const auto since_ns = append_at_ns != 0 ? append_at_ns : modified_ns;
  return now_ns >= since_ns && now_ns - since_ns >= static_cast<std::uint64_t>(ttl.length().count());
}

std::size_t padding_bytes(std::int32_t size, Version version) {
  const auto used = kHeaderBytes + static_cast<std::size_t>(std::max(size, 0)) + tail_bytes(version);
  return kAlignment - used % kAlignment;
}

std::uint64_t record_bytes(std::int32_t size, Version version) {
  return kHeaderBytes + static_cast<std::uint64_t>(std::max(size, 0)) + tail_bytes(version) +
         padding_bytes(size, version);
}

std::int32_t body_bytes(const NeedleView& needle, Version version) {
  if (version == Version::v1) return static_cast<std::int32_t>(needle.data_size);
  if (needle.data_size == 0) return 0;
  return static_cast<std::int32_t>(4 + needle.data_size + 1 + optional_parts_bytes(needle, flags_to_store(needle)));
}

void encode_around(const NeedleView& needle, std::uint32_t crc, Version version, EncodedNeedle& out) {
  out.head.clear();
  out.tail.clear();
  out.size = body_bytes(needle, version);
  const auto flags = flags_to_store(needle);
  append_be(out.head, needle.cookie.value());
  append_be(out.head, needle.id.value());
  append_be(out.head, static_cast<std::uint32_t>(out.size));
  if (version != Version::v1 && needle.data_size > 0) {
    append_be(out.head, needle.data_size);
    append_optional_parts(out.tail, needle, flags);
  }
  append_be(out.tail, crc);
  if (version == Version::v3) append_be(out.tail, needle.append_at_ns);
  append_padding(out.tail, needle, out.size, flags, version);
}

std::string encode(const NeedleView& given, Version version) {
  NeedleView needle = given;
  needle.data_size = static_cast<std::uint32_t>(given.data.size());
  EncodedNeedle around;
  encode_around(needle, crc32c(given.data), version, around);
  return around.head + std::string(text_of(given.data)) + around.tail;
}

std::string encode_deletion(NeedleId id, Cookie cookie, std::uint32_t crc, std::uint64_t append_at_ns,
                            Version version) {
  NeedleView needle;
  needle.id = id;
  needle.cookie = cookie;
  needle.append_at_ns = append_at_ns;
  EncodedNeedle around;
  encode_around(needle, crc, version, around);
  return around.head + around.tail;
}

Result<NeedleView> parse(BytesView record, std::int32_t expected_size, Version version) {
  if (record.size() < record_bytes(expected_size, version) - padding_bytes(expected_size, version)) {
    return corrupt("the record ends early");
  }
  const auto header = NeedleHeader::parse(record.data());
  if (header.size != expected_size || header.size < 0) return corrupt("the record's size is not the index's");
  NeedleView needle;
  needle.cookie = header.cookie;
  needle.id = header.id;
  needle.size = header.size;
  const auto body = record.subspan(kHeaderBytes, static_cast<std::size_t>(header.size));
  if (version == Version::v1) {
    needle.data = body;
  } else if (!body.empty()) {
    if (body.size() < 4) return corrupt("the needle has no room for its data size");
    const std::uint64_t data_size = load_be<std::uint32_t>(body.data());
    if (4 + data_size > body.size()) return corrupt("the needle's data runs over its end");
    needle.data = body.subspan(4, data_size);
    if (auto parts = parse_optional_parts(body.subspan(4 + data_size), needle); !parts) return parts.error();
  }
  needle.data_size = static_cast<std::uint32_t>(needle.data.size());
  parse_crc_and_time(record.data() + kHeaderBytes + body.size(), version, needle);
  return needle;
}

Result<NeedleView> parse_tail(const NeedleHeader& header, std::uint32_t data_size, BytesView tail, Version version) {
  NeedleView needle;
  needle.cookie = header.cookie;
  needle.id = header.id;
  needle.size = header.size;
  needle.data_size = data_size;
  const std::size_t before = version == Version::v1 ? data_size : std::size_t{4} + data_size;
  if (header.size < 0 || before > static_cast<std::size_t>(header.size)) {
    return corrupt("the needle's data runs over its end");
  }
  const auto parts_bytes = static_cast<std::size_t>(header.size) - before;
  if (tail.size() < parts_bytes + tail_bytes(version)) return corrupt("the record ends early");
  if (auto parts = parse_optional_parts(tail.first(parts_bytes), needle); !parts) return parts.error();
  parse_crc_and_time(tail.data() + parts_bytes, version, needle);
  return needle;
}

std::uint32_t legacy_crc(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

bool crc_matches(std::uint32_t crc, std::uint32_t stored) { return stored == crc || stored == legacy_crc(crc); }

bool check_data(const NeedleView& needle) {
  if (needle.data.empty()) return needle.size <= 0;
  return crc_matches(crc32c(needle.data), needle.stored_crc);
}

}  // namespace holdfast::volume
