#include "client/http_pool.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "base/task.h"
#include "base/mutex.h"
#include "io/http1.h"
#include "io/tls.h"

namespace holdfast::client {

namespace asio = boost::asio;
namespace http1 = io::http1;
using Tcp = asio::ip::tcp;

namespace {

constexpr std::size_t kReadBytes = 64_KiB;
constexpr std::size_t kHeadBytesMax = 64_KiB;
constexpr std::size_t kHeadersMax = 256;
constexpr std::size_t kPiecesInARow = 64;  // of one sendmsg
constexpr Duration kSweepInterval = 50ms;
constexpr Duration kStopPoll = 1ms;

Instant now() { return Instant(std::chrono::steady_clock::now().time_since_epoch()); }

struct HostPort {
  std::string host;
  std::string port;
};

// "[::1]:80", "host:80", "host"; without a port 80.
HostPort split(const std::string& authority) {
  const auto colon = authority.rfind(':');
  if (colon == std::string::npos || authority.find(']', colon) != std::string::npos) {
    auto host = authority;
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    return {host, "80"};
  }
  auto host = authority.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return {host, authority.substr(colon + 1)};
}

bool is_forbidden(char c) { return c == '\r' || c == '\n' || c == '\0'; }

bool has_forbidden(std::string_view text) { return std::any_of(text.begin(), text.end(), is_forbidden); }

class Side;

// One connection to one server.
class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(Side& side, asio::io_context& context, std::string authority, io::TlsContext* tls)
      : side_(side),
        authority_(std::move(authority)),
        context_(tls),
        socket_(context.get_executor()),
        resolver_(context) {}

  const std::string& authority() const { return authority_; }
  Instant deadline() const { return deadline_; }
  void set_deadline(Duration after) { deadline_ = now() + after; }
  void clear_deadline() { deadline_ = kDistantFuture; }

  // Closes; whoever waits wakes with `why`.
  void close(Error why) {
    if (closed_) return;
    closed_ = true;
    why_ = std::move(why);
    deadline_ = kDistantFuture;
    resolver_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
  }
  bool is_closed() const { return closed_; }
  Error why() const { return why_; }

  // Connects to the first address of the name that answers.
  Async<Status> connect(io::EventLoop& loop) {
    const auto where = split(authority_);
    Tcp::resolver::results_type addresses;
    boost::system::error_code error;
    auto address = asio::ip::make_address(where.host, error);
    if (!error) {
      const auto port = static_cast<std::uint16_t>(std::atoi(where.port.c_str()));
      addresses = Tcp::resolver::results_type::create(Tcp::endpoint(address, port), where.host, where.port);
    } else {
      using Resolved = std::pair<boost::system::error_code, Tcp::resolver::results_type>;
      auto start = [&](auto done) {
        resolver_.async_resolve(where.host, where.port,
                                [done](const boost::system::error_code& e, Tcp::resolver::results_type found) {
                                  done(Resolved(e, std::move(found)));
                                });
      };
      auto resolved = co_await awaited<Resolved>(loop, start);
      if (closed_) co_return why_;
      if (resolved.first) co_return Error(Code::unavailable, authority_ + ": " + resolved.first.message());
      addresses = std::move(resolved.second);
    }
    auto start = [&](auto done) {
      asio::async_connect(socket_, addresses,
                          [done](const boost::system::error_code& e, const Tcp::endpoint&) { done(e); });
    };
    auto failed = co_await awaited<boost::system::error_code>(loop, start);
    if (closed_) co_return why_;
    if (failed) co_return Error(Code::unavailable, "dial tcp " + authority_ + ": connect: " + failed.message());
    socket_.native_non_blocking(true, error);
    socket_.set_option(Tcp::no_delay(true), error);
    if (context_ == nullptr) co_return Status();
    tls_ = context_->connect(socket_.native_handle(), where.host);
    while (true) {
      const auto step = tls_->handshake();
      if (step == io::TlsSocket::Step::done) co_return Status();
      if (step == io::TlsSocket::Step::failed) {
        co_return Error(Code::unavailable, "dial tls " + authority_ + ": " + tls_->why() + hint(tls_->why()));
      }
      co_await event(step == io::TlsSocket::Step::wants_write);
      if (closed_) co_return why_;
    }
  }

  static std::string hint(const std::string& why) {
    if (why.find("wrong version number") != std::string::npos) {
      return " (that server speaks HTTP without TLS: set https.master.* and https.volume.* in its security.toml, or unset "
             "https.client.enabled here)";
    }
    if (why.starts_with("certificate: ")) return " (see https.client.ca in security.toml)";
    return "";
  }

  // Wakes at the next sign of life: something to read, or, if asked for, room to write. May wake for nothing.
  struct Event {
    Link& link;
    bool await_ready() const { return link.closed_; }
    void await_suspend(std::coroutine_handle<> waiting) { link.waiting_ = waiting; }
    void await_resume() const {}
  };
  Event event(bool or_writable) {
    if (!closed_) {
      watch();
      if (or_writable && !watching_write_) {
        watching_write_ = true;
        socket_.async_wait(Tcp::socket::wait_write, [self = shared_from_this()](const boost::system::error_code&) {
          self->watching_write_ = false;
          self->wake();
        });
      }
    }
    return {*this};
  }

  // Sees to it that the end of the connection is noticed at once, also while it is idle.
  void watch();

  // Sends what the socket takes. Error: broken.
  Result<std::size_t> send_now(std::span<iovec> pieces) {
    if (closed_) return why_;
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    while (true) {
      const auto n = tls_ ? tls_->send(pieces) : ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        sent_ += static_cast<std::uint64_t>(n);
        return static_cast<std::size_t>(n);
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return std::size_t{0};
      return Error(Code::io, authority_ + ": " + std::strerror(errno));
    }
  }

  enum class Received { some, none_yet, end };
  Result<Received> receive_now() {
    if (closed_) return why_;
    if (!in_) in_.reset(new char[kReadBytes]);
    if (begin_ == end_) begin_ = end_ = 0;
    if (end_ == kReadBytes) {
      if (begin_ == 0) return Error(Code::invalid, authority_ + ": answer's head is too large");
      std::memmove(in_.get(), in_.get() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    while (true) {
      const auto n = tls_ ? tls_->receive(in_.get() + end_, kReadBytes - end_)
                          : ::recv(socket_.native_handle(), in_.get() + end_, kReadBytes - end_, MSG_DONTWAIT);
      if (n > 0) {
        end_ += static_cast<std::size_t>(n);
        received_ = true;
        return Received::some;
      }
      if (n == 0) return Received::end;
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return Received::none_yet;
      return Error(Code::io, authority_ + ": " + std::strerror(errno));
    }
  }

  std::string_view buffered() const { return {in_.get() + begin_, end_ - begin_}; }
  void consume(std::size_t n) { begin_ += n; }
  // Nothing came beyond the answer that was read.
  bool is_drained() const { return buffered().empty() && !(tls_ && tls_->has_pending()); }

  bool reused = false;
  std::uint64_t sent() const { return sent_; }      // bytes of the present call
  bool has_received() const { return received_; }  // in the present call
  void begin_call() {
    sent_ = 0;
    received_ = false;
  }
  void became_idle(Duration timeout) {
    idle_ = true;
    in_.reset();  // a hundred idle connections should not hold a hundred buffers
    begin_ = end_ = 0;
    set_deadline(timeout);
    watch();
  }
  void became_busy() { idle_ = false; }

 private:
  void wake() {
    if (auto waiting = std::exchange(waiting_, nullptr)) waiting.resume();
  }

  Side& side_;
  const std::string authority_;
  io::TlsContext* const context_;  // null: plain
  std::unique_ptr<io::TlsSocket> tls_;
  asio::basic_stream_socket<Tcp, asio::io_context::executor_type> socket_;
  Tcp::resolver resolver_;
  std::unique_ptr<char[]> in_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t sent_ = 0;
  bool received_ = false;
  bool closed_ = false;
  bool idle_ = false;
  bool watching_ = false;
  bool watching_write_ = false;
  Error why_{Code::io, "closed"};
  Instant deadline_ = kDistantFuture;
  std::coroutine_handle<> waiting_;
};

// One loop's connections. All on that loop.
class Side {
 public:
  Side(io::EventLoop& loop, HttpPool::Options options) : loop_(loop), options_(options) {}

  io::EventLoop& loop() { return loop_; }

  std::shared_ptr<Link> take_idle(const std::string& authority) {
    auto found = servers_.find(authority);
    if (found == servers_.end() || found->second.idle.empty()) return nullptr;
    auto link = std::move(found->second.idle.back());  // the one used last is surest to be alive
    found->second.idle.pop_back();
    link->became_busy();
    link->reused = true;
    return link;
  }

  std::shared_ptr<Link> make_link(const std::string& authority) {
    auto link = std::make_shared<Link>(*this, loop_.context(), authority, options_.tls->get());
    links_.insert(link);
    if (!sweeping_) sweep();
    return link;
  }

  void give_back(std::shared_ptr<Link> link) {
    auto& idle = servers_[link->authority()].idle;
    if (stopping_ || idle.size() >= options_.idle_per_server_max) {
      drop(link, {Code::io, "no longer needed"});
      return;
    }
    link->became_idle(options_.idle_timeout);
    if (!link->is_closed()) idle.push_back(std::move(link));
  }

  void drop(const std::shared_ptr<Link>& link, Error why) {
    link->close(std::move(why));
    forget_idle(*link);
    links_.erase(link);
  }

  bool begin_call(const std::string& authority) {
    if (stopping_) return false;
    auto& calls = servers_[authority].calls;
    if (calls >= options_.calls_per_server_max) return false;
    ++calls;
    return true;
  }
  void end_call(const std::string& authority) {
    auto found = servers_.find(authority);
    if (--found->second.calls == 0 && found->second.idle.empty()) servers_.erase(found);
  }

  void break_links(const std::string* authority, const Error& why) {
    auto links = links_;
    for (const auto& link : links) {
      if (authority == nullptr || link->authority() == *authority) drop(link, why);
    }
  }
  void stop() {
    stopping_ = true;
    break_links(nullptr, {Code::io, "client is stopping"});
  }
  bool is_stopping() const { return stopping_; }

  std::atomic<std::size_t> under_way{0};  // calls, and sweeps that refer to this

 private:
  struct Server {
    std::vector<std::shared_ptr<Link>> idle;
    std::size_t calls = 0;
  };

  void forget_idle(Link& link) {
    auto found = servers_.find(link.authority());
    if (found == servers_.end()) return;
    std::erase_if(found->second.idle, [&](const auto& other) { return other.get() == &link; });
    if (found->second.idle.empty() && found->second.calls == 0) servers_.erase(found);
  }

  void sweep() {
    sweeping_ = true;
    ++under_way;
    loop_.post_after(kSweepInterval, [this] {
      const auto time = now();
      std::vector<std::shared_ptr<Link>> late;
      for (const auto& link : links_) {
        if (link->deadline() <= time) late.push_back(link);
      }
      for (const auto& link : late) drop(link, {Code::timed_out, link->authority() + ": no answer in time"});
      sweeping_ = false;
      if (!links_.empty()) sweep();
      --under_way;
    });
  }

  io::EventLoop& loop_;
  const HttpPool::Options options_;
  std::map<std::string, Server> servers_;
  std::set<std::shared_ptr<Link>> links_;
  bool sweeping_ = false;
  bool stopping_ = false;
};

void Link::watch() {
  if (watching_ || closed_) return;
  watching_ = true;
  socket_.async_wait(Tcp::socket::wait_read, [self = shared_from_this()](const boost::system::error_code&) {
    self->watching_ = false;
    if (self->idle_ && !self->closed_) {
      // Nothing is expected: it is the end, or something that belongs to no request.
      self->side_.drop(self, {Code::io, "closed by the server"});
      return;
    }
    self->wake();
  });
}

// One request and its answer over one Link.
class Call final : public HttpCall {
 public:
  // The shared ownership of `inside` is the caller's business: a Call never outlives its pool.
  Call(Side& side, HttpRequest request, std::optional<std::uint64_t> body_bytes)
      : side_(side), request_(std::move(request)), body_bytes_(body_bytes) {
    ++side_.under_way;
  }

  ~Call() override {
    CHECK(waiting_ == nullptr);
    release();
    --side_.under_way;
  }

  // --- the whole in one go, with one repetition
  Async<Result<HttpAnswer>> run() {
    for (int attempt = 0;; ++attempt) {
      auto answer = co_await run_once();
      if (answer || attempt > 0 || !may_repeat()) co_return answer;
      release();
      reset();
    }
  }

  // Gives the connection back, or breaks it when the answer has not been read to its end.
  void release() {
    if (link_) {
      link_->clear_deadline();
      auto link = std::move(link_);
      link_ = nullptr;
      const bool whole = body_bytes_ ? written_ == *body_bytes_ : true;
      if (complete_ && keep_alive_ && !early_ && whole && !link->is_closed() && link->is_drained()) {
        side_.give_back(std::move(link));
      } else {
        side_.drop(link, {Code::io, "given up"});
      }
    }
    if (counted_) side_.end_call(request_.authority);
    counted_ = false;
  }

 protected:
  // --- in pieces; each of the three starts a coroutine that stores its outcome
  bool write_ready(std::string_view piece) override {
    start_write(piece);
    return finished_;
  }
  Status write_outcome() override { return std::move(*status_); }
  bool answer_ready() override {
    start_answer();
    return finished_;
  }
  Result<HttpAnswer> answer_outcome() override { return std::move(*answer_); }
  bool read_ready() override {
    start_read();
    return finished_;
  }
  Result<BytesView> read_outcome() override { return std::move(*piece_); }
  void wait(std::coroutine_handle<> waiting) override { waiting_ = waiting; }

 private:
  void finished() {
    finished_ = true;
    if (auto waiting = std::exchange(waiting_, nullptr)) waiting.resume();
  }
  Task start_write(std::string_view piece) {
    finished_ = false;
    status_.emplace(co_await write_piece(piece));
    finished();
  }
  Task start_answer() {
    finished_ = false;
    answer_.emplace(co_await read_answer());
    finished();
  }
  Task start_read() {
    finished_ = false;
    piece_.emplace(co_await read_piece());
    finished();
  }

  // --- sending
  // Whatever goes wrong from the first byte sent on leaves the outcome unknown.
  Error failed(const Error& error) const {
    if (error.code() == Code::invalid || error.code() == Code::no_space) return error;
    if (link_ && link_->sent() > 0) return Error(Code::outcome_unknown, error.what());
    return error.code() == Code::io ? Error(Code::unavailable, error.what()) : error;
  }

  Async<Status> open() {
    if (has_forbidden(request_.method) || has_forbidden(request_.target) || has_forbidden(request_.authority)) {
      co_return Error(Code::invalid, "line break in a request");
    }
    if (!counted_) {
      if (!side_.begin_call(request_.authority)) {
        co_return side_.is_stopping() ? Error(Code::unavailable, "client is stopping")
                                      : Error(Code::busy, request_.authority + ": too many requests under way");
      }
      counted_ = true;
    }
    if (!fresh_only_ && !request_.fresh_connection) link_ = side_.take_idle(request_.authority);
    if (link_ == nullptr) {
      link_ = side_.make_link(request_.authority);
      link_->set_deadline(request_.connect_timeout);
      auto connected = co_await link_->connect(side_.loop());
      if (!connected) {
        auto link = link_;
        side_.drop(link, connected.error());
        co_return connected.error();
      }
    }
    link_->begin_call();
    link_->set_deadline(request_.silence_timeout);
    co_return Status();
  }

  std::string head_text() const {
    std::string head = request_.method + " " + request_.target + " HTTP/1.1\r\n";
    if (client::header(request_.headers, "Host").empty()) head += "Host: " + request_.authority + "\r\n";
    for (const auto& [name, value] : request_.headers) {
      const auto from = head.size();
      head += name + ": " + value;
      std::replace_if(head.begin() + static_cast<std::ptrdiff_t>(from), head.end(), is_forbidden, ' ');
      head += "\r\n";
    }
    if (!body_bytes_) {
      head += "Transfer-Encoding: chunked\r\n";
    } else if (*body_bytes_ > 0 || request_.method == "POST" || request_.method == "PUT") {
      head += "Content-Length: " + std::to_string(*body_bytes_) + "\r\n";
    }
    return head + "\r\n";
  }

  // Sends all of `pieces`; an answer that arrives meanwhile ends it.
  Async<Status> send(std::vector<iovec> pieces) {
    std::size_t first = 0;
    while (true) {
      while (first < pieces.size() && pieces[first].iov_len == 0) ++first;
      if (first == pieces.size()) co_return Status();
      const auto count = std::min(pieces.size() - first, kPiecesInARow);
      auto sent = link_->send_now(std::span(pieces).subspan(first, count));
      if (!sent) co_return failed(sent.error());
      if (*sent > 0) {
        link_->set_deadline(request_.silence_timeout);
        auto taken = *sent;
        for (auto i = first; taken > 0; ++i) {
          const auto part = std::min(taken, pieces[i].iov_len);
          pieces[i].iov_base = static_cast<char*>(pieces[i].iov_base) + part;
          pieces[i].iov_len -= part;
          taken -= part;
        }
        continue;
      }
      co_await link_->event(true);
      if (link_->is_closed()) co_return failed(link_->why());
      auto received = link_->receive_now();
      if (!received) co_return failed(received.error());
      if (*received == Link::Received::end) co_return failed({Code::io, request_.authority + ": EOF"});
      if (*received == Link::Received::some || !link_->buffered().empty()) {
        early_ = true;  // the server has made up its mind
        co_return Error(Code::outcome_unknown, request_.authority + ": answered before the request's end");
      }
    }
  }

  static iovec piece_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

  Async<Status> write_piece(std::string_view piece) {
    std::vector<iovec> pieces;
    std::string head;
    std::string size;
    if (!opened_) {
      opened_ = true;
      auto open_status = co_await open();
      if (!open_status) co_return broken(open_status.error());
      head = head_text();
      pieces.push_back(piece_of(head));
    }
    if (broken_) co_return *broken_;
    if (early_) co_return Error(Code::outcome_unknown, request_.authority + ": answered before the request's end");
    if (body_bytes_) {
      written_ += piece.size();
      if (written_ > *body_bytes_) co_return broken({Code::invalid, "more of a body than was announced"});
      pieces.push_back(piece_of(piece));
    } else if (!piece.empty()) {
      char text[20];
      std::snprintf(text, sizeof text, "%zx\r\n", piece.size());
      size = text;
      pieces.push_back(piece_of(size));
      pieces.push_back(piece_of(piece));
      pieces.push_back(piece_of("\r\n"));
    }
    auto status = co_await send(std::move(pieces));
    if (!status && !early_) broken_ = status.error();
    co_return status;
  }

  Error broken(Error error) {
    broken_ = error;
    return error;
  }

  // --- receiving
  Async<Result<HttpAnswer>> read_answer() {
    if (!opened_) {
      auto status = co_await write_piece({});
      if (!status && !early_) co_return status.error();
    }
    if (!early_ && !broken_) {
      if (!body_bytes_) {
        std::vector<iovec> end;
        end.push_back(piece_of("0\r\n\r\n"));
        auto status = co_await send(std::move(end));
        if (!status && !early_) broken_ = status.error();
      } else if (written_ < *body_bytes_) {
        broken_ = Error(Code::invalid, "less of a body than was announced");
      }
    }
    // A server that refused and hung up may still have said why.
    if (broken_ && (link_ == nullptr || link_->sent() == 0 || broken_->code() != Code::outcome_unknown)) {
      co_return *broken_;
    }
    while (true) {
      auto head = co_await read_head();
      if (!head) co_return broken_ ? *broken_ : head.error();
      if (head->status >= 200) {
        broken_.reset();
        co_return head;
      }
    }
  }

  Async<Result<HttpAnswer>> read_head() {
    std::vector<http1::Header> storage(kHeadersMax);
    http1::ResponseHead head;
    std::size_t scanned = 0;
    while (true) {
      const auto bytes = link_->buffered();
      if (!bytes.empty()) {
        const auto parsed = http1::parse_response(bytes, scanned, storage, head);
        if (parsed == http1::Parsed::complete) break;
        if (parsed != http1::Parsed::incomplete || bytes.size() >= kHeadBytesMax) {
          co_return Error(Code::invalid, request_.authority + ": malformed HTTP response");
        }
      }
      auto more = co_await receive();
      if (!more) co_return failed(more.error());
      if (!*more) co_return failed({Code::io, request_.authority + ": EOF"});
    }
    HttpAnswer answer;
    answer.status = head.status;
    for (const auto& [name, value] : head.headers) answer.headers.emplace_back(name, value);
    link_->consume(head.head_bytes);
    const bool bodyless = request_.method == "HEAD" || head.status == 204 || head.status == 304 || head.status < 200;
    keep_alive_ = head.keep_alive;
    chunked_ = !bodyless && head.chunked;
    to_end_ = !bodyless && !head.chunked && !head.content_length;
    left_ = bodyless ? 0 : head.content_length.value_or(0);
    if (to_end_) keep_alive_ = false;
    body_finished_ = !chunked_ && !to_end_ && left_ == 0;
    co_return answer;
  }

  // More bytes in the link's buffer: false at the end of the connection.
  Async<Result<bool>> receive() {
    while (true) {
      auto received = link_->receive_now();
      if (!received) co_return received.error();
      if (*received == Link::Received::some) {
        link_->set_deadline(request_.silence_timeout);
        co_return true;
      }
      if (*received == Link::Received::end) co_return false;
      co_await link_->event(false);
    }
  }

  Async<Result<BytesView>> read_piece() {
    if (broken_) co_return *broken_;
    while (!body_finished_) {
      auto bytes = link_->buffered();
      if (bytes.empty()) {
        auto more = co_await receive();
        if (!more) co_return broken(failed(more.error()));
        if (!*more) {
          if (!to_end_) co_return broken({Code::outcome_unknown, request_.authority + ": unexpected EOF"});
          body_finished_ = true;
        }
        continue;
      }
      if (chunked_) {
        const auto step = chunks_.feed(bytes);
        link_->consume(step.consumed);
        if (step.malformed) co_return broken({Code::invalid, request_.authority + ": malformed chunked encoding"});
        body_finished_ = step.finished;
        if (!step.data.empty()) co_return bytes_of(step.data);
        continue;
      }
      if (!to_end_) {
        bytes = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
        left_ -= bytes.size();
        body_finished_ = left_ == 0;
      }
      link_->consume(bytes.size());
      co_return bytes_of(bytes);
    }
    complete_ = true;
    co_return BytesView();
  }

  // --- all of it
  Async<Result<HttpAnswer>> run_once() {
    opened_ = true;
    auto open_status = co_await open();
    if (!open_status) co_return open_status.error();
    const auto head = head_text();
    std::vector<iovec> pieces;
    pieces.push_back(piece_of(head));
    for (const auto& piece : request_.body) pieces.push_back(piece_of(piece));
    auto sent = co_await send(std::move(pieces));
    if (!sent && !early_) broken_ = sent.error();
    written_ = body_bytes_.value_or(0);
    auto answer = co_await read_answer();
    if (!answer) co_return answer;
    while (true) {
      auto piece = co_await read_piece();
      if (!piece) co_return piece.error();
      if (piece->empty()) break;
      if (answer->body.size() + piece->size() > request_.answer_bytes_max) {
        co_return Error(Code::no_space, request_.authority + ": answer is too large");
      }
      answer->body.append(text_of(*piece));
    }
    co_return answer;
  }

  // Nothing came back over a connection that had been idle: the server had most likely closed it already.
  bool may_repeat() const {
    if (link_ == nullptr || !link_->reused || link_->has_received() || side_.is_stopping()) return false;
    if (link_->why().code() == Code::timed_out) return false;
    return link_->sent() == 0 || request_.may_repeat || request_.method == "GET" || request_.method == "HEAD";
  }

  void reset() {
    fresh_only_ = true;
    broken_.reset();
    early_ = complete_ = false;
    written_ = 0;
    chunks_ = {};
  }

  Side& side_;
  const HttpRequest request_;
  const std::optional<std::uint64_t> body_bytes_;
  std::shared_ptr<Link> link_;  // shared with its pending operations
  bool counted_ = false;
  bool fresh_only_ = false;
  bool opened_ = false;
  bool early_ = false;
  std::uint64_t written_ = 0;
  std::optional<Error> broken_;

  http1::ChunkedBody chunks_;
  std::uint64_t left_ = 0;
  bool keep_alive_ = false;
  bool chunked_ = false;
  bool to_end_ = false;
  bool body_finished_ = false;
  bool complete_ = false;

  std::coroutine_handle<> waiting_;
  bool finished_ = false;
  std::optional<Status> status_;
  std::optional<Result<HttpAnswer>> answer_;
  std::optional<Result<BytesView>> piece_;
};

Task run_call(std::unique_ptr<Call> call, HttpPool::Done done) {
  auto answer = co_await call->run();
  call->release();  // so that `done` finds the connection free
  done(std::move(answer));
}

}  // namespace

std::string_view header(const HttpHeaders& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (http1::same_name(key, name)) return value;
  }
  return {};
}

namespace {

Mutex default_mutex;
std::shared_ptr<io::TlsContext> default_tls HOLDFAST_GUARDED_BY(default_mutex);

}  // namespace

void use_tls_for_http(std::shared_ptr<io::TlsContext> context) {
  const Guard guard(default_mutex);
  default_tls = std::move(context);
}

std::shared_ptr<io::TlsContext> tls_for_http() {
  const Guard guard(default_mutex);
  return default_tls;
}

struct HttpPool::Inside {
  std::vector<std::unique_ptr<Side>> sides;
  io::EventLoops& loops;
  // Requests handed to send() whose coroutine has not yet begun.
  std::atomic<std::size_t> posted{0};

  const std::shared_ptr<io::TlsContext> tls;

  explicit Inside(io::EventLoops& loops, Options options)
      : loops(loops), tls(options.tls ? *options.tls : tls_for_http()) {
    options.tls = tls;
    for (std::size_t i = 0; i < loops.size(); ++i) sides.push_back(std::make_unique<Side>(loops.at(i), options));
  }

  bool is_quiet() const {
    if (posted > 0) return false;
    return std::all_of(sides.begin(), sides.end(), [](const auto& side) { return side->under_way == 0; });
  }
};

HttpPool::HttpPool(io::EventLoops& loops) : HttpPool(loops, Options()) {}

HttpPool::HttpPool(io::EventLoops& loops, Options options) : inside_(std::make_shared<Inside>(loops, options)) {}

HttpPool::~HttpPool() {
  for (std::size_t i = 0; i < inside_->loops.size(); ++i) {
    CHECK(!inside_->loops.at(i).is_current());
    inside_->loops.at(i).post([inside = inside_, i] { inside->sides[i]->stop(); });
  }
  while (!inside_->is_quiet()) std::this_thread::sleep_for(kStopPoll);
  // Operations of closed links still come back once; after this round none refers to the sides.
  for (std::size_t i = 0; i < inside_->loops.size(); ++i) {
    auto passed = std::make_shared<std::promise<void>>();
    inside_->loops.at(i).post([inside = inside_, passed] { passed->set_value(); });
    passed->get_future().wait();
  }
}

void HttpPool::send(HttpRequest request, Done done) { send(inside_->loops.any(), std::move(request), std::move(done)); }

void HttpPool::send(io::EventLoop& loop, HttpRequest request, Done done) {
  ++inside_->posted;
  auto* side = inside_->sides[loop.number()].get();
  std::uint64_t bytes = 0;
  for (const auto& piece : request.body) bytes += piece.size();
  auto shared = std::make_shared<HttpRequest>(std::move(request));
  loop.post([inside = inside_, side, shared, done = std::move(done), bytes] {
    run_call(std::make_unique<Call>(*side, std::move(*shared), bytes), done);
    --inside->posted;
  });
}

Result<HttpAnswer> HttpPool::send_and_wait(HttpRequest request) {
  CHECK(io::EventLoop::current() == nullptr);
  auto promise = std::make_shared<std::promise<Result<HttpAnswer>>>();
  auto answer = promise->get_future();
  send(std::move(request), [promise](Result<HttpAnswer> result) { promise->set_value(std::move(result)); });
  return answer.get();
}

std::unique_ptr<HttpCall> HttpPool::open(io::EventLoop& loop, HttpRequest request,
                                         std::optional<std::uint64_t> body_bytes) {
  CHECK(loop.is_current());
  return std::make_unique<Call>(*inside_->sides[loop.number()], std::move(request), body_bytes);
}

std::string_view HttpPool::scheme() const { return inside_->tls ? "https" : "http"; }

void HttpPool::break_connections(const std::string& authority) {
  for (std::size_t i = 0; i < inside_->loops.size(); ++i) {
    inside_->loops.at(i).post([inside = inside_, i, authority] {
      inside->sides[i]->break_links(&authority, {Code::io, authority + ": given up as lost"});
    });
  }
}

}  // namespace holdfast::client
