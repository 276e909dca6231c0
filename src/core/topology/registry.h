// Registry: all that masters must agree on, and nothing else. A deterministic state machine over committed entries.
//
// It holds: whose cluster this is and its generation; which file keys and volume ids are spoken for; which folders of
// volume servers belong to the cluster; the members' addresses; the feature level; the key-value space (core/kv). Where
// volumes lie is not in it: the volume servers tell every master that (topology.h). But of a volume whose copies were made again it
// knows which ones count.
//
// Keys are never given twice, because of four rules (raft-and-leases 3.6):
//   1. A key block is a range above every earlier one, given by a committed entry to exactly one *process* of one
//      master. Nobody else uses it, not even the same master after a restart. So it does not matter who leads, or
//      whether an old leader does not know yet that it was replaced: both assign from blocks of their own.
//   2. A master takes blocks only from the applied registry, never from its log. An entry that is applied is committed.
//   3. Folders that come from elsewhere (another cluster, lost masters, upstream) are adopted by an entry before any
//      of their volumes is written to. It moves the key floor past their largest key plus kKeySkip, for what their old
//      masters had assigned and nobody had written yet, and takes back every block below the floor. Masters drop
//      those blocks before they let the volumes be written to.
//   4. A volume whose largest key is not below the counter is not written to at all (a corrupt key above
//      kAdoptedKeyMax never is; it cannot use up the space).
//
// A command is decided when it is applied. One that is refused changes nothing but its session's answers.
//
// Pure and deterministic; not thread-safe (the applying thread owns it). Formats: docs/registry-format.md.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "core/kv/space.h"
#include "core/topology/state_machine.h"
#include "model/ids.h"

namespace holdfast::topology {

constexpr std::uint64_t kKeySkip = 1ull << 32;         // skipped where someone's unwritten keys may be lost to us
constexpr std::uint64_t kAdoptedKeyMax = 1ull << 63;   // above it a key is taken for corrupt; snowflake ids lie below
constexpr std::uint64_t kKeyMax = ~0ull - kKeySkip;    // the counter never passes it
constexpr std::uint64_t kKeyBlockMax = 1ull << 26;     // in one reservation
constexpr std::uint32_t kVolumeIdSkip = 128;           // skipped when masters were lost: volumes they made unseen by us
// Skipped by succeed(). What the lost masters did last is not known at all: they may have adopted folders, each of which
// moved their counter by kKeySkip past its keys, and reserved blocks there. Two to the fortieth is beyond what any number
// of such steps does; where a folder itself holds larger keys, Topology::uncovered_key() goes twice the usual way past them.
constexpr std::uint64_t kKeySkipOfSuccessor = 1ull << 40;
constexpr std::uint32_t kVolumeIdSkipOfSuccessor = 4096;  // as many as can be unsettled
constexpr std::uint32_t kAdoptedVolumeIdMax = 1u << 31;
constexpr std::uint32_t kVolumeIdMax = 0xfffffffe;
constexpr std::uint32_t kVolumeIdsPerCommandMax = 1024;
constexpr std::size_t kUnsettledMax = 4 * kVolumeIdsPerCommandMax;  // the lowest ids go first
constexpr std::size_t kBlocksPerHolderMax = 8;         // remembered for a holder that installs a snapshot
constexpr std::size_t kHoldersMax = 256;               // masters, members that were forgotten included
constexpr std::size_t kDirsMax = 1u << 18;
constexpr std::size_t kDirsPerCommandMax = 4096;
constexpr std::size_t kAdoptedClustersMax = 256;
constexpr std::size_t kAddressBytesMax = 512;
constexpr std::size_t kEpochsMax = 1u << 22;            // volumes with an epoch
constexpr std::size_t kSessionsMax = 256;              // the one unused for longest goes first
constexpr std::size_t kAnswersPerSessionMax = 1024;    // the oldest goes first

// ---- commands ------------------------------------------------------------------------------------------------------

// The first entry of every cluster. Again with the same id: no change. With another: refused.
struct InitCluster {
  ClusterId cluster_id;
};
// `count` keys for this process of this master. Refused (stale) for an incarnation below one that was seen.
struct ReserveKeys {
  NodeId node;
  Incarnation incarnation;
  Uuid process;
  std::uint64_t count = 0;
};
struct AllocateVolumeIds {
  std::uint32_t count = 1;
};
// What became of these volumes is known: all their copies exist, or none of them does. See RegistryState::unsettled.
struct SettleVolumes {
  std::vector<VolumeId> volumes;
};
// A volume with this id exists.
struct RaiseVolumeIds {
  VolumeId seen;
};
// A volume of an adopted folder holds this key, and it is not below the counter.
struct RaiseKeys {
  NeedleId seen;
};
// Folders of one volume server become the cluster's. `has_volumes`: they hold files, of which max_key and
// max_volume_id are the largest. `cluster_id`, `generation`: what the volume server remembers (empty: nothing).
// Refused when they belong to another cluster and hold files, unless this one is new and takes over that one's volumes.
struct AdoptDirs {
  ClusterId cluster_id;
  Generation generation;
  bool has_volumes = false;
  NeedleId max_key;
  VolumeId max_volume_id;
  std::vector<Uuid> dirs;
};
// Every member understands this level (the leader saw all of them say so).
struct RaiseFeatureLevel {
  std::uint32_t level = 0;
};
// What a member says of itself. A later incarnation replaces an earlier one, never the reverse.
struct AnnounceMember {
  NodeId node;
  Incarnation incarnation;
  Uuid process;
  std::string http;
  std::string grpc;
  std::string public_url;
  std::uint32_t feature_level = 0;
};
struct ForgetMember {
  NodeId node;
};
// From now on the copies of this volume that count are those of this epoch or a later one (docs/self-healing.md). Refused
// (stale) unless it is above the one that counts.
struct SetReplicaEpoch {
  VolumeId volume;
  std::uint64_t epoch = 0;
};
// Committed state may have been lost (recovery by an operator): generation becomes at least this, keys and volume ids
// are skipped.
struct RaiseGeneration {
  Generation generation;
};

using Command = std::variant<InitCluster, ReserveKeys, AllocateVolumeIds, RaiseVolumeIds, RaiseKeys, AdoptDirs,
                             RaiseFeatureLevel, AnnounceMember, ForgetMember, RaiseGeneration, SettleVolumes, SetReplicaEpoch>;

std::string encode(const Command& command);
Result<Command> decode_command(BytesView bytes);

// ---- answers -------------------------------------------------------------------------------------------------------

// `first` and `count`: the keys or volume ids reserved (ReserveKeys, AllocateVolumeIds), the new generation (AdoptDirs,
// RaiseGeneration), the new counter (Raise...).
struct Answer {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
std::string encode(const Result<Answer>& answer);
// The refusal of the state machine comes back as the Error: invalid, stale, refused, no_space.
Result<Answer> decode_answer(std::string_view bytes);

// ---- state ---------------------------------------------------------------------------------------------------------

struct KeyBlock {
  NeedleId begin;
  NeedleId end;  // exclusive
  Index index;   // of the entry that gave it

  friend bool operator==(const KeyBlock&, const KeyBlock&) = default;
};

// Who may use which blocks.
struct KeyHolder {
  Incarnation incarnation;
  Uuid process;
  std::uint64_t block_size = 0;  // of its last reservation: what it gets in place of blocks taken back
  std::vector<KeyBlock> blocks;  // ascending; the newest kBlocksPerHolderMax

  friend bool operator==(const KeyHolder&, const KeyHolder&) = default;
};

struct MemberRecord {
  Incarnation incarnation;
  Uuid process;
  std::string http;
  std::string grpc;
  std::string public_url;
  std::uint32_t feature_level = 0;

  friend bool operator==(const MemberRecord&, const MemberRecord&) = default;
};

using DirSet = std::set<Uuid>;
using VolumeSet = std::set<VolumeId>;
using EpochMap = std::map<VolumeId, std::uint64_t>;

// Copies are cheap: the large part is shared and replaced, never changed.
struct RegistryState {
  ClusterId cluster_id;  // empty before InitCluster
  Generation generation = Generation(1);
  std::uint32_t feature_level = 0;
  NeedleId next_key = NeedleId(1);   // every key below is spoken for
  NeedleId key_floor = NeedleId(1);  // blocks below are taken back: foreign volumes may hold such keys
  VolumeId max_volume_id;            // 0: none yet
  std::map<NodeId, KeyHolder> holders;
  std::map<NodeId, MemberRecord> members;
  std::vector<ClusterId> adopted_clusters;  // whose volumes this cluster has taken over
  std::shared_ptr<const DirSet> dirs = std::make_shared<DirSet>();
  // Ids given to growths that nobody has said the end of: the leader that ordered the copies may have died in between.
  std::shared_ptr<const VolumeSet> unsettled = std::make_shared<VolumeSet>();

  // Of volumes whose copies were ever made again.
  std::shared_ptr<const EpochMap> epochs = std::make_shared<EpochMap>();

  std::uint64_t epoch(VolumeId volume) const {
    const auto it = epochs->find(volume);
    return it == epochs->end() ? 0 : it->second;
  }
  bool has_dir(const Uuid& dir) const { return dirs->contains(dir); }
  // Whether volumes that remember `cluster` may serve here (adopted or about to be).
  bool may_adopt(ClusterId cluster) const;
  friend bool operator==(const RegistryState& a, const RegistryState& b);
};

// The keys of the key-value space that an entry of the log may change; nothing: it cannot be told. Only that space is read
// by asking the leader, so what changes anything else holds back no read.
std::optional<std::vector<std::string>> keys_changed_by(BytesView entry);

class Registry final : public StateMachine {
 public:
  // `feature_level` is what this build understands: an entry that raises the level further stops this member.
  explicit Registry(std::uint32_t feature_level = 1) : own_feature_level_(feature_level) {}

  const RegistryState& state() const { return state_; }
  const kv::Space& kv() const { return kv_; }

  Result<std::vector<std::string>> apply(Index index, Term term, BytesView entry) override;
  Index applied() const override { return applied_; }
  std::uint64_t digest() const override;
  Checkpoint checkpoint() const override;
  Status restore(const Checkpoint& checkpoint) override;

  // The state with which a cluster goes on whose majority is gone for good (service/master/recovery.h): it is `successor`
  // from now on, has taken over the volumes of the one it was, is a generation further, and has skipped the keys and volume
  // ids that those who are gone may have given out. No entry of a log: nobody is left to agree with. Refused when the state
  // belongs to no cluster, or too many clusters' volumes were taken over already.
  Status succeed(ClusterId successor);

 private:
  struct Session {
    std::uint64_t answered_below = 0;
    std::uint64_t forgotten_below = 0;  // answers pushed out by kAnswersPerSessionMax: such requests are refused
    Index last_used;
    std::map<std::uint64_t, std::string> answers;  // encoded, by sequence
  };

  // A request of the registry, or one of the key-value space; what is wrong with it as it stands.
  using Asked = std::variant<Command, kv::Command>;
  static Result<Asked> decode_request(const Request& request);
  Status understands(const Asked& asked) const;
  std::string apply_request(const Request& request, const Asked& asked);
  void forget_oldest_session();
  // Each returns what to answer and changes state_ only on success.
  Result<Answer> apply(const InitCluster& command);
  Result<Answer> apply(const ReserveKeys& command);
  Result<Answer> apply(const AllocateVolumeIds& command);
  Result<Answer> apply(const RaiseVolumeIds& command);
  Result<Answer> apply(const RaiseKeys& command);
  Result<Answer> apply(const AdoptDirs& command);
  Result<Answer> apply(const RaiseFeatureLevel& command);
  Result<Answer> apply(const AnnounceMember& command);
  Result<Answer> apply(const ForgetMember& command);
  Result<Answer> apply(const RaiseGeneration& command);
  Result<Answer> apply(const SettleVolumes& command);
  Result<Answer> apply(const SetReplicaEpoch& command);

  // The counter and the floor become at least `floor`; all blocks below are taken back and each holder gets one anew.
  void raise_floor(std::uint64_t floor);
  void give_block(KeyHolder& holder, std::uint64_t count);
  std::string encode_state() const;

  const std::uint32_t own_feature_level_;
  Index applied_;
  Term applied_term_;
  RegistryState state_;
  kv::Space kv_;
  std::map<Uuid, Session> sessions_;
};

}  // namespace holdfast::topology
