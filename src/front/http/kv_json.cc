#include "front/http/kv_json.h"

#include "base/base64.h"
#include "base/strconv.h"
#include "base/utf8.h"
#include "front/http/json.h"

namespace holdfast::front {
namespace {

void add_value(JsonWriter& json, const std::string& value) {
  if (is_utf8(value)) {
    json.field("value", value);
  } else {
    json.field("valueBase64", base64(value));
  }
}

void add_state(JsonWriter& json, kv::Revision modified, kv::Revision created, std::uint64_t version, Duration ttl) {
  json.field("revision", modified.value()).field("createRevision", created.value()).field("version", version);
  if (ttl != Duration(0)) json.field("ttl", strconv::text(ttl));
}

void add_item(JsonWriter& json, std::string_view key, const kv::Item& item, bool with_value) {
  json.field("key", key);
  if (with_value) add_value(json, *item.value);
  add_state(json, item.modified, item.created, item.version, item.ttl);
}

const char* name(kv::Change::Kind kind) {
  switch (kind) {
    case kv::Change::Kind::put: return "put";
    case kv::Change::Kind::removed: return "delete";
    case kv::Change::Kind::expired: return "expire";
  }
  return "unknown";
}

}  // namespace

void append_kv_record(std::string& body, std::string_view key, const kv::Item& item, std::optional<kv::Revision> space,
                      std::optional<Index> applied, bool pretty) {
  JsonWriter json(body, pretty);
  json.begin_object();
  add_item(json, key, item, true);
  if (space) json.field("spaceRevision", space->value());
  if (applied) json.field("appliedIndex", applied->value());
  json.end_object();
}

void append_kv_list(std::string& body, const kv::List& list, std::optional<Index> applied, bool keys_only, bool pretty) {
  JsonWriter json(body, pretty);
  json.begin_object().field("spaceRevision", list.revision.value());
  if (applied) json.field("appliedIndex", applied->value());
  json.key("keys").begin_array();
  for (const kv::Record& record : list.records) {
    json.begin_object();
    add_item(json, record.key, record.item, !keys_only);
    json.end_object();
  }
  json.end_array().field("more", list.more);
  if (list.more) json.field("after", list.records.back().key);
  json.end_object();
}

void append_kv_changes(std::string& body, const kv::Changes& changes, bool pretty) {
  JsonWriter json(body, pretty);
  json.begin_object().field("spaceRevision", changes.until.value());
  json.key("changes").begin_array();
  for (const kv::Change& change : changes.changes) {
    json.begin_object().field("type", name(change.kind));
    add_item(json, change.key, change.item, change.kind == kv::Change::Kind::put);
    json.end_object();
  }
  json.end_array().end_object();
}

void append_kv_error(std::string& body, std::string_view text, kv::Revision key, std::optional<kv::Revision> space, bool pretty) {
  JsonWriter json(body, pretty);
  json.begin_object().field("error", text).field("revision", key.value());
  if (space) json.field("spaceRevision", space->value());
  json.end_object();
}

void append_kv_written(std::string& body, const kv::Command& command, const kv::Answer& answer, bool pretty) {
  JsonWriter json(body, pretty);
  json.begin_object();
  if (const auto* removed = std::get_if<kv::Delete>(&command)) {
    json.field("key", removed->key)
        .field("revision", answer.revision.value())
        .field("previousRevision", answer.modified.value());
  } else {
    const auto* put = std::get_if<kv::Put>(&command);
    json.field("key", put != nullptr ? put->key : std::get<kv::Renew>(command).key);
    add_state(json, answer.modified, answer.created, answer.version, answer.ttl);
  }
  json.field("spaceRevision", answer.revision.value()).end_object();
}

}  // namespace holdfast::front
