#include "test/sim/world.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

#include "test/sim/clients.h"
#include "test/sim/history.h"
#include "test/sim/master.h"
#include "test/sim/nemesis.h"
#include "test/sim/volume_server.h"
#include "test/sim/witness.h"

namespace holdfast::sim {
namespace {

constexpr std::size_t kOldMessagesMax = 256;      // kept to be replayed
constexpr Duration kHealingMax = 60s;             // by then a healed cluster must have converged (I14)
constexpr std::uint64_t kHealingSteps = 2'000'000;

}  // namespace

World::World(WorldOptions options)
    : options_(options),
      random_(options.seed * 0x9e3779b97f4a7c15u + 1),
      lease_random_(mixed(options.seed, 0x1ea5e)),
      witness_random_(mixed(options.seed, 0x717e55)) {
  if (options.calm_masters > 0) {
    profile_.founders = options.calm_masters;
    profile_.witness = options.calm_witness;
  } else {
    draw_profile();
  }
  profile_.options.lease_cap_max = Duration(0);
  if (options_.within_model || (options_.leases && lease_random_.chance(500'000))) draw_leases();
  const bool drawn = witness_random_.chance(350'000);
  if (options_.witnesses == Witnesses::always || (drawn && options_.witnesses == Witnesses::some)) draw_witness();
  if (options_.within_model) keep_within_model();
  for (std::size_t slot = 0; slot < kSlots; ++slot) masters_.push_back(std::make_unique<Master>(*this, slot));
  for (std::size_t n = kSlots; n < kMachines; ++n) witnesses_.push_back(std::make_unique<WitnessMachine>(*this, n));
  for (std::size_t n = 0; n < kVolumeServers; ++n) servers_.push_back(std::make_unique<VolumeServer>(*this, n));
  clients_ = std::make_unique<Clients>(*this);
  nemesis_ = std::make_unique<Nemesis>(*this);
}

World::~World() = default;

// Each run gets some of all troubles and none of others: a run with everything at once rarely gets anywhere.
void World::draw_profile() {
  auto& p = profile_;
  auto& r = random_;
  const auto often = [&](std::uint64_t percent) { return r.below(100) < percent; };
  if (often(50)) p.loss_ppm = often(50) ? 5'000 : 100'000;
  if (often(50)) p.double_ppm = often(50) ? 5'000 : 100'000;
  if (often(40)) p.replay_ppm = 3'000;
  if (often(40)) p.slow_ppm = often(50) ? 2'000 : 50'000;
  if (often(30)) p.delay_spread = 5ms;
  if (often(15)) p.delay_spread = 40ms;
  if (often(50)) p.drift_max = 0.1;
  p.trouble_every = Duration(std::chrono::milliseconds(50 + r.below(600)));
  for (const char* kind : {"power loss", "kill", "kill leader", "all lose power", "pause", "clock stops", "pause leader",
                           "cut", "isolate", "split", "usurp", "clog", "hint", "slow disk", "full disk", "failing disk", "drift",
                           "rot", "wipe", "transfer", "add member", "remove member", "move member"}) {
    if (often(45)) p.troubles[kind] = 1 + r.below(5);
  }
  if (p.troubles.contains("all lose power")) p.troubles["all lose power"] = 1;
  p.troubles["heal"] = 3 + r.below(6);
  p.troubles["mended disk"] = 1 + r.below(4);
  if (often(40)) p.crash_at_sync_ppm = 300 + r.below(1500);
  if (often(30)) p.sync_spread = 8ms;
  p.real_disk = often(40);
  p.inputs_max = often(50) ? 64 : 1 + r.below(8);
  p.snapshot_every = often(50) ? 10 + r.below(60) : 300;
  p.keep_entries = r.below(60);
  p.think = often(50) ? 3ms : 20ms;
  p.clients = 2 + r.below(6);

  auto& o = p.options;
  if (often(50)) o.log_tail_bytes_max = 200 + r.below(3000);
  if (often(40)) o.append_bytes_max = 200 + r.below(2000);
  if (often(40)) o.append_entries_max = 1 + r.below(10);
  if (often(40)) o.in_flight_messages_max = 1 + r.below(6);
  if (often(30)) o.committed_bytes_per_step_max = 50 + r.below(500);
  o.snapshot_piece_bytes = 64 + r.below(2000);
  o.silence_max = often(50) ? Duration(300ms) : Duration(2s);
  o.silence_fixed = often(20);
  if (const auto focus = r.below(7); focus < 4) draw_focus(focus);
  o.read_wait_max = 400ms;
  o.transfer_wait_max = often(50) ? Duration(200ms) : Duration(1s);
}

// Half of the runs press on one thing, since some mistakes show only where many rare events meet.
void World::draw_focus(std::uint64_t focus) {
  auto& p = profile_;
  auto& r = random_;
  p.trouble_every = Duration(std::chrono::milliseconds(20 + r.below(150)));
  p.troubles["heal"] = 8;
  p.troubles["isolate"] = 5;
  p.troubles["kill leader"] = 4;
  p.founders = 3;
  p.think = 2ms;
  if (focus == 0) {  // who the members are
    for (const char* kind : {"add member", "remove member", "move member", "wipe", "transfer"}) p.troubles[kind] = 6;
  } else if (focus == 1) {  // logs that part and are brought together by snapshots
    p.snapshot_every = 4 + r.below(10);
    p.keep_entries = r.below(3);
    p.options.log_tail_bytes_max = 100;
    p.clients = 8;
    p.troubles["isolate"] = 12;
    p.loss_ppm = std::min<std::uint64_t>(p.loss_ppm, 5'000);
    p.crash_at_sync_ppm = r.below(50'000);
    p.sync_spread = 3ms;
  } else if (focus == 2) {  // reads at leaders that have been replaced without knowing
    p.read_percent = 70;
    p.think = 1ms;
    p.clients = 8;
    p.slow_ppm = 50'000;
    p.drift_max = 0.1;
    p.options.silence_max = 2s;
    p.options.silence_fixed = false;
    p.troubles["hint"] = 10;
    p.troubles["isolate"] = 12;
    p.troubles["pause leader"] = 6;
    p.troubles["usurp"] = 15;
  } else {  // elections among crashes
    p.crash_at_sync_ppm = 10'000;
    p.sync_spread = 8ms;
    p.troubles["all lose power"] = 3;
    p.troubles["kill leader"] = 10;
    p.troubles["slow disk"] = 4;
    p.slow_ppm = 100'000;
    p.slow_max = 600ms;
    p.loss_ppm = std::max<std::uint64_t>(p.loss_ppm, 50'000);
  }
}

// Clocks at the very bounds, lengths that differ, and misfortunes where leases are given, given up and forgotten.
void World::draw_leases() {
  auto& p = profile_;
  auto& r = lease_random_;
  const auto ms = [&](std::uint64_t from, std::uint64_t spread) {
    return Duration(std::chrono::milliseconds(from + r.below(spread)));
  };
  p.leases = true;
  p.lease_cap = r.chance(800'000) ? ms(40, 300) : Duration(0);
  p.lease_length_min = ms(20, 60);
  p.lease_length_max = r.chance(500'000) ? ms(80, 60) : ms(100, 300);
  p.probe_every = Duration(std::chrono::microseconds(500 + r.below(4000)));
  p.options.lease_cap_max = 500ms;
  p.options.clock_drift = 0.1;
  p.options.clocks_apart_max = 1;
  if (p.troubles.contains("clock stops")) p.troubles["pause"] += p.troubles["clock stops"];
  p.troubles.erase("clock stops");
  for (const char* kind : {"blink", "pause leader watched", "kill leader watched", "lease cap", "give up and vanish"}) {
    if (r.chance(400'000)) p.troubles[kind] = 1 + r.below(5);
  }
  if (p.lease_cap == Duration(0)) p.troubles["lease cap"] = 4;
  if (!r.chance(600'000)) return;
  p.trouble_every = ms(15, 100);
  p.founders = r.chance(700'000) ? 3 : 5;
  p.think = 2ms;
  p.read_percent = 40;
  p.clients = 6;
  p.slow_ppm = r.chance(500'000) ? 50'000 : p.slow_ppm;
  p.double_ppm = r.chance(500'000) ? 30'000 : p.double_ppm;
  p.loss_ppm = std::min<std::uint64_t>(p.loss_ppm, 30'000);
  p.sync_spread = std::min<Duration>(p.sync_spread, 2ms);
  p.delay_spread = std::min<Duration>(p.delay_spread, 5ms);
  for (const char* kind : {"all lose power", "full disk", "failing disk", "rot", "wipe", "slow disk"}) {
    if (r.chance(700'000)) p.troubles.erase(kind);
  }
  p.troubles["heal"] = 10;
  for (const char* kind : {"usurp", "isolate", "transfer", "kill leader", "pause leader", "blink", "pause leader watched",
                           "kill leader watched", "cut", "hint", "give up and vanish"}) {
    p.troubles[kind] = 1 + r.below(8);
  }
}

void World::keep_within_model() {
  auto& p = profile_;
  p.founders = p.witness ? 2 : 3;
  if (p.lease_cap == Duration(0)) p.lease_cap = 100ms;
  p.lease_length_min = p.lease_length_max = p.lease_cap;
  for (const char* kind : {"rot", "wipe", "add member", "remove member", "move member", "lease cap",
                           "witness wiped"}) {
    p.troubles.erase(kind);
  }
  p.snapshot_every = SIZE_MAX;
  p.inputs_max = 1;  // so that what a step does has one cause
}

// Two masters and a witness, mostly, that lose one another in every way; nobody's log is lost, since one may be alone.
void World::draw_witness() {
  auto& p = profile_;
  auto& r = witness_random_;
  p.witness = true;
  p.founders = r.chance(850'000) ? 2 : 4;
  p.options.silence_max = 300ms;
  for (const char* kind : {"rot", "wipe"}) p.troubles.erase(kind);
  for (const char* kind : {"witness dies", "witness blinks", "witness pauses", "witness slow", "witness wiped",
                           "witness cut", "masters apart", "masters in turn", "masters part", "masters flap"}) {
    if (r.chance(600'000)) p.troubles[kind] = 1 + r.below(6);
  }
  p.troubles["heal"] = 8 + r.below(10);
  if (r.chance(600'000)) {
    for (const char* kind : {"add member", "remove member", "full disk", "failing disk", "all lose power"}) p.troubles.erase(kind);
  }
  if (r.chance(700'000)) {
    p.trouble_every = Duration(std::chrono::milliseconds(20 + r.below(250)));
    p.loss_ppm = std::min<std::uint64_t>(p.loss_ppm, 20'000);
    p.sync_spread = std::min<Duration>(p.sync_spread, 3ms);
    p.delay_spread = std::min<Duration>(p.delay_spread, 5ms);
    p.think = 2ms;
  }
}

void World::check_leases() {
  if (!profile_.leases) return;
  for (auto& master : masters_) {
    if (!master->up() || master->status().role != raft::Role::leader) continue;
    for (std::uint64_t key = 0; key < kRegisters; ++key) {
      const auto by = master->would_serve(key);
      if (!by || checker_.last_write(key) <= master->status().commit) continue;
      checker_.fail(fmt::format("I8: n{}, leader of term {}, would answer a read of {} at {}{}, though {} is committed",
                                master->id().value().low, master->status().term.value(), key,
                                master->status().commit.value(), *by == raft::ReadBy::lease ? "" : " in its wait",
                                checker_.last_write(key).value()));
    }
  }
}

void World::check_commit_by(Term term) {
  if (!profile_.leases) return;
  for (auto& master : masters_) {
    if (!master->up() || master->status().term >= term || !master->holds_lease()) continue;
    checker_.fail(fmt::format("I9: the leader of term {} commits while n{} holds its lease of term {}", term.value(),
                              master->id().value().low, master->status().term.value()));
  }
}

void World::check_release(const raft::Release& release) {
  if (!profile_.leases || release.term == Term(0)) return;
  for (auto& master : masters_) {
    if (!master->up() || master->id() != release.holder || master->status().term != release.term ||
        master->status().lease.epoch > release.epoch || !master->holds_lease()) {
      continue;
    }
    checker_.fail(fmt::format("I10: n{}'s lease of term {} is called over, and is not", release.holder.value().low,
                              release.term.value()));
  }
}

void World::after(Duration delay, std::function<void()> what) {
  queue_.push({now_ + std::max<Duration>(delay, Duration(0)), ++order_, std::move(what)});
}

Duration World::between(Duration from, Duration spread) {
  return from + Duration(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(spread.count()) + 1)));
}

std::optional<std::size_t> World::slot_of(NodeId id) const {
  const auto found = slots_.find(id);
  return found == slots_.end() ? std::nullopt : std::optional(found->second);
}

void World::note(std::uint64_t a, std::uint64_t b, const std::function<std::string()>& line) {
  digest_ = mixed(digest_, mixed(a, b));
  if (options_.trace) {
    fmt::print("{:>10.3f} {}\n", static_cast<double>((now_ - at(1000s)).count()) / 1e6, line());
  }
}

// ------------------------------------------------------------------------------------------------- the network

void World::send(raft::Message message) {
  const auto from = slot_of(message.from);
  const auto to = slot_of(message.to);
  if (!from || !to) return;
  if (!old_.empty() && random_.chance(profile_.replay_ppm)) {
    checker_.events.count("messages replayed");
    deliver(old_[random_.below(old_.size())], between(100us, 3s));
  }
  if (profile_.replay_ppm > 0 && random_.chance(100'000)) {
    old_.push_back(message);
    if (old_.size() > kOldMessagesMax) old_.pop_front();
  }
  if (cut_[*from][*to] || random_.chance(profile_.loss_ppm)) return;
  auto delay = between(profile_.delay_min, profile_.delay_spread);
  if (random_.chance(profile_.slow_ppm)) delay += between(1ms, profile_.slow_max);
  if (now_ < clogged_[*from][*to]) delay += clogged_[*from][*to] - now_;
  if (random_.chance(profile_.double_ppm)) deliver(message, delay + between(1us, 20ms));
  deliver(message, delay);
}

void World::deliver(const raft::Message& message, Duration delay) {
  // What is under way when a link is cut may still come: it is in some buffer behind the cut.
  const bool behind = random_.chance(500'000);
  after(delay, [this, message, behind] {
    const auto from = slot_of(message.from);
    const auto to = slot_of(message.to);
    if (!from || !to || (cut_[*from][*to] && !behind)) return;
    if (*to >= kSlots) {
      if (!witness(*to).up()) return;
      note(message.from.value().low * 100 + message.to.value().low, message.term.value() * 100 + message.body.index(),
           [&] { return raft::text(message); });
      return witness(*to).give(message);
    }
    auto& master = *masters_[*to];
    if (!master.up()) return;
    note(message.from.value().low * 100 + message.to.value().low,
         message.term.value() * 100 + message.body.index(), [&] { return raft::text(message); });
    master.heard_from(*from);
    master.give(raft::Received{message.from, message});
  });
}

void World::call(std::function<void()> what) {
  if (random_.chance(profile_.loss_ppm / 2)) return;
  after(between(50us, 500us), std::move(what));
}

void World::heal_network() {
  for (std::size_t a = 0; a < kMachines; ++a) {
    for (std::size_t b = 0; b < kMachines; ++b) {
      cut_[a][b] = false;
      clogged_[a][b] = Instant{};
    }
  }
}

// ----------------------------------------------------------------------------------------------------- the run

bool World::run_events(std::uint64_t steps, const std::function<bool()>& done) {
  // Whoever reads the history judges for himself.
  const auto objected = [this] { return checker_.failure() && history_ == nullptr; };
  for (std::uint64_t i = 0; i < steps && !queue_.empty() && !objected() && !ended_early_; ++i) {
    if (done && i % 64 == 0 && done()) return true;
    auto event = std::move(const_cast<Event&>(queue_.top()));
    queue_.pop();
    now_ = event.at;
    ++steps_;
    digest_ = mixed(digest_, static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    event.what();
  }
  return done && done();
}

// One leader, everybody who is a member at its commit index with its state, and nobody lacking anything.
bool World::converged() {
  Master* leading = nullptr;
  for (auto& master : masters_) {
    if (master->up() && master->status().role == raft::Role::leader &&
        (leading == nullptr || master->status().term > leading->status().term)) {
      leading = master.get();
    }
  }
  if (leading == nullptr || !nemesis_->whole() || !clients_->final_write_done()) return false;
  const auto& status = leading->status();
  if (status.commit != status.last || leading->applied() != status.commit) return false;
  for (const auto& member : leading->configuration().members()) {
    const auto slot = slot_of(member.id);
    if (member.witness) {
      if (!slot || witness(*slot).id() != member.id || !witness(*slot).up()) return false;
      continue;
    }
    if (!slot || masters_[*slot]->id() != member.id) {
      if (member.voter) return false;
      continue;  // a learner whose machine was given to another before it could join
    }
    auto& other = *masters_[*slot];
    if (!other.up() || other.applied() != leading->applied()) return false;
    if (other.digest() != leading->digest()) checker_.fail("I12: two members end in different states");
  }
  return true;
}

// I14: once nothing goes wrong any more, there is a leader soon, writes succeed, and all become equal.
void World::final_phase() {
  healing_ = true;
  clients_->stop();
  profile_.loss_ppm = profile_.double_ppm = profile_.replay_ppm = profile_.slow_ppm = 0;
  profile_.crash_at_sync_ppm = 0;
  profile_.delay_spread = std::min<Duration>(profile_.delay_spread, 5ms);
  profile_.sync_spread = std::min<Duration>(profile_.sync_spread, 1ms);
  nemesis_->heal();
  clients_->final_write();
  const auto until = now_ + kHealingMax;
  const bool good = run_events(kHealingSteps, [&] { return now_ > until || converged(); });
  if (checker_.failure() || ended_early_) return;
  if (!good || !converged()) {
    std::string state;
    for (auto& master : masters_) {
      if (!master->formatted()) continue;
      const auto& s = master->status();
      std::string voters;
      for (const auto& m : master->up() ? master->configuration().members() : std::vector<raft::Member>()) {
        voters += fmt::format("{}{}{}", voters.empty() ? "" : ",", m.id.value().low, m.voter ? "" : "?");
      }
      state += fmt::format(" [n{} of ({}) {} {} t{} last {} durable {} commit {} applied {}{}]",
                           master->id().value().low, voters,
                           master->up() ? "up" : "down", raft::text(s.role), s.term.value(), s.last.value(),
                           s.durable.value(), s.commit.value(), master->applied().value(),
                           master->stopped() ? " refused" : "");
    }
    checker_.fail("I14: healed, but not converged after 60 s:" + state +
                  (nemesis_->whole() ? "" : " not whole") + (clients_->final_write_done() ? "" : " no write"));
    return;
  }
  if (profile_.witness) one_after_the_other();
}

// Two masters and a witness: each may be gone, one after the other, and writes go on.
void World::one_after_the_other() {
  const auto leading = [&]() -> Master* {
    Master* found = nullptr;
    for (auto& master : masters_) {
      if (master->up() && master->status().role == raft::Role::leader &&
          (found == nullptr || master->status().term > found->status().term)) {
        found = master.get();
      }
    }
    return found;
  };
  // Both have everything, and the witness does not say otherwise.
  const auto at_rest = [&] {
    const auto* master = leading();
    if (master == nullptr || !converged()) return false;
    const auto& register_of = master->status().in_sync;
    return register_of.witness && !register_of.asked && register_of.needed.size() == 2 &&
           (!register_of.known || register_of.known->members.size() == 2);
  };
  const auto config = checker_.configuration();
  if (config.full_voters().size() != 2 || !config.witness()) return;
  std::vector<NodeId> members = config.full_voters();
  members.push_back(*config.witness());
  for (int round = 0; round < 3; ++round) {
    auto until = now_ + kHealingMax;
    const auto changed = [&] { return checker_.configuration() != config; };
    run_events(kHealingSteps, [&] { return now_ > until || changed() || at_rest(); });
    if (checker_.failure() || changed()) return;  // changed: somebody was still joining
    if (!at_rest()) return checker_.fail("I14: both masters are alive, and the witness does not come to know it");
    const auto slot = *slot_of(members[witness_random_.below(3)]);
    nemesis_->hold_down(slot);
    if (slot >= kSlots) {
      witness(slot).crash();
    } else {
      master(slot).crash(witness_random_.chance(500'000));
    }
    clients_->another_write();
    until = now_ + kHealingMax;
    run_events(kHealingSteps, [&] { return now_ > until || clients_->final_write_done(); });
    if (checker_.failure()) return;
    if (!clients_->final_write_done()) {
      return checker_.fail(fmt::format("I14: of two masters and a witness slot {} is gone, and nothing is written any more", slot));
    }
    checker_.events.count("losses of one of three survived");
    nemesis_->hold_down(std::nullopt);
  }
}

void World::begin() {
  std::vector<raft::Member> founders;
  std::vector<NodeId> ids;
  for (std::size_t slot = 0; slot < profile_.founders; ++slot) {
    ids.push_back(new_id());
    founders.push_back({.id = ids.back(), .address = "slot" + std::to_string(slot), .voter = true});
  }
  for (std::size_t slot = kSlots; slot < kMachines && profile_.witness; ++slot) {
    witness(slot).format(new_id());
    after(Duration(static_cast<std::int64_t>(witness_random_.below(5'000'000))), [this, slot] { witness(slot).start(); });
  }
  if (profile_.witness && (options_.calm_masters > 0 || options_.within_model || witness_random_.chance(700'000))) {
    founders.push_back({.id = witness(kSlots).id(), .address = "witness", .voter = true, .witness = true});
  }
  const auto founding = raft::Configuration(founders).with_lease_cap(profile_.lease_cap);
  checker_.founded(founding);
  if (!options_.history.empty()) {
    CHECK(options_.within_model);
    history_ = std::make_unique<History>(options_.history, profile_.founders, profile_.lease_cap, founding.witness());
    CHECK(history_->ok());
  }
  for (std::size_t slot = 0; slot < profile_.founders; ++slot) {
    masters_[slot]->format(true, founding, ids[slot]);
    after(between(0us, 5ms), [this, slot] { masters_[slot]->start(); });
  }
  clients_->start();
  nemesis_->start();
}

void World::lose(std::size_t slot) {
  if (slot >= kSlots) {
    witness(slot).crash();
  } else {
    master(slot).crash(true);
  }
}

bool World::a_write_succeeds() {
  constexpr Duration kPatience = 20s;
  clients_->another_write();
  const auto until = now_ + kPatience;
  run_events(kHealingSteps, [&] { return now_ > until || clients_->final_write_done(); });
  CHECK(!checker_.failure());
  return clients_->final_write_done();
}

bool World::writes_go_on(const std::vector<std::size_t>& lost, const std::vector<std::size_t>& back,
                         const std::vector<std::size_t>& then) {
  CHECK(options_.calm_masters > 0);
  const auto rest = [this](Duration length) {
    const auto until = now_ + length;
    run_events(kHealingSteps, [&] { return now_ > until; });
  };
  begin();
  CHECK(a_write_succeeds());
  rest(2s);
  for (const auto slot : lost) lose(slot);
  if (!a_write_succeeds()) return false;
  if (then.empty()) return true;
  for (const auto slot : then) lose(slot);
  for (const auto slot : back) {
    if (slot >= kSlots) {
      witness(slot).start();
    } else {
      master(slot).start();
    }
  }
  return a_write_succeeds();
}

Outcome World::run() {
  begin();
  run_events(options_.steps, {});
  if (!checker_.failure() && !ended_early_) final_phase();
  if (ended_early_) checker_.events.count("runs ended early");
  clients_->flush();
  checker_.finish();

  Outcome outcome;
  outcome.failure = checker_.failure();
  outcome.digest = mixed(digest_, checker_.hash);
  outcome.steps = steps_;
  outcome.events = checker_.events;
  for (auto& master : masters_) {
    if (!master->formatted()) continue;
    const auto& c = master->status().counters;
    auto& e = outcome.events;
    e.count("pre-votes", c.prevotes_started);
    e.count("wrong suspicions", c.wrong_suspicions);
    e.count("leaders without a quorum", c.quorum_lost);
    e.count("conflicts", c.conflicts);
    e.count("truncations", c.truncations);
    e.count("snapshots installed", c.snapshots_installed);
    if (!profile_.witness) continue;
    e.count("leaders that went on alone", c.went_alone);
    e.count("masters back in sync", c.joined_again);
    e.count("elections barred by the record", c.elections_barred);
  }
  outcome.events.count("entries committed", checker_.committed_last().value());
  return outcome;
}

}  // namespace holdfast::sim
