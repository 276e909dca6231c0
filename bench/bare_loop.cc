// bare_loop: the physical limit that reads are measured against (docs/benchmarks.md).
//
//   bare_loop PORT FILE RECORDS
//
// One thread, one epoll, no parsing: whatever arrives is taken for one request. Each answer is one pread of 1 KiB at a
// random record of FILE and one send with the same headers a volume server sends. Nothing that serves files over
// keep-alive connections from a pread per request can do less than this.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kRecordBytes = 1024;
constexpr char kHead[] =
    "HTTP/1.1 200 OK\r\n"
    "Accept-Ranges: bytes\r\n"
    "Content-Disposition: inline; filename=\"file\"\r\n"
    "Content-Length: 1024\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
    "Etag: \"0123abcd\"\r\n"
    "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
    "Server: SeaweedFS Volume 30GB 4.44\r\n"
    "X-Amz-Request-Id: 0123456789ABCDEF01234567\r\n\r\n";

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int listening(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(fd, 1024) != 0) die("listen");
  return fd;
}

void add(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bare_loop PORT FILE RECORDS\n");
    return 2;
  }
  const int acceptor = listening(std::atoi(argv[1]));
  const int file = open(argv[2], O_RDONLY);
  if (file < 0) die(argv[2]);
  const auto records = static_cast<std::uint64_t>(std::atoll(argv[3]));
  const int epoll = epoll_create1(0);
  add(epoll, acceptor);

  char request[8192];
  char answer[sizeof kHead - 1 + kRecordBytes];
  std::memcpy(answer, kHead, sizeof kHead - 1);
  std::uint64_t random = 88172645463325252ull;
  for (;;) {
    epoll_event events[64];
    const int n = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == acceptor) {
        const int peer = accept4(acceptor, nullptr, nullptr, SOCK_NONBLOCK);
        if (peer < 0) continue;
        int one = 1;
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        add(epoll, peer);
        continue;
      }
      if (recv(fd, request, sizeof request, 0) <= 0) {
        close(fd);
        continue;
      }
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      const auto offset = static_cast<off_t>(random % records * kRecordBytes);
      if (pread(file, answer + sizeof kHead - 1, kRecordBytes, offset) != kRecordBytes) die("pread");
      if (send(fd, answer, sizeof answer, MSG_NOSIGNAL) < 0) close(fd);
    }
  }
}
