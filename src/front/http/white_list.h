// WhiteList: which clients may use the guarded routes: addresses and CIDR ranges, IPv4 and IPv6
// (spec/weed-cluster 2.1, `-whiteList`, `guard.white_list`). An empty list allows everyone.
//
// Only the peer of the TCP connection counts; X-Forwarded-For can be forged and is not looked at.
//
// allows() may be called from any thread while set() replaces the list (SIGHUP); without a list it costs one load.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace holdfast::front {

class WhiteList {
 public:
  WhiteList() = default;
  WhiteList(const WhiteList&) = delete;
  WhiteList& operator=(const WhiteList&) = delete;

  // Comma-separated addresses and ranges ("10.0.0.0/8,::1,192.168.1.7"). Code::invalid names the first item that is
  // neither; the list stays as it was then: a typing error must not open the doors or shut everyone out.
  Status set(std::string_view list);

  bool is_active() const { return active_.load(std::memory_order_acquire); }

  // `ip` as the server tells it: no port, no zone. IPv4 in IPv6 clothes (::ffff:1.2.3.4) counts as IPv4.
  bool allows(std::string_view ip) const;

 private:
  using Bits = std::array<std::uint8_t, 16>;  // IPv4 as ::ffff:a.b.c.d
  struct Range {
    Bits address;
    unsigned prefix;  // of 128
  };
  static bool parse_ip(std::string_view text, Bits& bits, bool& is_v4);

  std::atomic<bool> active_{false};
  mutable Mutex mutex_;  // leaf
  std::shared_ptr<const std::vector<Range>> ranges_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::front
