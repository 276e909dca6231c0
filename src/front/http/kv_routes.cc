// /cluster/kv/: the masters' key-value space (docs/kv.md). Every master reads; writes are passed on to the leader, again
// to the next one when they carry a request id, since then they count once however often they arrive.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/strconv.h"
#include "front/http/json.h"
#include "front/http/kv_json.h"
#include "front/http/master_routes_inside.h"

namespace holdfast::front {

using http::Exchange;
using master::Refusal;

namespace {

constexpr std::size_t kListDefault = 1000;
constexpr std::size_t kListMax = 10'000;
constexpr std::size_t kChangesDefault = 100;
constexpr std::size_t kChangesMax = 1000;
constexpr Duration kWatchDefault = 30s;
constexpr Duration kWatchMax = 300s;

constexpr std::array<std::string_view, 14> kKnown = {"prefix", "limit", "after", "keysOnly",  "json",  "stale",  "watch", "since",
                                                     "timeout", "ttl",  "cas",   "requestId", "renew", "pretty"};

Refusal wrong(std::string text) { return {Refusal::Kind::bad_request, std::move(text)}; }

// ?json, ?json=1, ?json=true; any other word is false.
bool is_asked(const Params& params, std::string_view name) {
  const auto value = params.find(name);
  if (!value) return false;
  const auto parsed = strconv::parse_bool(*value);
  return value->empty() || (parsed.ok() && *parsed);
}

// A mistyped or broken `cas` that is overlooked would overwrite what it was to protect: nothing is.
std::optional<Refusal> fault_of(const Params& params, std::string_view query) {
  std::size_t pairs = 0;
  for (std::size_t at = 0; at < query.size();) {
    const auto end = std::min(query.find('&', at), query.size());
    if (end > at) ++pairs;
    at = end + 1;
  }
  if (pairs != params.size()) return wrong("the query cannot be decoded: write % as %25 and ; as %3B");
  for (std::size_t i = 0; i < params.size(); ++i) {
    if (std::find(kKnown.begin(), kKnown.end(), params.name(i)) == kKnown.end()) {
      return wrong(fmt::format("unknown parameter {}: there are prefix, limit, after, keysOnly, json, stale, watch, since, "
                               "timeout, ttl, cas, requestId, renew, pretty",
                               strconv::quote(params.name(i))));
    }
  }
  return std::nullopt;
}

std::optional<Refusal> read_number(const Params& params, std::string_view name, std::uint64_t* out) {
  const auto given = params.find(name);
  if (!given) return std::nullopt;
  const auto parsed = strconv::parse_uint(*given, 10);
  if (!parsed) return wrong(fmt::format("{} {} is no number: {}", name, strconv::quote(*given), parsed.error().what()));
  *out = *parsed;
  return std::nullopt;
}

std::optional<Refusal> read_limit(const Params& params, std::size_t fallback, std::size_t max, std::size_t* out) {
  std::uint64_t limit = fallback;
  if (auto refusal = read_number(params, "limit", &limit)) return refusal;
  if (limit == 0) return wrong("limit 0: at least 1");
  *out = std::min<std::uint64_t>(limit, max);
  return std::nullopt;
}

std::optional<Refusal> read_duration(const Params& params, std::string_view name, Duration* out) {
  const auto given = params.find(name);
  if (!given) return std::nullopt;
  const auto parsed = strconv::parse_duration(*given);
  if (!parsed || *parsed < Duration(0)) {
    return wrong(fmt::format("{} {} is no time: write it as 500ms, 10s, 5m or 24h", name, strconv::quote(*given)));
  }
  *out = *parsed;
  return std::nullopt;
}

std::optional<Refusal> read_revision(const Params& params, std::string_view name, std::optional<kv::Revision>* out) {
  if (!params.has(name)) return std::nullopt;
  std::uint64_t number = 0;
  if (auto refusal = read_number(params, name, &number)) return refusal;
  *out = kv::Revision(number);
  return std::nullopt;
}

// What all writes have.
template <typename Command>
std::optional<Refusal> read_write(const Params& params, Command* command) {
  if (auto refusal = read_revision(params, "cas", &command->compare)) return refusal;
  command->request_id = params.get("requestId");
  if (params.has("requestId") && command->request_id.empty()) return wrong("requestId is empty");
  if constexpr (requires { command->ttl; }) {
    if (auto refusal = read_duration(params, "ttl", &command->ttl)) return refusal;
    if (params.has("ttl") && command->ttl == Duration(0)) return wrong("ttl 0: leave it out for a key that stays");
  }
  return std::nullopt;
}

const std::string& key_of(const kv::Command& command) {
  if (const auto* put = std::get_if<kv::Put>(&command)) return put->key;
  if (const auto* renew = std::get_if<kv::Renew>(&command)) return renew->key;
  return std::get<kv::Delete>(command).key;
}
std::string& id_of(kv::Command& command) {
  if (auto* put = std::get_if<kv::Put>(&command)) return put->request_id;
  if (auto* renew = std::get_if<kv::Renew>(&command)) return renew->request_id;
  return std::get<kv::Delete>(command).request_id;
}

std::string no_such_key(std::string_view key) { return fmt::format("key {} does not exist", strconv::quote(key)); }

std::string compare_failed(const std::string& key, kv::Revision now) {
  if (now == kv::Revision()) return no_such_key(key) + ": read it again and decide anew";
  return fmt::format("key {} was changed at revision {}: read it again and decide anew", strconv::quote(key), now.value());
}

}  // namespace

void MasterRoutes::Inside::kv(Exchange& exchange, std::string_view raw) {
  const auto& request = exchange.request();
  const Params params(request.query);
  auto key = decode_path(raw);
  if (!key) return refuse(exchange, wrong("the key cannot be decoded: write % as %25"));
  if (auto refusal = fault_of(params, request.query)) return refuse(exchange, *refusal);
  const bool get = is_get(request);

  // A page of another site must not write with the rights of the browser's machine.
  if (!get && request.header("Sec-Fetch-Site") == "cross-site") {
    json(exchange, 403, json_error("a page of another site may not write here", wants_pretty(request.query)));
    return;
  }
  std::optional<Refusal> refusal;
  if (get && (key->empty() || params.has("watch"))) {
    if (is_asked(params, "watch")) {
      master::KvWatch watch{.filter = {*key, key->empty()}, .since = {}, .wait = kWatchDefault, .limit = kChangesDefault};
      if (key->empty()) watch.filter.text = params.get("prefix");
      refusal = read_revision(params, "since", &watch.since);
      if (!refusal) refusal = read_duration(params, "timeout", &watch.wait);
      if (!refusal) refusal = read_limit(params, kChangesDefault, kChangesMax, &watch.limit);
      watch.wait = std::min(watch.wait, kWatchMax);
      if (refusal) return refuse(exchange, *refusal);
      kv_watch(exchange, std::move(watch));
      return;
    }
    if (key->empty()) {
      kv::ListRequest list;
      list.prefix = params.get("prefix");
      list.after = params.get("after");
      refusal = read_limit(params, kListDefault, kListMax, &list.limit);
      if (refusal) return refuse(exchange, *refusal);
      kv_list(exchange, std::move(list), is_asked(params, "stale"), is_asked(params, "keysOnly"));
      return;
    }
  }
  if (auto fault = kv::fault_of_key(*key)) return refuse(exchange, wrong(std::move(*fault)));
  if (get) {
    kv_get(exchange, std::move(*key), is_asked(params, "stale"), is_asked(params, "json"));
    return;
  }
  if (request.method_text == "DELETE") {
    kv::Delete command{.key = std::move(*key)};
    refusal = read_write(params, &command);
    if (!refusal && params.has("ttl")) refusal = wrong("a deletion has no ttl");
    if (refusal) return refuse(exchange, *refusal);
    kv_write(exchange, std::move(command));
    return;
  }
  if (request.method_text != "PUT" && request.method_text != "POST") return answer_empty(exchange, 405);
  if (is_asked(params, "renew")) {
    kv::Renew command{.key = std::move(*key)};
    refusal = read_write(params, &command);
    if (refusal) return refuse(exchange, *refusal);
    kv_write(exchange, std::move(command));
    return;
  }
  kv::Put command{.key = std::move(*key)};
  refusal = read_write(params, &command);
  if (refusal) return refuse(exchange, *refusal);
  kv_put(exchange, std::move(command));
}

// ---- writes --------------------------------------------------------------------------------------------------------

Task MasterRoutes::Inside::kv_put(Exchange& exchange, kv::Put command) {
  const auto read = [&exchange](auto done) { exchange.read_all(kv::kValueBytesMax, done); };
  auto body = co_await awaited<Result<std::string>>(exchange.loop(), read);
  if (!body.ok() && body.error().code() != Code::no_space) {
    exchange.abort();  // the client is gone, or sends what is no HTTP
    co_return;
  }
  if (!body.ok()) {
    const auto words = fmt::format("a value has at most {} bytes; larger things belong into files, and a file id into the value",
                                   kv::kValueBytesMax);
    json(exchange, 413, json_error(words, wants_pretty(exchange.request().query)));
    co_return;
  }
  command.value = std::move(*body);
  kv_write(exchange, std::move(command));
}

Task MasterRoutes::Inside::kv_write(Exchange& exchange, kv::Command command) {
  const auto& request = exchange.request();
  auto& loop = exchange.loop();
  if (auto fault = kv::fault_of(command)) {
    refuse(exchange, wrong(std::move(*fault)));
    co_return;
  }
  const auto open = [this](auto done) { parts.master.key_values().when_open(done); };
  const auto closed = co_await awaited<std::optional<Refusal>>(loop, open);
  if (closed) {
    refuse(exchange, *closed);
    co_return;
  }

  // With an id it counts once, however often it is sent. One that came without gets an id to be passed on with, so that
  // it need not be given up, nor be waited for, when the leader stands still; but whoever sent it cannot ask again by it.
  const bool has_id = !id_of(command).empty();
  std::string more_query;
  if (const auto leader = parts.master.leader(); !has_id && !(leader && leader->self) && !request.has_header(kForwardedHeader)) {
    id_of(command) = text(parts.random.uuid());
    more_query = "requestId=" + id_of(command);
  }
  using Repeat = LeaderForward::Repeat;
  const auto repeat = has_id ? Repeat::harmless : !more_query.empty() ? Repeat::by_id : Repeat::never;
  const auto* put = std::get_if<kv::Put>(&command);
  const std::string body = put == nullptr ? std::string() : put->value;
  const std::string method(request.method_text);
  for (int round = 0;; ++round) {
    const bool leads = co_await reach_leader(exchange, round, method, body, repeat, more_query);
    if (!leads) co_return;
    const auto write = [&](auto done) { parts.master.key_values().write(command, done); };
    const auto outcome = co_await awaited<master::OrRefusal<kv::Answer>>(loop, write);
    if (const auto* answer = std::get_if<kv::Answer>(&outcome)) {
      answer_kv_write(exchange, command, *answer);
      co_return;
    }
    Refusal refusal = std::get<Refusal>(outcome);
    const bool may_be_done = has_id && refusal.kind == Refusal::Kind::outcome_unknown;
    if (may_be_done) refusal.kind = Refusal::Kind::not_leader;
    if (!goes_round(exchange, refusal, may_be_done)) co_return;
  }
}

void MasterRoutes::Inside::answer_kv_write(Exchange& exchange, const kv::Command& command, const kv::Answer& answer) {
  const bool pretty = wants_pretty(exchange.request().query);
  const std::string& key = key_of(command);
  std::string body;
  const auto error = [&](int status, std::string_view text) {
    append_kv_error(body, text, answer.modified, answer.revision, pretty);
    json(exchange, status, body);
  };
  switch (answer.outcome) {
    case kv::Outcome::done:
      append_kv_written(body, command, answer, pretty);
      return json(exchange, 200, body);
    case kv::Outcome::not_found: return error(404, no_such_key(key));
    case kv::Outcome::compare_failed: return error(412, compare_failed(key, answer.modified));
    case kv::Outcome::invalid: return error(400, answer.text);
    case kv::Outcome::no_space: return error(507, answer.text);
  }
}

// ---- reads ---------------------------------------------------------------------------------------------------------

Task MasterRoutes::Inside::kv_get(Exchange& exchange, std::string key, bool stale, bool json_wanted) {
  const auto ask = [&](auto done) { parts.master.key_values().get(key, stale, done); };
  const auto outcome = co_await awaited<master::OrRefusal<master::KvRecord>>(exchange.loop(), ask);
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
    refuse(exchange, *refusal);
    co_return;
  }
  const auto& record = std::get<master::KvRecord>(outcome);
  const bool pretty = wants_pretty(exchange.request().query);
  std::string body;
  if (!record.item) {
    append_kv_error(body, no_such_key(key), kv::Revision(), record.revision, pretty);
    json(exchange, 404, body);
    co_return;
  }
  if (json_wanted) {
    const auto applied = stale ? std::optional(record.applied) : std::nullopt;
    append_kv_record(body, key, *record.item, record.revision, applied, pretty);
    json(exchange, 200, body);
    co_return;
  }
  const kv::Item& item = *record.item;
  auto& head = exchange.head(200)
                   .add("Content-Type", "application/octet-stream")
                   .add("X-Content-Type-Options", "nosniff")
                   .add("Cache-Control", "no-store")
                   .add("X-Holdfast-Revision", item.modified.value())
                   .add("X-Holdfast-Create-Revision", item.created.value())
                   .add("X-Holdfast-Version", item.version);
  if (record.revision) head.add("X-Holdfast-Space-Revision", record.revision->value());
  if (item.ttl != Duration(0)) head.add("X-Holdfast-Ttl", strconv::text(item.ttl));
  if (stale) head.add("X-Holdfast-Applied-Index", record.applied.value());
  exchange.finish(*item.value);
}

Task MasterRoutes::Inside::kv_list(Exchange& exchange, kv::ListRequest request, bool stale, bool keys_only) {
  if (keys_only) request.bytes_max = UINT64_MAX;
  const auto ask = [&](auto done) { parts.master.key_values().list(request, stale, done); };
  const auto outcome = co_await awaited<master::OrRefusal<master::KvList>>(exchange.loop(), ask);
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
    refuse(exchange, *refusal);
    co_return;
  }
  const auto& found = std::get<master::KvList>(outcome);
  const auto applied = stale ? std::optional(found.applied) : std::nullopt;
  std::string body;
  append_kv_list(body, found.list, applied, keys_only, wants_pretty(exchange.request().query));
  json(exchange, 200, body);
}

Task MasterRoutes::Inside::kv_watch(Exchange& exchange, master::KvWatch watch) {
  const auto since = watch.since.value_or(kv::Revision());
  const auto ask = [&](auto done) { parts.master.key_values().watch(std::move(watch), done); };
  const auto outcome = co_await awaited<master::OrRefusal<kv::Changes>>(exchange.loop(), ask);
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
    refuse(exchange, *refusal);
    co_return;
  }
  const auto& changes = std::get<kv::Changes>(outcome);
  const bool pretty = wants_pretty(exchange.request().query);
  std::string body;
  if (changes.compacted) {
    JsonWriter writer(body, pretty);
    writer.begin_object()
        .field("error", fmt::format("compacted: changes after revision {} were asked for and the oldest kept is {}: list "
                                    "the keys, and watch from the revision of that list",
                                    since.value(), changes.compacted->value()))
        .field("oldest", changes.compacted->value())
        .end_object();
    json(exchange, 410, body);
    co_return;
  }
  append_kv_changes(body, changes, pretty);
  json(exchange, 200, body);
}

}  // namespace holdfast::front
