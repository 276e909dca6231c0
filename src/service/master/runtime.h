// MasterRuntime: the masters' consensus as one thing to start and stop: the folder with its lock, identity, log and
// snapshots; the thread that runs the Raft core; the links to the other masters; bootstrap and joining.
//
//     auto runtime = MasterRuntime::open(config, disk, clock, random, master.state_machine());   // says what is wrong
//     grpc server: register make_raft_service((*runtime)->acceptor())      (front/grpc/raft_service.h), listen
//     master.start((*runtime)->consensus(), orders);                       // hears of every change from the first on
//     (*runtime)->start();                                                 // once the gRPC server listens
//     ...
//     (*runtime)->stop();   // hands leadership over first; before the gRPC server goes
//
// Threads: open, start and stop belong to one thread; consensus() and acceptor() may be used from any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/topology/state_machine.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/random.h"
#include "model/master_member.h"
#include "service/master/config.h"
#include "service/master/consensus.h"
#include "service/master/link_acceptor.h"
#include "service/master/watch.h"

namespace holdfast::master {

// What is wrong with the flags as such, in words; touches nothing.
Status validate(const RuntimeConfig& config);

// What a volume server tells of the masters it knows.
struct ClusterHint {
  ClusterId cluster;
  std::vector<Address> masters;  // of that cluster, as the server last learned them
  Address called_as;             // where the server dialled us
  std::string from;              // the server, for log lines
};

class MasterRuntime {
 public:
  // Takes the folder's lock, reads what is there and repairs the log's tail. Fails in words that say what to do: the
  // folder is in use, belongs to something else, is damaged beyond what the other members can heal, or the disk is
  // full. No thread runs but the resolver's, and nothing was said to anyone when this returns.
  static Result<std::unique_ptr<MasterRuntime>> open(RuntimeConfig config, io::Disk& disk, io::Clock& clock,
                                                     io::Random& random, topology::StateMachine& state);
  virtual ~MasterRuntime() = default;  // stops

  // Works from the beginning; says "no leader" and what it waits for until bootstrap is over.
  virtual Consensus& consensus() = 0;

  // For the gRPC service that other masters call. Works from the beginning.
  virtual LinkAcceptor& acceptor() = 0;

  // A hint, from any thread and at any time. Without state and without -peers this master joins a cluster that lists it
  // beside others, and waits for them if they are all away (design/architecture 4). Ignored otherwise.
  virtual void told_of(const ClusterHint& hint) = 0;

  // Starts the threads and, without state, the bootstrap. Call it when the gRPC server listens: others dial back.
  virtual Status start() = 0;

  // Hands leadership to the best heir if this master leads (at most `transfer_wait_max`), then goes silent and joins
  // all threads. Everything proposed and not yet answered is answered outcome_unknown. May be called twice.
  virtual void stop(Duration transfer_wait_max = 1s) = 0;

  // The same hand-over without stopping, to `target` or the best heir (RaftLeadershipTransfer). `done` once, from any
  // thread: an error says in words why it failed.
  virtual void transfer_leadership(std::optional<NodeId> target, std::function<void(Status)> done) = 0;

  // Changes of members asked for by an operator (RaftAddServer, RaftRemoveServer): at the leader, answered when
  // committed. add_server calls the address and takes whoever answers there, without state, as a learner; it becomes a
  // voter when it has caught up, if `voter` says so, else it stays one that receives everything and counts for nothing.
  // A member that is there already only changes from the one into the other, never back.
  virtual void add_server(const Address& address, bool voter, std::function<void(Status)> done) = 0;
  virtual void remove_server(NodeId id, std::function<void(Status)> done) = 0;
  // The one at `address` takes the place of `old`, which is removed right before the new one votes: the number of votes that
  // are needed never grows by a dead one. Answered when the new one has been let in, to learn first.
  virtual void replace_server(NodeId old, const Address& address, std::function<void(Status)> done) = 0;

  // What is told of leases, of who reaches whom, and of trouble. Never null; from any thread.
  virtual std::shared_ptr<const WatchReport> watch_report() const = 0;
};

}  // namespace holdfast::master
