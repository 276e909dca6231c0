// The bytes of commands and answers: docs/registry-format.md. A command begins with its kind and its version; a field
// may be added at its end under a higher version, once the feature level says that everyone reads it.
#include "base/codec.h"
#include "core/topology/registry.h"

namespace holdfast::topology {

namespace {

constexpr std::uint8_t kVersion = 1;

enum class Kind : std::uint8_t {
  init_cluster = 1,
  reserve_keys = 2,
  allocate_volume_ids = 3,
  raise_volume_ids = 4,
  raise_keys = 5,
  adopt_dirs = 6,
  raise_feature_level = 7,
  announce_member = 8,
  forget_member = 9,
  raise_generation = 10,
  settle_volumes = 11,
  set_replica_epoch = 12,  // from feature level 4 on
};
constexpr std::uint8_t kKindLast = 12;

// Answers' outcomes, as on disk in checkpoints.
enum class Outcome : std::uint8_t { done = 0, invalid = 1, stale = 2, refused = 3, no_space = 4 };

Outcome outcome(Code code) {
  switch (code) {
    case Code::stale: return Outcome::stale;
    case Code::refused: return Outcome::refused;
    case Code::no_space: return Outcome::no_space;
    default: return Outcome::invalid;
  }
}
Code code(Outcome outcome) {
  switch (outcome) {
    case Outcome::stale: return Code::stale;
    case Outcome::refused: return Code::refused;
    case Outcome::no_space: return Code::no_space;
    default: return Code::invalid;
  }
}

void begin(Writer& out, Kind kind) {
  out.u8(static_cast<std::uint8_t>(kind));
  out.u8(kVersion);
}

struct Encoder {
  Writer& out;

  void operator()(const InitCluster& c) {
    begin(out, Kind::init_cluster);
    out.id(c.cluster_id);
  }
  void operator()(const ReserveKeys& c) {
    begin(out, Kind::reserve_keys);
    out.id(c.node);
    out.id(c.incarnation);
    out.uuid(c.process);
    out.u64(c.count);
  }
  void operator()(const AllocateVolumeIds& c) {
    begin(out, Kind::allocate_volume_ids);
    out.u32(c.count);
  }
  void operator()(const RaiseVolumeIds& c) {
    begin(out, Kind::raise_volume_ids);
    out.id(c.seen);
  }
  void operator()(const RaiseKeys& c) {
    begin(out, Kind::raise_keys);
    out.id(c.seen);
  }
  void operator()(const AdoptDirs& c) {
    begin(out, Kind::adopt_dirs);
    out.id(c.cluster_id);
    out.id(c.generation);
    out.u8(c.has_volumes ? 1 : 0);
    out.id(c.max_key);
    out.id(c.max_volume_id);
    out.u32(static_cast<std::uint32_t>(c.dirs.size()));
    for (const Uuid& dir : c.dirs) out.uuid(dir);
  }
  void operator()(const RaiseFeatureLevel& c) {
    begin(out, Kind::raise_feature_level);
    out.u32(c.level);
  }
  void operator()(const AnnounceMember& c) {
    begin(out, Kind::announce_member);
    out.id(c.node);
    out.id(c.incarnation);
    out.uuid(c.process);
    out.text(c.http);
    out.text(c.grpc);
    out.text(c.public_url);
    out.u32(c.feature_level);
  }
  void operator()(const ForgetMember& c) {
    begin(out, Kind::forget_member);
    out.id(c.node);
  }
  void operator()(const RaiseGeneration& c) {
    begin(out, Kind::raise_generation);
    out.id(c.generation);
  }
  void operator()(const SettleVolumes& c) {
    begin(out, Kind::settle_volumes);
    out.u32(static_cast<std::uint32_t>(c.volumes.size()));
    for (const VolumeId volume : c.volumes) out.id(volume);
  }
  void operator()(const SetReplicaEpoch& c) {
    begin(out, Kind::set_replica_epoch);
    out.id(c.volume);
    out.u64(c.epoch);
  }
};

Command decode_fields(Kind kind, Reader& in) {
  switch (kind) {
    case Kind::init_cluster: return InitCluster{in.id<ClusterId>()};
    case Kind::reserve_keys: {
      ReserveKeys c;
      c.node = in.id<NodeId>();
      c.incarnation = in.id<Incarnation>();
      c.process = in.uuid();
      c.count = in.u64();
      return c;
    }
    case Kind::allocate_volume_ids: return AllocateVolumeIds{in.u32()};
    case Kind::raise_volume_ids: return RaiseVolumeIds{in.id<VolumeId>()};
    case Kind::raise_keys: return RaiseKeys{in.id<NeedleId>()};
    case Kind::adopt_dirs: {
      AdoptDirs c;
      c.cluster_id = in.id<ClusterId>();
      c.generation = in.id<Generation>();
      c.has_volumes = in.u8() != 0;
      c.max_key = in.id<NeedleId>();
      c.max_volume_id = in.id<VolumeId>();
      c.dirs.resize(in.count(16));
      for (Uuid& dir : c.dirs) dir = in.uuid();
      return c;
    }
    case Kind::raise_feature_level: return RaiseFeatureLevel{in.u32()};
    case Kind::announce_member: {
      AnnounceMember c;
      c.node = in.id<NodeId>();
      c.incarnation = in.id<Incarnation>();
      c.process = in.uuid();
      c.http = in.text();
      c.grpc = in.text();
      c.public_url = in.text();
      c.feature_level = in.u32();
      return c;
    }
    case Kind::forget_member: return ForgetMember{in.id<NodeId>()};
    case Kind::raise_generation: return RaiseGeneration{in.id<Generation>()};
    case Kind::settle_volumes: {
      SettleVolumes c;
      c.volumes.resize(in.count(4));
      for (VolumeId& volume : c.volumes) volume = in.id<VolumeId>();
      return c;
    }
    case Kind::set_replica_epoch: {
      SetReplicaEpoch c;
      c.volume = in.id<VolumeId>();
      c.epoch = in.u64();
      return c;
    }
  }
  check_failed(__FILE__, __LINE__, "kind was looked at by decode_command");
}

}  // namespace

std::string encode(const Command& command) {
  Writer out;
  std::visit(Encoder{out}, command);
  return out.take();
}

Result<Command> decode_command(BytesView bytes) {
  Reader in(bytes);
  const std::uint8_t kind = in.u8();
  const std::uint8_t version = in.u8();
  if (!in.ok() || kind == 0) return Error(Code::invalid, "empty command");
  if (kind > kKindLast || version > kVersion) {
    return Error(Code::unsupported, "command " + std::to_string(kind) + " version " + std::to_string(version) +
                                        " was written by a newer build than this one");
  }
  Command command = decode_fields(static_cast<Kind>(kind), in);
  if (!in.at_end()) return Error(Code::invalid, "command " + std::to_string(kind) + " does not parse");
  return command;
}

std::string encode(const Result<Answer>& answer) {
  Writer out;
  if (answer.ok()) {
    out.u8(static_cast<std::uint8_t>(Outcome::done));
    out.u64(answer->first);
    out.u64(answer->count);
  } else {
    out.u8(static_cast<std::uint8_t>(outcome(answer.error().code())));
    out.text(answer.error().what());
  }
  return out.take();
}

Result<Answer> decode_answer(std::string_view bytes) {
  Reader in(bytes_of(bytes));
  const auto outcome = static_cast<Outcome>(in.u8());
  if (outcome == Outcome::done) {
    Answer answer;
    answer.first = in.u64();
    answer.count = in.u64();
    if (in.at_end()) return answer;
  } else {
    std::string what = in.text();
    if (in.at_end()) return Error(code(outcome), std::move(what));
  }
  return Error(Code::internal, "answer of the state machine does not parse");
}

}  // namespace holdfast::topology
