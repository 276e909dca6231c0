// PassOn: a master that does not lead sends a client's request on to the one that does, over gRPC, so that clients may
// ask any master.
//
// A request waits for a leader for `leader_wait` and is then refused with what is going on. While one is with the
// leader its place is watched: when another leader appears an assign (and a lookup) is sent again at once, since keys
// that nobody uses cost nothing; growth and deletion are never sent twice: the old leader has half a second to say what
// became of them, then they end with Passed::unknown. A leader that refuses the connection, or says that it does not
// lead, surely did nothing: any request waits for the next one.
// When this very master becomes the leader meanwhile, the caller is told to do the work itself.
//
// Requests that were passed on once are not passed on again (field passed_on), so none circles.
//
// Thread-safe. `done` is called exactly once, from a thread of the gRPC library or of the timer; it must not block. The
// destructor answers all that waits and returns after the last `done`; not from within one.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/master.pb.h"
#include "base/time.h"

namespace grpc {
class Status;
}

namespace holdfast::master {

class Master;

enum class Passed {
  answered,    // by the leader: its status and answer
  lead_here,   // this master leads now: do it here
  no_leader,   // none within leader_wait: the status says what is going on
  unknown,     // the leader was lost meanwhile: it may have been done or not
};

class PassOn {
 public:
  template <typename Response>
  using Done = std::function<void(Passed, const grpc::Status&, const Response&)>;

  // `master` outlives this. `work_max`: how long the leader may work on one request.
  PassOn(Master& master, Duration leader_wait, Duration work_max = std::chrono::seconds(15));
  ~PassOn();
  PassOn(const PassOn&) = delete;
  PassOn& operator=(const PassOn&) = delete;

  // What the destructor does, ahead of it: answers all that waits, refuses what still comes. May be called twice.
  void stop();

  void assign(const master_pb::AssignRequest& request, Done<master_pb::AssignResponse> done);
  void grow(const master_pb::VolumeGrowRequest& request, Done<master_pb::VolumeGrowResponse> done);
  void delete_collection(const master_pb::CollectionDeleteRequest& request,
                         Done<master_pb::CollectionDeleteResponse> done);

  // Only if a leader is known now; otherwise `no_leader` at once.
  void lookup(const master_pb::LookupVolumeRequest& request, Done<master_pb::LookupVolumeResponse> done);

  // Asks a server of the cluster for its time: `type` is "master", "volumeServer" or "filer".
  void ping(const std::string& type, const std::string& grpc_address,
            std::function<void(const grpc::Status&, std::int64_t remote_time_ns)> done);

  class Impl;

 private:
  const std::shared_ptr<Impl> impl_;  // shared with the calls under way
};

}  // namespace holdfast::master
