#include "service/master/selection.h"

#include "model/collection_name.h"

namespace holdfast::master {

namespace {

// A JSON string as Go writes it: also < > & are escaped.
std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || c == '<' || c == '>' || c == '&') {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

Result<Selection> parse_selection(const SelectionTexts& texts, const ReplicaPlacement& default_replication) {
  Selection s;
  s.layout.replica_placement = default_replication;
  if (!texts.replication.empty()) {
    const auto placement = ReplicaPlacement::parse(texts.replication);
    if (!placement) return placement.error();
    s.layout.replica_placement = *placement;
  }
  const auto ttl = Ttl::parse(texts.ttl);
  if (!ttl) return ttl.error();
  s.layout.ttl = *ttl;
  if (const auto named = check_collection_name(texts.collection); !named) return named.error();
  s.layout.collection = texts.collection;
  s.layout.disk_type = topology::canonical_disk_type(texts.disk_type);
  s.data_center = texts.data_center;
  s.rack = texts.rack;
  s.data_node = texts.data_node;
  return s;
}

std::string option_json(const Selection& s) {
  std::string out = "{";
  const auto field = [&](const char* name, const std::string& value) {
    if (out.size() > 1) out += ',';
    out += '"';
    out += name;
    out += "\":" + value;
  };
  const auto text_field = [&](const char* name, const std::string& value) {
    if (!value.empty()) field(name, quoted(value));
  };
  text_field("collection", s.layout.collection);
  std::string replication;
  const auto copies = [&](const char* name, int n) {
    if (n == 0) return;
    if (!replication.empty()) replication += ',';
    replication += '"' + std::string(name) + "\":" + std::to_string(n);
  };
  copies("node", s.layout.replica_placement.same_rack);
  copies("rack", s.layout.replica_placement.other_racks);
  copies("dc", s.layout.replica_placement.other_data_centers);
  field("replication", "{" + replication + "}");
  field("ttl", "{\"Count\":" + std::to_string(s.layout.ttl.count()) +
                   ",\"Unit\":" + std::to_string(static_cast<int>(s.layout.ttl.unit())) + "}");
  text_field("disk", s.layout.disk_type);
  if (s.preallocate != 0) field("preallocate", std::to_string(s.preallocate));
  text_field("dataCenter", s.data_center);
  text_field("rack", s.rack);
  text_field("dataNode", s.data_node);
  if (s.memory_map_max_size_mb != 0) field("memoryMapMaxSizeMb", std::to_string(s.memory_map_max_size_mb));
  field("version", "3");
  return out + "}";
}

std::string no_writable_text(const Selection& s) {
  std::string out = "failed to find writable volumes for collection:" + s.layout.collection +
                    " replication:" + text(s.layout.replica_placement) + " ttl:" + text(s.layout.ttl) +
                    " error: No writable volumes";
  if (!s.wish().empty()) out += " in DataCenter:" + s.data_center + " Rack:" + s.rack + " DataNode:" + s.data_node;
  return out;
}

Refusal no_room(const Selection& s) {
  return {Refusal::Kind::not_acceptable, no_writable_text(s) + " and no free volumes left for " + option_json(s)};
}

Refusal growth_goes_on(const Selection& s, const std::string& why) {
  std::string out = "no writable volumes for " + option_json(s) + ", volume growth in progress";
  if (!why.empty()) out += ": " + why;
  return {Refusal::Kind::busy, std::move(out), 1s};
}

}  // namespace holdfast::master
