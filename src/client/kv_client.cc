#include "client/kv_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <set>

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

KvClient::KvClient(HttpPool& pool, Options options) : pool_(pool), options_(std::move(options)) {}

// The one that answered last; else not everyone begins at the first in the list.
std::vector<std::string> KvClient::in_order() const {
  std::vector<std::string> order;
  for (const auto& master : options_.masters()) order.push_back(master.http());
  if (order.empty()) return order;
  auto first = std::find(order.begin(), order.end(), answered_);
  if (first == order.end()) first = order.begin() + static_cast<std::ptrdiff_t>(std::random_device{}() % order.size());
  std::rotate(order.begin(), first, order.end());
  return order;
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
    std::string master;
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
  const auto end = SteadyClock::now() + options_.patience + wait;
  const auto asked = std::make_shared<Asked>();
  std::set<std::string> under_way;
  std::vector<std::string> round;  // of masters, and how many of them were asked
  std::size_t place = 0;
  Duration pause = kPauseFirst;
  bool unknown = false;  // some try may have taken effect
  std::string trouble = "none is known, or none has answered";
  auto next_at = SteadyClock::now();  // when one more is asked
  const auto rest = [&](SteadyClock::time_point now) {
    next_at = now + pause;
    pause = std::min(2 * pause, kPauseMax);
  };
  for (;;) {
    const auto now = SteadyClock::now();
    if (now >= end) {
      unknown = unknown || (!is_read && !under_way.empty());
      return Error(unknown ? Code::outcome_unknown : Code::unavailable,
                   fmt::format("no master answered within {} s; the last trouble: {}",
                               seconds(options_.patience + wait), trouble));
    }
    if (now >= next_at) {
      if (place == round.size()) {
        round = in_order();
        place = 0;
      }
      while (place < round.size() && under_way.contains(round[place])) ++place;
      if (place == round.size()) {
        rest(now);
      } else {
        request.authority = round[place++];
        under_way.insert(request.authority);
        pool_.send(request, [asked, master = request.authority](Result<HttpAnswer> answer) {
          {
            const Guard guard(asked->mutex);
            asked->arrived.push_back({master, std::move(answer)});
          }
          asked->changed.notify_one();
        });
        next_at = now + wait + kSilentMax;
      }
    }
    const auto arrived = asked->next(std::min(end, next_at));
    if (!arrived) continue;

    under_way.erase(arrived->master);
    const auto& answer = arrived->answer;
    auto verdict = Verdict::definite;
    if (answer) {
      verdict = verdict_on(*answer);
      if (verdict == Verdict::definite) {
        answered_ = arrived->master;
        return answer;
      }
      trouble = arrived->master + (verdict == Verdict::no_such_route
                                       ? ": this master does not know the key-value space: start this release there too"
                                       : ": " + words_of(*answer));
    } else {
      const Code code = answer.error().code();
      verdict = code == Code::unavailable || code == Code::timed_out || code == Code::busy ? Verdict::without_effect
                                                                                           : Verdict::unknown;
      trouble = arrived->master + ": " + answer.error().what();
    }
    unknown = unknown || (verdict == Verdict::unknown && !is_read);
    next_at = SteadyClock::now();
    if (place == round.size()) rest(next_at);
  }
}

}  // namespace holdfast::client
