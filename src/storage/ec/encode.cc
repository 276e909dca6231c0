#include "storage/ec/encode.h"

#include <fmt/format.h>

#include "base/log.h"
#include "core/ec/codec.h"
#include "core/ec/layout.h"
#include "core/volume/needle_map.h"
#include "storage/ec/shard_sources.h"
#include "storage/ec/sorted_index.h"
#include "storage/ec/throttle.h"

namespace holdfast::ec {
namespace {

constexpr std::size_t kRowsBytesMax = 1_MiB;

std::span<std::uint8_t> room_of(std::string& s) { return {reinterpret_cast<std::uint8_t*>(s.data()), s.size()}; }

Result<volume::NeedleMap> replay(io::Disk& disk, const std::string& path, std::uint64_t bytes) {
  auto file = disk.open(path, {});
  if (!file) return file.error();
  volume::NeedleMap map;
  std::string piece(kRowsBytesMax, '\0');
  for (std::uint64_t at = 0; at < bytes;) {
    const auto got = (*file)->read(at, room_of(piece).first(std::min<std::uint64_t>(piece.size(), bytes - at)));
    if (!got) return got.error();
    const auto whole = *got / volume::kIndexRowBytes * volume::kIndexRowBytes;
    if (whole == 0) return Error(Code::corrupt, path + ": ends early");
    for (std::size_t i = 0; i < whole; i += volume::kIndexRowBytes) map.apply(volume::parse_row(bytes_of(piece).data() + i));
    at += whole;
  }
  return map;
}

// Written piece by piece and synced; the name is durable only after the caller synced the folder.
class NewFile {
 public:
  static Result<NewFile> make(io::Disk& disk, const std::string& path) {
    auto file = disk.open(path, {.write = true, .create = true, .truncate = true});
    if (!file) return file.error();
    return NewFile(std::move(*file));
  }
  Status append(BytesView bytes) {
    if (auto written = file_->write(size_, bytes); !written) return written;
    size_ += bytes.size();
    return {};
  }
  Status sync() { return file_->sync(); }

 private:
  explicit NewFile(std::unique_ptr<io::File> file) : file_(std::move(file)) {}

  std::unique_ptr<io::File> file_;
  std::uint64_t size_ = 0;
};

class Rows {
 public:
  explicit Rows(NewFile file) : file_(std::move(file)) {}

  void add(const volume::IndexRow& row) {
    volume::append_row(pending_, row);
    if (pending_.size() >= kRowsBytesMax) flush();
  }
  Status finish() {
    flush();
    if (!status_) return status_;
    return file_.sync();
  }

 private:
  void flush() {
    if (status_) status_ = file_.append(bytes_of(pending_));
    pending_.clear();
  }

  NewFile file_;
  std::string pending_;
  Status status_;
};

Status write_sorted_index(io::Disk& disk, const VolumePlace& place, const EncodeJob& job, const std::string& path) {
  const auto map = replay(disk, place.idx(), job.idx_bytes);
  if (!map) return map.error();
  auto file = NewFile::make(disk, path);
  if (!file) return file.error();
  Rows rows(std::move(*file));
  map->for_each([&](NeedleId key, volume::Slot slot) {
    if (slot.is_live() && slot.offset != 0) rows.add({key, slot.offset, slot.size});
  });
  return rows.finish();
}

// Reads what there is of [offset, offset + out.size()) and fills the rest with zeros.
Status read_padded(io::File& dat, std::uint64_t dat_bytes, std::uint64_t offset, std::span<std::uint8_t> out) {
  const auto there = offset >= dat_bytes ? 0 : std::min<std::uint64_t>(out.size(), dat_bytes - offset);
  if (there > 0) {
    const auto got = dat.read(offset, out.first(there));
    if (!got) return got.error();
    if (*got != there) return Error(Code::corrupt, dat.path() + ": ends early");
  }
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(there), out.end(), std::uint8_t{0});
  return {};
}

// Writes all shards and answers their checksums.
Result<std::vector<ShardChecksums>> write_shards(io::Disk& disk, const EcFiles& files, const EncodeJob& job) {
  const auto dat = disk.open(files.dat(), {});
  if (!dat) return dat.error();
  const auto [data, parity] = job.scheme;
  std::vector<NewFile> out;
  std::vector<ShardSummer> sums;
  for (ShardId id = 0; id < job.scheme.total(); id++) {
    auto file = NewFile::make(disk, files.shard(id));
    if (!file) return file.error();
    out.push_back(std::move(*file));
    sums.emplace_back(id, kChecksumBlock);
  }
  const Codec codec(job.scheme);
  const StepRoom room(job.scheme.total());
  std::vector<const std::uint8_t*> from;
  std::vector<std::uint8_t*> to;
  for (ShardId id = 0; id < data; id++) from.push_back(room.of(id));
  for (ShardId id = data; id < job.scheme.total(); id++) to.push_back(room.of(id));
  Throttle throttle(job.bytes_per_second);
  const auto layout = Layout::of_dat(job.scheme, job.dat_bytes);
  const auto large_end = layout.large_rows() * data * kLargeBlock;
  for (std::uint64_t row = 0; row < job.dat_bytes;) {
    const auto block = row < large_end ? kLargeBlock : kSmallBlock;
    for (std::uint64_t at = 0; at < block; at += kStepBytes) {
      static_assert(kSmallBlock % kStepBytes == 0 && kLargeBlock % kStepBytes == 0);
      for (ShardId id = 0; id < data; id++) {
        const auto read = read_padded(**dat, job.dat_bytes, row + id * block + at, {room.of(id), kStepBytes});
        if (!read) return read.error();
      }
      codec.encode(from, to, kStepBytes);
      for (ShardId id = 0; id < job.scheme.total(); id++) {
        const BytesView step(room.of(id), kStepBytes);
        if (auto written = out[id].append(step); !written) return written.error();
        sums[id].add(step);
      }
      throttle.passed(data * kStepBytes);
    }
    row += data * block;
  }
  for (auto& file : out) {
    if (auto synced = file.sync(); !synced) return synced.error();
  }
  std::vector<ShardChecksums> checksums;
  for (auto& sum : sums) checksums.push_back(sum.finish());
  return checksums;
}

}  // namespace

Status encode(io::Disk& disk, const VolumePlace& place, const EncodeJob& job) {
  if (!job.scheme.is_valid()) return Error(Code::invalid, "there are no " + text(job.scheme) + " shards");
  const EcFiles old(disk, place);
  if (auto swept = old.remove_all(); !swept) return swept;
  const EcFiles files(disk, place);
  const auto index_made = files.index() + ".tmp";
  const auto make = [&]() -> Status {
    if (auto written = write_sorted_index(disk, place, job, index_made); !written) return written;
    auto sums = write_shards(disk, files, job);
    if (!sums) return sums.error();
    Checksums checksums{.scheme = job.scheme, .encode_ts_ns = job.encode_ts_ns, .shards = std::move(*sums)};
    checksums.encode_uuid = job.encode_uuid;
    if (auto saved = disk.replace_file(files.checksums(), checksums.encode()); !saved) return saved;
    auto settings = files.read_settings();
    settings.version = job.version;
    settings.bytes_offset = 0;
    settings.dat_file_size = static_cast<std::int64_t>(job.dat_bytes);
    settings.expire_at_sec = job.expire_at_sec;
    settings.ec_shard_config = volume::EcShardConfig{job.scheme.data, job.scheme.parity, job.encode_ts_ns};
    if (auto saved = disk.replace_file(files.settings(), settings.json()); !saved) return saved;
    auto journal = NewFile::make(disk, files.journal());
    if (!journal) return journal.error();
    // The set is whole and its names are durable: it becomes one now.
    if (auto synced = files.sync_names(); !synced) return synced;
    if (auto named = disk.rename(index_made, files.index()); !named) return named;
    return disk.sync_dir(files.index_folder());
  };
  const auto made = make();
  if (!made) {
    (void)disk.remove(index_made);
    if (auto swept = files.remove_all(); !swept) LOG_ERROR("volume {}: {}", text(place.id), swept.error().what());
  }
  return made;
}

Result<std::vector<ShardId>> rebuild(io::Disk& disk, const RebuildJob& job) {
  auto paths = job.paths;
  std::optional<Checksums> known;
  if (!job.ignore_checksums) {
    const auto content = disk.read_file(job.target.checksums(), kChecksumFileMax);
    if (!content && content.error().code() != Code::not_found) return content.error();
    if (content.ok()) {
      auto parsed = Checksums::parse(bytes_of(*content));
      if (!parsed) return parsed.error().at(job.target.checksums());
      if (!(parsed->scheme == job.scheme)) {
        return Error(Code::corrupt, job.target.checksums() + " is of " + text(parsed->scheme) + " shards, not of " +
                                        text(job.scheme));
      }
      if (parsed->encode_ts_ns != 0 && job.encode_ts_ns != 0 && parsed->encode_ts_ns != job.encode_ts_ns) {
        return Error(Code::corrupt, job.target.checksums() + " belongs to a different encode run");
      }
      known = std::move(*parsed);
    }
  }
  while (true) {
    std::vector<ShardId> missing;
    for (ShardId id = 0; id < job.scheme.total(); id++) {
      if (!paths.contains(id)) missing.push_back(id);
    }
    if (missing.empty()) return missing;
    const auto forget = [&] {
      for (const auto id : missing) (void)disk.remove(job.target.shard(id) + ".rebuilding");
    };
    auto sources = ShardSources::open(disk, job.scheme, paths, missing, known ? known->block_bytes : 0);
    if (!sources) return sources.error();
    std::vector<NewFile> out;
    std::vector<ShardSummer> made_sums;
    const auto make = [&]() -> Status {
      for (const auto id : missing) {
        auto file = NewFile::make(disk, job.target.shard(id) + ".rebuilding");
        if (!file) return file.error();
        out.push_back(std::move(*file));
        made_sums.emplace_back(id, known ? known->block_bytes : kChecksumBlock);
      }
      Throttle throttle(job.bytes_per_second);
      for (std::uint64_t at = 0; at < sources->shard_bytes();) {
        const auto step = std::min<std::uint64_t>(kStepBytes, sources->shard_bytes() - at);
        const auto bytes = sources->read(at, step);
        if (!bytes) return bytes.error();
        for (std::size_t i = 0; i < missing.size(); i++) {
          if (auto written = out[i].append((*bytes)[i]); !written) return written;
          if (known) made_sums[i].add((*bytes)[i]);
        }
        at += step;
        throttle.passed(step * job.scheme.data);
      }
      return {};
    };
    if (auto made = make(); !made) {
      forget();
      return made.error();
    }
    bool rotten = false;
    if (known) {
      // Damage in a source also shows in what was made of it, so the sources are looked at first.
      for (const auto& sum : sources->finish_sums()) {
        if (sum == known->shards[sum.shard]) continue;
        LOG_WARNING("{}: does not hold against its checksums: it is made anew as well", paths.at(sum.shard));
        paths.erase(sum.shard);
        rotten = true;
      }
      for (std::size_t i = 0; i < missing.size() && !rotten; i++) {
        if (made_sums[i].finish() == known->shards[missing[i]]) continue;
        forget();
        return Error(Code::corrupt, fmt::format("shard {} as rebuilt does not hold against its checksums", missing[i]));
      }
    }
    if (rotten) {
      forget();
      continue;
    }
    for (auto& file : out) {
      if (auto synced = file.sync(); !synced) {
        forget();
        return synced.error();
      }
    }
    for (const auto id : missing) {
      if (auto named = disk.rename(job.target.shard(id) + ".rebuilding", job.target.shard(id)); !named) return named.error();
      // A rotten one in another folder would be a second shard of this number.
      if (const auto it = job.paths.find(id); it != job.paths.end() && it->second != job.target.shard(id)) {
        if (auto removed = disk.remove(it->second); !removed) return removed.error();
        if (auto synced = disk.sync_dir(io::folder_of(it->second)); !synced) return synced.error();
      }
    }
    if (auto synced = disk.sync_dir(job.target.place().data_folder); !synced) return synced.error();
    return missing;
  }
}

Status fold(io::Disk& disk, const EcFiles& files) {
  const auto journal = disk.read_file(files.journal(), kJournalBytesMax);
  if (!journal && journal.error().code() == Code::not_found) return {};
  if (!journal) return journal.error();
  if (journal->size() % kJournalRowBytes != 0) {
    return Error(Code::corrupt, files.journal() + ": ends in a part of an id");
  }
  const auto gone = parse_journal(bytes_of(*journal));
  if (!gone.empty()) {
    auto index = disk.open(files.index(), {.write = true});
    if (!index) return index.error();
    SortedIndex rows(**index);
    for (const auto key : gone) {
      const auto found = rows.find(key);
      if (!found) return found.error();
      if (!*found) continue;
      std::uint8_t deleted[4];
      store_be(deleted, static_cast<std::uint32_t>(volume::kTombstoneSize));
      if (auto written = (*index)->write((*found)->at + 12, deleted); !written) return written;
    }
    if (auto synced = (*index)->sync(); !synced) return synced;
  }
  if (auto removed = disk.remove(files.journal()); !removed) return removed;
  return disk.sync_dir(files.index_folder());
}

Status decode(io::Disk& disk, const DecodeJob& job) {
  const auto name = "volume " + text(job.target.id);
  const auto content = disk.read_file(job.files.index(), 64_GiB);
  if (!content) return content.error();
  auto rows = parse_sorted_index(bytes_of(*content));
  if (!rows) return rows.error().at(job.files.index());
  std::vector<ShardId> wanted;
  for (ShardId id = 0; id < job.scheme.data; id++) wanted.push_back(id);
  auto sources = ShardSources::open(disk, job.scheme, job.paths, wanted, 0);
  if (!sources) return sources.error().at(name);
  const auto shard_length = sources->shard_bytes();
  if (job.dat_bytes_encoded == 0 && shard_length % kLargeBlock == 0) {
    return Error(Code::invalid, name + ": its .vif does not tell how long the .dat was, and its shards of " +
                                    std::to_string(shard_length) + " bytes could be of large blocks or of small ones");
  }
  const auto encoded = job.dat_bytes_encoded > 0 ? job.dat_bytes_encoded : job.scheme.data * shard_length;
  if (shard_bytes(job.scheme, encoded) != shard_length) {
    return Error(Code::corrupt, fmt::format("{}: shards of {} bytes are not those of a .dat of {}", name, shard_length, encoded));
  }
  const auto layout = Layout::of_dat(job.scheme, encoded);

  std::uint8_t superblock_bytes[volume::kSuperblockBytes];
  {
    const auto first = sources->read(0, volume::kSuperblockBytes);
    if (!first) return first.error().at(name);
    std::copy((*first)[0].begin(), (*first)[0].end(), superblock_bytes);
  }
  const auto superblock = volume::Superblock::parse(superblock_bytes);
  if (!superblock) return superblock.error().at(name);
  std::uint64_t dat_bytes = volume::kSuperblockBytes;
  bool any = false;
  for (const auto& row : *rows) {
    if (!row.is_put()) continue;
    any = true;
    dat_bytes = std::max(dat_bytes, row.offset * volume::kAlignment + volume::record_bytes(row.size, superblock->version));
  }
  if (!any) return Error(Code::stale, "ec " + name + " has no live entries");
  if (dat_bytes > job.scheme.data * shard_length) {
    return Error(Code::corrupt, name + ": its index points behind the end of its shards");
  }

  const auto dat_made = job.target.dat() + ".tmp";
  const auto idx_made = job.target.idx() + ".tmp";
  const auto make = [&]() -> Status {
    auto dat = disk.open(dat_made, {.write = true, .create = true, .truncate = true});
    if (!dat) return dat.error();
    const auto large_end = layout.large_rows() * job.scheme.data * kLargeBlock;
    std::uint64_t shard_at = 0;
    for (std::uint64_t row = 0; row < dat_bytes;) {
      const auto block = row < large_end ? kLargeBlock : kSmallBlock;
      for (std::uint64_t at = 0; at < block; at += kStepBytes) {
        const auto bytes = sources->read(shard_at + at, kStepBytes);
        if (!bytes) return bytes.error();
        for (ShardId id = 0; id < job.scheme.data; id++) {
          const auto to = row + id * block + at;
          if (to >= dat_bytes) continue;
          const auto there = std::min<std::uint64_t>(kStepBytes, dat_bytes - to);
          if (auto written = (*dat)->write(to, (*bytes)[id].first(there)); !written) return written;
        }
      }
      row += job.scheme.data * block;
      shard_at += block;
    }
    if (auto synced = (*dat)->sync(); !synced) return synced;
    auto idx = NewFile::make(disk, idx_made);
    if (!idx) return idx.error();
    // Deletions stand behind what lives: at the head of an index they would look like rows that were lost.
    Rows out(std::move(*idx));
    for (const auto& row : *rows) {
      if (row.is_put()) out.add(row);
    }
    for (const auto& row : *rows) {
      if (!row.is_put()) out.add({row.key, 0, volume::kTombstoneSize});
    }
    if (auto finished = out.finish(); !finished) return finished;
    if (auto named = disk.rename(idx_made, job.target.idx()); !named) return named;
    if (auto synced = disk.sync_dir(job.target.index_folder); !synced) return synced;
    if (auto named = disk.rename(dat_made, job.target.dat()); !named) return named;
    return disk.sync_dir(job.target.data_folder);
  };
  auto made = make();
  if (!made) {
    for (const auto& path : {dat_made, idx_made}) (void)disk.remove(path);
    return made.error().at(name);
  }
  return made;
}

}  // namespace holdfast::ec
