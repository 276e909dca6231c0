// Log lines: LOG_INFO("leader is {} since term {}", name, term). One clear line for each event an operator cares for.
//
// A line is `I<mmdd> <hh:mm:ss.us> <file>:<line> <text>` (spec/weed-cluster 1.4), first letter I, W, E or F, or one
// JSON object with -log_json. Before configure() lines go to stderr alone; after it also into files, one per severity:
// the INFO file gets everything, the WARNING file warnings and worse, and so on. A file is made with its first line,
// rotated by size and age, and the oldest are removed. A file that cannot be written is told of once and never stops
// the program: a full disk must not end a master because of its log.
//
// LOG_V(n, ...) prints only when -v is n or more, or -vmodule says so for the file; its arguments are not evaluated
// otherwise. LOG_ONCE(...) prints a warning the first time only, per call site. LOG_FATAL(...) prints, closes the
// files and ends the process with exit status 255.
//
// Thread-safe. A line is written with one system call per sink before the call returns, so nothing is lost when the
// process dies right after; the lines here are few, and none stands on a path that requests take.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace holdfast::log {

enum class Severity { info, warning, error, fatal };

struct Options {
  std::string program = "weed";  // first part of the file names
  std::string directory;         // "" = the temp dir ($TMPDIR, else /tmp)
  bool only_stderr = false;      // -logtostderr: no files
  bool files = true;             // false: neither, what goes to stderr is decided as with files
  bool also_stderr = true;       // -alsologtostderr; else only lines from `stderr_threshold` on
  Severity stderr_threshold = Severity::error;
  int verbosity = 0;             // -v
  std::string per_file;          // -vmodule: "raft*=2,master=1"; pattern over file names without ".cc"
  std::string backtrace_at;      // -log_backtrace_at: "file.cc:123"
  std::uint64_t file_bytes_max = std::uint64_t{1800} << 20;
  int files_max = 5;             // kept for each severity
  Duration file_age_max = 168h;  // 0 = never rotated by age
  bool json = false;
  bool compress = false;         // gzip what was rotated
};

// Called once by main() before any other thread runs. An unreadable -vmodule or -log_backtrace_at is the Error.
Status configure(const Options& options);

// The system's log as a further sink, for daemons. Its levels are those of syslog.h: 3 error, 4 warning, 5 notice, 6 info,
// 7 debug; ours are error, warning and info, and what LOG_V lets through is info too. On a machine without a log daemon
// the lines are lost. May be called again, to change the levels; from one thread.
struct Syslog {
  std::string identity;  // in front of each line
  int lowest = 6;        // lines below it are not sent
  int raised_to = 5;     // lines below it are sent as if they had it
};
void use_syslog(const Syslog& options);

// Severity by name or number, as -stderrthreshold takes it: INFO 0, WARNING 1, ERROR 2, FATAL 3.
Result<Severity> parse_severity(std::string_view text);

extern std::atomic<int> verbosity;   // -v; 0 by default
extern std::atomic<bool> has_rules;  // whether -vmodule was given

// Whether a rule of -vmodule lets `level` of this source file through.
bool rules_let(int level, const char* file);

inline bool is_on(int level, const char* file) {
  return verbosity.load(std::memory_order_relaxed) >= level ||
         (has_rules.load(std::memory_order_relaxed) && rules_let(level, file));
}

void write(Severity severity, const char* file, int line, std::string_view text);

// Writes the line and ends the process at once with status 255: no destructors, no exit handlers, since other threads
// may still use what those would take away.
[[noreturn]] void write_fatal(const char* file, int line, std::string_view text);

}  // namespace holdfast::log

#define HOLDFAST_LOG(severity, ...) \
  ::holdfast::log::write(::holdfast::log::Severity::severity, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__))
#define LOG_INFO(...) HOLDFAST_LOG(info, __VA_ARGS__)
#define LOG_WARNING(...) HOLDFAST_LOG(warning, __VA_ARGS__)
#define LOG_ERROR(...) HOLDFAST_LOG(error, __VA_ARGS__)
#define LOG_FATAL(...) ::holdfast::log::write_fatal(__FILE__, __LINE__, ::fmt::format(__VA_ARGS__))
#define LOG_V(level, ...)                                                \
  do {                                                                   \
    if (::holdfast::log::is_on((level), __FILE__)) LOG_INFO(__VA_ARGS__); \
  } while (0)
#define LOG_ONCE(...)                                              \
  do {                                                             \
    static std::atomic<bool> holdfast_said{false};                 \
    if (!holdfast_said.exchange(true)) LOG_WARNING(__VA_ARGS__);   \
  } while (0)
