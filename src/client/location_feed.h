// LocationFeed: where volumes are, told by one master after the other (KeepConnected, spec/weed-grpc 5.2). It stays with the
// leader: a master that does not lead names it and ends the stream. When a master is lost the next one is asked, within
// milliseconds at first, later every quarter of a second.
//
// Each connection begins with the whole picture, one message per volume server, and goes on with what changes; nothing
// marks the end of the picture. Works with upstream's masters too.
//
// A thread of its own; events come from it, one at a time, and not after stop() has returned.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "client/discovery.h"
#include "model/address.h"

namespace grpc {
class ClientContext;
}
namespace master_pb {
class VolumeLocation;
}

namespace holdfast::client {

class LocationFeed {
 public:
  struct Options {
    std::vector<Address> masters;  // names may stand for several (discovery.h)
    std::string client_type;       // "master" would make upstream's masters count this process as a voter
    std::string client_address;    // host:port
    std::string version;
  };
  struct Events {
    std::function<void(const std::string& master)> on_connected;  // host:port; a new picture begins
    std::function<void(const master_pb::VolumeLocation&)> on_location;
    std::function<void(const std::string& master, const Error& why)> on_lost;  // of one that was connected
  };

  LocationFeed(Options options, Events events);
  ~LocationFeed();  // stops
  void stop();

 private:
  void run();
  void follow(const Address& master);
  std::vector<Address> seeds();
  bool pause(Duration duration);  // false: stopping

  const Options options_;
  const Events events_;
  std::string trouble_;          // of the last try, told once; of the thread
  std::optional<Address> hint_;  // who leads, as the last one asked said; of the thread

  Mutex mutex_;
  Condition changed_;
  std::vector<Address> places_ HOLDFAST_GUARDED_BY(mutex_);
  grpc::ClientContext* call_ HOLDFAST_GUARDED_BY(mutex_) = nullptr;  // under way
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;

  std::unique_ptr<Discovery> discovery_;
  std::thread thread_;
};

}  // namespace holdfast::client
