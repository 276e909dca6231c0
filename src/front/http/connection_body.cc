// The receiving of a request's body: what the handler reads, and what is left of it afterwards.
#include <sys/socket.h>

#include <algorithm>

#include "front/http/connection.h"

namespace holdfast::http {

namespace {

constexpr std::size_t kBodyBytes = 64_KiB;  // one read of a body
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

Connection::Body Connection::take_body(std::string_view& piece) {
  if (body_finished_) return Body::finished;
  while (true) {
    const bool from_head = in_begin_ < in_end_;
    auto& begin = from_head ? in_begin_ : body_begin_;
    const auto end = from_head ? in_end_ : body_end_;
    if (begin == end) return Body::need_more;
    const std::string_view bytes((from_head ? in_.get() : body_.get()) + begin, end - begin);
    if (!parsed_.chunked) {
      piece = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), body_left_)));
      begin += piece.size();
      body_left_ -= piece.size();
      body_finished_ = body_left_ == 0;
      return Body::piece;
    }
    const auto step = chunks_.feed(bytes);
    begin += step.consumed;
    if (step.malformed) return Body::malformed;
    if (step.finished) {
      body_finished_ = true;
      return Body::finished;
    }
    if (!step.data.empty()) {
      piece = step.data;
      return Body::piece;
    }
  }
}

Connection::Received Connection::receive_body_now() {
  if (!body_) body_.reset(new char[kBodyBytes]);
  body_begin_ = body_end_ = 0;
  std::size_t room = kBodyBytes;
  if (!parsed_.chunked) room = static_cast<std::size_t>(std::min<std::uint64_t>(room, body_left_));
  std::size_t n = 0;
  const auto received = receive(body_.get(), room, n);
  if (received == Received::some) body_end_ = n;
  return received;
}

// What was announced of the body will not come, or cannot be told apart from what follows it.
void Connection::give_body_up(const char* why) {
  keep_alive_ = false;
  body_finished_ = true;
  read_result_.emplace(Error(Code::invalid, why));
}

bool Connection::read_ready() {
  Busy busy(*this);
  CHECK(phase_ == Phase::serving);
  if (continue_owed_ && !broken_) {
    continue_owed_ = false;
    const bool arrived = in_begin_ < in_end_;  // it did not wait: no need to tell it
    const iovec piece{const_cast<char*>(kContinue.data()), kContinue.size()};
    if (!arrived && answer_ == Answer::none && send_some({&piece, 1}) != static_cast<ssize_t>(kContinue.size())) {
      fail({Code::io, "client does not read"});
    }
  }
  std::string_view piece;
  while (true) {
    if (broken_) {
      read_result_.emplace(*broken_);
      return true;
    }
    switch (take_body(piece)) {
      case Body::piece:
        read_result_.emplace(bytes_of(piece));
        return true;
      case Body::finished:
        read_result_.emplace(BytesView());
        return true;
      case Body::malformed:
        give_body_up("malformed chunked encoding");
        return true;
      case Body::need_more:
        switch (receive_body_now()) {
          case Received::some:
            break;
          case Received::nothing_yet:
            return false;
          case Received::ended:
            give_body_up("unexpected EOF");  // the client may still read the answer
            return true;
        }
        break;
    }
  }
}

void Connection::read_wait(std::coroutine_handle<> waiting) {
  waiting_ = waiting;
  set_deadline(listener_.options().body_timeout);
  awaits_read_ = true;
}

void Connection::resume_read() {
  deadline_ = kDistantFuture;
  if (!read_ready()) {
    read_wait(std::exchange(waiting_, nullptr));  // woken for nothing
    return;
  }
  wake();
}

Result<BytesView> Connection::read_outcome() {
  if (!read_result_) return broken_ ? *broken_ : Error(Code::io, "connection closed");
  auto result = std::move(*read_result_);
  read_result_.reset();
  return result;
}

// --- what the handler left

bool Connection::can_skip_body() {
  if (continue_owed_) return false;  // the client may or may not send it: only closing is clear
  return parsed_.chunked || body_left_ <= listener_.options().drain_bytes_max;
}

bool Connection::drain_some() {
  std::string_view piece;
  while (true) {
    switch (take_body(piece)) {
      case Body::piece:
        drained_ += piece.size();
        if (drained_ > listener_.options().drain_bytes_max) {
          keep_alive_ = false;
          return true;
        }
        break;
      case Body::finished:
        return true;
      case Body::malformed:
        keep_alive_ = false;
        return true;
      case Body::need_more:
        switch (receive_body_now()) {
          case Received::some:
            break;
          case Received::nothing_yet:
            return false;
          case Received::ended:
            close();
            return true;
        }
        break;
    }
  }
}

void Connection::drain() {
  if (drain_some()) {
    if (closed_) return;
    if (keep_alive_) {
      next_request();
    } else {
      linger();
    }
    return;
  }
  awaits_read_ = true;
}

}  // namespace holdfast::http
