// Commands that do one thing to volumes where they lie.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "cmd/shell_commands.h"

namespace holdfast::cmd {
namespace {

using enum FlagType;
using topology::Picture;
using topology::PictureServer;
namespace pb = volume_server_pb;

void declare_nothing(FlagSet&) {}

void declare_volume(FlagSet& flags) { flags.add({"volumeId", unsigned_integer, "0", "the volume's `id`"}); }
void declare_node(FlagSet& flags) { flags.add({"node", string, "", "the volume server, `host:port`"}); }

// The gRPC address of -node.
Result<std::string> node_of(Shell& shell, const FlagSet& flags) {
  if (flags.string("node").empty()) return Error(Code::invalid, "-node must say which volume server");
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  return grpc_named(*picture, flags.string("node"));
}

// ---- vacuum, growth

void declare_vacuum(FlagSet& flags) {
  flags.add({"garbageThreshold", number, "0.3", "vacuum volumes of which at least this part is deleted"});
  flags.add({"collection", string, "", "only volumes of this collection; empty: all"});
  flags.add({"volumeId", unsigned_integer, "0", "only this volume; 0: all"});
}

Status vacuum(Shell& shell, const FlagSet& flags) {
  const auto id = flags.unsigned_integer("volumeId");
  if (id > UINT32_MAX) return Error(Code::invalid, "-volumeId is no volume's");
  return shell.masters.vacuum(flags.number("garbageThreshold"), VolumeId(static_cast<std::uint32_t>(id)),
                              flags.string("collection"));
}

Status vacuum_disable(Shell& shell, const FlagSet&) { return shell.masters.set_vacuum_disabled(true); }
Status vacuum_enable(Shell& shell, const FlagSet&) { return shell.masters.set_vacuum_disabled(false); }

void declare_grow(FlagSet& flags) {
  flags.add({"count", unsigned_integer, "2", "how many volumes more"});
  flags.add({"collection", string, "", "of this collection, which must exist"});
  flags.add({"dataCenter", string, "", "the first copy in this data center"});
  flags.add({"rack", string, "", "the first copy in this rack"});
  flags.add({"dataNode", string, "", "the first copy on this server, `host:port`"});
  flags.add({"diskType", string, "", "on disks of this type; empty: hdd"});
}

Status grow(Shell& shell, const FlagSet& flags) {
  const auto& collection = flags.string("collection");
  if (collection.empty()) return Error(Code::invalid, "collection option is required");
  const auto names = shell.masters.collections();
  if (!names) return names.error();
  if (std::find(names->begin(), names->end(), collection) == names->end()) {
    return Error(Code::not_found, "collection not found");
  }
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  // Like the volumes that are there.
  client::GrowWish wish{.volumes = static_cast<std::uint32_t>(std::min<std::uint64_t>(flags.unsigned_integer("count"), 10'000)),
                        .collection = collection,
                        .data_center = flags.string("dataCenter"),
                        .rack = flags.string("rack"),
                        .data_node = flags.string("dataNode"),
                        .disk_type = flags.string("diskType")};
  for (const auto& server : picture->servers) {
    for (const auto& volume : server.volumes) {
      if (volume.collection != collection) continue;
      wish.replication = text(volume.replica_placement);
      wish.ttl = text(volume.ttl);
    }
  }
  if (const auto grown = shell.masters.grow(wish); !grown) return grown;
  Shell::say("{} volumes more for collection {}", wish.volumes, collection);
  return {};
}

// ---- marks, mounts

void declare_mark(FlagSet& flags) {
  declare_volume(flags);
  flags.add({"node", string, "", "the copy on this volume server, `host:port`; empty: every copy"});
  flags.add({"collection", string, "", "all volumes whose collection matches, with * and ?, instead of -volumeId"});
  flags.add({"writable", boolean, "false", "they take writes"});
  flags.add({"readonly", boolean, "false", "they take none"});
  flags.add({"readonlyCanDelete", boolean, "false", "they take deletes only"});
}

Status mark(Shell& shell, const FlagSet& flags) {
  const bool writable = flags.boolean("writable"), can_delete = flags.boolean("readonlyCanDelete");
  if (static_cast<int>(writable) + static_cast<int>(flags.boolean("readonly")) + static_cast<int>(can_delete) != 1) {
    return Error(Code::invalid, "one of -writable, -readonly and -readonlyCanDelete must be given");
  }
  const auto id = flags.unsigned_integer("volumeId");
  const auto& pattern = flags.string("collection");
  if ((id == 0) == pattern.empty()) return Error(Code::invalid, "either -volumeId or -collection must say which volumes");
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const PictureServer* only = nullptr;
  if (!flags.string("node").empty()) {
    const auto named = server_named(*picture, flags.string("node"));
    if (!named) return named.error();
    only = *named;
  }
  std::size_t marked = 0;
  for (const auto& server : picture->servers) {
    if (only != nullptr && only != &server) continue;
    for (const auto& volume : server.volumes) {
      if (id != 0 ? volume.id.value() != id : !is_collection_wanted(pattern, volume.collection)) continue;
      if (auto locked = shell.locked(); !locked) return locked;
      if (writable) {
        pb::VolumeMarkWritableRequest request;
        request.set_volume_id(volume.id.value());
        if (const auto done = shell.servers.call(server.address.grpc(), request); !done) return done.error();
      } else {
        pb::VolumeMarkReadonlyRequest request;
        request.set_volume_id(volume.id.value());
        request.set_persist(true);
        request.set_can_delete(can_delete);
        if (const auto done = shell.servers.call(server.address.grpc(), request); !done) return done.error();
      }
      Shell::say("volume {} at {}: {}", volume.id.value(), server.id,
                 writable ? "writable" : can_delete ? "read-only, can delete" : "read-only");
      ++marked;
    }
  }
  if (marked == 0) return Error(Code::not_found, "no such volume is there");
  return {};
}

void declare_one(FlagSet& flags) {
  declare_volume(flags);
  declare_node(flags);
}

// `is_there`: what the masters tell afterwards.
template <typename Request, bool is_there>
Status order(Shell& shell, const FlagSet& flags) {
  const auto id = volume_of(flags);
  if (!id) return id.error();
  const auto node = node_of(shell, flags);
  if (!node) return node.error();
  Request request;
  request.set_volume_id(id->value());
  const auto done = shell.servers.call(*node, request);
  if (!done) return done.error();
  shell.wait_for(*id, flags.string("node"), is_there);
  return {};
}

void declare_delete(FlagSet& flags) {
  declare_one(flags);
  flags.add({"timeout", duration, "0s", "how long the server may take; 0s: half a minute", Support::inert});
}

// ---- empty ones

void declare_delete_empty(FlagSet& flags) {
  flags.add({"quietFor", duration, "24h", "only volumes nobody wrote to for so long"});
  flags.add({"collectionPattern", string, "", "only of collections whose name matches, with * and ?"});
  declare_apply(flags);
}

Status delete_empty(Shell& shell, const FlagSet& flags) {
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  const auto wall = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  const auto quiet = std::chrono::duration_cast<std::chrono::seconds>(flags.duration("quietFor"));
  const auto is_idle = [&](const VolumeInfo& volume) {
    return volume.file_count <= volume.delete_count && volume.modified_at_second + quiet.count() < wall.count();
  };
  for (const auto& server : picture->servers) {
    for (const auto& volume : server.volumes) {
      if (!is_collection_wanted(flags.string("collectionPattern"), volume.collection)) continue;
      // Every copy must be as empty.
      const auto holders = picture->holders(volume.id);
      if (!std::all_of(holders.begin(), holders.end(), [&](const auto* h) { return is_idle(*h->find(volume.id)); })) continue;
      if (!applies(flags)) {
        Shell::say("volume {} at {} is empty and would be deleted", volume.id.value(), server.id);
        continue;
      }
      if (auto locked = shell.locked(); !locked) return locked;
      pb::VolumeDeleteRequest request;
      request.set_volume_id(volume.id.value());
      request.set_only_empty(true);  // whatever was written meanwhile stays
      const auto done = shell.servers.call(server.address.grpc(), request);
      Shell::say("volume {} at {}: {}", volume.id.value(), server.id, done ? "deleted" : done.error().what());
    }
  }
  return {};
}

// ---- how many copies there should be

void declare_configure(FlagSet& flags) {
  declare_volume(flags);
  flags.add({"replication", string, "", "the new placement `xyz`"});
  flags.add({"collectionPattern", string, "", "all volumes of collections whose name matches, instead of -volumeId"});
}

Status configure(Shell& shell, const FlagSet& flags) {
  if (flags.string("replication").empty()) return Error(Code::invalid, "-replication must say the new placement, as 001");
  const auto placement = ReplicaPlacement::parse(flags.string("replication"));
  if (!placement) return placement.error();
  const auto id = flags.unsigned_integer("volumeId");
  const auto& pattern = flags.string("collectionPattern");
  if ((id == 0) == pattern.empty()) {
    return Error(Code::invalid, "either -volumeId or -collectionPattern must say which volumes");
  }
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  std::size_t found = 0;
  for (const auto& server : picture->servers) {
    for (const auto& volume : server.volumes) {
      if (id != 0 ? volume.id.value() != id : !is_collection_wanted(pattern, volume.collection)) continue;
      ++found;
      if (volume.replica_placement == *placement) continue;
      if (auto locked = shell.locked(); !locked) return locked;
      pb::VolumeConfigureRequest request;
      request.set_volume_id(volume.id.value());
      request.set_replication(text(*placement));
      const auto done = shell.servers.call(server.address.grpc(), request);
      if (!done) return done.error();
      if (!done->error().empty()) {
        return Error(Code::internal, fmt::format("volume {} at {}: {}", volume.id.value(), server.id, done->error()));
      }
      Shell::say("volume {} at {}: {} instead of {}", volume.id.value(), server.id, text(*placement),
                 text(volume.replica_placement));
    }
  }
  if (found == 0) return Error(Code::not_found, "no such volume is there");
  return {};
}

// ---- reading all of it

void declare_scrub(FlagSet& flags) {
  flags.add({"node", string, "", "only these volume servers, `host:port,host:port`; empty: all"});
  flags.add({"volumeId", string, "", "only these volumes, comma-separated `ids`; empty: all"});
  flags.add({"mode", string, "full", "index: only the index is looked at; full: all is read; local, checksum: as full, but "
                                     "for erasure-coded volumes"});
  flags.add({"details", boolean, "false", "what is wrong with each file"});
}

void declare_volume_scrub(FlagSet& flags) {
  declare_scrub(flags);
  flags.add({"markBrokenReadonly", boolean, "false", "a broken volume takes no writes from then on"});
}

Result<pb::VolumeScrubMode> scrub_mode(const std::string& name) {
  if (name == "index") return pb::INDEX;
  if (name == "full") return pb::FULL;
  if (name == "local") return pb::LOCAL;
  if (name == "checksum") return pb::CHECKSUM;
  return Error(Code::invalid, "-mode is one of index, full, local and checksum");
}

template <typename Request, typename Held>  // held(server): the volumes of the kind that lie there
Status scrub_with(Shell& shell, const FlagSet& flags, Request request, Held held) {
  const auto mode = scrub_mode(flags.string("mode"));
  if (!mode) return mode.error();
  request.set_mode(*mode);
  const auto ids = volume_ids(flags.string("volumeId"));
  if (!ids) return ids.error();
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  std::vector<const PictureServer*> servers;
  for (const auto& name : split_list(flags.string("node"))) {
    const auto server = server_named(*picture, name);
    if (!server) return server.error();
    servers.push_back(*server);
  }
  if (servers.empty()) {
    for (const auto& server : picture->servers) servers.push_back(&server);
  }
  std::uint64_t volumes = 0, files = 0, broken = 0;
  for (const auto* server : servers) {
    request.clear_volume_ids();
    for (const auto id : *ids) {
      if (held(*server, id)) request.add_volume_ids(id.value());
    }
    if (!ids->empty() && request.volume_ids_size() == 0) continue;
    if (auto locked = shell.locked(); !locked) return locked;
    const auto answer = shell.servers.call(server->address.grpc(), request);
    if (!answer) return answer.error();
    volumes += answer->total_volumes();
    files += answer->total_files();
    broken += static_cast<std::uint64_t>(answer->broken_volume_ids_size());
    Shell::say("{}: {} volumes, {} files, {} broken", server->id, answer->total_volumes(), answer->total_files(),
               answer->broken_volume_ids_size());
    for (const auto id : answer->broken_volume_ids()) Shell::say("  broken: volume {}", id);
    if (flags.boolean("details")) {
      for (const auto& detail : answer->details()) Shell::say("  {}", detail);
    }
  }
  Shell::say("scrubbed {} volumes with {} files, {} broken", volumes, files, broken);
  return {};
}

Status volume_scrub(Shell& shell, const FlagSet& flags) {
  pb::ScrubVolumeRequest request;
  request.set_mark_broken_volumes_readonly(flags.boolean("markBrokenReadonly"));
  return scrub_with(shell, flags, request,
                    [](const PictureServer& server, VolumeId id) { return server.find(id) != nullptr; });
}

Status ec_scrub(Shell& shell, const FlagSet& flags) {
  return scrub_with(shell, flags, pb::ScrubEcVolumeRequest(),
                    [](const PictureServer& server, VolumeId id) { return server.shard_bits(id) != 0; });
}

constexpr ShellCommand kCommands[] = {
    {"ec.scrub", "reads erasure-coded volumes and tells which are damaged.", declare_scrub, ec_scrub, true},
    {"volume.configure.replication",
     "sets the placement of volumes. Copies are neither made nor dropped by it: volume.fix.replication does.",
     declare_configure, configure, true},
    {"volume.delete", "deletes one copy of a volume.", declare_delete, order<pb::VolumeDeleteRequest, false>, true},
    {"volume.deleteEmpty", "deletes volumes that hold no file any more.", declare_delete_empty, delete_empty, true},
    {"volume.grow", "makes more volumes for a collection, like those it has.", declare_grow, grow},
    {"volume.mark", "marks volumes read-only or writable, also after a restart.", declare_mark, mark, true},
    {"volume.mount", "has a volume server serve a volume that lies in its folder.", declare_one,
     order<pb::VolumeMountRequest, true>, true},
    {"volume.scrub", "reads volumes and tells which are damaged.", declare_volume_scrub, volume_scrub, true},
    {"volume.unmount", "has a volume server let go of a volume; its files stay.", declare_one,
     order<pb::VolumeUnmountRequest, false>, true},
    {"volume.vacuum", "has the leader take deleted files out of volumes, and waits for it.", declare_vacuum, vacuum, true},
    {"volume.vacuum.disable", "stops the leader's own vacuum, until it is enabled again or another leads.", declare_nothing,
     vacuum_disable, true},
    {"volume.vacuum.enable", "lets the leader vacuum again.", declare_nothing, vacuum_enable, true},
};

}  // namespace

std::span<const ShellCommand> volume_commands() { return kCommands; }

}  // namespace holdfast::cmd
