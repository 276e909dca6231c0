// Volumes with many small needles, for the start of a volume server on them.
//
//   fill_volumes <folder> <volumes> <needles of each>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "storage/volume/volume.h"

int main(int argc, char** argv) {
  using namespace holdfast;
  using namespace holdfast::volume;
  if (argc != 4) {
    std::fprintf(stderr, "usage: fill_volumes <folder> <volumes> <needles of each>\n");
    return 2;
  }
  const int volumes = std::atoi(argv[2]), needles = std::atoi(argv[3]);
  WorkPool pool{1};
  Surroundings around{io::posix::system_disk(), io::posix::system_clock(), pool};
  std::uint64_t key = 0;
  for (int id = 1; id <= volumes; ++id) {
    auto volume = Volume::create(around, {.id = VolumeId(static_cast<std::uint32_t>(id)), .data_folder = argv[1], .index_folder = argv[1]}, {});
    CHECK(volume.ok());
    for (int i = 0; i < needles; ++i) {
      const std::string data = "needle " + std::to_string(++key);
      Put put;
      put.needle.id = NeedleId(key);
      put.needle.cookie = Cookie(7);
      put.needle.data = bytes_of(data);
      put.needle.flags = kFlagLastModified;
      put.needle.last_modified = 1'700'000'000;
      put.done = [](Result<Put::Outcome> outcome) { CHECK(outcome.ok()); };
      (*volume)->put(std::move(put), true);
    }
  }
  return 0;
}
