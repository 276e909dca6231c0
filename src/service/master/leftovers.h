// Leftovers: ends what growths of dead leaders left half made.
//
// A growth orders the copies of its volumes one server each. When its leader dies, or a server does not obey, in
// between, a volume can be left with fewer copies than its code asks for: it never takes a write, and holds a slot. The
// registry knows the ids whose growth nobody has said the end of (RegistryState::unsettled). The leader looks at them:
// a volume that was seen with all its copies is settled by an entry; one that was not, for kLeftoverWait, is deleted
// wherever it lies, and the next growth makes another.
//
// No acknowledged file can be lost by that. A write is acknowledged when all copies have it, so a copy without a file is
// a copy of a volume without one; the volume server itself makes sure, under the volume's lock, that the copy is empty
// (only_empty); and the order's fence keeps out a leader that was replaced. Deleting was chosen over making the missing
// copies: a server that is away may hold one, and would come back with one too many.
//
// Runs on the master's loop.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "service/master/growth.h"
#include "service/master/shared.h"

namespace holdfast::master {

// Longer than an order of the earlier leader can be under way, and than a volume server needs to start again.
constexpr Duration kLeftoverWait = 2 * kOrderTimeout;
constexpr std::size_t kLeftoverOrdersPerLook = 64;

class Leftovers {
 public:
  Leftovers(Shared& shared, Growth& growth) : shared_(shared), growth_(growth) {}

  // Looks once a second, if this master leads.
  void look(Instant now);

  void stop() { stopped_ = true; }

 private:
  void remove(const topology::Topology::HalfMade& volume, Term term);
  void settle(std::vector<VolumeId> volumes);

  Shared& shared_;
  Growth& growth_;
  Instant looked_at_ = kDistantPast;
  Term term_;
  std::map<VolumeId, Instant> since_;  // half made since then, as seen in this term; or tried since then
  std::set<VolumeId> undone_;          // by growths of this master; not settled yet
  bool settling_ = false;              // a proposal is under way
  bool stopped_ = false;
};

}  // namespace holdfast::master
