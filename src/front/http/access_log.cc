#include "front/http/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <cstring>
#include <ctime>

#include "base/log.h"
#include "front/http/url.h"

namespace holdfast::front {

namespace {

constexpr Duration kGathered = 200ms;        // the longest a line waits
constexpr std::size_t kWorthWaking = 64_KiB;  // so many bytes do not wait for that
constexpr std::size_t kFieldMax = 2048;       // of a target or a header; the rest is cut off

int open_file(const std::string& path) { return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640); }

void append_field(std::string& out, std::string_view text) {
  if (text.empty()) {
    out += '-';
    return;
  }
  for (const char c : text.substr(0, kFieldMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
}

// In a field that is set apart by blanks, not by quotes.
void append_word(std::string& out, std::string_view text) {
  const auto begin = out.size();
  append_field(out, text.substr(0, 64));
  for (auto i = begin; i < out.size(); ++i) {
    if (out[i] == ' ') out[i] = '_';
  }
}

void append_target(std::string& out, std::string_view target) {
  const auto question = target.find('?');
  append_field(out, target.substr(0, question));
  if (question == std::string_view::npos) return;
  auto query = target.substr(question + 1);
  char before = '?';
  for (bool more = true; more; before = '&') {
    const auto end = query.find('&');
    const auto pair = query.substr(0, end);
    out += before;
    const Params one(pair);
    if (one.size() > 0 && one.name(0) == "jwt") {
      out += "jwt=...";
    } else if (!pair.empty()) {
      append_field(out, pair);
    }
    more = end != std::string_view::npos;
    if (more) query.remove_prefix(end + 1);
  }
}

}  // namespace

void append_access_line(std::string& out, const AccessEntry& entry) {
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t when = entry.unix_seconds;
  std::tm utc{};
  (void)::gmtime_r(&when, &utc);
  out += entry.peer_ip;
  fmt::format_to(std::back_inserter(out), " - - [{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000] \"", utc.tm_mday, kMonths[utc.tm_mon],
                 utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  append_field(out, entry.method);
  out += ' ';
  append_target(out, entry.target);
  fmt::format_to(std::back_inserter(out), " {}\" {} {} \"", entry.protocol, entry.status,
                 entry.bytes ? std::to_string(*entry.bytes) : "-");
  append_field(out, entry.referer);
  out += "\" \"";
  append_field(out, entry.agent);
  fmt::format_to(std::back_inserter(out), "\" {:.6f} ", seconds(entry.took));
  append_word(out, entry.request_id);
  out += ' ';
  append_word(out, entry.given_id);
  out += '\n';
}

AccessLog::AccessLog(std::string path, int file, http::Observer& next, io::Clock& clock, metrics::Registry& metrics)
    : path_(std::move(path)),
      next_(next),
      clock_(clock),
      dropped_(metrics.counter("holdfast_access_log_lines_dropped_total", "lines that the disk was too slow for")),
      file_(file),
      writer_([this] { run(); }) {}

Result<std::unique_ptr<AccessLog>> AccessLog::open(const std::string& path, http::Observer& next, io::Clock& clock,
                                                   metrics::Registry& metrics) {
  const int file = open_file(path);
  if (file < 0) return Error(Code::io, fmt::format("-accessLog={}: {}", path, ::strerror(errno)));
  return std::unique_ptr<AccessLog>(new AccessLog(path, file, next, clock, metrics));
}

AccessLog::~AccessLog() {
  {
    Guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  writer_.join();
  if (file_ >= 0) ::close(file_);
}

void AccessLog::finished(const http::Exchange& exchange, int status, Duration took, std::size_t loop) {
  next_.finished(exchange, status, took, loop);
  const auto& request = exchange.request();
  add({.peer_ip = request.peer_ip,
       .method = request.method_text,
       .target = request.target,
       .protocol = request.version_minor == 0 ? "HTTP/1.0" : "HTTP/1.1",
       .status = status,
       .bytes = exchange.body_bytes_sent(),
       .referer = request.header("Referer"),
       .agent = request.header("User-Agent"),
       .took = took,
       .request_id = exchange.request_id(),
       .given_id = request.header("X-Amz-Request-Id")});
}

void AccessLog::add(AccessEntry entry) {
  entry.unix_seconds = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  thread_local std::string line;  // keeps its capacity
  line.clear();
  append_access_line(line, entry);
  bool is_worth_waking = false;
  {
    Guard guard(mutex_);
    if (waiting_.size() + line.size() > kWaitingMax) {
      dropped_.add();
      return;
    }
    const auto before = waiting_.size();
    waiting_ += line;
    is_worth_waking = before < kWorthWaking && waiting_.size() >= kWorthWaking;
  }
  if (is_worth_waking) wake_.notify_one();
}

void AccessLog::reopen() {
  {
    Guard guard(mutex_);
    reopening_ = true;
  }
  wake_.notify_one();
}

void AccessLog::run() {
  (void)::pthread_setname_np(::pthread_self(), "access-log");
  std::string lines;
  for (bool stopping = false; !stopping;) {
    bool reopening = false;
    lines.clear();
    {
      Guard guard(mutex_);
      wake_.wait_for(mutex_, kGathered,
                     [this]() HOLDFAST_NO_ANALYSIS { return stopping_ || reopening_ || waiting_.size() >= kWorthWaking; });
      lines.swap(waiting_);
      stopping = stopping_;
      reopening = std::exchange(reopening_, false);
    }
    write_out(lines);  // what came before a reopening belongs to the file of before
    if (!reopening) continue;
    const int file = open_file(path_);
    if (file < 0) {
      LOG_ERROR("-accessLog={}: {}; the file of before is written on", path_, ::strerror(errno));
      continue;
    }
    if (file_ >= 0) ::close(file_);
    file_ = file;
  }
}

void AccessLog::write_out(const std::string& lines) {
  std::string_view rest = lines;
  while (!rest.empty()) {
    const auto written = ::write(file_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      if (!std::exchange(is_failing_, true)) LOG_ERROR("-accessLog={}: {}; lines are lost until it can be written", path_, ::strerror(errno));
      dropped_.add(static_cast<std::uint64_t>(std::count(rest.begin(), rest.end(), '\n')));
      return;
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (!lines.empty() && std::exchange(is_failing_, false)) LOG_INFO("-accessLog={}: is written again", path_);
}

}  // namespace holdfast::front
