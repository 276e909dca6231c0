#include "core/ec/checksums.h"

#include <algorithm>
#include <bit>

#include "base/crc32c.h"

namespace holdfast::ec {
namespace {

constexpr std::size_t kHeaderBytes = 14;
constexpr std::uint32_t kMagic = 0x45435355;
constexpr std::uint64_t kCrc32c = 1;

void append_varint(std::string& out, std::uint64_t v) {
  for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
  out.push_back(static_cast<char>(v));
}

void append_number(std::string& out, unsigned field, std::uint64_t v) {
  if (v == 0) return;  // proto3 leaves it out
  append_varint(out, field << 3);
  append_varint(out, v);
}

void append_bytes(std::string& out, unsigned field, std::string_view bytes) {
  if (bytes.empty()) return;
  append_varint(out, field << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

// One field after the other of a protobuf message; unknown ones are passed over by who asks.
class Fields {
 public:
  explicit Fields(BytesView bytes) : rest_(bytes) {}

  unsigned field = 0;
  std::uint64_t number = 0;  // of a varint or fixed field
  BytesView bytes;           // of a length-delimited one

  // False at the end and when what follows is no field; is_whole() tells which.
  bool next() {
    if (rest_.empty()) return false;
    std::uint64_t key = 0;
    whole_ = false;
    if (!varint(key) || key >> 3 == 0 || key >> 32 != 0) return false;
    field = static_cast<unsigned>(key >> 3);
    number = 0;
    bytes = {};
    switch (key & 7) {
      case 0:
        if (!varint(number)) return false;
        break;
      case 1:
        if (!skip(8)) return false;
        break;
      case 2: {
        std::uint64_t length = 0;
        if (!varint(length) || length > rest_.size()) return false;
        bytes = rest_.first(length);
        rest_ = rest_.subspan(length);
        break;
      }
      case 5:
        if (!skip(4)) return false;
        break;
      default:
        return false;
    }
    whole_ = true;
    return true;
  }

  bool is_whole() const { return whole_; }

 private:
  bool varint(std::uint64_t& out) {
    out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return false;
      const auto b = rest_[0];
      rest_ = rest_.subspan(1);
      out |= std::uint64_t{b & 0x7fu} << shift;
      if (b < 0x80) return true;
    }
    return false;
  }
  bool skip(std::size_t n) {
    if (rest_.size() < n) return false;
    rest_ = rest_.subspan(n);
    return true;
  }

  BytesView rest_;
  bool whole_ = true;
};

Error corrupt(const std::string& why) { return Error(Code::corrupt, "its checksums (.ecsum) " + why); }

}  // namespace

std::string Checksums::encode() const {
  std::string config;
  append_number(config, 1, scheme.data);
  append_number(config, 2, scheme.parity);
  append_number(config, 3, static_cast<std::uint64_t>(encode_ts_ns));
  std::string payload;
  append_number(payload, 1, kCrc32c);
  append_number(payload, 2, block_bytes);
  append_number(payload, 3, generation);
  append_bytes(payload, 4, config);
  for (const auto& shard : shards) {
    std::string crcs;
    for (const auto crc : shard.blocks) {
      for (unsigned shift = 0; shift < 32; shift += 8) crcs.push_back(static_cast<char>(crc >> shift));
    }
    std::string entry;
    append_number(entry, 1, shard.shard);
    append_number(entry, 2, shard.covered_bytes);
    append_bytes(entry, 3, crcs);
    append_varint(payload, 5 << 3 | 2);
    append_varint(payload, entry.size());
    payload += entry;
  }
  append_bytes(payload, 6, text_of(BytesView(encode_uuid)));
  std::string out;
  append_be(out, kMagic);
  append_be(out, std::uint16_t{1});
  append_be(out, static_cast<std::uint32_t>(payload.size()));
  append_be(out, crc32c(bytes_of(payload)));
  return out + payload;
}

Result<Checksums> Checksums::parse(BytesView bytes) {
  if (bytes.size() < kHeaderBytes || load_be<std::uint32_t>(bytes.data()) != kMagic) {
    return corrupt("do not begin as such a file does");
  }
  if (const auto version = load_be<std::uint16_t>(bytes.data() + 4); version != 1) {
    return Error(Code::unsupported, "its checksums (.ecsum) have version " + std::to_string(version));
  }
  const auto payload = bytes.subspan(kHeaderBytes);
  if (load_be<std::uint32_t>(bytes.data() + 6) != payload.size()) return corrupt("have another length than they say");
  if (load_be<std::uint32_t>(bytes.data() + 10) != crc32c(payload)) return corrupt("do not match their own crc");

  Checksums out;
  out.block_bytes = 0;
  out.scheme = {0, 0};
  std::uint64_t algorithm = 0;
  Fields fields(payload);
  while (fields.next()) {
    switch (fields.field) {
      case 1: algorithm = fields.number; break;
      case 2: out.block_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(fields.number, UINT32_MAX)); break;
      case 3: out.generation = static_cast<std::uint32_t>(fields.number); break;
      case 4: {
        Fields config(fields.bytes);
        while (config.next()) {
          const auto count = static_cast<unsigned>(std::min<std::uint64_t>(config.number, kShardsMax + 1));
          if (config.field == 1) out.scheme.data = count;
          if (config.field == 2) out.scheme.parity = count;
          if (config.field == 3) out.encode_ts_ns = static_cast<std::int64_t>(config.number);
        }
        if (!config.is_whole()) return corrupt("are not whole");
        break;
      }
      case 5: {
        ShardChecksums shard;
        std::uint64_t id = 0;
        Fields entry(fields.bytes);
        while (entry.next()) {
          if (entry.field == 1) id = entry.number;
          if (entry.field == 2) shard.covered_bytes = entry.number;
          if (entry.field != 3) continue;
          if (entry.bytes.size() % 4 != 0) return corrupt("have a part of a crc");
          shard.blocks.clear();
          for (std::size_t i = 0; i < entry.bytes.size(); i += 4) {
            shard.blocks.push_back(byte_swapped(load_be<std::uint32_t>(entry.bytes.data() + i)));
          }
        }
        if (!entry.is_whole()) return corrupt("are not whole");
        if (out.shards.size() == kShardsMax) return corrupt("name more than 32 shards");
        shard.shard = static_cast<ShardId>(std::min<std::uint64_t>(id, kShardsMax));
        out.shards.push_back(std::move(shard));
        break;
      }
      case 6:
        if (fields.bytes.size() != out.encode_uuid.size()) return corrupt("have a uuid of another length");
        std::copy(fields.bytes.begin(), fields.bytes.end(), out.encode_uuid.begin());
        break;
      default: break;
    }
  }
  if (!fields.is_whole()) return corrupt("are not whole");
  if (algorithm != kCrc32c) {
    return Error(Code::unsupported, "its checksums (.ecsum) are of kind " + std::to_string(algorithm));
  }
  if (!std::has_single_bit(out.block_bytes) || out.block_bytes < 1_MiB || out.block_bytes > 64_MiB) {
    return corrupt("have blocks of " + std::to_string(out.block_bytes) + " bytes");
  }
  if (!out.scheme.is_valid()) return corrupt("name no possible number of shards");
  std::sort(out.shards.begin(), out.shards.end(), [](const auto& a, const auto& b) { return a.shard < b.shard; });
  if (out.shards.size() != out.scheme.total()) return corrupt("are not those of all shards");
  for (std::size_t i = 0; i < out.shards.size(); i++) {
    const auto& shard = out.shards[i];
    if (shard.shard != i) return corrupt("are not those of all shards");
    const auto blocks = shard.covered_bytes / out.block_bytes + (shard.covered_bytes % out.block_bytes != 0);
    if (shard.blocks.size() != blocks) return corrupt("have another number of blocks than a shard's length asks for");
  }
  return out;
}

void ShardSummer::add(BytesView bytes) {
  while (!bytes.empty()) {
    const auto within = out_.covered_bytes % block_bytes_;
    if (within == 0) out_.blocks.push_back(0);
    const auto step = bytes.first(std::min<std::size_t>(bytes.size(), block_bytes_ - within));
    out_.blocks.back() = crc32c(step, out_.blocks.back());
    out_.covered_bytes += step.size();
    bytes = bytes.subspan(step.size());
  }
}

}  // namespace holdfast::ec
