// Reads of volumes that are not here: passed on or pointed at another server (spec/weed-cluster 3.9).
#include <algorithm>

#include "base/log.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

using http::Exchange;

namespace {

// Headers that belong to one connection, and those that this server writes itself.
bool is_of_one_hop(std::string_view name) {
  for (std::string_view other : {"Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "TE", "Trailer",
                                 "Upgrade", "Proxy-Connection", "Expect", "Host"}) {
    if (io::http1::same_name(name, other)) return true;
  }
  return false;
}

bool is_ours(std::string_view name) {
  for (std::string_view other : {"Server", "Date", "X-Amz-Request-Id", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"}) {
    if (io::http1::same_name(name, other)) return true;
  }
  return false;
}

std::string with_proxied(std::string_view target) {
  std::string out(target);
  out += target.find('?') == std::string_view::npos ? "?" : target.ends_with('?') || target.ends_with('&') ? "" : "&";
  return out + "proxied=true";
}

std::optional<std::uint64_t> length_of(const client::HttpAnswer& answer) {
  const auto text = client::header(answer.headers, "Content-Length");
  if (text.empty()) return std::nullopt;
  std::uint64_t length = 0;
  for (char c : text) {
    if (c < '0' || c > '9' || length > UINT64_MAX / 16) return std::nullopt;
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return length;
}

}  // namespace

void VolumeRoutes::Inside::answer_elsewhere(Exchange& exchange, const Asked& asked) {
  // A request that was passed on once is not passed on again: two servers of different opinion would play ball.
  const bool was_passed_on = asked.param("proxied") == "true";
  if (options.read_mode == ReadMode::local || (options.read_mode == ReadMode::proxy && was_passed_on)) {
    answer_nothing(exchange, 404);
    return;
  }
  auto kept = std::make_unique<Asked>(exchange.request());
  kept->id = asked.id;
  find_elsewhere(exchange, std::move(kept));
}

Task VolumeRoutes::Inside::find_elsewhere(Exchange& exchange, std::unique_ptr<Asked> asked) {
  auto start = [&](auto done) { service.locate(asked->id.volume, done); };
  auto located = co_await awaited<Result<std::vector<volume::Location>>>(exchange.loop(), start);
  if (!located) {
    answer_nothing(exchange, 404);
    co_return;
  }
  auto& others = *located;
  std::erase_if(others, [this](const auto& location) { return location.url == service.self(); });
  if (others.empty()) {
    answer_nothing(exchange, 404);
    co_return;
  }
  std::rotate(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(quick_random() % others.size()), others.end());

  if (options.read_mode == ReadMode::redirect) {
    met("read_redirected");
    auto location = std::string(pool.scheme()) + "://" + others.front().url + "/" + text(asked->id.volume) + "," + std::string(asked->path.fid) + "?";
    const auto collection = asked->param("collection");
    std::string shown = location;
    if (!collection.empty()) {
      const auto part = "collection=" + escape_path(collection);
      location += part + "&";
      shown += part + "&amp;";
    }
    location += "proxied=true";
    shown += "proxied=true";
    head(exchange, 301).add("Location", location).add("Content-Type", "text/html; charset=utf-8");
    exchange.finish("<a href=\"" + shown + "\">Moved Permanently</a>.\n\n");
    co_return;
  }

  // One after the other: a holder that has just died is no reason to fail while another is alive.
  Status failure;
  for (const auto& other : others) {
    const bool answered = co_await relay(exchange, other.url, failure);
    if (answered) {
      met("read_proxied");
      co_return;
    }
  }
  met("read_proxy_failed");
  LOG_WARNING("reading {} elsewhere: {}", text(asked->id), failure.error().what());
  answer_nothing(exchange, 500);
}

// Passes the request on and its answer back. False: no answer came, nothing was sent.
Async<bool> VolumeRoutes::Inside::relay(Exchange& exchange, const std::string& authority, Status& failure) {
  const auto& request = exchange.request();
  client::HttpRequest out;
  out.method = std::string(request.method_text);
  out.authority = authority;
  out.target = with_proxied(request.target);
  for (const auto& header : request.headers) {
    if (!is_of_one_hop(header.name)) out.headers.emplace_back(header.name, header.value);
  }
  auto call = pool.open(exchange.loop(), std::move(out), 0);
  auto answer = co_await call->answer();
  if (!answer) {
    failure = answer.error();
    co_return false;
  }
  auto& back = head(exchange, answer->status);
  for (const auto& [name, value] : answer->headers) {
    if (!is_of_one_hop(name) && !is_ours(name)) back.add(name, value);
  }
  const auto length = length_of(*answer);
  const bool is_head = request.method == http::Method::head;
  if (is_head || answer->status == 204 || answer->status == 304) {
    if (is_head && length) {
      exchange.finish_without_body(*length);
    } else {
      exchange.finish();
    }
    co_return true;
  }
  exchange.begin(length);
  while (true) {
    auto piece = co_await call->read();
    if (!piece) {
      exchange.abort();
      co_return true;
    }
    if (piece->empty()) break;
    auto sent = co_await exchange.write(*piece);
    if (!sent) break;
  }
  exchange.end();
  co_return true;
}

}  // namespace holdfast::front
