#include "cmd/shard_transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "client/volume_source.h"
#include "core/ec/journal.h"

namespace holdfast::cmd {
namespace {

namespace pb = volume_server_pb;
using topology::PictureServer;

Result<std::string> small_file(VolumeId volume, const std::string& collection, const std::string& extension,
                               const PictureServer& holder) {
  std::string out;
  const auto copied = client::VolumeSource::at(holder.address)
                          ->copy_file({.volume = volume,
                                       .collection = collection,
                                       .extension = extension,
                                       .is_ec_volume = true,
                                       .ignore_missing = true},
                                      [&](BytesView piece) -> Status {
                                        out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
                                        return {};
                                      });
  if (!copied) return copied.error();
  return out;
}

template <typename Shards, typename Request>
void set_shards(const Shards& shards, Request& request) {
  for (const auto shard : shards) request.add_shard_ids(shard);
}

std::string list_text(const std::vector<std::uint32_t>& shards) {
  return fmt::format("{}", fmt::join(shards, " "));
}

}  // namespace

ec::Scheme scheme_of_volume(const PictureServer& holder, VolumeId volume, const std::string& collection) {
  ec::Scheme scheme;
  const auto text = small_file(volume, collection, ".vif", holder);
  if (!text || text->empty()) return scheme;
  boost::json::error_code fault;
  const auto json = boost::json::parse(*text, fault);
  if (fault || !json.is_object()) return scheme;
  const auto* config = json.as_object().if_contains("ecShardConfig");
  if (config == nullptr || !config->is_object()) return scheme;
  const auto number = [&](const char* name) -> std::uint32_t {
    const auto* value = config->as_object().if_contains(name);
    return value != nullptr && value->is_int64() && value->as_int64() > 0 && value->as_int64() < 33
               ? static_cast<std::uint32_t>(value->as_int64())
               : 0;
  };
  const ec::Scheme told{number("dataShards"), number("parityShards")};
  return told.is_valid() ? told : scheme;
}

Result<std::map<std::uint32_t, std::int64_t>> mounted_shards(Shell& shell, VolumeId volume, const PictureServer& server) {
  pb::VolumeEcShardsInfoRequest request;
  request.set_volume_id(volume.value());
  const auto info = shell.servers.call(server.address.grpc(), request);
  std::map<std::uint32_t, std::int64_t> out;
  if (!info) {
    if (info.error().what().find("not found") != std::string::npos) return out;
    return info.error();
  }
  for (const auto& shard : info->ec_shard_infos()) {
    if (shard.size() > 0) out[shard.shard_id()] = shard.size();
  }
  return out;
}

Status copy_shards(Shell& shell, VolumeId volume, const std::string& collection, const std::vector<std::uint32_t>& shards,
                   const PictureServer& source, const PictureServer& target, bool with_index) {
  pb::VolumeEcShardsCopyRequest request;
  request.set_volume_id(volume.value());
  request.set_collection(collection);
  set_shards(shards, request);
  request.set_copy_ecx_file(with_index);
  request.set_copy_ecj_file(with_index);
  request.set_copy_vif_file(with_index);
  request.set_copy_ecsum_file(with_index);
  request.set_source_data_node(text(source.address));
  const auto done = shell.servers.call(target.address.grpc(), request);
  if (!done) return done.error();
  Shell::say("ec volume {}: shards {} copied from {} to {}", volume.value(), list_text(shards), source.id, target.id);
  return {};
}

Status mount_shards(Shell& shell, VolumeId volume, const std::string& collection, const std::vector<std::uint32_t>& shards,
                    const PictureServer& server) {
  pb::VolumeEcShardsMountRequest request;
  request.set_volume_id(volume.value());
  request.set_collection(collection);
  set_shards(shards, request);
  const auto done = shell.servers.call(server.address.grpc(), request);
  if (!done) return done.error();
  return {};
}

Status drop_shards(Shell& shell, VolumeId volume, const std::string& collection, const std::vector<std::uint32_t>& shards,
                   const PictureServer& server) {
  pb::VolumeEcShardsUnmountRequest unmount;
  unmount.set_volume_id(volume.value());
  set_shards(shards, unmount);
  if (const auto done = shell.servers.call(server.address.grpc(), unmount); !done) return done.error();
  pb::VolumeEcShardsDeleteRequest remove;
  remove.set_volume_id(volume.value());
  remove.set_collection(collection);
  set_shards(shards, remove);
  if (const auto done = shell.servers.call(server.address.grpc(), remove); !done) return done.error();
  return {};
}

Status drop_all_shards(Shell& shell, VolumeId volume, const std::string& collection, const PictureServer& server) {
  pb::VolumeEcShardsUnmountRequest unmount;
  unmount.set_volume_id(volume.value());
  for (std::uint32_t shard = 0; shard < ec::kShardsMax; ++shard) unmount.add_shard_ids(shard);
  if (const auto done = shell.servers.call(server.address.grpc(), unmount); !done) return done.error();
  pb::VolumeEcShardsDeleteRequest remove;
  remove.set_volume_id(volume.value());
  remove.set_collection(collection);
  remove.set_full_teardown(true);
  const auto done = shell.servers.call(server.address.grpc(), remove);
  if (!done) return done.error();
  if (!done->full_teardown_done()) {
    return Error(Code::unsupported, server.id + " does not say that it removed all shards");
  }
  return {};
}

Result<std::vector<std::uint64_t>> deleted_keys(VolumeId volume, const std::string& collection, const PictureServer& holder) {
  const auto journal = small_file(volume, collection, ".ecj", holder);
  if (!journal) return journal.error();
  std::vector<std::uint64_t> out;
  for (const auto key : ec::parse_journal(bytes_of(*journal))) out.push_back(key.value());
  return out;
}

Status share_deletions(Shell& shell, VolumeId volume, const std::string& collection,
                       const std::vector<const PictureServer*>& holders) {
  std::map<const PictureServer*, std::set<std::uint64_t>> known;
  std::set<std::uint64_t> all;
  for (const auto* holder : holders) {
    const auto keys = deleted_keys(volume, collection, *holder);
    if (!keys) return keys.error();
    known[holder].insert(keys->begin(), keys->end());
    all.insert(keys->begin(), keys->end());
  }
  for (const auto& [holder, keys] : known) {
    for (const auto key : all) {
      if (keys.contains(key)) continue;
      pb::VolumeEcBlobDeleteRequest request;
      request.set_volume_id(volume.value());
      request.set_collection(collection);
      request.set_file_key(key);
      request.set_version(3);
      const auto done = shell.servers.call(holder->address.grpc(), request);
      if (!done && done.error().what().find("needle not found") == std::string::npos) return done.error();
    }
  }
  return {};
}

Status carry_out_moves(Shell& shell, const std::vector<topology::ShardMove>& moves) {
  std::size_t done = 0;
  for (const auto& move : moves) {
    if (auto locked = shell.locked(); !locked) return locked;
    const auto picture = shell.picture();
    if (!picture) return picture.error();
    const auto* source = picture->find(move.source);
    const auto* target = picture->find(move.target);
    if (source == nullptr || target == nullptr) return Error(Code::stale, "the servers changed meanwhile: begin again");
    const auto at_source = mounted_shards(shell, move.volume, *source);
    if (!at_source) return at_source.error();
    if (!at_source->contains(move.shard)) return Error(Code::stale, "the shards changed meanwhile: begin again");
    const auto before = mounted_shards(shell, move.volume, *target);
    if (!before) return before.error();
    Shell::say("moving shard {}.{} from {} to {} ({}/{})", move.volume.value(), move.shard, move.source, move.target, done + 1,
               moves.size());
    if (!before->contains(move.shard)) {
      if (auto copied = copy_shards(shell, move.volume, move.collection, {move.shard}, *source, *target, before->empty()); !copied) {
        return copied;
      }
      if (auto mounted = mount_shards(shell, move.volume, move.collection, {move.shard}, *target); !mounted) return mounted;
    }
    const auto after = mounted_shards(shell, move.volume, *target);
    if (!after) return after.error();
    const auto came = after->find(move.shard);
    if (came == after->end() || came->second != at_source->at(move.shard)) {
      return Error(Code::corrupt, fmt::format("shard {}.{} did not come as it was: it stays at {}", move.volume.value(), move.shard,
                                              move.source));
    }
    auto holders = picture->shard_holders(move.volume);
    if (std::find(holders.begin(), holders.end(), target) == holders.end()) holders.push_back(target);
    if (auto shared = share_deletions(shell, move.volume, move.collection, holders); !shared) return shared;
    if (auto dropped = drop_shards(shell, move.volume, move.collection, {move.shard}, *source); !dropped) return dropped;
    shell.wait_until([&](const topology::Picture& present) {
      const auto* from = present.find(move.source);
      const auto* to = present.find(move.target);
      return from != nullptr && to != nullptr && (from->shard_bits(move.volume) >> move.shard & 1) == 0 &&
             (to->shard_bits(move.volume) >> move.shard & 1) == 1;
    });
    ++done;
  }
  return {};
}

}  // namespace holdfast::cmd
