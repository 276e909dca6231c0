#include "client/admin_lock.h"

#include <chrono>
#include <optional>
#include <thread>

#include "base/mutex.h"
#include "client/admin_client.h"

namespace holdfast::client {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Duration kAttemptMax = std::chrono::seconds(3);  // spec/weed-grpc 5.5
constexpr Duration kPauseInTrouble = std::chrono::milliseconds(300);  // before a renewal is tried again
constexpr Duration kPause = std::chrono::seconds(1);       // between two tries for one that another has

}  // namespace

class AdminLock::Impl {
 public:
  Impl(MasterClient& masters, Options options) : options_(std::move(options)), admin_(masters, kAttemptMax) {}
  ~Impl() { release(); }

  Status take(Duration patience) {
    if (is_held()) return {};
    release();  // joins a thread that lost it
    const auto until = Clock::now() + patience;
    for (bool told = false;;) {
      const auto asked = Clock::now();
      const auto token = admin_.lease_lock(options_.name, {}, options_.client, options_.message);
      if (token) {
        const Guard guard(mutex_);
        token_ = *token;
        good_until_ = asked + kLength;
        held_ = true;
        stopping_ = false;
        break;
      }
      const auto holder = admin_.lock_status(options_.name);
      if (!holder || !holder->is_locked) {
        if (Clock::now() >= until) return token.error();
      } else {
        const auto who = holder->client + (holder->message.empty() ? "" : ": " + holder->message);
        if (!told && options_.waiting) options_.waiting(who);
        told = true;
        if (Clock::now() >= until) return Error(Code::busy, "the lock is held by " + who);
      }
      std::this_thread::sleep_for(kPause);
    }
    thread_ = std::thread([this] { renew(); });
    return {};
  }

  void release() {
    std::optional<AdminToken> token;
    {
      const Guard guard(mutex_);
      stopping_ = true;
      if (token_.token != 0) token = token_;  // also one that was lost to silence: nobody needs to wait for its end
      held_ = false;
      woken_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
    if (!token) return;
    // The pair may have been renewed while the thread came to its end.
    const Guard guard(mutex_);
    (void)admin_.release_lock(options_.name, token_);
    token_ = {};
  }

  bool is_held() const {
    const Guard guard(mutex_);
    return held_ && Clock::now() < good_until_;
  }

 private:
  void renew() {
    mutex_.lock();
    for (Duration pause = kRenewEvery; !stopping_;) {
      woken_.wait_for(mutex_, pause, [this] { return stopping_; });
      if (stopping_) break;
      const auto token = token_;
      const auto asked = Clock::now();
      mutex_.unlock();
      const auto renewed = admin_.lease_lock(options_.name, token, options_.client, options_.message);
      mutex_.lock();
      if (renewed) {
        token_ = *renewed;
        good_until_ = asked + kLength;
        pause = kRenewEvery;
        continue;
      }
      // Another one's, for certain; or no answer for so long that it may be.
      const Code code = renewed.error().code();
      const bool is_trouble = code == Code::unavailable || code == Code::outcome_unknown || code == Code::timed_out ||
                              code == Code::not_leader || code == Code::busy;
      pause = kPauseInTrouble;
      if (stopping_ || (is_trouble && Clock::now() < good_until_)) continue;
      held_ = false;
      mutex_.unlock();
      if (options_.lost) options_.lost(renewed.error().what());
      return;
    }
    mutex_.unlock();
  }

  const Options options_;
  AdminClient admin_;  // one thread at a time: take() and release() only while there is no other
  mutable Mutex mutex_;
  Condition woken_;
  bool held_ = false;
  bool stopping_ = false;
  AdminToken token_;
  Clock::time_point good_until_;
  std::thread thread_;
};

AdminLock::AdminLock(MasterClient& masters, Options options)
    : impl_(std::make_unique<Impl>(masters, std::move(options))) {}
AdminLock::~AdminLock() = default;

Status AdminLock::take(Duration patience) { return impl_->take(patience); }
void AdminLock::release() { impl_->release(); }
bool AdminLock::is_held() const { return impl_->is_held(); }

}  // namespace holdfast::client
