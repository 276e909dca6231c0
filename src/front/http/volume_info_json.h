// VolumeInfo as /status and /vol/status show it (spec/weed-cluster 3.12): all keys always, in upstream's order.
#pragma once

#include <cstdint>

#include "front/http/json.h"
#include "model/volume_info.h"

namespace holdfast::front {

// `size` is what the key Size shows: a volume server tells the sum of its needles' sizes, a master the size that was
// reported to it.
inline void append_volume_info(JsonWriter& json, const VolumeInfo& info, std::uint64_t size) {
  json.begin_object()
      .field("Collection", info.collection)
      .field("DiskType", info.disk_type)
      .field("RemoteStorageName", info.remote_storage_name)
      .key("ReplicaPlacement")
      .begin_object()
      .field_unless_empty("node", unsigned{info.replica_placement.same_rack})
      .field_unless_empty("rack", unsigned{info.replica_placement.other_racks})
      .field_unless_empty("dc", unsigned{info.replica_placement.other_data_centers})
      .end_object()
      .key("Ttl")
      .begin_object()
      .field("Count", unsigned{info.ttl.count()})
      .field("Unit", static_cast<unsigned>(info.ttl.unit()))
      .end_object()
      .field("Size", size)
      .field("DeletedByteCount", info.deleted_byte_count)
      .field("ModifiedAtSecond", info.modified_at_second)
      .field("Id", info.id.value())
      .field("DiskId", info.disk_id)
      .field("CompactRevision", info.compact_revision)
      .field("FileCount", info.file_count)
      .field("DeleteCount", info.delete_count)
      .field("Version", info.version)
      .field("ReadOnly", info.read_only)
      .end_object();
}

}  // namespace holdfast::front
