// The nemesis of worlds with a witness: what befalls it, and what the masters' hosts would do about it.
#include "test/sim/master.h"
#include "test/sim/nemesis.h"
#include "test/sim/witness.h"

namespace holdfast::sim {

bool Nemesis::strike_witness(const std::string& kind) {
  if (kind.rfind("witness", 0) != 0 && kind.rfind("masters", 0) != 0) return false;
  auto& random = world_.witness_random();
  const auto delay = [&](std::uint64_t from_ms, std::uint64_t spread_ms) {
    return Duration(std::chrono::milliseconds(from_ms + random.below(spread_ms)));
  };
  const auto slot = kSlots + random.below(kWitnessMachines);
  auto& machine = world_.witness(slot);
  const auto led = leader();
  if (kind == "witness dies") {
    machine.crash();
    world_.after(delay(0, 400), [&machine] { machine.start(); });
  } else if (kind == "witness blinks") {
    machine.crash();
    world_.after(delay(0, 3), [&machine] { machine.start(); });
  } else if (kind == "witness pauses") {
    machine.pause(delay(5, 400));
  } else if (kind == "witness slow") {
    machine.slow_disk(random.chance(500'000) ? Duration(0) : delay(1, 200));
  } else if (kind == "witness wiped") {
    wipe_witness(slot);
  } else if (kind == "witness cut") {
    const auto master = random.below(kSlots);
    const auto ways = random.below(3);
    if (ways != 1) world_.set_cut(slot, master, true);
    if (ways != 2) world_.set_cut(master, slot, true);
  } else if (kind == "masters apart") {
    // Each still has the witness. One way only, at times.
    const auto ways = random.below(3);
    for (std::size_t a = 0; a < kSlots; ++a) {
      for (std::size_t b = a + 1; b < kSlots; ++b) {
        if (ways != 1) world_.set_cut(a, b, true);
        if (ways != 2) world_.set_cut(b, a, true);
      }
    }
  } else if (kind == "masters in turn" && led) {
    // The other is gone until the leader goes on alone; then that one dies, too, and the first is back.
    for (std::size_t other = 0; other < kSlots; ++other) {
      auto& master = world_.master(other);
      if (other == *led || !master.up()) continue;
      master.crash(random.chance(500'000));
      restart_later(other, delay(100, 500), 100ms);
    }
    world_.after(delay(80, 400), [this, slot = *led, down = delay(1, 600)] {
      if (healing_) return;
      world_.master(slot).crash(true);
      restart_later(slot, down, 50ms);
    });
  } else if (kind == "masters part" && led) {
    // The leader keeps the witness for as long as the other takes to stand; then it loses that, too, which forgets it.
    for (std::size_t other = 0; other < kSlots; ++other) {
      if (other == *led) continue;
      world_.set_cut(*led, other, true);
      world_.set_cut(other, *led, true);
    }
    world_.after(delay(80, 150), [this, led = *led] {
      if (healing_) return;
      for (std::size_t slot = kSlots; slot < kMachines; ++slot) {
        world_.set_cut(led, slot, true);
        world_.set_cut(slot, led, true);
        world_.witness(slot).crash();
        world_.witness(slot).start();
      }
    });
  } else if (kind == "masters flap" && led) {
    // The other goes and comes, so that records follow one another, and some of them are lost or late.
    for (std::size_t other = 0; other < kSlots; ++other) {
      auto& master = world_.master(other);
      if (other != *led && master.up()) master.pause(delay(60, 300), false);
    }
  }
  return true;
}

void Nemesis::wipe_witness(std::size_t slot) {
  auto& machine = world_.witness(slot);
  machine.crash();
  machine.format(world_.new_id());
  world_.checker().events.count("witnesses wiped");
  world_.after(5ms, [&machine] { machine.start(); });
}

// Beside an even number of masters there is to be a witness, and no other one. One that has spoken and is no member gets
// a new name before it may be one again.
void Nemesis::administer_witness() {
  if (!world_.profile().witness) return;
  auto& random = world_.witness_random();
  const auto& now = world_.checker().configuration();
  const bool even = now.full_voters().size() % 2 == 0;
  for (std::size_t slot = kSlots; slot < kMachines; ++slot) {
    auto& machine = world_.witness(slot);
    const bool idle = now.witness() != machine.id();
    if (idle && (machine.removed() || (!machine.virgin() && random.chance(50'000)))) wipe_witness(slot);
    if (healing_ && !machine.up() && slot != held_down_) machine.start();
  }
  if (const auto witness = now.witness()) {
    const auto slot = world_.slot_of(*witness);
    const bool gone = !slot || world_.witness(*slot).id() != *witness;
    if (gone || (!even && random.chance(100'000))) propose_change(raft::RemoveMember{*witness});
    return;
  }
  if (!even) return;
  const auto slot = kSlots + random.below(kWitnessMachines);
  auto& machine = world_.witness(slot);
  if (!machine.up() || !machine.virgin() || !random.chance(300'000)) return;
  propose_change(raft::AddMember{{.id = machine.id(), .address = "witness", .witness = true}});
}

}  // namespace holdfast::sim
