// Discovery: a name that stands for several servers, looked up again and again.
//
// A name with several addresses of one family (A or AAAA records) stands for as many servers, each dialled by its own
// address. A name with at most one of each family is one host, dialled by its name as if there were no Discovery; so
// localhost and hosts of both families are what they were. Addresses stand for themselves and are never looked up.
//
// A record that comes or goes is told in the log and to `changed`. When the resolver fails, or says that there is no such
// name any more, the last answer stays: a name server that is down must not take a cluster apart.
//
// The resolver may take many seconds, so it has a thread of its own, which is there only while a name is. stop() does
// not wait for an answer that is still to come. `changed` is called from that thread, must be short, and is not called
// after stop() has returned; do not stop from within it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/address.h"

namespace holdfast::client {

inline constexpr Duration kDiscoveryInterval = std::chrono::seconds(5);

// All addresses of a host, IPv4 and IPv6, as numbers, sorted, each once. Waits for the resolver.
Result<std::vector<std::string>> resolve_host(const std::string& host);

// Whether `host` is an address rather than a name.
bool is_numeric(const std::string& host);

// Of the addresses that these places stand for, one that this machine has and that is not loopback; "" when there is
// none, or the resolver did not say so within `patience`.
std::string own_address_among(const std::vector<Address>& places, Duration patience);

class Discovery {
 public:
  struct Options {
    std::vector<Address> places;               // names and addresses, with the ports to dial
    Duration interval = kDiscoveryInterval;    // between two questions; a name not found yet is asked for sooner
    std::function<Result<std::vector<std::string>>(const std::string& host)> resolve = resolve_host;
  };

  struct Place {
    Address asked;
    bool is_known = false;             // the resolver has answered, or need not be asked
    std::vector<Address> stands_for;   // as dialled, sorted; empty until it is known
    std::string trouble;               // why it is not known; empty otherwise
  };

  // `changed` gets what places() would answer; it may come before the constructor has returned.
  using Changed = std::function<void(const std::vector<Place>& places)>;
  Discovery(Options options, Changed changed);
  ~Discovery();  // stops
  Discovery(const Discovery&) = delete;

  void stop();

  // In the order of the options.
  [[nodiscard]] std::vector<Place> places() const;

  // What all known places stand for, each once.
  [[nodiscard]] std::vector<Address> found() const;

  // Until all places are known or `patience` is over.
  void wait_until_known(Duration patience) const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the thread, which may outlive this in a call of the resolver
};

}  // namespace holdfast::client
