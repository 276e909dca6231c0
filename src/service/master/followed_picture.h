// FollowedPicture: what a follower of the masters (`master.follower`) makes of what KeepConnected tells it: reports of
// volume servers to a Master of its own, which never leads and so only answers lookups.
//
// When the masters are lost the picture stays. With each new connection a new one begins: a server's first message then
// replaces what was known of it, and servers that are not told of within kSettling are forgotten.
//
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/time.h"
#include "service/master/consensus.h"
#include "service/master/master.h"

namespace holdfast::client {
class Timer;
}
namespace master_pb {
class VolumeLocation;
}

namespace holdfast::master {

// The consensus of a process that is no member: nobody leads, nothing is agreed on.
class NoConsensus final : public Consensus {
 public:
  explicit NoConsensus(Uuid process);
  ~NoConsensus() override;

  std::shared_ptr<const View> view() const override { return view_; }
  bool may_assign(Instant) const override { return false; }
  void propose(std::string command, Done done) override;
  void confirm_read(ReadDone done) override;
  void on_view_change(std::function<void()>) override {}

 private:
  std::shared_ptr<const View> view_;
  const std::unique_ptr<client::Timer> timer_;  // answers come from another thread, as they must
};

class FollowedPicture {
 public:
  static constexpr Duration kSettling = std::chrono::seconds(3);

  explicit FollowedPicture(Master& master, Duration settling = kSettling);
  ~FollowedPicture();

  void begin();                                              // a connection to a master came about
  void take(const master_pb::VolumeLocation& location);
  std::size_t servers() const;

 private:
  struct Server {
    std::unique_ptr<ReportSession> session;
    std::uint64_t picture = 0;  // the one it was last told of in
  };
  void forget_others(std::uint64_t picture);

  Master& master_;
  const Duration settling_;
  mutable Mutex mutex_;
  std::map<std::string, Server> servers_ HOLDFAST_GUARDED_BY(mutex_);  // by url
  std::uint64_t picture_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<client::Timer> timer_;  // last: its callbacks see the members above
};

}  // namespace holdfast::master
