#include "cmd/shell_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "api/master.pb.h"
#include "cmd/client_tools.h"

namespace holdfast::cmd {
namespace {

using client::AdminClient;
using enum FlagType;

void put(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void declare_nothing(FlagSet&) {}

// ---- members

Status raft_ps(AdminClient& masters, const FlagSet&) {
  const auto servers = masters.raft_servers();
  if (!servers) return servers.error();
  put(fmt::format("the raft cluster has {} servers\n", servers->size()));
  for (const auto& server : *servers) {
    put(fmt::format("  * {} {} ({})\n", server.id, server.address, server.is_leader ? "Leader" : server.suffrage));
  }
  return {};
}

void declare_add(FlagSet& flags) {
  flags.add({"id", string, "", "the new master's `address`, host:port or host:port.grpcport"});
  flags.add({"address", string, "", "its address for gRPC, host:grpcport; enough without -id when that is the port for "
                                    "HTTP plus 10000"});
  flags.add({"voter", boolean, "true", "it votes as soon as it has caught up; else it only receives everything"});
}

Status raft_add(AdminClient& masters, const FlagSet& flags) {
  if (flags.string("id").empty() && flags.string("address").empty()) {
    return Error(Code::invalid, "-id or -address must say which master: the one that was started there");
  }
  return masters.add_raft_server(flags.string("id"), flags.string("address"), flags.boolean("voter"));
}

void declare_remove(FlagSet& flags) {
  flags.add({"id", string, "", "the master's id as cluster.raft.ps shows it, or its `address`"});
}

Status raft_remove(AdminClient& masters, const FlagSet& flags) {
  if (flags.string("id").empty()) return Error(Code::invalid, "-id must say which master");
  return masters.remove_raft_server(flags.string("id"));
}

void declare_transfer(FlagSet& flags) {
  flags.add({"id", string, "", "the master that is to lead, its id as cluster.raft.ps shows it; empty, with -address: the best one"});
  flags.add({"address", string, "", "or its address, host:port or host:grpcport"});
}

Status raft_transfer(AdminClient& masters, const FlagSet& flags) {
  const auto move = masters.transfer_leadership(flags.string("id"), flags.string("address"));
  if (!move) return move.error();
  put(fmt::format("leadership went from {} to {}\n", move->from, move->to));
  return {};
}

// ---- what there is

Status cluster_ps(AdminClient& masters, const FlagSet&) {
  const auto servers = masters.raft_servers();
  if (!servers) return servers.error();
  put("* masters\n");
  for (const auto& server : *servers) {
    put(fmt::format("  * {} ({})\n", server.address, server.is_leader ? "Leader" : server.suffrage));
  }
  master_pb::VolumeListResponse topology;
  if (const auto listed = masters.volume_list(&topology); !listed) return listed;
  put("* volume servers\n");
  for (const auto& center : topology.topology_info().data_center_infos()) {
    put(fmt::format("  * data center {}\n", center.id()));
    for (const auto& rack : center.rack_infos()) {
      put(fmt::format("    * rack {}\n", rack.id()));
      for (const auto& node : rack.data_node_infos()) put(fmt::format("      * {}\n", node.id()));
    }
  }
  for (const char* type : {"filer", "s3", "broker"}) {
    const auto nodes = masters.cluster_nodes(type);
    if (!nodes) return nodes.error();
    if (nodes->empty()) continue;
    put(fmt::format("* {}s\n", type));
    for (const auto& node : *nodes) {
      put(fmt::format("  * {} ({})\n", node.address, node.version));
      if (!node.data_center.empty()) put(fmt::format("    DataCenter: {}\n", node.data_center));
      if (!node.rack.empty()) put(fmt::format("    Rack: {}\n", node.rack));
    }
  }
  return {};
}

struct Sums {
  std::uint64_t volumes = 0, bytes = 0, files = 0, deleted = 0, deleted_bytes = 0;

  void add(const master_pb::VolumeInformationMessage& volume) {
    ++volumes;
    bytes += volume.size();
    files += volume.file_count();
    deleted += volume.delete_count();
    deleted_bytes += volume.deleted_byte_count();
  }
  std::string text() const {
    return fmt::format("volumes:{} size:{} file_count:{} deleted_file_count:{} deleted_bytes:{}", volumes, bytes, files,
                       deleted, deleted_bytes);
  }
};

Status collection_list(AdminClient& masters, const FlagSet&) {
  const auto names = masters.collections();
  if (!names) return names.error();
  master_pb::VolumeListResponse topology;
  if (const auto listed = masters.volume_list(&topology); !listed) return listed;
  std::map<std::string, Sums> sums;
  for (const auto& center : topology.topology_info().data_center_infos()) {
    for (const auto& rack : center.rack_infos()) {
      for (const auto& node : rack.data_node_infos()) {
        for (const auto& [type, disk] : node.diskinfos()) {
          for (const auto& volume : disk.volume_infos()) sums[volume.collection()].add(volume);
        }
      }
    }
  }
  for (const auto& [name, sum] : sums) {
    put(fmt::format("collection:\"{}\"\tvolumeCount:{}\tsize:{}\tfileCount:{}\tdeletedBytes:{}\tdeletion:{}\n", name,
                    sum.volumes, sum.bytes, sum.files, sum.deleted_bytes, sum.deleted));
  }
  put(fmt::format("Total {} collections.\n", names->size()));
  return {};
}

void declare_volume_list(FlagSet& flags) {
  flags.add({"v", integer, "5", "how deep: 0 the total, 1 data centers, 2 racks, 3 servers, 4 disks, 5 volumes"});
  flags.add({"collectionPattern", string, "", "only volumes of collections whose name matches, with * and ?"});
  flags.add({"volumeId", unsigned_integer, "0", "only this volume; 0: all"});
  flags.add({"dataCenter", string, "", "only of this data center"});
  flags.add({"rack", string, "", "only of this rack"});
  flags.add({"dataNode", string, "", "only of this server, host:port"});
  flags.add({"readonly", boolean, "false", "only volumes that take no writes"});
  flags.add({"writable", boolean, "false", "only volumes that take writes"});
}

// A name against a pattern of * and ?.
bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') {
    for (std::size_t i = 0; i <= name.size(); ++i) {
      if (matches(pattern.substr(1), name.substr(i))) return true;
    }
    return false;
  }
  return !name.empty() && (pattern[0] == '?' || pattern[0] == name[0]) && matches(pattern.substr(1), name.substr(1));
}

std::string room(const google::protobuf::Map<std::string, master_pb::DiskInfo>& disks) {
  std::string out;
  for (const auto& [type, disk] : std::map<std::string, master_pb::DiskInfo>(disks.begin(), disks.end())) {
    out += fmt::format(" {}(volume:{}/{} active:{} free:{} remote:{})", type.empty() ? "hdd" : type, disk.volume_count(),
                       disk.max_volume_count(), disk.active_volume_count(), disk.free_volume_count(),
                       disk.remote_volume_count());
  }
  return out;
}

std::string line_of(const master_pb::VolumeInformationMessage& volume) {
  std::string out = fmt::format("volume id:{} size:{}", volume.id(), volume.size());
  if (!volume.collection().empty()) out += fmt::format(" collection:\"{}\"", volume.collection());
  out += fmt::format(" file_count:{}", volume.file_count());
  if (volume.delete_count() > 0) out += fmt::format(" delete_count:{}", volume.delete_count());
  if (volume.deleted_byte_count() > 0) out += fmt::format(" deleted_byte_count:{}", volume.deleted_byte_count());
  if (volume.read_only()) out += " read_only:true";
  out += fmt::format(" replica_placement:{} version:{}", volume.replica_placement(), volume.version());
  if (volume.ttl() != 0) out += fmt::format(" ttl:{}", volume.ttl());
  return out + fmt::format(" modified_at_second:{}", volume.modified_at_second());
}

class VolumeTree {
 public:
  explicit VolumeTree(const FlagSet& flags)
      : depth_(flags.integer("v")),
        pattern_(flags.string("collectionPattern")),
        volume_(flags.unsigned_integer("volumeId")),
        center_(flags.string("dataCenter")),
        rack_(flags.string("rack")),
        node_(flags.string("dataNode")),
        readonly_(flags.boolean("readonly")),
        writable_(flags.boolean("writable")) {}

  void print(const master_pb::VolumeListResponse& topology) {
    put(fmt::format("Topology volumeSizeLimit:{} MB{}\n", topology.volume_size_limit_mb(),
                    room(topology.topology_info().diskinfos())));
    Sums total;
    for (const auto& center : topology.topology_info().data_center_infos()) {
      if (!center_.empty() && center_ != center.id()) continue;
      line(1, "DataCenter " + center.id() + room(center.diskinfos()));
      for (const auto& rack : center.rack_infos()) {
        if (!rack_.empty() && rack_ != rack.id()) continue;
        line(2, "Rack " + rack.id() + room(rack.diskinfos()));
        for (const auto& node : rack.data_node_infos()) {
          if (!node_.empty() && node_ != node.id()) continue;
          line(3, "DataNode " + node.id() + room(node.diskinfos()));
          for (const auto& [type, disk] : node.diskinfos()) print(type, disk, total);
        }
      }
    }
    put("Total " + total.text() + "\n");
  }

 private:
  void line(std::int64_t depth, const std::string& text) const {
    if (depth <= depth_) put(std::string(static_cast<std::size_t>(2 * depth), ' ') + text + "\n");
  }

  void print(const std::string& type, const master_pb::DiskInfo& disk, Sums& total) const {
    std::vector<const master_pb::VolumeInformationMessage*> wanted;
    for (const auto& volume : disk.volume_infos()) {
      const bool fits = (volume_ == 0 || volume_ == volume.id()) &&
                        (pattern_.empty() || matches(pattern_, volume.collection())) &&
                        !(readonly_ && !volume.read_only()) && !(writable_ && volume.read_only());
      if (fits) wanted.push_back(&volume);
    }
    std::sort(wanted.begin(), wanted.end(), [](const auto* a, const auto* b) { return a->id() < b->id(); });
    Sums sums;
    for (const auto* volume : wanted) {
      sums.add(*volume);
      total.add(*volume);
    }
    line(4, fmt::format("Disk {} {}", type.empty() ? "hdd" : type, sums.text()));
    for (const auto* volume : wanted) line(5, line_of(*volume));
  }

  const std::int64_t depth_;
  const std::string pattern_;
  const std::uint64_t volume_;
  const std::string center_, rack_, node_;
  const bool readonly_, writable_;
};

Status volume_list(AdminClient& masters, const FlagSet& flags) {
  master_pb::VolumeListResponse topology;
  if (const auto listed = masters.volume_list(&topology); !listed) return listed;
  VolumeTree(flags).print(topology);
  return {};
}

// ---- the admin lock

Status no_lock(AdminClient&, const FlagSet&) {
  return Error(Code::unsupported,
               "the masters of this release have no admin lock yet; no command of this shell needs it");
}

constexpr ShellCommand kCommands[] = {
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
    {"collection.list", "lists the collections with their volumes, sizes and files, each copy counted.",
     declare_nothing, collection_list},
    {"lock", "takes the admin lock (not in this release).", declare_nothing, no_lock},
    {"unlock", "gives the admin lock back (not in this release).", declare_nothing, no_lock},
    {"volume.list", "prints the tree of data centers, racks, volume servers, disks and volumes.", declare_volume_list,
     volume_list},
};

// Of spec/weed-cluster 1.9; those of filers by their first word.
constexpr std::string_view kFuture[] = {
    "cluster.check", "cluster.status", "collection.delete", "volume.grow", "volume.vacuum", "volume.vacuum.disable",
    "volume.vacuum.enable", "volume.balance", "volume.fix.replication", "volume.check.disk",
    "volume.configure.replication", "volume.copy", "volume.move", "volume.delete", "volume.deleteEmpty", "volume.mount",
    "volume.unmount", "volume.mark", "volume.merge", "volume.scrub", "volume.fsck", "volume.tier.upload",
    "volume.tier.download", "volume.tier.move", "volume.tier.compact", "volumeServer.evacuate", "volumeServer.leave",
    "volumeServer.state", "ec.encode", "ec.decode", "ec.rebuild", "ec.balance", "ec.check.replication", "ec.scrub",
    "ec.shard.unmount", "mount.configure"};
constexpr std::string_view kFutureFamilies[] = {"fs.", "s3.", "remote.", "mq."};

}  // namespace

std::span<const ShellCommand> shell_commands() { return kCommands; }

const ShellCommand* find_shell_command(std::string_view name) {
  const auto found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                  [&](const ShellCommand& command) { return command.name == name; });
  return found == std::end(kCommands) ? nullptr : found;
}

bool is_future_shell_command(std::string_view name) {
  return std::find(std::begin(kFuture), std::end(kFuture), name) != std::end(kFuture) ||
         std::any_of(std::begin(kFutureFamilies), std::end(kFutureFamilies),
                     [&](std::string_view family) { return name.starts_with(family); });
}

}  // namespace holdfast::cmd
