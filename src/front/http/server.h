// The HTTP/1.1 server that carries every route of master and volume server.
//
// A Handler gets one Exchange per request, on the loop that owns its connection, once the request's head is complete.
// It answers in one of three ways:
//
//   fast      fill exchange.head(status), then exchange.finish(body), before serve() returns. Nothing is allocated;
//             one sendmsg carries head and body.
//   later     keep the Exchange& and answer when the answer is there. An Exchange lives until it is finished, also when
//             the client has gone, so `exchange.loop().post([&exchange] { exchange.respond(...); })` is always safe.
//   streaming write a coroutine (base/task.h):
//
//     Task copy(Exchange& exchange) {
//       exchange.head(200).add("Content-Type", "text/plain");
//       exchange.begin(exchange.request().body_bytes);     // Content-Length, or chunked when not known
//       for (;;) {
//         auto piece = co_await exchange.read_body();       // at most 64 KiB; empty = the end
//         if (!piece || piece->empty()) break;
//         if (auto sent = co_await exchange.write(*piece); !sent) break;   // waits while the client is slow
//       }
//       exchange.end();
//     }
//
// The one duty: every Exchange is finished exactly once, by finish(), respond(), end() or abort(). Until then its
// connection stays, and with it one slot of connections_max.
//
// What a handler need not think of: keep-alive and pipelining (requests of one connection come one after the other),
// HEAD (bodies are counted, not sent), `Expect: 100-continue` (sent at the first read_body), chunked bodies, Date,
// Content-Length, Connection, request bodies it does not read (drained when small, else the connection is closed),
// slow and broken clients (timeouts below), and malformed requests, which never reach it.
//
// All calls on an Exchange are made on its loop. Handlers must not block.
#pragma once

#include <array>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "io/event_loop.h"
#include "io/http1.h"

namespace holdfast::io {
class TlsContext;
}

namespace holdfast::http {

using io::http1::Header;
using io::http1::Method;

// Views into the connection's buffer: valid until the exchange is finished.
struct Request {
  Method method = Method::other;
  std::string_view method_text;  // "GET", "PROPFIND"
  std::string_view target;       // as sent: "/3,01637037d6?pretty=y"
  std::string_view path;         // before the '?', still percent-encoded; its escapes are known to be well-formed
  std::string_view query;        // after the '?', still encoded, possibly ill-formed
  std::span<const Header> headers;
  std::string_view host;     // "localhost:8080"
  std::string_view peer_ip;  // "127.0.0.1", "::1": no port, no zone; IPv4 over an IPv6 socket shows as IPv4
  std::uint16_t peer_port = 0;
  int version_minor = 1;  // of HTTP/1.x
  std::uint16_t local_port = 0;             // which of the server's ports it came in on
  std::optional<std::uint64_t> body_bytes;  // from Content-Length, 0 without a body; empty when chunked
  bool has_body() const { return !body_bytes || *body_bytes > 0; }

  // The first value of header `name` (any case), blanks around it cut off; "" when absent.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
};

// An answer in one piece, for routes that are not hot.
struct Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

class OutBuffer;

// The head of an answer, written straight into the connection's buffer. Leave out Date, Connection, Content-Length
// and Transfer-Encoding. A CR, LF or NUL in a value is replaced by a blank, so no value can forge a header.
class Head {
 public:
  Head& add(std::string_view name, std::string_view value);
  Head& add(std::string_view name, std::uint64_t value);
  Head& add_lines(std::string_view lines);  // whole lines, as OutBuffer::append_line() writes them

 private:
  friend class Exchange;
  friend class Connection;
  static constexpr std::size_t kRequestIdBytes = 24;
  OutBuffer* out_ = nullptr;
  std::array<char, kRequestIdBytes> request_id_{};  // the X-Amz-Request-Id that was added; for the access log
  bool has_request_id_ = false;
};

class Connection;

class Exchange {
 public:
  const Request& request() const { return request_; }
  io::EventLoop& loop();

  // --- the answer
  // Starts the head; called again before the head is sent, it starts afresh.
  Head& head(int status);

  // Sends head and body and ends the exchange. The pieces may go away when the call returns: what the socket does not
  // take at once is copied. For bodies above a MiB use begin() and write().
  void finish(std::string_view body = {});
  void finish(std::string_view first, std::string_view second);

  // As finish() would answer a HEAD whose body has `length` bytes, without having the body at hand.
  void finish_without_body(std::uint64_t length);

  void respond(const Response& response);

  // A body in pieces. begin() sends nothing yet; write() resolves when the piece has been taken by the socket and the
  // next may be made; end() ends the exchange. Fewer bytes than announced: the connection is closed, so that the
  // client notices. On HEAD write() sends nothing and end() checks nothing.
  void begin(std::optional<std::uint64_t> length);
  struct WriteAwaiter {
    Exchange& exchange;
    std::string_view piece;
    bool await_ready();
    void await_suspend(std::coroutine_handle<> waiting);
    Status await_resume();
  };
  WriteAwaiter write(std::string_view piece) { return {*this, piece}; }
  WriteAwaiter write(BytesView piece) { return {*this, text_of(piece)}; }
  void end();

  // Ends the exchange by closing the connection, after whatever has been sent: the only way to tell the client that a
  // body already begun is bad.
  void abort();

  // --- the request's body
  // The next piece, or an empty one at the end, or an Error: the client went away or is too slow (io, timed_out), or
  // sent a malformed chunk (invalid). After an Error nothing can be sent. A piece is valid until the next read_body().
  struct ReadAwaiter {
    Exchange& exchange;
    bool await_ready();
    void await_suspend(std::coroutine_handle<> waiting);
    Result<BytesView> await_resume();
  };
  ReadAwaiter read_body() { return {*this}; }

  // The whole body, for forms and other small things. More than `bytes_max`: Code::no_space, and nothing more is read.
  // `done` is called on this loop, perhaps before read_all returns.
  void read_all(std::size_t bytes_max, std::function<void(Result<std::string>)> done);

  // Whether the client is known to have gone; long work may look at it and give up. The exchange is to be finished
  // all the same.
  bool is_broken() const;

  // --- for the Observer
  std::uint64_t body_bytes_sent() const;  // handed to the socket
  std::string_view request_id() const;    // of the answer, "" when it has none
  // What this request was, in the handler's own numbering.
  void set_kind(std::uint8_t kind) { kind_ = kind; }
  std::uint8_t kind() const { return kind_; }

 private:
  friend class Connection;
  explicit Exchange(Connection& connection) : connection_(connection) {}

  Connection& connection_;
  Request request_;
  Head head_;
  std::uint8_t kind_ = 0;
};

class Handler {
 public:
  virtual ~Handler() = default;
  virtual void serve(Exchange& exchange) = 0;
};

// Told once of every request that reached a handler, on its loop, when its answer has been handed to the socket or its
// client is gone. Must be quick: it runs on the hot path. `loop` counts from 0, for counters kept once per loop.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void finished(const Exchange& exchange, int status, Duration took, std::size_t loop) = 0;
};

struct ServerOptions {
  Duration idle_timeout = 30s;          // between requests of one connection
  Duration head_timeout = 10s;          // from a request's first byte to the end of its head: slow-loris clients
  Duration body_timeout = 60s;          // without any progress of a body, in either direction
  std::size_t head_bytes_max = 64_KiB;  // request line and headers; more is answered with 431
  std::size_t headers_max = 128;        // header lines; more is answered with 431
  std::size_t connections_max = 16384;  // per loop; beyond it the connection idle for longest makes room
  std::size_t drain_bytes_max = 256_KiB;  // an unread body up to this size is read and dropped to keep the connection
  Observer* observer = nullptr;         // outlives the server
  std::shared_ptr<io::TlsContext> tls;  // HTTPS on all ports of this server; null: HTTP
  std::function<void(Head&)> every_head;  // adds to the head of every answer; on any loop
};

class Server {
 public:
  // `handler` must be able to serve on all loops at once.
  Server(io::EventLoops& loops, Handler& handler, ServerOptions options = {});
  ~Server();  // as stop(0s) if still running

  // Listens on `address` ("127.0.0.1", "::1", a host name; "" = all addresses, IPv6 and IPv4) and `port` (0 = any free one);
  // answers the port. May be called more than once. Each loop accepts for itself (SO_REUSEPORT), yet a port that anyone
  // already listens on is refused (already_exists).
  Result<std::uint16_t> listen(const std::string& address, std::uint16_t port);

  // Stops accepting, closes idle connections, lets running exchanges finish for up to `grace`, then breaks their
  // connections and waits until their handlers have finished them. Not from a loop's thread.
  void stop(Duration grace = 5s);

  std::size_t connections() const;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

// "Thu, 01 Jan 1970 00:00:00 GMT"; and back, empty unless it has exactly this form.
std::string http_date(std::int64_t unix_seconds);
inline constexpr std::size_t kDateBytes = 29;
void write_http_date(std::int64_t unix_seconds, char* out);  // exactly kDateBytes, for the hot path
std::optional<std::int64_t> parse_http_date(std::string_view text);

// "Not Found" for 404; "Unknown" when it is.
std::string_view reason(int status);

}  // namespace holdfast::http
