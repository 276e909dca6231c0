#include "test/sim/nemesis.h"

#include <cmath>

#include "test/sim/master.h"
#include "test/sim/witness.h"

namespace holdfast::sim {
namespace {

constexpr Duration kAdminEvery = 60ms;
constexpr std::size_t kVotersMin = 3;
constexpr Duration kChangeTakes = 4s;  // a removal that was asked for is done, or lost, by then
constexpr std::size_t kVotersMax = 7;

}  // namespace

void Nemesis::start() {
  trouble();
  administer();
}

void Nemesis::trouble() {
  const auto mean = static_cast<std::uint64_t>(world_.profile().trouble_every.count());
  world_.after(Duration(static_cast<std::int64_t>(world_.random().below(2 * mean) + 1)), [this] {
    if (healing_) return;
    std::uint64_t total = 0;
    for (const auto& [kind, weight] : world_.profile().troubles) total += weight;
    if (total > 0) {
      auto dice = world_.random().below(total);
      for (const auto& [kind, weight] : world_.profile().troubles) {
        if (dice < weight) {
          strike(kind);
          break;
        }
        dice -= weight;
      }
    }
    trouble();
  });
}

std::optional<std::size_t> Nemesis::some(bool up) {
  const auto first = world_.random().below(kSlots);
  for (std::size_t i = 0; i < kSlots; ++i) {
    const auto slot = (first + i) % kSlots;
    auto& master = world_.master(slot);
    if (master.formatted() && master.up() == up && !master.stopped()) return slot;
  }
  return std::nullopt;
}

std::optional<std::size_t> Nemesis::leader() const {
  std::optional<std::size_t> found;
  Term newest;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    auto& master = world_.master(slot);
    if (master.up() && master.status().role == raft::Role::leader && master.status().term > newest) {
      found = slot;
      newest = master.status().term;
    }
  }
  return found;
}

void Nemesis::restart_later(std::size_t slot, Duration from, Duration spread) {
  world_.after(world_.between(from, spread), [this, slot] { world_.master(slot).start(); });
}

// Connections to a process that died break on the other side, soon, late or not at all; a restart breaks them, too.
void Nemesis::tell_of_death(std::size_t slot) {
  const auto id = world_.master(slot).id();
  for (std::size_t other = 0; other < kSlots; ++other) {
    if (other == slot || !world_.chance(700'000)) continue;
    world_.after(world_.between(50us, 3ms), [this, other, id] {
      if (world_.master(other).up()) world_.master(other).give(raft::LinkLost{id});
    });
  }
}

void Nemesis::died(Master& master) {
  tell_of_death(master.slot());
  restart_later(master.slot(), 1ms, 300ms);
}

void Nemesis::identity_lost(Master& master) {
  if (!rotted_.contains(master.id())) {
    world_.checker().fail("a member lost its identity without cause");
    return;
  }
  // Rot may lie hidden (in one copy of the vote) until a later tear meets the other copy. If somebody else has lost
  // something meanwhile, that is more than a cluster can be asked to survive.
  if (loss_ && loss_->id != master.id()) {
    world_.end_early();
    return;
  }
  loss_ = Loss{master.slot(), master.id(), true};
  world_.after(1ms, [this, slot = master.slot()] { wipe(slot); });
}

void Nemesis::damaged(Master& master) {
  if (!rotted_.contains(master.id())) world_.checker().fail("a log was damaged without cause");
  if (!loss_) loss_ = Loss{master.slot(), master.id(), false};  // what mended it had not reached the disk
}

void Nemesis::wipe(std::size_t slot) {
  auto& master = world_.master(slot);
  master.crash(true);
  loss_ = Loss{slot, master.id(), true};
  world_.checker().events.count("disks wiped");
  master.format(false, {}, world_.new_id());
  restart_later(slot, 1ms, 100ms);
}

// Whether the one that lost something is whole again, or nobody counts on it any more.
void Nemesis::check_loss() {
  if (!loss_) return;
  const auto& now = world_.checker().configuration();
  if (loss_->wiped) {
    // Two voters cannot do without either of them, so its successor must be in, or three others.
    const bool enough = now.voter_count() >= kVotersMin || now.is_voter(world_.master(loss_->slot).id());
    if (now.find(loss_->id) == nullptr && enough) loss_.reset();
    return;
  }
  auto& master = world_.master(loss_->slot);
  if (master.id() != loss_->id || now.find(loss_->id) == nullptr) {
    loss_.reset();
  } else if (master.up()) {
    // Started since it rotted. It says in its beats when it is whole; here the count is at hand.
    if (master.repaired()) {
      world_.checker().events.count("damaged logs made whole");
      loss_.reset();
    } else if (!master.damaged_at_start()) {
      loss_.reset();
    }
  }
}

bool Nemesis::whole() const { return !loss_; }

// A leader hands over, or is challenged as by somebody who took it for gone, and drops out of sight while its lease is
// being given up: it stands still, or hears or is heard no more.
void Nemesis::give_up_and_vanish() {
  auto& random = world_.lease_random();
  const auto led = leader();
  if (!led) return;
  auto& old = world_.master(*led);
  if (random.chance(500'000)) {
    old.give(raft::TransferRequested{});
  } else {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      auto& other = world_.master(slot);
      if (slot == *led || !other.up() || other.status().term != old.status().term) continue;
      raft::Message order{old.id(), other.id(), old.status().term, old.incarnation(), raft::TimeoutNow{}};
      other.give(raft::Received{old.id(), std::move(order)});
      break;
    }
  }
  const auto way = random.below(4);
  const auto delay = Duration(static_cast<std::int64_t>(random.below(6'000'000)));
  world_.after(delay, [this, way, slot = *led] {
    if (healing_) return;
    if (way == 0) return world_.master(slot).pause(world_.between(20ms, 400ms), false);
    for (std::size_t other = 0; other < kSlots; ++other) {
      if (other == slot) continue;
      if (way != 1) world_.set_cut(slot, other, true);
      if (way != 2) world_.set_cut(other, slot, true);
    }
  });
}

void Nemesis::strike(const std::string& kind) {
  auto& random = world_.random();
  world_.checker().events.count("trouble: " + kind);
  if (strike_witness(kind)) return;
  const auto victim = some(true);
  if (!victim) return;
  auto& master = world_.master(*victim);
  world_.note(5, hash_of(kind), [&] { return kind + " at slot " + std::to_string(*victim); });
  const auto other = (*victim + 1 + random.below(kSlots - 1)) % kSlots;
  if (kind == "power loss" || kind == "kill") {
    master.crash(kind == "power loss");
    tell_of_death(*victim);
    restart_later(*victim, 500us, 600ms);
  } else if (kind == "kill leader") {
    const auto led = leader();
    if (!led) return;
    world_.master(*led).crash(world_.chance(500'000));
    tell_of_death(*led);
    restart_later(*led, 500us, 400ms);
  } else if (kind == "all lose power") {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      if (!world_.master(slot).up()) continue;
      world_.master(slot).crash(true);
      restart_later(slot, 1ms, 300ms);
    }
  } else if (kind == "pause") {
    master.pause(world_.between(5ms, 600ms), false);
  } else if (kind == "clock stops") {
    master.pause(world_.between(5ms, 600ms), true);
  } else if (kind == "pause leader") {
    if (const auto led = leader()) world_.master(*led).pause(world_.between(20ms, 600ms), world_.chance(300'000));
  } else if (kind == "pause leader watched") {
    // A stall that its guardian notices after 20 ms.
    const auto led = leader();
    if (!led) return;
    world_.master(*led).pause(world_.between(5ms, 300ms), false);
    world_.after(20ms, [this, slot = *led, process = world_.master(*led).processes()] {
      auto& watched = world_.master(slot);
      if (watched.up() && watched.processes() == process && watched.paused()) watched.certify();
    });
  } else if (kind == "kill leader watched") {
    const auto led = leader();
    if (!led) return;
    world_.master(*led).crash(false);
    world_.master(*led).certify();
    restart_later(*led, 500us, 200ms);
  } else if (kind == "give up and vanish") {
    give_up_and_vanish();
  } else if (kind == "blink") {
    // Back before what it granted has run out.
    master.crash(world_.chance(300'000));
    if (world_.chance(500'000)) tell_of_death(*victim);
    restart_later(*victim, 200us, 5ms);
  } else if (kind == "lease cap") {
    auto& drawn = world_.lease_random();
    const auto cap = drawn.chance(150'000) ? Duration(0) : Duration(std::chrono::milliseconds(30 + drawn.below(400)));
    propose_change(raft::SetLeaseCap{cap});
  } else if (kind == "cut") {
    world_.set_cut(*victim, other, true);
    if (world_.chance(500'000)) world_.set_cut(other, *victim, true);
    if (world_.chance(300'000)) master.give(raft::LinkLost{world_.master(other).id()});
  } else if (kind == "isolate") {
    const auto led = leader();
    const auto lonely = led && world_.chance(600'000) ? *led : *victim;
    const auto ways = random.below(3);
    for (std::size_t slot = 0; slot < kMachines; ++slot) {
      if (slot == lonely) continue;
      if (ways != 1) world_.set_cut(lonely, slot, true);
      if (ways != 2) world_.set_cut(slot, lonely, true);
    }
  } else if (kind == "usurp") {
    // The leader is cut off, and the others know it before it does.
    const auto led = leader();
    if (!led) return;
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      if (slot == *led) continue;
      world_.set_cut(*led, slot, true);
      world_.set_cut(slot, *led, true);
      // With a witness, whichever of them is heard by it.
      if (world_.profile().witness && slot == 0 && world_.witness_random().chance(700'000)) {
        for (std::size_t w = kSlots; w < kMachines; ++w) {
          world_.set_cut(*led, w, true);
          world_.set_cut(w, *led, true);
        }
      }
      if (world_.master(slot).up()) world_.master(slot).give(raft::LinkLost{world_.master(*led).id()});
    }
  } else if (kind == "split") {
    const auto side = random.next();
    for (std::size_t a = 0; a < kMachines; ++a) {
      for (std::size_t b = 0; b < kMachines; ++b) {
        world_.set_cut(a, b, ((side >> a) & 1) != ((side >> b) & 1));
      }
    }
  } else if (kind == "heal") {
    world_.heal_network();
  } else if (kind == "clog") {
    world_.clog(*victim, other, world_.now() + world_.between(10ms, 1s));
  } else if (kind == "hint") {
    const auto led = leader();
    master.give(raft::LinkLost{world_.master(led && world_.chance(700'000) ? *led : other).id()});
  } else if (kind == "slow disk") {
    master.slow_disk(world_.chance(500'000) ? Duration(0) : world_.between(1ms, 400ms));
    if (world_.chance(300'000)) master.disk_condition(raft::DiskCondition::slow);
  } else if (kind == "full disk") {
    master.disk_condition(world_.chance(600'000) ? raft::DiskCondition::full : raft::DiskCondition::good);
  } else if (kind == "mended disk") {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      if (!world_.master(slot).formatted()) continue;
      world_.master(slot).disk_condition(raft::DiskCondition::good);
      world_.master(slot).slow_disk(Duration(0));
    }
  } else if (kind == "failing disk") {
    master.store().fail_sometimes(world_.chance(500'000));
  } else if (kind == "drift") {
    const auto spread = world_.profile().drift_max;
    const auto rate = 1 + spread * (static_cast<double>(random.below(2001)) - 1000) / 1000;
    if (world_.profile().leases) {
      master.draw_rates();
    } else {
      master.set_rates(rate, rate);
    }
  } else if (kind == "rot") {
    check_loss();
    if (loss_ || world_.now() < settled_at_) return;
    const auto id = master.id();
    // Not together with a power loss: a rotten last record looks like one that was being written.
    master.crash(false);
    tell_of_death(*victim);
    const bool misdirected = world_.chance(400'000);
    if (misdirected ? master.store().misdirect() : master.store().rot()) {
      loss_ = Loss{*victim, id, false};
      rotted_.insert(id);
      world_.checker().events.count(misdirected ? "writes misdirected" : "disks rotted");
    }
    restart_later(*victim, 1ms, 300ms);
  } else if (kind == "wipe") {
    check_loss();
    if (loss_ || world_.now() < settled_at_ || world_.checker().configuration().find(master.id()) == nullptr) return;
    wipe(*victim);
    tell_of_death(*victim);
  } else if (kind == "transfer") {
    if (const auto led = leader()) {
      std::optional<NodeId> target;
      if (world_.chance(500'000)) target = master.id();
      world_.master(*led).give(raft::TransferRequested{target});
    }
  } else if (kind == "add member") {
    if (world_.checker().configuration().voter_count() >= kVotersMax) return;
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      auto& fresh = world_.master(slot);
      const bool free = !fresh.formatted() || fresh.stopped();
      if (!free || (loss_ && loss_->slot == slot) ||
          (fresh.formatted() && world_.checker().configuration().find(fresh.id()) != nullptr)) {
        continue;
      }
      fresh.crash(true);
      fresh.format(false, {}, world_.new_id());
      fresh.start();
      propose_change(raft::AddMember{{.id = fresh.id(),
                                      .address = "slot" + std::to_string(slot),
                                      .promote = world_.chance(800'000)}});
      return;
    }
  } else if (kind == "remove member") {
    const auto& now = world_.checker().configuration();
    const auto enough = world_.profile().witness ? now.full_voters().size() > 1 : now.voter_count() > kVotersMin;
    if (!enough || loss_ || world_.now() < settled_at_) return;
    settled_at_ = world_.now() + kChangeTakes;
    propose_change(raft::RemoveMember{now.members()[random.below(now.members().size())].id});
  } else if (kind == "move member") {
    propose_change(raft::SetAddress{master.id(), "slot" + std::to_string(random.below(100))});
  }
}

void Nemesis::propose_change(raft::Change change) {
  const auto led = leader();
  if (!led) return;
  world_.call([this, led, change] {
    world_.master(*led).change(change, [this](const raft::ProposalDone& done) {
      if (done.outcome == raft::ProposalOutcome::committed) world_.checker().events.count("changes of members");
    });
  });
}

// What an operator and the hosts' joining would do: keep asking until the wiped member's new self is in, and that
// every member that runs without being one either joins or is gone.
void Nemesis::administer() {
  check_loss();
  const auto& now = world_.checker().configuration();
  if (loss_ && loss_->wiped) {
    auto& fresh = world_.master(loss_->slot);
    if (fresh.id() != loss_->id) {
      const auto* known = now.find(fresh.id());
      if (known == nullptr) {
        propose_change(raft::AddMember{{.id = fresh.id(),
                                        .address = "again",
                                        .promote = true,
                                        .replaces = loss_->id}});
      } else if (known->voter || known->replaces != loss_->id) {
        propose_change(raft::RemoveMember{loss_->id});
      }
    }
  }
  for (std::size_t slot = 0; slot < kSlots && healing_; ++slot) {
    auto& master = world_.master(slot);
    if (master.formatted() && !master.up() && !master.stopped() && slot != held_down_) master.start();
  }
  administer_witness();
  world_.after(kAdminEvery, [this] { administer(); });
}

void Nemesis::heal() {
  healing_ = true;
  for (std::size_t slot = kSlots; slot < kMachines; ++slot) world_.witness(slot).slow_disk(Duration(0));
  world_.heal_network();
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    auto& master = world_.master(slot);
    if (!master.formatted()) continue;
    master.store().fail_sometimes(false);
    master.slow_disk(Duration(0));
    master.disk_condition(raft::DiskCondition::good);
  }
}

}  // namespace holdfast::sim
