// Commands that bring volumes from server to server: one by one, to fill servers alike, to empty one.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "cmd/client_tools.h"
#include "cmd/shell_commands.h"
#include "cmd/shard_transfer.h"
#include "cmd/volume_transfer.h"
#include "core/topology/balance_plan.h"
#include "core/topology/ec_plan.h"
#include "core/topology/report.h"

namespace holdfast::cmd {
namespace {

using enum FlagType;
using topology::Picture;
using topology::PictureServer;

// ---- one volume

void declare_transfer(FlagSet& flags) {
  flags.add({"source", string, "", "the volume server that has it, `host:port`"});
  flags.add({"target", string, "", "the volume server that gets it, `host:port`"});
  flags.add({"volumeId", unsigned_integer, "0", "the volume's `id`"});
  flags.add({"disk", string, "", "to disks of this type; empty: as at the source"});
  flags.add({"ioBytePerSecond", integer, "0", "no faster than so many bytes per second; 0: as the target is set"});
  flags.add({"timeout", duration, "0s", "how long it may take; 0s: half a day", Support::inert});
  flags.add({"noLock", boolean, "false", "without the admin lock: nobody else may change the cluster meanwhile"});
}

using Transfer = Status (*)(Shell&, const Picture&, VolumeId, const PictureServer&, const PictureServer&,
                            const TransferOptions&);

template <Transfer transfer>
Status transfer_one(Shell& shell, const FlagSet& flags) {
  const TransferOptions options{.disk_type = flags.string("disk"),
                                .bytes_per_second = flags.integer("ioBytePerSecond"),
                                .no_lock = flags.boolean("noLock")};
  if (!options.no_lock) {
    if (auto locked = shell.locked(); !locked) return locked;
  }
  const auto volume = volume_of(flags);
  if (!volume) return volume.error();
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto source = server_named(*picture, flags.string("source"));
  if (!source) return source.error().at("-source");
  const auto target = server_named(*picture, flags.string("target"));
  if (!target) return target.error().at("-target");
  if (*source == *target) return Error(Code::invalid, "source and target volume servers are the same!");
  if ((*source)->find(*volume) == nullptr) {
    return Error(Code::not_found, fmt::format("{} has no volume {}", (*source)->id, volume->value()));
  }
  const auto disk_type = options.disk_type.empty() ? (*source)->find(*volume)->disk_type : topology::canonical_disk_type(options.disk_type);
  if (auto may = may_take(**target, disk_type); !may) return may.error().at("-target");
  Shell::say("volume {}: from {} to {}", volume->value(), (*source)->id, (*target)->id);
  if (auto done = transfer(shell, *picture, *volume, **source, **target, options); !done) return done;
  Shell::say("volume {}: done", volume->value());
  return {};
}

// ---- plans

Status carry_out(Shell& shell, const std::vector<topology::VolumeMove>& moves, TransferOptions options) {
  std::size_t done = 0, failed = 0;
  for (const auto& move : moves) {
    if (!options.no_lock) {
      if (auto locked = shell.locked(); !locked) return locked;
    }
    // What the plan was made of may be long past.
    const auto picture = shell.picture();
    if (!picture) return picture.error();
    const auto* source = picture->find(move.source);
    const auto* target = picture->find(move.target);
    Shell::say("moving volume {} from {} to {}, {} ({}/{})", move.volume.value(), move.source, move.target,
               human_bytes(move.bytes), done + failed + 1, moves.size());
    const auto moved = source == nullptr || target == nullptr || source->find(move.volume) == nullptr
                           ? Status(Error(Code::stale, "it is not there any more"))
                           : move_volume(shell, *picture, move.volume, *source, *target, options);
    if (moved) {
      ++done;
    } else {
      ++failed;
      Shell::say("volume {} was not moved: {}", move.volume.value(), moved.error().what());
    }
  }
  Shell::say("{} volumes moved", done);
  if (failed > 0) return Error(Code::unavailable, fmt::format("{} of {} volumes were not moved", failed, moves.size()));
  return {};
}

void say_moves(const std::vector<topology::VolumeMove>& moves) {
  for (const auto& move : moves) {
    Shell::say("move volume {}{} from {} to {}, {}", move.volume.value(),
               move.collection.empty() ? "" : " of collection " + move.collection, move.source, move.target,
               human_bytes(move.bytes));
  }
}

void declare_balance(FlagSet& flags) {
  flags.add({"collection", string, "ALL_COLLECTIONS", "only this collection, with * and ?; ALL_COLLECTIONS: all together; "
                                                      "EACH_COLLECTION: each by itself"});
  flags.add({"dataCenter", string, "", "only servers of this data center"});
  flags.add({"racks", string, "", "only servers of these racks, comma-separated"});
  flags.add({"nodes", string, "", "only these servers, `host:port,host:port`"});
  declare_apply(flags);
  flags.add({"noLock", boolean, "false", "without the admin lock: nobody else may change the cluster meanwhile"});
  flags.add({"volumesPerExec", unsigned_integer, "0", "at most so many moves; 0: all it takes"});
  flags.add({"maxParallelization", integer, "1", "moves at the same time", Support::inert});
  flags.add({"byDiskUsage", boolean, "false", "fill disks alike by bytes, not by slots"});
  flags.add({"maxDiskUsagePercent", number, "0", "fill no disk beyond this part; 0: no bound"});
  flags.add({"ioBytePerSecond", integer, "0", "no faster than so many bytes per second; 0: as the targets are set"});
  flags.add({"v", boolean, "false", "tell more: how full each server is"});
}

Status balance(Shell& shell, const FlagSet& flags) {
  const TransferOptions options{.bytes_per_second = flags.integer("ioBytePerSecond"), .no_lock = flags.boolean("noLock")};
  if (!options.no_lock) {
    if (auto locked = shell.locked(); !locked) return locked;
  }
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto racks = split_list(flags.string("racks"));
  std::vector<std::string> nodes;
  for (const auto& name : split_list(flags.string("nodes"))) {
    const auto server = server_named(*picture, name);
    if (!server) return server.error();
    nodes.push_back((*server)->id);
  }
  const auto has = [](const std::vector<std::string>& list, const std::string& name) {
    return list.empty() || std::find(list.begin(), list.end(), name) != list.end();
  };
  const auto& center = flags.string("dataCenter");
  topology::BalanceWish wish{.takes_part =
                                 [&](const PictureServer& server) {
                                   return (center.empty() || server.data_center == center) && has(racks, server.rack) &&
                                          has(nodes, server.id);
                                 },
                             .by_bytes = flags.boolean("byDiskUsage"),
                             .moves_max = flags.unsigned_integer("volumesPerExec")};
  if (flags.number("maxDiskUsagePercent") > 0) wish.disk_percent_max = flags.number("maxDiskUsagePercent");
  if (flags.boolean("v")) {
    for (const auto& server : picture->servers) {
      for (const auto& [type, disk] : server.disks) {
        Shell::say("{} {}: {} of {} slots free", server.id, topology::disk_type_name(type), disk.free, disk.max);
      }
    }
  }
  std::vector<topology::VolumeMove> moves;
  if (flags.string("collection") == "EACH_COLLECTION") {
    const auto names = shell.masters.collections();
    if (!names) return names.error();
    for (const auto& name : *names) {
      wish.wanted = [&](const VolumeInfo& volume) { return volume.collection == name; };
      for (auto& move : topology::plan_balance(*picture, wish)) {
        if (wish.moves_max == 0 || moves.size() < wish.moves_max) moves.push_back(std::move(move));
      }
    }
  } else {
    wish.wanted = [&](const VolumeInfo& volume) { return is_collection_wanted(flags.string("collection"), volume.collection); };
    moves = topology::plan_balance(*picture, wish);
  }
  if (moves.empty()) {
    Shell::say("nothing to move");
    return {};
  }
  if (!applies(flags)) {
    say_moves(moves);
    return {};
  }
  return carry_out(shell, moves, options);
}

// ---- emptying a server

void declare_evacuate(FlagSet& flags) {
  flags.add({"node", string, "", "the volume server that is to be emptied, `host:port`"});
  flags.add({"rack", string, "", "or all servers of this rack"});
  flags.add({"target", string, "", "to this volume server only, `host:port`; empty: wherever it fits"});
  flags.add({"skipNonMoveable", boolean, "false", "move what can be moved; else nothing is when something cannot"});
  flags.add({"retry", integer, "0", "so many more rounds for what failed"});
  declare_apply(flags);
}

Status evacuate_server(Shell& shell, const FlagSet& flags, const std::string& id, const std::vector<std::string>& leaving) {
  auto picture = shell.picture();
  if (!picture) return picture.error();
  for (auto& server : picture->servers) {
    if (std::find(leaving.begin(), leaving.end(), server.id) != leaving.end()) server.takes_volumes = false;
  }
  std::vector<std::string> targets;
  if (!flags.string("target").empty()) {
    const auto target = server_named(*picture, flags.string("target"));
    if (!target) return target.error().at("-target");
    targets.push_back((*target)->id);
  }
  const auto plan = topology::plan_evacuation(*picture, id, targets);
  const auto shards = topology::plan_shard_evacuation(*picture, id, targets);
  std::size_t shards_held = 0;
  for (const auto& info : picture->find(id)->shards) shards_held += static_cast<std::size_t>(std::popcount(info.bits));
  for (const auto volume : plan.stuck) {
    const auto& remote = picture->find(id)->find(volume)->remote_storage_name;
    Shell::say("volume {} of {} {}", volume.value(), id,
               remote.empty() ? "fits nowhere else" : "lies in " + remote + ", and only this server knows where: volume.tier.download first");
  }
  if (shards.size() < shards_held) Shell::say("{} shards of {} fit nowhere else", shards_held - shards.size(), id);
  const bool all_fit = plan.stuck.empty() && shards.size() == shards_held;
  if (!applies(flags)) {
    say_moves(plan.moves);
    for (const auto& move : shards) {
      Shell::say("move shard {}.{} from {} to {}", move.volume.value(), move.shard, move.source, move.target);
    }
  }
  if (!all_fit && !flags.boolean("skipNonMoveable")) {
    return Error(Code::no_space, "not everything fits elsewhere: add volume servers or slots, or give -skipNonMoveable");
  }
  if (!applies(flags)) return {};
  const auto moved = carry_out(shell, plan.moves, {});
  if (auto shards_moved = carry_out_moves(shell, shards); !shards_moved) return shards_moved;
  return moved;
}

Status evacuate(Shell& shell, const FlagSet& flags) {
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  std::vector<std::string> servers;
  if (!flags.string("node").empty()) {
    const auto server = server_named(*picture, flags.string("node"));
    if (!server) return server.error().at("-node");
    servers.push_back((*server)->id);
  } else if (!flags.string("rack").empty()) {
    for (const auto& server : picture->servers) {
      if (server.rack == flags.string("rack")) servers.push_back(server.id);
    }
    if (servers.empty()) return Error(Code::not_found, "no volume server is in rack " + flags.string("rack"));
  } else {
    return Error(Code::invalid, "-node or -rack must say what is to be emptied");
  }
  if (applies(flags)) {
    if (auto locked = shell.locked(); !locked) return locked;
  }
  for (const auto& id : servers) {
    Status done;
    for (std::int64_t round = 0; round <= std::max<std::int64_t>(flags.integer("retry"), 0); ++round) {
      done = evacuate_server(shell, flags, id, servers);
      if (done) break;
    }
    if (!done) return done.error().at(id);
  }
  return {};
}

constexpr ShellCommand kCommands[] = {
    {"volume.balance",
     "moves volumes so that servers are filled alike. Placements are kept, and no server gets two copies of a volume.",
     declare_balance, balance},
    {"volume.copy",
     "makes one more copy of a volume. It takes no writes meanwhile.", declare_transfer, transfer_one<copy_volume>},
    {"volume.move",
     "moves a volume from one server to another. It takes no writes meanwhile; files can be read all the time.",
     declare_transfer, transfer_one<move_volume>},
    {"volumeServer.evacuate", "moves all volumes and shards off a server, so that it can be taken away.", declare_evacuate,
     evacuate},
};

}  // namespace

std::span<const ShellCommand> transfer_commands() { return kCommands; }

}  // namespace holdfast::cmd
