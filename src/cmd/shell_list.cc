// Commands about what there is: the tree of servers and volumes, the collections.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api/master.pb.h"
#include "cmd/shell_commands.h"

namespace holdfast::cmd {
namespace {

using enum FlagType;

void declare_nothing(FlagSet&) {}

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

Status collection_list(Shell& shell, const FlagSet&) {
  const auto names = shell.masters.collections();
  if (!names) return names.error();
  master_pb::VolumeListResponse topology;
  if (const auto listed = shell.masters.volume_list(&topology); !listed) return listed;
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
    Shell::put(fmt::format("collection:\"{}\"\tvolumeCount:{}\tsize:{}\tfileCount:{}\tdeletedBytes:{}\tdeletion:{}\n", name,
                    sum.volumes, sum.bytes, sum.files, sum.deleted_bytes, sum.deleted));
  }
  Shell::put(fmt::format("Total {} collections.\n", names->size()));
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
  if (!volume.remote_storage_name().empty()) {
    out += fmt::format(" remote_storage_name:\"{}\" remote_storage_key:\"{}\"", volume.remote_storage_name(), volume.remote_storage_key());
  }
  return out + fmt::format(" modified_at_second:{}", volume.modified_at_second());
}

std::string line_of(const master_pb::VolumeEcShardInformationMessage& shards) {
  std::string ids, sizes;
  int at = 0;
  for (std::uint32_t shard = 0; shard < 32; ++shard) {
    if ((shards.ec_index_bits() >> shard & 1) == 0) continue;
    ids += fmt::format("{}{}", ids.empty() ? "" : " ", shard);
    if (at < shards.shard_sizes_size()) {
      sizes += fmt::format("{}{}:{}", sizes.empty() ? "" : " ", shard, shards.shard_sizes(at));
    }
    ++at;
  }
  return fmt::format("ec volume id:{} collection:\"{}\" shards:[{}] sizes:[{}]", shards.id(), shards.collection(), ids, sizes);
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
    Shell::put(fmt::format("Topology volumeSizeLimit:{} MB{}\n", topology.volume_size_limit_mb(),
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
    Shell::put("Total " + total.text() + "\n");
  }

 private:
  void line(std::int64_t depth, const std::string& text) const {
    if (depth <= depth_) Shell::put(std::string(static_cast<std::size_t>(2 * depth), ' ') + text + "\n");
  }

  void print(const std::string& type, const master_pb::DiskInfo& disk, Sums& total) const {
    std::vector<const master_pb::VolumeInformationMessage*> wanted;
    for (const auto& volume : disk.volume_infos()) {
      const bool fits = (volume_ == 0 || volume_ == volume.id()) &&
                        (pattern_.empty() || is_collection_wanted(pattern_, volume.collection())) &&
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
    if (readonly_ || writable_) return;  // shards are neither
    std::vector<const master_pb::VolumeEcShardInformationMessage*> encoded;
    for (const auto& shards : disk.ec_shard_infos()) {
      if (volume_ != 0 && volume_ != shards.id()) continue;
      if (pattern_.empty() || is_collection_wanted(pattern_, shards.collection())) encoded.push_back(&shards);
    }
    std::sort(encoded.begin(), encoded.end(), [](const auto* a, const auto* b) { return a->id() < b->id(); });
    for (const auto* shards : encoded) line(5, line_of(*shards));
  }

  const std::int64_t depth_;
  const std::string pattern_;
  const std::uint64_t volume_;
  const std::string center_, rack_, node_;
  const bool readonly_, writable_;
};

Status volume_list(Shell& shell, const FlagSet& flags) {
  master_pb::VolumeListResponse topology;
  if (const auto listed = shell.masters.volume_list(&topology); !listed) return listed;
  VolumeTree(flags).print(topology);
  return {};
}

void declare_collection_delete(FlagSet& flags) {
  flags.add({"collection", string, "", "the collection that goes, with all its volumes"});
  declare_apply(flags);
}

Status collection_delete(Shell& shell, const FlagSet& flags) {
  const auto& name = flags.string("collection");
  if (name.empty()) return Error(Code::invalid, "-collection must say which collection");
  if (!applies(flags)) {
    Shell::say("collection '{}' will be deleted. Use -apply to apply the change.", name);
    return {};
  }
  if (const auto gone = shell.masters.delete_collection(name); !gone) return gone;
  Shell::say("collection {} is deleted.", name);
  return {};
}

constexpr ShellCommand kCommands[] = {
    {"collection.delete", "deletes a collection: all volumes of it, on all servers, erasure-coded ones too.",
     declare_collection_delete, collection_delete, true},
    {"collection.list", "lists the collections with their volumes, sizes and files, each copy counted.",
     declare_nothing, collection_list},
    {"volume.list", "prints the tree of data centers, racks, volume servers, disks and volumes.", declare_volume_list,
     volume_list},
};

}  // namespace

std::span<const ShellCommand> list_commands() { return kCommands; }

}  // namespace holdfast::cmd
