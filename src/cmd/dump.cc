#include "cmd/dump.h"

#include <boost/json.hpp>

#include "base/base64.h"
#include "base/utf8.h"
#include "cmd/plan.h"
#include "core/kv/command.h"
#include "core/topology/registry.h"

namespace holdfast::cmd {
namespace {

namespace json = boost::json;
using namespace topology;

std::string line(const json::object& object) { return json::serialize(object) + "\n"; }

// Bytes that are no text stay readable as base64, under a name that says so.
void put_value(json::object& out, const std::string& name, const std::string& value) {
  if (is_utf8(value)) {
    out[name] = value;
  } else {
    out[name + "Base64"] = base64(value);
  }
}

json::object told(const InitCluster& c) { return {{"command", "initCluster"}, {"cluster", text(c.cluster_id)}}; }
json::object told(const ReserveKeys& c) {
  return {{"command", "reserveKeys"}, {"node", text(c.node)}, {"incarnation", c.incarnation.value()}, {"process", text(c.process)}, {"count", c.count}};
}
json::object told(const AllocateVolumeIds& c) { return {{"command", "allocateVolumeIds"}, {"count", c.count}}; }
json::object told(const SettleVolumes& c) {
  json::array volumes;
  for (const auto id : c.volumes) volumes.push_back(id.value());
  return {{"command", "settleVolumes"}, {"volumes", volumes}};
}
json::object told(const SetReplicaEpoch& c) {
  return {{"command", "setReplicaEpoch"}, {"volume", c.volume.value()}, {"epoch", c.epoch}};
}
json::object told(const RaiseVolumeIds& c) { return {{"command", "raiseVolumeIds"}, {"seen", c.seen.value()}}; }
json::object told(const RaiseKeys& c) { return {{"command", "raiseKeys"}, {"seen", c.seen.value()}}; }
json::object told(const AdoptDirs& c) {
  json::array dirs;
  for (const auto& dir : c.dirs) dirs.push_back(json::value(text(dir)));
  return {{"command", "adoptDirs"}, {"cluster", text(c.cluster_id)}, {"generation", c.generation.value()},
          {"hasVolumes", c.has_volumes}, {"maxKey", c.max_key.value()}, {"maxVolumeId", c.max_volume_id.value()}, {"dirs", dirs}};
}
json::object told(const RaiseFeatureLevel& c) { return {{"command", "raiseFeatureLevel"}, {"level", c.level}}; }
json::object told(const AnnounceMember& c) {
  return {{"command", "announceMember"}, {"node", text(c.node)}, {"incarnation", c.incarnation.value()},
          {"http", c.http}, {"grpc", c.grpc}, {"publicUrl", c.public_url}, {"featureLevel", c.feature_level}};
}
json::object told(const ForgetMember& c) { return {{"command", "forgetMember"}, {"node", text(c.node)}}; }
json::object told(const RaiseGeneration& c) { return {{"command", "raiseGeneration"}, {"generation", c.generation.value()}}; }

void put_write(json::object& out, Duration ttl, const std::optional<kv::Revision>& compare, const std::string& request_id) {
  if (ttl != Duration(0)) out["ttlMs"] = milliseconds(ttl);
  if (compare) out["compare"] = compare->value();
  if (!request_id.empty()) out["requestId"] = request_id;
}
json::object told(const kv::Put& c) {
  json::object out{{"command", "put"}, {"key", c.key}};
  put_value(out, "value", c.value);
  put_write(out, c.ttl, c.compare, c.request_id);
  return out;
}
json::object told(const kv::Delete& c) {
  json::object out{{"command", "delete"}, {"key", c.key}};
  put_write(out, {}, c.compare, c.request_id);
  return out;
}
json::object told(const kv::Renew& c) {
  json::object out{{"command", "renew"}, {"key", c.key}};
  put_write(out, c.ttl, c.compare, c.request_id);
  return out;
}
json::object told(const kv::Expire& c) {
  json::array keys;
  for (const auto& one : c.lives) keys.push_back(json::object{{"key", one.key}, {"life", one.life.value()}});
  return {{"command", "expire"}, {"keys", keys}};
}

json::object told(const Request& request) {
  json::object out;
  if (!request.command.empty() && kv::is_kind(static_cast<std::uint8_t>(request.command[0]))) {
    const auto command = kv::decode_command(bytes_of(request.command));
    out = command ? std::visit([](const auto& c) { return told(c); }, *command) : json::object{{"error", command.error().what()}};
  } else {
    const auto command = decode_command(bytes_of(request.command));
    out = command ? std::visit([](const auto& c) { return told(c); }, *command) : json::object{{"error", command.error().what()}};
  }
  out["session"] = text(request.id.session);
  out["sequence"] = request.id.sequence;
  return out;
}

json::array told(const raft::Configuration& configuration) {
  json::array members;
  for (const auto& member : configuration.members()) {
    members.push_back(json::object{{"node", text(member.id)}, {"address", member.address}, {"voter", member.voter}});
  }
  return members;
}

}  // namespace

std::string dump_of(const backup::Image& image) {
  const auto& head = image.head;
  json::object out{{"type", "image"}, {"cluster", text(head.cluster)}, {"generation", head.generation.value()},
                   {"index", head.last.index.value()}, {"term", head.last.term.value()}, {"featureLevel", head.feature_level},
                   {"time", std::chrono::duration_cast<std::chrono::seconds>(head.made.time_since_epoch()).count()},
                   {"members", told(head.configuration)}};
  Registry registry(feature_level());
  if (auto done = registry.restore({.applied = head.last.index, .term = head.last.term, .files = image.files}); !done) {
    out["error"] = done.error().what();
    return line(out);
  }
  const auto& state = registry.state();
  out["nextKey"] = state.next_key.value();
  out["keyFloor"] = state.key_floor.value();
  out["maxVolumeId"] = state.max_volume_id.value();
  out["folders"] = state.dirs->size();
  out["keys"] = registry.kv().keys();
  out["revision"] = registry.kv().revision().value();
  std::string lines = line(out);
  kv::ListRequest request{.limit = 1000, .bytes_max = 8 << 20};
  for (;;) {
    const auto page = registry.kv().list(request);
    for (const auto& record : page.records) {
      json::object key{{"type", "key"}, {"key", record.key}};
      put_value(key, "value", *record.item.value);
      key["revision"] = record.item.modified.value();
      if (record.item.ttl != Duration(0)) key["ttlMs"] = milliseconds(record.item.ttl);
      lines += line(key);
    }
    if (!page.more || page.records.empty()) return lines;
    request.after = page.records.back().key;
  }
}

std::string dump_of(const std::string& log_name, const backup::Change& change) {
  const auto& entry = change.entry;
  json::object out{{"type", "change"}, {"file", log_name}, {"index", entry.index.value()}, {"term", entry.term.value()},
                   {"time", change.time}};
  switch (entry.kind) {
    case EntryKind::term_start: out["kind"] = "termStart"; break;
    case EntryKind::configuration: {
      out["kind"] = "configuration";
      if (const auto configuration = raft::decode_configuration(entry.data.view())) out["members"] = told(*configuration);
      break;
    }
    case EntryKind::command: {
      out["kind"] = "command";
      const auto batch = decode_batch(bytes_of(entry.data.view()));
      if (!batch) {
        out["error"] = batch.error().what();
        break;
      }
      json::array requests;
      for (const auto& request : *batch) requests.push_back(told(request));
      out["requests"] = std::move(requests);
      break;
    }
  }
  return line(out);
}

}  // namespace holdfast::cmd
