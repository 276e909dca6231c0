#include "storage/volume/server_state.h"

#include <boost/json.hpp>

#include <tuple>

namespace holdfast::volume {
namespace {

namespace json = boost::json;

constexpr const char* kFileName = "holdfast.json";

Error corrupt(std::string what) { return Error(Code::corrupt, std::string(kFileName) + ": " + std::move(what)); }

std::uint64_t number(const json::object& o, const char* key) {
  const auto* v = o.if_contains(key);
  if (v == nullptr) return 0;
  if (v->is_int64() && v->get_int64() >= 0) return static_cast<std::uint64_t>(v->get_int64());
  if (v->is_uint64()) return v->get_uint64();
  return 0;
}

std::string string(const json::object& o, const char* key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string();
}

bool truth(const json::object& o, const char* key, bool absent) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_bool() ? v->get_bool() : absent;
}

}  // namespace

std::string ServerState::json() const {
  json::object out;
  out["format"] = kFormat;
  out["cluster_id"] = cluster_id.value().empty() ? std::string() : text(cluster_id);
  out["generation"] = generation.value();
  out["term"] = term.value();
  out["sequence"] = sequence;
  out["adopted"] = adopted;
  json::array list;
  for (const auto& m : masters) {
    json::object item;
    item["id"] = text(m.id);
    item["address"] = text(m.address);
    item["voter"] = m.voter;
    list.push_back(std::move(item));
  }
  out["masters"] = std::move(list);
  return json::serialize(out) + "\n";
}

Result<ServerState> ServerState::parse(std::string_view content) {
  json::error_code error;
  const auto value = json::parse(content, error);
  if (error) return corrupt(error.message());
  if (!value.is_object()) return corrupt("not an object");
  const auto& o = value.get_object();
  const auto format = number(o, "format");
  if (format == 0) return corrupt("no format");
  if (format > kFormat) {
    return Error(Code::unsupported, std::string(kFileName) + ": written by a newer version (format " +
                                        std::to_string(format) + ", this one knows " + std::to_string(kFormat) + ")");
  }
  ServerState out;
  if (const auto id = string(o, "cluster_id"); !id.empty()) {
    const auto uuid = Uuid::parse(id);
    if (!uuid) return corrupt("cluster_id: " + uuid.error().what());
    out.cluster_id = ClusterId(*uuid);
  }
  out.generation = Generation(number(o, "generation"));
  out.term = Term(number(o, "term"));
  out.sequence = number(o, "sequence");
  out.adopted = truth(o, "adopted", false);
  if (const auto* masters = o.if_contains("masters"); masters != nullptr && masters->is_array()) {
    for (const auto& item : masters->get_array()) {
      if (!item.is_object()) continue;
      const auto& m = item.get_object();
      const auto id = Uuid::parse(string(m, "id"));
      const auto address = Address::parse(string(m, "address"));
      // A strange entry costs only itself: the others are still worth dialling.
      if (id && address) out.masters.push_back({NodeId(*id), *address, truth(m, "voter", true)});
    }
  }
  return out;
}

Result<ServerState> ServerState::load(io::Disk& disk, const std::string& folder) {
  const auto content = disk.read_file(io::join(folder, kFileName), 1_MiB);
  if (!content) {
    if (content.error().code() == Code::not_found) return ServerState();
    return content.error();
  }
  auto state = parse(*content);
  if (!state) return state.error().at(folder);
  return state;
}

Status ServerState::save(io::Disk& disk, const std::string& folder) const {
  return disk.replace_file(io::join(folder, kFileName), json());
}

bool ServerState::is_newer_than(const ServerState& other) const {
  if (other.cluster_id.value().empty()) return !cluster_id.value().empty();
  return std::tuple(generation, term, sequence) > std::tuple(other.generation, other.term, other.sequence);
}

}  // namespace holdfast::volume
