#include "core/raft/lease.h"

#include <cmath>

namespace holdfast::raft {
namespace {

constexpr std::size_t kReleasesKept = 64;
constexpr std::size_t kNodesKept = 4 * kMembersMax;

Duration floor_of(double ns) { return Duration(static_cast<std::int64_t>(std::floor(ns))); }
Duration ceil_of(double ns) { return Duration(static_cast<std::int64_t>(std::ceil(ns))); }
double ns(Duration d) { return static_cast<double>(d.count()); }

}  // namespace

Duration usable(Duration length, double drift) { return floor_of(ns(length) * (1 - drift)); }
Duration surely_over(Duration length, double drift) { return ceil_of(ns(length) * (1 + drift)); }
Duration surely_passed(Duration counted, double drift) { return floor_of(ns(counted) / (1 + drift)); }

// ------------------------------------------------------------------------------------------------------ voter

Grants::Grants(const Time& started, Duration forgotten, double drift)
    : started_(started), forgotten_(forgotten), drift_(drift) {}

Duration Grants::left(Duration length, const Time& since, const Time& now) const {
  return length - surely_passed(std::max(passed_shorter(since, now), Duration(0)), drift_);
}

void Grants::add(Term term, NodeId holder, Incarnation incarnation, const Lease& lease, const Time& now) {
  std::erase_if(grants_, [&](const auto& one) { return left(one.second.length, one.second.received, now) <= Duration(0); });
  auto& grant = grants_[term];
  // An earlier one may have been longer.
  if (lease.length >= left(grant.length, grant.received, now)) {
    grant.length = lease.length;
    grant.received = now;
  }
  grant.epoch = std::max(grant.epoch, lease.epoch);
  grant.holder = holder;
  grant.incarnation = incarnation;
}

std::vector<LeaseReport> Grants::report(Term below, const Time& now) const {
  std::vector<LeaseReport> reports;
  for (const auto& [term, grant] : grants_) {
    if (term >= below) break;
    const auto rest = left(grant.length, grant.received, now);
    if (rest > Duration(0)) reports.push_back({term, grant.epoch, rest, grant.holder, grant.incarnation});
  }
  const auto rest = left(forgotten_, started_, now);
  if (forgotten_ > Duration(0) && rest > Duration(0)) reports.push_back({Term(0), 0, rest, NodeId(), Incarnation(0)});
  // More terms than fit within a lease's time: whoever reads it need not know which is which.
  while (reports.size() > kLeaseReportsMax) {
    reports[1].left = std::max(reports[0].left, reports[1].left);
    reports[1].term = Term(0);
    reports.erase(reports.begin());
  }
  return reports;
}

// --------------------------------------------------------------------------------------------------- releases

void Releases::add(const Release& release) {
  if (release.term == Term(0)) return;
  auto& known = released_[release.term];
  if (known.holder == release.holder) {
    known.epoch = std::max(known.epoch, release.epoch);
  } else {
    known = release;
  }
  if (released_.size() > kReleasesKept) released_.erase(released_.begin());
}

void Releases::heard(NodeId node, Incarnation incarnation) {
  const auto found = heard_.find(node);
  if (found != heard_.end()) {
    found->second = std::max(found->second, incarnation);
  } else if (heard_.size() < kNodesKept) {
    heard_[node] = incarnation;
  }
}

bool Releases::cover(const LeaseReport& report) const {
  if (report.term == Term(0)) return false;
  if (const auto found = heard_.find(report.holder);
      found != heard_.end() && report.incarnation < found->second) {
    return true;
  }
  const auto found = released_.find(report.term);
  return found != released_.end() && found->second.holder == report.holder && found->second.epoch >= report.epoch;
}

std::vector<Release> Releases::newest() const {
  std::vector<Release> found;
  for (auto it = released_.rbegin(); it != released_.rend() && found.size() < kReleasesMax; ++it) {
    found.push_back(it->second);
  }
  return found;
}

// ------------------------------------------------------------------------------------------------ new leader

Duration LeaseWait::left(const Releases& known, const Time& now, double drift) const {
  Duration longest{};
  for (const auto& [report, received] : reports_) {
    if (known.cover(report)) continue;
    longest = std::max(longest, surely_over(report.left, drift) - std::max(passed_shorter(received, now), Duration(0)));
  }
  return longest;
}

}  // namespace holdfast::raft
