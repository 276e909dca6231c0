#include "storage/volume/compaction.h"

#include <algorithm>
#include <unordered_map>

#include "base/crc32c.h"
#include "base/log.h"
#include "storage/volume/record_writer.h"

namespace holdfast::volume {
namespace {

constexpr std::size_t kWalkEntries = 1024;       // taken from the map at a time: some 10 us under its lock
constexpr std::uint64_t kPieceBytes = 1_MiB;     // of large files, and of the old .idx
constexpr Cookie kDeletionCookie(0x12345678);    // upstream's, of deletions that a vacuum brings over
constexpr std::size_t kRowsAtOnce = 512;
constexpr std::uint64_t kToldMax = 20;           // damaged files named in the log; the others are counted

std::span<std::uint8_t> room_of(std::string& s, std::size_t bytes) {
  if (s.size() < bytes) s.resize(bytes);
  return {reinterpret_cast<std::uint8_t*>(s.data()), bytes};
}

std::string in_index_folder(const VolumePlace& place, const char* ext) {
  return io::join(place.index_folder, place.base_name() + ext);
}
std::string in_data_folder(const VolumePlace& place, const char* ext) {
  return io::join(place.data_folder, place.base_name() + ext);
}

}  // namespace

std::string Compaction::cpd(const VolumePlace& place) { return in_data_folder(place, ".cpd"); }
std::string Compaction::cpx(const VolumePlace& place) { return in_index_folder(place, ".cpx"); }
std::string Compaction::cpc(const VolumePlace& place) { return in_data_folder(place, ".cpc"); }

Compaction::Compaction(std::shared_ptr<Volume> volume, Options options)
    : volume_(std::move(volume)), options_(std::move(options)) {}

Compaction::~Compaction() {
  if (has_files_) remove_files();
}

Result<std::unique_ptr<Compaction>> Compaction::make(std::shared_ptr<Volume> volume, Options options) {
  auto out = std::unique_ptr<Compaction>(new Compaction(std::move(volume), std::move(options)));
  auto done = out->check_volume();
  if (done) done = out->check_space();
  if (done) done = out->clear_leftovers();
  if (done) done = out->take_snapshot();
  if (done) done = out->make_files();
  if (done) done = out->copy_all();
  out->options_.go_on = {};  // belongs to the caller of this function
  if (!done) return done.error().at("volume " + text(out->volume_->id()));
  return out;
}

// --- before anything is written ---

Status Compaction::check_volume() const {
  const auto& volume = *volume_;
  if (volume.is_retired() || volume.successor()) return Error(Code::not_found, "is not this one any more");
  if (volume.unwritable_) return Error(Code::read_only, "its files cannot be written");
  if (auto on_disk = volume.check_on_disk(); !on_disk) return on_disk;
  // What its index says of it may be wrong, and would be made final.
  if (volume.damaged_ || volume.is_quarantined()) {
    return Error(Code::read_only, "is " + volume.read_only_reason() + ": it is not vacuumed");
  }
  return {};
}

// A marker without its files is what is left when its own removal failed. It must be surely gone before there are new
// files: with them it would say that they are complete.
Status Compaction::clear_leftovers() {
  auto& disk = volume_->around_.disk;
  const auto& place = volume_->place();
  for (const auto& path : {cpc(place), cpd(place), cpx(place)}) {
    const auto removed = disk.remove(path);
    if (!removed && removed.error().code() != Code::not_found) return removed;
  }
  return sync_folders();
}

Status Compaction::sync_folders() {
  auto& disk = volume_->around_.disk;
  const auto& place = volume_->place();
  if (auto synced = disk.sync_dir(place.data_folder); !synced) return synced;
  return place.index_folder == place.data_folder ? Status() : disk.sync_dir(place.index_folder);
}

Status Compaction::check_space() const {
  const auto& place = volume_->place();
  const auto needed = std::max(options_.preallocate_bytes, volume_->dat_bytes() + volume_->idx_bytes());
  const auto space = volume_->around_.disk.space(place.data_folder);
  if (!space) return space.error();
  if (space->free >= needed) return {};
  return Error(Code::no_space, fmt::format("not enough free space for a vacuum: {} bytes are needed, {} are free in {}",
                                           needed, space->free, place.data_folder));
}

Status Compaction::take_snapshot() {
  auto& volume = *volume_;
  volume.pause();  // so that the map knows every row before idx_done_
  idx_done_ = volume.idx_bytes();
  dat_snapshot_ = dat_done_ = volume.dat_bytes();
  volume.resume();
  if (auto synced = volume.sync(); !synced) {
    volume.damaged_ = true;
    LOG_ERROR("volume {}: {}: it is read-only from now on, since nobody knows what is on disk", text(volume.id()),
              synced.error().what());
    return synced;
  }
  return {};
}

Status Compaction::make_files() {
  auto& disk = volume_->around_.disk;
  const auto& place = volume_->place();
  has_files_ = true;
  successor_ = std::shared_ptr<Volume>(new Volume(volume_->around_, place));
  auto dat = disk.open(cpd(place), {.write = true, .create = true, .truncate = true});
  if (!dat) return dat.error();
  auto idx = disk.open(cpx(place), {.write = true, .create = true, .truncate = true});
  if (!idx) return idx.error();
  successor_->replica_ = volume_->replica_;
  auto& next = *successor_;
  next.dat_ = std::move(*dat);
  next.idx_ = std::move(*idx);
  next.superblock_ = volume_->superblock_;
  next.superblock_.compact_revision++;  // wraps
  next.superblock_.extra_bytes = 0;
  next.replica_placement_ = volume_->replica_placement_.load();
  next.settings_are_ours_ = volume_->settings_are_ours_;
  if (options_.preallocate_bytes > 0) {
    const auto taken = next.dat_->allocate(0, options_.preallocate_bytes, true);
    if (!taken && taken.error().code() == Code::no_space) return taken;
  }
  if (next.around_.index_caches != nullptr) {
    if (auto moved = next.index_.move_to_disk(next.index_source(), {}); !moved) {
      LOG_WARNING("volume {}: its index is kept in memory: {}", text(place.id), moved.error().what());
    }
  }
  out_ = std::make_unique<RecordWriter>(*next.dat_, *next.idx_);
  return out_->append(bytes_of(next.superblock_.encode()));
}

// --- what is live ---

Status Compaction::go_on(const GoOn& may, std::uint64_t bytes_read) {
  totals_.bytes_read += bytes_read;
  if (volume_->is_retired()) return Error(Code::not_found, "was deleted or unmounted while it was vacuumed");
  if (may && !may(totals_.bytes_read)) return Error(Code::busy, "its vacuum was called off");
  return {};
}

Status Compaction::copy_all() {
  std::vector<std::pair<NeedleId, Slot>> entries;
  for (NeedleId from(0);;) {
    entries.clear();
    volume_->index_.collect(from, kWalkEntries, entries);
    for (const auto& [key, slot] : entries) {
      // What lies behind the snapshot has its row behind it too. (Beyond 32 GiB offsets may have wrapped.)
      const bool is_later =
          dat_snapshot_ <= Volume::kDatBytesMax && std::uint64_t{slot.offset} * kAlignment >= dat_snapshot_;
      if (!slot.is_live() || is_later) continue;
      auto copied = copy(key, slot, 0);
      if (!copied && copied.error().code() == Code::corrupt && volume_->dat_bytes() > Volume::kDatBytesMax) {
        copied = copy(key, slot, Volume::kDatBytesMax);  // spec/volume-format 3.5
      }
      if (!copied && copied.error().code() == Code::corrupt) copied = carry_damaged(key, slot, copied.error());
      if (!copied) return copied;
      const bool is_small = static_cast<std::uint64_t>(slot.size) <= kInlineBytesMax;  // a large one was told in pieces
      const auto bytes = is_small ? record_bytes(slot.size, volume_->version()) : 0;
      if (auto on = go_on(options_.go_on, bytes); !on) return on;
    }
    if (entries.size() < kWalkEntries || entries.back().first.value() == UINT64_MAX) break;
    from = NeedleId(entries.back().first.value() + 1);
  }
  if (auto indexed = index_rows(); !indexed) return indexed;
  if (auto durable = out_->make_durable(); !durable) return durable;
  if (totals_.damaged > 0) {
    LOG_ERROR("volume {}: {} files cannot be read; the vacuum brings them over as they are", text(volume_->id()),
              totals_.damaged);
  }
  return check_size();
}

Status Compaction::copy(NeedleId key, const Slot& slot, std::uint64_t base) {
  if (out_->dat_end() >= Volume::kDatBytesMax) return Error(Code::no_space, "what is live passes 32 GiB");
  const auto begin = out_->dat_end();
  const bool is_small = static_cast<std::uint64_t>(slot.size) <= kInlineBytesMax;
  auto copied = is_small ? copy_small(key, slot, base) : copy_large(key, slot, base);
  if (!copied) out_->rewind(begin);
  return copied;
}

// To the byte, for a wrong bit is no reason to lose a file's others, and another copy may have it whole. What has another
// header than the index says is not the file: then nobody knows where that is, and nothing may be thrown away.
Status Compaction::carry_damaged(NeedleId key, const Slot& slot, const Error& damage) {
  for (const auto base : {std::uint64_t{0}, Volume::kDatBytesMax}) {
    const auto at = base + std::uint64_t{slot.offset} * kAlignment;
    std::array<std::uint8_t, kHeaderBytes> bytes;
    const auto got = volume_->dat_->read(at, bytes);
    if (!got) return got.error();
    if (*got != bytes.size()) break;
    const auto header = NeedleHeader::parse(bytes.data());
    if (header.id != key || header.size != slot.size) continue;
    if (totals_.damaged++ < kToldMax) {
      LOG_ERROR("volume {}: needle {:x} is brought over by the vacuum as it is: {}", text(volume_->id()), key.value(),
                damage.what());
    }
    const IndexRow row{key, out_->dat_end() / kAlignment, slot.size};
    if (auto copied = copy_record(at, record_bytes(slot.size, volume_->version())); !copied) return copied;
    return put_row(row);
  }
  return Error(Code::corrupt, fmt::format("needle {:x} is not where the index says ({}), so nothing is vacuumed: take this copy "
                                          "anew from another one, or upload a file under its id and delete that",
                                          key.value(), damage.what()));
}

Status Compaction::copy_small(NeedleId key, const Slot& slot, std::uint64_t base) {
  const auto bytes = record_bytes(slot.size, volume_->version());
  const auto room = room_of(record_, bytes);
  const auto needle = volume_->read_record(slot, room.data(), bytes, false, key, base);
  if (!needle) return needle.error();
  if (!check_data(*needle)) return Error(Code::corrupt, "the data's crc is wrong");
  if (leaves_out(*needle)) {
    left_out_.emplace_back(key, slot);
    return {};
  }
  EncodedNeedle encoded;
  encode_around(*needle, crc32c(needle->data), volume_->version(), encoded);
  const IndexRow row{key, out_->dat_end() / kAlignment, encoded.size};
  for (const auto part : {bytes_of(encoded.head), needle->data, bytes_of(encoded.tail)}) {
    if (auto written = out_->append(part); !written) return written;
  }
  return put_row(row);
}

Status Compaction::copy_large(NeedleId key, const Slot& slot, std::uint64_t base) {
  const auto found = volume_->read_large(slot, key, base);
  if (!found) return found.error();
  const auto& needle = found->needle;
  if (leaves_out(needle)) {
    left_out_.emplace_back(key, slot);
    return {};
  }
  EncodedNeedle encoded;
  encode_around(needle, 0, volume_->version(), encoded);  // for the head: the crc stands in the tail
  const IndexRow row{key, out_->dat_end() / kAlignment, encoded.size};
  if (auto written = out_->append(bytes_of(encoded.head)); !written) return written;
  std::uint32_t crc = 0;
  for (std::uint64_t at = 0; at < needle.data_size; at += kPieceBytes) {
    const auto room = room_of(piece_, std::min<std::uint64_t>(kPieceBytes, needle.data_size - at));
    if (auto read = found->body->read(at, room); !read) return read;
    crc = crc32c(room, crc);
    if (auto written = out_->append(room); !written) return written;
    if (auto on = go_on(options_.go_on, room.size()); !on) return on;
  }
  if (!crc_matches(crc, needle.stored_crc)) return Error(Code::corrupt, "the data's crc is wrong");
  encode_around(needle, crc, volume_->version(), encoded);
  if (auto written = out_->append(bytes_of(encoded.tail)); !written) return written;
  return put_row(row);
}

// A file goes when reading it says "not found". Upstream goes by lastModified and the volume's ttl instead, which would
// take files of a volume without ttl that are still to be had.
bool Compaction::leaves_out(const NeedleView& needle) {
  const bool expired = needle.is_expired(volume_->wall_ns());
  totals_.expired += expired;
  return expired;
}

Status Compaction::put_row(const IndexRow& row) {
  if (auto written = out_->append_row(row); !written) return written;
  totals_.files++;
  copied_size_sum_ += static_cast<std::uint64_t>(row.size);
  rows_.push_back(row);
  return rows_.size() < kRowsAtOnce ? Status() : index_rows();
}

// The index learns of many rows at once, which is cheaper where it lies on disk.
Status Compaction::index_rows() {
  auto applied = successor_->index_.apply(rows_);
  rows_.clear();
  return applied;
}

// The new .dat holds at least what its files' sizes come to, and the map has one entry for each.
Status Compaction::check_size() const {
  const auto size = successor_->dat_->size();
  if (!size) return size.error();
  const bool fits = *size == out_->dat_end() && *size >= copied_size_sum_ + kSuperblockBytes;
  if (fits && successor_->live_needles() == totals_.files) return {};
  return Error(Code::internal, fmt::format("the new .dat has {} bytes for {} files of {} bytes", *size, totals_.files,
                                           copied_size_sum_));
}

// --- what came since ---

Status Compaction::catch_up(const GoOn& may) {
  auto& old = *volume_;
  for (int round = 0; round < kRoundsMax; round++) {
    const auto dat_end = old.dat_bytes();
    const auto idx_end = old.idx_bytes();
    const bool is_short = (idx_end - idx_done_) / kIndexRowBytes <= kTailRowsMax && dat_end <= dat_done_ + kTailBytesMax;
    if (is_short) break;
    if (auto brought = bring_over(idx_end, may); !brought) return brought.error().at("volume " + text(old.id()));
    dat_done_ = dat_end;
  }
  return {};
}

// Carries out the rows of the old .idx up to `idx_end`, of each key the newest.
Status Compaction::bring_over(std::uint64_t idx_end, const GoOn& may) {
  std::vector<IndexRow> rows;
  std::unordered_map<NeedleId, std::size_t> newest;
  rows.reserve((idx_end - idx_done_) / kIndexRowBytes);
  for (auto at = idx_done_; at < idx_end;) {
    const auto room = room_of(piece_, std::min<std::uint64_t>(kPieceBytes, idx_end - at));
    const auto got = volume_->idx_->read(at, room);
    if (!got) return got.error();
    if (*got != room.size()) return Error(Code::corrupt, volume_->idx_->path() + ": ends early");
    for (std::size_t i = 0; i + kIndexRowBytes <= room.size(); i += kIndexRowBytes) {
      rows.push_back(parse_row(room.data() + i));
      newest[rows.back().key] = rows.size() - 1;
    }
    at += room.size();
  }
  for (std::size_t i = 0; i < rows.size(); i++) {
    if (newest.at(rows[i].key) != i) continue;
    if (auto brought = bring_over(rows[i]); !brought) return brought;
    const auto bytes = rows[i].is_put() ? record_bytes(rows[i].size, volume_->version()) : 0;
    if (auto on = go_on(may, bytes); !on) return on;
  }
  idx_done_ = idx_end;
  return out_->make_durable();
}

Status Compaction::bring_over(const IndexRow& row) {
  auto& next = *successor_;
  const auto offset = out_->dat_end() / kAlignment;
  if (row.is_put()) {
    if (out_->dat_end() >= Volume::kDatBytesMax) return Error(Code::no_space, "what is live passes 32 GiB");
    const IndexRow new_row{row.key, offset, row.size};
    if (auto copied = copy_record(row.offset * kAlignment, record_bytes(row.size, next.version())); !copied) {
      return copied;
    }
    if (auto written = out_->append_row(new_row); !written) return written;
    return next.index_.apply({&new_row, 1});
  }
  const auto slot = next.find(row.key);
  if (!slot || !slot->is_live()) return {};
  const auto now = std::max(next.wall_ns(), next.last_append_at_ns() + 1);
  next.last_append_at_ns_ = now;
  const auto deletion = encode_deletion(row.key, kDeletionCookie, 0, now, next.version());
  const IndexRow new_row{row.key, offset & 0xffffffffu, kTombstoneSize};
  if (auto written = out_->append(bytes_of(deletion)); !written) return written;
  if (auto written = out_->append_row(new_row); !written) return written;
  return next.index_.apply({&new_row, 1});
}

// As it is, to the byte. The padding may be missing behind the last record.
Status Compaction::copy_record(std::uint64_t from, std::uint64_t bytes) {
  for (std::uint64_t done = 0; done < bytes;) {
    const auto room = room_of(piece_, std::min(kPieceBytes, bytes - done));
    const auto got = volume_->dat_->read(from + done, room);
    if (!got) return got.error();
    if (*got < room.size()) {
      if (done + *got + kAlignment < bytes) return Error(Code::corrupt, "a record ends early");
      std::fill(room.begin() + static_cast<std::ptrdiff_t>(*got), room.end(), 0);
    }
    if (auto written = out_->append(room); !written) return written;
    done += room.size();
  }
  return {};
}

// --- the change ---

Result<std::shared_ptr<Volume>> Compaction::commit(const Publish& publish) {
  auto& old = *volume_;
  old.pause();
  auto complete = check_volume();
  if (complete) complete = bring_over(old.idx_bytes(), {});
  if (complete) complete = check_complete();
  if (complete) complete = set_marker();
  if (!complete) {
    old.resume();
    return complete.error().at("volume " + text(old.id()));
  }
  has_files_ = false;
  auto& next = *successor_;
  next.dat_end_ = out_->dat_end();
  next.idx_end_ = out_->idx_end();
  next.last_append_at_ns_ = std::max(next.last_append_at_ns(), old.last_append_at_ns());
  next.modified_at_second_ = old.modified_at_second_.load();
  change_names();
  publish(successor_);
  old.hand_over(successor_);
  old.index_.discard();
  if (!next.damaged_) remove_marker();
  return successor_;
}

// Every live key of the old map is live in the new one, but for those left out that nobody wrote again.
Status Compaction::check_complete() const {
  std::size_t missing = 0;
  for (const auto& [key, slot] : left_out_) {
    const auto now = volume_->find(key);
    missing += now && *now == slot;
  }
  const auto wanted = volume_->live_needles();
  const auto have = successor_->live_needles();
  if (wanted != have + missing) {
    return Error(Code::internal, fmt::format("the vacuum has {} files and left out {}, and {} are live: nothing is "
                                             "changed", have, missing, wanted));
  }
  // Nobody else may have taken the files away, or put others there.
  const auto& place = volume_->place();
  for (const auto& [path, bytes] : {std::pair{cpd(place), out_->dat_end()}, std::pair{cpx(place), out_->idx_end()}}) {
    const auto info = volume_->around_.disk.info(path);
    if (!info) return info.error();
    if (info->size != bytes) return Error(Code::corrupt, path + " is not what was written");
  }
  return {};
}

// When this fails the marker is not there, or the old volume takes no more writes: after a crash the new files may
// be taken for it.
Status Compaction::set_marker() {
  auto& disk = volume_->around_.disk;
  const auto& place = volume_->place();
  // The names of the new files first: with a marker and only one of them, .dat and .idx would no longer belong together.
  if (auto synced = sync_folders(); !synced) return synced;
  auto set = [&]() -> Status {
    auto marker = disk.open(cpc(place), {.write = true, .create = true});
    if (!marker) return marker.error();
    if (auto synced = (*marker)->sync(); !synced) return synced;
    return disk.sync_dir(place.data_folder);
  }();
  if (set) return set;
  auto removed = disk.remove(cpc(place));
  if (!removed && removed.error().code() == Code::not_found) removed = {};
  if (removed) removed = disk.sync_dir(place.data_folder);
  if (!removed) {
    volume_->damaged_ = true;
    LOG_ERROR("volume {}: the marker of a vacuum could not be taken back ({}): read-only from now on", text(place.id),
              removed.error().what());
  }
  return set;
}

// The marker is durable, so the new files are the volume from now on. What fails here is done at the next start.
void Compaction::change_names() {
  auto& disk = volume_->around_.disk;
  const auto& place = volume_->place();
  const auto change = [&]() -> Status {
    if (auto moved = disk.rename(cpd(place), place.dat()); !moved) return moved;
    if (auto moved = disk.rename(cpx(place), place.idx()); !moved) return moved;
    return sync_folders();
  };
  if (auto changed = change(); !changed) {
    successor_->damaged_ = true;
    LOG_ERROR("volume {}: {}: its vacuum is complete, but not all names of its files are: read-only until it is loaded "
              "again, which mends them", text(place.id), changed.error().what());
    return;
  }
  // Under their own names, for words in errors; the old descriptors would do as well, and an index on disk syncs those.
  if (successor_->index_.is_on_disk()) return;
  if (auto dat = disk.open(place.dat(), {.write = true})) successor_->dat_ = std::move(*dat);
  if (auto idx = disk.open(place.idx(), {.write = true})) successor_->idx_ = std::move(*idx);
}

void Compaction::remove_marker() {
  auto& disk = volume_->around_.disk;
  const auto& place = volume_->place();
  // Indexes of upstream's that tell of the old .dat.
  for (const auto* ext : {".ldb", ".cpldb", ".rdb", ".sdx"}) (void)disk.remove_all(in_index_folder(place, ext));
  // And one of ours, if the index is in memory now.
  if (!successor_->index_.is_on_disk()) (void)disk.remove_all(place.hfidx());
  auto removed = disk.remove(cpc(place));
  if (removed) removed = disk.sync_dir(place.data_folder);
  if (!removed) LOG_WARNING("volume {}: {}: it is removed by the next vacuum or start", text(place.id), removed.error().what());
}

void Compaction::remove_files() {
  auto& disk = volume_->around_.disk;
  const auto& place = volume_->place();
  // Should the marker be there still, the files must stay: it may be all that a start after a crash goes by.
  if (disk.info(cpc(place)).ok()) return;
  if (successor_) successor_->index_.discard();
  for (const auto& path : {cpd(place), cpx(place)}) {
    const auto removed = disk.remove(path);
    if (!removed && removed.error().code() != Code::not_found) LOG_WARNING("{}", removed.error().what());
  }
}

}  // namespace holdfast::volume
