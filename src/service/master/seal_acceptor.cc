#include "service/master/seal_acceptor.h"

#include "base/log.h"

namespace holdfast::master {
namespace {

constexpr std::size_t kToldMax = 100;

class SealedLink final : public IncomingLink {
 public:
  SealedLink(Seal::Stream stream, std::unique_ptr<IncomingLink> inner) : stream_(std::move(stream)), inner_(std::move(inner)) {}

  bool received(const RaftFrame& frame) override {
    RaftFrame opened;
    return stream_.open(frame, &opened) && inner_->received(opened);
  }

 private:
  Seal::Stream stream_;
  const std::unique_ptr<IncomingLink> inner_;
};

}  // namespace

void SealedAcceptor::tell(const Error& why) {
  {
    Guard guard(mutex_);
    if (told_.size() >= kToldMax || !told_.insert(why.what()).second) return;
  }
  LOG_WARNING("a master's call is refused: {}", why.what());
}

void SealedAcceptor::meet(const RaftGreeting& from, RaftGreeting* answer) {
  RaftGreeting plain = from;
  const auto call = seal_.open_call("meet", &plain);
  if (!call) {
    tell(call.error());
    return answer->set_refusal(call.error().what());
  }
  inner_.meet(plain, answer);
  (void)seal_.seal_answer("meet", *call, answer);
}

void SealedAcceptor::join(const RaftGreeting& from, RaftJoinReply* answer) {
  RaftGreeting plain = from;
  const auto call = seal_.open_call("join", &plain);
  if (!call) {
    tell(call.error());
    return answer->set_text(call.error().what());
  }
  inner_.join(plain, answer);
  (void)seal_.seal_answer("join", *call, answer);
}

std::unique_ptr<IncomingLink> SealedAcceptor::opened(const RaftGreeting& from, RaftGreeting* answer) {
  RaftGreeting plain = from;
  const auto call = seal_.open_call("link", &plain);
  if (!call) {
    tell(call.error());
    answer->set_refusal(call.error().what());
    return nullptr;
  }
  auto link = inner_.opened(plain, answer);
  const auto number = seal_.seal_answer("link", *call, answer);
  if (!link || !seal_.is_on()) return link;
  return std::make_unique<SealedLink>(seal_.stream(*call, number), std::move(link));
}

}  // namespace holdfast::master
