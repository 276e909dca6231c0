// Many volume servers as far as masters can tell: each with a reporter of its own, as the program has it (service/volume/reporter.h),
// three connections, a full report and the pulses that follow; but with volumes that exist in numbers only.
//
//   load_servers <masters, comma-separated> <first server> <servers> <volumes of each> [<at once>]
//
// `at once`: how many may be under way to masters that have not answered them yet; 25 unless told otherwise. Servers are numbered
// through several of these processes. Prints a line "reported <n>" whenever the number of streams changes on
// which a master has accepted a report, until SIGTERM.
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "io/posix/clock.h"
#include "service/volume/reporter.h"

namespace {

using namespace holdfast;

// Ports of servers that nobody listens on: masters only name them.
constexpr int kFirstPort = 1000;
constexpr std::size_t kAtOnce = 25;

volume::Holdings holdings_of(int server, int volumes) {
  volume::Holdings out;
  for (int i = 0; i < volumes; ++i) {
    VolumeInfo info;
    info.id = VolumeId(static_cast<std::uint32_t>(server * volumes + i + 1));
    info.size = (1u << 20) + static_cast<std::uint64_t>(i) * 4096;
    info.content_size = info.size - 8;
    info.file_count = 1000;
    info.max_key = NeedleId(static_cast<std::uint64_t>(info.id.value()));
    info.modified_at_second = 1'700'000'000;
    out.volumes.push_back(std::move(info));
  }
  out.slots[""] = static_cast<std::uint32_t>(volumes);
  out.total_bytes[""] = std::uint64_t{8} << 40;
  out.free_bytes[""] = std::uint64_t{4} << 40;
  return out;
}

// Differs between runs, as those of other folders and starts do.
Uuid uuid_of(int number, std::uint64_t kind) {
  static const auto kRun = static_cast<std::uint64_t>(io::posix::system_clock().wall().time_since_epoch().count());
  return Uuid::from_random(kRun, static_cast<std::uint64_t>(number) << 8 | kind);
}

struct Server {
  Server(const std::vector<Address>& masters, int number, int volumes)
      : holdings(holdings_of(number, volumes)),
        fences(volume::ServerState{}, [](const volume::ServerState&) { return Status(); }) {
    volume::VolumeConfig config;
    config.ip = "127.0.0.1";
    config.port = static_cast<std::uint16_t>(kFirstPort + number);
    config.grpc_port = static_cast<std::uint16_t>(kFirstPort + number);
    config.masters = masters;
    config.rack = "rack" + std::to_string(number % 20);
    reporter = std::make_unique<volume::Reporter>(
        config, volume::Reporter::World{.clock = io::posix::system_clock(),
                                        .fences = fences,
                                        .holdings = [this] { return holdings; },
                                        .folder_uuids = {text(uuid_of(number, 1))},
                                        .process = uuid_of(number, 2),
                                        .settings = [](std::uint64_t) {}});
    reporter->start();
  }

  const volume::Holdings holdings;
  volume::FenceKeeper fences;
  std::unique_ptr<volume::Reporter> reporter;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    std::fprintf(stderr, "usage: load_servers <masters> <first server> <servers> <volumes of each> [<at once>]\n");
    return 2;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);

  const auto masters = Address::parse_list(argv[1]);
  CHECK(masters.ok());
  const int first = std::atoi(argv[2]), count = std::atoi(argv[3]), volumes = std::atoi(argv[4]);
  const std::size_t at_once = argc == 6 ? static_cast<std::size_t>(std::atoi(argv[5])) : kAtOnce;
  std::vector<std::unique_ptr<Server>> servers;

  std::size_t told = ~std::size_t{0};
  timespec tick{.tv_sec = 0, .tv_nsec = 20'000'000};
  while (sigtimedwait(&ends, nullptr, &tick) < 0) {
    std::size_t reported = 0;
    for (const auto& server : servers) reported += server->reporter->connected();
    // A real one has a machine to itself; here the next come when those before have been answered.
    while (static_cast<int>(servers.size()) < count && servers.size() * masters->size() < reported + at_once * masters->size()) {
      servers.push_back(std::make_unique<Server>(*masters, first + static_cast<int>(servers.size()), volumes));
    }
    if (reported == told) continue;
    told = reported;
    std::printf("reported %zu\n", reported);
    std::fflush(stdout);
  }
  std::_Exit(0);  // a thousand goodbyes are of no use to anyone
}
