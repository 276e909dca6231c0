#include "front/grpc/volume_list.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "api/convert.h"

namespace holdfast::front {

namespace {

constexpr int kVolumesPerMessage = 10'000;  // as upstream cuts it: a few MB each

template <typename Info>  // of a volume, or of an encoded one's shards
bool is_wanted(const Info& volume, const master_pb::VolumeListRequest& request) {
  if (request.volume_id() != 0 && volume.id.value() != request.volume_id()) return false;
  if (request.default_collection_only()) return volume.collection.empty();
  return request.collection().empty() || volume.collection == request.collection();
}

// A server that leaves or is in maintenance has no slot for another volume, however few it holds: the shell then picks it for nothing.
void count_disk(const std::string& type, const master::DiskStatus& disk, std::int64_t active, bool is_full,
                master_pb::DiskInfo* message) {
  message->set_type(type);
  message->set_volume_count(message->volume_count() + disk.volumes);
  message->set_max_volume_count(message->max_volume_count() + disk.max);
  message->set_free_volume_count(message->free_volume_count() + (is_full ? 0 : disk.free));
  message->set_active_volume_count(message->active_volume_count() + active);
  message->set_disk_total_bytes(message->disk_total_bytes() + disk.total_bytes);
  message->set_disk_free_bytes(message->disk_free_bytes() + disk.free_bytes);
}

// Without volumes. Each level carries the sums of what lies below it.
void fill_counters(const master::TopologyStatus& status, master_pb::TopologyInfo* topology) {
  topology->set_id("topo");
  for (const auto& data_center : status.data_centers) {
    auto* center = topology->add_data_center_infos();
    center->set_id(api::utf8(data_center.id));
    for (const auto& rack_status : data_center.racks) {
      auto* rack = center->add_rack_infos();
      rack->set_id(api::utf8(rack_status.id));
      for (const auto& server : rack_status.servers) {
        auto* node = rack->add_data_node_infos();
        node->set_id(api::utf8(server.id));
        node->set_address(api::utf8(server.url));
        node->set_grpc_port(server.grpc_port);
        for (const auto& [type, disk] : server.disks) {
          const auto& volumes = server.volume_infos;
          const auto is_active = [&type = type](const auto& volume) {
            return volume->disk_type == type && !volume->read_only;
          };
          const auto active = std::count_if(volumes.begin(), volumes.end(), is_active);
          const std::string key = api::utf8(type);
          for (auto* infos : {node->mutable_diskinfos(), rack->mutable_diskinfos(), center->mutable_diskinfos(),
                              topology->mutable_diskinfos()}) {
            count_disk(key, disk, active, server.leaving || server.in_maintenance, &(*infos)[key]);
          }
        }
      }
    }
  }
}

template <typename Visit>  // visit(data center, rack, server, volume) for each wanted volume
void each_volume(const master::TopologyStatus& status, const master_pb::VolumeListRequest& request, Visit visit) {
  for (const auto& data_center : status.data_centers) {
    for (const auto& rack : data_center.racks) {
      for (const auto& server : rack.servers) {
        for (const auto& volume : server.volume_infos) {
          if (is_wanted(*volume, request)) visit(data_center, rack, server, *volume);
        }
      }
    }
  }
}

void add_ec_pieces(const std::string& center, const std::string& rack, const master::ServerStatus& server,
                   const master_pb::VolumeListRequest& request, std::vector<master_pb::VolumeListStreamResponse>& all) {
  std::map<std::string, std::size_t> open;  // by disk type
  for (const auto& shards : server.ec_infos) {
    if (!is_wanted(shards, request)) continue;
    auto [place, is_new] = open.try_emplace(shards.disk_type, all.size());
    if (!is_new && all[place->second].ec_shard_infos_size() == kVolumesPerMessage) {
      place->second = all.size();
      is_new = true;
    }
    if (is_new) {
      auto& piece = all.emplace_back();
      piece.set_data_center(api::utf8(center));
      piece.set_rack(api::utf8(rack));
      piece.set_data_node(api::utf8(server.id));
      piece.set_disk_type(api::utf8(shards.disk_type));
    }
    api::fill(shards, all[place->second].add_ec_shard_infos());
  }
}

}  // namespace

void fill(const master::TopologyStatus& status, const master_pb::VolumeListRequest& request,
          master_pb::TopologyInfo* message) {
  fill_counters(status, message);
  int center_at = 0;
  for (const auto& data_center : status.data_centers) {
    auto* center = message->mutable_data_center_infos(center_at++);
    int rack_at = 0;
    for (const auto& rack_status : data_center.racks) {
      auto* rack = center->mutable_rack_infos(rack_at++);
      int node_at = 0;
      for (const auto& server : rack_status.servers) {
        auto* disks = rack->mutable_data_node_infos(node_at++)->mutable_diskinfos();
        for (const auto& volume : server.volume_infos) {
          if (!is_wanted(*volume, request)) continue;
          auto& disk = (*disks)[api::utf8(volume->disk_type)];
          disk.set_type(api::utf8(volume->disk_type));
          api::fill(*volume, disk.add_volume_infos());
        }
        for (const auto& shards : server.ec_infos) {
          if (!is_wanted(shards, request)) continue;
          auto& disk = (*disks)[api::utf8(shards.disk_type)];
          disk.set_type(api::utf8(shards.disk_type));
          api::fill(shards, disk.add_ec_shard_infos());
        }
      }
    }
  }
}

std::vector<master_pb::VolumeListStreamResponse> pieces(const master::TopologyStatus& status,
                                                        const master_pb::VolumeListRequest& request,
                                                        std::uint64_t volume_size_limit_mb) {
  std::vector<master_pb::VolumeListStreamResponse> all(1);
  auto* header = all.front().mutable_header();
  fill_counters(status, header->mutable_topology_info());
  header->set_volume_size_limit_mb(volume_size_limit_mb);
  // Volumes of one server come sorted by id, not by disk: each disk has a message of its own that fills up.
  std::map<std::pair<const master::ServerStatus*, std::string>, std::size_t> open;
  each_volume(status, request, [&](const auto& center, const auto& rack, const auto& server, const VolumeInfo& volume) {
    auto [place, is_new] = open.try_emplace({&server, volume.disk_type}, all.size());
    if (!is_new && all[place->second].volume_infos_size() == kVolumesPerMessage) {
      place->second = all.size();
      is_new = true;
    }
    if (is_new) {
      auto& piece = all.emplace_back();
      piece.set_data_center(api::utf8(center.id));
      piece.set_rack(api::utf8(rack.id));
      piece.set_data_node(api::utf8(server.id));
      piece.set_disk_type(api::utf8(volume.disk_type));
    }
    api::fill(volume, all[place->second].add_volume_infos());
  });
  for (const auto& center : status.data_centers) {
    for (const auto& rack : center.racks) {
      for (const auto& server : rack.servers) add_ec_pieces(center.id, rack.id, server, request, all);
    }
  }
  return all;
}

Status fill_statistics(const master::TopologyStatus& status, const master_pb::StatisticsRequest& request,
                       const std::string& default_replication, std::uint64_t volume_size_limit,
                       master_pb::StatisticsResponse* message) {
  const std::string& replication = request.replication().empty() ? default_replication : request.replication();
  const auto placement = ReplicaPlacement::parse(replication);
  if (!placement) return placement.error();
  const auto ttl = Ttl::parse(request.ttl());
  if (!ttl) return ttl.error();
  const std::string disk_type = topology::canonical_disk_type(request.disk_type());
  const bool any_disk = request.disk_type().empty();

  std::uint64_t slots = 0;
  for (const auto& data_center : status.data_centers) {
    for (const auto& rack : data_center.racks) {
      for (const auto& server : rack.servers) {
        for (const auto& [type, disk] : server.disks) {
          if (any_disk || type == disk_type) slots += static_cast<std::uint64_t>(std::max<std::int64_t>(disk.max, 0));
        }
      }
    }
  }
  struct Fullest {
    std::uint64_t size = 0;
    std::uint64_t files = 0;
  };
  std::map<VolumeId, Fullest> volumes;
  std::uint64_t physical = 0;
  each_volume(status, {}, [&](const auto&, const auto&, const auto&, const VolumeInfo& volume) {
    if (volume.collection != request.collection()) return;
    if (!request.replication().empty() && volume.replica_placement != *placement) return;
    if (!request.ttl().empty() && volume.ttl != *ttl) return;
    if (!any_disk && volume.disk_type != disk_type) return;
    physical += volume.size;
    Fullest& fullest = volumes[volume.id];
    fullest.size = std::max(fullest.size, volume.size);
    fullest.files = std::max(fullest.files, volume.file_count - std::min(volume.file_count, volume.delete_count));
  });
  message->set_total_size(slots * volume_size_limit);
  message->set_logical_total_size(message->total_size() / static_cast<std::uint64_t>(placement->copies()));
  message->set_used_size(physical);
  for (const auto& [id, fullest] : volumes) {
    message->set_logical_used_size(message->logical_used_size() + fullest.size);
    message->set_file_count(message->file_count() + fullest.files);
  }
  return {};
}

void fill_collections(const master::TopologyStatus& status, master_pb::CollectionStatisticsResponse* message) {
  struct Sums {
    std::map<VolumeId, VolumeInfo> volumes;  // of the replicas of one volume the fullest
    std::uint64_t physical_size = 0;
  };
  std::map<std::string, Sums> collections;
  each_volume(status, {}, [&](const auto&, const auto&, const auto&, const VolumeInfo& volume) {
    Sums& sums = collections[volume.collection];
    sums.physical_size += volume.size;
    const auto [place, is_new] = sums.volumes.try_emplace(volume.id, volume);
    if (!is_new && place->second.size < volume.size) place->second = volume;
  });
  for (const auto& [name, sums] : collections) {
    auto* one = message->add_collections();
    one->set_collection(api::utf8(name));
    one->set_physical_size(sums.physical_size);
    one->set_volume_count(sums.volumes.size());
    for (const auto& [id, volume] : sums.volumes) {
      one->set_size(one->size() + volume.size);
      one->set_file_count(one->file_count() + volume.file_count);
      one->set_delete_count(one->delete_count() + volume.delete_count);
      one->set_deleted_byte_count(one->deleted_byte_count() + volume.deleted_byte_count);
    }
  }
}

}  // namespace holdfast::front
