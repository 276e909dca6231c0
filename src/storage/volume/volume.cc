#include "storage/volume/volume.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/log.h"

namespace holdfast::volume {
namespace {

// The most a record's parts behind its data can take: flags, name, mime, time, ttl, pairs, crc, appendAtNs, padding.
constexpr std::size_t kTailBytesMax = 1 + 256 + 256 + 5 + 2 + 65537 + 4 + 8 + 8;
constexpr std::size_t kFrontBytes = kHeaderBytes + 4;  // with the data's length
constexpr std::uint16_t kRemoteRevision = 0xffff;      // of indexes on disk: that of the superblock may be out of reach

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

Error not_found() { return Error(Code::not_found, "not found"); }

}  // namespace

std::string VolumePlace::base_name() const { return collection.empty() ? text(id) : collection + "_" + text(id); }
std::string VolumePlace::dat() const { return io::join(data_folder, base_name() + ".dat"); }
std::string VolumePlace::idx() const { return io::join(index_folder, base_name() + ".idx"); }
std::string VolumePlace::vif() const { return io::join(data_folder, base_name() + ".vif"); }
std::string VolumePlace::hfe() const { return io::join(data_folder, base_name() + ReplicaState::kExtension); }
std::string VolumePlace::hfidx() const { return io::join(index_folder, base_name() + VolumeIndex::kExtension); }

// A large needle's data. Holds the volume, and so its file.
class Volume::FileBody final : public Body {
 public:
  FileBody(std::shared_ptr<const Volume> volume, std::uint64_t begin, std::uint64_t bytes)
      : volume_(std::move(volume)), begin_(begin), bytes_(bytes) {}

  std::uint64_t size() const override { return bytes_; }
  Status read(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    const auto got = volume_->dat_->read(begin_ + offset, out);
    if (!got) return got.error();
    if (*got != out.size()) return Error(Code::corrupt, volume_->dat_->path() + ": ends early");
    return {};
  }
  bool read_now(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    const auto got = volume_->dat_->read_cached(begin_ + offset, out);
    return got.ok() && *got == out.size();
  }
  int descriptor() const override { return volume_->dat_->descriptor(); }
  std::uint64_t descriptor_offset() const override { return begin_; }

 private:
  const std::shared_ptr<const Volume> volume_;
  const std::uint64_t begin_;
  const std::uint64_t bytes_;
};

// A large needle's data in a remote tier: some MiB of it are in memory, from which small pieces are read. Of one reader at a
// time; several would only fetch more than they need.
class Volume::FetchedBody final : public Body {
 public:
  FetchedBody(std::shared_ptr<const Volume> volume, std::uint64_t begin, std::uint64_t bytes)
      : volume_(std::move(volume)), begin_(begin), bytes_(bytes) {}

  std::uint64_t size() const override { return bytes_; }
  Status read(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    if (read_now(offset, out)) return {};
    std::string fetched(std::max<std::uint64_t>(out.size(), std::min(kFetchBytes, bytes_ - offset)), '\0');
    const auto got = volume_->read_bytes(begin_ + offset, {reinterpret_cast<std::uint8_t*>(fetched.data()), fetched.size()});
    if (!got) return got.error();
    if (*got != fetched.size()) return Error(Code::corrupt, volume_->dat_->path() + ": ends early");
    std::copy_n(fetched.begin(), out.size(), out.begin());
    Guard guard(mutex_);
    window_ = std::move(fetched);
    window_at_ = offset;
    return {};
  }
  bool read_now(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    Guard guard(mutex_);
    if (offset < window_at_ || offset + out.size() > window_at_ + window_.size()) return false;
    std::copy_n(window_.begin() + static_cast<std::ptrdiff_t>(offset - window_at_), out.size(), out.begin());
    return true;
  }
  int descriptor() const override { return -1; }
  std::uint64_t descriptor_offset() const override { return 0; }
  bool is_remote() const override { return true; }

 private:
  const std::shared_ptr<const Volume> volume_;
  const std::uint64_t begin_;
  const std::uint64_t bytes_;

  mutable Mutex mutex_;  // leaf
  mutable std::string window_ HOLDFAST_GUARDED_BY(mutex_);
  mutable std::uint64_t window_at_ HOLDFAST_GUARDED_BY(mutex_) = 0;
};

Volume::Volume(const Surroundings& around, VolumePlace place)
    : around_(around),
      place_(std::move(place)),
      replica_(std::make_shared<ReplicaState>(around_.disk, around_.clock, place_.hfe())) {}
Volume::~Volume() = default;

std::uint64_t Volume::wall_ns() const {
  return static_cast<std::uint64_t>(around_.clock.wall().time_since_epoch().count());
}

std::optional<Slot> Volume::find(NeedleId key) const {
  return index_.find(key);
}

VolumeIndex::Source Volume::index_source() {
  return {around_.disk, *around_.index_caches, place_.hfidx(), remote_ ? kRemoteRevision : superblock_.compact_revision, *dat_, *idx_};
}

// --- reading ---

// When the volume has come back from its tier its object may be gone: what took this one's place has the same bytes then, on
// the disk.
Result<std::size_t> Volume::read_bytes(std::uint64_t at, std::span<std::uint8_t> out) const {
  auto got = dat_->read(at, out);
  if (got || !is_fetched_) return got;
  const auto back = successor();
  return back ? back->dat_->read(at, out) : got;
}

Result<NeedleView> Volume::read_record(const Slot& slot, std::uint8_t* room, std::size_t room_bytes, bool cached_only,
                                       NeedleId key, std::uint64_t base) {
  const std::uint64_t at = base + std::uint64_t{slot.offset} * kAlignment;
  // The padding is not needed, and may be missing behind the last record.
  const auto wanted = room_bytes - padding_bytes(slot.size, version());
  const std::span<std::uint8_t> out(room, wanted);
  const auto got = cached_only ? dat_->read_cached(at, out) : read_bytes(at, out);
  if (!got) return got.error();
  if (*got < wanted) {
    if (cached_only) return Error(Code::busy, "not all in the page cache");
    return Error(Code::corrupt, "the record ends early");
  }
  auto needle = parse(out, slot.size, version());
  if (!needle) return needle;
  if (needle->id != key) return Error(Code::corrupt, "another needle lies there");
  return needle;
}

ReadNow Volume::read_now(NeedleId key, Cookie cookie, ReadOptions options, ReadBuffer& buffer, Found& out) {
  std::optional<Slot> slot;
  if (!index_.find_now(key, slot)) return ReadNow::would_block;
  if (!slot) return ReadNow::not_found;
  if (!slot->is_live()) {
    if (!options.read_deleted || slot->size == kTombstoneSize) return ReadNow::not_found;
    slot->size = -slot->size;
  }
  out.body = nullptr;
  if (slot->size == 0) {  // an empty file: all there is to know stands in the index
    out.needle = NeedleView{};
    out.needle.id = key;
    out.needle.cookie = cookie;
    out.etag = 0;
    return ReadNow::found;
  }
  if (static_cast<std::uint64_t>(slot->size) > kInlineBytesMax) return ReadNow::would_block;
  const auto bytes = record_bytes(slot->size, version());
  auto needle = read_record(*slot, buffer.room(bytes), bytes, true, key);
  // What is wrong is looked into where there is time for it.
  if (!needle) return ReadNow::would_block;
  if (needle->cookie != cookie) return ReadNow::not_found;
  if (needle->has(kFlagTtl) && needle->is_expired(wall_ns())) return ReadNow::not_found;
  const auto crc = crc32c(needle->data);
  if (needle->data.empty() || !crc_matches(crc, needle->stored_crc)) return ReadNow::would_block;
  if (io_errors_.load(std::memory_order_relaxed) != 0 && !is_quarantined()) io_errors_ = 0;
  out.needle = *needle;
  out.etag = crc;
  return ReadNow::found;
}

Result<Found> Volume::read(NeedleId key, Cookie cookie, ReadOptions options) {
  auto slot = find(key);
  if (!slot) return not_found();
  if (!slot->is_live()) {
    if (!options.read_deleted || slot->size == kTombstoneSize) return not_found();
    slot->size = -slot->size;
  }
  Found found;
  if (slot->size == 0) {
    found.needle.id = key;
    found.needle.cookie = cookie;
    return found;
  }
  auto read = read_at(*slot, key, 0);
  if (!read && read.error().code() == Code::corrupt && dat_bytes() > kDatBytesMax) {
    // Behind 32 GiB upstream's offsets have wrapped (spec/volume-format 3.5).
    if (auto wrapped = read_at(*slot, key, kDatBytesMax)) read = std::move(wrapped);
  }
  if (!read) {
    note_read_error(read.error(), key);
    return read;
  }
  if (io_errors_.load(std::memory_order_relaxed) != 0 && !is_quarantined()) io_errors_ = 0;
  if (read->needle.cookie != cookie) return not_found();
  if (read->needle.is_expired(wall_ns())) return not_found();
  return read;
}

Result<Found> Volume::read_at(const Slot& slot, NeedleId key, std::uint64_t base) {
  if (static_cast<std::uint64_t>(slot.size) > (is_fetched_ ? kFetchBytes : kInlineBytesMax)) {
    auto large = read_large(slot, key, base);
    if (large && static_cast<std::uint64_t>(slot.size) <= kCheckedBytesMax) {
      const auto crc = checked_crc(*large);
      if (!crc) return crc.error();
      large->etag = *crc;
    }
    return large;
  }
  Found found;
  const auto bytes = record_bytes(slot.size, version());
  found.owned = std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
  const auto needle = read_record(slot, found.owned.get(), bytes, false, key, base);
  if (!needle) return needle.error();
  if (!check_data(*needle)) return Error(Code::corrupt, "the data's crc is wrong");
  found.needle = *needle;
  found.etag = crc32c(needle->data);
  return found;
}

Result<Found> Volume::read_large(const Slot& slot, NeedleId key, std::uint64_t base) {
  const std::uint64_t at = base + std::uint64_t{slot.offset} * kAlignment;
  std::uint8_t front[kFrontBytes];
  const auto got_front = read_bytes(at, front);
  if (!got_front) return got_front.error();
  if (*got_front != sizeof front) return Error(Code::corrupt, "the record ends early");
  const auto header = NeedleHeader::parse(front);
  if (header.id != key) return Error(Code::corrupt, "another needle lies there");
  if (header.size != slot.size) return Error(Code::corrupt, "the record's size is not the index's");
  const bool plain = version() == Version::v1;
  const auto data_size = plain ? static_cast<std::uint32_t>(header.size) : load_be<std::uint32_t>(front + kHeaderBytes);
  const std::uint64_t begin = at + kHeaderBytes + (plain ? 0 : 4);
  const std::uint64_t end = at + record_bytes(slot.size, version()) - padding_bytes(slot.size, version());
  if (data_size == 0 || begin + data_size > end) return Error(Code::corrupt, "the needle's data runs over its end");
  const auto tail_bytes = end - begin - data_size;
  if (tail_bytes > kTailBytesMax) return Error(Code::corrupt, "the needle's parts are too long");
  Found found;
  found.owned = std::make_unique_for_overwrite<std::uint8_t[]>(tail_bytes);
  const std::span<std::uint8_t> tail(found.owned.get(), tail_bytes);
  const auto got_tail = read_bytes(begin + data_size, tail);
  if (!got_tail) return got_tail.error();
  if (*got_tail != tail_bytes) return Error(Code::corrupt, "the record ends early");
  const auto needle = parse_tail(header, data_size, tail, version());
  if (!needle) return needle.error();
  found.needle = *needle;
  found.etag = needle->stored_crc;
  if (is_fetched_) {
    found.body = std::make_shared<FetchedBody>(shared_from_this(), begin, data_size);
  } else {
    found.body = std::make_shared<FileBody>(shared_from_this(), begin, data_size);
  }
  return found;
}

Result<std::uint32_t> Volume::checked_crc(const Found& large) {
  constexpr std::uint64_t kPieceBytes = 64_KiB;
  const auto room = std::make_unique_for_overwrite<std::uint8_t[]>(kPieceBytes);
  const auto& body = *large.body;
  std::uint32_t crc = 0;
  for (std::uint64_t at = 0; at < body.size(); at += kPieceBytes) {
    const std::span<std::uint8_t> piece(room.get(), std::min(kPieceBytes, body.size() - at));
    if (auto read = body.read(at, piece); !read) return read.error();
    crc = crc32c(piece, crc);
  }
  if (!crc_matches(crc, large.needle.stored_crc)) return Error(Code::corrupt, "the data's crc is wrong");
  return crc;
}

void Volume::note_read_error(const Error& error, NeedleId key) {
  LOG_ERROR("volume {}: needle {:x}: {}", text(id()), key.value(), error.what());
  if (error.code() != Code::io) return;
  if (++io_errors_ == kIoErrorsMax) {
    LOG_ERROR("volume {}: {} I/O errors in a row: it takes no more writes and is not reported to the masters; look at "
              "the disk under {}", text(id()), kIoErrorsMax, place_.data_folder);
  }
}

// --- for copies ---

Result<std::size_t> Volume::read_dat(std::uint64_t offset, std::span<std::uint8_t> out) const { return read_bytes(offset, out); }

Result<std::size_t> Volume::read_idx(std::uint64_t offset, std::span<std::uint8_t> out) const {
  return idx_->read(offset, out);
}

std::uint64_t Volume::first_needle() const { return aligned(superblock_.first_needle()); }

// --- state ---

VolumeInfo Volume::info() const {
  VolumeInfo out;
  out.id = place_.id;
  out.collection = place_.collection;
  out.disk_type = place_.disk_type;
  out.disk_id = place_.disk_id;
  out.replica_placement = replica_placement();
  out.ttl = superblock_.ttl;
  out.version = static_cast<std::uint32_t>(superblock_.version);
  out.compact_revision = superblock_.compact_revision;
  out.size = dat_bytes();
  out.read_only = is_read_only();
  out.replica_epoch = replica_->epoch();
  out.replica_outdated = replica_->outdated_by() != 0;
  out.modified_at_second = modified_at_second_.load(std::memory_order_relaxed);
  const auto counts = index_.tally().counts;
  out.content_size = counts.file_bytes;
  out.file_count = counts.files;
  out.delete_count = counts.deletions;
  out.deleted_byte_count = counts.deleted_bytes;
  out.max_key = counts.max_key;
  if (remote_) {
    out.remote_storage_name = remote_->backend_name();
    out.remote_storage_key = remote_->key;
  }
  return out;
}

Status Volume::check_on_disk() const {
  if (!remote_) return {};
  return Error(Code::read_only, "volume " + text(id()) + ": its data lies in " + remote_->backend_name() +
                                    ": bring it back first, with volume.tier.download");
}

std::size_t Volume::live_needles() const {
  return index_.tally().live_keys;
}

double Volume::garbage_ratio() const {
  const auto counts = index_.tally().counts;
  if (counts.file_bytes == 0 || counts.deletions == 0) return 0;
  const auto content = static_cast<double>(counts.file_bytes);
  if (counts.deleted_bytes > 0) return static_cast<double>(counts.deleted_bytes) / content;
  // An index that tells deletions and not what they took (spec/volume-format 12): what no file accounts for.
  const auto dat = static_cast<double>(dat_bytes());
  return std::max(0.0, (dat - content - kSuperblockBytes) / dat);
}

std::size_t Volume::index_memory_bytes() const {
  return index_.memory_bytes();
}

// --- marks ---

std::string Volume::read_only_reason() const {
  if (marked_read_only_) return "marked read-only";
  if (unwritable_) return "its file cannot be written";
  if (damaged_) return "damaged or after an I/O error";
  if (is_quarantined()) return "in quarantine after I/O errors";
  if (low_space_) return "low space";
  if (remote_) return "its data lies in " + remote_->backend_name();
  return "";
}

std::shared_ptr<Volume> Volume::successor() const {
  Guard guard(queue_mutex_);
  return successor_;
}

Status Volume::save_settings() {
  std::string json;
  {
    Guard guard(settings_mutex_);
    if (!settings_are_ours_) return Error(Code::unsupported, place_.vif() + " cannot be parsed, so it is left alone");
    json = settings_.json();
  }
  return around_.disk.replace_file(place_.vif(), json);
}

Status Volume::mark_read_only(bool persist, bool can_delete) {
  Guard marks(marks_mutex_);
  if (const auto next = successor()) return next->mark_read_only(persist, can_delete);
  may_delete_when_marked_ = can_delete;
  marked_read_only_ = true;
  if (!persist) return {};
  {
    Guard guard(settings_mutex_);
    settings_.read_only = true;
    settings_.read_only_can_delete = can_delete;
  }
  return save_settings();
}

Status Volume::set_replica_placement(ReplicaPlacement placement) {
  Guard marks(marks_mutex_);
  if (const auto next = successor()) return next->set_replica_placement(placement);
  std::string before;
  {
    Guard guard(settings_mutex_);
    before = std::exchange(settings_.replication, text(placement));
  }
  if (auto saved = save_settings(); !saved) {
    Guard guard(settings_mutex_);
    settings_.replication = before;
    return saved;
  }
  replica_placement_ = placement.byte();
  return {};
}

Status Volume::mark_writable() {
  Guard marks(marks_mutex_);
  if (const auto next = successor()) return next->mark_writable();
  if (auto may = check_on_disk(); !may) return may;
  bool was_persisted = false;
  {
    Guard guard(settings_mutex_);
    was_persisted = settings_.read_only;
    settings_.read_only = false;
    settings_.read_only_can_delete = false;
  }
  if (was_persisted) {
    if (auto saved = save_settings(); !saved) return saved;
  }
  marked_read_only_ = false;
  damaged_ = false;
  io_errors_ = 0;
  return {};
}

void Volume::note_encoding(const EcShardConfig& config, std::uint64_t dat_bytes) {
  Guard guard(settings_mutex_);
  settings_.ec_shard_config = config;
  settings_.dat_file_size = static_cast<std::int64_t>(dat_bytes);
}

bool Volume::has_vanished() const {
  if (remote_) return false;
  const auto info = around_.disk.info(place_.dat());
  return !info.ok() && info.error().code() == Code::not_found && live_needles() > 0;
}

bool Volume::is_expired(std::uint64_t now_seconds, bool with_grace) const {
  const auto minutes = ttl().minutes();
  if (minutes == 0 || dat_bytes() <= kSuperblockBytes) return false;
  const auto grace = with_grace ? std::min<std::uint64_t>(minutes / 10, 10) : 0;
  const auto modified = static_cast<std::uint64_t>(modified_at_second_.load(std::memory_order_relaxed));
  return now_seconds > modified + (minutes + grace) * 60;
}

void Volume::retire() {
  std::deque<OperationPtr> dropped;
  {
    Guard guard(queue_mutex_);
    retired_ = true;
    dropped.swap(queue_);
    while (writer_at_work_) writer_gone_.wait(queue_mutex_);
  }
  index_.close();
  for (auto& operation : dropped) operation->finish(Error(Code::not_found, "volume " + text(id()) + " not found"));
}

bool Volume::is_retired() const {
  Guard guard(queue_mutex_);
  return retired_;
}

Status Volume::remove_files() {
  Status worst;
  const auto base = place_.base_name();
  const auto drop = [&](const std::string& folder, const char* ext) {
    const auto removed = around_.disk.remove(io::join(folder, base + ext));
    if (!removed && removed.error().code() != Code::not_found) worst = removed;
  };
  // Shards of the volume need its .vif as much as it does.
  const bool encoded = around_.disk.info(io::join(place_.data_folder, base + ".ecx")).ok() ||
                       around_.disk.info(io::join(place_.index_folder, base + ".ecx")).ok();
  // The marker of a vacuum first: without it what a vacuum made is nothing.
  for (const auto* ext : {".cpc", ".cpd", ".cpx", ".dat", ".idx", ".sdx", ".note", ".vif",
                          ReplicaState::kExtension}) {
    if (encoded && std::string_view(ext) == ".vif") continue;
    drop(place_.data_folder, ext);
    if (place_.index_folder != place_.data_folder) drop(place_.index_folder, ext);
  }
  if (auto removed = around_.disk.remove_all(place_.hfidx()); !removed) worst = removed;
  if (auto synced = around_.disk.sync_dir(place_.data_folder); !synced && worst.ok()) worst = synced;
  return worst;
}

Status Volume::sync() {
  if (unwritable_) return {};
  if (auto synced = dat_->sync(); !synced) return synced;
  return idx_->sync();
}

}  // namespace holdfast::volume
