// Encoding and rebuilding a volume of half a GiB on the disk under TMPDIR, beside ISA-L alone on the same sizes in
// memory. GB/s count the volume's bytes.
#include <benchmark/benchmark.h>
#include <isa-l/erasure_code.h>
#include <stdlib.h>

#include <filesystem>

#include "core/ec/codec.h"
#include "io/posix/disk.h"
#include "storage/ec/encode.h"
#include "storage/ec/shard_sources.h"

namespace holdfast::ec {
namespace {

constexpr std::uint64_t kDatBytes = 512_MiB;
constexpr Scheme kScheme{10, 4};

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-bench-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
    auto& disk = io::posix::system_disk();
    auto dat = *disk.open(path + "/1.dat", {.write = true, .create = true});
    std::string piece(1_MiB, '\0');
    std::uint64_t x = 1;
    for (std::uint64_t at = 0; at < kDatBytes; at += piece.size()) {
      for (std::size_t i = 0; i + 8 <= piece.size(); i += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        std::memcpy(piece.data() + i, &x, 8);
      }
      if (at == 0) std::memcpy(piece.data(), "\3\0\0\0\0\0\0\0", 8);
      CHECK(dat->write(at, bytes_of(piece)).ok());
    }
    CHECK(disk.replace_file(path + "/1.idx", "").ok());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  VolumePlace place() const { return {.id = VolumeId(1), .data_folder = path, .index_folder = path}; }
  std::string path;
};

void encode_once(const Folder& folder) {
  EncodeJob job{.scheme = kScheme, .dat_bytes = kDatBytes, .encode_ts_ns = 1};
  const auto made = encode(io::posix::system_disk(), folder.place(), job);
  CHECK(made.ok());
}

void ec_encode(benchmark::State& state) {
  const Folder folder;
  for (auto _ : state) encode_once(folder);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kDatBytes));
}
BENCHMARK(ec_encode)->UseRealTime()->Unit(benchmark::kMillisecond);

void ec_rebuild_4_of_14(benchmark::State& state) {
  const Folder folder;
  encode_once(folder);
  const EcFiles files(io::posix::system_disk(), folder.place());
  for (auto _ : state) {
    CHECK(files.remove_shards({0, 3, 7, 12}).ok());
    RebuildJob job{.scheme = kScheme, .target = files};
    for (const auto& [id, bytes] : files.shards()) job.paths[id] = files.shard(id);
    CHECK(rebuild(io::posix::system_disk(), job).ok());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kDatBytes));
}
BENCHMARK(ec_rebuild_4_of_14)->UseRealTime()->Unit(benchmark::kMillisecond);

// What the processor could do at best: ec_encode_data over buffers of the same step, `rows` shards made of ten.
void bare_isal(benchmark::State& state, unsigned rows) {
  const StepRoom room(kScheme.total());
  std::vector<std::uint8_t*> from, to;
  for (unsigned i = 0; i < kScheme.data; i++) from.push_back(room.of(i));
  for (unsigned i = 0; i < rows; i++) to.push_back(room.of(kScheme.data + i));
  const Codec codec(kScheme);
  std::vector<std::uint8_t> factors;
  for (unsigned i = 0; i < rows; i++) {
    const auto row = codec.row(kScheme.data + i);
    factors.insert(factors.end(), row.begin(), row.end());
  }
  std::vector<std::uint8_t> tables(32 * kScheme.data * rows);
  ec_init_tables(static_cast<int>(kScheme.data), static_cast<int>(rows), factors.data(), tables.data());
  for (auto _ : state) {
    for (std::uint64_t at = 0; at < kDatBytes; at += kScheme.data * kStepBytes) {
      ec_encode_data(static_cast<int>(kStepBytes), static_cast<int>(kScheme.data), static_cast<int>(rows),
                     tables.data(), from.data(), to.data());
      benchmark::ClobberMemory();
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kDatBytes));
}
BENCHMARK_CAPTURE(bare_isal, 4_rows, 4)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace holdfast::ec
