// A plain blocking client for tests: it sends what it is told, well-formed or not, and reads one answer at a time.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace holdfast::http::test {

class Client {
 public:
  // `buffer`: of the kernel for what is received; 0: as it likes.
  explicit Client(std::uint16_t port, bool v6 = false, int buffer = 0) {
    fd_ = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    six.sin6_addr = in6addr_loopback;
    connected_ = v6 ? ::connect(fd_, reinterpret_cast<sockaddr*>(&six), sizeof six) == 0
                    : ::connect(fd_, reinterpret_cast<sockaddr*>(&four), sizeof four) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;

  bool is_connected() const { return connected_; }

  // All of it, or until the server closes.
  void send(const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const auto n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += static_cast<std::size_t>(n);
    }
  }

  void shut() { ::shutdown(fd_, SHUT_WR); }

  bool read_some() {
    char buffer[65536];
    const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    buffered_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

  // Up to and with the empty line.
  std::string read_head() {
    std::size_t end;
    while ((end = buffered_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_some()) break;
    }
    return take(end == std::string::npos ? buffered_.size() : end + 4);
  }

  // Head and body; a chunked body is decoded.
  std::string read_answer() {
    auto answer = read_head();
    if (answer.find("\r\nTransfer-Encoding: chunked\r\n") != std::string::npos) {
      while (true) {
        const auto size = std::strtoul(read_to("\r\n").c_str(), nullptr, 16);
        const auto chunk = read_bytes(size + 2);
        if (size == 0) return answer;
        answer += chunk.substr(0, size);
      }
    }
    const auto length = answer.find("\r\nContent-Length: ");
    if (length == std::string::npos) return answer;
    return answer + read_bytes(std::strtoul(answer.c_str() + length + 18, nullptr, 10));
  }

  // The next `n` bytes, fewer when the server closes before.
  std::string read_to_size(std::size_t n) { return read_bytes(n); }

  std::string read_to_end() {
    while (read_some()) {
    }
    return take(buffered_.size());
  }

 private:
  std::string take(std::size_t n) {
    auto taken = buffered_.substr(0, n);
    buffered_.erase(0, n);
    return taken;
  }
  std::string read_bytes(std::size_t n) {
    while (buffered_.size() < n && read_some()) {
    }
    return take(n < buffered_.size() ? n : buffered_.size());
  }
  std::string read_to(const std::string& mark) {
    std::size_t end;
    while ((end = buffered_.find(mark)) == std::string::npos && read_some()) {
    }
    return take(end == std::string::npos ? buffered_.size() : end + mark.size());
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string buffered_;
};

}  // namespace holdfast::http::test
