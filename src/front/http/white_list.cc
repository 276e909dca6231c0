#include "front/http/white_list.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/strconv.h"

namespace holdfast::front {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool same_prefix(const std::array<std::uint8_t, 16>& a, const std::array<std::uint8_t, 16>& b, unsigned prefix) {
  const auto bytes = prefix / 8;
  if (std::memcmp(a.data(), b.data(), bytes) != 0) return false;
  const auto bits = prefix % 8;
  return bits == 0 || (a[bytes] ^ b[bytes]) >> (8 - bits) == 0;
}

}  // namespace

bool WhiteList::parse_ip(std::string_view text, Bits& bits, bool& is_v4) {
  char copy[64];
  if (text.empty() || text.size() >= sizeof copy) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = 0;
  bits = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  is_v4 = ::inet_pton(AF_INET, copy, bits.data() + 12) == 1;
  return is_v4 || ::inet_pton(AF_INET6, copy, bits.data()) == 1;
}

Status WhiteList::set(std::string_view list) {
  auto ranges = std::make_shared<std::vector<Range>>();
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    const auto item = trimmed(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (item.empty()) continue;
    const auto slash = item.find('/');
    Range range{{}, 128};
    bool is_v4 = false;
    bool good = parse_ip(item.substr(0, slash), range.address, is_v4);
    if (good && slash != std::string_view::npos) {
      const auto prefix = strconv::parse_uint(item.substr(slash + 1), 10);
      good = prefix.ok() && *prefix <= (is_v4 ? 32u : 128u);
      if (good) range.prefix = static_cast<unsigned>(*prefix) + (is_v4 ? 96 : 0);
    }
    if (!good) return Error{Code::invalid, "white list: " + std::string(item) + " is no address and no range like 10.0.0.0/8"};
    ranges->push_back(range);
  }
  const Guard guard(mutex_);
  const bool active = !ranges->empty();
  ranges_ = std::move(ranges);
  active_.store(active, std::memory_order_release);
  return {};
}

bool WhiteList::allows(std::string_view ip) const {
  if (!is_active()) return true;
  std::shared_ptr<const std::vector<Range>> ranges;
  {
    const Guard guard(mutex_);
    ranges = ranges_;
  }
  Bits bits{};
  bool is_v4 = false;
  if (!parse_ip(ip, bits, is_v4)) return false;
  return std::any_of(ranges->begin(), ranges->end(),
                     [&](const Range& range) { return same_prefix(range.address, bits, range.prefix); });
}

}  // namespace holdfast::front
