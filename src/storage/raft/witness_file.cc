#include "storage/raft/witness_file.h"

#include <algorithm>

#include "base/bytes.h"

namespace holdfast::storage {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeadBytes = 1 + 16 + 16 + 8 + 16 + 8 + 8 + 1;
constexpr std::size_t kRecordMembersMax = 16;
static_assert(kHeadBytes + kRecordMembersMax * 16 + 8 <= kSlotValueBytesMax);

void put(std::string& out, const Uuid& id) {
  append_be(out, id.high);
  append_be(out, id.low);
}
Uuid uuid(const char* at) { return {load_be<std::uint64_t>(at), load_be<std::uint64_t>(at + 8)}; }

std::string encode(const raft::WitnessState& state, NodeId node, ClusterId cluster) {
  std::string out;
  append_be<std::uint8_t>(out, kVersion);
  put(out, node.value());
  put(out, cluster.value());
  append_be(out, state.term.value());
  put(out, state.vote.value());
  append_be(out, state.in_sync.term.value());
  append_be(out, state.in_sync.number);
  append_be<std::uint8_t>(out, static_cast<std::uint8_t>(state.in_sync.members.size()));
  for (const auto& member : state.in_sync.members) put(out, member.value());
  append_be(out, static_cast<std::uint64_t>(state.lease.count()));
  return out;
}

Result<raft::WitnessState> decode(std::string_view bytes, NodeId node, ClusterId cluster) {
  const Error wrong{Code::corrupt, "does not hold what a witness keeps"};
  if (bytes.size() < kHeadBytes + 8) return wrong;
  const char* at = bytes.data();
  if (load_be<std::uint8_t>(at) != kVersion) return Error{Code::corrupt, "is of a newer format"};
  if (uuid(at + 1) != node.value() || uuid(at + 17) != cluster.value()) {
    return Error{Code::corrupt, "belongs to another witness"};
  }
  raft::WitnessState state;
  state.term = Term(load_be<std::uint64_t>(at + 33));
  state.vote = NodeId(uuid(at + 41));
  state.in_sync.term = Term(load_be<std::uint64_t>(at + 57));
  state.in_sync.number = load_be<std::uint64_t>(at + 65);
  const std::size_t count = load_be<std::uint8_t>(at + 73);
  if (count > kRecordMembersMax || bytes.size() != kHeadBytes + count * 16 + 8) return wrong;
  for (std::size_t i = 0; i < count; ++i) state.in_sync.members.emplace_back(uuid(at + kHeadBytes + 16 * i));
  const auto lease = load_be<std::uint64_t>(at + kHeadBytes + 16 * count);
  if (lease > static_cast<std::uint64_t>(raft::kLeaseCapMax.count())) return wrong;
  state.lease = Duration(static_cast<std::int64_t>(lease));
  return state;
}

}  // namespace

Result<WitnessFile> WitnessFile::open(io::Disk& disk, const std::string& path, NodeId node, ClusterId cluster) {
  auto slots = SlotFile::open(disk, path, "HFWI", kVersion);
  if (!slots) return slots.error();
  if (slots->damaged()) return Error{Code::corrupt, "both copies of what the witness promised are damaged"}.at(path);
  WitnessFile file(std::move(*slots), node, cluster);
  if (const auto& value = file.slots_.value()) {
    auto state = decode(*value, node, cluster);
    if (!state) return state.error().at(path);
    file.state_ = std::move(*state);
  }
  return file;
}

Status WitnessFile::keep(const raft::WitnessState& state) {
  if (state.in_sync.members.size() > kRecordMembersMax) return Error{Code::invalid, "a record of too many masters"};
  if (auto done = slots_.write(encode(state, node_, cluster_)); !done) return done;
  if (auto done = slots_.sync(); !done) return done;
  state_ = state;
  return slots_.mirror();
}

}  // namespace holdfast::storage
