// Commands that mend what copies of volumes there are: made where they are missing, dropped where they are too many,
// compared and filled up where they differ.
#include <fmt/format.h>

#include <algorithm>

#include "cmd/shell_commands.h"
#include "cmd/volume_merge.h"
#include "cmd/volume_transfer.h"
#include "core/topology/repair_plan.h"
#include "model/file_id.h"

namespace holdfast::cmd {
namespace {

using enum FlagType;
using topology::Picture;
using topology::PictureServer;
using topology::VolumeRepair;
namespace pb = volume_server_pb;

Servers servers_of(const Picture& picture, const std::vector<std::string>& ids) {
  Servers out;
  for (const auto& id : ids) {
    if (const auto* server = picture.find(id)) out.push_back(server);
  }
  return out;
}

// ---- volume.fix.replication

void declare_fix(FlagSet& flags) {
  flags.add({"collectionPattern", string, "", "only of collections whose name matches, with * and ?"});
  declare_apply(flags);
  flags.add({"doDelete", boolean, "true", "drop copies that are too many, once their content was found equal"});
  flags.add({"doCheck", boolean, "true", "compare the copies that are there before another one is made of them"});
  flags.add({"retry", integer, "5", "so many more rounds while something could be done"});
  flags.add({"volumesPerStep", unsigned_integer, "0", "at most so many volumes in a round; 0: all"});
  flags.add({"maxParallelization", integer, "1", "volumes at the same time", Support::inert});
  flags.add({"maxParallelizationPerServer", integer, "1", "likewise of one server", Support::inert});
  flags.add({"verbose", boolean, "false", "tell more"});
}

std::string line_of(const VolumeRepair& repair) {
  std::string out = fmt::format("volume {}{} {}, {}; at {}", repair.volume.value(),
                                repair.collection.empty() ? "" : " of collection " + repair.collection,
                                text(repair.placement), repair.why, fmt::join(repair.holders, " "));
  if (!repair.targets.empty()) out += fmt::format("; copy from {} to {}", repair.source, fmt::join(repair.targets, " "));
  if (!repair.surplus.empty()) out += fmt::format("; drop at {}", fmt::join(repair.surplus, " "));
  if (repair.missing > 0) out += fmt::format("; no server fits for {} more", repair.missing);
  return out;
}

// As self-healing does it, so that a copy that is away now and comes back is known for an old one. Code::unsupported: not
// with these masters and servers.
Status make_copies_by_leader(Shell& shell, const VolumeRepair& repair, std::size_t& made) {
  for (const auto& id : repair.targets) {
    if (auto locked = shell.locked(); !locked) return locked;
    const auto epoch = shell.masters.mend(repair.volume, id);
    if (!epoch) return epoch.error();
    ++made;
    Shell::say("volume {}: the leader made a copy at {}; its copies are of epoch {} now", repair.volume.value(), id, *epoch);
    shell.wait_for(repair.volume, id, true);
  }
  return {};
}

Status make_copies(Shell& shell, const Picture& picture, const VolumeRepair& repair, bool check) {
  const auto holders = servers_of(picture, repair.holders);
  const auto* source = picture.find(repair.source);
  // Of copies that differ none may be spread: which one is right cannot be told.
  if (check && holders.size() > 1) {
    Freeze freeze(shell, repair.volume, /*on_disk=*/false);
    if (auto frozen = freeze.take(holders); !frozen) return frozen;
    if (auto equal = check_equal(shell, repair.volume, holders); !equal) return equal;
    if (auto thawed = freeze.thaw(); !thawed) return thawed;
  }
  std::size_t made = 0;
  auto by_leader = make_copies_by_leader(shell, repair, made);
  if (by_leader || by_leader.error().code() != Code::unsupported || made > 0) return by_leader;
  Shell::say("volume {}: no epochs of copies here ({}): a copy that is away and comes back counts like the others",
             repair.volume.value(), by_leader.error().what());
  Freeze freeze(shell, repair.volume);
  if (auto frozen = freeze.take(holders); !frozen) return frozen;
  if (check && holders.size() > 1) {  // it took writes in between
    if (auto equal = check_equal(shell, repair.volume, holders); !equal) return equal;
  }
  for (const auto& id : repair.targets) {
    if (auto locked = shell.locked(); !locked) return locked;
    const auto* target = picture.find(id);
    Shell::say("volume {}: copy from {} to {}", repair.volume.value(), repair.source, id);
    if (auto copied = copy_frozen(shell, repair.volume, *source, *target, {}); !copied) return copied;
    freeze.add(*target);
  }
  return freeze.thaw();
}

Status drop_surplus(Shell& shell, const Picture& picture, const VolumeRepair& repair) {
  auto holders = servers_of(picture, repair.holders);
  Freeze freeze(shell, repair.volume);
  if (auto frozen = freeze.take(holders); !frozen) return frozen;
  const auto kept = servers_of(picture, repair.keep);
  for (const auto& id : repair.surplus) {
    const auto* surplus = picture.find(id);
    // Against every copy that stays, each of which must be there still.
    for (const auto* other : kept) {
      const auto difference = compare(shell, repair.volume, *other, *surplus);
      if (!difference) return difference.error();
      if (!difference->is_none()) {
        return Error(Code::stale, fmt::format("the copy at {} stays: it differs from the one at {}: {}; volume.check.disk tells more",
                                              id, other->id, difference->text()));
      }
    }
    if (auto locked = shell.locked(); !locked) return locked;
    Shell::say("volume {}: the copy at {} is equal to those that stay and is dropped", repair.volume.value(), id);
    if (auto gone = delete_copy(shell, repair.volume, *surplus); !gone) return gone;
    freeze.forget(*surplus);
  }
  if (auto thawed = freeze.thaw(); !thawed) return thawed;
  // So that what was dropped is known for old, should it come back with a disk or a backup of it.
  for (const auto& id : repair.surplus) shell.wait_for(repair.volume, id, false);
  const auto epoch = shell.masters.mend(repair.volume, "");
  if (epoch) {
    Shell::say("volume {}: its copies are of epoch {} now", repair.volume.value(), *epoch);
  } else if (epoch.error().code() != Code::unsupported) {
    return epoch.error().at("the copies are dropped, those that stay did not go on to their next epoch");
  }
  // Each counts again when it has told its new epoch; a look before that would find copies missing.
  for (const auto& id : repair.keep) shell.wait_for(repair.volume, id, true);
  return {};
}

Status fix_replication(Shell& shell, const FlagSet& flags) {
  const bool apply = applies(flags);
  if (apply) {
    if (auto locked = shell.locked(); !locked) return locked;
  }
  const auto limit = flags.unsigned_integer("volumesPerStep");
  std::size_t troubles = 0;
  for (std::int64_t round = 0; round <= std::max<std::int64_t>(flags.integer("retry"), 0); ++round) {
    const auto picture = shell.picture();
    if (!picture) return picture.error();
    const auto plan = plan_repairs(*picture, {.wanted = [&](const VolumeInfo& volume) {
                                     return is_collection_wanted(flags.string("collectionPattern"), volume.collection);
                                   }});
    if (plan.empty() && round == 0) Shell::say("all volumes have their copies");
    std::size_t seen = 0, done = 0;
    troubles = 0;
    for (const auto& repair : plan) {
      if (limit > 0 && seen++ >= limit) break;
      Shell::say("{}", line_of(repair));
      troubles += repair.missing > 0 ? 1 : 0;
      if (!apply || (repair.targets.empty() && (repair.surplus.empty() || !flags.boolean("doDelete")))) continue;
      if (auto locked = shell.locked(); !locked) return locked;
      const auto mended = repair.targets.empty() ? drop_surplus(shell, *picture, repair)
                                                 : make_copies(shell, *picture, repair, flags.boolean("doCheck"));
      if (!mended) {
        ++troubles;
        Shell::say("volume {}: {}", repair.volume.value(), mended.error().what());
        continue;
      }
      ++done;
      for (const auto& id : repair.targets) shell.wait_for(repair.volume, id, true);
      if (repair.targets.empty()) {
        for (const auto& id : repair.surplus) shell.wait_for(repair.volume, id, false);
      }
    }
    if (!apply || done == 0) break;
  }
  if (apply && troubles > 0) return Error(Code::unavailable, fmt::format("{} volumes could not be mended", troubles));
  return {};
}

// ---- volume.check.disk

void declare_check(FlagSet& flags) {
  flags.add({"slow", boolean, "false", "also read every file at both copies and compare checksums"});
  flags.add({"v", boolean, "false", "name the files"});
  flags.add({"volumeId", unsigned_integer, "0", "only this volume; 0: all"});
  declare_apply(flags);
  flags.add({"fixReadOnly", boolean, "false", "fill up copies that are read-only, too"});
  flags.add({"syncDeleted", boolean, "false", "what is noted as deleted at one copy is deleted at the other one"});
  flags.add({"nonRepairThreshold", number, "0.3", "leave a copy alone that lacks more than this part of the files"});
}

// What may be done about one copy that lacks files another one has.
struct Gap {
  std::vector<std::uint64_t> lost;     // never came here: they are copied
  std::vector<std::uint64_t> deleted;  // noted as deleted here
  std::vector<std::uint64_t> unclear;  // a vacuum may have forgotten that they were deleted here
};

Gap gap_of(const std::vector<std::uint64_t>& missing, const CopyIndex& here) {
  Gap out;
  for (const auto key : missing) {
    const auto row = here.files.find(key);
    if (row != here.files.end()) {
      out.deleted.push_back(key);
    } else if (here.compaction_revision == 0) {
      out.lost.push_back(key);
    } else {
      out.unclear.push_back(key);
    }
  }
  return out;
}

Status copy_file_to(Shell& shell, VolumeId volume, std::uint64_t key, const CopyIndex::Place& place,
                    const PictureServer& from, const PictureServer& to) {
  pb::ReadNeedleBlobRequest read;
  read.set_volume_id(volume.value());
  read.set_offset(static_cast<std::int64_t>(place.offset));
  read.set_size(place.size);
  const auto blob = shell.servers.call(from.address.grpc(), read);
  if (!blob) return blob.error();
  pb::WriteNeedleBlobRequest write;
  write.set_volume_id(volume.value());
  write.set_needle_id(key);
  write.set_size(place.size);
  write.set_needle_blob(blob->needle_blob());
  const auto written = shell.servers.call(to.address.grpc(), write);
  if (!written) return written.error();
  return {};
}

Status delete_files(Shell& shell, VolumeId volume, const std::vector<std::uint64_t>& keys, const PictureServer& at) {
  pb::BatchDeleteRequest request;
  request.set_skip_cookie_check(true);
  for (const auto key : keys) request.add_file_ids(text(FileId{volume, NeedleId(key), Cookie(0)}));
  const auto done = shell.servers.call(at.address.grpc(), request);
  if (!done) return done.error();
  for (const auto& result : done->results()) {
    if (result.status() >= 400 && result.status() != 404) {
      return Error(Code::internal, fmt::format("{} at {}: {}", result.file_id(), at.id, result.error()));
    }
  }
  return {};
}

class CopyCheck {
 public:
  CopyCheck(Shell& shell, const FlagSet& flags, VolumeId volume) : shell_(shell), flags_(flags), volume_(volume) {}

  // Whether anything differed that was not mended.
  Result<bool> run(const PictureServer& a, const PictureServer& b) {
    const auto index_a = read_index(volume_, a);
    if (!index_a) return index_a.error();
    const auto index_b = read_index(volume_, b);
    if (!index_b) return index_b.error();
    const auto difference = compare(shell_, volume_, a, *index_a, b, *index_b, flags_.boolean("slow"));
    if (!difference) return difference.error();
    if (difference->is_none()) {
      if (flags_.boolean("v")) Shell::say("volume {}: {} and {} are equal", volume_.value(), a.id, b.id);
      return false;
    }
    bool open = false;
    if (!difference->differing.empty()) {
      tell("differ, and which is newer cannot be told: they stay as they are", difference->differing, a, b);
      open = true;
    }
    const auto first = fill(a, b);
    if (!first) return first.error();
    const auto second = fill(b, a);
    if (!second) return second.error();
    return open || *first || *second;
  }

 private:
  void tell(const std::string& what, const std::vector<std::uint64_t>& keys, const PictureServer& a, const PictureServer& b) const {
    Shell::say("volume {}: {} and {}: {} files {}", volume_.value(), a.id, b.id, keys.size(), what);
    if (!flags_.boolean("v")) return;
    for (const auto key : keys) Shell::say("  key {:x}", key);
  }

  // What `from` has and `to` lacks. While `from` is frozen no write and no delete is acknowledged, whichever server a client
  // asks, so what is missing at `to` then was not deleted in the meantime.
  Result<bool> fill(const PictureServer& from, const PictureServer& to) {
    Freeze freeze(shell_, volume_, /*on_disk=*/false);
    if (applies(flags_)) {
      if (auto frozen = freeze.take({&from}); !frozen) return frozen.error();
    }
    const auto from_index = read_index(volume_, from);
    if (!from_index) return from_index.error();
    const auto to_index = read_index(volume_, to);
    if (!to_index) return to_index.error();
    const auto difference = compare(shell_, volume_, from, *from_index, to, *to_index, /*contents=*/false);
    if (!difference) return difference.error();
    const auto gap = gap_of(difference->only_first, *to_index);
    auto open = fill_gap(gap, from, *from_index, to);
    if (auto thawed = freeze.thaw(); !thawed) return thawed.error();
    if (!open || gap.deleted.empty()) return open;
    tell("are deleted at the second", gap.deleted, from, to);
    if (!flags_.boolean("syncDeleted") || !applies(flags_)) return true;
    if (auto done = delete_files(shell_, volume_, gap.deleted, from); !done) return done.error();
    return open;
  }

  Result<bool> fill_gap(const Gap& gap, const PictureServer& from, const CopyIndex& from_index, const PictureServer& to) {
    bool open = false;
    if (!gap.unclear.empty()) {
      tell("are missing at the second, where a vacuum may have forgotten deletions: they stay as they are", gap.unclear, from, to);
      open = true;
    }
    if (gap.lost.empty()) return open;
    tell("never came to the second", gap.lost, from, to);
    std::size_t live = 0;
    for (const auto& [key, place] : from_index.files) live += place.is_live() ? 1 : 0;
    if (static_cast<double>(gap.lost.size()) > flags_.number("nonRepairThreshold") * static_cast<double>(live)) {
      Shell::say("volume {}: {} lacks too much of it to be filled up (-nonRepairThreshold): drop that copy and make a new one",
                 volume_.value(), to.id);
      return true;
    }
    if (!applies(flags_)) return true;
    Opened opened(shell_, volume_, to);
    const auto closed = opened.is_closed();
    if (!closed) return closed.error();
    if (*closed && !flags_.boolean("fixReadOnly")) {
      Shell::say("volume {}: the copy at {} is read-only and stays as it is; -fixReadOnly fills it up all the same", volume_.value(),
                 to.id);
      return true;
    }
    if (auto open_now = opened.open(); !open_now) return open_now.error();
    for (const auto key : gap.lost) {
      if (auto locked = shell_.locked(); !locked) return locked.error();
      if (auto copied = copy_file_to(shell_, volume_, key, from_index.files.at(key), from, to); !copied) return copied.error();
    }
    if (auto closed_again = opened.close(); !closed_again) return closed_again.error();
    Shell::say("volume {}: {} files copied from {} to {}", volume_.value(), gap.lost.size(), from.id, to.id);
    return open;
  }

  Shell& shell_;
  const FlagSet& flags_;
  const VolumeId volume_;
};

Status check_disk(Shell& shell, const FlagSet& flags) {
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  std::map<VolumeId, Servers> volumes;
  for (const auto& server : picture->servers) {
    for (const auto& volume : server.volumes) {
      if (flags.unsigned_integer("volumeId") == 0 || flags.unsigned_integer("volumeId") == volume.id.value()) {
        volumes[volume.id].push_back(&server);
      }
    }
  }
  if (volumes.empty() && flags.unsigned_integer("volumeId") != 0) return Error(Code::not_found, "no such volume is there");
  std::size_t checked = 0, open = 0;
  for (const auto& [id, holders] : volumes) {
    if (holders.size() < 2) continue;
    ++checked;
    bool is_open = false;
    CopyCheck check(shell, flags, id);
    for (std::size_t i = 0; i + 1 < holders.size(); ++i) {
      for (std::size_t j = i + 1; j < holders.size(); ++j) {
        if (auto locked = shell.locked(); !locked) return locked;
        const auto result = check.run(*holders[i], *holders[j]);
        if (!result) {
          Shell::say("volume {}: {} and {} could not be compared: {}", id.value(), holders[i]->id, holders[j]->id,
                     result.error().what());
        }
        is_open = is_open || !result || *result;
      }
    }
    open += is_open ? 1 : 0;
  }
  Shell::say("{} volumes with several copies, {} of them differ still", checked, open);
  return {};
}

// ---- volume.merge

void declare_merge(FlagSet& flags) {
  flags.add({"volumeId", unsigned_integer, "0", "the volume's `id`"});
  flags.add({"target", string, "", "the volume server that builds the merged volume, `host:port`, one without a copy; empty: the one with most room"});
  flags.add({"keepUnclear", boolean, "false", "keep files that a vacuumed copy does not know: they may have been deleted there"});
  flags.add({"noLock", boolean, "false", "without the admin lock: nobody else may change the cluster meanwhile"});
}

Status merge(Shell& shell, const FlagSet& flags) {
  MergeOptions options{.keeps_unclear = flags.boolean("keepUnclear"), .no_lock = flags.boolean("noLock")};
  if (auto may = may_go_on(shell, {.no_lock = options.no_lock}); !may) return may;
  const auto volume = volume_of(flags);
  if (!volume) return volume.error();
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  if (!flags.string("target").empty()) {
    const auto target = server_named(*picture, flags.string("target"));
    if (!target) return target.error().at("-target");
    options.target = *target;
  }
  return merge_volume(shell, *picture, *volume, options);
}

constexpr ShellCommand kCommands[] = {
    {"volume.check.disk",
     "compares the copies of volumes, and copies files that never came to one of them. What was deleted stays deleted;\n"
     "  where it cannot be told whether a file was lost or deleted, or which of two is newer, that is said and nothing done.",
     declare_check, check_disk, true},
    {"volume.fix.replication",
     "makes copies that are missing and drops those that are too many. Without -apply it needs no lock.", declare_fix,
     fix_replication},
    {"volume.merge",
     "makes copies of a volume that differ one again. For each file the newest write or deletion counts; the merged volume is built at a\n"
     "  server without a copy, checked, and takes the place of the copies one after the other.",
     declare_merge, merge},
};

}  // namespace

std::span<const ShellCommand> repair_commands() { return kCommands; }

}  // namespace holdfast::cmd
