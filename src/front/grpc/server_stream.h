// ServerStream: the server's side of a bidirectional stream, with a queue before it, so that a service only says what
// it received, what goes out and how it ends.
//
// The library wants each of read, write and finish started at most once at a time, nothing after finish, and calls back
// on any thread. Here: what to start is decided under the lock and started after it was let go, because the object may
// be gone the moment finish has been started. The stream keeps itself alive until OnDone; others hold it by weak or
// shared pointers.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace holdfast::front {

template <typename Request, typename Response>
class ServerStream : public grpc::ServerBidiReactor<Request, Response>,
                     public std::enable_shared_from_this<ServerStream<Request, Response>> {
 public:
  // `waiting_max`: answers that may wait for a slow client; post() ends the stream beyond it.
  explicit ServerStream(std::size_t waiting_max) : waiting_max_(waiting_max) {}

  // Begins to read; the library may have the result from now on.
  static grpc::ServerBidiReactor<Request, Response>* run(std::shared_ptr<ServerStream> stream) {
    ServerStream* const reactor = stream.get();
    reactor->self_ = std::move(stream);
    reactor->StartRead(&reactor->request_);
    return reactor;
  }

  // Queues an answer. False when the stream ends or the client is too slow: then it ends.
  bool post(Response response) {
    Action action = Action::nothing;
    bool taken = false;
    bool overflow = false;
    {
      const Guard guard(mutex_);
      if (!ending_ && !broken_) {
        if (queue_.size() >= waiting_max_) {
          ending_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the client reads too slowly");
          overflow = true;
          if (queue_.size() > 1) queue_.erase(queue_.begin() + 1, queue_.end());
        } else {
          queue_.push_back(std::move(response));
          taken = true;
        }
        action = next();
      }
    }
    if (overflow) overflowed();
    perform(action);
    return taken;
  }

  // Ends the stream once what is queued has gone out. Later calls mean nothing.
  void end(grpc::Status status) {
    Action action = Action::nothing;
    {
      const Guard guard(mutex_);
      if (!ending_) ending_ = std::move(status);
      action = next();
    }
    perform(action);
  }

 protected:
  // One message of the client; the next one is read when this has returned and resume() says so.
  virtual void received(const Request& request) = 0;

  // The client sends no more, or is gone. Called at most once.
  virtual void left() {}

  // The stream ends because the client reads too slowly. Called at most once.
  virtual void overflowed() {}

  // No call comes after this one; let go of what might call the stream.
  virtual void over() {}

  // Whether to read on at once; otherwise call resume() later, once.
  virtual bool reads_on() { return true; }
  void resume() {
    {
      const Guard guard(mutex_);
      if (ending_ || broken_) return;
      starting_read_ = true;
    }
    this->StartRead(&request_);
    Action action = Action::nothing;
    {
      const Guard guard(mutex_);
      starting_read_ = false;
      action = next();
    }
    perform(action);
  }

 private:
  enum class Action { nothing, write, finish };

  Action next() HOLDFAST_REQUIRES(mutex_) {
    if (writing_ || starting_read_ || finished_) return Action::nothing;
    if (!queue_.empty() && !broken_) {
      writing_ = true;
      return Action::write;
    }
    if (!ending_) return Action::nothing;
    finished_ = true;
    return Action::finish;
  }

  void perform(Action action) {
    if (action == Action::write) {
      this->StartWrite(&queue_.front());  // stays in front until OnWriteDone
    } else if (action == Action::finish) {
      this->Finish(*ending_);
    }
  }

  void OnReadDone(bool ok) final {
    if (ok) {
      received(request_);
      if (reads_on()) resume();
      return;
    }
    left();
    end(grpc::Status::OK);
  }

  void OnWriteDone(bool ok) final {
    Action action = Action::nothing;
    {
      const Guard guard(mutex_);
      writing_ = false;
      queue_.pop_front();
      if (!ok) {
        broken_ = true;
        if (!ending_) ending_ = grpc::Status::OK;
      }
      action = next();
    }
    perform(action);
  }

  // The client is gone or the server shuts down: nothing more can go out.
  void OnCancel() final { end(grpc::Status::CANCELLED); }

  void OnDone() final {
    over();
    const auto last = std::move(self_);
  }

  const std::size_t waiting_max_;
  Request request_;  // of the read under way
  std::shared_ptr<ServerStream> self_;

  Mutex mutex_;  // leaf
  std::deque<Response> queue_ HOLDFAST_GUARDED_BY(mutex_);  // the front one may be in writing
  bool writing_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool starting_read_ HOLDFAST_GUARDED_BY(mutex_) = false;  // decided, and not yet told to the library
  bool broken_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool finished_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> ending_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::front
