#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/log.h"
#include "front/http/connection.h"
#include "io/posix/listening.h"

namespace holdfast::http {

namespace asio = boost::asio;

namespace {

constexpr int kAcceptsInARow = 64;                // before connections get their turn
constexpr Duration kOutOfDescriptorsPause = 100ms;
constexpr int kPlaceSearchMax = 256;              // busy connections looked at for an idle one to close

Instant clock_now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant(std::chrono::seconds(now.tv_sec) + Duration(now.tv_nsec));
}

struct Peer {
  std::string ip;
  std::uint16_t port = 0;
};

Peer peer_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return {text, ntohs(v4.sin_port)};
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  }
  return {text, ntohs(v6.sin6_port)};
}

Duration sweep_interval_of(const ServerOptions& options) {
  const auto shortest = std::min({options.idle_timeout, options.head_timeout, options.body_timeout});
  return std::clamp<Duration>(shortest / 4, 10ms, 500ms);
}

}  // namespace

struct Listener::Acceptor {
  Acceptor(asio::io_context& context, int fd, std::uint16_t port) : socket(context.get_executor()), port(port) {
    boost::system::error_code ignored;
    socket.assign(asio::ip::tcp::v6(), fd, ignored);
  }
  asio::basic_socket_acceptor<asio::ip::tcp, asio::io_context::executor_type> socket;
  const std::uint16_t port;
};

Listener::Listener(io::EventLoop& loop, Handler& handler, const ServerOptions& options)
    : loop_(loop), handler_(handler), options_(options), sweep_interval_(sweep_interval_of(options)), now_(clock_now()) {}

Listener::~Listener() {
  CHECK(!*alive_);
  CHECK(connections() == 0);
}

void Listener::retire() { *alive_ = false; }

Instant Listener::read_clock() { return now_ = clock_now(); }

std::string_view Listener::date_line() {
  const std::int64_t second = std::time(nullptr);
  if (second != date_second_) {
    date_second_ = second;
    const auto text = "Date: " + http_date(second) + "\r\n\r\n";
    CHECK(text.size() < sizeof date_);
    std::memcpy(date_, text.c_str(), text.size() + 1);
  }
  return {date_, sizeof("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n") - 1};
}

void Listener::accept_on(int fd, std::uint16_t port) {
  acceptors_.push_back(std::make_unique<Acceptor>(loop_.context(), fd, port));
  accept(*acceptors_.back());
}

void Listener::accept(Acceptor& acceptor) {
  acceptor.socket.async_wait(asio::socket_base::wait_read,
                             [this, alive = alive_, &acceptor](const boost::system::error_code& error) {
                               if (error || !*alive || stopping_) return;
                               take_connections(acceptor);
                             });
}

void Listener::take_connections(Acceptor& acceptor) {
  read_clock();
  for (int i = 0; i < kAcceptsInARow; ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    const int fd = ::accept4(acceptor.socket.native_handle(), reinterpret_cast<sockaddr*>(&address), &length,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        LOG_ONCE("accept: {}; clients wait until a connection closes. A larger limit of open files helps (ulimit -n, LimitNOFILE=)",
                 std::strerror(errno));
        if (make_place()) continue;
        loop_.post_after(kOutOfDescriptorsPause, [this, alive = alive_, &acceptor] {
          if (*alive && !stopping_) accept(acceptor);
        });
        return;
      }
      continue;  // that client has gone already
    }
    const auto left = io::posix::descriptors_left(fd);
    if (left != io::posix::Descriptors::kRoomy) {
      LOG_ONCE("HTTP: three quarters of the open files that this process may have are in use: idle connections are closed, then new "
               "ones refused. A larger limit helps (ulimit -n, LimitNOFILE=)");
    }
    const bool tight = left != io::posix::Descriptors::kRoomy || connections() >= options_.connections_max;
    if (tight && !make_place() && (left != io::posix::Descriptors::kTight || connections() >= options_.connections_max)) {
      constexpr std::string_view kFull =
          "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 1\r\n\r\n";
      [[maybe_unused]] const auto sent = ::send(fd, kFull.data(), kFull.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      ::close(fd);
      continue;
    }
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    auto peer = peer_of(address);
    // The connection owns itself; see Connection::Busy.
    (new Connection(*this, fd, std::move(peer.ip), peer.port, acceptor.port))->start();
  }
  accept(acceptor);
}

// Closes the connection idle for longest. Busy ones are put behind the others, where they come to stand anyway when they become
// idle: however many they are, those behind them are found the next time.
bool Listener::make_place() {
  for (int i = 0; i < kPlaceSearchMax && connections_.next != &connections_; ++i) {
    auto& connection = static_cast<Connection&>(*connections_.next);
    if (connection.is_idle()) {
      connection.close();
      return true;
    }
    became_idle(connection);
  }
  return false;
}

void Listener::add(Connection& connection) {
  connection.link_before(connections_);
  count_.fetch_add(1, std::memory_order_relaxed);
  if (!sweeping_) {
    sweeping_ = true;
    sweep();
  }
}

void Listener::remove(Connection& connection) {
  connection.unlink();
  count_.fetch_sub(1, std::memory_order_relaxed);
}

void Listener::became_idle(Connection& connection) {
  if (connections_.previous == &connection) return;
  connection.unlink();
  connection.link_before(connections_);
}

// Timeouts are looked after in rounds, so that a request never touches a timer.
void Listener::sweep() {
  loop_.post_after(sweep_interval_, [this, alive = alive_] {
    if (!*alive) return;
    read_clock();
    for (auto* hook = connections_.next; hook != &connections_;) {
      auto& connection = static_cast<Connection&>(*hook);
      hook = hook->next;  // the connection may delete itself; nothing else is deleted by it
      if (connection.deadline() <= now_) connection.deadline_passed();
    }
    sweeping_ = connections_.next != &connections_;
    if (sweeping_) sweep();
  });
}

void Listener::stop_accepting() {
  stopping_ = true;
  for (auto& acceptor : acceptors_) {
    boost::system::error_code ignored;
    acceptor->socket.close(ignored);
  }
}

void Listener::close_idle() {
  for (auto* hook = connections_.next; hook != &connections_;) {
    auto& connection = static_cast<Connection&>(*hook);
    hook = hook->next;
    connection.close_if_idle();
  }
}

void Listener::break_all() {
  for (auto* hook = connections_.next; hook != &connections_;) {
    auto& connection = static_cast<Connection&>(*hook);
    hook = hook->next;
    connection.break_up();
  }
}

}  // namespace holdfast::http
