#include "storage/volume/volume_loader.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/log.h"
#include "storage/volume/remote_dat.h"

namespace holdfast::volume {
namespace {

constexpr std::size_t kReadBytes = 1_MiB;
constexpr std::uint64_t kSectorBytes = 512;  // what a loss of power takes or leaves as one
constexpr std::size_t kRowsAtOnce = 1024;
constexpr std::uint64_t kCutRowsBytesMax = 64_MiB;
constexpr int kPassedOverMax = 64;  // damaged records in a row, before the rest counts as invalid

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::span<std::uint8_t> room_of(std::string& s) { return {reinterpret_cast<std::uint8_t*>(s.data()), s.size()}; }

bool is_all_zero(BytesView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}

}  // namespace

Result<std::shared_ptr<Volume>> Volume::open(const Surroundings& around, const VolumePlace& place) {
  auto loaded = VolumeLoader(around, place, {}).load();
  if (!loaded) return loaded.error().at("volume " + text(place.id));
  return loaded;
}

Result<std::shared_ptr<Volume>> Volume::create(const Surroundings& around, const VolumePlace& place,
                                               const Creation& creation) {
  auto volume = std::shared_ptr<Volume>(new Volume(around, place));
  auto& disk = around.disk;
  const auto failed = [&](const Error& error) {
    // Nothing half-made stays; a file that was there before is not ours.
    if (error.code() != Code::already_exists) {
      for (const auto& path : {place.dat(), place.idx(), place.vif()}) (void)disk.remove(path);
    }
    return error.at("volume " + text(place.id));
  };
  if (disk.info(place.idx()).ok()) return Error(Code::already_exists, place.idx() + " is there already");
  auto dat = disk.open(place.dat(), {.write = true, .create = true, .exclusive = true});
  if (!dat) return dat.error().at("volume " + text(place.id));
  volume->dat_ = std::move(*dat);
  (void)disk.remove(place.hfe());  // of a volume of that id that was here once
  (void)disk.remove_all(place.hfidx());
  volume->superblock_ = {.version = creation.version,
                         .replica_placement = creation.replica_placement,
                         .ttl = creation.ttl};
  volume->replica_placement_ = creation.replica_placement.byte();
  const auto superblock = volume->superblock_.encode();
  if (auto written = volume->dat_->write(0, bytes_of(superblock)); !written) return failed(written.error());
  if (creation.preallocate_bytes > 0) {
    // Room taken ahead makes appends faster and is no promise: without it the volume works as well.
    if (auto taken = volume->dat_->allocate(0, creation.preallocate_bytes, true); !taken) {
      if (taken.error().code() == Code::no_space) return failed(taken.error());
      LOG_WARNING("volume {}: no room taken ahead: {}", text(place.id), taken.error().what());
    }
  }
  auto idx = disk.open(place.idx(), {.write = true, .create = true, .exclusive = true});
  if (!idx) return failed(idx.error());
  volume->idx_ = std::move(*idx);
  const auto now = static_cast<std::uint64_t>(volume->wall_ns() / 1'000'000'000);
  VolumeSettings settings;
  settings.version = static_cast<std::uint32_t>(creation.version);
  if (!creation.ttl.is_none()) settings.expire_at_sec = now + creation.ttl.minutes() * 60;
  if (auto synced = volume->dat_->sync(); !synced) return failed(synced.error());
  // replace_file also makes the names in its folder durable.
  if (auto saved = disk.replace_file(place.vif(), settings.json()); !saved) return failed(saved.error());
  if (place.index_folder != place.data_folder) {
    if (auto synced = disk.sync_dir(place.index_folder); !synced) return failed(synced.error());
  }
  {
    Guard guard(volume->settings_mutex_);
    volume->settings_ = settings;
  }
  volume->dat_end_ = superblock.size();
  volume->modified_at_second_ = static_cast<std::int64_t>(now);
  if (around.index_caches != nullptr) {
    if (auto moved = volume->index_.move_to_disk(volume->index_source(), {}); !moved) {
      LOG_WARNING("volume {}: its index is kept in memory: {}", text(place.id), moved.error().what());
    }
  }
  return volume;
}

Result<std::shared_ptr<Volume>> VolumeLoader::load() {
  volume_ = std::shared_ptr<Volume>(new Volume(around_, place_));
  if (auto known = volume_->replica_->load(); !known) return known.error();
  for (const auto step : {&VolumeLoader::read_settings, &VolumeLoader::open_files, &VolumeLoader::read_superblock,
                          &VolumeLoader::replay_index, &VolumeLoader::index_again, &VolumeLoader::settle_index}) {
    if (auto done = (this->*step)(); !done) return done.error();
  }
  return std::move(volume_);
}

Status VolumeLoader::read_settings() {
  VolumeSettings settings;
  const auto content = around_.disk.read_file(place_.vif(), 1_MiB);
  const bool absent = !content.ok() && content.error().code() == Code::not_found;
  if (!content.ok() && !absent) return content.error();
  if (absent || content->empty()) {
    // Written by open_files() once the version is known.
    volume_->settings_are_ours_ = true;
    settings.version = 0;
  } else if (auto parsed = VolumeSettings::parse(*content)) {
    settings = *parsed;
  } else {
    LOG_WARNING("volume {}: {}: its settings count as empty", text(place_.id), parsed.error().what());
    volume_->settings_are_ours_ = false;
  }
  if (!settings.files.empty()) {
    if (settings.files.size() > 1 || settings.files[0].offset != 0) {
      return Error(Code::unsupported, "its data lies in a remote tier in several pieces");
    }
    if (around_.tier == nullptr) return Error(Code::unsupported, "its data lies in a remote tier, which is out of reach here");
    if (settings.version < 1 || settings.version > 3) return Error(Code::unsupported, "its .vif does not tell its version");
    volume_->remote_ = settings.files[0];
  }
  if (settings.bytes_offset != 0 && settings.bytes_offset != 4) {
    return Error(Code::unsupported, "its index has offsets of " + std::to_string(settings.bytes_offset) +
                                        " bytes; this build reads those of 4");
  }
  volume_->marked_read_only_ = settings.read_only;
  volume_->may_delete_when_marked_ = settings.read_only_can_delete;
  Guard guard(volume_->settings_mutex_);
  volume_->settings_ = settings;
  return {};
}

// Without asking the tier: it may not be known yet.
Status VolumeLoader::open_remote_dat() {
  const auto& remote = *volume_->remote_;
  volume_->modified_at_second_ = static_cast<std::int64_t>(remote.modified_time);
  dat_size_ = remote.file_size;
  const auto kept = around_.disk.info(place_.dat());
  if (kept && kept->size == dat_size_ && !options_.ignores_dat) {
    auto dat = around_.disk.open(place_.dat(), {});
    if (!dat) return dat.error();
    volume_->dat_ = std::move(*dat);
    return {};
  }
  if (kept && kept->size != dat_size_) {
    LOG_WARNING("volume {}: its data lies in {}; the {} of another size is not looked at", text(place_.id), remote.backend_name(),
                place_.dat());
  }
  volume_->dat_ = std::make_unique<RemoteDat>(*around_.tier, remote);
  volume_->is_fetched_ = true;
  return {};
}

Status VolumeLoader::open_dat() {
  auto& disk = around_.disk;
  auto dat = disk.open(place_.dat(), {.write = true});
  if (!dat && dat.error().code() == Code::not_found) return dat.error();
  if (!dat) {
    LOG_WARNING("volume {}: {}: read-only", text(place_.id), dat.error().what());
    volume_->unwritable_ = true;
    dat = disk.open(place_.dat(), {});
    if (!dat) return dat.error();
  }
  volume_->dat_ = std::move(*dat);
  const auto dat_size = volume_->dat_->size();
  if (!dat_size) return dat_size.error();
  dat_size_ = *dat_size;
  if (const auto info = disk.info(place_.dat()); info.ok()) {
    volume_->modified_at_second_ =
        std::chrono::duration_cast<std::chrono::seconds>(info->modified.time_since_epoch()).count();
  }
  return {};
}

Status VolumeLoader::open_files() {
  auto& disk = around_.disk;
  if (auto opened = volume_->remote_ ? open_remote_dat() : open_dat(); !opened) return opened;
  idx_was_missing_ = !disk.info(place_.idx()).ok();
  if (idx_was_missing_ && volume_->remote_) {
    return Error(Code::not_found, place_.idx() + " is missing, without which nothing is found in " + volume_->remote_->backend_name());
  }
  const bool writable = !volume_->unwritable_;
  auto idx = disk.open(place_.idx(), {.write = writable, .create = writable});
  if (!idx && writable && !idx_was_missing_) {
    LOG_WARNING("volume {}: {}: read-only", text(place_.id), idx.error().what());
    volume_->unwritable_ = true;
    idx = disk.open(place_.idx(), {});
  }
  if (!idx) return idx.error();
  volume_->idx_ = std::move(*idx);
  const auto idx_size = volume_->idx_->size();
  if (!idx_size) return idx_size.error();
  idx_size_ = *idx_size;
  return {};
}

bool VolumeLoader::may_mend() const { return !volume_->unwritable_; }

Status VolumeLoader::read_superblock() {
  if (volume_->is_fetched_) {
    // What matters of it stands in the .vif (tier_switch.cc), but for SeaweedFS's uploads: they count as 000.
    Guard guard(volume_->settings_mutex_);
    volume_->superblock_.version = static_cast<Version>(volume_->settings_.version);
    if (const auto placement = ReplicaPlacement::parse(volume_->settings_.replication)) {
      volume_->superblock_.replica_placement = *placement;
    }
    volume_->replica_placement_ = volume_->superblock_.replica_placement.byte();
    return {};
  }
  std::uint8_t bytes[kSuperblockBytes];
  const auto got = volume_->dat_->read(0, bytes);
  if (!got) return got.error();
  const auto superblock = Superblock::parse(BytesView(bytes, *got));
  if (!superblock) return superblock.error();
  volume_->superblock_ = *superblock;
  volume_->replica_placement_ = superblock->replica_placement.byte();
  bool write_settings = false;
  {
    Guard guard(volume_->settings_mutex_);
    auto& settings = volume_->settings_;
    if (!settings.replication.empty()) {
      if (const auto placement = ReplicaPlacement::parse(settings.replication)) volume_->replica_placement_ = placement->byte();
    }
    write_settings = settings.version == 0 && volume_->settings_are_ours_ && may_mend();
    settings.version = static_cast<std::uint32_t>(superblock->version);
    if (settings.bytes_offset == 0) settings.bytes_offset = 4;
  }
  if (write_settings) {
    if (auto saved = volume_->save_settings(); !saved) {
      LOG_WARNING("volume {}: {}", text(place_.id), saved.error().what());
    }
  }
  return {};
}

void VolumeLoader::damaged(const std::string& why) {
  LOG_ERROR("volume {}: {}: read-only; what can be read is served", text(place_.id), why);
  volume_->damaged_ = true;
}

// --- the index ---

Status VolumeLoader::trim_index(std::uint64_t rows_kept, const char* why) {
  const auto kept = rows_kept * kIndexRowBytes;
  LOG_WARNING("volume {}: the last {} bytes of its index are {}", text(place_.id), idx_size_ - kept, why);
  const auto dropped = idx_size_ - kept;
  idx_size_ = kept;
  if (!may_mend()) return {};
  // The keys of what is lost may be wanted one day: they stay beside the index.
  std::string bytes(std::min<std::uint64_t>(dropped, kCutRowsBytesMax), '\0');
  const auto got = volume_->idx_->read(kept, room_of(bytes));
  if (!got) return got.error();
  if (!is_all_zero(bytes_of(bytes).first(*got))) {
    if (auto saved = around_.disk.replace_file(place_.idx() + ".cut", bytes.substr(0, *got)); !saved) return saved;
  }
  return volume_->idx_->truncate(kept);
}

std::uint64_t VolumeLoader::end_of(const IndexRow& row) const {
  return row.offset * kAlignment + record_bytes(row.size, volume_->version());
}

// The row's record is not all there. With offsets that may have wrapped nothing can be said.
bool VolumeLoader::is_beyond(const IndexRow& row) const {
  return row.offset != 0 && dat_size_ <= Volume::kDatBytesMax &&
         end_of(row) - padding_bytes(row.size, volume_->version()) > dat_size_;
}

// Where the row says a record begins, nothing was ever written: the power went before it reached the disk.
bool VolumeLoader::is_unwritten(const IndexRow& row) const {
  if (volume_->is_fetched_) return false;
  if (row.offset == 0 || dat_size_ > Volume::kDatBytesMax) return false;
  std::uint8_t header[kHeaderBytes];
  const auto at = row.offset * kAlignment;
  const auto got = volume_->dat_->read(at, header);
  if (!got || *got != sizeof header) return got.ok();
  const BytesView front(header, kHeaderBytes / 2);
  const BytesView back(header + kHeaderBytes / 2, kHeaderBytes / 2);
  const bool spans_sectors = (at + kHeaderBytes / 2) % kSectorBytes == 0;
  return spans_sectors ? is_all_zero(front) || is_all_zero(back) : is_all_zero(front) && is_all_zero(back);
}

// No row is ever written so: without an offset only deletions are, by upstream, of files in a remote tier.
bool VolumeLoader::is_hole(const IndexRow& row) { return row.offset == 0 && row.size != kTombstoneSize; }

// Takes rows off the end whose data never came to disk. What they told of is not lost if it was ever synced: the scan
// of the .dat finds it again.
Status VolumeLoader::trim_tail() {
  if (idx_size_ % kIndexRowBytes != 0) {
    if (auto cut = trim_index(idx_size_ / kIndexRowBytes, "a part of a row, cut off"); !cut) return cut;
  }
  const auto rows = idx_size_ / kIndexRowBytes;
  auto good = rows;
  for (; good > 0; good--) {
    std::uint8_t bytes[kIndexRowBytes];
    const auto got = volume_->idx_->read((good - 1) * kIndexRowBytes, bytes);
    if (!got) return got.error();
    const auto row = parse_row(bytes);
    if (!is_hole(row) && !is_beyond(row) && !is_unwritten(row)) break;
  }
  if (good == rows) return {};
  return trim_index(good, "rows without data behind them, cut off");
}

// What is on disk already of the index: how many rows it stands for. Only where the volume is whole and can be written.
std::uint64_t VolumeLoader::resume_index() {
  if (around_.index_caches == nullptr || !may_mend() || options_.is_second) return 0;
  const auto known = volume_->index_.open(volume_->index_source(), idx_size_ / kIndexRowBytes);
  if (!known || known->rows == 0) return 0;
  if (is_hole(known->furthest) || is_beyond(known->furthest)) {
    volume_->index_.clear();
    return 0;
  }
  last_ = {known->furthest, end_of(known->furthest), true};
  return known->rows;
}

// From now on the index is looked up on disk, if it is to be and is not yet.
Status VolumeLoader::settle_index() {
  auto& index = volume_->index_;
  if (around_.index_caches == nullptr || index.is_on_disk() || !may_mend() || volume_->damaged_) return {};
  if (auto moved = index.move_to_disk(volume_->index_source(), {idx_size_ / kIndexRowBytes, last_.row}); !moved) {
    LOG_WARNING("volume {}: its index is kept in memory: {}", text(place_.id), moved.error().what());
  }
  return {};
}

// Fills the index. Stops at a hole: the rows behind it are dropped, and the .dat, which has all of them that were ever
// synced, is scanned from there.
Status VolumeLoader::replay_rows(std::uint64_t first_row, Replayed& out) {
  std::string piece(kReadBytes, '\0');
  std::vector<IndexRow> rows;
  const auto apply = [&]() -> Status {
    auto applied = volume_->index_.apply(rows);
    rows.clear();
    return applied;
  };
  bool in_head = first_row == 0;
  for (std::uint64_t at = first_row * kIndexRowBytes; at < idx_size_;) {
    const auto wanted = std::min<std::uint64_t>(kReadBytes, idx_size_ - at);
    const auto got = volume_->idx_->read(at, room_of(piece).first(wanted));
    if (!got) return got.error();
    if (*got < kIndexRowBytes) break;
    const auto* bytes = bytes_of(piece).data();
    for (std::size_t i = 0; i + kIndexRowBytes <= *got; i += kIndexRowBytes) {
      const auto row = parse_row(bytes + i);
      if (is_hole(row)) {
        out.hole_at = (at + i) / kIndexRowBytes;
        return apply();
      }
      in_head = in_head && row.offset == 0;
      if (in_head) out.head_without_offset++;
      rows.push_back(row);
      if (rows.size() == kRowsAtOnce) {
        if (auto applied = apply(); !applied) return applied;
      }
      if (row.offset == 0) continue;
      if (is_beyond(row)) {
        out.beyond++;
      } else if (const auto end = end_of(row); !last_.any || end > last_.end) {
        last_ = {row, end, true};
      }
    }
    at += *got / kIndexRowBytes * kIndexRowBytes;
  }
  return apply();
}

Status VolumeLoader::replay_index() {
  Replayed replayed;
  for (bool again = true; again;) {
    if (auto trimmed = trim_tail(); !trimmed) return trimmed;
    replayed = Replayed();
    if (auto done = replay_rows(resume_index(), replayed); !done) return done;
    again = replayed.hole_at.has_value();
    if (!again) break;
    if (volume_->remote_) {
      return Error(Code::corrupt, place_.idx() + " has a hole, and " + volume_->remote_->backend_name() +
                                      ", which could mend it, is not asked when a volume is loaded");
    }
    if (auto cut = trim_index(*replayed.hole_at, "behind a hole: they are made anew from the .dat"); !cut) return cut;
    // What now is the last row may point at nothing as well.
    last_ = Last();
    volume_->index_.clear();
  }
  if (replayed.beyond > 0) {
    damaged(std::to_string(replayed.beyond) + " rows of its index point behind the end of its .dat");
  }
  if (volume_->remote_) return {};
  if (replayed.head_without_offset > 0 && dat_size_ > volume_->superblock_.first_needle()) {
    if (auto restored = restore_lost_head(replayed.head_without_offset); !restored) return restored;
  }
  if (last_.any) check_last_record();
  return {};
}

// Upstream once lost the first N rows of an index and left deletions without offset in their place (spec/volume-format
// 8, row 9). Those of the first N records whose key nobody mentions later are live again, in memory and by rows behind
// the others.
Status VolumeLoader::restore_lost_head(std::size_t head_rows) {
  const auto scanned = scan(aligned(volume_->superblock_.first_needle()), head_rows);
  if (!scanned) return scanned.error();
  std::vector<IndexRow> lost;
  for (const auto& row : scanned->rows) {
    if (row.is_put() && !volume_->find(row.key)) lost.push_back(row);
  }
  if (lost.empty()) return {};
  LOG_WARNING("volume {}: {} rows lost from the head of its index are restored", text(place_.id), lost.size());
  return append_rows(lost);
}

// The index belongs to this .dat when its last record is the one it says.
void VolumeLoader::check_last_record() {
  if (dat_size_ > Volume::kDatBytesMax) return;  // offsets have wrapped: nothing can be said
  const auto at = last_.row.offset * kAlignment;
  const auto header = header_at(at);
  if (!header) return damaged("its last indexed record is unreadable: " + header.error().what());
  const auto size = std::max(last_.row.size, 0);
  if (header->id != last_.row.key || header->size != size) {
    return damaged("its last indexed record is not what lies in the .dat");
  }
  NeedleView record;
  if (!is_valid(at, *header, record)) {
    // Its length is known, so what follows is found. Reading it says what is wrong; nothing is thrown away.
    LOG_ERROR("volume {}: its last indexed record, needle {:x}, is damaged", text(place_.id), header->id.value());
  }
  volume_->last_append_at_ns_ = record.append_at_ns;
}

// --- the .dat behind the last indexed record ---

Result<NeedleHeader> VolumeLoader::header_at(std::uint64_t at) {
  std::uint8_t bytes[kHeaderBytes];
  const auto got = volume_->dat_->read(at, bytes);
  if (!got) return got.error();
  if (*got != sizeof bytes) return Error(Code::corrupt, "the .dat ends within a header");
  // Zeros are room that was never written, not a needle of key 0.
  if (is_all_zero(bytes)) return Error(Code::corrupt, "zeros");
  return NeedleHeader::parse(bytes);
}

bool VolumeLoader::is_whole(std::uint64_t at, const NeedleHeader& header) const {
  if (header.size < 0) return false;
  const auto version = volume_->version();
  return at + record_bytes(header.size, version) - padding_bytes(header.size, version) <= dat_size_;
}

bool VolumeLoader::is_valid(std::uint64_t at, const NeedleHeader& header, NeedleView& out) {
  if (!is_whole(at, header)) return false;
  const auto version = volume_->version();
  const auto& dat = *volume_->dat_;
  const auto bytes = record_bytes(header.size, version) - padding_bytes(header.size, version);
  std::string piece;
  if (bytes <= kReadBytes) {
    piece.resize(bytes);
    const auto got = dat.read(at, room_of(piece));
    if (!got || *got != bytes) return false;
    const auto needle = parse(bytes_of(piece), header.size, version);
    if (!needle) return false;
    out.stored_crc = needle->stored_crc;
    out.append_at_ns = needle->append_at_ns;
    if (header.size == 0) return version != Version::v3 || out.append_at_ns != 0;
    return check_data(*needle);
  }
  std::uint8_t length[4];
  if (const auto got = dat.read(at + kHeaderBytes, length); !got || *got != sizeof length) return false;
  const bool plain = version == Version::v1;
  const auto data_size = plain ? static_cast<std::uint32_t>(header.size) : load_be<std::uint32_t>(length);
  const auto begin = at + kHeaderBytes + (plain ? 0 : 4);
  const auto end = at + bytes;
  if (begin + data_size > end || end - begin - data_size > kReadBytes) return false;
  std::uint32_t crc = 0;
  for (std::uint64_t done = 0; done < data_size;) {
    piece.resize(std::min<std::uint64_t>(kReadBytes, data_size - done));
    const auto got = dat.read(begin + done, room_of(piece));
    if (!got || *got != piece.size()) return false;
    crc = crc32c(bytes_of(piece), crc);
    done += piece.size();
  }
  piece.resize(end - begin - data_size);
  if (const auto got = dat.read(begin + data_size, room_of(piece)); !got || *got != piece.size()) return false;
  const auto needle = parse_tail(header, data_size, bytes_of(piece), version);
  if (!needle) return false;
  out.stored_crc = needle->stored_crc;
  out.append_at_ns = needle->append_at_ns;
  return crc_matches(crc, needle->stored_crc);
}

Result<VolumeLoader::Scanned> VolumeLoader::scan(std::uint64_t from, std::uint64_t records_max) {
  Scanned out;
  out.end = from;
  std::uint64_t damaged_in_a_row = 0;
  // What the scan itself has seen of a key stands above what the index says.
  std::map<NeedleId, bool> live_here;
  std::uint64_t records = 0;
  for (auto at = from; at < dat_size_ && records < records_max; records++) {
    const auto header = header_at(at);
    if (!header && header.error().code() != Code::corrupt) return header.error();
    if (!header || !is_whole(at, *header)) break;
    const auto next = at + record_bytes(header->size, volume_->version());
    NeedleView record;
    if (!is_valid(at, *header, record)) {
      live_here[header->id] = true;  // so that its deletion, if one follows, is known as such
      if (++damaged_in_a_row > kPassedOverMax) break;
      at = next;
      continue;
    }
    out.passed_over += damaged_in_a_row;
    damaged_in_a_row = 0;
    const auto known = live_here.find(header->id);
    const auto slot = volume_->find(header->id);
    const bool is_live = known != live_here.end() ? known->second : slot && slot->is_live();
    // A deletion repeats the crc of what it deleted, an empty file's is 0: only where that is 0 the key must tell.
    const bool deletes = header->size == 0 && (is_live || record.stored_crc != 0);
    live_here[header->id] = !deletes;
    out.rows.push_back({header->id, at / kAlignment & 0xffffffffu, deletes ? kTombstoneSize : header->size});
    out.last_append_at_ns = std::max(out.last_append_at_ns, record.append_at_ns);
    out.end = std::min(next, aligned(dat_size_));
    at = next;
  }
  return out;
}

Status VolumeLoader::index_again() {
  volume_->dat_end_ = dat_size_;
  volume_->idx_end_ = idx_size_;
  if (dat_size_ > Volume::kDatBytesMax || volume_->damaged_ || volume_->remote_) return {};
  const auto from = last_.any ? last_.end : aligned(volume_->superblock_.first_needle());
  if (from >= dat_size_) return {};
  const bool from_nothing = idx_size_ == 0;
  auto scanned = scan(from, UINT64_MAX);
  if (!scanned) return scanned.error();
  if (!scanned->rows.empty()) {
    LOG_WARNING("volume {}: {} records behind the last indexed one are indexed again{}", text(place_.id),
                scanned->rows.size(),
                from_nothing ? " (its index was missing or empty; empty files may count as deletions)" : "");
    if (scanned->passed_over > 0) {
      LOG_ERROR("volume {}: {} damaged records among them are passed over", text(place_.id), scanned->passed_over);
    }
    for (const auto& row : scanned->rows) {
      if (!last_.any || end_of(row) > last_.end) last_ = {row, end_of(row), true};
    }
    if (auto appended = append_rows(scanned->rows); !appended) return appended;
    volume_->last_append_at_ns_ = std::max(volume_->last_append_at_ns_.load(), scanned->last_append_at_ns);
  }
  if (scanned->end < dat_size_) return cut_rest(scanned->end);
  return {};
}

Result<bool> VolumeLoader::is_zero(std::uint64_t from, std::uint64_t to) {
  std::string piece(kReadBytes, '\0');
  while (from < to) {
    const auto got = volume_->dat_->read(from, room_of(piece).first(std::min<std::uint64_t>(kReadBytes, to - from)));
    if (!got) return got.error();
    if (*got == 0) break;
    if (!is_all_zero(bytes_of(piece).first(*got))) return false;
    from += *got;
  }
  return true;
}

Status VolumeLoader::cut_rest(std::uint64_t end) {
  const auto rest = dat_size_ - end;
  if (rest > kTornBytesMax) {
    const auto zero = is_zero(end, dat_size_);
    if (!zero) return zero.error();
    if (!*zero) {
      damaged(std::to_string(rest) + " bytes behind byte " + std::to_string(end) + " of its .dat are no records");
      return {};
    }
  }
  if (!may_mend()) return {};
  LOG_WARNING("volume {}: cut off {} invalid bytes behind its last whole record at byte {}", text(place_.id), rest, end);
  if (auto cut = volume_->dat_->truncate(end); !cut) return cut;
  if (auto synced = volume_->dat_->sync(); !synced) return synced;
  dat_size_ = end;
  volume_->dat_end_ = end;
  return {};
}

// Behind the others, in the index as in the .idx.
Status VolumeLoader::append_rows(const std::vector<IndexRow>& rows) {
  if (!may_mend()) return volume_->index_.apply(rows);
  std::string bytes;
  for (const auto& row : rows) append_row(bytes, row);
  if (auto written = volume_->idx_->write(idx_size_, bytes_of(bytes)); !written) return written;
  idx_size_ += bytes.size();
  volume_->idx_end_ = idx_size_;
  if (auto synced = volume_->idx_->sync(); !synced) return synced;
  return volume_->index_.apply(rows);
}

}  // namespace holdfast::volume
