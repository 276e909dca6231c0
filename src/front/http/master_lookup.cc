// Where volumes are: /dir/lookup and the redirects of /{fileId}. Every master answers both from its own picture; what is
// not in it, a master that does not lead asks the leader for, and also for copies of a new volume that it has not heard of.
#include <memory>
#include <utility>
#include <variant>

#include "front/http/json.h"
#include "front/http/master_json.h"
#include "front/http/master_page.h"
#include "front/http/master_routes_inside.h"

namespace holdfast::front {

using http::Exchange;
using master::Refusal;

namespace {

// "3" of "3,01637037d6"; the whole text without a comma.
std::string_view volume_part(std::string_view text, std::size_t comma) {
  return comma == std::string_view::npos ? text : text.substr(0, comma);
}

// What of a path may stand in a Location as it is; the rest is encoded again, so that it still means the same path and
// cannot end the header.
std::string location_path(std::string_view decoded) {
  std::string out;
  for (const char c : decoded) {
    const auto byte = static_cast<unsigned char>(c);
    const bool stays = byte > 0x20 && byte < 0x7f && std::string_view("%?#\"<>\\^`{|}").find(c) == std::string_view::npos;
    out += stays ? std::string(1, c) : escape_path(std::string_view(&c, 1));
  }
  return out;
}

using Found = std::variant<master::LookupAnswer, client::HttpAnswer>;  // by this master, by the leader

// How long the leader may take: it waits itself for a volume that was just made.
constexpr Duration kLeaderMax = master::kLookupWait + 250ms;
constexpr Duration kCopiesMax = 250ms;  // for what it knows at once, when some copies are known here

// A volume that this master has not heard of: the first good word of its own volume servers or of the leader counts, and
// where all copies are wanted a word of some only if the leader has none. If neither has a good one the leader's word does, or
// else this master's own. All on one loop.
class Search : public std::enable_shared_from_this<Search> {
 public:
  Search(bool of_all_copies, std::function<void(Found)> done) : of_all_copies_(of_all_copies), done_(std::move(done)) {}

  void own(master::LookupAnswer answer) {
    const bool is_good = answer.locations && !(of_all_copies_ && answer.copies_may_appear);
    if (is_good || leader_failed_) return end(std::move(answer));
    own_ = std::move(answer);
  }
  void leaders(std::optional<client::HttpAnswer> answer) {
    const bool is_known_here = own_ && own_->locations;
    if (answer && is_word(*answer) && !(is_known_here && answer->status >= 400)) return end(std::move(*answer));
    leader_failed_ = true;
    if (own_) end(*own_);
  }

 private:
  // Found, or not, in the form of these routes. A leader with other settings (-disableHttp, white list) says nothing.
  static bool is_word(const client::HttpAnswer& answer) {
    if (answer.status == 200 || answer.status == 308) return true;
    return (answer.status == 404 || answer.status == 503) &&
           client::header(answer.headers, "Content-Type") == "application/json";
  }
  void end(Found found) {
    if (const auto done = std::exchange(done_, nullptr)) done(std::move(found));
  }

  const bool of_all_copies_;
  std::function<void(Found)> done_;
  std::optional<master::LookupAnswer> own_;
  bool leader_failed_ = false;
};

}  // namespace

void MasterRoutes::Inside::lookup(Exchange& exchange, const Params& params) {
  auto given = params.get("volumeId");
  given = volume_part(given, given.find(','));
  const auto file_id = params.get("fileId");
  if (const auto comma = file_id.find(','); comma != std::string_view::npos) given = file_id.substr(0, comma);
  const bool pretty = wants_pretty(exchange.request().query);
  thread_local std::string body;
  body.clear();
  const auto volume = parse_volume_id(given);
  if (!volume) {
    append_lookup_error(body, given, "Unknown volume id " + std::string(given), pretty);
    return json(exchange, 404, body);
  }
  const std::string_view collection = params.get("collection");
  const auto found = parts.master.lookup(*volume, collection);
  auto token = lookup_token(params);
  const bool wider = found.locations ? found.copies_may_appear && may_ask_leader(exchange) : is_worth_a_search(exchange, found);
  if (!wider) return answer_lookup(exchange, given, found, token);
  lookup_wider(exchange, *volume, found, std::string(given), std::string(collection), std::move(token));
}

std::string MasterRoutes::Inside::lookup_token(const Params& params) const {
  const auto file_id = params.get("fileId");
  if (file_id.find(',') == std::string_view::npos) return {};
  return token_for(params.get("read") == "yes" ? &api::JwtKeys::read : &api::JwtKeys::write, file_id);
}

// A request that was passed on once is not passed on again.
bool MasterRoutes::Inside::may_ask_leader(const Exchange& exchange) const {
  const auto leader = parts.master.leader();
  return leader && !leader->self && !exchange.request().has_header(kForwardedHeader);
}

// The leader, or a volume server yet to report, may know more.
bool MasterRoutes::Inside::is_worth_a_search(const Exchange& exchange, const master::LookupAnswer& found) const {
  return found.may_appear || may_ask_leader(exchange);
}

void MasterRoutes::Inside::search(Exchange& exchange, VolumeId volume, const std::string& collection, bool of_all_copies,
                                  client::HttpRequest request, std::function<void(Found)> done) {
  auto& loop = exchange.loop();
  const auto search = std::make_shared<Search>(of_all_copies, std::move(done));
  parts.master.lookup_soon(volume, collection, [&loop, search](master::LookupAnswer answer) {
    loop.post([search, answer = std::move(answer)] { search->own(answer); });
  });
  if (exchange.request().has_header(kForwardedHeader)) return search->leaders(std::nullopt);
  request.silence_timeout = kLeaderMax;
  forward.ask(loop, std::move(request), [search](auto answer) { search->leaders(std::move(answer)); });
}

void MasterRoutes::Inside::ask_for_copies(Exchange& exchange, const master::LookupAnswer& known, client::HttpRequest request,
                                          std::function<void(Found)> done) {
  request.silence_timeout = kCopiesMax;
  forward.ask(exchange.loop(), std::move(request), [known, done = std::move(done)](std::optional<client::HttpAnswer> answer) {
    if (answer && answer->status == 200) return done(std::move(*answer));
    done(known);
  });
}

Task MasterRoutes::Inside::lookup_wider(Exchange& exchange, VolumeId volume, master::LookupAnswer known, std::string given,
                                        std::string collection, std::string token) {
  const auto& request = exchange.request();
  // Parameters may have come in a form.
  auto question = passed_on(request, request.method_text == "HEAD" ? "HEAD" : "GET", "");
  question.target = "/dir/lookup?volumeId=" + escape_query(given);
  if (!collection.empty()) question.target += "&collection=" + escape_query(collection);
  if (wants_pretty(request.query)) question.target += "&pretty=y";
  const auto ask = [&](auto done) {
    if (known.locations) return ask_for_copies(exchange, known, question, done);
    search(exchange, volume, collection, true, question, done);
  };
  const auto found = co_await awaited<Found>(exchange.loop(), ask);
  if (const auto* answer = std::get_if<client::HttpAnswer>(&found)) {
    relay(exchange, *answer, answer->status == 200 ? std::string_view(token) : std::string_view());
  } else {
    answer_lookup(exchange, given, std::get<master::LookupAnswer>(found), token);
  }
}

void MasterRoutes::Inside::answer_lookup(Exchange& exchange, std::string_view given, const master::LookupAnswer& found,
                                         std::string_view token) {
  const bool pretty = wants_pretty(exchange.request().query);
  thread_local std::string body;
  body.clear();
  if (found.locations) {
    append_lookup(body, given, *found.locations, pretty);
    return json(exchange, 200, body, token);
  }
  if (found.warming_up) {
    append_lookup_error(body, given, "service warming up, please retry", pretty);
    exchange.head(503)
        .add("Content-Type", "application/json")
        .add("X-Content-Type-Options", "nosniff")
        .add("X-Amz-Request-Id", RequestId(parts.clock))
        .add("Retry-After", 1);
    return exchange.finish(body);
  }
  append_lookup_error(body, given, "volume id " + std::string(given) + " not found", pretty);
  json(exchange, 404, body);
}

void MasterRoutes::Inside::redirect_to_volume(Exchange& exchange, std::string_view path) {
  const auto& request = exchange.request();
  const auto segment = path.substr(1);
  const auto given = volume_part(segment, segment.rfind(','));
  const auto volume = parse_volume_id(given);
  if (!volume) {
    return refuse(exchange, {Refusal::Kind::not_found, "volume id " + std::string(given) + " not found: " +
                                                           "Unknown volume id " + std::string(given)});
  }
  const Params params(request.query);
  const std::string_view collection = params.get("collection");
  const auto found = parts.master.lookup(*volume, collection);
  if (found.locations || !is_worth_a_search(exchange, found)) return answer_redirect(exchange, path, found);
  redirect_wider(exchange, *volume, std::string(path), std::string(collection));
}

Task MasterRoutes::Inside::redirect_wider(Exchange& exchange, VolumeId volume, std::string path, std::string collection) {
  auto question = passed_on(exchange.request(), std::string(exchange.request().method_text), "");
  const auto ask = [&](auto done) { search(exchange, volume, collection, false, question, done); };
  const auto found = co_await awaited<Found>(exchange.loop(), ask);
  if (const auto* answer = std::get_if<client::HttpAnswer>(&found)) {
    relay(exchange, *answer);
  } else {
    answer_redirect(exchange, path, std::get<master::LookupAnswer>(found));
  }
}

void MasterRoutes::Inside::answer_redirect(Exchange& exchange, std::string_view path, const master::LookupAnswer& found) {
  const auto& request = exchange.request();
  const auto segment = path.substr(1);
  const auto given = volume_part(segment, segment.rfind(','));
  const auto not_found = "volume id " + std::string(given) + " not found: ";
  if (!found.locations && found.warming_up) {
    return refuse(exchange, {Refusal::Kind::warming_up, not_found + "service warming up, please retry", 1s});
  }
  if (!found.locations || found.locations->places.empty()) {
    return refuse(exchange, {Refusal::Kind::not_found, not_found + "volume id " + std::string(given) + " not found"});
  }
  const auto& places = found.locations->places;
  const auto& place = places[places.size() == 1 ? 0 : quick_random() % places.size()];
  std::string location = std::string(parts.pool.scheme()) + "://" + (place.public_url.empty() ? place.url : place.public_url) + location_path(path);
  if (!request.query.empty()) {
    location += '?';
    location += request.query;
  }
  auto& head = exchange.head(308).add("Location", location).add("X-Amz-Request-Id", RequestId(parts.clock));
  if (!is_get(request)) return exchange.finish();
  head.add("Content-Type", "text/html; charset=utf-8");
  std::string body = "<a href=\"";
  append_html(body, location);
  body += "\">Permanent Redirect</a>.\n\n";
  exchange.finish(body);
}

}  // namespace holdfast::front
