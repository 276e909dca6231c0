#include "storage/raft/identity.h"

#include <boost/json.hpp>

#include "base/bytes.h"

namespace holdfast::storage {
namespace {

namespace json = boost::json;

constexpr std::int64_t kFormat = 1;
constexpr std::int64_t kFormatRecovering = 2;
constexpr std::uint64_t kFileBytesMax = 1_MiB;

Result<Uuid> uuid_at(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return Error{Code::corrupt, std::string(key) + " is missing"};
  const auto& text = value->get_string();
  if (text.empty()) return Uuid{};
  return Uuid::parse(std::string_view(text.data(), text.size()));
}

std::string string_at(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::string text_or_empty(const Uuid& uuid) { return uuid.empty() ? "" : text(uuid); }

std::string quoted(const std::string& text) { return json::serialize(json::value(text)); }

// `,\n  "key": ["...", ...]`, or nothing.
template <typename Items, typename Text>
std::string optional_list(const char* key, const Items& items, Text text_of) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ", ") + quoted(text_of(item));
  return out.empty() ? "" : ",\n  " + quoted(key) + ": [" + out + "]";
}

std::vector<std::string> strings_at(const json::object& object, std::string_view key) {
  std::vector<std::string> out;
  const auto* value = object.if_contains(key);
  if (value == nullptr || !value->is_array()) return out;
  for (const auto& item : value->get_array()) {
    if (item.is_string()) out.emplace_back(item.get_string());
  }
  return out;
}

}  // namespace

std::string encode(const Identity& identity) {
  std::string members;
  for (const auto& member : identity.members) {
    members += members.empty() ? "\n" : ",\n";
    members += "    {\"node\": " + quoted(text(member.id)) + ", \"address\": " + quoted(member.address) +
               ", \"voter\": " + (member.voter ? "true" : "false") + (member.witness ? ", \"witness\": true" : "") + "}";
  }
  if (!members.empty()) members += "\n  ";
  return "{\n  \"format\": " + std::to_string(identity.recovering.empty() ? kFormat : kFormatRecovering) +  //
         ",\n  \"node\": " + quoted(text(identity.node)) +                                      //
         ",\n  \"cluster\": " + quoted(text_or_empty(identity.cluster.value())) +               //
         ",\n  \"incarnation\": " + std::to_string(identity.incarnation.value()) +              //
         ",\n  \"drawn_cluster\": " + quoted(text_or_empty(identity.drawn_cluster.value())) +   //
         ",\n  \"self\": " + quoted(identity.self) +                                            //
         ",\n  \"founding\": " +
         quoted(identity.founding.empty() ? "" : hex(bytes_of(raft::encode(identity.founding)))) +  //
         ",\n  \"members\": [" + members + "]" +                                               //
         optional_list("superseded", identity.superseded, [](ClusterId id) { return text(id); }) +  //
         optional_list("former", identity.former, [](const std::string& address) { return address; }) +
         (identity.removed ? ",\n  \"removed\": true" : "") +
         (identity.recovering.empty() ? "" : ",\n  \"recovering\": " + quoted(identity.recovering)) + "\n}\n";
}

Result<Identity> decode_identity(std::string_view bytes) {
  boost::system::error_code trouble;
  const auto parsed = json::parse(bytes, trouble);
  if (trouble || !parsed.is_object()) return Error{Code::corrupt, "not JSON"};
  const auto& object = parsed.get_object();
  const auto* format = object.if_contains("format");
  if (format == nullptr || !format->is_int64()) return Error{Code::corrupt, "no format"};
  if (format->get_int64() != kFormat && format->get_int64() != kFormatRecovering) return Error{Code::unsupported, "of a newer format: start a newer holdfast"};

  Identity identity;
  identity.recovering = string_at(object, "recovering");
  if (identity.recovering.empty() != (format->get_int64() == kFormat)) return Error{Code::corrupt, "bad recovering"};
  for (const auto& id : strings_at(object, "superseded")) {
    const auto cluster = Uuid::parse(id);
    if (!cluster) return Error{Code::corrupt, "bad superseded"};
    identity.superseded.emplace_back(*cluster);
  }
  identity.former = strings_at(object, "former");
  const auto* removed = object.if_contains("removed");
  identity.removed = removed != nullptr && removed->is_bool() && removed->get_bool();
  const auto node = uuid_at(object, "node");
  if (!node || node->empty()) return Error{Code::corrupt, "no node"};
  identity.node = NodeId(*node);
  const auto cluster = uuid_at(object, "cluster");
  if (!cluster) return Error{Code::corrupt, "bad cluster"};
  identity.cluster = ClusterId(*cluster);
  const auto drawn = uuid_at(object, "drawn_cluster");
  if (!drawn) return Error{Code::corrupt, "bad drawn_cluster"};
  identity.drawn_cluster = ClusterId(*drawn);
  const auto* incarnation = object.if_contains("incarnation");
  if (incarnation == nullptr || !incarnation->is_int64() || incarnation->get_int64() < 0) {
    return Error{Code::corrupt, "bad incarnation"};
  }
  identity.incarnation = Incarnation(static_cast<std::uint64_t>(incarnation->get_int64()));
  identity.self = string_at(object, "self");
  if (const auto founding = string_at(object, "founding"); !founding.empty()) {
    std::string raw;
    if (!unhex(founding, raw)) return Error{Code::corrupt, "bad founding"};
    auto configuration = raft::decode_configuration(raw);
    if (!configuration) return configuration.error();
    identity.founding = std::move(*configuration);
  }
  const auto* members = object.if_contains("members");
  if (members == nullptr || !members->is_array()) return Error{Code::corrupt, "no members"};
  for (const auto& item : members->get_array()) {
    if (!item.is_object()) return Error{Code::corrupt, "bad members"};
    const auto id = uuid_at(item.get_object(), "node");
    if (!id) return Error{Code::corrupt, "bad member"};
    const auto* voter = item.get_object().if_contains("voter");
    const auto* witness = item.get_object().if_contains("witness");
    identity.members.push_back({.id = NodeId(*id),
                                .address = string_at(item.get_object(), "address"),
                                .voter = voter != nullptr && voter->is_bool() && voter->get_bool(),
                                .witness = witness != nullptr && witness->is_bool() && witness->get_bool()});
  }
  return identity;
}

Result<Identity> load_identity(io::Disk& disk, const std::string& path) {
  const auto bytes = disk.read_file(path, kFileBytesMax);
  if (!bytes) return bytes.error();
  auto identity = decode_identity(*bytes);
  if (!identity) return identity.error().at(path);
  return identity;
}

Status store_identity(io::Disk& disk, const std::string& path, const Identity& identity) {
  return disk.replace_file(path, encode(identity));
}

Identity new_identity(io::Random& random) {
  Identity identity;
  identity.node = NodeId(random.uuid());
  identity.drawn_cluster = ClusterId(random.uuid());
  return identity;
}

}  // namespace holdfast::storage
