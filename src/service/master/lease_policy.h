// LeasePolicy: what -leaderLease and -leaseReads come to on this machine. What leases are stands in docs/leases.md.
//
// Pure but for clock_may_stop().
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace holdfast::master {

// The cluster's feature level from which on every master understands leases.
inline constexpr std::uint32_t kLeasesFeatureLevel = 2;

enum class LeaseReads {
  automatic,  // on, but not where a machine may be stopped together with its clocks
  on,
  off,
};
Result<LeaseReads> parse_lease_reads(std::string_view text);  // "auto", "on", "off"

struct LeasePolicy {
  Duration length{};   // that this master asks for when it leads; 0: it reads by rounds
  Duration cap{};      // that it wants in the configuration; 0: it leaves it as it is
  std::string remark;  // for the log, once; empty: nothing to say
};

// `lease`: -leaderLease, empty for auto: just under the silence timeout, so that the loss of a machine costs no extra
// wait. `election_timeout` empty: adapted, 100 ms at first. A clock that may stop does no harm where each stop is told
// (io/posix/vmclock.h): then clock_may_stop is false.
LeasePolicy lease_policy(std::optional<Duration> lease, LeaseReads reads, std::optional<Duration> election_timeout,
                         bool clock_may_stop);

// Leases of which something is wrong, in words. A lease must outlast two heartbeats to be of use.
Status validate_lease(std::optional<Duration> lease, Duration heartbeat_interval);

// Whether this machine's clocks may stand still while those of others run: a hypervisor can stop or move a virtual machine.
bool clock_may_stop();

}  // namespace holdfast::master
