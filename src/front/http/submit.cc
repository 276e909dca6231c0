#include "front/http/submit.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "api/request_id.h"
#include "base/strconv.h"
#include "base/task.h"
#include "front/http/answers.h"
#include "front/http/form.h"
#include "front/http/json.h"
#include "front/http/url.h"
#include "io/http1.h"
#include "model/file_id.h"

namespace holdfast::front {
namespace {

using http::Exchange;
using master::Refusal;

// A busy leader (growth going on) is asked again, as long as upstream does.
constexpr Duration kAssignPatience = 30s;
constexpr Duration kAssignPause = 200ms;
constexpr std::size_t kUploadAnswerMax = 64 << 10;

struct Assigned {
  std::string fid;
  std::string url;
  std::string public_url;
};

struct Failure {
  int status;
  std::string text;
};

bool is_passed_header(std::string_view name) {
  static constexpr std::string_view kOurs[] = {"Connection", "Keep-Alive", "TE",     "Trailer",       "Transfer-Encoding",
                                               "Upgrade",    "Host",       "Expect", "Content-Length"};
  return std::none_of(std::begin(kOurs), std::end(kOurs), [&](std::string_view ours) { return io::http1::same_name(ours, name); });
}

// The parameters an assign and an upload take, encoded again.
std::string query_of(const Params& params, std::initializer_list<std::string_view> names) {
  std::string out;
  for (const auto name : names) {
    const auto value = params.get(name);
    if (value.empty()) continue;
    out += out.empty() ? '?' : '&';
    out += name;
    out += '=';
    out += escape_query(value);
  }
  return out;
}

std::string text_field(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(boost::json::string_view(name.data(), name.size()));
  if (value == nullptr || !value->is_string()) return "";
  return std::string(value->as_string());
}

std::optional<boost::json::object> parse_object(std::string_view text) {
  boost::system::error_code error;
  auto value = boost::json::parse(boost::json::string_view(text.data(), text.size()), error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

// What the leader answered to an assign passed on to it.
std::variant<Assigned, Failure> assigned_by(const client::HttpAnswer& answer) {
  const auto object = parse_object(answer.body);
  if (!object) return Failure{500, "the leading master's answer is no JSON"};
  if (answer.status != 200) return Failure{answer.status, text_field(*object, "error")};
  return Assigned{text_field(*object, "fid"), text_field(*object, "url"), text_field(*object, "publicUrl")};
}

Assigned assigned_here(const master::AssignAnswer& answer) {
  const auto& place = answer.locations->places.front();
  return {text(answer.fid), place.url, place.public_url};
}

int assign_status(Refusal::Kind kind) {
  switch (kind) {
    case Refusal::Kind::busy:
    case Refusal::Kind::warming_up:
    case Refusal::Kind::unavailable:
    case Refusal::Kind::not_leader: return 503;
    default: return 406;
  }
}

std::uint64_t number_field(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(boost::json::string_view(name.data(), name.size()));
  if (value == nullptr) return 0;
  boost::system::error_code error;
  const auto number = value->to_number<std::uint64_t>(error);
  return error ? 0 : number;
}

std::string last_element(std::string_view name) {
  const auto slash = name.find_last_of("/\\");
  return std::string(slash == std::string_view::npos ? name : name.substr(slash + 1));
}

// What is wrong with the request before anything is done, in upstream's words.
std::optional<Failure> wrong_with(const http::Request& request, const Params& params, std::uint64_t bytes_max) {
  if (request.method_text != "POST") return Failure{405, "Only submit via POST!"};
  const auto type = request.header("Content-Type");
  if (type.empty()) return Failure{400, "request Content-Type isn't multipart/form-data"};
  if (io::http1::same_name(type.substr(0, std::min(type.find(';'), type.size())), "multipart/form-data") &&
      header_parameter(type, "boundary").empty()) {
    return Failure{400, "no multipart boundary param in Content-Type"};
  }
  if (const auto count = params.get("count"); !count.empty()) {
    if (const auto parsed = strconv::parse_uint(count, 10); !parsed) return Failure{400, parsed.error().what()};
  }
  if (request.body_bytes && *request.body_bytes > bytes_max) {
    return Failure{413, fmt::format("a body of more than {} MiB", bytes_max >> 20)};
  }
  return std::nullopt;
}

}  // namespace

struct Submit::Answers {
  const io::Clock& clock;

  void operator()(Exchange& exchange, int status, std::string_view body) const {
    auto& head = exchange.head(status)
                     .add("Content-Type", "application/json")
                     .add("X-Content-Type-Options", "nosniff")
                     .add("X-Amz-Request-Id", RequestId(clock));
    if (status == 503) head.add("Retry-After", 1);
    exchange.finish(body);
  }
  void operator()(Exchange& exchange, const Failure& failure) const {
    (*this)(exchange, failure.status, json_error(failure.text, wants_pretty(exchange.request().query)));
  }
};

void Submit::serve(Exchange& exchange) { run(exchange); }

Task Submit::run(Exchange& exchange) {
  const Answers answer{parts_.clock};
  const auto& request = exchange.request();
  auto& loop = exchange.loop();
  const Params params(request.query);
  if (const auto wrong = wrong_with(request, params, parts_.bytes_max)) {
    answer(exchange, *wrong);
    co_return;
  }

  // ---- a file id, from here or from the leader
  master::AssignRequest wanted;
  wanted.count = params.get("count").empty() ? 1 : *strconv::parse_uint(params.get("count"), 10);
  wanted.collection = params.get("collection");
  wanted.replication = params.get("replication");
  wanted.ttl = params.get("ttl");
  wanted.disk_type = params.get("disk");
  wanted.data_center = params.get("dataCenter");
  wanted.rack = params.get("rack");
  const auto assign_target =
      "/dir/assign" + query_of(params, {"count", "collection", "replication", "ttl", "disk", "dataCenter", "rack"});

  const std::string id(given_request_id(request));
  const auto patience_ends = parts_.clock.now() + kAssignPatience;
  std::variant<Assigned, Failure> place = Failure{503, ""};
  for (bool first = true;; first = false) {
    if (!first) {
      const auto pause = [&loop](auto done) { loop.post_after(kAssignPause, [done] { done(true); }); };
      co_await awaited<bool>(loop, pause);
    }
    if (const auto now = parts_.master.try_assign(wanted)) {
      place = assigned_here(*now);
      break;
    }
    client::HttpRequest passed;
    passed.target = assign_target;
    passed.headers = {{"X-Forwarded-For", std::string(request.peer_ip)}};
    if (!id.empty()) passed.headers.emplace_back("X-Amz-Request-Id", id);
    const auto pass_on = [&](auto done) { parts_.forward.send(loop, passed, LeaderForward::Repeat::harmless, done); };
    const auto outcome = co_await awaited<LeaderForward::Outcome>(loop, pass_on);
    if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
      place = Failure{503, refusal->text};
      break;  // it has waited for a leader already
    }
    if (const auto* passed_answer = std::get_if<client::HttpAnswer>(&outcome)) {
      place = assigned_by(*passed_answer);
    } else {
      const auto ask = [&](auto done) {
        const api::RequestScope scope(id);
        parts_.master.assign(wanted, done);
      };
      const auto result = co_await awaited<master::OrRefusal<master::AssignAnswer>>(loop, ask);
      if (const auto* given = std::get_if<master::AssignAnswer>(&result)) {
        place = assigned_here(*given);
      } else {
        const auto& refusal = std::get<Refusal>(result);
        place = Failure{assign_status(refusal.kind), refusal.text};
      }
    }
    const auto* failure = std::get_if<Failure>(&place);
    if (failure == nullptr || failure->status != 503) break;
    if (parts_.clock.now() >= patience_ends || exchange.is_broken()) {
      place = Failure{500, "rpc error: code = ResourceExhausted desc = " + failure->text};
      break;
    }
  }
  if (auto* failure = std::get_if<Failure>(&place)) {
    if (failure->status == 406 || failure->status == 400) {
      *failure = Failure{500, "rpc error: code = Unknown desc = " + failure->text};
    }
    answer(exchange, *failure);
    co_return;
  }
  const auto& assigned = std::get<Assigned>(place);

  // ---- the body as it comes, multipart or not: the volume server knows both
  client::HttpRequest upload;
  upload.method = "POST";
  upload.authority = assigned.url;
  upload.target = "/" + assigned.fid + query_of(params, {"ttl"});
  const auto token = parts_.token(assigned.fid);
  for (const auto& header : request.headers) {
    const bool replaced = !token.empty() && io::http1::same_name(header.name, "Authorization");
    if (is_passed_header(header.name) && !replaced) upload.headers.emplace_back(header.name, header.value);
  }
  if (!token.empty()) upload.headers.emplace_back("Authorization", "Bearer " + token);
  auto call = parts_.pool.open(loop, std::move(upload), request.body_bytes);
  std::uint64_t bytes = 0;
  bool refused_early = false;
  for (;;) {
    const auto piece = co_await exchange.read_body();
    if (!piece.ok()) {
      call.reset();  // breaks its connection, so the volume server stores nothing
      exchange.abort();
      co_return;
    }
    if (piece->empty()) break;
    bytes += piece->size();
    if (bytes > parts_.bytes_max) {
      call.reset();
      const Failure too_large{413, fmt::format("a body of more than {} MiB", parts_.bytes_max >> 20)};
      answer(exchange, too_large);
      co_return;
    }
    const auto written = co_await call->write(text_of(*piece));
    if (!written.ok()) {
      refused_early = true;  // the answer, if there is one, says why
      break;
    }
  }
  auto stored = co_await call->answer();
  std::string body;
  while (stored.ok()) {
    const auto piece = co_await call->read();
    if (!piece.ok()) {
      stored = piece.error();
    } else if (piece->empty() || body.size() > kUploadAnswerMax) {
      break;
    } else {
      body += text_of(*piece);
    }
  }
  if (!stored.ok()) {
    const Failure failure{500, "upload to " + assigned.url + ": " + stored.error().what()};
    answer(exchange, failure);
    co_return;
  }
  const auto object = parse_object(body);
  if (stored->status != 201 || refused_early || !object) {
    const auto why = object ? text_field(*object, "error") : body;
    const Failure failure{stored->status >= 400 && stored->status < 500 ? stored->status : 500,
                          why.empty() ? "upload to " + assigned.url + " failed" : why};
    answer(exchange, failure);
    co_return;
  }

  const bool multipart = io::http1::same_name(request.header("Content-Type").substr(0, 19), "multipart/form-data");
  std::string out;
  JsonWriter(out, wants_pretty(request.query))
      .begin_object()
      .field("eTag", text_field(*object, "eTag"))
      .field("fid", assigned.fid)
      .field("fileName", multipart ? last_element(text_field(*object, "name")) : std::string("submit"))
      .field("fileUrl", (assigned.public_url.empty() ? assigned.url : assigned.public_url) + "/" + assigned.fid)
      .field("size", number_field(*object, "size"))
      .end_object();
  answer(exchange, 201, out);
}

}  // namespace holdfast::front
