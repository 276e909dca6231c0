// The bodies of /cluster/lease and /cluster/lease/history, and why a master votes or does not.
// Pure.
#pragma once

#include <string>

#include "service/master/status.h"
#include "service/master/watch.h"

namespace holdfast::front {

// "votes: 2 of 3 are a majority", "learns first, and votes when it has caught up".
std::string vote_reason(const master::MemberView& member, const master::View& view);

// {"holder":"h:9333","term":5,"reads":"lease","leftMs":63,"lengthMs":80,"capMs":200,"masters":[{"address":..,"votes":true,
// "why":".."}],"reach":[{"from":..,"to":..,"reached":"yes"}],"alarms":[..],"discovered":[..]}. Time left only at the holder.
void append_lease_status(std::string& out, const master::ClusterStatus& cluster, const master::WatchReport& watch, Instant now,
                         bool pretty);

// Lines as lease.log has them, oldest first.
void append_lease_history(std::string& out, const master::WatchReport& watch);

}  // namespace holdfast::front
