// Commands that bring volumes to stores outside the cluster and back (docs/tiers.md). The volume server that holds a volume carries
// its .dat; what is here decides which, and sees to the other copies.
//
// One server then holds the volume, and it alone: two would delete the one object under each other.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cmd/client_tools.h"
#include "cmd/shell_commands.h"
#include "cmd/volume_transfer.h"
#include "core/topology/report.h"

namespace holdfast::cmd {
namespace {

using enum FlagType;
using topology::Picture;
using topology::PictureServer;
namespace pb = volume_server_pb;

const VolumeInfo& copy_at(const PictureServer& server, VolumeId volume) { return *server.find(volume); }

// Every so many bytes that a move has come on, a line.
constexpr std::int64_t kToldEach = 1 << 30;
client::VolumeAdmin::Progress telling(VolumeId volume, std::string_view what) {
  return [volume, what, told = std::int64_t{0}](std::int64_t bytes) mutable {
    if (bytes < told + kToldEach) return;
    told = bytes;
    Shell::say("volume {}: {} {}", volume.value(), human_bytes(static_cast<std::uint64_t>(bytes)), what);
  };
}

void declare_choice(FlagSet& flags, const char* help) { flags.add({"volumeId", unsigned_integer, "0", help}); }

// The volumes of -volumeId, or else those of which `wanted` holds for every copy.
Result<std::vector<VolumeId>> chosen(const FlagSet& flags, const Picture& picture, const std::function<bool(const VolumeInfo&)>& wanted) {
  const auto id = flags.unsigned_integer("volumeId");
  if (id > UINT32_MAX) return Error(Code::invalid, "-volumeId is no volume's");
  if (id != 0) return std::vector{VolumeId(static_cast<std::uint32_t>(id))};
  std::set<VolumeId> yes, no;
  for (const auto& server : picture.servers) {
    for (const auto& volume : server.volumes) (wanted(volume) ? yes : no).insert(volume.id);
  }
  for (const auto volume : no) yes.erase(volume);
  return std::vector<VolumeId>(yes.begin(), yes.end());
}

template <typename One>
Status for_each(Shell& shell, const std::vector<VolumeId>& volumes, std::string_view nothing, One one) {
  if (volumes.empty()) Shell::say("{}", nothing);
  std::size_t failed = 0;
  for (const auto id : volumes) {
    if (auto locked = shell.locked(); !locked) return locked;
    // What was looked at before may be long past.
    const auto picture = shell.picture();
    if (!picture) return picture.error();
    const auto holders = picture->holders(id);
    const auto done = holders.empty() ? Status(Error(Code::not_found, "no volume server has it")) : one(*picture, id, holders);
    if (done) continue;
    ++failed;
    if (volumes.size() == 1) return done.error().at(fmt::format("volume {}", id.value()));
    Shell::say("volume {}: {}", id.value(), done.error().what());
  }
  if (failed > 0) return Error(Code::unavailable, fmt::format("{} of {} volumes failed", failed, volumes.size()));
  return {};
}

// ---- up

struct Upload {
  std::string dest;  // "s3.cold"
  bool keeps_dat = false;
  bool may_lack_copies = false;
};

void declare_upload(FlagSet& flags) {
  flags.add({"dest", string, "", "the store, as `s3.cold`: a storage.backend of the masters' master.toml"});
  declare_choice(flags, "only this volume, full and quiet or not");
  declare_full_and_quiet(flags);
  flags.add({"keepLocalDatFile", boolean, "false", "the .dat stays on the disk too, and is what is read"});
}

// Copies that are still there beside the one that is in the store.
Status drop_others(Shell& shell, VolumeId volume, const PictureServer& remote, const Servers& others) {
  for (const auto* other : others) {
    if (auto locked = shell.locked(); !locked) return locked;
    if (auto gone = delete_copy(shell, volume, *other); !gone) return gone.error().at("the copy at " + other->id + " stays");
  }
  shell.wait_until([&](const Picture& now) {
    const auto holders = now.holders(volume);
    return holders.size() == 1 && holders.front()->id == remote.id && copy_at(*holders.front(), volume).is_remote();
  });
  return {};
}

// An earlier upload that broke off behind the server's work: what is left of it.
Status finish_upload(Shell& shell, VolumeId volume, const PictureServer& remote, const Servers& others) {
  const auto& there = copy_at(remote, volume);
  for (const auto* other : others) {
    const auto& copy = copy_at(*other, volume);
    if (copy.is_remote()) {
      return Error(Code::refused, fmt::format("{} and {} both say that its data is theirs, in {}", remote.id, other->id, copy.remote_storage_name));
    }
    if (copy.file_count != there.file_count || copy.compact_revision != there.compact_revision) {
      return Error(Code::stale, fmt::format("the copy at {} is not what {} holds in {}: look at both (volume.list), and delete the one that is wrong",
                                            other->id, remote.id, there.remote_storage_name));
    }
  }
  return drop_others(shell, volume, remote, others);
}

Status upload_one(Shell& shell, VolumeId volume, Servers holders, const Upload& wish) {
  const auto remote = std::find_if(holders.begin(), holders.end(), [&](const auto* h) { return copy_at(*h, volume).is_remote(); });
  const auto& copy = copy_at(remote == holders.end() ? *holders.front() : **remote, volume);
  if (remote == holders.end() && !wish.may_lack_copies && static_cast<int>(holders.size()) < copy.replica_placement.copies()) {
    return Error(Code::refused, fmt::format("{} of its {} copies are missing: volume.fix.replication first, or one that comes back later would be "
                                            "taken for the volume", copy.replica_placement.copies() - static_cast<int>(holders.size()),
                                            copy.replica_placement.copies()));
  }
  const auto* source = remote == holders.end() ? holders.front() : *remote;
  const auto others = [&] {
    auto out = holders;
    std::erase(out, source);
    return out;
  }();
  pb::VolumeTierMoveDatToRemoteRequest request;
  request.set_volume_id(volume.value());
  request.set_collection(copy.collection);
  request.set_destination_backend_name(wish.dest);
  request.set_keep_local_dat_file(wish.keeps_dat);
  if (remote != holders.end()) {  // the server sees to its .dat, if there is one
    if (auto done = shell.servers.to_tier(source->address.grpc(), request, telling(volume, "sent")); !done) return done;
    return finish_upload(shell, volume, *source, others);
  }
  // Not on disk: a volume that comes back from the store is to be what it was.
  Freeze freeze(shell, volume, /*on_disk=*/false);
  if (auto frozen = freeze.take(holders); !frozen) return frozen;
  if (auto equal = check_equal(shell, volume, holders); !equal) return equal;
  if (auto locked = shell.locked(); !locked) return locked;
  Shell::say("volume {}: {} go from {} to {}", volume.value(), human_bytes(copy.size), source->id, wish.dest);
  if (auto done = shell.servers.to_tier(source->address.grpc(), request, telling(volume, "sent")); !done) {
    // Whether it lies there is for the server to say, which the masters hear of.
    if (done.error().code() == Code::outcome_unknown) freeze.leave();
    return done;
  }
  freeze.forget(*source);  // it takes no writes as it is
  for (const auto* other : others) freeze.forget(*other);
  if (auto dropped = drop_others(shell, volume, *source, others); !dropped) {
    return dropped.error().at(fmt::format("it lies in {}; the same command goes on from there", wish.dest));
  }
  Shell::say("volume {}: lies in {}, held by {}", volume.value(), wish.dest, source->id);
  return {};
}

Status upload(Shell& shell, const FlagSet& flags) {
  const Upload wish{.dest = flags.string("dest"), .keeps_dat = flags.boolean("keepLocalDatFile")};
  if (wish.dest.empty()) return Error(Code::invalid, "-dest must say which store, as s3.cold for storage.backend.s3.cold of master.toml");
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto wanted = full_and_quiet(flags, picture->volume_size_limit);
  std::set<VolumeId> there;  // whole, with no copy beside it
  for (const auto& server : picture->servers) {
    for (const auto& volume : server.volumes) {
      if (volume.is_remote() && picture->holders(volume.id).size() == 1) there.insert(volume.id);
    }
  }
  const auto volumes = chosen(flags, *picture, [&](const VolumeInfo& volume) { return !there.contains(volume.id) && wanted(volume); });
  if (!volumes) return volumes.error();
  return for_each(shell, *volumes, "no volume is full and quiet", [&](const Picture&, VolumeId volume, const Servers& holders) {
    return upload_one(shell, volume, holders, wish);
  });
}

// ---- down

void declare_download(FlagSet& flags) {
  declare_choice(flags, "only this volume, of whatever collection");
  flags.add({"collectionPattern", string, "", "only of collections whose name matches, with * and ?"});
}

Status download_one(Shell& shell, VolumeId volume, const Servers& holders) {
  Servers remote;
  for (const auto* holder : holders) {
    if (copy_at(*holder, volume).is_remote()) remote.push_back(holder);
  }
  if (remote.empty()) return Error(Code::invalid, "it lies in no store outside the cluster");
  for (std::size_t i = 0; i < remote.size(); ++i) {
    const auto& copy = copy_at(*remote[i], volume);
    pb::VolumeTierMoveDatFromRemoteRequest request;
    request.set_volume_id(volume.value());
    request.set_collection(copy.collection);
    request.set_keep_remote_dat_file(i + 1 < remote.size());  // the object goes with the last one
    Shell::say("volume {}: {} come from {} to {}", volume.value(), human_bytes(copy.size), copy.remote_storage_name, remote[i]->id);
    if (auto done = shell.servers.from_tier(remote[i]->address.grpc(), request, telling(volume, "came")); !done) return done;
    // It was stopped for its way there.
    if (auto open = unmark(shell, volume, *remote[i]); !open) return open.error().at("it is back, but read-only (volume.mark -writable)");
  }
  shell.wait_until([&](const Picture& now) {
    const auto present = now.holders(volume);
    return !present.empty() && std::none_of(present.begin(), present.end(), [&](const auto* h) { return copy_at(*h, volume).is_remote(); });
  });
  const auto wanted = copy_at(*remote.front(), volume).replica_placement.copies();
  if (static_cast<int>(holders.size()) < wanted) {
    Shell::say("volume {}: is at {} again; its other {} are made by volume.fix.replication, or by themselves after -healAfter", volume.value(),
               remote.front()->id, wanted == 2 ? "copy" : "copies");
  } else {
    Shell::say("volume {}: is at {} again", volume.value(), remote.front()->id);
  }
  return {};
}

bool is_pattern_met(const FlagSet& flags, const VolumeInfo& volume) {
  return volume.is_remote() && is_collection_wanted(flags.string("collectionPattern"), volume.collection);
}

Status download(Shell& shell, const FlagSet& flags) {
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto volumes = chosen(flags, *picture, [&](const VolumeInfo& volume) { return is_pattern_met(flags, volume); });
  if (!volumes) return volumes.error();
  return for_each(shell, *volumes, "no such volume lies in a store outside the cluster",
                  [&](const Picture&, VolumeId volume, const Servers& holders) { return download_one(shell, volume, holders); });
}

// ---- down, compacted, and up again

void declare_compact(FlagSet& flags) {
  declare_choice(flags, "only this volume, of whatever collection and however little of it is deleted");
  flags.add({"collectionPattern", string, "", "only of collections whose name matches, with * and ?"});
  flags.add({"garbageThreshold", number, "0.3", "volumes of which at least this part is deleted"});
}

double garbage_of(const VolumeInfo& volume) {
  return volume.size == 0 ? 0 : static_cast<double>(volume.deleted_byte_count) / static_cast<double>(volume.size);
}

Status vacuum_at(Shell& shell, VolumeId volume, const PictureServer& server) {
  const auto& grpc = server.address.grpc();
  pb::VacuumVolumeCompactRequest compact;
  compact.set_volume_id(volume.value());
  auto done = shell.servers.compact(grpc, compact, telling(volume, "compacted"));
  if (done) {
    pb::VacuumVolumeCommitRequest commit;
    commit.set_volume_id(volume.value());
    if (const auto committed = shell.servers.call(grpc, commit); !committed) done = committed.error();
  }
  pb::VacuumVolumeCleanupRequest cleanup;
  cleanup.set_volume_id(volume.value());
  if (const auto cleaned = shell.servers.call(grpc, cleanup); !cleaned && done) done = cleaned.error();
  return done;
}

Status compact_one(Shell& shell, VolumeId volume, const Servers& holders) {
  if (holders.size() != 1 || !copy_at(*holders.front(), volume).is_remote()) {
    return Error(Code::invalid, "it is not held by one server with its data in a store outside the cluster");
  }
  const auto& holder = *holders.front();
  const auto dest = copy_at(holder, volume).remote_storage_name;
  const auto before = copy_at(holder, volume).size;
  if (auto down = download_one(shell, volume, holders); !down) return down;
  const auto where = fmt::format("it is on the disks of {} now; volume.tier.upload -volumeId={} -dest={} brings it back", holder.id, volume.value(), dest);
  if (auto done = vacuum_at(shell, volume, holder); !done) return done.error().at(where);
  const auto present = shell.picture();
  if (!present) return present.error().at(where);
  const auto now_there = present->holders(volume);
  if (now_there.empty()) return Error(Code::not_found, where);
  if (auto up = upload_one(shell, volume, now_there, {.dest = dest, .may_lack_copies = true}); !up) return up.error().at(where);
  const auto after = shell.picture();
  const auto* copy = after && after->find(holder.id) != nullptr ? after->find(holder.id)->find(volume) : nullptr;
  if (copy != nullptr) Shell::say("volume {}: {} instead of {}", volume.value(), human_bytes(copy->size), human_bytes(before));
  return {};
}

Status compact(Shell& shell, const FlagSet& flags) {
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto volumes = chosen(flags, *picture, [&](const VolumeInfo& volume) {
    return is_pattern_met(flags, volume) && garbage_of(volume) >= flags.number("garbageThreshold");
  });
  if (!volumes) return volumes.error();
  return for_each(shell, *volumes, "no volume in a store outside the cluster has so much in it that is deleted",
                  [&](const Picture&, VolumeId volume, const Servers& holders) { return compact_one(shell, volume, holders); });
}

constexpr ShellCommand kCommands[] = {
    {"volume.tier.compact",
     "takes deleted files out of volumes in a store outside the cluster. They come to their server, are compacted, and go back.",
     declare_compact, compact, true},
    {"volume.tier.download", "brings volumes back from a store outside the cluster.", declare_download, download, true},
    {"volume.tier.upload",
     "brings volumes that are full and quiet to a store outside the cluster. One server then holds each, and\n"
     "  reads from there; files can be deleted, and new ones go to other volumes.",
     declare_upload, upload, true},
};

}  // namespace

std::span<const ShellCommand> remote_commands() { return kCommands; }

}  // namespace holdfast::cmd
