// What an assign costs the event loop: try_assign on a warm leader, alone and from several threads, in small and large
// layouts; and what a pulse without news costs.
#include <benchmark/benchmark.h>

#include <thread>

#include "io/posix/clock.h"
#include "io/posix/random.h"
#include "service/master/fakes.h"
#include "service/master/master.h"

namespace holdfast::master {
namespace {

struct Warm {
  explicit Warm(std::uint32_t volumes, const char* replication, int servers = 3) : group(1) {
    master = Master::create({}, clock, io::posix::system_random());
    group.attach(0, master->state_machine());
    master->start(group.consensus(0), orders);
    group.lead(0);
    for (int n = 1; n <= servers; ++n) {
      topology::Report report = fake_report(n, volumes);
      report.pulse = 1h;
      for (std::uint32_t id = 1; id <= volumes; ++id) {
        if (std::string(replication) == "000" && static_cast<int>(id % static_cast<unsigned>(servers)) + 1 != n) continue;
        VolumeInfo info;
        info.id = VolumeId(id);
        info.replica_placement = *ReplicaPlacement::parse(replication);
        report.volumes.push_back(info);
      }
      sessions.push_back(master->open_session("bench"));
      (void)sessions.back()->on_report(report);
    }
    while (!master->try_assign({.replication = replication})) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ~Warm() {
    sessions.clear();
    master->stop();
  }

  io::posix::SystemClock clock;
  FakeGroup group;
  FakeOrders orders;
  std::unique_ptr<Master> master;
  std::vector<std::unique_ptr<ReportSession>> sessions;
};

Warm* warm = nullptr;

void run_assign(benchmark::State& state, const char* replication) {
  for (auto _ : state) {
    auto answer = warm->master->try_assign({.replication = replication});
    while (!answer) answer = warm->master->try_assign({.replication = replication});  // a block is on its way
    benchmark::DoNotOptimize(answer);
  }
}

void BM_Assign(benchmark::State& state) {
  if (state.thread_index() == 0) warm = new Warm(static_cast<std::uint32_t>(state.range(0)), "000");
  run_assign(state, "");
  if (state.thread_index() == 0) delete std::exchange(warm, nullptr);
}
BENCHMARK(BM_Assign)->Arg(7)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(BM_Assign)->Arg(7)->Threads(2);

void BM_AssignThreeCopies(benchmark::State& state) {
  if (state.thread_index() == 0) warm = new Warm(static_cast<std::uint32_t>(state.range(0)), "002");
  run_assign(state, "002");
  if (state.thread_index() == 0) delete std::exchange(warm, nullptr);
}
BENCHMARK(BM_AssignThreeCopies)->Arg(3)->Arg(10'000);

void BM_Lookup(benchmark::State& state) {
  Warm here(10'000, "000");
  std::uint32_t id = 0;
  for (auto _ : state) {
    auto answer = here.master->lookup(VolumeId(id = id % 10'000 + 1), "");
    benchmark::DoNotOptimize(answer);
  }
}
BENCHMARK(BM_Lookup);

void BM_PulseWithoutNews(benchmark::State& state) {
  Warm here(10'000, "000");
  topology::Report report;
  report.process = Uuid{500, 1};
  report.pulse = 1h;
  for (auto _ : state) {
    auto reply = here.sessions[0]->on_report(report);
    benchmark::DoNotOptimize(reply);
  }
}
BENCHMARK(BM_PulseWithoutNews);

}  // namespace
}  // namespace holdfast::master
