// With a witness: whose disks a commit waits for, and what the witness is told of it.
//
// Four masters and more count by majority among themselves; a majority of all voters that has the witness in it still has
// one of those. Two masters count on both, as long as both work. When one is gone the leader has the witness record that
// it alone has everything, and only then commits alone (`needed`). Back again, the other is first needed for every
// commit, then catches up to where the log ended when that began, and then is recorded. model/InSync.tla is this file;
// its numbers stand beside the rules. One record at a time is on its way: needed are then those of the old and the new.
//
// A change of the set of full voters could bring two sets of rules into play at once. So it happens only between sets
// that are at rest and alike on either side of it, and no record is made while one is not committed (voters_settled).
#include <algorithm>

#include "core/raft/core_impl.h"

namespace holdfast::raft {
namespace {

// One who answers but does not get on, because of its disk for example, is left behind after so long.
constexpr Duration kLagMax = 500ms;

// How far one may be behind when it becomes needed: commits wait until it has caught up.
constexpr std::uint64_t kJoinLagMax = 256;

constexpr Duration kShunned = 5s;  // whoever wants a master removed asks again within that

}  // namespace

bool Core::Impl::register_in_use() const {
  const auto& now = configuration();
  return now.witness() && now.full_voters().size() <= 2;
}

std::set<NodeId> Core::Impl::all_full() const {
  const auto full = configuration().full_voters();
  return {full.begin(), full.end()};
}

std::optional<NodeId> Core::Impl::other_master() const {
  for (const auto& id : configuration().full_voters()) {
    if (id != options_.self) return id;
  }
  return std::nullopt;
}

// Whether everybody goes by the same set of voters, as far as is known here. Else the witness might be told of a master
// that whoever is elected next, without the change, does not know and waits for in vain.
bool Core::Impl::voters_settled() const {
  for (auto it = configurations_that_count(); it != configurations_.end(); ++it) {
    if (!it->second.same_voters(configuration())) return false;
  }
  return true;
}

// Commits wait for exactly these, and will until the next step. Alone: the witness has it so, and nothing else is on its
// way there. Both: whatever it has or is told, each commit is on both.
bool Core::Impl::register_at_rest(const std::set<NodeId>& needed) const {
  const auto* leading = leader();
  if (leading->needed != needed) return false;
  if (needed == all_full() && needed.size() == 2) return true;
  const bool asked = leading->made && leading->known != leading->made;
  return !asked && leading->known && leading->known->members.size() == 1 && leading->known->allows(options_.self);
}

// Elected by the witness: its record is what it told, and stays until this leader's own. Elected by the other master: it
// is not known, and both count (43).
void Core::Impl::begin_register(const std::optional<InSync>& told) {
  if (!register_in_use()) return;
  auto* leading = leader();
  leading->needed = all_full();
  leading->needed_since = leading->term_start;
  leading->other_moved_at = now_;
  if (told) {
    leading->known = told;
    if (told->members.empty()) {
      leading->known->members.assign(leading->needed.begin(), leading->needed.end());
    } else {
      leading->needed = {told->members.begin(), told->members.end()};
      leading->needed.insert(options_.self);
    }
  } else if (mutated(Mutation::elected_by_master_goes_alone)) {
    leading->needed = {options_.self};
  }
}

void Core::Impl::register_follows_configuration() {
  auto* leading = leader();
  if (!register_in_use()) {
    leading->needed.clear();
    leading->known.reset();
    leading->made.reset();
    return;
  }
  if (!leading->needed.empty()) return;
  // There is a witness now: until it has said something, both count, as they did without it.
  leading->needed = all_full();
  leading->needed_since = log_.last_index();
  leading->other_moved_at = now_;
}

bool Core::Impl::other_is_gone(const Peer& peer) {
  auto* leading = leader();
  const auto timeout = silence_.timeout();
  if (peer.state == PeerState::refused || peer.damaged || peer.disk_full) return true;
  if (now_ - peer.answered >= timeout) {
    // Just elected: one who is alive may be about to say so.
    const bool fresh = peer.answered < leading->since && now_ < leading->since + 2 * options_.beat_interval;
    return leading->certain || !fresh;
  }
  if (peer.match != leading->other_match || peer.match >= log_.last_index()) {
    leading->other_match = peer.match;
    leading->other_moved_at = now_;
  }
  return now_ - leading->other_moved_at >= std::max<Duration>(kLagMax, 3 * timeout);
}

void Core::Impl::drive_register() {
  if (!register_in_use() || !voters_settled()) return;
  auto* leading = leader();
  const auto other = other_master();
  if (!other) return;
  const auto found = leading->peers.find(*other);
  if (found == leading->peers.end()) return;
  const auto& peer = found->second;
  const bool asked = leading->made && leading->known != leading->made;
  const bool shunned = leading->shunned == *other && now_ < leading->shunned_until;
  const bool gone = shunned || other_is_gone(peer);
  const bool both = leading->needed.contains(*other);
  const bool alone_is_known = leading->known && leading->known->members == std::vector<NodeId>{options_.self};
  if (asked && !(mutated(Mutation::given_up_while_asked) && gone && both && alone_is_known)) return;
  if (gone) {
    if (!both) return;
    if (alone_is_known) {
      leading->needed = {options_.self};  // it never came to a record of both (45)
    } else {
      make_record({options_.self});
      if (mutated(Mutation::alone_before_witness_knows)) leading->needed = {options_.self};  // (32)
    }
    return;
  }
  if (!both) {
    const bool near = peer.match + kJoinLagMax >= commit_ && peer.match > Index(0);
    if (peer.state != PeerState::replicate || !peer.vetted || !near || now_ - peer.back_at < silence_.timeout()) return;
    if (mutated(Mutation::joins_without_being_needed)) return make_record(all_full());  // (38)
    leading->needed = all_full();
    leading->needed_since = log_.last_index();
    leading->other_moved_at = now_;
    return;
  }
  const bool recorded = leading->known && leading->known->allows(*other);
  // To the end of the log as it was, not to the commit index: whoever has restarted knows a low one (36).
  const bool caught_up = peer.match >= leading->needed_since || mutated(Mutation::joins_without_catching_up);
  if (!recorded && caught_up) make_record(all_full());
}

void Core::Impl::make_record(std::set<NodeId> members) {
  auto* leading = leader();
  leading->made = InSync{term_, ++leading->records, {members.begin(), members.end()}};
  send_record();
}

void Core::Impl::send_record() {
  const auto* leading = leader();
  const auto witness = configuration().witness();
  if (!witness || !leading->made || leading->known == leading->made) return;
  send_now(*witness, RegisterRequest{*leading->made});
}

void Core::Impl::receive(const Message&, const RegisterRequest&) { ++counters_.messages_dropped; }  // no witness here

void Core::Impl::receive(const Message& m, const RegisterReply& reply) {
  auto* leading = leader();
  if (leading == nullptr || m.term != term_ || configuration().witness() != m.from || leading->made != reply.record ||
      leading->known == leading->made) {
    ++counters_.messages_dropped;
    return;
  }
  leading->known = leading->made;
  leading->needed = {reply.record.members.begin(), reply.record.members.end()};
  leading->other_moved_at = now_;
  ++(leading->needed.size() == 1 ? counters_.went_alone : counters_.joined_again);
}

Index Core::Impl::commit_index_by_witness(Index own) const {
  const auto* leading = leader();
  const auto on_disk = [&](NodeId id) {
    if (id == options_.self) return own;
    const auto found = leading->peers.find(id);
    return found == leading->peers.end() || found->second.state == PeerState::refused ? Index(0) : found->second.match;
  };
  std::vector<Index> reached;
  if (register_in_use()) {
    for (const auto& id : leading->needed) reached.push_back(on_disk(id));
    if (reached.empty()) return Index(0);
    if (mutated(Mutation::witness_counts)) return *std::max_element(reached.begin(), reached.end());
    return *std::min_element(reached.begin(), reached.end());
  }
  for (const auto& id : configuration().full_voters()) reached.push_back(on_disk(id));
  if (reached.empty()) return Index(0);
  std::sort(reached.begin(), reached.end(), std::greater<>());
  return reached[mutated(Mutation::witness_counts) ? (reached.size() - 1) / 2 : reached.size() / 2];
}

// What keeps a change of the full voters, or of the witness, from being appended right now. Elections go by whatever
// configuration a candidate has, so the old rules and the new must not allow what the other does not know of:
//   the witness comes     when nobody is left behind by count of all masters; records wait until that is committed
//   the witness goes      when both masters are needed: what follows is on both, as without a witness
//   a master goes         of two, with the witness, once that has recorded that the other alone has everything: it votes
//                         for no one else ever again, so the other needs no one. Of four and more: after the witness
//   a master comes        after the witness went
std::optional<Error> Core::Impl::held_by_witness(const Configuration& next, const Change& change) {
  const auto& now = configuration();
  auto* leading = leader();
  if (!now.witness() || now.same_voters(next) || mutated(Mutation::voters_change_while_apart)) return std::nullopt;
  const auto masters = now.full_voters().size();
  if (next.full_voters() == now.full_voters()) {
    if (masters > 2 || register_at_rest(all_full())) return std::nullopt;
    return Error{Code::busy, "the witness can go only while both masters have everything that is committed"};
  }
  if (masters > 2 || next.full_voters().size() > masters) {
    leading->witness_unwanted = true;
    return Error{Code::busy, "the witness is removed first; ask again"};
  }
  if (register_at_rest({options_.self})) return std::nullopt;
  if (const auto* removed = std::get_if<RemoveMember>(&change)) {
    leading->shunned = removed->id;
    leading->shunned_until = now_ + kShunned;
  }
  return Error{Code::busy, "the witness is told first that " + label(options_.self) + " goes on alone; ask again"};
}

}  // namespace holdfast::raft
