#include "client/kv_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "base/uuid.h"

namespace holdfast::client {
namespace {

constexpr std::string_view kFolder = "/cluster/kv/";
constexpr Duration kConnectMax = 1s;
constexpr Duration kPauseFirst = 20ms;
constexpr Duration kPauseMax = 500ms;

using SteadyClock = std::chrono::steady_clock;

// What a master says that another one may say better, or that passes.
enum class Verdict { definite, without_effect, unknown, no_such_route };
Verdict verdict_on(const HttpAnswer& answer) {
  switch (answer.status) {
    // 503 too: of a write with an id that was passed on to two leaders it only says that neither answered.
    case 408:
    case 500:
    case 502:
    case 503:
    case 504: return Verdict::unknown;
    case 404:
      // A master of an earlier release has no such page, and says so in plain text.
      return header(answer.headers, "Content-Type").starts_with("application/json") ? Verdict::definite
                                                                                     : Verdict::no_such_route;
    default: return Verdict::definite;
  }
}

std::string words_of(const HttpAnswer& answer) {
  return answer.body.empty() || answer.body.size() > 500 ? fmt::format("status {}", answer.status) : answer.body;
}

std::string new_request_id() {
  std::random_device device;
  const auto half = [&] { return static_cast<std::uint64_t>(device()) << 32 | device(); };
  return text(Uuid{half(), half()});
}

}  // namespace

KvClient::KvClient(HttpPool& pool, Options options) : pool_(pool), options_(std::move(options)) {
  // Not everyone at the first in the list.
  if (!options_.masters.empty()) next_ = std::random_device{}() % options_.masters.size();
}

void KvClient::add_masters(const std::vector<Address>& masters) {
  for (const auto& master : masters) {
    auto& known = options_.masters;
    if (std::find(known.begin(), known.end(), master) == known.end()) known.push_back(master);
  }
}

std::string KvClient::escape(std::string_view key) {
  std::string out;
  for (const char c : key) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~' || c == '/';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Result<HttpAnswer> KvClient::write(const Write& write) {
  const std::string id = write.request_id.empty() ? new_request_id() : write.request_id;
  HttpRequest request;
  request.method = write.method;
  request.target = std::string(kFolder) + escape(write.key) + "?requestId=" + escape(id);
  if (write.compare) request.target += fmt::format("&cas={}", *write.compare);
  if (!write.ttl.empty()) request.target += "&ttl=" + escape(write.ttl);
  if (write.renew) request.target += "&renew=true";
  if (!write.value.empty()) request.body.push_back(write.value);
  auto answer = ask(std::move(request), Duration(0));
  if (!answer && answer.error().code() == Code::outcome_unknown) {
    return Error(Code::outcome_unknown, answer.error().what() + "; it may have been done or not: ask again with request id " +
                                            id + ", and it counts once");
  }
  return answer;
}

Result<HttpAnswer> KvClient::read(const std::string& target, Duration wait) {
  HttpRequest request;
  request.target = std::string(kFolder) + target;
  return ask(std::move(request), wait);
}

Result<HttpAnswer> KvClient::ask(HttpRequest request, Duration wait) {
  request.connect_timeout = kConnectMax;
  request.silence_timeout = options_.attempt_max + wait;
  const bool is_read = request.method == "GET";
  const auto end = SteadyClock::now() + options_.patience + wait;
  Duration pause = kPauseFirst;
  bool unknown = false;  // some try may have taken effect
  std::string trouble;
  for (std::size_t tries = 1;; ++tries) {
    const std::string authority = options_.masters[next_ % options_.masters.size()].http();
    request.authority = authority;
    auto answer = pool_.send_and_wait(request);
    auto verdict = Verdict::definite;
    if (answer) {
      verdict = verdict_on(*answer);
      if (verdict == Verdict::definite) return answer;
      trouble = authority + (verdict == Verdict::no_such_route
                                 ? ": this master does not know the key-value space: start this release there too"
                                 : ": " + words_of(*answer));
    } else {
      const Code code = answer.error().code();
      verdict = code == Code::unavailable || code == Code::timed_out || code == Code::busy ? Verdict::without_effect
                                                                                           : Verdict::unknown;
      trouble = authority + ": " + answer.error().what();
    }
    unknown = unknown || (verdict == Verdict::unknown && !is_read);
    ++next_;
    if (SteadyClock::now() >= end) {
      return Error(unknown ? Code::outcome_unknown : Code::unavailable,
                   fmt::format("no master answered within {} s; the last trouble: {}",
                               seconds(options_.patience + wait), trouble));
    }
    if (tries % options_.masters.size() != 0) continue;
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kPauseMax);
  }
}

}  // namespace holdfast::client
