// SealedAcceptor: what other masters call, with the cluster secret looked at first (seal.h). Whoever has another secret, or
// none, is refused in words, which are logged here once for each caller.
#pragma once

#include <memory>

#include "service/master/link_acceptor.h"
#include "service/master/seal.h"

namespace holdfast::master {

class SealedAcceptor final : public LinkAcceptor {
 public:
  // Both outlive this.
  SealedAcceptor(Seal& seal, LinkAcceptor& inner) : seal_(seal), inner_(inner) {}

  void meet(const RaftGreeting& from, RaftGreeting* answer) override;
  void join(const RaftGreeting& from, RaftJoinReply* answer) override;
  std::unique_ptr<IncomingLink> opened(const RaftGreeting& from, RaftGreeting* answer) override;

 private:
  void tell(const Error& why);

  Seal& seal_;
  LinkAcceptor& inner_;
  Mutex mutex_;  // leaf
  std::set<std::string> told_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::master
