#include "api/convert.h"

#include <limits>

#include "base/utf8.h"

namespace holdfast::api {

std::string utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      valid += '?';
      text.remove_prefix(1);
    } else {
      valid.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  return valid;
}

void fill(const VolumeInfo& info, master_pb::VolumeInformationMessage* message) {
  message->set_id(info.id.value());
  message->set_size(info.size);
  message->set_collection(utf8(info.collection));
  message->set_file_count(info.file_count);
  message->set_delete_count(info.delete_count);
  message->set_deleted_byte_count(info.deleted_byte_count);
  message->set_read_only(info.read_only);
  message->set_replica_placement(info.replica_placement.byte());
  message->set_version(info.version);
  message->set_ttl(info.ttl.wire());
  message->set_compact_revision(info.compact_revision);
  message->set_modified_at_second(info.modified_at_second);
  message->set_remote_storage_name(utf8(info.remote_storage_name));
  message->set_remote_storage_key(utf8(info.remote_storage_key));
  message->set_disk_type(utf8(info.disk_type));
  message->set_disk_id(info.disk_id);
  message->set_max_file_key(info.max_key.value());
  message->set_replica_epoch(info.replica_epoch);
  message->set_replica_outdated(info.replica_outdated);
}

VolumeInfo read(const master_pb::VolumeInformationMessage& message) {
  VolumeInfo info;
  info.id = VolumeId(message.id());
  info.size = message.size();
  info.collection = message.collection();
  info.file_count = message.file_count();
  info.delete_count = message.delete_count();
  info.deleted_byte_count = message.deleted_byte_count();
  info.read_only = message.read_only();
  info.replica_placement = ReplicaPlacement::from_byte(static_cast<std::uint8_t>(message.replica_placement()));
  info.version = message.version();
  info.ttl = Ttl::from_wire(message.ttl());
  info.compact_revision = message.compact_revision();
  info.modified_at_second = message.modified_at_second();
  info.remote_storage_name = message.remote_storage_name();
  info.remote_storage_key = message.remote_storage_key();
  info.disk_type = message.disk_type();
  info.disk_id = message.disk_id();
  info.max_key = NeedleId(message.max_file_key());
  info.replica_epoch = message.replica_epoch();
  info.replica_outdated = message.replica_outdated();
  return info;
}

void fill(const EcShardsInfo& info, master_pb::VolumeEcShardInformationMessage* message) {
  message->set_id(info.id.value());
  message->set_collection(utf8(info.collection));
  message->set_ec_index_bits(info.bits);
  message->set_disk_type(utf8(info.disk_type));
  message->set_expire_at_sec(info.expire_at_sec);
  message->set_disk_id(info.disk_id);
  for (const auto bytes : info.shard_sizes) message->add_shard_sizes(bytes);
  message->set_file_count(info.file_count);
  message->set_delete_count(info.delete_count);
  message->set_encode_ts_ns(info.encode_ts_ns);
  message->set_max_file_key(info.max_key.value());
}

EcShardsInfo read(const master_pb::VolumeEcShardInformationMessage& message) {
  EcShardsInfo info;
  info.id = VolumeId(message.id());
  info.collection = message.collection();
  info.bits = message.ec_index_bits();
  info.disk_type = message.disk_type();
  info.expire_at_sec = message.expire_at_sec();
  info.disk_id = message.disk_id();
  info.shard_sizes.assign(message.shard_sizes().begin(), message.shard_sizes().end());
  info.file_count = message.file_count();
  info.delete_count = message.delete_count();
  info.encode_ts_ns = message.encode_ts_ns();
  info.max_key = NeedleId(message.max_file_key());
  return info;
}

void fill(const TierBackend& backend, master_pb::StorageBackend* message) {
  message->set_type(utf8(backend.type));
  message->set_id(utf8(backend.id));
  for (const auto& [name, value] : backend.properties) (*message->mutable_properties())[utf8(name)] = utf8(value);
}

TierBackend read(const master_pb::StorageBackend& message) {
  return {.type = message.type(), .id = message.id(), .properties = {message.properties().begin(), message.properties().end()}};
}

void fill(const VolumeInfo& info, master_pb::VolumeShortInformationMessage* message) {
  message->set_id(info.id.value());
  message->set_collection(utf8(info.collection));
  message->set_replica_placement(info.replica_placement.byte());
  message->set_version(info.version);
  message->set_ttl(info.ttl.wire());
  message->set_disk_type(utf8(info.disk_type));
  message->set_disk_id(info.disk_id);
  message->set_max_file_key(info.max_key.value());
  message->set_replica_epoch(info.replica_epoch);
  message->set_replica_outdated(info.replica_outdated);
}

VolumeInfo read(const master_pb::VolumeShortInformationMessage& message) {
  VolumeInfo info;
  info.id = VolumeId(message.id());
  info.collection = message.collection();
  info.replica_placement = ReplicaPlacement::from_byte(static_cast<std::uint8_t>(message.replica_placement()));
  info.version = message.version();
  info.ttl = Ttl::from_wire(message.ttl());
  info.disk_type = message.disk_type();
  info.disk_id = message.disk_id();
  info.max_key = NeedleId(message.max_file_key());
  info.replica_epoch = message.replica_epoch();
  info.replica_outdated = message.replica_outdated();
  return info;
}

void fill(const Fence& fence, volume_server_pb::Fence* message) {
  message->set_cluster_id(text(fence.cluster));
  message->set_generation(fence.generation.value());
  message->set_term(fence.term.value());
  message->set_sequence(fence.sequence);
}

Result<Fence> read(const volume_server_pb::Fence& message) {
  const auto cluster = Uuid::parse(message.cluster_id());
  if (!cluster) return cluster.error().at("fence");
  return Fence{.cluster = ClusterId(*cluster),
               .generation = Generation(message.generation()),
               .term = Term(message.term()),
               .sequence = message.sequence()};
}

void fill(const MasterMember& member, master_pb::MasterMember* message) {
  message->set_uuid(text(member.id));
  message->set_http_address(utf8(member.address.http()));
  message->set_grpc_address(utf8(member.address.grpc()));
  message->set_voter(member.voter);
}

Result<MasterMember> read(const master_pb::MasterMember& message) {
  const auto uuid = Uuid::parse(message.uuid());
  if (!uuid) return uuid.error().at("member");
  auto address = Address::parse(message.http_address());
  if (!address) return address.error().at("member " + message.uuid());
  // The gRPC address is told whole, but an Address has one host; a port is what may differ from the rule.
  const auto grpc = Address::parse(message.grpc_address());
  if (grpc && grpc->port != address->grpc_port_or_default()) address->grpc_port = grpc->port;
  return MasterMember{.id = NodeId(*uuid), .address = *address, .voter = message.voter()};
}

std::vector<MasterMember> read_members(const google::protobuf::RepeatedPtrField<master_pb::MasterMember>& messages) {
  std::vector<MasterMember> members;
  members.reserve(static_cast<std::size_t>(messages.size()));
  for (const auto& message : messages) {
    if (auto member = read(message)) members.push_back(*std::move(member));
  }
  return members;
}

Result<Address> read_address(std::string_view url, std::uint32_t grpc_port) {
  auto address = Address::parse(url);
  if (!address) return address;
  if (grpc_port > std::numeric_limits<std::uint16_t>::max()) {
    return Error(Code::invalid, "gRPC port " + std::to_string(grpc_port) + " is no port");
  }
  if (grpc_port != 0 && grpc_port != address->grpc_port_or_default()) {
    address->grpc_port = static_cast<std::uint16_t>(grpc_port);
  }
  return address;
}

}  // namespace holdfast::api
