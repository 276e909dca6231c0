#include "client/discovery.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>

#include "base/log.h"
#include "base/mutex.h"

namespace holdfast::client {
namespace {

constexpr Duration kAskAgain = 1s;  // for a name that was never found

bool is_v6(const std::string& address) { return address.find(':') != std::string::npos; }

std::string number_of(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> room{};
  const void* bytes = address->sa_family == AF_INET
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
                          : &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  return ::inet_ntop(address->sa_family, bytes, room.data(), room.size()) != nullptr ? room.data() : "";
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::vector<std::string> less(const std::vector<std::string>& all, const std::vector<std::string>& without) {
  std::vector<std::string> out;
  std::set_difference(all.begin(), all.end(), without.begin(), without.end(), std::back_inserter(out));
  return out;
}

std::vector<Address> meaning(const Address& asked, const std::vector<std::string>& records) {
  const auto of_v6 = static_cast<std::size_t>(std::count_if(records.begin(), records.end(), is_v6));
  if (of_v6 <= 1 && records.size() - of_v6 <= 1) return {asked};
  std::vector<Address> out;
  for (const auto& record : records) out.push_back({record, asked.port, asked.grpc_port});
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

bool is_numeric(const std::string& host) {
  in6_addr room{};
  const auto without_zone = host.substr(0, host.find('%'));
  return ::inet_pton(AF_INET, host.c_str(), &room) == 1 || ::inet_pton(AF_INET6, without_zone.c_str(), &room) == 1;
}

Result<std::vector<std::string>> resolve_host(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;  // no addresses of a family that this machine cannot reach
  addrinfo* found = nullptr;
  if (const int trouble = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); trouble != 0) {
    return Error(Code::unavailable, trouble == EAI_SYSTEM ? "the resolver failed" : ::gai_strerror(trouble));
  }
  std::set<std::string> addresses;
  for (const auto* info = found; info != nullptr; info = info->ai_next) {
    if (info->ai_family == AF_INET || info->ai_family == AF_INET6) addresses.insert(number_of(info->ai_addr));
  }
  ::freeaddrinfo(found);
  addresses.erase("");
  if (addresses.empty()) return Error(Code::unavailable, "the name has no address");
  return std::vector<std::string>(addresses.begin(), addresses.end());
}

struct Discovery::State {
  struct Slot {
    Place place;
    std::vector<std::string> records;
  };

  Options options;
  Changed changed;

  mutable Mutex calling;  // held while `changed` runs; before `mutex`
  mutable Mutex mutex;
  mutable Condition woken;
  std::vector<Slot> slots HOLDFAST_GUARDED_BY(mutex);
  bool stopping HOLDFAST_GUARDED_BY(mutex) = false;

  static void run(const std::shared_ptr<State>& state);
  std::vector<std::string> names() const;
  bool take(const std::string& host, const Result<std::vector<std::string>>& records);
  bool pause();
  std::vector<Place> places() const;
};

std::vector<std::string> Discovery::State::names() const {
  std::set<std::string> names;
  for (const auto& place : options.places) {
    if (!is_numeric(place.host)) names.insert(place.host);
  }
  return {names.begin(), names.end()};
}

// What the resolver said of one name. Whether that is news.
bool Discovery::State::take(const std::string& host, const Result<std::vector<std::string>>& records) {
  const Guard guard(mutex);
  if (stopping) return false;
  bool is_news = false;
  bool is_told = false;
  for (auto& slot : slots) {
    if (slot.place.asked.host != host || is_numeric(host)) continue;
    auto& place = slot.place;
    if (!records) {
      const auto trouble = records.error().what();
      if (trouble != place.trouble && !std::exchange(is_told, true)) {
        if (place.is_known) {
          LOG_WARNING("{}: {}; its last addresses stay: {}", host, trouble, joined(slot.records));
        } else {
          LOG_WARNING("{} cannot be resolved: {}; it is tried again every second", host, trouble);
        }
      }
      place.trouble = trouble;
      continue;
    }
    const bool is_back = !place.trouble.empty();
    place.trouble.clear();
    if (place.is_known && slot.records == *records) {
      if (is_back && !std::exchange(is_told, true)) LOG_INFO("{} is resolved again, as before", host);
      continue;
    }
    const auto added = less(*records, slot.records);
    const auto removed = less(slot.records, *records);
    if (!std::exchange(is_told, true)) {
      if (!place.is_known && meaning(place.asked, *records).size() > 1) {
        LOG_INFO("{} stands for {}", host, joined(*records));
      } else if (place.is_known) {
        LOG_INFO("{} has changed:{}{}{}{}{}", host, added.empty() ? "" : " new ", joined(added),
                 !added.empty() && !removed.empty() ? ";" : "", removed.empty() ? "" : " gone ", joined(removed));
      }
    }
    slot.records = *records;
    place.is_known = true;
    place.stands_for = meaning(place.asked, slot.records);
    is_news = true;
  }
  if (is_news) woken.notify_all();
  return is_news;
}

// False when stopping.
bool Discovery::State::pause() {
  const auto begin = std::chrono::steady_clock::now();
  const Guard guard(mutex);
  for (;;) {
    if (stopping) return false;
    const bool all_known =
        std::all_of(slots.begin(), slots.end(), [](const Slot& slot) { return slot.place.is_known; });
    const Duration left = (all_known ? options.interval : std::min(options.interval, Duration(kAskAgain))) -
                          (std::chrono::steady_clock::now() - begin);
    if (left <= Duration(0)) return true;
    (void)woken.wait_for(mutex, left);
  }
}

void Discovery::State::run(const std::shared_ptr<State>& state) {
  const auto names = state->names();
  do {
    bool is_news = false;
    for (const auto& name : names) {
      const auto records = state->options.resolve(name);
      is_news = state->take(name, records) || is_news;
    }
    if (!is_news) continue;
    const Guard calling(state->calling);
    {
      const Guard guard(state->mutex);
      if (state->stopping) return;
    }
    if (state->changed) state->changed(state->places());
  } while (state->pause());
}

Discovery::Discovery(Options options, Changed changed) : state_(std::make_shared<State>()) {
  state_->options = std::move(options);
  state_->changed = std::move(changed);
  {
    const Guard guard(state_->mutex);
    for (const auto& place : state_->options.places) {
      auto& slot = state_->slots.emplace_back();
      slot.place.asked = place;
      slot.place.is_known = is_numeric(place.host);
      if (slot.place.is_known) slot.place.stands_for = {place};
    }
  }
  // Not joined: it may be in the resolver when everything else is over, and lives on what it shares.
  if (!state_->names().empty()) std::thread(State::run, state_).detach();
}

Discovery::~Discovery() { stop(); }

void Discovery::stop() {
  const Guard calling(state_->calling);
  const Guard guard(state_->mutex);
  state_->stopping = true;
  state_->woken.notify_all();
}

std::vector<Discovery::Place> Discovery::State::places() const {
  const Guard guard(mutex);
  std::vector<Place> out;
  for (const auto& slot : slots) out.push_back(slot.place);
  return out;
}

std::vector<Discovery::Place> Discovery::places() const { return state_->places(); }

std::vector<Address> Discovery::found() const {
  std::vector<Address> out;
  for (const auto& place : places()) {
    for (const auto& address : place.stands_for) {
      if (std::find(out.begin(), out.end(), address) == out.end()) out.push_back(address);
    }
  }
  return out;
}

void Discovery::wait_until_known(Duration patience) const {
  const auto begin = std::chrono::steady_clock::now();
  const Guard guard(state_->mutex);
  for (;;) {
    const bool all_known = std::all_of(state_->slots.begin(), state_->slots.end(),
                                       [](const State::Slot& slot) { return slot.place.is_known; });
    const Duration left = patience - (std::chrono::steady_clock::now() - begin);
    if (all_known || state_->stopping || left <= Duration(0)) return;
    (void)state_->woken.wait_for(state_->mutex, left);
  }
}

std::string own_address_among(const std::vector<Address>& places, Duration patience) {
  Discovery::Options options{.places = places};
  // What a name with a single address stands for is its name: look at the records themselves.
  struct Seen {
    Mutex mutex;
    std::set<std::string> records HOLDFAST_GUARDED_BY(mutex);
  };
  const auto seen = std::make_shared<Seen>();  // shared with the resolver's thread
  options.resolve = [seen](const std::string& host) {
    auto found = resolve_host(host);
    const Guard guard(seen->mutex);
    if (found) seen->records.insert(found->begin(), found->end());
    return found;
  };
  {
    const Guard guard(seen->mutex);
    for (const auto& place : places) {
      if (is_numeric(place.host)) seen->records.insert(place.host);
    }
  }
  Discovery discovery(std::move(options), nullptr);
  discovery.wait_until_known(patience);

  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return "";
  std::string own;
  for (const ifaddrs* entry = all; entry != nullptr && own.empty(); entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6)) {
      continue;
    }
    const auto number = number_of(entry->ifa_addr);
    if (number.starts_with("127.") || number == "::1") continue;
    const Guard guard(seen->mutex);
    if (seen->records.contains(number)) own = number;
  }
  ::freeifaddrs(all);
  return own;
}

}  // namespace holdfast::client
