// Connection: one client's TCP connection and the state of the one request on it. Internal to the server engine.
//
// Everything happens on the loop that accepted it, in whose fast lane it is (io/event_loop.h). Syscalls of a small
// keep-alive request: its share of an epoll_wait, one recv, whatever the handler does, one sendmsg. Nothing is allocated
// for it: buffers keep their capacity.
//
// Phases:  head --parsed--> serving --finished--> [flushing] --> [draining] --> head | lingering --> closed
//   head       waiting for, or in the middle of, a request's head
//   serving    a handler has the exchange; it may read the body and write the answer
//   flushing   the answer is finished, the socket has not taken all of it
//   draining   reading and dropping what the handler left of a small body
//   lingering  our side is shut; what the client still sends is dropped for a moment, so that it gets to read the
//              answer instead of a reset
// readable_ says that a recv is worth trying: set by an edge, cleared when a recv finds less than it asked for. Whoever
// finds nothing to read sets awaits_read_ and is called again at the next edge; awaits_write_ likewise.
//
// The object deletes itself when it is closed and the exchange is finished.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <coroutine>
#include <memory>
#include <string>
#include <vector>

#include "front/http/out_buffer.h"
#include "front/http/server.h"
#include "io/tls.h"

namespace holdfast::http {

class Listener;  // one loop's part of a server, below

struct ListHook {
  ListHook* previous = this;
  ListHook* next = this;
  void unlink() {
    previous->next = next;
    next->previous = previous;
    previous = next = this;
  }
  void link_before(ListHook& other) {
    previous = other.previous;
    next = &other;
    previous->next = this;
    other.previous = this;
  }
};

class Connection final : public ListHook, private io::Watched {
 public:
  // Takes the file descriptor.
  Connection(Listener& listener, int fd, std::string peer_ip, std::uint16_t peer_port, std::uint16_t local_port);
  ~Connection();

  void start();  // may delete it
  const ServerOptions& server_options() const;

  // Called by the listener's sweep.
  Instant deadline() const { return deadline_; }
  void deadline_passed();
  bool is_idle() const { return phase_ == Phase::head && in_begin_ == in_end_ && !closed_; }
  void close();          // at once; the exchange, if any, goes on with a broken connection
  void close_if_idle();  // and otherwise after the present request
  void break_up();       // as close(), for stop() after its grace

  // --- for Exchange
  io::EventLoop& loop();
  void head(int status);
  void finish(std::string_view first, std::string_view second, std::optional<std::uint64_t> head_only_length);
  void begin(std::optional<std::uint64_t> length);
  bool write_ready(std::string_view piece);
  void write_wait(std::coroutine_handle<> waiting) { waiting_ = waiting; }
  Status write_outcome();
  void end();
  void abort();
  bool read_ready();
  void read_wait(std::coroutine_handle<> waiting);
  Result<BytesView> read_outcome();
  void read_all(std::size_t bytes_max, std::function<void(Result<std::string>)> done);
  bool is_broken();
  std::uint64_t body_bytes_sent() const { return body_sent_; }

 private:
  enum class Phase : std::uint8_t { head, serving, flushing, draining, lingering };
  enum class Answer : std::uint8_t { none, begun, streaming, finished };

  // Holds off deletion while a public call is on the stack.
  class Busy {
   public:
    explicit Busy(Connection& c) : c_(c) { ++c_.busy_; }
    ~Busy() {
      if (--c_.busy_ == 0 && c_.is_over()) delete &c_;
    }
    Busy(const Busy&) = delete;

   private:
    Connection& c_;
  };
  bool is_over() const { return closed_ && posted_ == 0 && phase_ != Phase::serving; }

  void on_ready(bool readable, bool writable, bool ended) override;

  enum class Received : std::uint8_t { some, nothing_yet, ended };
  Received receive(char* to, std::size_t room, std::size_t& n);  // one recv, or none when nothing can be there
  Received receive_encrypted(char* to, std::size_t room, std::size_t& n);
  ssize_t send_some(std::span<const iovec> pieces);  // as sendmsg()
  Received receive_head();
  void process();          // parses and serves what has arrived; one loop, never nested
  bool serve_next();       // one request out of the buffer; false: nothing more can be done now
  bool make_room();        // for more of a head; false: it is too large
  void refuse(int status, std::string_view text);  // answers a malformed request and lingers
  void answered();         // the answer is finished and has left: what next?
  void tell_observer();    // once for each request that a handler saw
  void next_request();
  bool can_skip_body();
  bool drain_some();       // true: the rest of the body is dropped
  void drain();
  void linger();

  void complete_head(std::optional<std::uint64_t> length, bool chunked);
  bool send_now(std::span<iovec> pieces);  // false: some of it is left, in rest_
  void wait_to_send();
  int unread_by_client() const;
  bool client_reads_on();  // since wait_to_send(), or the last call
  void on_sendable();
  void resume_read();
  void fail(Error error);  // the connection is broken
  void wake();             // whoever waits

  // The next bytes of the request's body that have already arrived, decoded; empty when there are none.
  enum class Body : std::uint8_t { piece, finished, need_more, malformed };
  Body take_body(std::string_view& piece);
  Received receive_body_now();  // one non-blocking recv
  void give_body_up(const char* why);
  void set_deadline(Duration after);

  Listener& listener_;
  const int fd_;
  const std::unique_ptr<io::TlsSocket> tls_;  // null: plain
  const std::string peer_ip_;
  const std::uint16_t peer_port_;
  const std::uint16_t local_port_;

  // What has been received and not been used: [in_begin_, in_end_). A request's views point below in_begin_, so the
  // buffer stays where it is until its exchange is finished.
  std::unique_ptr<char[]> in_;
  std::size_t in_capacity_ = 0;
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::size_t scanned_ = 0;  // of the head, see parse_request
  std::vector<Header> headers_;
  io::http1::RequestHead parsed_;

  // The request's body, beyond what came with its head.
  std::unique_ptr<char[]> body_;
  std::size_t body_begin_ = 0;
  std::size_t body_end_ = 0;
  std::uint64_t body_left_ = 0;  // by Content-Length
  bool body_finished_ = true;
  io::http1::ChunkedBody chunks_;
  bool continue_owed_ = false;  // 100-continue asked for and not sent
  std::uint64_t drained_ = 0;
  std::optional<Result<BytesView>> read_result_;

  // The answer.
  OutBuffer out_;                // its head; then what is left to send of small things
  std::size_t out_sent_ = 0;
  std::string_view piece_rest_;  // what is left of the piece being written; owned by the writer
  std::string_view after_piece_;  // CRLF behind a chunk
  std::optional<std::uint64_t> length_;  // announced by begin()
  std::uint64_t written_ = 0;
  std::uint64_t body_sent_ = 0;
  bool chunked_out_ = false;
  int status_ = 0;
  Answer answer_ = Answer::none;

  Exchange exchange_;
  std::coroutine_handle<> waiting_;  // of the handler: in write() or read_body()
  std::optional<Error> broken_;
  Instant deadline_ = kDistantFuture;
  Instant served_at_;

  Phase phase_ = Phase::head;
  bool keep_alive_ = true;
  bool is_head_ = false;
  bool served_ = false;          // a handler saw this request
  bool is_to_be_told_ = false;   // and the observer has not heard of it yet
  bool readable_ = false;
  bool ended_ = false;  // the other side will send no more: what is left must be read to its end
  bool awaits_read_ = false;
  bool awaits_write_ = false;
  int unread_ = 0;  // bytes, when it began to wait to send or was last looked at
  bool closed_ = false;
  int posted_ = 0;  // pieces of work on the loop that refer to this
  bool processing_ = false;
  bool counted_served_ = false;
  int busy_ = 0;
};

// One loop's part of a server: its acceptors and connections. All on the loop but for construction.
class Listener {
 public:
  Listener(io::EventLoop& loop, Handler& handler, const ServerOptions& options);
  ~Listener();

  void accept_on(int fd, std::uint16_t port);  // on the loop
  void stop_accepting();
  void close_idle();
  void break_all();
  // The last call, on its loop like the others: timers that are still to come will find it gone.
  void retire();

  io::EventLoop& loop() { return loop_; }
  Handler& handler() { return handler_; }
  const ServerOptions& options() const { return options_; }
  bool is_stopping() const { return stopping_; }
  std::size_t connections() const { return count_.load(std::memory_order_relaxed); }

  // The clock, read once per event, and the Date header's line for the second it shows.
  Instant now() const { return now_; }
  Instant read_clock();
  std::string_view date_line();

  void add(Connection& connection);
  void remove(Connection& connection);
  void became_idle(Connection& connection);  // moves it behind all others: the first is idle for longest

 private:
  struct Acceptor;
  void accept(Acceptor& acceptor);
  void take_connections(Acceptor& acceptor);
  bool make_place();
  void sweep();

  io::EventLoop& loop_;
  Handler& handler_;
  const ServerOptions& options_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  ListHook connections_;
  std::atomic<std::size_t> count_{0};
  bool stopping_ = false;
  bool sweeping_ = false;
  const Duration sweep_interval_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // shared with timers that outlive this
  Instant now_;
  std::int64_t date_second_ = -1;
  char date_[40] = {};
};

}  // namespace holdfast::http
