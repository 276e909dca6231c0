// Assigner: file ids, at once when there is something to take, else after waiting for what is missing.
//
// The order of a pick and a key matters (keys.h): first the volume, then the key.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "service/master/duties.h"
#include "service/master/growth.h"
#include "service/master/selection.h"
#include "service/master/shared.h"

namespace holdfast::master {

constexpr std::size_t kAssignsWaitingMax = 10'000;

class Assigner {
 public:
  using Done = std::function<void(OrRefusal<AssignAnswer>)>;

  Assigner(Shared& shared, Growth& growth, Duties& duties);

  const ReplicaPlacement& default_replication() const { return default_replication_; }

  // Any thread.
  std::optional<AssignAnswer> try_now(const AssignRequest& request);

  // The rest: the loop's thread. `request` owns its texts.
  struct Waiting;
  void add(std::shared_ptr<Waiting> waiting);

  // Lets everybody who waits look again.
  void look(Instant now);
  void stop();

 private:
  std::optional<AssignAnswer> take(topology::Layout& layout, const topology::Wish& wish, std::uint64_t count,
                                   std::uint64_t data_size, Instant now);
  void answer(Waiting& waiting, OrRefusal<AssignAnswer> result);
  // An answer, a refusal, or nothing yet.
  std::optional<OrRefusal<AssignAnswer>> advance(const std::shared_ptr<Waiting>& waiting, Instant now);
  std::optional<OrRefusal<AssignAnswer>> advance_growth(const std::shared_ptr<Waiting>& waiting, Instant now);

  // Volume servers are about to be heard (again): what is missing now may be there in a moment.
  bool is_settling(Instant now);
  // Whether they are just coming, one after the other: Options::gather_servers.
  bool is_gathering(std::uint64_t room, Instant now);

  Shared& shared_;
  Growth& growth_;
  Duties& duties_;
  const ReplicaPlacement default_replication_;
  std::list<std::shared_ptr<Waiting>> waiting_;
  std::uint64_t room_seen_ = 0;
  Instant room_since_ = kDistantPast;
};

struct Assigner::Waiting {
  // Copies the request's texts, and the id of the request that this thread works for; `arrived` is when its bounds begin.
  Waiting(const AssignRequest& request, Instant arrived_given, Done done_given);

  const std::string request_id;
  std::string collection, replication, ttl, disk_type, data_center, rack, data_node;
  AssignRequest request;  // its views point into the texts above
  const Instant arrived;
  Done done;

  std::optional<Selection> selection;
  bool growing = false;  // waits for a growth
  std::optional<Error> growth_failed;
  int growths = 0;  // that this one waited for and that made volumes
  std::uint64_t room_tried = 0;  // Topology::room_version() at the last growth
};

// "no master leads ...": what is going on, for a request that waited in vain.
Refusal no_leader_refusal(const View& view);
// What a growth's failure is to somebody who asked for `selection`.
Refusal growth_refusal(const Selection& selection, const Error& error);

}  // namespace holdfast::master
