// Configuration: who the members are, and which of them count.
//
// A configuration is a log entry and holds from the moment it is *appended*, committed or not (Raft 4.1). Only one
// differs from the last committed one at a time, and consecutive ones differ in at most one voter, so that any
// majority of the one meets any majority of the other (in_sync.cc: of two masters one may go together with the witness). A leader appends one only after an entry of its own term is
// committed (the bug of one-at-a-time changes found in 2015), and the next only when that one is committed.
//
// A *witness* is a voter without log or state, beside an even number of masters, so that the number of voters is odd
// (witness.h; in_sync.cc says what it takes with two masters). It counts in elections, never in commits. As long as there
// is one, the set of full voters changes only where the register says that nobody is left behind (membership.cc).
//
// Members are known by UUID for ever; an address is an attribute that may change by an entry of its own.
//
// Values only; pure; thread-safe as values are.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/entry.h"
#include "model/ids.h"

namespace holdfast::raft {

// Bounds a configuration's size on the wire and the number of links a master holds.
inline constexpr std::size_t kMembersMax = 31;
inline constexpr std::size_t kAddressBytesMax = 512;

// No lease is longer.
inline constexpr Duration kLeaseCapMax = 10s;

struct Member {
  NodeId id;
  std::string address;  // "host:port" of HTTP, as the member announced it; opaque here
  bool voter = false;   // else a learner: receives everything, counts for nothing
  bool witness = false;  // with `voter`: votes, and has no log (witness.h)

  // A learner that becomes a voter as soon as it has caught up (the leader sees to it).
  bool promote = false;

  // A learner that takes the place of a member whose disk is gone: that one is removed right before the promotion,
  // so the number of voters that must answer never grows by a dead one. Empty: takes nobody's place.
  NodeId replaces;

  friend bool operator==(const Member&, const Member&) = default;
};

class Configuration {
 public:
  Configuration() = default;
  explicit Configuration(std::vector<Member> members);  // sorted by id, so equal sets compare equal

  const std::vector<Member>& members() const { return members_; }

  // The longest lease that may be granted; 0: none. In the configuration, so that a member that restarts knows from its
  // own log what it may have granted and forgotten (lease.h).
  Duration lease_cap() const { return lease_cap_; }
  Configuration with_lease_cap(Duration cap) const;
  bool empty() const { return members_.empty(); }
  const Member* find(NodeId id) const;
  bool is_voter(NodeId id) const;
  std::size_t voter_count() const;
  bool is_full(NodeId id) const;  // a voter with a log
  std::vector<NodeId> full_voters() const;
  std::optional<NodeId> witness() const;
  bool same_voters(const Configuration& other) const;
  std::size_t majority() const { return voter_count() / 2 + 1; }

  // The same with `member` added or put in the place of the one with its id; without the one named.
  Configuration with(Member member) const;
  Configuration without(NodeId id) const;

  friend bool operator==(const Configuration&, const Configuration&) = default;

 private:
  std::vector<Member> members_;
  Duration lease_cap_{};
};

// The bytes of a configuration entry and of a snapshot's head. Decoding checks bounds, since the bytes may come from
// a disk or a peer; encode(decode(x)) == x.
//
//   u8 version, u16 count, then per member: uuid high u64, low u64, u8 flags (1 voter, 2 promote, 4 replaces),
//   if flag 4: uuid of the replaced; u16 length, address. Version 2 ends with u64 lease cap in nanoseconds, above 0;
//   version 1, of the first release, has none. Version 3 has a witness (flag 8, together with 1), and a cap that may be 0.
//   All big-endian.
std::string encode(const Configuration& configuration);
Result<Configuration> decode_configuration(std::string_view bytes);

// "a localhost:9333, b localhost:9334 (learner)" for logs.
std::string text(const Configuration& configuration);

// What a leader can be asked to change, one at a time. Each names what it wants, so asking twice is harmless.
struct AddMember {
  Member member;  // voter = false joins as a learner; promote = true lets it become a voter when caught up
                  // witness = true votes at once: beside an even number of masters, and only one. Its identity must be
                  // one that never took part in anything (Witness::virgin)
};
struct PromoteMember {
  NodeId id;  // refused until it has caught up
};
struct RemoveMember {
  NodeId id;
};
struct SetAddress {
  NodeId id;
  std::string address;
};
// Turns leases on, off (0), or bounds them otherwise. A lower cap is refused as busy until what was granted under the
// higher one has run out: ask again. Only to be asked for when every member is known to understand leases.
struct SetLeaseCap {
  Duration cap{};
};
using Change = std::variant<AddMember, PromoteMember, RemoveMember, SetAddress, SetLeaseCap>;

// The entry with which every founding member of a cluster begins: the same bytes on all of them, index 1, term 1, so
// it counts as committed from the start. All must be given the same list (host: architecture, section 4).
Entry bootstrap_entry(const Configuration& configuration);

}  // namespace holdfast::raft
