#include "front/http/connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace holdfast::http {

using io::http1::Parsed;

namespace {

constexpr std::size_t kInBytes = 4096;           // first size of the receive buffer: most heads are far smaller
constexpr std::size_t kHeadersFirst = 24;        // storage for header lines; doubled when a head has more
constexpr std::size_t kOutBytes = 1024;          // first size of an answer's buffer
constexpr std::size_t kOutKeptBytes = 64_KiB;    // an answer's buffer above this is given back
constexpr std::size_t kCopiedBytes = 4_KiB;      // copying this costs less than a second piece costs the kernel
constexpr int kRequestsInARow = 64;              // of one pipelining connection before others get their turn
constexpr Duration kLingerTime = 2s;
constexpr std::uint64_t kLingerBytes = 4_MiB;

constexpr std::string_view kPlainHttp =
    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
constexpr std::string_view kChunkEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

iovec piece_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

bool is_without_body(int status) { return status == 204 || status == 304 || status < 200; }

}  // namespace

Connection::Connection(Listener& listener, int fd, std::string peer_ip, std::uint16_t peer_port,
                       std::uint16_t local_port)
    : listener_(listener),
      fd_(fd),
      tls_(listener.options().tls ? listener.options().tls->accept(fd) : nullptr),
      peer_ip_(std::move(peer_ip)),
      peer_port_(peer_port),
      local_port_(local_port),
      in_(new char[kInBytes]),
      in_capacity_(kInBytes),
      headers_(kHeadersFirst),
      out_(kOutBytes, kOutKeptBytes),
      exchange_(*this) {
  exchange_.head_.out_ = &out_;
  listener_.add(*this);
}

Connection::~Connection() { listener_.remove(*this); }

void Connection::start() {
  Busy busy(*this);
  set_deadline(listener_.options().head_timeout);
  awaits_read_ = true;
  if (!loop().watch(fd_, *this)) close();
}

void Connection::set_deadline(Duration after) { deadline_ = listener_.now() + after; }

void Connection::deadline_passed() {
  Busy busy(*this);
  deadline_ = kDistantFuture;
  if (phase_ == Phase::head && in_begin_ != in_end_) {
    refuse(408, "408 Request Timeout");  // a head that came too slowly
    return;
  }
  if (phase_ == Phase::serving && waiting_ == nullptr) return;  // the handler is at work: its time is its own
  if (awaits_write_ && client_reads_on()) {
    set_deadline(listener_.options().body_timeout);
    return;
  }
  fail({Code::timed_out, "client too slow"});
}

// --- receiving heads

void Connection::on_ready(bool readable, bool writable, bool ended) {
  Busy busy(*this);
  listener_.read_clock();
  // A handshake may wait for room to write; what was read before tells nothing of what the socket has.
  readable_ = readable_ || readable || (tls_ && writable);
  ended_ = ended_ || ended;
  if (writable && awaits_write_) on_sendable();
  if (closed_ || !readable_ || !awaits_read_) return;
  awaits_read_ = false;
  switch (phase_) {
    case Phase::head:
      process();
      break;
    case Phase::serving:
      resume_read();
      break;
    case Phase::draining:
      drain();
      break;
    case Phase::lingering:
      linger();
      break;
    case Phase::flushing:
      break;
  }
}

Connection::Received Connection::receive(char* to, std::size_t room, std::size_t& n) {
  if (!readable_) return Received::nothing_yet;
  if (tls_) return receive_encrypted(to, room, n);
  while (true) {
    const auto got = ::recv(fd_, to, room, MSG_DONTWAIT);
    if (got > 0) {
      n = static_cast<std::size_t>(got);
      if (n < room && !ended_) readable_ = false;
      return Received::some;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      readable_ = false;
      return Received::nothing_yet;
    }
    return Received::ended;
  }
}

Connection::Received Connection::receive_encrypted(char* to, std::size_t room, std::size_t& n) {
  const auto got = tls_->receive(to, room);
  if (got > 0) {
    n = static_cast<std::size_t>(got);
    return Received::some;
  }
  if (got < 0 && errno == EAGAIN) {
    readable_ = false;
    return Received::nothing_yet;
  }
  if (tls_->is_plain_http() && phase_ == Phase::head && !closed_) {
    // What Go's servers say. Whoever sent it reads no TLS, so neither is the answer.
    [[maybe_unused]] const auto sent = ::send(fd_, kPlainHttp.data(), kPlainHttp.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  } else if (!tls_->why().empty() && !served_) {
    LOG_ONCE("TLS with {}: {}; the connection is closed (said once)", peer_ip_, tls_->why());
  }
  return Received::ended;
}

ssize_t Connection::send_some(std::span<const iovec> pieces) {
  if (tls_) return tls_->send(pieces);
  if (pieces.size() == 1) return ::send(fd_, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  return ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

Connection::Received Connection::receive_head() {
  std::size_t n = 0;
  const auto received = receive(in_.get() + in_end_, in_capacity_ - in_end_, n);
  if (received == Received::some) {
    if (in_begin_ == in_end_) set_deadline(listener_.options().head_timeout);
    in_end_ += n;
  } else if (received == Received::nothing_yet) {
    awaits_read_ = true;
  } else {
    close();
  }
  return received;
}

void Connection::process() {
  if (processing_) return;
  processing_ = true;
  for (int served = 0; phase_ == Phase::head && !closed_; ++served) {
    if (served == kRequestsInARow) {
      ++posted_;
      listener_.loop().post([this] {
        Busy busy(*this);
        --posted_;
        process();
      });
      break;
    }
    if (!serve_next()) break;
  }
  processing_ = false;
}

bool Connection::serve_next() {
  const std::string_view bytes(in_.get() + in_begin_, in_end_ - in_begin_);
  if (bytes.empty()) {
    in_begin_ = in_end_ = 0;
    return receive_head() == Received::some;
  }
  auto parsed = io::http1::parse_request(bytes, scanned_, headers_, parsed_);
  while (parsed == Parsed::too_many && headers_.size() < listener_.options().headers_max) {
    headers_.resize(std::min(headers_.size() * 2, listener_.options().headers_max));
    parsed = io::http1::parse_request(bytes, scanned_, headers_, parsed_);
  }
  switch (parsed) {
    case Parsed::complete:
      break;
    case Parsed::incomplete:
      if (make_room()) return receive_head() == Received::some;
      refuse(431, "431 Request Header Fields Too Large");
      return false;
    case Parsed::malformed:
      refuse(400, "400 Bad Request");
      return false;
    case Parsed::too_many:
      refuse(431, "431 Request Header Fields Too Large");
      return false;
    case Parsed::not_implemented:
      refuse(501, "501 Not Implemented: unsupported transfer encoding");
      return false;
    case Parsed::bad_version:
      refuse(505, "505 HTTP Version Not Supported");
      return false;
    case Parsed::bad_expectation:
      refuse(417, "417 Expectation Failed");
      return false;
  }
  if (parsed_.head_bytes > listener_.options().head_bytes_max) {
    refuse(431, "431 Request Header Fields Too Large");
    return false;
  }

  in_begin_ += parsed_.head_bytes;
  scanned_ = 0;
  auto& request = exchange_.request_;
  request.method = parsed_.method;
  request.method_text = parsed_.method_text;
  request.target = parsed_.target;
  request.path = parsed_.path;
  request.query = parsed_.query;
  request.headers = parsed_.headers;
  request.host = parsed_.host;
  request.peer_ip = peer_ip_;
  request.peer_port = peer_port_;
  request.version_minor = parsed_.version_minor;
  request.local_port = local_port_;
  request.body_bytes = parsed_.content_length.value_or(0);
  if (parsed_.chunked) request.body_bytes.reset();
  exchange_.kind_ = 0;

  body_left_ = parsed_.content_length.value_or(0);
  body_finished_ = !parsed_.chunked && body_left_ == 0;
  if (parsed_.chunked) chunks_ = {};
  continue_owed_ = parsed_.expects_continue && !body_finished_;
  keep_alive_ = parsed_.keep_alive && !listener_.is_stopping();
  is_head_ = parsed_.method == Method::head;
  answer_ = Answer::none;
  status_ = 0;
  phase_ = Phase::serving;
  served_ = is_to_be_told_ = true;
  deadline_ = kDistantFuture;
  served_at_ = listener_.now();  // read when it arrived, or when the one before it was answered

  listener_.handler().serve(exchange_);
  return phase_ == Phase::head;
}

bool Connection::make_room() {
  if (in_end_ - in_begin_ >= listener_.options().head_bytes_max) return false;
  if (in_end_ < in_capacity_) return true;
  if (in_begin_ > 0) {
    std::memmove(in_.get(), in_.get() + in_begin_, in_end_ - in_begin_);
  } else {
    const auto capacity = std::min(in_capacity_ * 2, listener_.options().head_bytes_max);
    std::unique_ptr<char[]> larger(new char[capacity]);
    std::memcpy(larger.get(), in_.get(), in_end_);
    in_ = std::move(larger);
    in_capacity_ = capacity;
  }
  in_end_ -= in_begin_;
  in_begin_ = 0;
  return true;
}

void Connection::refuse(int status, std::string_view text) {
  keep_alive_ = false;
  is_head_ = false;
  body_finished_ = true;
  served_ = is_to_be_told_ = false;
  phase_ = Phase::flushing;
  answer_ = Answer::none;
  head(status);
  exchange_.head_.add("Content-Type", "text/plain; charset=utf-8");
  complete_head(text.size(), false);
  out_.append(text);
  answer_ = Answer::finished;
  if (send_now({})) {
    answered();
  } else if (!closed_) {
    set_deadline(listener_.options().body_timeout);
    wait_to_send();
  }
}

// --- answering

io::EventLoop& Connection::loop() { return listener_.loop(); }

const ServerOptions& Connection::server_options() const { return listener_.options(); }

void Connection::head(int status) {
  CHECK(answer_ == Answer::none);
  status_ = status;
  body_sent_ = 0;
  out_.clear();
  out_sent_ = 0;
  if (status == 200) {
    out_.append("HTTP/1.1 200 OK\r\n");
    return;
  }
  out_.append("HTTP/1.1 ");
  out_.append_number(static_cast<std::uint64_t>(status));
  out_.append(" ");
  out_.append(reason(status));
  out_.append("\r\n");
}

void Connection::complete_head(std::optional<std::uint64_t> length, bool chunked) {
  if (length) {
    out_.append("Content-Length: ");
    out_.append_number(*length);
    out_.append("\r\n");
  } else if (chunked) {
    out_.append("Transfer-Encoding: chunked\r\n");
  }
  if (!keep_alive_) {
    out_.append("Connection: close\r\n");
  } else if (parsed_.version_minor == 0) {
    out_.append("Connection: keep-alive\r\n");
  }
  out_.append(listener_.date_line());
}

void Connection::finish(std::string_view first, std::string_view second,
                        std::optional<std::uint64_t> head_only_length) {
  Busy busy(*this);
  CHECK(phase_ == Phase::serving && (answer_ == Answer::none));
  CHECK(status_ != 0);
  if (!body_finished_ && !can_skip_body()) keep_alive_ = false;
  const auto total = first.size() + second.size();
  std::optional<std::uint64_t> length = total;
  if (head_only_length) {
    length = head_only_length;
  } else if (is_head_ && total == 0) {
    length.reset();
  }
  if (is_without_body(status_)) length.reset();
  complete_head(length, false);
  answer_ = Answer::finished;
  phase_ = Phase::flushing;

  const bool body = !is_head_ && !head_only_length && !is_without_body(status_);
  std::array<iovec, 2> both{piece_of(first), piece_of(second)};
  if (body) body_sent_ = total;
  std::span<iovec> pieces;  // what is not copied behind the head
  if (body && total <= kCopiedBytes) {
    out_.append(first).append(second);
  } else if (body) {
    pieces = both;
  }
  if (!broken_ && send_now(pieces)) {
    answered();
    return;
  }
  if (broken_) {
    answered();
    return;
  }
  // What is left of the caller's bytes must be kept; send_now has moved the pieces on to it.
  for (const auto& piece : pieces) out_.append({static_cast<const char*>(piece.iov_base), piece.iov_len});
  set_deadline(listener_.options().body_timeout);
  wait_to_send();
}

void Connection::begin(std::optional<std::uint64_t> length) {
  CHECK(phase_ == Phase::serving && answer_ == Answer::none && status_ != 0);
  answer_ = Answer::begun;
  length_ = length;
  written_ = 0;
  chunked_out_ = !length && parsed_.version_minor == 1 && !is_without_body(status_);
  if (!length && !chunked_out_ && !is_without_body(status_)) keep_alive_ = false;  // HTTP/1.0: the end is the end
  // A handler that copies the body to the answer reads it meanwhile; what it leaves decides at the end.
  complete_head(is_without_body(status_) ? std::nullopt : length, chunked_out_);
  chunked_out_ = chunked_out_ && !is_head_;
}

bool Connection::write_ready(std::string_view piece) {
  Busy busy(*this);
  CHECK(phase_ == Phase::serving && (answer_ == Answer::begun || answer_ == Answer::streaming));
  answer_ = Answer::streaming;
  written_ += piece.size();
  if (broken_) return true;
  if (length_ && written_ > *length_) {
    fail({Code::internal, "more of a body than was announced"});
    return true;
  }
  if (is_head_ || is_without_body(status_)) piece = {};
  body_sent_ += piece.size();
  std::string_view after;
  if (chunked_out_ && !piece.empty()) {
    out_.append_number(piece.size(), 16);
    out_.append("\r\n");
    after = kChunkEnd;
  }
  std::array<iovec, 2> pieces{piece_of(piece), piece_of(after)};
  if (send_now(pieces) || broken_) return true;
  piece_rest_ = {static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len};
  after_piece_ = {static_cast<const char*>(pieces[1].iov_base), pieces[1].iov_len};
  set_deadline(listener_.options().body_timeout);
  wait_to_send();
  return false;
}

Status Connection::write_outcome() {
  if (broken_) return *broken_;
  return {};
}

void Connection::end() {
  Busy busy(*this);
  CHECK(phase_ == Phase::serving && (answer_ == Answer::begun || answer_ == Answer::streaming));
  if (!broken_ && !is_head_ && length_ && written_ != *length_ && !is_without_body(status_)) {
    abort();
    return;
  }
  if (chunked_out_) out_.append(kLastChunk);
  if (!body_finished_ && !can_skip_body()) keep_alive_ = false;
  answer_ = Answer::finished;
  phase_ = Phase::flushing;
  if (broken_ || send_now({}) || broken_) {
    answered();
    return;
  }
  set_deadline(listener_.options().body_timeout);
  wait_to_send();
}

void Connection::abort() {
  Busy busy(*this);
  CHECK(phase_ == Phase::serving);
  answer_ = Answer::finished;
  phase_ = Phase::flushing;
  if (status_ == 0) status_ = 499;
  broken_ = Error(Code::io, "aborted");
  answered();
}

// --- sending

bool Connection::send_now(std::span<iovec> pieces) {
  std::array<iovec, 3> all;
  std::size_t count = 0;
  all[count++] = piece_of(out_.view().substr(out_sent_));
  for (const auto& piece : pieces) all[count++] = piece;

  std::size_t first = 0;
  while (true) {
    while (first < count && all[first].iov_len == 0) ++first;
    if (first == count) break;
    const bool is_single = first + 1 == count || (all[first + 1].iov_len == 0 && all[count - 1].iov_len == 0);
    const ssize_t n = send_some(std::span(all).subspan(first, is_single ? 1 : count - first));
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) fail({Code::io, std::strerror(errno)});
      break;
    }
    auto taken = static_cast<std::size_t>(n);
    for (std::size_t i = first; i < count && taken > 0; ++i) {
      const auto part = std::min(taken, all[i].iov_len);
      all[i].iov_base = static_cast<char*>(all[i].iov_base) + part;
      all[i].iov_len -= part;
      taken -= part;
    }
  }
  // Hand back what is left.
  out_sent_ = out_.size() - all[0].iov_len;
  for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i] = all[i + 1];
  if (first != count) return false;
  out_sent_ = 0;
  out_.clear();
  return true;
}

void Connection::wait_to_send() {
  if (closed_) return;
  awaits_write_ = true;
  unread_ = unread_by_client();
}

// What the kernel holds of this connection, because the client has not taken it. It says that there is room for more only when a
// good part of that has gone, which may be megabytes: a client that reads steadily may look as if it did not read at all.
int Connection::unread_by_client() const {
  int bytes = 0;
  return ::ioctl(fd_, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

bool Connection::client_reads_on() {
  const int before = std::exchange(unread_, unread_by_client());
  return unread_ < before;
}

void Connection::on_sendable() {
  awaits_write_ = false;
  const auto before = out_.size() - out_sent_ + piece_rest_.size() + after_piece_.size();
  std::array<iovec, 2> pieces{piece_of(piece_rest_), piece_of(after_piece_)};
  const bool all = send_now(pieces);
  if (broken_) return;
  if (!all) {
    piece_rest_ = {static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len};
    after_piece_ = {static_cast<const char*>(pieces[1].iov_base), pieces[1].iov_len};
    // Only progress moves the deadline.
    if (out_.size() - out_sent_ + piece_rest_.size() + after_piece_.size() < before) {
      set_deadline(listener_.options().body_timeout);
    }
    wait_to_send();
    return;
  }
  piece_rest_ = after_piece_ = {};
  deadline_ = kDistantFuture;
  if (phase_ == Phase::flushing) {
    answered();
  } else {
    wake();
  }
}

void Connection::wake() {
  if (auto waiting = std::exchange(waiting_, nullptr)) waiting.resume();
}

void Connection::fail(Error error) {
  if (!broken_) broken_ = std::move(error);
  piece_rest_ = after_piece_ = {};
  close();
}

// --- after an answer

void Connection::tell_observer() {
  if (!std::exchange(is_to_be_told_, false)) return;
  if (auto* observer = listener_.options().observer; observer != nullptr) {
    observer->finished(exchange_, status_, listener_.read_clock() - served_at_, listener_.loop().number());
  }
}

void Connection::answered() {
  if (phase_ != Phase::flushing) return;
  tell_observer();
  if (broken_) {
    close();
    return;
  }
  if (!keep_alive_) {
    linger();
    return;
  }
  if (!body_finished_) {
    phase_ = Phase::draining;
    drained_ = 0;
    set_deadline(listener_.options().body_timeout);
    drain();
    return;
  }
  next_request();
}

void Connection::next_request() {
  if (listener_.is_stopping()) {
    linger();
    return;
  }
  if (body_) {
    // What came behind a chunked body is the next request's.
    const auto more = body_end_ - body_begin_;
    if (more > 0) {
      CHECK(in_begin_ == in_end_);
      if (more > in_capacity_) {
        in_.reset(new char[more]);
        in_capacity_ = more;
      }
      std::memcpy(in_.get(), body_.get() + body_begin_, more);
      in_begin_ = 0;
      in_end_ = more;
    }
    body_.reset();
    body_begin_ = body_end_ = 0;
  }
  if (in_begin_ == in_end_) {
    in_begin_ = in_end_ = 0;
    if (in_capacity_ > kInBytes) {
      in_.reset(new char[kInBytes]);
      in_capacity_ = kInBytes;
    }
    set_deadline(listener_.options().idle_timeout);
    listener_.became_idle(*this);
  } else {
    set_deadline(listener_.options().head_timeout);
  }
  phase_ = Phase::head;
  exchange_.request_.headers = {};
  process();
}

void Connection::linger() {
  if (closed_) return;
  if (phase_ != Phase::lingering) {
    phase_ = Phase::lingering;
    if (tls_) tls_->shut();
    ::shutdown(fd_, SHUT_WR);
    set_deadline(kLingerTime);
    drained_ = 0;
  }
  std::array<char, 16384> dropped;
  while (true) {
    std::size_t n = 0;
    const auto received = receive(dropped.data(), dropped.size(), n);
    if (received == Received::nothing_yet) break;
    if (received == Received::ended || (drained_ += n) > kLingerBytes) {
      close();
      return;
    }
  }
  awaits_read_ = true;
}

void Connection::close() {
  if (closed_) return;
  Busy busy(*this);
  closed_ = true;
  deadline_ = kDistantFuture;
  if (phase_ == Phase::flushing) tell_observer();  // the client went before it had taken the answer
  if (!broken_) broken_ = Error(Code::io, "connection closed");
  awaits_read_ = awaits_write_ = false;
  loop().unwatch(fd_, *this);
  ::close(fd_);
  if (phase_ == Phase::serving && waiting_ != nullptr) {
    // Nobody else will wake the handler. Not from here: the caller may be the handler itself.
    ++posted_;
    listener_.loop().post([this] {
      Busy busy(*this);
      --posted_;
      wake();
    });
  }
}

void Connection::close_if_idle() {
  Busy busy(*this);
  keep_alive_ = false;
  if (is_idle()) close();
}

void Connection::break_up() {
  Busy busy(*this);
  fail({Code::io, "server is stopping"});
}

bool Connection::is_broken() {
  if (broken_) return true;
  char byte;
  const auto n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

}  // namespace holdfast::http
