// What a million needles cost in memory and at start, what one append and one read cost, and how fast a vacuum is beside a
// plain copy of what it keeps.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "storage/volume/compaction.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {
namespace {

constexpr int kMillion = 1'000'000;

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-bench-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  VolumePlace place() const { return {.id = VolumeId(1), .data_folder = path, .index_folder = path}; }
  std::string path;
};

struct Bench {
  WorkPool pool{1};
  Folder folder;
  Surroundings around{io::posix::system_disk(), io::posix::system_clock(), pool};
  std::shared_ptr<Volume> volume = *Volume::create(around, folder.place(), {});

  void put(std::uint64_t key, std::string_view data) {
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = Cookie(7);
    put.needle.data = bytes_of(data);
    put.needle.name = "name";
    put.needle.flags = kFlagName | kFlagMime | kFlagLastModified;
    put.needle.last_modified = 1700000000;
    put.done = [](Result<Put::Outcome> r) { CHECK(r.ok()); };
    volume->put(std::move(put), true);
  }
};

void append_1k(benchmark::State& state) {
  Bench bench;
  const std::string data(1024, 'x');
  std::uint64_t key = 1;
  for (auto _ : state) bench.put(key++, data);
}
BENCHMARK(append_1k)->Iterations(200'000);

void read_1k(benchmark::State& state) {
  Bench bench;
  const std::string data(1024, 'x');
  constexpr std::uint64_t kFiles = 100'000;
  for (std::uint64_t key = 1; key <= kFiles; key++) bench.put(key, data);
  ReadBuffer buffer;
  Found found;
  std::uint64_t key = 1;
  for (auto _ : state) {
    key = key * 6364136223846793005ull + 1442695040888963407ull;
    const auto answer = bench.volume->read_now(NeedleId(1 + key % kFiles), Cookie(7), {}, buffer, found);
    if (answer != ReadNow::found) state.SkipWithError("not found");
  }
}
BENCHMARK(read_1k);

void open_a_million(benchmark::State& state) {
  Bench bench;
  for (int i = 1; i <= kMillion; i++) bench.put(static_cast<std::uint64_t>(i) * 7, "x");
  bench.volume.reset();
  for (auto _ : state) {
    auto opened = Volume::open(bench.around, bench.folder.place());
    state.counters["bytes_per_needle"] =
        static_cast<double>((*opened)->index_memory_bytes()) / static_cast<double>((*opened)->live_needles());
    state.PauseTiming();
    opened->reset();
    state.ResumeTiming();
  }
}
BENCHMARK(open_a_million)->Unit(benchmark::kMillisecond);

void look_up_among_a_million(benchmark::State& state) {
  NeedleMap map;
  for (std::uint32_t i = 1; i <= kMillion; i++) map.put(NeedleId(std::uint64_t{i} * 7), {i, 1024});
  std::uint64_t key = 1;
  for (auto _ : state) {
    key = key * 6364136223846793005ull + 1442695040888963407ull;
    benchmark::DoNotOptimize(map.find(NeedleId((1 + (key >> 33) % kMillion) * 7)));
  }
  state.counters["bytes_per_needle"] = static_cast<double>(map.memory_bytes()) / kMillion;
}
BENCHMARK(look_up_among_a_million);

// Half of the files of a volume are deleted. Bytes are those of the live half, made durable in the end, by both.
constexpr std::size_t kFileBytes = 64_KiB;
constexpr std::uint64_t kFilesOfAVolume = 8192;

void vacuum(benchmark::State& state) {
  const std::string data(kFileBytes, 'x');
  std::uint64_t live = 0;
  for (auto _ : state) {
    state.PauseTiming();
    Bench bench;
    for (std::uint64_t key = 1; key <= kFilesOfAVolume; key++) bench.put(key, data);
    for (std::uint64_t key = 1; key <= kFilesOfAVolume; key += 2) {
      Remove remove;
      remove.id = NeedleId(key);
      remove.check_cookie = false;
      remove.done = [](Result<std::int32_t> r) { CHECK(r.ok()); };
      bench.volume->remove(std::move(remove), true);
    }
    // A volume that is vacuumed has been on the disk for long.
    for (const char* name : {"/1.dat", "/1.idx"}) {
      const int fd = ::open((bench.folder.path + name).c_str(), O_RDONLY);
      CHECK(fd >= 0 && ::fsync(fd) == 0);
      ::close(fd);
    }
    state.ResumeTiming();
    auto compaction = *Compaction::make(bench.volume, {});
    CHECK(compaction->catch_up({}).ok());
    const auto made = compaction->commit([](const std::shared_ptr<Volume>&) {});
    CHECK(made.ok());
    state.PauseTiming();
    live += (kFilesOfAVolume / 2) * kFileBytes;
    compaction.reset();
    state.ResumeTiming();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(live));
}
BENCHMARK(vacuum)->UseRealTime()->Unit(benchmark::kMillisecond);

// What cp does, and a sync as the vacuum's.
void bare_cp(benchmark::State& state) {
  const Folder folder;
  const std::string from = folder.path + "/from";
  const std::string to = folder.path + "/to";
  constexpr std::uint64_t kBytes = (kFilesOfAVolume / 2) * kFileBytes;
  std::vector<char> piece(1_MiB, 'x');
  {
    const int fd = ::open(from.c_str(), O_WRONLY | O_CREAT, 0600);
    for (std::uint64_t at = 0; at < kBytes; at += piece.size()) CHECK(::write(fd, piece.data(), piece.size()) > 0);
    ::close(fd);
  }
  for (auto _ : state) {
    const int source = ::open(from.c_str(), O_RDONLY);
    const int target = ::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(source >= 0 && target >= 0);
    while (true) {
      const auto n = ::read(source, piece.data(), piece.size());
      if (n <= 0) break;
      CHECK(::write(target, piece.data(), static_cast<std::size_t>(n)) == n);
    }
    CHECK(::fsync(target) == 0);
    ::close(source);
    ::close(target);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(kBytes) * state.iterations());
}
BENCHMARK(bare_cp)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace holdfast::volume
