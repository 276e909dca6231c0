#include "front/http/server.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <future>
#include <thread>

#include "base/log.h"
#include "front/http/connection.h"
#include "io/posix/listening.h"

namespace holdfast::http {

namespace {

constexpr Duration kStopPoll = 2ms;
constexpr Duration kStopComplaint = 5s;

}  // namespace

struct Server::Inside {
  Inside(io::EventLoops& loops, ServerOptions options) : loops(loops), options(options) {}

  // Runs `work` on each loop for its listener and waits until all are done.
  template <typename Work>
  void on_each(Work work) {
    std::vector<std::future<void>> done;
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      auto promise = std::make_shared<std::promise<void>>();
      done.push_back(promise->get_future());
      loops.at(i).post([this, i, work, promise] {
        work(*listeners[i]);
        promise->set_value();
      });
    }
    for (auto& one : done) one.wait();
  }

  std::size_t connections() const {
    std::size_t sum = 0;
    for (const auto& listener : listeners) sum += listener->connections();
    return sum;
  }

  // Whether all connections have gone within `patience`.
  bool wait_for_connections(Duration patience) const {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (connections() > 0) {
      if (std::chrono::steady_clock::now() >= until) return false;
      std::this_thread::sleep_for(kStopPoll);
    }
    return true;
  }

  io::EventLoops& loops;
  const ServerOptions options;
  std::vector<std::unique_ptr<Listener>> listeners;
  bool stopped = false;
};

Server::Server(io::EventLoops& loops, Handler& handler, ServerOptions options)
    : inside_(std::make_unique<Inside>(loops, options)) {
  for (std::size_t i = 0; i < loops.size(); ++i) {
    inside_->listeners.push_back(std::make_unique<Listener>(loops.at(i), handler, inside_->options));
  }
}

Server::~Server() { stop(Duration(0)); }

Result<std::uint16_t> Server::listen(const std::string& name, std::uint16_t port) {
  auto addresses = io::posix::listen_addresses(name);
  if (!addresses) return addresses.error();
  const auto where = (name.empty() ? std::string("*") : name) + ":";

  bool bound = false;
  int error = 0;
  for (auto address : *addresses) {
    address.set_port(port);
    // With SO_REUSEPORT a second process would share the port unnoticed. A socket without it is refused when anyone
    // listens there.
    const int probe = io::posix::listening_socket(address, false);
    if (probe < 0) {
      error = errno;
      if (error == EADDRINUSE) break;
      continue;
    }
    const auto found = io::posix::local_port(probe);
    ::close(probe);
    address.set_port(found);
    for (std::size_t i = 0; i < inside_->listeners.size(); ++i) {
      const int fd = io::posix::listening_socket(address, true);
      if (fd < 0) return errno_error(errno, "listen on " + where + std::to_string(found));
      auto* listener = inside_->listeners[i].get();
      inside_->loops.at(i).post([listener, fd, found] { listener->accept_on(fd, found); });
    }
    port = found;  // for the other addresses of this name
    bound = true;
  }
  if (error == EADDRINUSE) {
    return Error(Code::already_exists, "listen on " + where + std::to_string(port) + ": address already in use");
  }
  if (error == EADDRNOTAVAIL) {
    return Error(Code::not_found, "listen on " + where + std::to_string(port) + ": " + std::strerror(error));
  }
  if (!bound) return errno_error(error, "listen on " + where + std::to_string(port));
  return port;
}

void Server::stop(Duration grace) {
  auto& inside = *inside_;
  if (inside.stopped) return;
  inside.stopped = true;
  inside.on_each([](Listener& listener) {
    listener.stop_accepting();
    listener.close_idle();
  });
  if (!inside.wait_for_connections(grace)) {
    inside.on_each([](Listener& listener) { listener.break_all(); });
    while (!inside.wait_for_connections(kStopComplaint)) {
      LOG_WARNING("stopping: {} requests are still being worked on", inside.connections());
    }
  }
  // On their loops, so that whatever the last connection or a timer was in the middle of is over.
  inside.on_each([](Listener& listener) { listener.retire(); });
}

std::size_t Server::connections() const { return inside_->connections(); }

// --- dates and reasons

namespace {
constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool two_digits(std::string_view text, int& out) {
  if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') return false;
  out = (text[0] - '0') * 10 + (text[1] - '0');
  return true;
}
}  // namespace

void write_http_date(std::int64_t unix_seconds, char* out) {
  using namespace std::chrono;
  // Years of four digits are all the format has.
  constexpr std::int64_t kLast = 253402300799;  // 9999-12-31 23:59:59
  const sys_seconds time(std::chrono::seconds(std::clamp<std::int64_t>(unix_seconds, 0, kLast)));
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  const auto two = [](char* to, unsigned value) {
    to[0] = static_cast<char>('0' + value / 10);
    to[1] = static_cast<char>('0' + value % 10);
  };
  std::memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", kDateBytes);
  std::memcpy(out, kDays[weekday(day).c_encoding()], 3);
  two(out + 5, static_cast<unsigned>(date.day()));
  std::memcpy(out + 8, kMonths[static_cast<unsigned>(date.month()) - 1], 3);
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  two(out + 12, year / 100);
  two(out + 14, year % 100);
  two(out + 17, static_cast<unsigned>(clock.hours().count()));
  two(out + 20, static_cast<unsigned>(clock.minutes().count()));
  two(out + 23, static_cast<unsigned>(clock.seconds().count()));
}

std::string http_date(std::int64_t unix_seconds) {
  std::string text(kDateBytes, '\0');
  write_http_date(unix_seconds, text.data());
  return text;
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  // "Mon, 02 Jan 2006 15:04:05 GMT"
  if (text.size() != 29 || text[3] != ',' || text[4] != ' ' || text[7] != ' ' || text[11] != ' ' || text[16] != ' ' ||
      text[19] != ':' || text[22] != ':' || text.substr(25) != " GMT") {
    return std::nullopt;
  }
  std::tm utc{};
  int century = 0;
  int year = 0;
  if (!two_digits(text.substr(5), utc.tm_mday) || !two_digits(text.substr(12), century) ||
      !two_digits(text.substr(14), year) || !two_digits(text.substr(17), utc.tm_hour) ||
      !two_digits(text.substr(20), utc.tm_min) || !two_digits(text.substr(23), utc.tm_sec)) {
    return std::nullopt;
  }
  utc.tm_mon = -1;
  for (int i = 0; i < 12; ++i) {
    if (text.substr(8, 3) == kMonths[i]) utc.tm_mon = i;
  }
  bool day = false;
  for (const auto* name : kDays) day = day || text.substr(0, 3) == name;
  if (!day || utc.tm_mon < 0 || utc.tm_mday < 1 || utc.tm_hour > 23 || utc.tm_min > 59 || utc.tm_sec > 59) {
    return std::nullopt;
  }
  utc.tm_year = century * 100 + year - 1900;
  const int day_of_month = utc.tm_mday;
  const auto seconds = timegm(&utc);
  if (utc.tm_mday != day_of_month) return std::nullopt;  // the 31st of a short month
  return seconds;
}

std::string_view reason(int status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 412: return "Precondition Failed";
    case 413: return "Request Entity Too Large";
    case 416: return "Requested Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 423: return "Locked";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "status code 499";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return "Unknown";
  }
}

}  // namespace holdfast::http
