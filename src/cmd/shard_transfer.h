// How the shell brings shards of erasure-coded volumes from server to server: copied, mounted and counted at the target
// before they go at the source, and what was deleted meanwhile is deleted at all holders.
//
// Belongs to the shell's thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cmd/shell_session.h"
#include "core/ec/scheme.h"
#include "core/topology/ec_plan.h"
#include "core/topology/picture.h"

namespace holdfast::cmd {

// k and m of a volume as the .vif at one of its holders says; 10 and 4 when it says nothing.
ec::Scheme scheme_of_volume(const topology::PictureServer& holder, VolumeId volume, const std::string& collection);

// Lengths of the shards that are mounted at a server; none when it has none of them.
Result<std::map<std::uint32_t, std::int64_t>> mounted_shards(Shell& shell, VolumeId volume,
                                                             const topology::PictureServer& server);

// `target` pulls them, with the index and its companions when `with_index`.
Status copy_shards(Shell& shell, VolumeId volume, const std::string& collection, const std::vector<std::uint32_t>& shards,
                   const topology::PictureServer& source, const topology::PictureServer& target, bool with_index);
Status mount_shards(Shell& shell, VolumeId volume, const std::string& collection, const std::vector<std::uint32_t>& shards,
                    const topology::PictureServer& server);
// Unmounts and deletes.
Status drop_shards(Shell& shell, VolumeId volume, const std::string& collection, const std::vector<std::uint32_t>& shards,
                   const topology::PictureServer& server);
// Whatever lies there of it, mounted or not, but a normal volume.
Status drop_all_shards(Shell& shell, VolumeId volume, const std::string& collection, const topology::PictureServer& server);

// Keys that are noted as deleted at any of these holders, and are not in every one's notes, are deleted at all.
Status share_deletions(Shell& shell, VolumeId volume, const std::string& collection,
                       const std::vector<const topology::PictureServer*>& holders);
// Keys in the .ecj of one; also of shards that are not mounted.
Result<std::vector<std::uint64_t>> deleted_keys(VolumeId volume, const std::string& collection,
                                                const topology::PictureServer& holder);

// Plans, step by step, each under the lock.
Status carry_out_moves(Shell& shell, const std::vector<topology::ShardMove>& moves);

}  // namespace holdfast::cmd
