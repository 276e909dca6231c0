// POST /submit: uploads through the master, which assigns, stores and answers in one (spec/weed-cluster 2.3).
//
// The body is streamed to the volume server as it comes, multipart or not (it knows both), and never sits in memory
// whole. A follower gets the file id from the leader and does the rest itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/task.h"
#include "client/http_pool.h"
#include "front/http/leader_forward.h"
#include "front/http/server.h"
#include "io/clock.h"
#include "service/master/master.h"

namespace holdfast::front {

class Submit {
 public:
  struct Parts {
    master::Master& master;
    client::HttpPool& pool;
    io::Clock& clock;
    LeaderForward& forward;
    std::uint64_t bytes_max;
    // A token to store this file id with; "" when none is needed.
    std::function<std::string(std::string_view fid)> token;
  };
  explicit Submit(Parts parts) : parts_(parts) {}

  void serve(http::Exchange& exchange);

 private:
  struct Answers;
  Task run(http::Exchange& exchange);

  const Parts parts_;
};

}  // namespace holdfast::front
