// For tests: an HTTP server that says what a script says.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace holdfast::client {

// A server of a few lines: for each connection it reads one request after the other (bodies by Content-Length only) and
// gives it to `answer`, which says what to send; "" closes.
class ScriptedServer {
 public:
  using Answer = std::function<std::string(const std::string& request)>;

  explicit ScriptedServer(Answer answer) : answer_(std::move(answer)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 64), 0);
    socklen_t length = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  ~ScriptedServer() { stop(); }

  void stop() {
    ::shutdown(fd_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    hang_up();
    for (auto& talk : talks_) talk.join();
    talks_.clear();
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  void hang_up() {
    std::lock_guard guard(mutex_);
    for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }

  std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }
  std::atomic<int> connections{0};
  std::atomic<int> requests{0};

 private:
  void accept_all() {
    while (true) {
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++connections;
      {
        std::lock_guard guard(mutex_);
        open_.push_back(fd);
      }
      talks_.emplace_back([this, fd] {
        talk(fd);
        std::lock_guard guard(mutex_);
        std::erase(open_, fd);
        ::close(fd);
      });
    }
  }

  void talk(int fd) {
    std::string buffer;
    char bytes[65536];
    while (true) {
      std::size_t head;
      std::size_t body = 0;
      while (true) {
        head = buffer.find("\r\n\r\n");
        if (head != std::string::npos) {
          const auto length = buffer.find("Content-Length: ");
          if (length != std::string::npos) body = std::stoul(buffer.substr(length + 16));
          if (buffer.size() >= head + 4 + body) break;
          if (body > 10'000'000) break;  // a script for large bodies answers early
        }
        const auto n = ::recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0) return;
        buffer.append(bytes, static_cast<std::size_t>(n));
      }
      ++requests;
      const auto answer = answer_(buffer.substr(0, head + 4 + body));
      buffer.erase(0, std::min(buffer.size(), head + 4 + body));
      if (answer.empty()) return;
      if (::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
    }
  }

  const Answer answer_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
  std::vector<std::thread> talks_;
  std::mutex mutex_;
  std::vector<int> open_;
};

}  // namespace holdfast::client
