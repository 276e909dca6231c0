// Calls that wait: for disks, for peers, for a slow caller. Each runs on a thread of its own and speaks with its caller
// by functions that return when the message has gone out or come in, so that what it does reads from top to bottom.
//
// The library's own threads never wait: a reactor here only passes on that something is done. A call ends by finish(),
// after which nothing may touch it. When the caller goes away or the server stops, `cancel` is set, every function
// answers false, and the work ends soon.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "front/grpc/status.h"
#include "service/volume/cancel.h"

namespace holdfast::front {

// The threads of a service's calls, at most so many at a time. Its destructor waits for them all: the server must have
// stopped before, and with it cancelled what is under way.
class CallThreads {
 public:
  static constexpr int kThreadsMax = 512;  // a tail that lasts for ever takes one each

  ~CallThreads() {
    const Guard guard(mutex_);
    while (running_ > 0) ended_.wait(mutex_);
  }

  // False when too many run.
  bool run(std::function<void()> work) {
    {
      const Guard guard(mutex_);
      if (running_ >= kThreadsMax) return false;
      running_++;
    }
    std::thread([this, work = std::move(work)]() mutable {
      work();
      work = nullptr;  // what it holds goes before the count says so
      const Guard guard(mutex_);
      running_--;
      ended_.notify_all();
    }).detach();
    return true;
  }

 private:
  Mutex mutex_;  // leaf
  Condition ended_;
  int running_ HOLDFAST_GUARDED_BY(mutex_) = 0;
};

inline grpc::Status too_many_calls() {
  return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many calls of this kind are under way here: try again when some have ended");
}

// What the kinds of calls below share: one operation at a time is waited for.
class BlockingState {
 public:
  std::shared_ptr<volume::Cancel> cancel() const { return cancel_; }

 protected:
  void begin() {
    const Guard guard(mutex_);
    is_waiting_ = true;
  }
  bool wait() {
    const Guard guard(mutex_);
    while (is_waiting_) done_.wait(mutex_);
    return is_ok_;
  }
  void end(bool ok) {
    const Guard guard(mutex_);
    is_waiting_ = false;
    is_ok_ = ok;
    done_.notify_all();
  }

  const std::shared_ptr<volume::Cancel> cancel_ = std::make_shared<volume::Cancel>();

 private:
  Mutex mutex_;  // leaf
  Condition done_;
  bool is_waiting_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool is_ok_ HOLDFAST_GUARDED_BY(mutex_) = true;
};

// One request, many answers.
template <typename Response>
class BlockingWriter final : public grpc::ServerWriteReactor<Response>, public BlockingState {
 public:
  // Runs `work(writer)`, which returns how the call ends.
  template <typename Work>
  static BlockingWriter* run(CallThreads& threads, Work work) {
    auto* const call = new BlockingWriter;
    const bool runs = threads.run([call, work = std::move(work)] { call->Finish(work(*call)); });
    if (!runs) call->Finish(too_many_calls());
    return call;
  }
  // A call that is over before it began.
  static BlockingWriter* refused(const grpc::Status& status) {
    auto* const call = new BlockingWriter;
    call->Finish(status);
    return call;
  }

  bool write(const Response& response) {
    begin();
    this->StartWrite(&response);
    if (wait()) return !cancel_->is_set();
    cancel_->set();
    return false;
  }

 private:
  void OnWriteDone(bool ok) override { end(ok); }
  void OnCancel() override { cancel_->set(); }
  void OnDone() override { delete this; }
};

// Many requests, one answer.
template <typename Request>
class BlockingReader final : public grpc::ServerReadReactor<Request>, public BlockingState {
 public:
  template <typename Work>
  static BlockingReader* run(CallThreads& threads, Work work) {
    auto* const call = new BlockingReader;
    const bool runs = threads.run([call, work = std::move(work)] { call->Finish(work(*call)); });
    if (!runs) call->Finish(too_many_calls());
    return call;
  }
  static BlockingReader* refused(const grpc::Status& status) {
    auto* const call = new BlockingReader;
    call->Finish(status);
    return call;
  }

  // False when there are no more.
  bool read(Request& request) {
    begin();
    this->StartRead(&request);
    return wait();
  }

 private:
  void OnReadDone(bool ok) override { end(ok); }
  void OnCancel() override { cancel_->set(); }
  void OnDone() override { delete this; }
};

// One request, one answer that takes long.
class BlockingUnary final : public grpc::ServerUnaryReactor {
 public:
  // Runs `work(cancel)`.
  template <typename Work>
  static BlockingUnary* run(CallThreads& threads, Work work) {
    auto* const call = new BlockingUnary;
    const bool runs = threads.run([call, work = std::move(work)] { call->Finish(work(*call->cancel_)); });
    if (!runs) call->Finish(too_many_calls());
    return call;
  }

 private:
  void OnCancel() override { cancel_->set(); }
  void OnDone() override { delete this; }

  const std::shared_ptr<volume::Cancel> cancel_ = std::make_shared<volume::Cancel>();
};

}  // namespace holdfast::front
