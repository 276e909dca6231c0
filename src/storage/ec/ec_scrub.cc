#include "storage/ec/ec_scrub.h"

#include <fmt/format.h>

#include "core/ec/checksums.h"
#include "storage/ec/shard_sources.h"

namespace holdfast::ec {
namespace {

void note(ScrubResult& out, std::string what) {
  if (out.details.size() < ScrubResult::kDetailsMax) out.details.push_back(std::move(what));
}

void check_shards(io::Disk& disk, const EcVolume& volume, ScrubResult& out) {
  const auto name = "ec volume " + text(volume.id());
  const auto content = disk.read_file(volume.files().checksums(), kChecksumFileMax);
  if (!content && content.error().code() == Code::not_found) return;  // upstream's older sets have none
  const auto sums = content ? Checksums::parse(bytes_of(*content)) : Result<Checksums>(content.error());
  if (!sums) return note(out, name + ": " + sums.error().what());
  std::vector<std::uint8_t> room(kStepBytes);
  for (const auto& [id, bytes] : volume.shard_sizes()) {
    if (id >= sums->shards.size()) continue;
    ShardSummer summer(id, sums->block_bytes);
    std::string trouble;
    for (std::uint64_t at = 0; at < bytes;) {
      const auto got = volume.read_shard(id, at, room);
      if (!got || *got == 0) {
        trouble = got ? "ends early" : got.error().what();
        break;
      }
      summer.add(BytesView(room).first(*got));
      at += *got;
    }
    if (trouble.empty() && summer.finish() == sums->shards[id]) continue;
    out.broken.push_back(id);
    note(out, fmt::format("{}: shard {} {}", name, id, trouble.empty() ? "does not hold against its checksums" : trouble));
  }
}

}  // namespace

ScrubResult scrub(io::Disk& disk, const EcVolume& volume, ScrubMode mode, bool with_deleted, RemoteShards* remote) {
  ScrubResult out;
  const auto name = "ec volume " + text(volume.id());
  const auto rows = volume.rows(with_deleted);
  if (!rows) {
    note(out, name + ": " + rows.error().what());
    return out;
  }
  const auto sizes = volume.shard_sizes();
  const auto dat_bytes = volume.dat_bytes() > 0  ? volume.dat_bytes()
                         : sizes.empty() ? UINT64_MAX
                                         : sizes.begin()->second * volume.scheme().data;
  for (const auto& [id, bytes] : sizes) {
    if (volume.dat_bytes() == 0 || bytes == shard_bytes(volume.scheme(), volume.dat_bytes())) continue;
    out.broken.push_back(id);
    note(out, fmt::format("{}: shard {} is {} bytes long instead of {}", name, id, bytes,
                          shard_bytes(volume.scheme(), volume.dat_bytes())));
  }
  for (const auto& row : *rows) {
    out.files++;
    if (row.size < 0) continue;
    if (row.offset == 0 || row.offset * volume::kAlignment + volume.record_bytes(row) > dat_bytes + volume::kAlignment) {
      note(out, fmt::format("{}: needle {:x}: its row points behind the end of the volume", name, row.key.value()));
      continue;
    }
    if ((mode != ScrubMode::full && mode != ScrubMode::local) || row.size == 0) continue;
    const auto checked = volume.check(row, mode == ScrubMode::local, remote);
    if (!checked || checked->ok()) continue;
    if (!with_deleted && volume.is_deleted(row.key)) continue;  // meanwhile
    note(out, fmt::format("{}: needle {:x}: {}", name, row.key.value(), checked->error().what()));
  }
  if (mode == ScrubMode::checksums) check_shards(disk, volume, out);
  return out;
}

}  // namespace holdfast::ec
