// Staleness: how old what a read-only master answers may be at most.
//
// It asks the leader, again and again, how far the cluster is, and notes when each question was *asked*: once this master
// has applied everything up to the answer, it knows all that was acknowledged before that moment. So the time since then, on
// this master's own clock, is a bound that no clock of another machine and no delay on the way can break. Without a leader
// it grows.
//
// One thread of its own; bound() from any.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/time.h"
#include "io/clock.h"
#include "service/master/consensus.h"

namespace holdfast::master {

class Staleness {
 public:
  static constexpr Duration kInterval = 100ms;  // between two questions

  explicit Staleness(io::Clock& clock) : clock_(clock), shared_(std::make_shared<Shared>()) {}
  ~Staleness() { stop(); }

  // `consensus` outlives stop().
  void start(Consensus& consensus);
  void stop();

  // Empty: this master has never heard from a leader since its start.
  [[nodiscard]] std::optional<Duration> bound() const;

 private:
  struct Shared {  // with answers that may come late
    std::atomic<std::int64_t> fresh{kDistantPast.time_since_epoch().count()};
    std::atomic<bool> is_asking{false};
  };

  void run(Consensus& consensus);

  io::Clock& clock_;
  const std::shared_ptr<Shared> shared_;
  Mutex mutex_;
  Condition woken_;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// What a read-only master says to whoever wants something changed; `leader` is its host:port, "" while there is none.
std::string read_only_text(const std::string& leader);

}  // namespace holdfast::master
