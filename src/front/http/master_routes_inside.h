// What the files of the master's routes share. Internal: master_routes.cc dispatches and answers pages, health and
// status; master_lookup.cc says where volumes are; master_leader_routes.cc does, or passes on, what only the leader can;
// kv_routes.cc is the key-value space.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "base/task.h"
#include "front/http/admin_guard.h"
#include "front/http/answers.h"
#include "front/http/master_routes.h"
#include "front/http/member_watch.h"
#include "front/http/metrics.h"
#include "front/http/submit.h"
#include "front/http/url.h"

namespace holdfast::front {

// The kinds under which requests are counted; the names stand in master_routes.cc.
enum class Route : std::uint8_t {
  other,  // redirects of unclean paths, text 404
  assign,
  lookup,
  file_id,
  dir_status,
  vol_status,
  vol_grow,
  vol_vacuum,
  col_delete,
  collection_info,
  submit,
  page,
  cluster_status,
  cluster_healthz,
  healthz,
  readyz,
  raft_stats,
  metrics,
  kv,
  statics,
  step_down,
  member,
  lease,
  lease_history,
  member_add,
  member_remove,
  member_replace,
  metaloggers,
};

struct MasterRoutes::Inside : http::Observer {
  Inside(Parts p, Options o);

  void finished(const http::Exchange& exchange, int status, Duration took, std::size_t) override {
    requests.done(exchange.kind(), static_cast<unsigned>(status), took);
  }

  // ---- answers
  // `token`: shown as an Authorization header unless empty.
  void json(http::Exchange& exchange, int status, std::string_view body, std::string_view token = {});
  // "" when none are given out.
  std::string write_token(std::string_view fid) const { return token_for(&api::JwtKeys::write, fid); }
  std::string token_for(const api::JwtKey api::JwtKeys::*key, std::string_view fid) const;
  // What a lookup of this `fileId` is answered with, beside the places.
  std::string lookup_token(const Params& params) const;
  void plain_json(http::Exchange& exchange, std::string_view body);  // 200, and no request id: the cluster routes
  void refuse(http::Exchange& exchange, const master::Refusal& refusal);
  // -readOnly: whether the request was refused for it.
  bool refused_read_only(http::Exchange& exchange, Route route);
  void with_request_id(http::Exchange& exchange, int status);
  // What another master said, as it said it.
  void relay(http::Exchange& exchange, const client::HttpAnswer& answer, std::string_view token = {});

  // ---- what every master answers (master_routes.cc)
  void page(http::Exchange& exchange);
  void statics(http::Exchange& exchange, std::string_view name);
  void collection_info(http::Exchange& exchange, const Params& params);
  void dispatch(http::Exchange& exchange, Route route, const Params& params);
  Task with_form(http::Exchange& exchange, Route route, bool needs_leader);

  // ---- where volumes are (master_lookup.cc)
  void lookup(http::Exchange& exchange, const Params& params);
  void redirect_to_volume(http::Exchange& exchange, std::string_view path);

  // ---- what only the leader does (master_leader_routes.cc)
  // False: it takes waiting, or is wrong; nothing was answered and no key was taken.
  bool assign_at_once(http::Exchange& exchange, const Params& params);
  Task on_leader(http::Exchange& exchange, Route route, std::string form);

  // ---- changes of members (master_member_routes.cc), by the leader
  Task change_members(http::Exchange& exchange, Route route, std::string form);

  // Brings the request to whoever leads, in the `round`-th try. True: this master does; do it here, and when that is
  // refused ask goes_round(). False: it was answered, with the leader's words or a refusal. `more_query` goes to the
  // leader behind the client's own.
  Async<bool> reach_leader(http::Exchange& exchange, int round, std::string method, const std::string& body,
                           LeaderForward::Repeat repeat, std::string more_query = {});
  // Whether what this master refused may be done by another: then try the next round. False: it was answered.
  // `may_be_done`: and yet it may have been done here, but counts once.
  bool goes_round(http::Exchange& exchange, const master::Refusal& refusal, bool may_be_done = false);
  // To a master that took this one for the leader: it looks for another.
  void answer_not_leader(http::Exchange& exchange, bool may_be_done = false);

  // ---- the key-value space (kv_routes.cc). `raw`: what follows /cluster/kv/ in the path, still encoded
  void kv(http::Exchange& exchange, std::string_view raw);

  // With a view in any case, also before the master has started.
  master::ClusterStatus cluster_status() const;
  std::shared_ptr<const master::WatchReport> watch_report() const;  // never null
  std::vector<master::MetaloggerStatus> metaloggers() const;
  bool is_guarded_against(const http::Exchange& exchange) const;
  bool is_from_a_master(const http::Request& request) const;  // passed on by one that had let it in

  const Parts parts;
  const Options options;
  const AdminGuard admin;
  MemberWatch watch;
  LeaderForward forward;
  RequestMetrics requests;
  metrics::Registry::Collector collected;
  Submit submit;

 private:
  using Found = std::variant<master::LookupAnswer, client::HttpAnswer>;  // by this master, by the leader
  bool may_ask_leader(const http::Exchange& exchange) const;
  bool is_worth_a_search(const http::Exchange& exchange, const master::LookupAnswer& found) const;
  void search(http::Exchange& exchange, VolumeId volume, const std::string& collection, bool of_all_copies,
              client::HttpRequest request, std::function<void(Found)> done);
  // The leader's list of copies, or `known` if it has none to give.
  void ask_for_copies(http::Exchange& exchange, const master::LookupAnswer& known, client::HttpRequest request,
                      std::function<void(Found)> done);
  Task lookup_wider(http::Exchange& exchange, VolumeId volume, master::LookupAnswer known, std::string given, std::string collection,
                    std::string token);
  Task redirect_wider(http::Exchange& exchange, VolumeId volume, std::string path, std::string collection);
  void answer_lookup(http::Exchange& exchange, std::string_view given, const master::LookupAnswer& found,
                     std::string_view token);
  void answer_redirect(http::Exchange& exchange, std::string_view path, const master::LookupAnswer& found);
  void answer_assign(http::Exchange& exchange, const master::AssignAnswer& answer);

  Task kv_write(http::Exchange& exchange, kv::Command command);
  Task kv_put(http::Exchange& exchange, kv::Put command);
  Task kv_get(http::Exchange& exchange, std::string key, bool stale, bool json_wanted);
  Task kv_list(http::Exchange& exchange, kv::ListRequest request, bool stale, bool keys_only);
  Task kv_watch(http::Exchange& exchange, master::KvWatch watch);
  void answer_kv_write(http::Exchange& exchange, const kv::Command& command, const kv::Answer& answer);
};

inline bool is_get(const http::Request& request) {
  return request.method_text == "GET" || request.method_text == "HEAD";
}

// The client's request for another master: headers that concern this connection only are left out, and the client's
// address is added. The body is `form`.
client::HttpRequest passed_on(const http::Request& request, std::string method, std::string form);

}  // namespace holdfast::front
