// Nemesis: misfortune. It crashes, pauses, cuts, clogs, fills, slows, rots, wipes, moves and removes, by the weights of
// the run's profile, and starts again what it stopped.
//
// It keeps the faults survivable: at most one member at a time has lost something that was on its disk (by rot or a
// wipe), and the next may only when that one is whole again or no longer a member. Everything else may come at once.
#pragma once

#include <optional>
#include <set>

#include "test/sim/world.h"

namespace holdfast::sim {

class Nemesis {
 public:
  explicit Nemesis(World& world) : world_(world) {}

  void start();
  void heal();          // no more misfortune; everything starts again
  bool whole() const;   // nobody lacks anything it once had

  // Called by a master whose process ended by itself, whose identity is gone, whose log has a hole.
  void died(Master& master);
  void identity_lost(Master& master);
  void damaged(Master& master);

  // This machine stays down, whatever else is healed.
  void hold_down(std::optional<std::size_t> slot) { held_down_ = slot; }

 private:
  void trouble();
  void strike(const std::string& kind);
  void administer();
  void restart_later(std::size_t slot, Duration from, Duration spread);
  void tell_of_death(std::size_t slot);
  void give_up_and_vanish();
  void wipe(std::size_t slot);
  std::optional<std::size_t> some(bool up);
  std::optional<std::size_t> leader() const;
  void propose_change(raft::Change change);
  void check_loss();

  // nemesis_witness.cc
  bool strike_witness(const std::string& kind);
  void wipe_witness(std::size_t slot);
  void administer_witness();

  struct Loss {
    std::size_t slot;
    NodeId id;      // who lost something
    bool wiped;  // else: rotted
  };
  World& world_;
  std::optional<Loss> loss_;
  std::set<NodeId> rotted_;
  bool healing_ = false;
  std::optional<std::size_t> held_down_;
  Instant settled_at_{};  // no removal is under way that could leave too few voters
};

}  // namespace holdfast::sim
