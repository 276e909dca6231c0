#include "base/log.h"

#include <sys/time.h>
#include <unistd.h>

#include <cstring>
#include <ctime>

namespace holdfast::log {

std::atomic<int> verbosity{0};

void write(Severity severity, const char* file, int line, std::string_view text) {
  timeval now{};
  gettimeofday(&now, nullptr);
  tm local{};
  localtime_r(&now.tv_sec, &local);
  const char* base = std::strrchr(file, '/');
  const auto whole = fmt::format("{}{:02}{:02} {:02}:{:02}:{:02}.{:06} {}:{} {}\n", "IWE"[static_cast<int>(severity)],
                                 local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
                                 now.tv_usec, base ? base + 1 : file, line, text);
  // One write call per line keeps lines of several threads whole.
  if (::write(STDERR_FILENO, whole.data(), whole.size()) < 0) return;
}

}  // namespace holdfast::log
