// Identity: who a member is, in `identity.json` (design/architecture 4 and 5).
//
// The file is there before the member says its first word, and is replaced as a whole at each start, since the
// incarnation counts starts. Losing the file means losing the member: then vote and log beside it belong to nobody and
// the folder is refused, for a member that guesses its past could vote twice.
//
// Readable by people; the text is JSON with one key a line:
//
//     {
//       "format": 1,
//       "node": "0b7d...",              who this member is, for ever
//       "cluster": "5a1f...",           "" until it belongs to one
//       "incarnation": 3,               starts so far
//       "drawn_cluster": "77aa...",     what it would name a cluster it founds
//       "self": "localhost:9333",       how it was called last
//       "founding": "0001...",          configuration the cluster began with (hex of raft::encode), if known
//       "members": [{"node": "0b7d...", "address": "localhost:9333", "voter": true}, ...]   last known: where to dial
//       "superseded": ["77aa...", ...], clusters whose place this one has taken by a recovery; their members must stop
//       "former": ["localhost:9334", ...],  where such members were, to be told so
//       "removed": true,                a leader has told it that it is no member any more
//       "recovering": "recovered-4"     a recovery is being put in place, and where the files of before are going
//     }
//
// The last four only when there is something to say. While a recovery is being put in place the format is 2, which no
// build takes part with: the folder holds files of two lives then (service/master/recovery.h).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/configuration.h"
#include "io/disk.h"
#include "io/random.h"
#include "model/ids.h"

namespace holdfast::storage {

struct Identity {
  NodeId node;
  ClusterId cluster;  // empty: none yet
  Incarnation incarnation;
  ClusterId drawn_cluster;
  std::string self;
  raft::Configuration founding;
  std::vector<raft::Member> members;
  std::vector<ClusterId> superseded;
  std::vector<std::string> former;
  bool removed = false;
  std::string recovering;

  friend bool operator==(const Identity&, const Identity&) = default;
};

std::string encode(const Identity& identity);
Result<Identity> decode_identity(std::string_view text);

// not_found: the folder is new. corrupt, unsupported: says what to do.
Result<Identity> load_identity(io::Disk& disk, const std::string& path);
Status store_identity(io::Disk& disk, const std::string& path, const Identity& identity);

// A member that never was before.
Identity new_identity(io::Random& random);

}  // namespace holdfast::storage
