// ServerState: what a volume server remembers of its cluster, as `holdfast.json` in each of its folders: whose volumes
// these are, the newest leader it has obeyed, and where the masters are. Upstream ignores the file.
//
//   {"format": 1, "cluster_id": "...", "generation": 1, "term": 7, "sequence": 12,
//    "adopted": true, "masters": [{"id": "...", "address": "localhost:9333", "voter": true}]}
//
// Written whole and atomically. A folder that was copied elsewhere takes its memory along; the newest memory among a
// server's folders counts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/disk.h"
#include "model/fence.h"
#include "model/master_member.h"

namespace holdfast::volume {

struct ServerState {
  static constexpr std::uint64_t kFormat = 1;

  ClusterId cluster_id;  // empty: never in a cluster
  Generation generation;
  Term term;
  std::uint64_t sequence = 0;
  bool adopted = false;  // a committed entry of this cluster has taken the folders' volumes in
  std::vector<MasterMember> masters;

  friend bool operator==(const ServerState&, const ServerState&) = default;

  std::string json() const;

  // Code::unsupported for a format newer than ours, corrupt when it cannot be read.
  static Result<ServerState> parse(std::string_view json);

  // From `folder`; an empty state when there is none.
  static Result<ServerState> load(io::Disk& disk, const std::string& folder);
  Status save(io::Disk& disk, const std::string& folder) const;

  // Whether this one knows of newer leaders.
  bool is_newer_than(const ServerState& other) const;
};

}  // namespace holdfast::volume
