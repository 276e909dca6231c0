// Pulses: what volume servers say by datagram between two reports: that they are alive, and that nothing is new
// (docs/pulses.md). A report by gRPC costs a master some hundred microseconds of two threads, a datagram that is read with
// the masters' own beats next to nothing; so of an idle cluster's pulses only each twentieth goes by the stream.
//
// Each stream of reports whose server can do it has a line: its key, the number last heard, and until when the server
// counts as alive, which a datagram moves without any lock of the topology. The stream goes before it: when it ends, the
// line ends. Whether datagrams get through is told over the stream when it changes, so a server whose datagrams are lost
// speaks by the stream again before anybody takes it for silent.
//
// Threads: received() on the thread that reads datagrams, look() on the loop, the others on any.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "core/topology/topology.h"
#include "io/random.h"

namespace holdfast::master {

class Pulses {
 public:
  struct Terms {
    std::uint64_t line = 0;
    std::string key;
    bool heard = false;
  };

  // wake(): look() should come soon.
  Pulses(io::Random& random, std::function<void()> wake) : random_(random), wake_(std::move(wake)) {}

  // A line for this stream, or what the one it has stands at. `tell` is called, from the loop, with whether datagrams are
  // heard, each time that changes.
  Terms open(topology::SessionId session, topology::Topology::Life life, std::function<void(bool heard)> tell);
  void close(topology::SessionId session);

  // False: not a pulse of a line that is open.
  bool received(BytesView datagram, Instant now);

  struct Heard {
    topology::SessionId session;
    Instant at;
  };
  struct Look {
    std::vector<Heard> heard;    // since the last look
    Instant next = kDistantFuture;  // when datagrams of the next line may have stopped
  };
  // Tells servers what has changed. Call it when next comes, when woken, and whenever it suits.
  Look look(Instant now);

 private:
  struct Line {
    std::string key;
    topology::Topology::Life life;
    std::function<void(bool)> tell;
    std::uint64_t number = 0;
    Instant at = kDistantPast;  // of the last datagram
    bool is_new = false;        // not handed out by look() yet
    bool heard = false;         // as told
  };

  io::Random& random_;
  const std::function<void()> wake_;

  Mutex mutex_;  // leaf
  std::map<std::uint64_t, Line> lines_ HOLDFAST_GUARDED_BY(mutex_);  // by session
};

}  // namespace holdfast::master
