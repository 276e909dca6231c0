#include "front/http/debug_routes.h"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/strconv.h"
#include "front/http/answers.h"
#include "front/http/url.h"

namespace holdfast::front {

namespace {

using http::Method;

void answer_text(http::Exchange& exchange, int status, std::string_view text) {
  exchange.head(status).add("Content-Type", "text/plain; charset=utf-8").add("X-Content-Type-Options", "nosniff");
  exchange.finish(text);
}

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream out;
  out << file.rdbuf();
  return std::move(out).str();
}

// proc(5), stat: the name stands in brackets and may hold any of them; behind it the state, and eleven fields later the
// ticks in user and kernel mode.
std::string threads() {
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::vector<std::string> lines;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/task", error), end; !error && at != end; at.increment(error)) {
    const auto stat = content(at->path() / "stat");
    const auto name_begin = stat.find('(');
    const auto name_end = stat.rfind(')');
    if (name_begin == std::string::npos || name_end == std::string::npos) continue;  // it has just ended
    std::istringstream rest(stat.substr(name_end + 1));
    std::string state;
    std::string skipped;
    double user = 0;
    double kernel = 0;
    rest >> state;
    for (int i = 0; i < 10; ++i) rest >> skipped;
    rest >> user >> kernel;
    lines.push_back(fmt::format("{:>8} {:<16} {} {:12.2f}\n", at->path().filename().string(),
                                stat.substr(name_begin + 1, name_end - name_begin - 1), state, (user + kernel) * tick));
  }
  std::sort(lines.begin(), lines.end());
  std::string out = fmt::format("{:>8} {:<16} {} {:>12}\n", "thread", "name", "s", "cpu seconds");
  for (const auto& line : lines) out += line;
  return out;
}

std::string memory() {
  const auto info = ::mallinfo2();
  auto out = fmt::format("allocated      {:>14}\nfree in heaps  {:>14}\nheaps          {:>14}\nmapped alone   {:>14}\n\n", info.uordblks,
                         info.fordblks, info.arena, info.hblkhd);
  std::istringstream status(content("/proc/self/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Vm") || line.starts_with("Rss") || line.starts_with("Threads")) out += line + "\n";
  }
  return out;
}

void answer_verbosity(http::Exchange& exchange) {
  if (exchange.request().method == Method::post) {
    const Params params(exchange.request().query);
    const auto level = strconv::parse_int(params.get("v"), 10, 32);
    if (!level || *level < 0) return answer_text(exchange, 400, "give the level in the query: POST /debug/verbosity?v=2\n");
    log::verbosity.store(static_cast<int>(*level), std::memory_order_relaxed);
    LOG_INFO("log lines up to level {} from now on (/debug/verbosity)", *level);
  }
  answer_text(exchange, 200, fmt::format("{}\n", log::verbosity.load(std::memory_order_relaxed)));
}

}  // namespace

void DebugRoutes::serve(http::Exchange& exchange) {
  const auto path = exchange.request().path;
  if (path == "/debug" || path == "/debug/") {
    return answer_text(exchange, 200, "/debug/threads\n/debug/memory\n/debug/verbosity\n");
  }
  if (path == "/debug/threads") return answer_text(exchange, 200, threads());
  if (path == "/debug/memory") return answer_text(exchange, 200, memory());
  if (path == "/debug/verbosity") return answer_verbosity(exchange);
  if (path.starts_with("/debug/pprof")) {
    return answer_text(exchange, 501, fmt::format("profiles are taken from outside: perf record -g -p {} -- sleep 30; stacks: gdb -p {} -batch -ex 'thread apply all bt'\n",
                                                  ::getpid(), ::getpid()));
  }
  answer_no_such_page(exchange);
}

}  // namespace holdfast::front
