// Selection: the parameters of an assign or a growth, parsed; and the texts of refusals made from them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/topology/layout.h"
#include "service/master/master.h"

namespace holdfast::master {

// Owns its texts, for what waits.
struct Selection {
  topology::LayoutKey layout;
  std::string data_center, rack, data_node;
  std::int64_t preallocate = 0;
  std::uint32_t memory_map_max_size_mb = 0;

  topology::Wish wish() const { return {data_center, rack, data_node}; }
  friend bool operator==(const Selection&, const Selection&) = default;
};

struct SelectionTexts {
  std::string_view collection, replication, ttl, disk_type, data_center, rack, data_node;
};

// Replication, ttl and the collection's name; errors of the first two are upstream's parse texts.
Result<Selection> parse_selection(const SelectionTexts& texts, const ReplicaPlacement& default_replication);

// {option json} of spec/weed-cluster 2.3: zero fields are left out, replication, ttl and version always there.
std::string option_json(const Selection& selection);

// `failed to find writable volumes for collection:C replication:R ttl:T error: No writable volumes[ in ...]`.
std::string no_writable_text(const Selection& selection);

// 406, and at once: nothing writable and no room to make anything.
Refusal no_room(const Selection& selection);
// 503: growth did not help; `why` may be empty.
Refusal growth_goes_on(const Selection& selection, const std::string& why);

}  // namespace holdfast::master
