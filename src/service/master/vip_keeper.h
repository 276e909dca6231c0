// VipKeeper: holds the virtual IP while this master leads (vip_policy.h), and runs -onLeader and -onFollower.
//
// A thread of its own does what the policy says: sets the address for kVipGrant, again and again, announces it, takes it
// away, tells the other masters when it is free. What is on the interface from before (a crash) goes first; an address that
// somebody means to stay there is refused, since two masters would have it.
//
// The guardian (guardian.h) is told how to take the address away, for when this process is dead or stands still.
//
// Threads: start and stop belong to one thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "io/clock.h"
#include "io/posix/interface_address.h"
#include "service/master/guardian.h"
#include "service/master/role_hooks.h"
#include "service/master/vip_policy.h"

namespace holdfast::master {

struct VipConfig {
  std::optional<io::posix::IpPrefix> address;
  std::string interface;
  std::string on_leader;    // commands for sh -c; empty: none
  std::string on_follower;
  [[nodiscard]] bool is_empty() const { return !address && on_leader.empty() && on_follower.empty(); }
};
// What is wrong with the flags as such.
Status validate(const VipConfig& config);

class VipKeeper {
 public:
  struct Hooks {
    std::function<LeadFacts()> facts;  // of this moment
    // What to tell each other master: the address is free of `term`, `free_in` from now.
    std::function<std::vector<Certificate>(Term term, Duration free_in)> farewells;
    std::function<void()> hand_over;  // leadership, to whoever; if there is nobody, it ends its term
  };

  // Takes away what is left of before. An error says what to do: no such interface, not allowed, meant to stay.
  static Result<std::unique_ptr<VipKeeper>> start(VipConfig config, io::Clock& clock, Guardian* guardian, Hooks hooks);
  ~VipKeeper();  // stops

  // Lets go, says so, runs -onFollower if -onLeader was the last. After the hand-over, before the links end.
  void stop();

 private:
  VipKeeper(VipConfig config, io::Clock& clock, Guardian* guardian, Hooks hooks)
      : config_(std::move(config)), clock_(clock), guardian_(guardian), hooks_(std::move(hooks)) {}
  void run();
  void look();
  [[nodiscard]] bool let_go();
  void farewell(const LeadFacts& facts, bool held);
  void tell_guardian(const LeadFacts& facts);
  void announce_due(Instant now);
  Duration pause() const;

  const VipConfig config_;
  io::Clock& clock_;
  Guardian* const guardian_;
  const Hooks hooks_;

  Mutex mutex_;
  Condition changed_;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;

  // The thread's own.
  std::optional<io::posix::InterfaceAddress> address_;
  std::optional<io::posix::UdpSocket> socket_;
  VipPolicy policy_;
  LeadFacts last_;               // when it last led
  bool owes_farewell_ = false;   // led, and has not said yet what became of the address
  std::optional<bool> was_leader_;
  std::size_t announced_ = 0;
  Instant taken_at_ = kDistantPast;
  Instant revoked_since_ = kDistantPast;
  std::string trouble_;          // said once
  Instant guardian_told_at_ = kDistantPast;
  std::unique_ptr<RoleHooks> role_hooks_;

  std::thread thread_;
};

}  // namespace holdfast::master
