#include "client/kv_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>

#include "base/mutex.h"
#include "base/uuid.h"

namespace holdfast::client {
namespace {

constexpr std::string_view kFolder = "/cluster/kv/";
constexpr Duration kConnectMax = 1s;
constexpr Duration kPauseFirst = 20ms;
constexpr Duration kPauseMax = 500ms;
constexpr Duration kSilentMax = 250ms;  // of a master: then another is asked as well; it may stand still

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
  if (!write.value.empty()) {
    const auto kept = std::make_shared<const std::string>(write.value);
    request.body.push_back(*kept);
    request.keep = kept;
  }
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

// One call: several masters may be asked at a time, and each is asked by one request at a time. Shared with the requests,
// which may end after the call.
struct KvClient::Asked {
  struct Arrived {
    std::size_t master;
    Result<HttpAnswer> answer;
  };
  Mutex mutex;
  Condition changed;
  std::vector<Arrived> arrived HOLDFAST_GUARDED_BY(mutex);

  // The next answer; nothing by then: none.
  std::optional<Arrived> next(SteadyClock::time_point until) {
    const Guard guard(mutex);
    if (!changed.wait_until(mutex, until, [this]() HOLDFAST_NO_ANALYSIS { return !arrived.empty(); })) return std::nullopt;
    Arrived first = std::move(arrived.front());
    arrived.erase(arrived.begin());
    return first;
  }
};

Result<HttpAnswer> KvClient::ask(HttpRequest request, Duration wait) {
  request.connect_timeout = kConnectMax;
  request.silence_timeout = options_.attempt_max + wait;
  const bool is_read = request.method == "GET";
  const std::size_t masters = options_.masters.size();
  const auto end = SteadyClock::now() + options_.patience + wait;
  const auto asked = std::make_shared<Asked>();
  std::vector<bool> under_way(masters);
  std::size_t tries = 0;
  Duration pause = kPauseFirst;
  bool unknown = false;  // some try may have taken effect
  std::string trouble = "none of them has answered";
  auto next_at = SteadyClock::now();  // when one more is asked
  for (;;) {
    const auto now = SteadyClock::now();
    if (now >= end) {
      unknown = unknown || (!is_read && std::find(under_way.begin(), under_way.end(), true) != under_way.end());
      return Error(unknown ? Code::outcome_unknown : Code::unavailable,
                   fmt::format("no master answered within {} s; the last trouble: {}",
                               seconds(options_.patience + wait), trouble));
    }
    const bool all_asked = std::find(under_way.begin(), under_way.end(), false) == under_way.end();
    if (now >= next_at && !all_asked) {
      while (under_way[next_ % masters]) ++next_;
      const std::size_t master = next_++ % masters;
      under_way[master] = true;
      ++tries;
      request.authority = options_.masters[master].http();
      pool_.send(request, [asked, master](Result<HttpAnswer> answer) {
        {
          const Guard guard(asked->mutex);
          asked->arrived.push_back({master, std::move(answer)});
        }
        asked->changed.notify_one();
      });
      next_at = now + wait + kSilentMax;
    }
    auto arrived = asked->next(all_asked ? end : std::min(end, next_at));
    if (!arrived) continue;

    const std::string authority = options_.masters[arrived->master].http();
    const auto& answer = arrived->answer;
    under_way[arrived->master] = false;
    auto verdict = Verdict::definite;
    if (answer) {
      verdict = verdict_on(*answer);
      if (verdict == Verdict::definite) {
        next_ = arrived->master;  // the next call begins there
        return answer;
      }
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
    next_at = SteadyClock::now();
    if (tries % masters != 0) continue;
    next_at += pause;
    pause = std::min(2 * pause, kPauseMax);
  }
}

}  // namespace holdfast::client
