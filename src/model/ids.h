// Ids that all sides share, each a type of its own.
#pragma once

#include <cstdint>

#include "base/strong_id.h"
#include "base/uuid.h"

namespace holdfast {

// Raft (paper section 5). Index 0 and term 0 come before everything.
using Term = StrongId<struct TermTag, std::uint64_t>;
using Index = StrongId<struct IndexTag, std::uint64_t>;

// A master, for ever: the UUID made at its first start, whatever address it has (architecture, section 4).
using NodeId = StrongId<struct NodeIdTag, Uuid>;
inline std::string text(const NodeId& id) { return text(id.value()); }

// Counts the starts of one member, from 1; on disk before the member speaks.
using Incarnation = StrongId<struct IncarnationTag, std::uint64_t>;

// Raised by whatever may lose committed state (raft-and-leases 3.6).
using Generation = StrongId<struct GenerationTag, std::uint64_t>;

// Names a cluster from its bootstrap on; also what upstream calls TopologyId.
using ClusterId = StrongId<struct ClusterIdTag, Uuid>;
inline std::string text(const ClusterId& id) { return text(id.value()); }

// Upstream's words (spec/volume-format 1, 3).
using VolumeId = StrongId<struct VolumeIdTag, std::uint32_t>;
using NeedleId = StrongId<struct NeedleIdTag, std::uint64_t>;  // the file key
using Cookie = StrongId<struct CookieTag, std::uint32_t>;

}  // namespace holdfast
