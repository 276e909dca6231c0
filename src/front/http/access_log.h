// The access log: a line for each request, and each gRPC call of upstream's services, that was answered, in the "combined"
// form that log readers know, and more fields (docs/operations.md):
//
//   127.0.0.1 - - [22/Nov/2026:09:11:23 +0000] "GET /3,01637037d6 HTTP/1.1" 200 1024 "-" "curl/7.88.1" 0.000123 18A2...E1 -
//
// after the client's name for itself: seconds from the request's head to the end of its answer, the request id that was
// answered, and the one the request came with. Tokens in a query (jwt=) are left out; bytes that could end a field are
// written as \x0a.
//
// Lines are gathered and written by a thread of their own, several at a time, so a slow disk holds up no request. When it
// cannot follow, lines beyond kWaitingMax bytes are dropped and counted (holdfast_access_log_lines_dropped_total).
//
// Threads: finished() on any loop, the rest on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/result.h"
#include "front/http/server.h"
#include "io/clock.h"

namespace holdfast::front {

struct AccessEntry {
  std::string_view peer_ip;
  std::int64_t unix_seconds = 0;
  std::string_view method;
  std::string_view target;
  std::string_view protocol = "HTTP/1.1";
  int status = 0;
  std::optional<std::uint64_t> bytes = 0;  // of the answer's body that were sent; nothing: not counted
  std::string_view referer;
  std::string_view agent;
  Duration took{};
  std::string_view request_id;
  std::string_view given_id;
};

// With a line feed at its end.
void append_access_line(std::string& out, const AccessEntry& entry);

class AccessLog : public http::Observer {
 public:
  static constexpr std::size_t kWaitingMax = 8_MiB;

  // Appends to `path`, made when missing. `next` hears of every request too, and outlives this like the others.
  static Result<std::unique_ptr<AccessLog>> open(const std::string& path, http::Observer& next, io::Clock& clock,
                                                 metrics::Registry& metrics = metrics::process());
  ~AccessLog() override;  // writes what waits

  void finished(const http::Exchange& exchange, int status, Duration took, std::size_t loop) override;

  // A line for what was no request of this server; the time is set here.
  void add(AccessEntry entry);

  // After the file has been moved away (SIGHUP): what comes now goes to a new one of the same name.
  void reopen();

 private:
  AccessLog(std::string path, int file, http::Observer& next, io::Clock& clock, metrics::Registry& metrics);
  void run();
  void write_out(const std::string& lines);

  const std::string path_;
  http::Observer& next_;
  io::Clock& clock_;
  metrics::Counter& dropped_;

  Mutex mutex_;  // leaf
  Condition wake_;
  std::string waiting_ HOLDFAST_GUARDED_BY(mutex_);
  bool reopening_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;

  int file_;  // the writing thread's
  bool is_failing_ = false;
  std::thread writer_;
};

}  // namespace holdfast::front
