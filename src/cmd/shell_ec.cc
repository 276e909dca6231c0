// Commands about erasure-coded volumes: made of normal ones, made normal again, lost shards made anew, shards spread.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <set>

#include "base/strconv.h"
#include "cmd/client_tools.h"
#include "cmd/shard_transfer.h"
#include "cmd/shell_commands.h"
#include "cmd/volume_transfer.h"
#include "core/topology/ec_plan.h"
#include "core/topology/report.h"
#include "model/file_id.h"

namespace holdfast::cmd {
namespace {

using enum FlagType;
using topology::Picture;
using topology::PictureServer;
namespace pb = volume_server_pb;

std::uint32_t all_bits(const Picture& picture, VolumeId volume) {
  std::uint32_t bits = 0;
  for (const auto* server : picture.shard_holders(volume)) bits |= server->shard_bits(volume);
  return bits;
}

std::uint32_t bits_of(const std::vector<std::uint32_t>& shards) {
  std::uint32_t bits = 0;
  for (const auto shard : shards) bits |= 1u << (shard & 31);
  return bits;
}

std::uint32_t bits_of_first(std::uint32_t count) { return count >= 32 ? UINT32_MAX : (1u << count) - 1; }

// Volumes that have shards somewhere, with their collections.
std::map<VolumeId, std::string> encoded_volumes(const Picture& picture, const std::string& pattern,
                                                const std::vector<VolumeId>& only) {
  std::map<VolumeId, std::string> out;
  for (const auto& server : picture.servers) {
    for (const auto& info : server.shards) {
      if (!only.empty() ? std::find(only.begin(), only.end(), info.id) == only.end()
                        : !is_collection_wanted(pattern, info.collection)) {
        continue;
      }
      out[info.id] = info.collection;
    }
  }
  return out;
}

// ---- ec.encode

void declare_encode(FlagSet& flags) {
  flags.add({"volumeId", unsigned_integer, "0", "this volume"});
  flags.add({"volumeIds", string, "", "or these, comma-separated `ids`"});
  flags.add({"collection", string, "", "or all volumes of this collection, with * and ?, that are full and quiet"});
  flags.add({"fullPercent", number, "95", "with -collection: at least so full, in percent of the size limit"});
  flags.add({"quietFor", duration, "1h", "with -collection: not written for so long"});
  flags.add({"rebalance", boolean, "true", "spread the shards; else all stay where the volume was"});
  flags.add({"diskType", string, "", "shards go to disks of this type; empty: as the volume's"});
  flags.add({"dataShards", unsigned_integer, "0", "data shards; 0: 10, or what the volume's .vif says (Holdfast's own)"});
  flags.add({"parityShards", unsigned_integer, "0", "parity shards; 0: 4, or what the .vif says (Holdfast's own)"});
  flags.add({"shardReplicaPlacement", string, "", "", Support::later, "shards are spread over racks and servers evenly"});
  flags.add({"maxParallelization", integer, "1", "volumes at the same time", Support::inert});
}

class Encoding {
 public:
  Encoding(Shell& shell, const FlagSet& flags, VolumeId volume) : shell_(shell), flags_(flags), volume_(volume) {}

  Status run() {
    auto picture = shell_.picture();
    if (!picture) return picture.error();
    picture_ = std::move(*picture);
    const auto holders = picture_.holders(volume_);
    if (holders.empty()) return Error(Code::not_found, "no server has it");
    if (!picture_.shard_holders(volume_).empty()) {
      return Error(Code::already_exists, "it has erasure-coded shards already: ec.decode or ec.rebuild is for those");
    }
    source_ = *std::max_element(holders.begin(), holders.end(), [&](const auto* a, const auto* b) {
      return a->find(volume_)->file_count < b->find(volume_)->file_count;
    });
    collection_ = source_->find(volume_)->collection;
    const auto disk_type = flags_.string("diskType").empty() ? source_->find(volume_)->disk_type
                                                             : topology::canonical_disk_type(flags_.string("diskType"));
    Freeze freeze(shell_, volume_, /*on_disk=*/false);
    if (auto frozen = freeze.take(holders); !frozen) return frozen;
    if (auto equal = check_equal(shell_, volume_, holders); !equal) return equal;
    // What an encoding that broke off has left must not mix with what is made now.
    for (const auto& server : picture_.servers) {
      if (auto swept = drop_all_shards(shell_, volume_, collection_, server); !swept) return swept;
    }
    auto made = make(disk_type);
    if (made) made = still_frozen(holders);
    if (made) made = shell_.locked();
    if (!made) {
      Shell::say("volume {}: stays as it was; its shards are taken away", volume_.value());
      for (const auto& server : picture_.servers) {
        if (auto swept = drop_all_shards(shell_, volume_, collection_, server); !swept) {
          Shell::say("volume {}: shards stay at {}: {}", volume_.value(), server.id, swept.error().what());
        }
      }
      return made;
    }
    // From here on the shards are the volume.
    for (const auto* holder : holders) {
      if (auto gone = delete_copy(shell_, volume_, *holder); !gone) {
        freeze.leave();
        return gone.error().at("the shards are complete; the normal volume at " + holder->id + " stays, read-only");
      }
      freeze.forget(*holder);
      Shell::say("volume {}: deleted at {}", volume_.value(), holder->id);
    }
    shell_.wait_until([&](const Picture& present) { return present.holders(volume_).empty(); });
    return {};
  }

 private:
  Status make(const std::string& disk_type) {
    pb::ReadVolumeFileStatusRequest ask;
    ask.set_volume_id(volume_.value());
    const auto before = shell_.servers.call(source_->address.grpc(), ask);
    if (!before) return before.error();
    pb::VolumeEcShardsGenerateRequest generate;
    generate.set_volume_id(volume_.value());
    generate.set_collection(collection_);
    const auto data = flags_.unsigned_integer("dataShards"), parity = flags_.unsigned_integer("parityShards");
    if (data != 0 || parity != 0) {
      const ec::Scheme wished{static_cast<unsigned>(std::min<std::uint64_t>(data, 99)),
                              static_cast<unsigned>(std::min<std::uint64_t>(parity, 99))};
      if (!wished.is_valid()) return Error(Code::invalid, "there are no " + ec::text(wished) + " shards");
      generate.set_data_shards(wished.data);
      generate.set_parity_shards(wished.parity);
      scheme_ = wished;
    } else {
      scheme_ = scheme_of_volume(*source_, volume_, collection_);
    }
    // Before the work is done it is known where its outcome goes.
    std::map<std::string, std::vector<std::uint32_t>> places;
    if (flags_.boolean("rebalance")) {
      // The slots of the volume's copies are free in the end.
      auto later = picture_;
      for (auto& server : later.servers) {
        if (const auto* copy = server.find(volume_); copy != nullptr) ++server.disks[copy->disk_type].free;
      }
      auto plan = topology::plan_spread(later, disk_type, scheme_.total());
      if (!plan) return plan.error();
      places = std::move(*plan);
    } else {
      for (std::uint32_t shard = 0; shard < scheme_.total(); ++shard) places[source_->id].push_back(shard);
    }
    Shell::say("volume {}: {} are encoded at {}", volume_.value(), human_bytes(before->dat_file_size()), source_->id);
    const auto made = shell_.servers.call(source_->address.grpc(), generate);
    if (!made) return made.error();
    if (const auto told = scheme_of_volume(*source_, volume_, collection_); told != scheme_) {
      return Error(Code::internal, "it was encoded as " + ec::text(told) + ", not as " + ec::text(scheme_));
    }
    for (const auto& [id, shards] : places) {
      if (shards.size() > scheme_.parity) {
        Shell::say("volume {}: with {} gone {} shards would be, more than the {} that may be lost", volume_.value(), id, shards.size(),
                   scheme_.parity);
      }
    }
    for (const auto& [id, shards] : places) {
      if (auto locked = shell_.locked(); !locked) return locked;
      const auto* target = picture_.find(id);
      if (target != source_) {
        if (auto copied = copy_shards(shell_, volume_, collection_, shards, *source_, *target, true); !copied) return copied;
      }
    }
    for (const auto& [id, shards] : places) {
      if (auto mounted = mount_shards(shell_, volume_, collection_, shards, *picture_.find(id)); !mounted) return mounted;
    }
    if (auto counted = count(places); !counted) return counted;
    const auto after = shell_.servers.call(source_->address.grpc(), ask);
    if (!after) return after.error();
    if (after->dat_file_size() != before->dat_file_size() || after->compaction_revision() != before->compaction_revision()) {
      return Error(Code::stale, "it was written while it was encoded");
    }
    // What lies at the source and belongs elsewhere; the volume's files stay beside it for now.
    std::vector<std::uint32_t> extra;
    for (std::uint32_t shard = 0; shard < scheme_.total(); ++shard) {
      const auto mine = places.find(source_->id);
      if (mine == places.end() || std::find(mine->second.begin(), mine->second.end(), shard) == mine->second.end()) {
        extra.push_back(shard);
      }
    }
    if (!extra.empty()) {
      if (auto dropped = drop_shards(shell_, volume_, collection_, extra, *source_); !dropped) return dropped;
    }
    return {};
  }

  // A server that was restarted meanwhile has forgotten the mark.
  Status still_frozen(const Servers& holders) {
    for (const auto* holder : holders) {
      pb::VolumeStatusRequest request;
      request.set_volume_id(volume_.value());
      const auto status = shell_.servers.call(holder->address.grpc(), request);
      if (!status) return status.error();
      if (!status->is_read_only()) return Error(Code::stale, holder->id + " takes writes for it again: try again");
    }
    return {};
  }

  // Each shard is mounted where it belongs, all have one length, and the masters tell so.
  Status count(const std::map<std::string, std::vector<std::uint32_t>>& places) {
    std::set<std::uint32_t> seen;
    std::int64_t length = 0;
    for (const auto& [id, shards] : places) {
      const auto mounted = mounted_shards(shell_, volume_, *picture_.find(id));
      if (!mounted) return mounted.error();
      for (const auto shard : shards) {
        const auto found = mounted->find(shard);
        if (found == mounted->end()) return Error(Code::corrupt, fmt::format("shard {} is not mounted at {}", shard, id));
        if (length != 0 && found->second != length) {
          return Error(Code::corrupt, fmt::format("shard {} at {} has {} bytes, others have {}", shard, id, found->second, length));
        }
        length = found->second;
        seen.insert(shard);
      }
    }
    if (seen.size() != scheme_.total()) {
      return Error(Code::corrupt, fmt::format("{} of {} shards are mounted", seen.size(), scheme_.total()));
    }
    if (!shell_.wait_until([&](const Picture& present) { return all_bits(present, volume_) == bits_of_first(scheme_.total()); })) {
      return Error(Code::timed_out, "the masters do not tell that all shards are there");
    }
    Shell::say("volume {}: all {} shards of {} counted on {} servers", volume_.value(), ec::text(scheme_),
               human_bytes(static_cast<std::uint64_t>(length)), places.size());
    return {};
  }

  Shell& shell_;
  const FlagSet& flags_;
  const VolumeId volume_;
  Picture picture_;
  const PictureServer* source_ = nullptr;
  std::string collection_;
  ec::Scheme scheme_;
};

Result<std::vector<VolumeId>> volumes_to_encode(Shell& shell, const FlagSet& flags) {
  auto ids = volume_ids(flags.string("volumeIds"));
  if (!ids) return ids;
  if (const auto id = flags.unsigned_integer("volumeId"); id != 0) {
    if (id > UINT32_MAX) return Error(Code::invalid, "-volumeId is no volume's");
    ids->emplace_back(static_cast<std::uint32_t>(id));
  }
  if (!ids->empty()) return ids;
  if (!flags.is_given("collection")) {
    return Error(Code::invalid, "-volumeId, -volumeIds or -collection must say which volumes");
  }
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto wall = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  const auto quiet = std::chrono::duration_cast<std::chrono::seconds>(flags.duration("quietFor"));
  const auto& wanted = flags.string("collection");
  std::set<VolumeId> chosen, passed;
  for (const auto& server : picture->servers) {
    for (const auto& volume : server.volumes) {
      if (wanted.empty() ? !volume.collection.empty() : !is_collection_wanted(wanted, volume.collection)) continue;
      const bool is_full = static_cast<double>(volume.size) * 100 >=
                           flags.number("fullPercent") * static_cast<double>(picture->volume_size_limit);
      const bool is_quiet = volume.modified_at_second + quiet.count() < wall.count();
      (is_full && is_quiet ? chosen : passed).insert(volume.id);
    }
  }
  for (const auto id : passed) chosen.erase(id);  // one copy may have been written later than another
  return std::vector<VolumeId>(chosen.begin(), chosen.end());
}

template <typename One>
Status for_each(Shell& shell, const std::vector<VolumeId>& volumes, One one) {
  std::size_t failed = 0;
  for (const auto id : volumes) {
    if (auto locked = shell.locked(); !locked) return locked;
    if (auto done = one(id); !done) {
      ++failed;
      if (volumes.size() == 1) return done.error().at(fmt::format("volume {}", id.value()));
      Shell::say("volume {}: {}", id.value(), done.error().what());
    }
  }
  if (failed > 0) return Error(Code::unavailable, fmt::format("{} of {} volumes failed", failed, volumes.size()));
  return {};
}

Status encode(Shell& shell, const FlagSet& flags) {
  const auto volumes = volumes_to_encode(shell, flags);
  if (!volumes) return volumes.error();
  if (volumes->empty()) Shell::say("no volume is full and quiet enough");
  return for_each(shell, *volumes, [&](VolumeId id) { return Encoding(shell, flags, id).run(); });
}

// ---- ec.rebuild

void declare_rebuild(FlagSet& flags) {
  flags.add({"collection", string, "EACH_COLLECTION", "only of this collection, with * and ?"});
  flags.add({"volumeIds", string, "", "only these, comma-separated `ids`"});
  declare_apply(flags);
  flags.add({"maxParallelization", integer, "1", "volumes at the same time", Support::inert});
}

Status rebuild_one(Shell& shell, const Picture& picture, const topology::ShardRebuild& plan) {
  const auto* rebuilder = picture.find(plan.rebuilder);
  const auto before = mounted_shards(shell, plan.volume, *rebuilder);
  if (!before) return before.error();
  std::vector<std::uint32_t> fetched;
  const auto tidy = [&] {
    if (fetched.empty()) return;
    if (auto dropped = drop_shards(shell, plan.volume, plan.collection, fetched, *rebuilder); !dropped) {
      Shell::say("ec volume {}: {}", plan.volume.value(), dropped.error().what());
    }
  };
  bool with_index = before->empty();
  for (const auto& [id, shards] : plan.fetch) {
    fetched.insert(fetched.end(), shards.begin(), shards.end());
    if (auto copied = copy_shards(shell, plan.volume, plan.collection, shards, *picture.find(id), *rebuilder, with_index); !copied) {
      tidy();
      return copied;
    }
    with_index = false;
  }
  pb::VolumeEcShardsRebuildRequest request;
  request.set_volume_id(plan.volume.value());
  request.set_collection(plan.collection);
  const auto made = shell.servers.call(rebuilder->address.grpc(), request);
  if (!made) {
    tidy();
    return made.error();
  }
  // Only what nobody has is kept here; a rotten one of the rebuilder's that was made anew was mounted all along.
  std::vector<std::uint32_t> kept;
  for (const auto shard : made->rebuilt_shard_ids()) {
    if (std::find(plan.missing.begin(), plan.missing.end(), shard) != plan.missing.end()) {
      kept.push_back(shard);
    } else if (!before->contains(shard) && std::find(fetched.begin(), fetched.end(), shard) == fetched.end()) {
      fetched.push_back(shard);
    }
  }
  auto mounted = mount_shards(shell, plan.volume, plan.collection, kept, *rebuilder);
  tidy();
  if (!mounted) return mounted;
  if (kept.size() != plan.missing.size()) {
    return Error(Code::corrupt, fmt::format("{} of {} lost shards were made anew", kept.size(), plan.missing.size()));
  }
  auto holders = picture.shard_holders(plan.volume);
  if (std::find(holders.begin(), holders.end(), rebuilder) == holders.end()) holders.push_back(rebuilder);
  if (auto shared = share_deletions(shell, plan.volume, plan.collection, holders); !shared) return shared;
  shell.wait_until([&](const Picture& present) { return (all_bits(present, plan.volume) & bits_of(kept)) == bits_of(kept); });
  Shell::say("ec volume {}: shards {} made anew at {}", plan.volume.value(), fmt::join(kept, " "), rebuilder->id);
  return {};
}

Status rebuild(Shell& shell, const FlagSet& flags) {
  const auto only = volume_ids(flags.string("volumeIds"));
  if (!only) return only.error();
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto volumes = encoded_volumes(*picture, flags.string("collection"), *only);
  std::map<VolumeId, ec::Scheme> schemes;
  for (const auto& [id, collection] : volumes) {
    schemes[id] = scheme_of_volume(*picture->shard_holders(id).front(), id, collection);
  }
  const auto plan = topology::plan_shard_rebuilds(
      *picture, [&](VolumeId id) { return std::pair<std::uint32_t, std::uint32_t>(schemes[id].data, schemes[id].total()); },
      {.wanted = [&](const EcShardsInfo& info) { return volumes.contains(info.id); }});
  if (plan.empty()) Shell::say("all shards of {} erasure-coded volumes are there", volumes.size());
  std::size_t failed = 0;
  for (const auto& one : plan) {
    Shell::say("ec volume {}: shards {} are lost{}", one.volume.value(), fmt::join(one.missing, " "),
               one.rebuilder.empty() ? ", and too few are left or no server has room" : ", to be made anew at " + one.rebuilder);
    if (one.rebuilder.empty()) {
      ++failed;
      continue;
    }
    if (!applies(flags)) continue;
    if (auto locked = shell.locked(); !locked) return locked;
    if (auto done = rebuild_one(shell, *picture, one); !done) {
      ++failed;
      Shell::say("ec volume {}: {}", one.volume.value(), done.error().what());
    }
  }
  if (failed > 0) return Error(Code::unavailable, fmt::format("{} volumes could not be rebuilt", failed));
  return {};
}

// ---- ec.balance

void declare_balance(FlagSet& flags) {
  flags.add({"collection", string, "EACH_COLLECTION", "only of this collection, with * and ?"});
  flags.add({"dataCenter", string, "", "only among servers of this data center"});
  flags.add({"shardReplicaPlacement", string, "", "", Support::later, "shards are spread over racks and servers evenly"});
  declare_apply(flags);
  flags.add({"maxParallelization", integer, "1", "volumes at the same time", Support::inert});
}

Status balance(Shell& shell, const FlagSet& flags) {
  auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto& center = flags.string("dataCenter");
  const topology::ShardWish wish{
      .wanted = [&](const EcShardsInfo& info) { return is_collection_wanted(flags.string("collection"), info.collection); },
      .takes_part = [&](const PictureServer& server) { return center.empty() || server.data_center == center; }};
  const auto doubled = topology::plan_deduplication(*picture, wish);
  for (const auto& copy : doubled) {
    Shell::say("shard {}.{} at {} is one too many", copy.volume.value(), copy.shard, copy.server);
    auto& servers = picture->servers;
    const auto at = std::find_if(servers.begin(), servers.end(), [&](const auto& s) { return s.id == copy.server; });
    if (applies(flags)) {
      if (auto locked = shell.locked(); !locked) return locked;
      // Another one must have it for certain.
      bool is_elsewhere = false;
      for (const auto* other : picture->shard_holders(copy.volume)) {
        if (other->id == copy.server) continue;
        const auto mounted = mounted_shards(shell, copy.volume, *other);
        is_elsewhere = is_elsewhere || (mounted && mounted->contains(copy.shard));
      }
      if (!is_elsewhere) return Error(Code::stale, "the shards changed meanwhile: begin again");
      if (auto dropped = drop_shards(shell, copy.volume, copy.collection, {copy.shard}, *at); !dropped) return dropped;
    }
    for (auto& info : at->shards) {
      if (info.id == copy.volume) info.bits &= ~(1u << copy.shard);
    }
  }
  const auto moves = topology::plan_shard_balance(*picture, wish);
  if (moves.empty() && doubled.empty()) Shell::say("nothing to move");
  for (const auto& move : moves) {
    if (applies(flags)) break;
    Shell::say("move shard {}.{} from {} to {}", move.volume.value(), move.shard, move.source, move.target);
  }
  return applies(flags) ? carry_out_moves(shell, moves) : Status();
}

// ---- ec.decode

void declare_decode(FlagSet& flags) {
  flags.add({"volumeId", unsigned_integer, "0", "this volume"});
  flags.add({"collection", string, "", "or all volumes of this collection, with * and ?"});
  flags.add({"diskType", string, "", "", Support::later, "the volume is made beside the shards it is made of"});
  flags.add({"checkMinFreeSpace", boolean, "true", "refuse when the server has no room for the volume"});
}

class Decoding {
 public:
  Decoding(Shell& shell, const FlagSet& flags, VolumeId volume, std::string collection)
      : shell_(shell), flags_(flags), volume_(volume), collection_(std::move(collection)) {}

  Status run() {
    auto picture = shell_.picture();
    if (!picture) return picture.error();
    picture_ = std::move(*picture);
    holders_ = picture_.shard_holders(volume_);
    if (holders_.empty()) return Error(Code::not_found, "no server has shards of it");
    if (!picture_.holders(volume_).empty()) return Error(Code::already_exists, "there is a normal volume of that id, too");
    scheme_ = scheme_of_volume(*holders_.front(), volume_, collection_);
    target_ = *std::max_element(holders_.begin(), holders_.end(), [&](const auto* a, const auto* b) {
      return data_shards(*a).size() < data_shards(*b).size();
    });
    if (auto room = check_room(); !room) return room;
    if (auto gathered = gather(); !gathered) {
      (void)drop_fetched();
      return gathered;
    }
    if (auto locked = shell_.locked(); !locked) {
      (void)drop_fetched();
      return locked;
    }
    const auto noted = deleted_keys(volume_, collection_, *target_);
    if (!noted) return noted.error();
    pb::VolumeEcShardsToVolumeRequest request;
    request.set_volume_id(volume_.value());
    request.set_collection(collection_);
    const auto made = shell_.servers.call(target_->address.grpc(), request);
    if (!made) {
      if (made.error().what().find("has no live entries") != std::string::npos) {
        Shell::say("ec volume {}: holds no file any more and is deleted", volume_.value());
        return drop_everywhere();
      }
      (void)drop_fetched();
      return made.error();
    }
    return switch_over({noted->begin(), noted->end()});
  }

 private:
  std::vector<std::uint32_t> data_shards(const PictureServer& server) const {
    std::vector<std::uint32_t> out;
    for (std::uint32_t shard = 0; shard < scheme_.data; ++shard) {
      if ((server.shard_bits(volume_) >> shard & 1) != 0) out.push_back(shard);
    }
    return out;
  }

  Status check_room() const {
    if (!flags_.boolean("checkMinFreeSpace")) return {};
    std::uint64_t bytes = 0;
    for (const auto& info : target_->shards) {
      if (info.id != volume_) continue;
      for (const auto size : info.shard_sizes) bytes = std::max(bytes, static_cast<std::uint64_t>(std::max<std::int64_t>(size, 0)));
    }
    const auto needed = bytes * scheme_.data * 2;  // the other data shards, and the volume
    for (const auto& [type, disk] : target_->disks) {
      if (disk.total_bytes != 0 && disk.free_bytes >= needed) return {};
      if (disk.total_bytes == 0) return {};  // it does not tell
    }
    return Error(Code::no_space, fmt::format("{} has less than {} free", target_->id, human_bytes(needed)));
  }

  // All data shards to the target, the lost ones made anew there.
  Status gather() {
    auto have = target_->shard_bits(volume_);
    const auto fetch = [&](std::uint32_t limit, std::uint32_t wanted) -> Status {
      for (const auto* holder : holders_) {
        std::vector<std::uint32_t> shards;
        for (std::uint32_t shard = 0; shard < limit; ++shard) {
          if ((have >> shard & 1) != 0 || (holder->shard_bits(volume_) >> shard & 1) == 0) continue;
          if (static_cast<std::uint32_t>(std::popcount(have)) >= wanted) break;
          shards.push_back(shard);
          have |= 1u << shard;
        }
        if (shards.empty()) continue;
        fetched_.insert(fetched_.end(), shards.begin(), shards.end());
        if (auto copied = copy_shards(shell_, volume_, collection_, shards, *holder, *target_, false); !copied) return copied;
      }
      return {};
    };
    if (auto got = fetch(scheme_.data, 32); !got) return got;
    if ((have & bits_of_first(scheme_.data)) == bits_of_first(scheme_.data)) return {};
    if (auto got = fetch(scheme_.total(), scheme_.data); !got) return got;
    if (static_cast<std::uint32_t>(std::popcount(have)) < scheme_.data) {
      return Error(Code::unavailable, fmt::format("{} shards are left, {} are needed", std::popcount(have), scheme_.data));
    }
    pb::VolumeEcShardsRebuildRequest request;
    request.set_volume_id(volume_.value());
    request.set_collection(collection_);
    const auto made = shell_.servers.call(target_->address.grpc(), request);
    if (!made) return made.error();
    fetched_.insert(fetched_.end(), made->rebuilt_shard_ids().begin(), made->rebuilt_shard_ids().end());
    return {};
  }

  Status drop_fetched() {
    if (fetched_.empty()) return {};
    return drop_shards(shell_, volume_, collection_, fetched_, *target_);
  }

  Status drop_everywhere() {
    Status first;
    for (const auto& server : picture_.servers) {
      if (auto dropped = drop_all_shards(shell_, volume_, collection_, server); !dropped && first) first = dropped;
    }
    return first;
  }

  // The volume takes the place of its shards. They are unmounted first, so that no delete can go to them any more; what was
  // deleted since the volume was made of them is deleted from it then. Files cannot be read for that moment.
  Status switch_over(const std::set<std::uint64_t>& noted) {
    for (const auto* holder : holders_) {
      pb::VolumeEcShardsUnmountRequest request;
      request.set_volume_id(volume_.value());
      for (std::uint32_t shard = 0; shard < ec::kShardsMax; ++shard) request.add_shard_ids(shard);
      if (const auto done = shell_.servers.call(holder->address.grpc(), request); !done) return remount(done.error());
    }
    std::set<std::uint64_t> late;
    for (const auto* holder : holders_) {
      const auto keys = deleted_keys(volume_, collection_, *holder);
      if (!keys) return remount(keys.error());
      for (const auto key : *keys) {
        if (!noted.contains(key)) late.insert(key);
      }
    }
    pb::VolumeMountRequest mount;
    mount.set_volume_id(volume_.value());
    if (const auto done = shell_.servers.call(target_->address.grpc(), mount); !done) return remount(done.error());
    pb::BatchDeleteRequest deletes;
    deletes.set_skip_cookie_check(true);
    for (const auto key : late) deletes.add_file_ids(text(FileId{volume_, NeedleId(key), Cookie(0)}));
    if (!late.empty()) {
      const auto done = shell_.servers.call(target_->address.grpc(), deletes);
      if (!done) return done.error();
      for (const auto& result : done->results()) {
        if (result.status() >= 400 && result.status() != 404) return Error(Code::internal, result.file_id() + ": " + result.error());
      }
    }
    // The mark that the encoded volume carried along, if any.
    pb::VolumeMarkWritableRequest writable;
    writable.set_volume_id(volume_.value());
    if (const auto done = shell_.servers.call(target_->address.grpc(), writable); !done) return done.error();
    pb::VolumeStatusRequest ask;
    ask.set_volume_id(volume_.value());
    const auto status = shell_.servers.call(target_->address.grpc(), ask);
    if (!status) return status.error();
    Shell::say("volume {}: {} files, {}, at {}", volume_.value(), status->file_count() - status->file_deleted_count(),
               human_bytes(status->volume_size()), target_->id);
    auto dropped = drop_everywhere();
    shell_.wait_until([&](const Picture& present) {
      return present.shard_holders(volume_).empty() && !present.holders(volume_).empty();
    });
    return dropped;
  }

  Status remount(const Error& why) {
    for (const auto* holder : holders_) {
      std::vector<std::uint32_t> shards;
      for (std::uint32_t shard = 0; shard < 32; ++shard) {
        if ((holder->shard_bits(volume_) >> shard & 1) != 0) shards.push_back(shard);
      }
      if (auto mounted = mount_shards(shell_, volume_, collection_, shards, *holder); !mounted) {
        Shell::say("ec volume {}: {}", volume_.value(), mounted.error().what());
      }
    }
    return why;
  }

  Shell& shell_;
  const FlagSet& flags_;
  const VolumeId volume_;
  const std::string collection_;
  Picture picture_;
  Servers holders_;
  const PictureServer* target_ = nullptr;
  ec::Scheme scheme_;
  std::vector<std::uint32_t> fetched_;
};

Status decode(Shell& shell, const FlagSet& flags) {
  const auto id = flags.unsigned_integer("volumeId");
  if (id > UINT32_MAX) return Error(Code::invalid, "-volumeId is no volume's");
  if (id == 0 && !flags.is_given("collection")) return Error(Code::invalid, "-volumeId or -collection must say which volumes");
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  std::vector<VolumeId> only;
  if (id != 0) only.emplace_back(static_cast<std::uint32_t>(id));
  const auto volumes = encoded_volumes(*picture, flags.string("collection"), only);
  if (volumes.empty()) return Error(Code::not_found, "no such erasure-coded volume is there");
  std::vector<VolumeId> ids;
  for (const auto& [volume, collection] : volumes) ids.push_back(volume);
  return for_each(shell, ids, [&](VolumeId volume) { return Decoding(shell, flags, volume, volumes.at(volume)).run(); });
}

// ---- ec.check.replication

void declare_check(FlagSet& flags) {
  flags.add({"collection", string, "", "only of collections whose name matches, with * and ?"});
  flags.add({"volumeIds", string, "", "or only these, comma-separated `ids`"});
}

// What is wrong with where the shards of a volume lie; empty: nothing.
std::string shards_trouble(const Picture& picture, VolumeId volume, ec::Scheme scheme) {
  std::map<std::uint32_t, std::size_t> copies;
  std::string crowded;
  for (const auto* server : picture.shard_holders(volume)) {
    const auto bits = server->shard_bits(volume);
    for (std::uint32_t shard = 0; shard < 32; ++shard) {
      if ((bits >> shard & 1) != 0) ++copies[shard];
    }
    if (std::popcount(bits) > static_cast<int>(scheme.parity)) {
      crowded += fmt::format("; {} holds {}, and with it more than {} would be lost", server->id, std::popcount(bits), scheme.parity);
    }
  }
  std::vector<std::uint32_t> missing, doubled;
  for (std::uint32_t shard = 0; shard < scheme.total(); ++shard) {
    if (!copies.contains(shard)) missing.push_back(shard);
  }
  for (const auto& [shard, count] : copies) {
    if (count > 1) doubled.push_back(shard);
  }
  std::string out;
  if (!missing.empty()) {
    out += fmt::format("; {} of {} shards are missing: {}{}", missing.size(), scheme.total(), fmt::join(missing, " "),
                       scheme.total() - missing.size() < scheme.data ? ", too many to read it" : ", ec.rebuild makes them anew");
  }
  if (!doubled.empty()) out += fmt::format("; on several servers: {}, ec.balance drops them", fmt::join(doubled, " "));
  out += crowded;
  return out.empty() ? out : out.substr(2);
}

Status check_replication(Shell& shell, const FlagSet& flags) {
  const auto only = volume_ids(flags.string("volumeIds"));
  if (!only) return only.error();
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto volumes = encoded_volumes(*picture, flags.string("collection"), *only);
  std::size_t troubled = 0;
  for (const auto& [volume, collection] : volumes) {
    const auto scheme = scheme_of_volume(*picture->shard_holders(volume).front(), volume, collection);
    const auto trouble = shards_trouble(*picture, volume, scheme);
    if (trouble.empty()) continue;
    ++troubled;
    Shell::say("ec volume {}{}: {}", volume.value(), collection.empty() ? "" : " of collection " + collection, trouble);
  }
  Shell::say("{} erasure-coded volumes, {} of them not as they should be", volumes.size(), troubled);
  return {};
}

// ---- ec.shard.unmount

void declare_unmount(FlagSet& flags) {
  flags.add({"volumeId", unsigned_integer, "0", "of this volume"});
  flags.add({"node", string, "", "at this volume server"});
  flags.add({"shardIds", string, "", "these shards, comma-separated; empty: all that it has"});
}

Status unmount_shards(Shell& shell, const FlagSet& flags) {
  const auto volume = volume_of(flags);
  if (!volume) return volume.error();
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto server = server_named(*picture, flags.string("node"));
  if (!server) return server.error();
  const auto bits = (*server)->shard_bits(*volume);
  pb::VolumeEcShardsUnmountRequest request;
  request.set_volume_id(volume->value());
  for (const auto& text : split_list(flags.string("shardIds"))) {
    const auto shard = strconv::parse_int(text, 10, 32);
    if (!shard || *shard < 0 || *shard >= 32 || (bits >> *shard & 1) == 0) {
      return Error(Code::not_found, fmt::format("{} has no shard {} of volume {}", (*server)->id, text, volume->value()));
    }
    request.add_shard_ids(static_cast<std::uint32_t>(*shard));
  }
  if (request.shard_ids().empty()) {
    for (std::uint32_t shard = 0; shard < 32; ++shard) {
      if ((bits >> shard & 1) != 0) request.add_shard_ids(shard);
    }
  }
  if (request.shard_ids().empty()) return Error(Code::not_found, fmt::format("{} has no shard of volume {}", (*server)->id, volume->value()));
  const auto done = shell.servers.call((*server)->address.grpc(), request);
  if (!done) return done.error();
  std::uint32_t gone = 0;
  for (const auto shard : request.shard_ids()) gone |= 1u << shard;
  shell.wait_until([&](const Picture& present) {
    const auto* now_there = present.find((*server)->id);
    return now_there == nullptr || (now_there->shard_bits(*volume) & gone) == 0;
  });
  Shell::say("ec volume {}: {} shards are unmounted at {}; their files stay, and a restart mounts them again", volume->value(),
             request.shard_ids_size(), (*server)->id);
  return {};
}

constexpr ShellCommand kCommands[] = {
    {"ec.balance", "spreads shards evenly over racks and servers.", declare_balance, balance, true},
    {"ec.check.replication",
     "tells of erasure-coded volumes whose shards are missing, doubled, or too many on one server. It changes nothing.", declare_check,
     check_replication},
    {"ec.decode", "makes a normal volume of an erasure-coded one.", declare_decode, decode, true},
    {"ec.encode",
     "makes erasure-coded volumes of normal ones. A volume takes no writes from then on; its copies are deleted only when\n"
     "  all shards were counted.",
     declare_encode, encode, true},
    {"ec.rebuild", "makes lost shards anew.", declare_rebuild, rebuild, true},
    {"ec.shard.unmount", "has a volume server let go of shards; their files stay.", declare_unmount, unmount_shards, true},
};

}  // namespace

std::span<const ShellCommand> ec_commands() { return kCommands; }

}  // namespace holdfast::cmd
