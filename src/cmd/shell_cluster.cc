// Commands about the cluster: its members, its servers, the admin lock.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/master.pb.h"
#include "cmd/client_tools.h"
#include "cmd/shell_commands.h"

namespace holdfast::cmd {
namespace {

using enum FlagType;
namespace pb = volume_server_pb;

constexpr Duration kLockPatience = 60s;  // for a lock that another shell has

void declare_nothing(FlagSet&) {}

// ---- members

Status raft_ps(Shell& shell, const FlagSet&) {
  const auto servers = shell.masters.raft_servers();
  if (!servers) return servers.error();
  Shell::put(fmt::format("the raft cluster has {} servers\n", servers->size()));
  for (const auto& server : *servers) {
    Shell::put(fmt::format("  * {} {} ({})\n", server.id, server.address, server.is_leader ? "Leader" : server.suffrage));
  }
  return {};
}

void declare_add(FlagSet& flags) {
  flags.add({"id", string, "", "the new master's `address`, host:port or host:port.grpcport"});
  flags.add({"address", string, "", "its address for gRPC, host:grpcport; enough without -id when that is the port for "
                                    "HTTP plus 10000"});
  flags.add({"voter", boolean, "true", "it votes as soon as it has caught up; else it only receives everything"});
}

Status raft_add(Shell& shell, const FlagSet& flags) {
  if (flags.string("id").empty() && flags.string("address").empty()) {
    return Error(Code::invalid, "-id or -address must say which master: the one that was started there");
  }
  return shell.masters.add_raft_server(flags.string("id"), flags.string("address"), flags.boolean("voter"));
}

void declare_remove(FlagSet& flags) {
  flags.add({"id", string, "", "the master's id as cluster.raft.ps shows it, or its `address`"});
}

Status raft_remove(Shell& shell, const FlagSet& flags) {
  if (flags.string("id").empty()) return Error(Code::invalid, "-id must say which master");
  return shell.masters.remove_raft_server(flags.string("id"));
}

void declare_transfer(FlagSet& flags) {
  flags.add({"id", string, "", "the master that is to lead, its id as cluster.raft.ps shows it; empty, with -address: the best one"});
  flags.add({"address", string, "", "or its address, host:port or host:grpcport"});
}

Status raft_transfer(Shell& shell, const FlagSet& flags) {
  const auto move = shell.masters.transfer_leadership(flags.string("id"), flags.string("address"));
  if (!move) return move.error();
  Shell::put(fmt::format("leadership went from {} to {}\n", move->from,
                         move->to.empty() ? "another one, which is not heard yet" : move->to));
  return {};
}

// ---- what there is

Status cluster_ps(Shell& shell, const FlagSet&) {
  const auto servers = shell.masters.raft_servers();
  if (!servers) return servers.error();
  Shell::put("* masters\n");
  for (const auto& server : *servers) {
    Shell::put(fmt::format("  * {} ({})\n", server.address, server.is_leader ? "Leader" : server.suffrage));
  }
  master_pb::VolumeListResponse topology;
  if (const auto listed = shell.masters.volume_list(&topology); !listed) return listed;
  Shell::put("* volume servers\n");
  for (const auto& center : topology.topology_info().data_center_infos()) {
    Shell::put(fmt::format("  * data center {}\n", center.id()));
    for (const auto& rack : center.rack_infos()) {
      Shell::put(fmt::format("    * rack {}\n", rack.id()));
      for (const auto& node : rack.data_node_infos()) Shell::put(fmt::format("      * {}\n", node.id()));
    }
  }
  for (const char* type : {"filer", "s3", "broker"}) {
    const auto nodes = shell.masters.cluster_nodes(type);
    if (!nodes) return nodes.error();
    if (nodes->empty()) continue;
    Shell::put(fmt::format("* {}s\n", type));
    for (const auto& node : *nodes) {
      Shell::put(fmt::format("  * {} ({})\n", node.address, node.version));
      if (!node.data_center.empty()) Shell::put(fmt::format("    DataCenter: {}\n", node.data_center));
      if (!node.rack.empty()) Shell::put(fmt::format("    Rack: {}\n", node.rack));
    }
  }
  return {};
}

// ---- is it well

std::string in_ms(Duration time) { return fmt::format("{:.1f} ms", seconds(time) * 1000); }

// From this machine, and from every master to every other part.
Status cluster_check(Shell& shell, const FlagSet&) {
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  struct Part {
    std::string type;
    std::string address;
  };
  std::vector<Part> parts;
  const auto masters = shell.master_client.found(5s);
  for (const auto& master : masters) parts.push_back({"master", text(master)});
  for (const auto& server : picture->servers) parts.push_back({"volumeServer", text(server.address)});
  if (const auto filers = shell.masters.cluster_nodes("filer")) {
    for (const auto& filer : *filers) parts.push_back({"filer", filer.address});
  }
  for (const auto& server : picture->servers) {
    for (const auto& [type, disk] : server.disks) {
      if (disk.max == 0) Shell::say("{} has no slots for {} volumes", server.id, type.empty() ? "hdd" : type);
    }
  }
  std::size_t troubles = 0;
  const auto report = [&](const std::string& from, const Part& to, const Result<Duration>& took) {
    if (took) return Shell::say("{} to {} {}: ok, {}", from, to.type, to.address, in_ms(*took));
    ++troubles;
    Shell::say("{} to {} {}: {}", from, to.type, to.address, took.error().what());
  };
  for (const auto& part : parts) {
    const auto address = Address::parse(part.address);
    if (!address) continue;
    if (part.type == "volumeServer") {
      const auto begun = now();
      const auto answer = shell.servers.call(address->grpc(), pb::PingRequest());
      report("here", part, answer ? Result<Duration>(now() - begun) : answer.error());
    } else {
      if (part.type != "master") continue;  // filers are asked by the masters
      report("here", part, shell.masters.ping(*address, "", ""));
    }
  }
  for (const auto& master : masters) {
    for (const auto& part : parts) {
      if (part.type == "master" && part.address == text(master)) continue;
      report("master " + text(master), part, shell.masters.ping(master, part.address, part.type));
    }
  }
  if (troubles > 0) return Error(Code::unavailable, fmt::format("{} of the connections do not work", troubles));
  return {};
}

void declare_status(FlagSet& flags) {
  flags.add({"humanize", boolean, "true", "sizes as 1.5 GB, not in bytes"});
  flags.add({"files", boolean, "false", "count files, too: each volume server is asked"});
  flags.add({"maxParallelization", integer, "10", "servers asked at the same time", Support::inert});
}

Status cluster_status(Shell& shell, const FlagSet& flags) {
  const auto size = [&](std::uint64_t bytes) {
    return flags.boolean("humanize") ? human_bytes(bytes) : fmt::format("{} bytes", bytes);
  };
  const auto servers = shell.masters.raft_servers();
  if (!servers) return servers.error();
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  // Its address for people and browsers; the list of members knows gRPC's alone.
  const auto configuration = shell.master_client.configuration();
  if (!configuration) return configuration.error();
  const auto address = Address::parse(configuration->leader);
  const std::string leader = address ? address->http() : "none";
  std::size_t voters = 0;
  for (const auto& server : *servers) {
    voters += server.suffrage == "Voter" || server.is_leader ? 1 : 0;
  }
  std::set<std::string> centers, racks, collections;
  std::map<VolumeId, std::pair<std::size_t, VolumeInfo>> volumes;  // copies, and the fullest of them
  std::map<VolumeId, std::set<std::uint32_t>> shards;
  std::int64_t slots = 0, free_slots = 0;
  std::uint64_t disk_total = 0, disk_free = 0, bytes = 0, garbage = 0, shard_bytes = 0;
  for (const auto& server : picture->servers) {
    centers.insert(server.data_center);
    racks.insert(server.data_center + "\n" + server.rack);
    for (const auto& [type, disk] : server.disks) {
      slots += disk.max;
      free_slots += std::max<std::int64_t>(disk.free, 0);
      disk_total += disk.total_bytes;
      disk_free += disk.free_bytes;
    }
    for (const auto& volume : server.volumes) {
      collections.insert(volume.collection);
      bytes += volume.size;
      garbage += volume.deleted_byte_count;
      auto& [copies, fullest] = volumes[volume.id];
      if (++copies == 1 || fullest.file_count < volume.file_count) fullest = volume;
    }
    for (const auto& info : server.shards) {
      collections.insert(info.collection);
      for (const auto one : info.shard_sizes) shard_bytes += static_cast<std::uint64_t>(std::max<std::int64_t>(one, 0));
      for (std::uint32_t shard = 0; shard < 32; ++shard) {
        if ((info.bits >> shard & 1) != 0) shards[info.id].insert(shard);
      }
    }
  }
  std::size_t writable = 0, wanting = 0, surplus = 0;
  std::uint64_t files = 0;
  for (const auto& [id, volume] : volumes) {
    writable += volume.second.read_only ? 0 : 1;
    const auto wanted = static_cast<std::size_t>(volume.second.replica_placement.copies());
    wanting += volume.first < wanted ? 1 : 0;
    surplus += volume.first > wanted ? 1 : 0;
    files += volume.second.file_count - std::min(volume.second.file_count, volume.second.delete_count);
  }
  Shell::say("cluster:");
  Shell::say("  masters: {} ({} vote), leader {}", servers->size(), voters, leader);
  Shell::say("  volume servers: {} in {} data centers and {} racks", picture->servers.size(), centers.size(), racks.size());
  Shell::say("  collections: {}", collections.size());
  Shell::say("volumes:");
  Shell::say("  normal: {}, {} of them writable, size limit {}", volumes.size(), writable, size(picture->volume_size_limit));
  Shell::say("  with too few copies: {}, with too many: {}", wanting, surplus);
  Shell::say("  erasure-coded: {}", shards.size());
  Shell::say("  slots: {} of {} free", free_slots, slots);
  Shell::say("storage:");
  Shell::say("  volumes: {}, of which {} is deleted; shards: {}", size(bytes), size(garbage), size(shard_bytes));
  // Nobody tells which servers lie on one disk.
  Shell::say("  disks: {} of {} free, as each volume server counts: a disk that several use is counted for each", size(disk_free),
             size(disk_total));
  if (flags.boolean("files")) {
    std::uint64_t in_shards = 0;
    for (const auto& [id, present] : shards) {
      const auto holders = picture->shard_holders(id);
      pb::VolumeEcShardsInfoRequest request;
      request.set_volume_id(id.value());
      const auto info = shell.servers.call(holders.front()->address.grpc(), request);
      if (!info) return info.error();
      in_shards += info->file_count() - std::min(info->file_count(), info->file_deleted_count());
    }
    Shell::say("files: {} in volumes, {} in shards", files, in_shards);
  }
  return {};
}

// ---- one volume server

void declare_state(FlagSet& flags) {
  flags.add({"nodes", string, "", "only these servers, `host:port,host:port`; empty: all"});
  flags.add({"maintenanceOn", boolean, "false", "they take no writes and no orders from now on"});
  flags.add({"maintenanceOff", boolean, "false", "they do again"});
}

Status server_state(Shell& shell, const FlagSet& flags) {
  const bool on = flags.boolean("maintenanceOn"), off = flags.boolean("maintenanceOff");
  if (on && off) return Error(Code::invalid, "-maintenanceOn and -maintenanceOff exclude each other");
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  std::vector<std::string> names = split_list(flags.string("nodes"));
  if (names.empty()) {
    for (const auto& server : picture->servers) names.push_back(server.id);
  }
  if (on || off) {
    if (auto locked = shell.locked(); !locked) return locked;
  }
  for (const auto& name : names) {
    const auto address = grpc_named(*picture, name);
    if (!address) return address.error();
    const auto got = shell.servers.call(*address, pb::GetStateRequest());
    if (!got) return got.error();
    auto state = got->state();
    if (on || off) {
      pb::SetStateRequest request;
      *request.mutable_state() = state;
      request.mutable_state()->set_maintenance(on);
      const auto set = shell.servers.call(*address, request);
      if (!set) return set.error();
      state = set->state();
    }
    Shell::say("{}\tmaintenance:{}\tversion:{}", name, state.maintenance(), state.version());
  }
  return {};
}

void declare_leave(FlagSet& flags) {
  flags.add({"node", string, "", "the volume server, `host:port`"});
  declare_apply(flags);
}

Status server_leave(Shell& shell, const FlagSet& flags) {
  if (flags.string("node").empty()) return Error(Code::invalid, "-node must say which volume server");
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto address = grpc_named(*picture, flags.string("node"));
  if (!address) return address.error();
  if (!applies(flags)) {
    Shell::say("{} would stop reporting to the masters", flags.string("node"));
    return {};
  }
  if (const auto left = shell.servers.call(*address, pb::VolumeServerLeaveRequest()); !left) return left.error();
  // The leader has it by another way than this answer; the next command must not take the server for a target.
  const bool known = shell.wait_until([&](const topology::Picture& present) {
    const auto* server = present.find(flags.string("node"));
    return server == nullptr || std::all_of(server->disks.begin(), server->disks.end(),
                                            [](const auto& disk) { return disk.second.free <= 0; });
  });
  if (!known) return Error(Code::timed_out, fmt::format("{} was told, but the leader still counts on it; look at volume.list",
                                                        flags.string("node")));
  Shell::say("{} reports to the masters no more; restart it to bring it back", flags.string("node"));
  return {};
}

// ---- the admin lock

Status take_lock(Shell& shell, const FlagSet&) { return shell.lock.take(kLockPatience); }

Status release_lock(Shell& shell, const FlagSet&) {
  shell.lock.release();
  return {};
}

constexpr ShellCommand kCommands[] = {
    {"cluster.check", "asks every master and volume server for a sign of life, from here and from every master.",
     declare_nothing, cluster_check},
    {"cluster.ps", "lists masters, volume servers, filers and gateways.", declare_nothing, cluster_ps},
    {"cluster.raft.add",
     "adds a master that was started to the cluster. It learns first; when it has caught up it votes, unless\n"
     "  -voter=false. A master started with -peers naming a member of the cluster is added without this.",
     declare_add, raft_add},
    {"cluster.raft.ps", "lists the masters: id, address for gRPC, and whether each leads, votes or only learns.",
     declare_nothing, raft_ps},
    {"cluster.raft.remove",
     "removes a master from the cluster, alive or not. It stops and says so; to bring it back, empty its folder and\n"
     "  start it. Refused when those that stay would not be a living majority. A leader hands over first.",
     declare_remove, raft_remove},
    {"cluster.raft.transferLeader",
     "hands leadership over, to the master named or to the best one. Writes wait for some milliseconds.",
     declare_transfer, raft_transfer},
    {"cluster.status", "prints one page about the cluster: members, volumes, room.", declare_status, cluster_status},
    {"lock",
     "takes the admin lock, which commands that change something ask for. It is renewed until \"unlock\" or the end of\n"
     "  the shell. While another shell has it this waits, for a minute at most.",
     declare_nothing, take_lock},
    {"unlock", "gives the admin lock back.", declare_nothing, release_lock},
    {"volumeServer.leave", "has a volume server stop reporting, so that the masters let go of it.", declare_leave,
     server_leave, true},
    {"volumeServer.state", "tells whether volume servers are in maintenance, or sets it (that needs the lock).", declare_state,
     server_state},
};

}  // namespace

std::span<const ShellCommand> cluster_commands() { return kCommands; }

}  // namespace holdfast::cmd
