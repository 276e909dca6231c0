// Replicator: sends a write or a deletion on to the siblings of a volume, as upstream's volume servers understand it
// (spec/weed-cluster 3.6): the same path with type=replicate, the needle's parts as a multipart form.
//
// Each sibling is tried once, and once more when a pooled connection turns out to be closed. The answer counts the
// failed ones in upstream's words, one line each. What the request points to must live until `done`, which is called
// once, from an event loop's thread.
//
// Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/http_pool.h"
#include "io/event_loop.h"
#include "service/volume/volume_service.h"
#include "storage/volume/work_pool.h"

namespace holdfast::volume {

class Replicator {
 public:
  // Longer silence of a sibling than this fails the write; its disk may be slow to sync.
  static constexpr Duration kSilenceMax = 60s;
  static constexpr Duration kConnectMax = 5s;

  Replicator(io::EventLoops& loops, client::HttpPool& pool, WorkPool& disk_pool)
      : loops_(loops), pool_(pool), disk_pool_(disk_pool) {}

  using Done = std::function<void(Status)>;

  // To each of `servers` (ip:port). last_modified must be settled: all copies carry the same.
  void write(const WriteRequest& request, const std::vector<std::string>& servers, Done done);
  void remove(const RemoveRequest& request, const std::vector<std::string>& servers, Done done);

  // The request to one server, without its body; for tests. `form`: what surrounds the data.
  struct Form {
    std::string before;
    std::string after;
  };
  static client::HttpRequest write_request(const WriteRequest& request, const std::string& server, Form& form);

 private:
  struct Gathered;
  void send_spooled(const WriteRequest& request, std::string server, std::shared_ptr<Gathered> gathered);

  io::EventLoops& loops_;
  client::HttpPool& pool_;
  WorkPool& disk_pool_;
};

}  // namespace holdfast::volume
