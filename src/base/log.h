// Log lines: LOG_INFO("leader is {} since term {}", name, term). One clear line for each event an operator cares for.
//
// A line is `I<mmdd> <hh:mm:ss.us> <file>:<line> <text>` (spec/weed-cluster 1.4), first letter I, W or E.
// Thread-safe. LOG_V(n, ...) prints only when -v is n or more; its arguments are not evaluated otherwise.
// LOG_ONCE(...) prints a warning the first time only, per call site.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <string>
#include <string_view>

namespace holdfast::log {

enum class Severity { info, warning, error };

extern std::atomic<int> verbosity;  // -v; 0 by default

void write(Severity severity, const char* file, int line, std::string_view text);

}  // namespace holdfast::log

#define HOLDFAST_LOG(severity, ...) \
  ::holdfast::log::write(::holdfast::log::Severity::severity, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__))
#define LOG_INFO(...) HOLDFAST_LOG(info, __VA_ARGS__)
#define LOG_WARNING(...) HOLDFAST_LOG(warning, __VA_ARGS__)
#define LOG_ERROR(...) HOLDFAST_LOG(error, __VA_ARGS__)
#define LOG_V(level, ...)                                                                     \
  do {                                                                                        \
    if (::holdfast::log::verbosity.load(std::memory_order_relaxed) >= (level)) LOG_INFO(__VA_ARGS__); \
  } while (0)
#define LOG_ONCE(...)                                              \
  do {                                                             \
    static std::atomic<bool> holdfast_said{false};                 \
    if (!holdfast_said.exchange(true)) LOG_WARNING(__VA_ARGS__);   \
  } while (0)
