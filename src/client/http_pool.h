// HttpPool: HTTP/1.1 requests to other servers over pooled keep-alive connections, on the event loops.
//
// For replicas, read proxies, forwarding to the leader, and the upload and benchmark commands. Each loop has its own
// connections, so nothing is locked. An idle connection always has a read pending: when its server dies, the kernel
// says so and the connection is gone from the pool within the same millisecond, not at the next request.
//
// What an Error says (a status of 4xx or 5xx is an answer, not an Error):
//   unavailable      nothing was sent: refused, unresolvable, unreachable. Surely without effect; try elsewhere.
//   timed_out        no connection within connect_timeout. Surely without effect.
//   outcome_unknown  the request, or part of it, was sent and no whole answer came back: broken or silent connection.
//   invalid          the answer is not HTTP.
//   no_space         the answer is larger than answer_bytes_max.
// A request of which nothing can have been seen (its reused connection turned out closed, and method or may_repeat
// allow it) is sent once more over a new connection, unseen by the caller.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "io/event_loop.h"

namespace holdfast::io {
class TlsContext;
}

namespace holdfast::client {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// The first value of `name` (any case), "" when absent.
std::string_view header(const HttpHeaders& headers, std::string_view name);

struct HttpRequest {
  std::string method = "GET";
  std::string authority;  // "127.0.0.1:8080", "[::1]:8080", "localhost:9333"; also sent as Host unless headers has one
  std::string target = "/";
  HttpHeaders headers;  // without Content-Length, Transfer-Encoding and Connection

  // The body: these pieces one after the other. `keep` owns what they point to, until the answer.
  std::vector<std::string_view> body;
  std::shared_ptr<const void> keep;

  Duration connect_timeout = 5s;
  Duration silence_timeout = 60s;     // without a byte in either direction, once connected
  bool may_repeat = false;            // besides GET and HEAD: repeating does no harm
  bool fresh_connection = false;      // not over a pooled one, which may turn out closed: for open(), which cannot repeat
  std::size_t answer_bytes_max = 64_MiB;  // of a body collected by send()
};

struct HttpAnswer {
  int status = 0;
  HttpHeaders headers;  // names as received
  std::string body;
};

// One request in pieces, for bodies that must not sit in memory. All calls on its loop; one await at a time.
//
//   auto call = pool.open(loop, request, body_bytes);   // body_bytes: what write() will bring; empty = chunked
//   co_await call->write(piece); ...
//   auto head = co_await call->answer();                // ends the request's body
//   for (;;) { auto piece = co_await call->read(); if (!piece || piece->empty()) break; ... }
//
// Dropping the call before its end breaks its connection. If the server answers before the body is written, write()
// says outcome_unknown and answer() still has the answer.
class HttpCall {
 public:
  virtual ~HttpCall() = default;

  struct StatusAwaiter {
    HttpCall& call;
    std::string_view piece;
    bool await_ready() { return call.write_ready(piece); }
    void await_suspend(std::coroutine_handle<> waiting) { call.wait(waiting); }
    Status await_resume() { return call.write_outcome(); }
  };
  struct AnswerAwaiter {
    HttpCall& call;
    bool await_ready() { return call.answer_ready(); }
    void await_suspend(std::coroutine_handle<> waiting) { call.wait(waiting); }
    Result<HttpAnswer> await_resume() { return call.answer_outcome(); }
  };
  struct PieceAwaiter {
    HttpCall& call;
    bool await_ready() { return call.read_ready(); }
    void await_suspend(std::coroutine_handle<> waiting) { call.wait(waiting); }
    Result<BytesView> await_resume() { return call.read_outcome(); }
  };

  // Resolves when `piece` has been taken by the socket; it must stay until then.
  StatusAwaiter write(std::string_view piece) { return {*this, piece}; }
  // The answer's status and headers; body empty.
  AnswerAwaiter answer() { return {*this}; }
  // The next piece of the answer's body, valid until the next call; empty at the end.
  PieceAwaiter read() { return {*this}; }

 protected:
  virtual bool write_ready(std::string_view piece) = 0;
  virtual Status write_outcome() = 0;
  virtual bool answer_ready() = 0;
  virtual Result<HttpAnswer> answer_outcome() = 0;
  virtual bool read_ready() = 0;
  virtual Result<BytesView> read_outcome() = 0;
  virtual void wait(std::coroutine_handle<> waiting) = 0;
};

// For all pools of this process that are made from now on, as security.toml's https.client.* asks. Once, before the first.
void use_tls_for_http(std::shared_ptr<io::TlsContext> context);
std::shared_ptr<io::TlsContext> tls_for_http();

class HttpPool {
 public:
  struct Options {
    std::size_t idle_per_server_max = 64;  // per loop; more are closed after use
    Duration idle_timeout = 15s;           // below the 30 s after which our servers close
    std::size_t calls_per_server_max = 1024;  // per loop; beyond it requests are answered with Code::busy
    // All requests are HTTPS. Unset: what use_tls_for_http() said, null for plain HTTP.
    std::optional<std::shared_ptr<io::TlsContext>> tls;
  };
  explicit HttpPool(io::EventLoops& loops);
  HttpPool(io::EventLoops& loops, Options options);
  ~HttpPool();  // breaks what is under way (each `done` is called first) and waits for it; not from a loop

  // Sends `request` and collects the answer. From any thread; on the caller's loop when it is on one. `done` is called
  // on that loop, once, never from inside send().
  using Done = std::function<void(Result<HttpAnswer>)>;
  void send(HttpRequest request, Done done);
  void send(io::EventLoop& loop, HttpRequest request, Done done);

  // As send(), for commands: waits. Not from a loop.
  Result<HttpAnswer> send_and_wait(HttpRequest request);

  // A call in pieces; request.body is not used. On `loop`'s thread only.
  std::unique_ptr<HttpCall> open(io::EventLoop& loop, HttpRequest request, std::optional<std::uint64_t> body_bytes);

  // "http" or "https".
  std::string_view scheme() const;

  // Breaks every connection to `authority`, idle or not: calls under way end with outcome_unknown (or unavailable when
  // nothing was sent). For a leader that is known to be lost but whose connections are only silent. From any thread.
  void break_connections(const std::string& authority);

 private:
  struct Inside;
  std::shared_ptr<Inside> inside_;  // shared with work posted to the loops
};

}  // namespace holdfast::client
