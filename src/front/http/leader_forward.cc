#include "front/http/leader_forward.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/log.h"

namespace holdfast::front {
namespace {

// Shorter than Options::grace, so that a leader whose host is gone is known as "surely without effect" in time.
constexpr Duration kConnectTimeout = 400ms;

// Connections to a leader of the past that is frozen rather than dead are broken this long after the change.
constexpr Duration kBreakAfter = 1s;

master::Refusal unknown_outcome(const std::string& leader) {
  return {master::Refusal::Kind::outcome_unknown,
          "the leading master " + leader +
              " was lost while it worked on this: it may have been done or not; look before asking again"};
}

master::Refusal unreachable(const std::string& leader, const std::string& why) {
  return {master::Refusal::Kind::unavailable, "the leading master " + leader + " cannot be reached: " + why, 1s};
}

}  // namespace

struct LeaderForward::Inside : std::enable_shared_from_this<Inside> {
  Inside(master::Master& m, client::HttpPool& p, io::EventLoops& l, io::Clock& c, Options o)
      : master(m), pool(p), loops(l), clock(c), options(o), passed(l.size()), tokens(l.size()) {}

  // What the leader knows its fellow masters by; "1" while its process is not known here. On loop `number`.
  const std::string& token(std::size_t number, const master::Leader& leader);

  // `request` as the leader is to get it, from loop `number`.
  client::HttpRequest addressed(client::HttpRequest request, std::size_t number, const master::Leader& leader) {
    request.authority = leader.http;
    request.headers.emplace_back(kForwardedHeader, token(number, leader));
    request.connect_timeout = kConnectTimeout;
    return request;
  }

  // On loop `number`: someone else leads now.
  void leader_changed(std::size_t number);

  master::Master& master;
  client::HttpPool& pool;
  io::EventLoops& loops;
  io::Clock& clock;
  const Options options;
  // Each touched on its own loop only.
  std::vector<std::unordered_set<std::shared_ptr<Passed>>> passed;
  struct Token {
    NodeId leader;
    Term term;
    std::string text;
  };
  std::vector<Token> tokens;
};

// One request on its way. Lives on one loop. `epoch_` counts the steps, so that a timer or an answer that belongs to an
// earlier one is known and dropped.
struct LeaderForward::Passed : std::enable_shared_from_this<Passed> {
  Passed(std::shared_ptr<Inside> inside, io::EventLoop& loop, client::HttpRequest request, Repeat repeat, Done done)
      : inside_(std::move(inside)),
        loop_(loop),
        request_(std::move(request)),
        repeat_(repeat),
        done_(std::move(done)),
        deadline_(inside_->clock.now() + inside_->options.wait) {}

  void step() {
    if (!done_) return;
    ++epoch_;
    sent_ = false;
    const auto now = inside_->clock.now();
    auto leader = inside_->master.leader();
    if (leader && leader->self) return finish(Here{});
    if (leader && !leader->http.empty() && !is_avoided(*leader, now)) return transmit(std::move(*leader));
    if (now >= deadline_) return give_up(leader);
    wait(std::min(inside_->options.pause, deadline_ - now));
  }

  // The leader is another one than before; told once per change.
  void leader_changed() {
    if (!done_) return;  // finished while others were told
    if (!sent_) return step();
    const auto leader = inside_->master.leader();
    if (!leader || leader->id == to_.id) return;
    if (repeat_ == Repeat::never) {
      loop_.post_after(inside_->options.grace, [self = shared_from_this(), epoch = epoch_] {
        if (epoch == self->epoch_) self->finish(unknown_outcome(self->to_.http));
      });
    } else {
      repeat_at_the_next();
    }
  }

  bool is_sent_to_other_than(const NodeId& leader) const { return sent_ && to_.id != leader; }
  const std::string& sent_to() const { return to_.http; }

 private:
  bool is_avoided(const master::Leader& leader, Instant now) const {
    return leader.id == avoided_ && now < avoided_until_;
  }

  void avoid(Duration d) {
    avoided_ = to_.id;
    avoided_until_ = inside_->clock.now() + d;
  }

  void wait(Duration d) {
    loop_.post_after(d, [self = shared_from_this(), epoch = epoch_] {
      if (epoch == self->epoch_) self->step();
    });
  }

  void transmit(master::Leader leader) {
    to_ = std::move(leader);
    sent_ = true;
    ++sends_;
    auto request = inside_->addressed(request_, loop_.number(), to_);
    request.silence_timeout = inside_->options.silence;
    inside_->pool.send(loop_, std::move(request), [self = shared_from_this(), epoch = epoch_](auto answer) {
      if (epoch == self->epoch_) self->answered(std::move(answer));
    });
  }

  void answered(Result<client::HttpAnswer> answer) {
    if (answer.ok()) {
      const auto verdict = client::header(answer->headers, kNotLeaderHeader);
      if (verdict.empty()) return finish(std::move(*answer));
      why_ = "it does not lead any more";
      may_be_done_ = may_be_done_ || verdict == kMayBeDone;
      return without_effect();
    }
    why_ = answer.error().what();
    switch (answer.error().code()) {
      case Code::unavailable:
      case Code::timed_out:
      case Code::busy: return without_effect();
      default: break;
    }
    if (repeat_ == Repeat::never) return finish(unknown_outcome(to_.http));
    repeat_at_the_next();
  }

  void without_effect() {
    --sends_;
    avoid(inside_->options.pause);
    step();
  }

  void repeat_at_the_next() {
    may_be_done_ = true;
    if (sends_ >= inside_->options.sends_max) return give_up(to_);
    deadline_ = inside_->clock.now() + inside_->options.wait;
    avoid(inside_->options.same_leader_pause);
    step();
  }

  void give_up(const std::optional<master::Leader>& leader) {
    if (repeat_ == Repeat::by_id && may_be_done_) return finish(unknown_outcome(to_.http));
    finish(leader ? unreachable(leader->http, why_) : inside_->master.no_leader_refusal());
  }

  void finish(Outcome outcome) {
    ++epoch_;
    const auto self = shared_from_this();
    inside_->passed[loop_.number()].erase(self);
    const auto done = std::exchange(done_, nullptr);
    done(std::move(outcome));
  }

  const std::shared_ptr<Inside> inside_;
  io::EventLoop& loop_;
  const client::HttpRequest request_;
  const Repeat repeat_;
  Done done_;

  std::uint64_t epoch_ = 0;
  bool sent_ = false;  // to `to_`, and not answered
  master::Leader to_;
  int sends_ = 0;  // that may have taken effect
  bool may_be_done_ = false;
  Instant deadline_;
  NodeId avoided_;
  Instant avoided_until_ = kDistantPast;
  std::string why_ = "it has not been tried";
};

const std::string& LeaderForward::Inside::token(std::size_t number, const master::Leader& leader) {
  auto& known = tokens[number];
  if (known.leader == leader.id && known.term == leader.term && known.text.size() > 1) return known.text;
  known = {leader.id, leader.term, "1"};
  const auto view = master.cluster_status().view;
  const auto* member = view ? view->member(leader.id) : nullptr;
  if (member != nullptr && !member->process.empty()) known.text = text(member->process);
  return known.text;
}

void LeaderForward::Inside::leader_changed(std::size_t number) {
  const auto leader = master.leader();
  std::unordered_set<std::string> past;
  // A copy: leader_changed() may finish requests, and their handlers may pass on new ones.
  const std::vector<std::shared_ptr<Passed>> now(passed[number].begin(), passed[number].end());
  for (const auto& one : now) {
    if (leader && one->is_sent_to_other_than(leader->id)) past.insert(one->sent_to());
    one->leader_changed();
  }
  for (const auto& authority : past) {
    loops.at(number).post_after(kBreakAfter, [weak = weak_from_this(), authority] {
      const auto inside = weak.lock();
      if (!inside) return;
      const auto leads = inside->master.leader();
      if (leads && leads->http != authority) inside->pool.break_connections(authority);
    });
  }
}

LeaderForward::LeaderForward(master::Master& master, client::HttpPool& pool, io::EventLoops& loops, io::Clock& clock)
    : LeaderForward(master, pool, loops, clock, Options{}) {}

LeaderForward::LeaderForward(master::Master& master, client::HttpPool& pool, io::EventLoops& loops, io::Clock& clock,
                             Options options)
    : inside_(std::make_shared<Inside>(master, pool, loops, clock, options)) {
  std::vector<master::LocationChange> initial;  // of no interest here
  subscription_ = master.subscribe(
      [this](const master::LocationChange& change) {
        if (!change.leader.empty()) on_leader_change();
      },
      &initial);
}

LeaderForward::~LeaderForward() = default;

void LeaderForward::on_leader_change() {
  leader_changes_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < inside_->loops.size(); ++i) {
    inside_->loops.at(i).post([weak = std::weak_ptr<Inside>(inside_), i] {
      if (const auto inside = weak.lock()) inside->leader_changed(i);
    });
  }
}

void LeaderForward::send(io::EventLoop& loop, client::HttpRequest request, Repeat repeat, Done done) {
  // The usual cases first, without an object of their own.
  if (const auto leader = inside_->master.leader(); leader && leader->self) return done(Here{});
  auto passed = std::make_shared<Passed>(inside_, loop, std::move(request), repeat, std::move(done));
  inside_->passed[loop.number()].insert(passed);
  passed->step();
}

void LeaderForward::ask(io::EventLoop& loop, client::HttpRequest request,
                        std::function<void(std::optional<client::HttpAnswer>)> done) {
  const auto leader = inside_->master.leader();
  if (!leader || leader->self || leader->http.empty()) return done(std::nullopt);
  inside_->pool.send(loop, inside_->addressed(std::move(request), loop.number(), *leader), [done](auto answer) {
    done(answer.ok() ? std::optional(std::move(*answer)) : std::nullopt);
  });
}

}  // namespace holdfast::front
