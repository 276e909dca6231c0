// MasterClient: the masters as one thing to ask, for clients and volume servers. Any master answers: followers look up
// by themselves and pass assigns on to the leader.
//
// A question goes to the leader when it is known, else to a master that works. One that refuses the connection or
// breaks it is left for the next at once; when one stays silent for hedge_after the next is asked beside it, and the
// first answer wins: a lookup has no effect, and an assign that nobody uses costs nothing. When all have failed the round is
// repeated after a short growing pause, until `patience` is over. So the death of a master, leading or not, costs a
// client no more than the election itself.
//
// The list of masters grows by what the answers say (members of the cluster), so one reachable seed is enough. A seed
// whose name has several addresses stands for as many masters and is looked up again and again (discovery.h): masters
// that come to the name are asked, masters that leave it no more, unless the others say that they are members.
//
// Answers: the Error's code is `unavailable` when patience ended without a definite answer (the text names the last
// trouble), `invalid`/`not_found`/`internal`... with the master's words when it said no.
//
// Thread-safe. `done` is called exactly once, from a thread of the gRPC library, and must not block. The destructor
// cancels what is under way and waits until each `done` has returned; do not call it from within `done`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "client/discovery.h"
#include "model/address.h"
#include "model/master_member.h"

namespace holdfast::client {

// A place where a volume lies.
struct Location {
  std::string url;         // host:port exactly as the volume server reported itself
  std::string public_url;  // host:port for readers outside
  std::uint32_t grpc_port = 0;
  std::string data_center;

  friend bool operator==(const Location&, const Location&) = default;
};

struct AssignWish {
  std::uint64_t count = 1;
  std::string replication;  // "" is the masters' default
  std::string collection;
  std::string ttl;
  std::string data_center;
  std::string rack;
  std::string data_node;
  std::string disk_type;
  std::uint32_t writable_volume_count = 0;
  std::uint64_t expected_data_size = 0;
};

struct Assignment {
  std::string fid;          // the following ones are fid_1 .. fid_(count-1)
  std::uint64_t count = 1;  // as asked
  std::string auth;         // a token for the volume server, or ""
  Location location;
  std::vector<Location> replicas;  // the other holders
};

struct VolumeLocations {
  std::string volume_or_file_id;  // the bare volume id
  std::vector<Location> locations;
  std::string error;  // "" or e.g. "volume id 7 not found"
  std::string auth;
};

struct MasterConfiguration {
  std::string default_replication;
  std::string leader;  // host:port, "" while there is none
  std::uint32_t volume_size_limit_mb = 0;
  bool volume_preallocate = false;
  std::string metrics_address;
  std::uint32_t metrics_interval_seconds = 0;
  std::string cluster_id;             // "" from an upstream master
  std::vector<MasterMember> members;  // empty from an upstream master
};

class MasterClient {
 public:
  struct Options {
    std::vector<Address> masters;                        // seeds, at least one
    Duration attempt_max = std::chrono::seconds(10);     // one master's time for one answer
    Duration hedge_after = std::chrono::milliseconds(150);  // silence after which the next one is asked too
    Duration patience = std::chrono::seconds(30);        // for one question as a whole
    Duration discovery_interval = kDiscoveryInterval;    // between two looks at the names of seeds
    decltype(Discovery::Options::resolve) resolve = resolve_host;
  };

  template <typename T>
  using Done = std::function<void(Result<T>)>;

  explicit MasterClient(Options options);
  ~MasterClient();
  MasterClient(const MasterClient&) = delete;
  MasterClient& operator=(const MasterClient&) = delete;

  void assign(const AssignWish& wish, Done<Assignment> done);
  void lookup(const std::vector<std::string>& volume_or_file_ids, const std::string& collection,
              Done<std::vector<VolumeLocations>> done);
  void configuration(Done<MasterConfiguration> done);

  // The same, waiting for the answer; never from within a `done`.
  Result<Assignment> assign(const AssignWish& wish);
  Result<std::vector<VolumeLocations>> lookup(const std::vector<std::string>& volume_or_file_ids,
                                              const std::string& collection = "");
  Result<MasterConfiguration> configuration();

  // Seeds and what was learned, the one asked first in front.
  [[nodiscard]] std::vector<Address> masters() const;

  // The same, once the names among the seeds have been looked up, or `patience` is over. For those who ask the masters by
  // themselves: until then a name stands for itself, and so for only one of them.
  [[nodiscard]] std::vector<Address> found(Duration patience) const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // shared with the calls under way
};

}  // namespace holdfast::client
