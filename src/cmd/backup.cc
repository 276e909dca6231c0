// `backup`: a consistent copy of the masters' state from a running cluster, for cron (docs/backups.md).
#include <fmt/format.h>

#include <cstdio>

#include "cmd/command.h"
#include "cmd/paths.h"
#include "cmd/world.h"
#include "service/metalogger/metalogger.h"
#include "storage/backup/image.h"

namespace holdfast::cmd {
namespace {

constexpr std::int64_t kKeepMax = 10'000;

void put(FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

int run_backup(const Call& call) {
  const auto masters = Address::parse_list(call.flags.string("master"));
  if (!masters || masters->empty()) {
    put(stderr, fmt::format("backup: -master: {}\n", masters ? "no master is named" : masters.error().what()));
    return kFailed;
  }
  const std::string output = expand_home(call.flags.string("output"));
  const auto keep = call.flags.integer("keep");
  if (output.empty() || output.ends_with('/') || keep < 0 || keep > kKeepMax || !call.arguments.empty()) {
    put(stderr, fmt::format("backup: -output must name a file, and -keep be 0 to {}\n", kKeepMax));
    return kFailed;
  }
  World world(1);
  const auto bytes = metalogger::fetch_image(*masters, call.flags.duration("timeout"), world.clock);
  if (!bytes) {
    put(stderr, fmt::format("backup: {}; {} is as it was\n", bytes.error().what(), output));
    return 1;
  }
  const auto image = backup::decode_image(bytes_of(*bytes));
  if (!image) {
    put(stderr, fmt::format("backup: {}\n", image.error().what()));
    return 1;
  }
  const auto folder = io::folder_of(output);
  const auto name = output.substr(output.rfind('/') + 1);
  if (auto done = backup::store_image(world.disk, folder, name, name + ".tmp", *bytes, static_cast<std::size_t>(keep)); !done) {
    put(stderr, fmt::format("backup: {}\n", done.error().what()));
    return 1;
  }
  put(stdout, fmt::format("{}: {}, {} bytes\n", output, backup::text(image->head), bytes->size()));
  return 0;
}

}  // namespace holdfast::cmd
