// Needle: one file as it lies in a volume's .dat, and its layout in the versions 1, 2 and 3 to the byte
// (spec/volume-format 3). A deletion is a needle without data.
//
//   header    cookie u32, id u64, size i32
//   body      v1: the data. v2, v3: dataSize u32, data, flags u8, [name], [mime], [lastModified 5 B], [ttl 2 B],
//             [pairs]; nothing at all when there is no data
//   tail      crc u32 of the data as stored, v3: appendAtNs u64, then 1 to 8 bytes of padding
//
// The view types point into the caller's bytes and own nothing. Pure; thread-safe as values are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "model/ids.h"
#include "model/ttl.h"

namespace holdfast::volume {

enum class Version : std::uint8_t { v1 = 1, v2 = 2, v3 = 3 };

inline constexpr std::uint8_t kFlagCompressed = 0x01;      // the data is a gzip stream
inline constexpr std::uint8_t kFlagName = 0x02;
inline constexpr std::uint8_t kFlagMime = 0x04;
inline constexpr std::uint8_t kFlagLastModified = 0x08;
inline constexpr std::uint8_t kFlagTtl = 0x10;
inline constexpr std::uint8_t kFlagPairs = 0x20;
inline constexpr std::uint8_t kFlagChunkManifest = 0x80;

inline constexpr std::size_t kHeaderBytes = 16;
inline constexpr std::size_t kAlignment = 8;  // every record begins at a multiple of it
inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kMimeBytesMax = 255;
inline constexpr std::size_t kPairsBytesMax = 65535;
inline constexpr std::int32_t kTombstoneSize = -1;

struct NeedleHeader {
  Cookie cookie;
  NeedleId id;
  std::int32_t size = 0;  // of the body

  static NeedleHeader parse(const std::uint8_t* sixteen_bytes);
};

// All of a needle. The views and `data` point into someone else's bytes.
struct NeedleView {
  Cookie cookie;
  NeedleId id;
  std::int32_t size = 0;  // of the body, as in header and index
  BytesView data;         // as stored: a gzip stream under kFlagCompressed. Empty when parsed by parse_tail
  std::uint32_t data_size = 0;
  std::uint8_t flags = 0;
  std::string_view name;
  std::string_view mime;
  std::string_view pairs;          // a JSON object, string to string
  std::uint64_t last_modified = 0;  // unix seconds, 0 when not stored
  Ttl ttl;
  std::uint32_t stored_crc = 0;  // as it stands: raw, or in the form of before 3.09
  std::uint64_t append_at_ns = 0;

  bool has(std::uint8_t flag) const { return (flags & flag) != 0; }

  // Not found once `now_ns` (wall clock) has passed appendAtNs + ttl; needs both a ttl and a lastModified. Versions 1 and
  // 2 store no appendAtNs: there lastModified stands in for it.
  bool is_expired(std::uint64_t now_ns) const;
};

// 16 + size + 4 (+ 8) and its padding of 1 to 8 bytes.
std::uint64_t record_bytes(std::int32_t size, Version version);

// The padding's length for a body of `size`.
std::size_t padding_bytes(std::int32_t size, Version version);

// The size field of a needle with these parts (v2, v3; for v1 it is data_size): 0 without data.
std::int32_t body_bytes(const NeedleView& needle, Version version);

// A record around its data, for one pwritev: head, the caller's data, tail. `size` is the needle's size field.
struct EncodedNeedle {
  std::int32_t size = 0;
  std::string head;  // header and, v2 and v3 with data, dataSize
  std::string tail;  // from flags to the last padding byte

  std::uint64_t bytes(std::uint64_t data_size) const { return head.size() + data_size + tail.size(); }
};

// The most data a needle holds: its size field is signed and counts its other parts as well, which take up to 66 KiB.
inline constexpr std::uint64_t kDataBytesMax = INT32_MAX - 128_KiB;

// Encodes all but the data, of which only data_size and `crc` (raw) enter. needle.size is ignored; name, mime and pairs
// are cut or left out as the limits say. Appends to head and tail, which are cleared first and keep their capacity.
void encode_around(const NeedleView& needle, std::uint32_t crc, Version version, EncodedNeedle& out);

// The whole record in one string; crc is computed.
std::string encode(const NeedleView& needle, Version version);

// The deletion record of a needle: same id, size 0.
std::string encode_deletion(NeedleId id, Cookie cookie, std::uint32_t crc, std::uint64_t append_at_ns, Version version);

// Parses a whole record of record_bytes(size) bytes; `expected_size` is the index's. Does not check the data's crc
// (check_data does). Code::corrupt when sizes disagree or parts run over the end.
Result<NeedleView> parse(BytesView record, std::int32_t expected_size, Version version);

// What follows the data in a record, for bodies too large to be in memory: `tail` begins behind the data and goes to
// the record's end; `header` and `data_size` were read from the front.
Result<NeedleView> parse_tail(const NeedleHeader& header, std::uint32_t data_size, BytesView tail, Version version);

// Whether `crc` of the data (raw) is what `stored` says, in the raw form or in that of before 3.09.
bool crc_matches(std::uint32_t crc, std::uint32_t stored);
std::uint32_t legacy_crc(std::uint32_t crc);

// Checks needle.data against its crc. An empty file passes; a body without data does not, since nobody writes one: it
// is what zeros in the place of a lost sector look like.
bool check_data(const NeedleView& needle);

}  // namespace holdfast::volume
