// bare_beats: what the heartbeats of an idle leader cost the machine by themselves (docs/benchmarks.md).
//
//   bare_beats SECONDS
//
// One process sends a datagram of a beat's size to each of two others every 33 ms and takes in their answers, as a leader
// of three masters does, and does nothing else. Prints the share of a core that it took, in percent. No three masters
// that stay in touch over UDP can do with less.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

constexpr auto kBeatInterval = std::chrono::milliseconds(33);
constexpr std::size_t kBeatBytes = 132;
constexpr std::size_t kReplyBytes = 98;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int bound_socket(sockaddr_in* address) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  *address = {};
  address->sin_family = AF_INET;
  address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof *address;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(address), length) != 0) die("bind");
  if (getsockname(fd, reinterpret_cast<sockaddr*>(address), &length) != 0) die("getsockname");
  return fd;
}

void answer_until_killed(int fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::array<char, 2048> buffer{};
  for (;;) {
    pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
    poll(&watched, 1, 100);
    sockaddr_in from{};
    socklen_t length = sizeof from;
    while (recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length) > 0) {
      sendto(fd, buffer.data(), kReplyBytes, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&from), length);
    }
  }
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 0;
  if (seconds <= 0) {
    std::fputs("usage: bare_beats SECONDS\n", stderr);
    return 1;
  }
  std::array<sockaddr_in, 2> followers{};
  std::array<pid_t, 2> children{};
  for (std::size_t i = 0; i < followers.size(); ++i) {
    const int fd = bound_socket(&followers[i]);
    children[i] = fork();
    if (children[i] < 0) die("fork");
    if (children[i] == 0) answer_until_killed(fd);
    close(fd);
  }
  sockaddr_in own{};
  const int fd = bound_socket(&own);
  std::array<char, 2048> buffer{};
  const auto begin = std::chrono::steady_clock::now();
  const double before = cpu_seconds();
  const auto beats = static_cast<int>(std::chrono::duration<double>(seconds) / kBeatInterval);
  for (int beat = 1; beat <= beats; ++beat) {
    const auto left = begin + beat * kBeatInterval - std::chrono::steady_clock::now();
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    const timespec timeout{.tv_sec = 0, .tv_nsec = ns > 0 ? ns : 0};
    ppoll(nullptr, 0, &timeout, nullptr);
    while (recv(fd, buffer.data(), buffer.size(), 0) > 0) {
    }
    for (const auto& to : followers) {
      sendto(fd, buffer.data(), kBeatBytes, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%.3f\n", 100 * (cpu_seconds() - before) / took.count());
  for (const auto child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  return 0;
}
