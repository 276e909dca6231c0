#include "service/volume/tier_mover.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "service/volume/pacer.h"
#include "service/volume/scrub.h"

namespace holdfast::volume {
namespace {

constexpr std::uint64_t kPieceBytes = 16_MiB;   // brought down by one request
constexpr std::uint64_t kCompareBytes = 256_KiB;
constexpr std::uint64_t kCompared = 16;         // pieces of so many bytes, the first and the last among them

std::span<std::uint8_t> room_of(std::string& s) { return {reinterpret_cast<std::uint8_t*>(s.data()), s.size()}; }

float percent_of(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 100.0f : static_cast<float>(100.0 * static_cast<double>(part) / static_cast<double>(all));
}

// What the end of the name of an object tells it from others of the same volume: no key is used twice.
std::string unique(io::Random& random) { return text(random.uuid()); }

}  // namespace

// One move of a volume at a time.
class TierMover::Claim {
 public:
  Claim(TierMover& mover, VolumeId id) : mover_(mover), id_(id) {
    Guard guard(mover_.mutex_);
    is_mine_ = mover_.moving_.insert(id).second;
  }
  ~Claim() {
    Guard guard(mover_.mutex_);
    if (is_mine_) mover_.moving_.erase(id_);
  }
  Claim(const Claim&) = delete;

  VolumeId id() const { return id_; }
  Status check() const {
    if (is_mine_) return {};
    return Error(Code::busy, "volume " + text(id_) + " is on its way to or from a remote tier already");
  }

 private:
  TierMover& mover_;
  const VolumeId id_;
  bool is_mine_ = false;
};

Result<std::shared_ptr<Volume>> TierMover::begin(const Claim& claim, const std::string& collection, const OrderFence& fence) const {
  const auto id = claim.id();
  if (auto mine = claim.check(); !mine) return mine.error();
  if (auto may = world_.admit(fence, id); !may) return may.error();
  auto volume = world_.store.find(id);
  if (!volume) return Error(Code::not_found, "volume " + text(id) + " not found");
  if (volume->place().collection != collection) {
    return Error(Code::invalid, fmt::format("existing collection name:{} unexpected input: {}", volume->place().collection, collection));
  }
  return volume;
}

// --- up ---

Status TierMover::upload(const Upload& wish, const OrderFence& fence, const Progress& progress) {
  const Claim claim(*this, wish.id);
  const auto volume = begin(claim, wish.collection, fence);
  if (!volume) return volume.error();
  const auto name = "volume " + text(wish.id);
  const auto store = world_.tier.find(wish.backend);
  if (!store) return store.error();
  if (const auto* there = (*volume)->remote()) {
    if (there->backend_name() != wish.backend) {
      return Error(Code::invalid, name + " lies in " + there->backend_name() + " already: bring it back first, with volume.tier.download");
    }
    if (wish.keep_dat || !world_.disk.info((*volume)->place().dat()).ok()) return {};
    const auto dat = world_.disk.open((*volume)->place().dat(), {});
    if (!dat) return dat.error();
    if (auto same = compare(**dat, *there, **store); !same) return same.error().at(name);
    return remove_dat(**volume);
  }
  if (!(*volume)->is_read_only()) {
    return Error(Code::refused, name + " takes writes, which would be lost: mark it read-only first (volume.mark -readonly)");
  }
  if (!(*volume)->ttl().is_none()) {
    return Error(Code::refused, name + " has a ttl of " + text((*volume)->ttl()) + ": it is deleted as a whole when that is over, and stays on the disk until then");
  }
  const auto file = carry_up(**volume, wish.backend, **store, progress);
  if (!file) return file.error().at(name);
  const auto moved = world_.store.switch_tier(*volume, [&](const TierSwitch::Publish& publish) {
    return TierSwitch::to_remote(*volume, *file, wish.keep_dat, publish);
  });
  if (!moved) {
    if (moved.error().code() != Code::outcome_unknown) remove_object(wish.id, *file);
    return moved.error();
  }
  LOG_INFO("volume {}: its {} bytes lie in {} now, as {}{}", text(wish.id), file->file_size, wish.backend, file->key,
           wish.keep_dat ? ", and on the disk" : "");
  world_.changed();
  if (wish.keep_dat) return {};
  return remove_dat(**moved);
}

// What the volume holds now, in the tier, compared.
Result<RemoteFile> TierMover::carry_up(Volume& volume, const std::string& backend, io::ObjectStore& store, const Progress& progress) {
  volume.settle_writes();
  if (auto synced = volume.sync(); !synced) return synced.error();
  const auto dat = world_.disk.open(volume.place().dat(), {});
  if (!dat) return dat.error();
  const auto dot = backend.find('.');
  RemoteFile file{.backend_type = backend.substr(0, dot),
                  .backend_id = dot == std::string::npos ? "default" : backend.substr(dot + 1),
                  .key = volume.place().base_name() + "-" + unique(world_.random) + ".dat",
                  .file_size = volume.dat_bytes(),
                  .modified_time = static_cast<std::uint64_t>(volume.info().modified_at_second),
                  .extension = ".dat"};
  const auto sent = store.put(file.key, **dat, file.file_size, [&](std::uint64_t bytes) {
    return progress(bytes, percent_of(bytes, file.file_size));
  });
  auto done = sent ? compare(**dat, file, store) : sent;
  if (done && !progress(file.file_size, 100)) done = Error(Code::unavailable, "the caller is gone");
  if (done) return file;
  if (sent || sent.error().code() == Code::unavailable) remove_object(volume.id(), file);  // it may be there all the same
  return done.error();
}

// Its length, and pieces from all over it. What arrived was held against a checksum by the store.
Status TierMover::compare(const io::File& dat, const RemoteFile& file, io::ObjectStore& store) const {
  const auto bytes = store.size(file.key);
  if (!bytes) return bytes.error();
  if (*bytes != file.file_size) {
    return Error(Code::corrupt, fmt::format("{} in {} has {} bytes, and {} on the disk", file.key, file.backend_name(), *bytes, file.file_size));
  }
  const auto piece = std::min(kCompareBytes, file.file_size);
  std::string ours(piece, '\0');
  std::string theirs(piece, '\0');
  for (std::uint64_t i = 0; i < kCompared; i++) {
    const auto at = (file.file_size - piece) / (kCompared - 1) * i + (i + 1 == kCompared ? (file.file_size - piece) % (kCompared - 1) : 0);
    const auto got = dat.read(at, room_of(ours));
    if (!got) return got.error();
    if (auto read = store.read(file.key, at, room_of(theirs)); !read) return read;
    if (*got != piece || ours != theirs) {
      return Error(Code::corrupt, fmt::format("{} in {} is not what lies on the disk, at byte {}", file.key, file.backend_name(), at));
    }
  }
  return {};
}

Status TierMover::remove_dat(const Volume& volume) {
  auto removed = world_.disk.remove(volume.place().dat());
  if (removed) removed = world_.disk.sync_dir(volume.place().data_folder);
  if (removed || removed.error().code() == Code::not_found) return {};
  return removed.error().at("volume " + text(volume.id()) + " lies in its tier, but the .dat on the disk stays: do the same again");
}

void TierMover::remove_object(VolumeId id, const RemoteFile& file) {
  const auto store = world_.tier.find(file.backend_name());
  const auto removed = store ? (*store)->remove(file.key) : Status(store.error());
  if (removed) return;
  LOG_WARNING("volume {}: {} may be left in {}, and nothing refers to it any more: remove it there ({})", text(id), file.key,
              file.backend_name(), removed.error().what());
}

// --- down ---

Status TierMover::download(const Download& wish, const OrderFence& fence, const Progress& progress, Cancel& cancel) {
  const Claim claim(*this, wish.id);
  const auto volume = begin(claim, wish.collection, fence);
  if (!volume) return volume.error();
  const auto name = "volume " + text(wish.id);
  if ((*volume)->remote() == nullptr) return Error(Code::invalid, name + " lies on the disk already");
  const auto file = *(*volume)->remote();
  const auto store = world_.tier.find(file.backend_name());
  if (!store) return store.error();
  if (auto carried = carry_down(**volume, file, **store, progress); !carried) return carried.error().at(name);
  const auto moved = world_.store.switch_tier(*volume, [&](const TierSwitch::Publish& publish) {
    return TierSwitch::to_disk(*volume, publish);
  });
  if (!moved) return moved.error();
  LOG_INFO("volume {}: its {} bytes are back from {}", text(wish.id), file.file_size, file.backend_name());
  world_.changed();
  if (wish.keep_object) return {};
  Pacer pacer(world_.clock, 0);
  const auto scrubbed = scrub(*moved, ScrubMode::full, pacer, cancel);
  const auto stays = name + " is back on the disk, and " + file.key + " stays in " + file.backend_name();
  if (!scrubbed) return scrubbed.error().at(stays);
  if (scrubbed->is_broken) {
    return Error(Code::corrupt, stays + ", for what came back is damaged: " + (scrubbed->details.empty() ? "" : scrubbed->details[0]));
  }
  if (auto removed = (*store)->remove(file.key); !removed) return removed.error().at(stays);
  return {};
}

Status TierMover::carry_down(const Volume& volume, const RemoteFile& file, io::ObjectStore& store, const Progress& progress) {
  auto& disk = world_.disk;
  const auto& place = volume.place();
  if (const auto there = disk.info(place.dat())) {
    if (there->size == file.file_size) return {};  // kept, or brought down before
    return Error(Code::already_exists, fmt::format("{} of {} bytes is there, and {} in {} has {}: move the one on the disk away first",
                                                   place.dat(), there->size, file.key, file.backend_name(), file.file_size));
  }
  const auto space = disk.space(place.data_folder);
  if (!space) return space.error();
  if (space->free < file.file_size) {
    return Error(Code::no_space, fmt::format("{} bytes are needed, {} are free in {}", file.file_size, space->free, place.data_folder));
  }
  const auto made = place.dat() + ".tmp";
  const auto carry = [&]() -> Status {
    const auto out = disk.open(made, {.write = true, .create = true, .truncate = true});
    if (!out) return out.error();
    std::string piece;
    for (std::uint64_t at = 0; at < file.file_size; at += piece.size()) {
      piece.resize(std::min(kPieceBytes, file.file_size - at));
      if (auto read = store.read(file.key, at, room_of(piece)); !read) return read;
      if (auto written = (*out)->write(at, bytes_of(piece)); !written) return written;
      if (!progress(at + piece.size(), percent_of(at + piece.size(), file.file_size))) return Error(Code::unavailable, "the caller is gone");
    }
    if (auto synced = (*out)->sync(); !synced) return synced;
    if (auto named = disk.rename(made, place.dat()); !named) return named;
    return disk.sync_dir(place.data_folder);
  };
  auto carried = carry();
  if (!carried) (void)disk.remove(made);
  return carried;
}

}  // namespace holdfast::volume
