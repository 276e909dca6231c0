// Reports: takes what volume servers say, on whichever thread their stream is read, and answers.
//
// A server of ours gets an answer when something in it is new to it and every few seconds; one of upstream's when the
// protocol wants it: the first time, and on a follower each time, with the leader's address, where it then goes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "service/master/pulses.h"
#include "service/master/shared.h"

namespace holdfast::master {

class Reports {
 public:
  explicit Reports(Shared& shared)
      : shared_(shared), pulses_(shared.random, [loop = shared.loop_owner] { loop->wake(); }) {}

  std::unique_ptr<ReportSession> open(std::string peer, Master::Tell tell);

  void take_pulses_at(std::uint16_t port) { pulse_port_ = port; }
  void received_pulse(BytesView datagram);

  // Lets the topology know of signs of life, then finds who fell silent. On the loop. When to look again.
  Instant look(Instant now);

 private:
  class Session;

  Shared& shared_;
  std::atomic<std::uint64_t> next_session_{1};
  std::atomic<std::uint16_t> pulse_port_{0};
  Pulses pulses_;
};

// The members as volume servers should know them: what the consensus knows, and addresses from the registry for those
// that were not heard yet.
std::vector<MemberView> members_with_addresses(const View& view, const topology::RegistryState& state);

// "host:port.grpcport", as upstream names a master; "" if the address is not known.
std::string upstream_name(const MemberView& member);

}  // namespace holdfast::master
