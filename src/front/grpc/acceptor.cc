#include "front/grpc/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "io/posix/listening.h"

namespace holdfast::front {

namespace {

constexpr int kWithoutDescriptorMs = 100;  // until the next try
constexpr int kAcceptsInARow = 64;         // of one listener before the others get their turn

void prepare(int fd, Duration user_timeout) {
  const int one = 1;
  const auto patience = static_cast<unsigned>(milliseconds(user_timeout));
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
}

}  // namespace

Acceptor::Acceptor(grpc::ServerBuilder& builder, std::shared_ptr<grpc::ServerCredentials> credentials, Duration user_timeout)
    : library_(builder.experimental().AddExternalConnectionAcceptor(
          grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, std::move(credentials))),
      user_timeout_(user_timeout),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  CHECK(wake_.get() >= 0);
}

Acceptor::~Acceptor() { stop(); }

Result<std::uint16_t> Acceptor::listen(const std::string& host, std::uint16_t port) {
  auto addresses = io::posix::listen_addresses(host);
  if (!addresses) return addresses.error();
  int error = 0;
  bool listens = false;
  for (auto& address : *addresses) {
    address.set_port(port);
    const int fd = io::posix::listening_socket(address, false);
    if (fd < 0) {
      error = errno;
      if (error == EADDRINUSE) break;
      continue;  // a name may have an address that this machine has not, as ::1
    }
    listeners_.push_back(std::make_unique<io::posix::Descriptor>(fd));
    port = io::posix::local_port(fd);
    listens = true;
  }
  if (error == EADDRINUSE) return Error(Code::io, "address already in use");
  if (!listens) return Error(Code::io, std::strerror(error));
  return port;
}

void Acceptor::start() {
  thread_ = std::thread([this] { run(); });
}

void Acceptor::stop() {
  stopping_.store(true);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto woken = ::write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  listeners_.clear();
}

void Acceptor::run() {
  std::vector<pollfd> watched;
  for (const auto& listener : listeners_) watched.push_back({.fd = listener->get(), .events = POLLIN, .revents = 0});
  watched.push_back({.fd = wake_.get(), .events = POLLIN, .revents = 0});
  while (!stopping_.load()) {
    if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) LOG_FATAL("poll: {}", std::strerror(errno));
    bool has_room = true;
    for (const auto& one : watched) {
      if (one.fd != wake_.get() && one.revents != 0) has_room = take(one.fd) && has_room;
    }
    if (has_room) continue;
    pollfd wake = watched.back();  // its event stays: nobody reads it
    ::poll(&wake, 1, kWithoutDescriptorMs);
  }
}

bool Acceptor::take(int listener) {
  for (int i = 0; i < kAcceptsInARow && !stopping_.load(); ++i) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
      if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) continue;  // that client has gone already
      LOG_ONCE("gRPC: accept: {}; clients wait. A larger limit of open files helps (ulimit -n, LimitNOFILE=)", std::strerror(errno));
      return false;
    }
    if (io::posix::descriptors_left(fd) == io::posix::Descriptors::kFull) {
      LOG_ONCE("gRPC: seven eighths of the open files that this process may have are in use: connections are refused. A larger limit "
               "helps (ulimit -n, LimitNOFILE=)");
      ::close(fd);
      continue;
    }
    prepare(fd, user_timeout_);
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.listener_fd = listener;
    connection.fd = fd;
    library_->HandleNewConnection(&connection);
  }
  return true;
}

}  // namespace holdfast::front
