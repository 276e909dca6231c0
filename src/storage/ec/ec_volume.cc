#include "storage/ec/ec_volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/crc32c.h"
#include "base/log.h"
#include "storage/ec/encode.h"
#include "storage/volume/spool.h"

namespace holdfast::ec {
namespace {

using volume::Found;
using volume::IndexRow;

Error not_found() { return Error(Code::not_found, "not found"); }

volume::Version version_of(const VolumeSettings& settings) {
  return settings.version >= 1 && settings.version <= 3 ? static_cast<volume::Version>(settings.version)
                                                        : volume::Version::v3;
}

// A large needle's data, assembled in a file without a name.
class AssembledBody final : public volume::Body {
 public:
  AssembledBody(std::shared_ptr<const volume::Spool> spool, std::uint64_t bytes)
      : spool_(std::move(spool)), bytes_(bytes) {}

  std::uint64_t size() const override { return bytes_; }
  Status read(std::uint64_t offset, std::span<std::uint8_t> out) const override { return spool_->read(offset, out); }
  bool read_now(std::uint64_t, std::span<std::uint8_t>) const override { return false; }
  int descriptor() const override { return -1; }
  std::uint64_t descriptor_offset() const override { return 0; }

 private:
  const std::shared_ptr<const volume::Spool> spool_;
  const std::uint64_t bytes_;
};

}  // namespace

EcVolume::EcVolume(const volume::Surroundings& around, const EcFiles& files, const VolumeSettings& settings)
    : around_(around),
      files_(files),
      codec_(scheme_of(settings)),
      encode_ts_ns_(encode_ts_of(settings)),
      expire_at_sec_(settings.expire_at_sec),
      dat_bytes_(static_cast<std::uint64_t>(std::max<std::int64_t>(settings.dat_file_size, 0))),
      version_(version_of(settings)) {}

Result<std::shared_ptr<EcVolume>> EcVolume::open(const volume::Surroundings& around, const EcFiles& files) {
  const auto name = "ec volume " + text(files.place().id);
  const auto settings = files.read_settings();
  if (!scheme_of(settings).is_valid()) {
    return Error(Code::corrupt, name + ": its .vif names " + text(scheme_of(settings)) + " shards, which cannot be");
  }
  if (settings.bytes_offset != 0 && settings.bytes_offset != 4) {
    return Error(Code::unsupported, name + ": its index has offsets of " + std::to_string(settings.bytes_offset) +
                                        " bytes; this build reads those of 4");
  }
  auto index = around.disk.open(files.index(), {});
  if (!index) return index.error().at(name);
  const auto size = (*index)->size();
  if (!size) return size.error().at(name);
  if (*size % volume::kIndexRowBytes != 0) {
    return Error(Code::corrupt, name + ": its index (.ecx) ends in a part of a row");
  }
  auto out = std::shared_ptr<EcVolume>(new EcVolume(around, files, settings));
  out->index_ = std::move(*index);
  out->file_count_ = *size / volume::kIndexRowBytes;
  if (*size > 0) {
    std::uint8_t last[volume::kIndexRowBytes];
    const auto got = out->index_->read(*size - sizeof last, last);
    if (!got) return got.error().at(name);
    if (*got == sizeof last) out->max_key_ = volume::parse_row(last).key;
  }
  const auto journal = around.disk.read_file(files.journal(), kJournalBytesMax);
  if (!journal && journal.error().code() != Code::not_found) return journal.error().at(name);
  if (journal.ok()) {
    Guard guard(out->mutex_);
    for (const auto key : parse_journal(bytes_of(*journal))) out->deleted_.insert(key.value());
  }
  return out;
}

std::uint64_t EcVolume::delete_count() const {
  Guard guard(mutex_);
  return deleted_.size();
}

// --- shards ---

Status EcVolume::add_shard(const EcFiles& where, ShardId id) {
  const auto name = fmt::format("ec volume {} shard {}", text(this->id()), id);
  if (id >= scheme().total()) return Error(Code::invalid, name + ": there is no such shard in " + text(scheme()));
  auto file = around_.disk.open(where.shard(id), {});
  if (!file) return file.error().at(name);
  const auto size = (*file)->size();
  if (!size) return size.error().at(name);
  if (*size == 0) return Error(Code::not_found, name + ": " + where.shard(id) + " is empty");
  const auto other = encode_ts_of(where.read_settings());
  if (other != 0 && encode_ts_ns_ != 0 && other != encode_ts_ns_) {
    return Error(Code::stale, name + ": " + where.shard(id) + " belongs to a different encode run");
  }
  // Deletions that only the journal of that folder knows.
  if (where.journal() != files_.journal()) {
    if (const auto journal = around_.disk.read_file(where.journal(), kJournalBytesMax)) {
      for (const auto key : parse_journal(bytes_of(*journal))) {
        if (is_deleted(key)) continue;
        const auto removed = remove(key);
        if (!removed && removed.error().code() != Code::not_found) return removed.error().at(name);
      }
    }
  }
  Guard guard(mutex_);
  shards_.emplace(id, Shard{std::move(*file), *size, where.place()});
  return {};
}

bool EcVolume::drop_shard(ShardId id) {
  Guard guard(mutex_);
  return shards_.erase(id) > 0;
}

std::map<ShardId, EcVolume::Shard> EcVolume::shards() const {
  Guard guard(mutex_);
  return shards_;
}

ShardBits EcVolume::bits() const {
  ShardBits out = 0;
  for (const auto& [id, shard] : shards()) out |= ShardBits{1} << id;
  return out;
}

std::map<ShardId, std::uint64_t> EcVolume::shard_sizes() const {
  std::map<ShardId, std::uint64_t> out;
  for (const auto& [id, shard] : shards()) out[id] = shard.bytes;
  return out;
}

std::vector<EcShardsInfo> EcVolume::infos() const {
  std::map<std::uint32_t, EcShardsInfo> by_disk;
  for (const auto& [id, shard] : shards()) {
    auto& info = by_disk[shard.place.disk_id];
    info.id = this->id();
    info.collection = collection();
    info.disk_type = shard.place.disk_type;
    info.disk_id = shard.place.disk_id;
    info.bits |= ShardBits{1} << id;
    info.shard_sizes.push_back(static_cast<std::int64_t>(shard.bytes));
    info.expire_at_sec = expire_at_sec_;
    info.file_count = file_count_;
    info.delete_count = delete_count();
    info.max_key = max_key_;
    info.encode_ts_ns = encode_ts_ns_;
  }
  std::vector<EcShardsInfo> out;
  for (auto& [disk, info] : by_disk) out.push_back(std::move(info));
  return out;
}

std::map<std::string, EcFiles> EcVolume::all_files() const {
  std::map<std::string, EcFiles> out;
  out.emplace(files_.journal(), files_);
  for (const auto& [id, shard] : shards()) {
    EcFiles files(around_.disk, shard.place);
    if (files.has_index()) out.emplace(files.journal(), files);
  }
  return out;
}

Result<std::size_t> EcVolume::read_shard(ShardId id, std::uint64_t offset, std::span<std::uint8_t> out) const {
  std::shared_ptr<const io::File> file;
  {
    Guard guard(mutex_);
    const auto it = shards_.find(id);
    if (it != shards_.end()) file = it->second.file;
  }
  if (!file) return Error(Code::not_found, fmt::format("ec shard {}.{} not found", text(this->id()), id));
  return file->read(offset, out);
}

// --- reading ---

bool EcVolume::is_deleted(NeedleId key) const {
  Guard guard(mutex_);
  return deleted_.contains(key.value());
}

Result<IndexRow> EcVolume::find(NeedleId key) const {
  const auto entry = SortedIndex(*index_).find(key);
  if (!entry) return entry.error();
  if (!*entry) return Error(Code::not_found, "needle not found");
  auto row = (*entry)->row;
  if (is_deleted(key)) row.size = volume::kTombstoneSize;
  return row;
}

Layout EcVolume::layout() const {
  if (dat_bytes_ > 0) return Layout::of_dat(scheme(), dat_bytes_);
  std::uint64_t shard_bytes = 0;
  {
    Guard guard(mutex_);
    if (!shards_.empty()) shard_bytes = shards_.begin()->second.bytes;
  }
  return Layout::of_shard(scheme(), shard_bytes);
}

std::vector<Piece> EcVolume::pieces(const IndexRow& row) const {
  return layout().pieces(row.offset * volume::kAlignment, record_bytes(row));
}

Status EcVolume::make(const ShardRange& wanted, NeedleId key, ShardBits avoid, RemoteShards* remote) const {
  const auto bytes = wanted.out.size();
  std::map<ShardId, std::vector<std::uint8_t>> have;
  std::vector<ShardId> elsewhere;
  for (ShardId id = 0; id < scheme().total(); id++) {
    if (id == wanted.shard || (avoid >> id & 1) != 0) continue;
    if (have.size() < scheme().data) {
      std::vector<std::uint8_t> room(bytes);
      const auto got = read_shard(id, wanted.offset, room);
      if (got && *got == bytes) {
        have.emplace(id, std::move(room));
        continue;
      }
    }
    elsewhere.push_back(id);
  }
  // Only as many as are missing are asked for at first; who has none is made up for by asking for others.
  while (have.size() < scheme().data && remote != nullptr && !elsewhere.empty()) {
    const auto count = std::min<std::size_t>(elsewhere.size(), scheme().data - have.size());
    std::vector<std::vector<std::uint8_t>> rooms(count, std::vector<std::uint8_t>(bytes));
    std::vector<ShardRange> ranges;
    for (std::size_t i = 0; i < count; i++) ranges.push_back({elsewhere[i], wanted.offset, rooms[i]});
    const auto read = remote->read(id(), encode_ts_ns_, key, ranges);
    for (std::size_t i = 0; i < count; i++) {
      if (!read[i]) continue;
      if (*read[i] == RemoteRead::deleted) return not_found();
      have.emplace(elsewhere[i], std::move(rooms[i]));
    }
    elsewhere.erase(elsewhere.begin(), elsewhere.begin() + static_cast<std::ptrdiff_t>(count));
  }
  std::vector<ShardId> present;
  for (const auto& [id, room] : have) present.push_back(id);
  const auto plan = codec_.plan(present, {wanted.shard});
  if (!plan) return plan.error().at(fmt::format("ec volume {}: shard {} cannot be made again", text(id()), wanted.shard));
  std::vector<const std::uint8_t*> from;
  for (const auto id : plan->sources()) from.push_back(have[id].data());
  std::uint8_t* to[] = {wanted.out.data()};
  plan->run(from, to, bytes);
  return {};
}

Status EcVolume::fill(std::vector<ShardRange> ranges, NeedleId key, ShardBits avoid, RemoteShards* remote) const {
  std::vector<ShardRange> elsewhere;
  std::vector<ShardRange> to_make;
  for (const auto& range : ranges) {
    if ((avoid >> range.shard & 1) != 0) {
      to_make.push_back(range);
      continue;
    }
    const auto got = read_shard(range.shard, range.offset, range.out);
    if (got && *got == range.out.size()) continue;
    if (!got && got.error().code() != Code::not_found) LOG_ERROR("{}", got.error().what());
    elsewhere.push_back(range);
  }
  if (!elsewhere.empty() && remote != nullptr) {
    const auto read = remote->read(id(), encode_ts_ns_, key, elsewhere);
    for (std::size_t i = 0; i < elsewhere.size(); i++) {
      if (!read[i]) {
        to_make.push_back(elsewhere[i]);
      } else if (*read[i] == RemoteRead::deleted) {
        return not_found();
      }
    }
  } else {
    to_make.insert(to_make.end(), elsewhere.begin(), elsewhere.end());
  }
  for (const auto& range : to_make) {
    if (auto made = make(range, key, avoid, remote); !made) return made;
  }
  return {};
}

Status EcVolume::read_record(const IndexRow& row, std::uint64_t offset, std::span<std::uint8_t> out, ShardBits avoid,
                             RemoteShards* remote) const {
  std::vector<ShardRange> ranges;
  std::size_t at = 0;
  for (const auto& piece : layout().pieces(row.offset * volume::kAlignment + offset, out.size())) {
    ranges.push_back({piece.shard, piece.offset, out.subspan(at, piece.bytes)});
    at += piece.bytes;
  }
  return fill(std::move(ranges), row.key, avoid, remote);
}

Result<Found> EcVolume::read_once(const IndexRow& row, ShardBits avoid, RemoteShards* remote) const {
  const auto bytes = record_bytes(row);
  if (bytes > kMemoryBytesMax) return read_large(row, avoid, remote);
  Found found;
  found.owned = std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
  const std::span<std::uint8_t> room(found.owned.get(), bytes);
  if (auto read = read_record(row, 0, room, avoid, remote); !read) return read.error();
  const auto needle = volume::parse(room, row.size, version_);
  if (!needle) return needle.error();
  if (needle->id != row.key) return Error(Code::corrupt, "another needle lies there");
  if (!volume::check_data(*needle)) return Error(Code::corrupt, "the data's crc is wrong");
  found.needle = *needle;
  found.etag = crc32c(needle->data);
  return found;
}

Result<Found> EcVolume::read_large(const IndexRow& row, ShardBits avoid, RemoteShards* remote) const {
  const auto bytes = record_bytes(row);
  const bool plain = version_ == volume::Version::v1;
  std::uint8_t front[volume::kHeaderBytes + 4];
  if (auto read = read_record(row, 0, front, avoid, remote); !read) return read.error();
  const auto header = volume::NeedleHeader::parse(front);
  if (header.id != row.key || header.size != row.size) return Error(Code::corrupt, "another needle lies there");
  const auto data_bytes = plain ? static_cast<std::uint32_t>(header.size)
                                : load_be<std::uint32_t>(front + volume::kHeaderBytes);
  const std::uint64_t begin = volume::kHeaderBytes + (plain ? 0 : 4);
  const auto end = bytes - volume::padding_bytes(row.size, version_);
  if (data_bytes == 0 || begin + data_bytes > end || end - begin - data_bytes > 128_KiB) {
    return Error(Code::corrupt, "the needle's data runs over its end");
  }
  const auto spool = volume::Spool::make(around_.disk, files_.place().data_folder);
  if (!spool) return spool.error();
  std::vector<std::uint8_t> piece(kMemoryBytesMax);
  for (std::uint64_t at = 0; at < data_bytes;) {
    const auto step = std::span(piece).first(std::min<std::uint64_t>(piece.size(), data_bytes - at));
    if (auto read = read_record(row, begin + at, step, avoid, remote); !read) return read.error();
    if (auto kept = (*spool)->append(step); !kept) return kept.error();
    at += step.size();
  }
  Found found;
  const auto tail_bytes = end - begin - data_bytes;
  found.owned = std::make_unique_for_overwrite<std::uint8_t[]>(tail_bytes);
  const std::span<std::uint8_t> tail(found.owned.get(), tail_bytes);
  if (auto read = read_record(row, begin + data_bytes, tail, avoid, remote); !read) return read.error();
  const auto needle = volume::parse_tail(header, data_bytes, tail, version_);
  if (!needle) return needle.error();
  if (!volume::crc_matches((*spool)->crc(), needle->stored_crc)) return Error(Code::corrupt, "the data's crc is wrong");
  found.needle = *needle;
  found.etag = needle->stored_crc;
  found.body = std::make_shared<AssembledBody>(*spool, data_bytes);
  return found;
}

Result<Found> EcVolume::read(NeedleId key, Cookie cookie, RemoteShards* remote) {
  const auto row = find(key);
  if (!row) return row.error().code() == Code::not_found ? not_found() : row.error();
  if (row->size < 0) return not_found();
  if (row->size == 0) {
    Found found;
    found.needle.id = key;
    found.needle.cookie = cookie;
    return found;
  }
  auto found = read_once(*row, 0, remote);
  if (!found && found.error().code() == Code::corrupt) {
    ShardBits involved = 0;
    for (const auto& piece : pieces(*row)) involved |= ShardBits{1} << piece.shard;
    for (ShardId id = 0; id < scheme().data && !found; id++) {
      if ((involved >> id & 1) == 0) continue;
      auto again = read_once(*row, ShardBits{1} << id, remote);
      if (!again) continue;
      LOG_ERROR("ec volume {}: needle {:x} is damaged in shard {}; it was made again from the others: scrub and rebuild "
                "that shard", text(this->id()), key.value(), id);
      found = std::move(again);
    }
  }
  if (!found) {
    if (found.error().code() == Code::not_found) return not_found();
    LOG_ERROR("ec volume {}: needle {:x}: {}", text(id()), key.value(), found.error().what());
    return found;
  }
  const auto now = static_cast<std::uint64_t>(around_.clock.wall().time_since_epoch().count());
  if (found->needle.cookie != cookie || found->needle.is_expired(now)) return not_found();
  return found;
}

Result<std::vector<IndexRow>> EcVolume::rows(bool as_encoded) const {
  const auto content = around_.disk.read_file(files_.index(), 64_GiB);
  if (!content) return content.error();
  auto rows = parse_sorted_index(bytes_of(*content));
  if (!rows || as_encoded) return rows;
  Guard guard(mutex_);
  for (auto& row : *rows) {
    if (deleted_.contains(row.key.value())) row.size = volume::kTombstoneSize;
  }
  return rows;
}

std::optional<Status> EcVolume::check(const IndexRow& row, bool here_only, RemoteShards* remote) const {
  if (here_only) {
    const auto here = bits();
    for (const auto& piece : pieces(row)) {
      if ((here >> piece.shard & 1) == 0) return {};
    }
  }
  const auto found = read_once(row, 0, here_only ? nullptr : remote);
  return found ? Status() : Status(found.error());
}

// --- deleting ---

Status EcVolume::remove(NeedleId key) {
  Guard journal(journal_mutex_);
  const auto row = find(key);
  if (!row) return row.error();
  if (row->size == volume::kTombstoneSize) return {};
  std::string bytes;
  append_journal(bytes, key);
  for (const auto& [path, files] : all_files()) {
    const bool is_new = !around_.disk.info(path).ok();
    auto file = around_.disk.open(path, {.write = true, .create = true});
    if (!file) return file.error();
    const auto size = (*file)->size();
    if (!size) return size.error();
    // A torn id before it is written over.
    const auto at = *size / kJournalRowBytes * kJournalRowBytes;
    if (auto written = (*file)->write(at, bytes_of(bytes)); !written) return written;
    if (auto synced = (*file)->sync(); !synced) return synced;
    if (is_new) {
      if (auto synced = around_.disk.sync_dir(files.index_folder()); !synced) return synced;
    }
  }
  Guard guard(mutex_);
  deleted_.insert(key.value());
  return {};
}

Status EcVolume::fold() {
  Guard journal(journal_mutex_);
  for (const auto& [path, files] : all_files()) {
    if (auto folded = ec::fold(around_.disk, files); !folded) return folded;
  }
  Guard guard(mutex_);
  deleted_.clear();
  return {};
}

}  // namespace holdfast::ec
