#include "service/master/vip_keeper.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "base/log.h"
#include "base/metrics.h"

namespace holdfast::master {
namespace {

constexpr Duration kPauseLeading = 20ms;  // between two looks; leadership that ends is told at once
constexpr Duration kPauseAtRest = 200ms;
constexpr std::array<Duration, 4> kAnnounceAt = {Duration(0), 100ms, 500ms, 2s};  // after it was taken
constexpr Duration kTellGuardianEvery = 1s;  // addresses of members change seldom
// A leader whose guardian has told the others that the address is free cannot have it again in its term.
constexpr Duration kRevokedFor = 1s;

}  // namespace

namespace {

metrics::Gauge& held_gauge() {
  static auto& gauge = metrics::process().gauge("holdfast_vip_held", "1 while this master holds the virtual IP");
  return gauge;
}

}  // namespace

Status validate(const VipConfig& config) {
  if (config.address && config.interface.empty()) {
    return Error{Code::invalid, "-vip needs -vip.interface: the network interface that is to have the address"};
  }
  if (!config.address && !config.interface.empty()) {
    return Error{Code::invalid, "-vip.interface is given without -vip: the address to put there"};
  }
  return {};
}

Result<std::unique_ptr<VipKeeper>> VipKeeper::start(VipConfig config, io::Clock& clock, Guardian* guardian, Hooks hooks) {
  std::unique_ptr<VipKeeper> keeper(new VipKeeper(std::move(config), clock, guardian, std::move(hooks)));
  const auto& wanted = keeper->config_;
  if (wanted.address) {
    auto address = io::posix::InterfaceAddress::open(wanted.interface, *wanted.address);
    if (!address) return address.error().at("-vip.interface");
    const auto there = address->presence();
    if (!there) return there.error().at("-vip");
    if (*there == io::posix::InterfaceAddress::Presence::for_ever) {
      return Error{Code::refused, "-vip: " + text(*wanted.address) + " is set on " + wanted.interface +
                                      " to stay there. The masters put it there for as long as they may: take it out of "
                                      "the machine's own settings (ip addr del " + text(*wanted.address) + " dev " +
                                      wanted.interface + ")"};
    }
    // Says as well whether this process may do such things.
    if (auto done = address->remove(); !done) {
      return Error{done.error().code(), "-vip: " + done.error().what() +
                                            ". A master with a virtual IP needs the capabilities CAP_NET_ADMIN and "
                                            "CAP_NET_RAW (run it as root, or with AmbientCapabilities= of systemd)"};
    }
    if (*there == io::posix::InterfaceAddress::Presence::for_a_time) {
      LOG_INFO("the virtual IP {} was left on {} by a master that died: taken away", text(*wanted.address),
               wanted.interface);
    }
    keeper->address_.emplace(std::move(*address));
    auto socket = io::posix::UdpSocket::bind("", 0);
    if (socket) keeper->socket_.emplace(std::move(*socket));
  }
  keeper->role_hooks_ = std::make_unique<RoleHooks>(wanted.on_leader, wanted.on_follower);
  keeper->thread_ = std::thread([self = keeper.get()] { self->run(); });
  return keeper;
}

VipKeeper::~VipKeeper() { stop(); }

void VipKeeper::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  role_hooks_.reset();
}

Duration VipKeeper::pause() const {
  return address_ && (was_leader_.value_or(false) || policy_.holds()) ? kPauseLeading : kPauseAtRest;
}

void VipKeeper::run() {
  for (;;) {
    {
      Guard guard(mutex_);
      if (!stopping_) (void)changed_.wait_for(mutex_, pause());
      if (stopping_) break;
    }
    look();
  }
  // In good order: this process leads no more, or ends.
  auto facts = hooks_.facts();
  const bool held = policy_.holds();
  if (facts.leads) {
    last_ = facts;
    owes_farewell_ = true;
  }
  if (held && !let_go()) owes_farewell_ = false;  // then its time has to run out
  if (owes_farewell_) farewell(last_, held);
  if (was_leader_.value_or(false)) role_hooks_->became(false, facts.term);
}

void VipKeeper::look() {
  const auto facts = hooks_.facts();
  const Instant now = clock_.now();
  const bool leads = facts.leads && facts.has_committed;
  if (was_leader_ != leads) {
    was_leader_ = leads;
    role_hooks_->became(leads, facts.term);
  }
  if (!address_) return;

  const auto action = policy_.look(now, facts);
  const bool held = policy_.holds();
  if (action == VipPolicy::Action::drop) {
    if (!let_go()) owes_farewell_ = false;  // then its time has to run out
    policy_.done(action, now, facts);
  } else if (action != VipPolicy::Action::nothing) {
    if (action == VipPolicy::Action::take) tell_guardian(facts);  // before it is set
    const auto set = address_->set(kVipGrant);
    // What has happened meanwhile may have made it somebody else's: this process may have stood still before it set it.
    const auto after = hooks_.facts();
    if (clock_.now() >= facts.answered + kVipGrant || !after.leads || after.term != facts.term || after.revoked) {
      (void)address_->remove();
    } else if (!set) {
      if (trouble_ != set.error().what()) LOG_ERROR("the virtual IP: {}", trouble_ = set.error().what());
    } else {
      policy_.done(action, now, facts);
      trouble_.clear();
      if (action == VipPolicy::Action::take) {
        LOG_INFO("holds the virtual IP {} on {}", text(*config_.address), config_.interface);
        held_gauge().set(1);
        taken_at_ = now;
        announced_ = 0;
      }
    }
  }
  if (policy_.holds()) {
    announce_due(now);
    if (now >= guardian_told_at_ + kTellGuardianEvery) tell_guardian(facts);
  }
  // What it says of a term is final, so it says nothing while it may still take the address in that term.
  if (owes_farewell_ && (!facts.leads || facts.term != last_.term)) farewell(last_, held);
  if (facts.leads) {
    last_ = facts;
    owes_farewell_ = true;
  }
  if (!facts.leads || !facts.revoked) {
    revoked_since_ = kDistantPast;
  } else if (revoked_since_ == kDistantPast) {
    revoked_since_ = now;
  } else if (now >= revoked_since_ + kRevokedFor) {
    revoked_since_ = now;
    hooks_.hand_over();
  }
}

bool VipKeeper::let_go() {
  const auto removed = address_->remove();
  held_gauge().set(0);
  if (guardian_ != nullptr) guardian_->prepare_removal(last_.term, "", {});
  LOG_INFO("lets go of the virtual IP {}", text(*config_.address));
  if (!removed) LOG_ERROR("the virtual IP: {}; the kernel drops it within {} s", removed.error().what(), kVipGrant.count());
  return removed.ok();
}

// To the others: from when on nobody up to that term holds it.
void VipKeeper::farewell(const LeadFacts& facts, bool held) {
  owes_farewell_ = false;
  if (!socket_) return;
  const Duration free_in = held ? Duration(0) : VipPolicy::free_at(facts) - clock_.now();
  // A datagram may be lost, and then the grant has to run out; so it is sent more than once.
  for (int i = 0; i < 3; ++i) {
    for (const auto& one : hooks_.farewells(facts.term, std::max(free_in, Duration(0)))) {
      (void)socket_->send(one.to, bytes_of(one.datagram));
    }
  }
}

void VipKeeper::tell_guardian(const LeadFacts& facts) {
  guardian_told_at_ = clock_.now();
  if (guardian_ == nullptr) return;
  guardian_->prepare_removal(facts.term, address_->removal(), hooks_.farewells(facts.term, Duration(0)));
}

void VipKeeper::announce_due(Instant now) {
  if (announced_ == kAnnounceAt.size() || now < taken_at_ + kAnnounceAt[announced_]) return;
  ++announced_;
  const auto done = address_->announce();
  if (!done && announced_ == 1) LOG_ERROR("the virtual IP: {}", done.error().what());
}

}  // namespace holdfast::master
