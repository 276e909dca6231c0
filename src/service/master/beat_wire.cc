#include "service/master/beat_wire.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "base/uuid.h"

namespace holdfast::master {

namespace {

using In = google::protobuf::io::CodedInputStream;
using Out = google::protobuf::io::CodedOutputStream;

// How a field is written, the lower three bits of its tag.
enum class Kind : std::uint32_t { varint = 0, fixed64 = 1, bytes = 2 };
constexpr std::uint32_t tag(std::uint32_t number, Kind kind) { return number << 3 | static_cast<std::uint32_t>(kind); }

// Field numbers of api/raft.proto.
constexpr std::uint32_t kFrom = tag(1, Kind::bytes);
constexpr std::uint32_t kTo = tag(2, Kind::bytes);
constexpr std::uint32_t kTerm = tag(3, Kind::varint);
constexpr std::uint32_t kIncarnation = tag(4, Kind::varint);
constexpr std::uint32_t kBeat = tag(9, Kind::bytes);
constexpr std::uint32_t kBeatReply = tag(10, Kind::bytes);
namespace beat {
constexpr std::uint32_t kCommit = tag(1, Kind::varint);
constexpr std::uint32_t kSent = tag(2, Kind::fixed64);
constexpr std::uint32_t kSequence = tag(3, Kind::varint);
constexpr std::uint32_t kRound = tag(4, Kind::varint);
constexpr std::uint32_t kHeir = tag(5, Kind::bytes);
constexpr std::uint32_t kLease = tag(6, Kind::bytes);
}  // namespace beat
namespace reply {
constexpr std::uint32_t kSent = tag(1, Kind::fixed64);
constexpr std::uint32_t kSequence = tag(2, Kind::varint);
constexpr std::uint32_t kRound = tag(3, Kind::varint);
constexpr std::uint32_t kLast = tag(4, Kind::varint);
constexpr std::uint32_t kDurable = tag(5, Kind::varint);
constexpr std::uint32_t kDiskFull = tag(6, Kind::varint);
constexpr std::uint32_t kDamaged = tag(7, Kind::varint);
constexpr std::uint32_t kLease = tag(8, Kind::bytes);
}  // namespace reply
namespace lease {
constexpr std::uint32_t kEpoch = tag(1, Kind::varint);
constexpr std::uint32_t kLength = tag(2, Kind::varint);
constexpr std::uint32_t kRaw = tag(3, Kind::fixed64);
}  // namespace lease

constexpr std::size_t kLeaseBytesMax = 3 + 10 + 10 + 8;
constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kHeirBytes = 2 + kIdBytes;
constexpr std::size_t kBodyBytesMax = 64 + kLeaseBytesMax + kHeirBytes * raft::kMembersMax;
constexpr std::size_t kMessageBytesMax = 64 + kBodyBytesMax;

// Writes fields in the order of their numbers; one that is zero is left out, as proto3 does.
class Fields {
 public:
  explicit Fields(std::uint8_t* at) : begin_(at), at_(at) {}

  void varint(std::uint32_t tag, std::uint64_t value) {
    if (value == 0) return;
    at_ = Out::WriteTagToArray(tag, at_);
    at_ = Out::WriteVarint64ToArray(value, at_);
  }
  void stamp(std::uint32_t tag, raft::Stamp stamp) {
    if (stamp == raft::Stamp{}) return;
    at_ = Out::WriteTagToArray(tag, at_);
    at_ = Out::WriteLittleEndian64ToArray(std::bit_cast<std::uint64_t>(stamp.time_since_epoch().count()), at_);
  }
  void bytes(std::uint32_t tag, std::string_view bytes) {
    at_ = Out::WriteTagToArray(tag, at_);
    at_ = Out::WriteVarint32ToArray(static_cast<std::uint32_t>(bytes.size()), at_);
    at_ = std::copy(bytes.begin(), bytes.end(), at_);
  }
  void id(std::uint32_t tag, const NodeId& id) {
    at_ = Out::WriteTagToArray(tag, at_);
    at_ = Out::WriteVarint32ToArray(kIdBytes, at_);
    store_be(at_, id.value().high);
    store_be(at_ + 8, id.value().low);
    at_ += kIdBytes;
  }
  std::string_view view() const { return {reinterpret_cast<const char*>(begin_), static_cast<std::size_t>(at_ - begin_)}; }

 private:
  std::uint8_t* begin_;
  std::uint8_t* at_;
};

void put(const raft::Lease& lease, std::uint32_t tag, Fields* out) {
  if (lease.epoch == 0) return;
  std::array<std::uint8_t, kLeaseBytesMax> bytes;
  Fields fields(bytes.data());
  fields.varint(lease::kEpoch, lease.epoch);
  fields.varint(lease::kLength, static_cast<std::uint64_t>(lease.length.count()));
  fields.stamp(lease::kRaw, lease.raw);
  out->bytes(tag, fields.view());
}

void put(const raft::Beat& in, Fields* out) {
  out->varint(beat::kCommit, in.commit.value());
  out->stamp(beat::kSent, in.sent);
  out->varint(beat::kSequence, in.sequence);
  out->varint(beat::kRound, in.round.value());
  for (const auto& heir : in.heirs) out->id(beat::kHeir, heir);
  put(in.lease, beat::kLease, out);
}

void put(const raft::BeatReply& in, Fields* out) {
  out->stamp(reply::kSent, in.sent);
  out->varint(reply::kSequence, in.sequence);
  out->varint(reply::kRound, in.round.value());
  out->varint(reply::kLast, in.last.value());
  out->varint(reply::kDurable, in.durable.value());
  out->varint(reply::kDiskFull, in.disk_full ? 1 : 0);
  out->varint(reply::kDamaged, in.damaged ? 1 : 0);
  put(in.lease, reply::kLease, out);
}

// One field's value. All are false when the bytes end too early.
bool read(In* in, std::uint64_t* out) { return in->ReadVarint64(out); }
bool read(In* in, bool* out) {
  std::uint64_t value = 0;
  if (!in->ReadVarint64(&value)) return false;
  *out = value != 0;
  return true;
}
bool read(In* in, raft::Stamp* out) {
  std::uint64_t value = 0;
  if (!in->ReadLittleEndian64(&value)) return false;
  *out = raft::Stamp(Duration(std::bit_cast<std::int64_t>(value)));
  return true;
}
template <typename Strong>
  requires requires(const Strong& strong) { static_cast<std::uint64_t>(strong.value()); }
bool read(In* in, Strong* out) {
  std::uint64_t value = 0;
  if (!in->ReadVarint64(&value)) return false;
  *out = Strong(value);
  return true;
}
bool read(In* in, std::string_view* out) {
  std::uint32_t size = 0;
  const void* data = nullptr;
  int here = 0;
  if (!in->ReadVarint32(&size) || size > kMessageBytesMax) return false;
  if (size == 0) {
    *out = {};
    return true;
  }
  if (!in->GetDirectBufferPointer(&data, &here) || static_cast<std::uint32_t>(here) < size) return false;
  *out = {static_cast<const char*>(data), size};
  return in->Skip(static_cast<int>(size));
}
bool read(In* in, NodeId* out) {
  std::string_view bytes;
  if (!read(in, &bytes)) return false;
  *out = NodeId(uuid_of(bytes));
  return true;
}

// Calls `field(tag, in)` for each field until one is refused. True: all were taken, up to the very end.
template <typename Field>
bool read_fields(std::string_view bytes, const Field& field) {
  In in(reinterpret_cast<const std::uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  while (const auto tag = in.ReadTag()) {
    if (!field(tag, &in)) return false;
  }
  return in.ConsumedEntireMessage();
}

bool get(std::string_view bytes, raft::Lease* out) {
  std::uint64_t length = 0;
  const bool whole = read_fields(bytes, [&](std::uint32_t tag, In* in) {
    switch (tag) {
      case lease::kEpoch: return read(in, &out->epoch);
      case lease::kLength: return read(in, &length);
      case lease::kRaw: return read(in, &out->raw);
      default: return false;
    }
  });
  if (!whole || length > static_cast<std::uint64_t>(raft::kLeaseCapMax.count())) return false;
  out->length = Duration(static_cast<std::int64_t>(length));
  return true;
}

// A lease that comes twice would have to be merged.
bool get_once(In* in, bool* got, raft::Lease* out) {
  std::string_view bytes;
  return !std::exchange(*got, true) && read(in, &bytes) && get(bytes, out);
}

bool get(std::string_view bytes, raft::Beat* out) {
  bool leased = false;
  return read_fields(bytes, [&](std::uint32_t tag, In* in) {
    switch (tag) {
      case beat::kCommit: return read(in, &out->commit);
      case beat::kSent: return read(in, &out->sent);
      case beat::kSequence: return read(in, &out->sequence);
      case beat::kRound: return read(in, &out->round);
      case beat::kHeir: return out->heirs.size() < raft::kMembersMax && read(in, &out->heirs.emplace_back());
      case beat::kLease: return get_once(in, &leased, &out->lease);
      default: return false;
    }
  });
}

bool get(std::string_view bytes, raft::BeatReply* out) {
  bool leased = false;
  return read_fields(bytes, [&](std::uint32_t tag, In* in) {
    switch (tag) {
      case reply::kSent: return read(in, &out->sent);
      case reply::kSequence: return read(in, &out->sequence);
      case reply::kRound: return read(in, &out->round);
      case reply::kLast: return read(in, &out->last);
      case reply::kDurable: return read(in, &out->durable);
      case reply::kDiskFull: return read(in, &out->disk_full);
      case reply::kDamaged: return read(in, &out->damaged);
      case reply::kLease: return get_once(in, &leased, &out->lease);
      default: return false;
    }
  });
}

template <typename Message>
bool get_body(In* in, bool* got, raft::Message* out) {
  std::string_view bytes;
  return !std::exchange(*got, true) && read(in, &bytes) && get(bytes, &out->body.emplace<Message>());
}

template <typename Message>
void append(const raft::Message& message, const Message& body, std::uint32_t tag, std::string* out) {
  std::array<std::uint8_t, kBodyBytesMax> inner;
  Fields inner_fields(inner.data());
  put(body, &inner_fields);
  std::array<std::uint8_t, kMessageBytesMax> bytes;
  Fields fields(bytes.data());
  fields.id(kFrom, message.from);
  fields.id(kTo, message.to);
  fields.varint(kTerm, message.term.value());
  fields.varint(kIncarnation, message.incarnation.value());
  fields.bytes(tag, inner_fields.view());
  *out += fields.view();
}

}  // namespace

bool append_beat(const raft::Message& message, std::string* out) {
  if (const auto* body = std::get_if<raft::Beat>(&message.body)) {
    if (body->heirs.size() > raft::kMembersMax) return false;
    append(message, *body, kBeat, out);
    return true;
  }
  if (const auto* body = std::get_if<raft::BeatReply>(&message.body)) {
    append(message, *body, kBeatReply, out);
    return true;
  }
  return false;
}

std::optional<raft::Message> read_beat(BytesView bytes) {
  if (bytes.size() > kMessageBytesMax) return std::nullopt;
  raft::Message message;
  bool got = false;
  const bool whole = read_fields(text_of(bytes), [&](std::uint32_t tag, In* in) {
    switch (tag) {
      case kFrom: return read(in, &message.from);
      case kTo: return read(in, &message.to);
      case kTerm: return read(in, &message.term);
      case kIncarnation: return read(in, &message.incarnation);
      case kBeat: return get_body<raft::Beat>(in, &got, &message);
      case kBeatReply: return get_body<raft::BeatReply>(in, &got, &message);
      default: return false;
    }
  });
  if (!whole || !got || message.from.value().empty() || message.to.value().empty()) return std::nullopt;
  return message;
}

}  // namespace holdfast::master
