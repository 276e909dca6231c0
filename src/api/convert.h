// One conversion per message between the wire (api/*.proto) and the model. Wire bytes are turned into our values here
// and nowhere else; what comes from outside may be anything and is answered with an Error, never with a CHECK.
//
// fill(value, message*) writes the wire form into an empty message; read(message) gives the value back. Strings must be
// valid UTF-8 on the wire (Go peers refuse the whole message otherwise): fill() replaces what is not with '?'.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/master.pb.h"
#include "base/result.h"
#include "model/address.h"
#include "model/ec_shards_info.h"
#include "model/fence.h"
#include "model/master_member.h"
#include "model/tier_backend.h"
#include "model/volume_info.h"

namespace holdfast::api {

// `text`, with every byte that is no part of valid UTF-8 replaced by '?'.
std::string utf8(std::string_view text);

// A volume's report. The largest key travels in our own field; a report of an upstream volume server has none, and the
// caller falls back to the heartbeat's max_file_key.
void fill(const VolumeInfo& info, master_pb::VolumeInformationMessage* message);
VolumeInfo read(const master_pb::VolumeInformationMessage& message);

// The short form in new_volumes and deleted_volumes: identity and layout only, sizes and counts are zero.
void fill(const VolumeInfo& info, master_pb::VolumeShortInformationMessage* message);
VolumeInfo read(const master_pb::VolumeShortInformationMessage& message);

void fill(const EcShardsInfo& info, master_pb::VolumeEcShardInformationMessage* message);
EcShardsInfo read(const master_pb::VolumeEcShardInformationMessage& message);

void fill(const TierBackend& backend, master_pb::StorageBackend* message);
TierBackend read(const master_pb::StorageBackend& message);

// Code::invalid when the cluster id is no UUID.
void fill(const Fence& fence, volume_server_pb::Fence* message);
Result<Fence> read(const volume_server_pb::Fence& message);

void fill(const MasterMember& member, master_pb::MasterMember* message);
Result<MasterMember> read(const master_pb::MasterMember& message);

// Members that cannot be read are left out: a list with one strange entry is still worth having.
std::vector<MasterMember> read_members(
    const google::protobuf::RepeatedPtrField<master_pb::MasterMember>& messages);

// "host:port" as upstream names servers in Location.url; grpc_port 0 on the wire means port + 10000.
Result<Address> read_address(std::string_view url, std::uint32_t grpc_port);

}  // namespace holdfast::api
