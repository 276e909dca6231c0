// The HTTP routes of a master: spec/weed-cluster section 2. Where they differ on purpose from upstream's, see
// docs/compatibility.md.
//
// Answered by every master itself: lookups, /{fileId} (the leader is asked for volumes not heard of), the page, status,
// health, statics. Passed on to the leader by the others: assign, growth, deletion, stepping down, /dir/status, /vol/status (leader_forward.h). An assign on the leader takes the
// fast way: parameters read in place, one call of Master::try_assign, the answer written straight into the
// connection's buffer.
//
// Decides nothing: parses, asks the Master, translates its answer. One table turns a refusal into a status.
//
// Threads: serve() on any loop at once; everything shared is constant or thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/jwt.h"
#include "client/http_pool.h"
#include "front/http/leader_forward.h"
#include "front/http/metrics.h"
#include "front/http/server.h"
#include "front/http/white_list.h"
#include "io/clock.h"
#include "io/event_loop.h"
#include "io/random.h"
#include "service/master/master.h"
#include "model/address.h"
#include "service/master/metalogger_status.h"
#include "service/master/watch.h"

namespace holdfast::front {

// A change of the masters' members, one at a time: `adds` alone, `removes` alone, or the one in the other's place.
struct MemberChange {
  std::optional<Address> adds;
  bool voter = true;  // of the new one, once it has caught up
  std::optional<NodeId> removes;
};

class MasterRoutes : public http::Handler {
 public:
  struct Options {
    std::string version = "30GB 4.44 ";  // the value of "Version" in bodies: upstream's form, then who we are
    std::string address;                 // of this master, host:port, for its page before it is a member
    bool disable_http = false;           // -disableHttp: no data routes, no /{fileId}
    std::uint64_t submit_bytes_max = 256ull << 20;
    bool read_only = false;              // what changes anything is refused with 403
    bool follows = false;                // of `master.follower`, for its page
    std::string admin_token;             // "" = none is asked for (admin_guard.h)
    LeaderForward::Options forward;
  };

  // All references outlive this; the server that uses it is stopped before it goes.
  struct Parts {
    master::Master& master;
    client::HttpPool& pool;
    io::EventLoops& loops;
    io::Clock& clock;
    io::Random& random;
    const WhiteList& white_list;
    metrics::Registry& metrics = metrics::process();
    // MasterRuntime::transfer_leadership: to the best heir, or to the one named. Empty: 501.
    std::function<void(std::optional<NodeId>, std::function<void(Status)>)> transfer_leadership = {};
    // Empty: 501, and no buttons on the page.
    std::function<void(const MemberChange&, std::function<void(Status)>)> change_members = {};
    // MasterRuntime::watch_report; empty: nothing is watched.
    std::function<std::shared_ptr<const master::WatchReport>()> watch_report = {};
    // Tokens for the file ids that are given out and looked up; null: none.
    const api::JwtKeys* jwt = nullptr;
    // BackupSource::metaloggers. Empty: none are known.
    std::function<std::vector<master::MetaloggerStatus>()> metaloggers = {};
  };

  MasterRoutes(Parts parts, Options options);
  ~MasterRoutes() override;

  void serve(http::Exchange& exchange) override;

  // Give this to the server's options: counts requests by route and status.
  http::Observer& observer();

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

// The status of a refusal.
int http_status(master::Refusal::Kind kind);

}  // namespace holdfast::front
