// WitnessHost: runs a witness (witness_loop.h) in a volume server: its folder, its links to the masters, its threads.
//
// A volume server offers itself: the leader of its cluster asks it by Raft.Meet on its gRPC port, is told a name that
// never said anything, and makes that a member. From then on masters link to it as to one another (PeerLinks), by streams and,
// at the same port, by datagrams: once a master is lost the other leads as long as the witness answers its beats, on a busy
// machine too. What it keeps lies in `witness` below its first data folder, made when it is first asked. It has a new name
// after it lost that, after it was removed, and when a leader that asks does not count it among its members although it has
// spoken before.
//
// Threads: open() and stop() belong to one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/random.h"
#include "model/address.h"
#include "model/ids.h"
#include "service/master/link_acceptor.h"

namespace holdfast::master {

struct WitnessConfig {
  std::string folder;       // made when first needed
  Address self;             // as masters are to call it
  std::string bind_host;    // where it hears datagrams, at the gRPC port of `self`; "": on every address
  std::uint32_t feature_level = 0;
  std::string cluster_secret;  // the masters' (seal.h); empty: none
  std::function<ClusterId()> cluster;  // the volume server's; empty while it knows none
};

class WitnessHost {
 public:
  // Goes on as the witness it was, if it was one. An error says what is wrong with the folder.
  static Result<std::unique_ptr<WitnessHost>> open(WitnessConfig config, io::Disk& disk, io::Clock& clock,
                                                   io::Random& random);

  virtual ~WitnessHost() = default;  // stops

  // What masters call, for the gRPC server. Valid as long as this lives; from any thread.
  virtual LinkAcceptor& acceptor() = 0;

  // Ends links and threads. Before the gRPC server goes.
  virtual void stop() = 0;
};

}  // namespace holdfast::master
