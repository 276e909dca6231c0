#include "front/http/master_params.h"

#include "base/strconv.h"
#include "model/replica_placement.h"
#include "model/ttl.h"

namespace holdfast::front {
namespace {

using master::Refusal;

Refusal not_acceptable(std::string text) { return {Refusal::Kind::not_acceptable, std::move(text)}; }

// The numbers among the parameters that choose a volume; the texts are parsed again by the master.
struct Numbers {
  std::int64_t preallocate = 0;
  std::uint32_t memory_map_max_size_mb = 0;
};

// The first thing wrong is the one that is told, and this is upstream's order.
std::optional<Refusal> parse_choice(const Params& params, Numbers& out) {
  if (const auto parsed = ReplicaPlacement::parse(params.get("replication")); !parsed) {
    return not_acceptable(parsed.error().what());
  }
  if (const auto parsed = Ttl::parse(params.get("ttl")); !parsed) return not_acceptable(parsed.error().what());
  if (const auto given = params.get("memoryMapMaxSizeMb"); !given.empty()) {
    const auto parsed = strconv::parse_uint(given, 10, 32);
    if (!parsed) return not_acceptable(parsed.error().what());
    out.memory_map_max_size_mb = static_cast<std::uint32_t>(*parsed);
  }
  if (const auto given = params.get("preallocate"); !given.empty()) {
    const auto parsed = strconv::parse_int(given, 10, 64);
    if (!parsed) {
      return not_acceptable("Failed to parse int64 preallocate = " + std::string(given) + ": " + parsed.error().what());
    }
    out.preallocate = *parsed;
  }
  return std::nullopt;
}

// The fields that assign and growth have in common.
template <typename Request>
void fill_choice(const Params& params, const Numbers& numbers, Request& out) {
  out.collection = params.get("collection");
  out.replication = params.get("replication");
  out.ttl = params.get("ttl");
  out.disk_type = params.get("disk");
  out.data_center = params.get("dataCenter");
  out.rack = params.get("rack");
  out.data_node = params.get("dataNode");
  out.preallocate = numbers.preallocate;
  out.memory_map_max_size_mb = numbers.memory_map_max_size_mb;
}

}  // namespace

std::optional<Refusal> parse_assign(const Params& params, master::AssignRequest& out) {
  Numbers numbers;
  if (auto refusal = parse_choice(params, numbers)) return refusal;
  fill_choice(params, numbers, out);
  out.count = number_or<std::uint64_t>(params.get("count"), 1);
  out.writable_volume_count = number_or<std::uint32_t>(params.get("writableVolumeCount"), 0);
  out.data_size = number_or<std::uint64_t>(params.get("dataSize"), 0);
  return std::nullopt;
}

std::optional<Refusal> parse_grow(const Params& params, master::GrowRequest& out) {
  Numbers numbers;
  if (auto refusal = parse_choice(params, numbers)) return refusal;
  fill_choice(params, numbers, out);
  const auto count = strconv::parse_uint(params.get("count"), 10, 32);
  if (!count) return not_acceptable("can not parse parameter count " + std::string(params.get("count")));
  out.count = static_cast<std::uint32_t>(*count);
  return std::nullopt;
}

std::optional<Refusal> parse_delete(const Params& params, std::string& collection) {
  collection = params.get("collection");
  const bool of_default = !params.get("default").empty();
  if (collection.empty() != of_default) {
    return Refusal{Refusal::Kind::bad_request,
                   of_default ? "collection and default exclude each other: nothing was deleted"
                              : "collection is required: nothing was deleted. The volumes without a collection are "
                                "deleted by /col/delete?default=yes"};
  }
  return std::nullopt;
}

}  // namespace holdfast::front
