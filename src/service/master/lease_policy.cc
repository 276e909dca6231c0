#include "service/master/lease_policy.h"

#include <algorithm>
#include <fstream>

#include "core/raft/configuration.h"

namespace holdfast::master {
namespace {

constexpr Duration kLeaseAuto = 80ms;
constexpr Duration kCapMin = 200ms;  // so that a somewhat longer lease needs no change of the configuration

}  // namespace

Result<LeaseReads> parse_lease_reads(std::string_view text) {
  if (text == "auto") return LeaseReads::automatic;
  if (text == "on") return LeaseReads::on;
  if (text == "off") return LeaseReads::off;
  return Error{Code::invalid, "\"" + std::string(text) + "\" is none of auto, on, off"};
}

LeasePolicy lease_policy(std::optional<Duration> lease, LeaseReads reads, std::optional<Duration> election_timeout,
                         bool clock_may_stop) {
  LeasePolicy policy;
  if (reads == LeaseReads::off || lease == Duration(0)) return policy;
  if (reads == LeaseReads::automatic && clock_may_stop) {
    policy.remark =
        "reads of the masters' state ask a majority: this machine is virtual, and its clocks may be stopped with it. "
        "-leaseReads=on reads by lease all the same, where nobody pauses or moves it while it runs";
    return policy;
  }
  policy.length = lease.value_or(kLeaseAuto);
  if (!lease && election_timeout) policy.length = std::min(policy.length, *election_timeout * 4 / 5);
  policy.cap = std::max(policy.length, kCapMin);
  return policy;
}

Status validate_lease(std::optional<Duration> lease, Duration heartbeat_interval) {
  if (!lease || *lease == Duration(0)) return {};
  if (*lease < 2 * heartbeat_interval) {
    return Error{Code::invalid, "-leaderLease of " + std::to_string(milliseconds(*lease)) +
                                    " ms would run out between two heartbeats of " +
                                    std::to_string(milliseconds(heartbeat_interval)) +
                                    " ms: give it twice that at least, or shorten -heartbeatInterval"};
  }
  if (*lease > raft::kLeaseCapMax) {
    return Error{Code::invalid, "-leaderLease of " + std::to_string(milliseconds(*lease)) + " ms is above " +
                                    std::to_string(milliseconds(raft::kLeaseCapMax)) +
                                    " ms: writes would wait that long when a leader's machine is lost"};
  }
  return {};
}

bool clock_may_stop() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("flags")) continue;
    return line.find(" hypervisor") != std::string::npos;
  }
  return true;  // other processors do not say
}

}  // namespace holdfast::master
