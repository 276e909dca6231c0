// LeaderForward: passes a request on to the master that leads, wherever that is by now.
//
// A client may talk to any master. What only the leader can do is passed on by the others, and a leader that dies
// meanwhile is not the client's trouble (spec/weed-cluster 2.4, ours instead of upstream's 502):
//   - no leader known: the request waits for one, up to Options::wait, then is refused in words;
//   - the leader surely saw nothing of it (refused, not reachable, it leads no more): it goes to the next one;
//   - the leader was lost after it may have seen it: sent once more to the next leader if that does no harm (an assign:
//     the first key is merely never used), at once when the next one is known, without waiting for the old one's silence
//     to end (a frozen leader keeps its connections). What may not be done twice (growth, deletion) is answered
//     `outcome_unknown`. What counts once however often it is sent (by_id) is repeated too, but when nobody answers in
//     the end it is `outcome_unknown` as well.
// A master that is passed such a request and does not lead answers with kNotLeaderHeader and does not pass it on again,
// so two masters of different opinion never play ball.
//
// Threads: send() on a loop of `loops`; `done` comes on the same loop, exactly once, perhaps inside send().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>

#include "base/time.h"
#include "client/http_pool.h"
#include "io/clock.h"
#include "io/event_loop.h"
#include "service/master/master.h"

namespace holdfast::front {

// On a request: another master passed it on; its value names the leader's running process (View::process), which only
// masters know, so that the leader can believe that the client was let in there (white list). On an answer: that master
// does not lead; with kMayBeDone as its value it was the leader when it began.
inline constexpr std::string_view kForwardedHeader = "X-Holdfast-Forwarded";
inline constexpr std::string_view kNotLeaderHeader = "X-Holdfast-Not-Leader";
inline constexpr std::string_view kMayBeDone = "maybe";

class LeaderForward {
 public:
  struct Options {
    Duration wait = 2s;             // for a leader that can be reached
    Duration pause = 20ms;          // between looks when nobody tells of a new leader
    Duration same_leader_pause = 250ms;  // before a leader that lost our request is asked again
    Duration grace = 500ms;         // what must not be repeated may still be answered by a leader of the past
    Duration silence = 30s;         // a leader that keeps leading may think this long: growth takes its time
    int sends_max = 2;              // of those that may have taken effect
  };

  enum class Repeat { harmless, by_id, never };

  struct Here {};  // this master leads: do it here
  using Outcome = std::variant<client::HttpAnswer, Here, master::Refusal>;
  using Done = std::function<void(Outcome)>;

  LeaderForward(master::Master& master, client::HttpPool& pool, io::EventLoops& loops, io::Clock& clock);
  LeaderForward(master::Master& master, client::HttpPool& pool, io::EventLoops& loops, io::Clock& clock, Options options);
  ~LeaderForward();  // nothing may be under way any more; before master, pool and loops

  // `request` without authority and without kForwardedHeader.
  void send(io::EventLoop& loop, client::HttpRequest request, Repeat repeat, Done done);

  // One try at the leader known now, for what this master can do without: nothing if there is none, if it is this
  // master, or if it does not answer.
  void ask(io::EventLoop& loop, client::HttpRequest request,
           std::function<void(std::optional<client::HttpAnswer>)> done);

  // What waits for a leader, or for the answer of one that is no more, looks again. Called by itself when the master
  // tells of a new leader. From any thread.
  void on_leader_change();

  // How often the master told of a new leader.
  std::uint64_t leader_changes() const { return leader_changes_.load(std::memory_order_relaxed); }

 private:
  struct Inside;
  struct Passed;
  std::shared_ptr<Inside> inside_;  // shared with timers that have nothing left to do
  std::atomic<std::uint64_t> leader_changes_{0};
  std::unique_ptr<master::Subscription> subscription_;
};

}  // namespace holdfast::front
