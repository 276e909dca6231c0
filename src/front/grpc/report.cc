#include "front/grpc/report.h"

#include "api/convert.h"
#include "model/volume_digest.h"

namespace holdfast::front {

namespace {

std::uint64_t hash_of(const master_pb::VolumeInformationMessage& volume) {
  return holdfast::hash_of({.id = volume.id(),
                            .size = volume.size(),
                            .file_count = volume.file_count(),
                            .delete_count = volume.delete_count(),
                            .deleted_byte_count = volume.deleted_byte_count(),
                            .replica_placement = volume.replica_placement(),
                            .version = volume.version(),
                            .ttl = volume.ttl(),
                            .compact_revision = volume.compact_revision(),
                            .disk_id = volume.disk_id(),
                            .read_only = volume.read_only(),
                            .modified_at_second = volume.modified_at_second(),
                            .collection = volume.collection(),
                            .disk_type = volume.disk_type(),
                            .remote_storage_name = volume.remote_storage_name()});
}

}  // namespace

Result<topology::Report> read(const master_pb::Heartbeat& message) {
  topology::Report report;
  report.id = message.id();
  report.ip = message.ip();
  report.port = message.port();
  report.grpc_port = message.grpc_port();
  report.public_url = message.public_url();
  report.data_center = message.data_center();
  report.rack = message.rack();

  for (const auto& [type, count] : message.max_volume_counts()) report.max_volume_counts.emplace(type, count);
  for (const auto& [type, bytes] : message.disk_total_bytes()) report.disk_total_bytes.emplace(type, bytes);
  for (const auto& [type, bytes] : message.disk_free_bytes()) report.disk_free_bytes.emplace(type, bytes);

  report.full = message.volumes_size() > 0 || message.has_no_volumes();
  for (const auto& volume : message.volumes()) report.volumes.push_back(api::read(volume));
  for (const auto& volume : message.changed_volumes()) report.changed.push_back(api::read(volume));
  for (const auto& volume : message.new_volumes()) report.added.push_back(api::read(volume));
  for (const auto& volume : message.deleted_volumes()) report.removed.emplace_back(volume.id());
  if (message.has_volume_digest()) {
    report.digest = message.volume_digest();
    for (const auto& volume : message.volumes()) report.hashes.emplace_back(VolumeId(volume.id()), hash_of(volume));
    for (const auto& volume : message.changed_volumes()) report.hashes.emplace_back(VolumeId(volume.id()), hash_of(volume));
  }
  report.ec_full = message.ec_shards_size() > 0 || message.has_no_ec_shards();
  for (const auto& shards : message.ec_shards()) report.ec_shards.push_back(api::read(shards));
  for (const auto& shards : message.new_ec_shards()) report.ec_added.push_back(api::read(shards));
  for (const auto& shards : message.deleted_ec_shards()) report.ec_removed.push_back(api::read(shards));
  report.max_file_key = NeedleId(message.max_file_key());
  report.location_uuids.assign(message.location_uuids().begin(), message.location_uuids().end());

  if (message.has_state()) report.in_maintenance = message.state().maintenance();

  if (!message.process_uuid().empty()) {
    const auto process = Uuid::parse(message.process_uuid());
    if (!process) return process.error().at("process_uuid");
    report.process = *process;
  }
  if (!message.cluster_id().empty()) {
    const auto cluster = Uuid::parse(message.cluster_id());
    if (!cluster) return cluster.error().at("cluster_id");
    report.cluster_id = ClusterId(*cluster);
  }
  report.generation = Generation(message.generation());
  report.feature_level = message.feature_level();
  if (message.pulse_ms() > 0) report.pulse = std::chrono::milliseconds(message.pulse_ms());
  report.leaving = message.leaving();
  report.pulses_by_datagram = message.pulses_by_datagram();
  return report;
}

std::optional<master::ClusterHint> read_hint(const master_pb::Heartbeat& message) {
  const auto cluster = Uuid::parse(message.cluster_id());
  auto called_as = Address::parse(message.called_as());
  if (!cluster || !called_as || message.known_masters_size() == 0) return std::nullopt;
  master::ClusterHint hint{.cluster = ClusterId(*cluster),
                           .masters = {},
                           .called_as = std::move(*called_as),
                           .from = host_port(message.ip(), static_cast<std::uint16_t>(message.port()))};
  for (auto& member : api::read_members(message.known_masters())) hint.masters.push_back(std::move(member.address));
  return hint;
}

void fill(const master::ReportReply& reply, master_pb::HeartbeatResponse* message) {
  if (reply.datagrams) {
    auto* pulse = message->mutable_pulse();
    pulse->set_port(reply.datagrams->port);
    pulse->set_line(reply.datagrams->line);
    pulse->set_key(reply.datagrams->key);
    pulse->set_heard(reply.datagrams->heard);
    pulse->set_alone(reply.says_only_pulse);
    if (reply.says_only_pulse) return;
  }
  message->set_volume_size_limit(reply.volume_size_limit);
  message->set_preallocate(reply.preallocate);
  message->set_leader(api::utf8(reply.leader_hint));
  message->set_resend_full_volume_list(reply.resend_full);
  message->set_volume_digest_supported(reply.takes_digests);
  for (const auto& uuid : reply.duplicated_uuids) message->add_duplicated_uuids(api::utf8(uuid));

  if (!reply.cluster_id.value().empty()) message->set_cluster_id(text(reply.cluster_id));
  message->set_generation(reply.generation.value());
  message->set_term(reply.term.value());
  message->set_feature_level(reply.feature_level);
  message->set_master_uuid(text(reply.self));
  if (reply.leader) message->set_leader_uuid(text(*reply.leader));
  for (const auto& member : reply.masters) {
    auto* master = message->add_masters();
    master->set_uuid(text(member.id));
    master->set_http_address(api::utf8(member.http));
    master->set_grpc_address(api::utf8(member.grpc));
    master->set_voter(member.voter);
  }
  message->set_pulse_ms(static_cast<std::uint32_t>(milliseconds(reply.pulse)));
  if (reply.tiers) {
    for (const auto& tier : *reply.tiers) api::fill(tier, message->add_storage_backends());
  }
  message->set_accepted(reply.accepted);
  message->set_refusal(api::utf8(reply.refusal));
  for (const auto& uuid : reply.adopted_dirs) message->add_adopted_dirs(api::utf8(uuid));
}

}  // namespace holdfast::front
