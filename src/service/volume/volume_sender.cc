#include "service/volume/volume_sender.h"

#include <algorithm>

#include "storage/volume/record_reader.h"

namespace holdfast::volume {
namespace {

Error gone() { return Error(Code::unavailable, "the caller is gone"); }

std::span<std::uint8_t> room_of(std::string& s) { return {reinterpret_cast<std::uint8_t*>(s.data()), s.size()}; }

// Reads [from, to) piece by piece and gives it on. `read` tells how much it read; less than asked for is the end.
template <typename Read, typename Give>
Status in_pieces(std::uint64_t from, std::uint64_t to, Read read, Give give) {
  std::string piece;
  while (from < to) {
    piece.resize(std::min<std::uint64_t>(VolumeSender::kPieceBytes, to - from));
    const Result<std::size_t> got = read(from, room_of(piece));
    if (!got) return got.error();
    if (*got == 0) return {};
    if (!give(bytes_of(piece).first(*got))) return gone();
    from += *got;
  }
  return {};
}

std::int64_t nanoseconds_of(io::WallTime time) { return time.time_since_epoch().count(); }

}  // namespace

Result<std::shared_ptr<Volume>> VolumeSender::find(VolumeId id) const {
  auto volume = store_.find(id);
  if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
  return volume;
}

// --- files ---

Status VolumeSender::file(const client::FileWish& wish, const SendPiece& send) {
  if (auto named = check_file_name(wish.collection, wish.extension); !named) return named;
  if (!wish.is_ec_volume) {
    const auto volume = find(wish.volume);
    if (!volume) return volume.error();
    if (wish.extension != ".idx") {
      // Two holders of one object would delete it under each other.
      if (auto on_disk = (*volume)->check_on_disk(); !on_disk) return on_disk;
    }
    if (wish.compaction_revision != client::FileWish::kAnyRevision &&
        wish.compaction_revision != (*volume)->compact_revision()) {
      return Error(Code::stale, "volume " + text(wish.volume) + " is compacted");
    }
    // What is copied must outlive a loss of power here as well.
    if (auto synced = (*volume)->sync(); !synced) return synced;
    return send_volume_file(**volume, wish, send);
  }
  const auto path = store_.find_file(wish.collection, wish.volume, wish.extension);
  if (path) return send_path(*path, wish, send);
  if (wish.ignore_missing || wish.stop_offset == 0) return {};
  return Error(Code::not_found, "CopyFile not found ec volume id " + text(wish.volume));
}

// The .dat and the .idx through the volume itself, so that they are of one run between two vacuums.
Status VolumeSender::send_volume_file(const Volume& volume, const client::FileWish& wish, const SendPiece& send) {
  const auto& place = volume.place();
  const bool is_dat = wish.extension == ".dat";
  if (!is_dat && wish.extension != ".idx") {
    auto path = io::join(place.data_folder, place.base_name() + wish.extension);
    if (!disk_.info(path).ok()) path = io::join(place.index_folder, place.base_name() + wish.extension);
    return send_path(path, wish, send);
  }
  const auto info = disk_.info(is_dat ? place.dat() : place.idx());
  std::int64_t time = info ? nanoseconds_of(info->modified) : 0;
  const auto end = std::min(is_dat ? volume.dat_bytes() : volume.idx_bytes(), wish.stop_offset);
  if (end == 0) return send({}, time) ? Status() : gone();
  return in_pieces(
      0, end,
      [&](std::uint64_t at, std::span<std::uint8_t> out) {
        return is_dat ? volume.read_dat(at, out) : volume.read_idx(at, out);
      },
      [&](BytesView bytes) { return send(bytes, std::exchange(time, 0)); });
}

Status VolumeSender::send_path(const std::string& path, const client::FileWish& wish, const SendPiece& send) {
  const auto info = disk_.info(path);
  if (!info && info.error().code() == Code::not_found && (wish.ignore_missing || wish.stop_offset == 0)) return {};
  if (!info) return info.error();
  const auto file = disk_.open(path, {});
  if (!file) return file.error();
  std::int64_t time = nanoseconds_of(info->modified);
  const auto end = std::min(info->size, wish.stop_offset);
  if (end == 0) return send({}, time) ? Status() : gone();
  return in_pieces(
      0, end, [&](std::uint64_t at, std::span<std::uint8_t> out) { return (*file)->read(at, out); },
      [&](BytesView bytes) { return send(bytes, std::exchange(time, 0)); });
}

Status VolumeSender::since(VolumeId id, std::uint64_t since_ns, const SendBytes& send) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  const auto from = RecordReader::find_since(*volume, since_ns);
  if (!from) return from.error();
  return in_pieces(
      *from, (*volume)->dat_bytes(),
      [&](std::uint64_t at, std::span<std::uint8_t> out) { return (*volume)->read_dat(at, out); }, send);
}

// --- needles as they come ---

Status VolumeSender::tail(VolumeId id, std::uint64_t since_ns, std::uint32_t idle_rounds, const SendTail& send,
                          Cancel& cancel) {
  std::shared_ptr<Volume> volume;
  std::optional<RecordReader> reader;
  std::uint64_t newest = since_ns;  // of all that was sent
  std::uint64_t after = since_ns;   // when the reader was put in its place: a vacuum leaves no order of time behind
  for (std::uint32_t idle = 0;;) {
    auto now = find(id);
    if (!now) return now.error();
    if (*now != volume) {  // at first, and after a vacuum or a remount
      volume = *now;
      after = newest;
      const auto from = RecordReader::find_since(volume, after);
      if (!from) return from.error();
      reader.emplace(volume, *from);
    }
    reader->refresh();
    bool any = false;
    for (;;) {
      const auto record = reader->next();
      if (!record) return record.error();
      if (!*record) break;
      const auto& found = **record;
      if (found.append_at_ns <= after) continue;
      TailPiece piece{.version = static_cast<std::uint32_t>(volume->version())};
      if (found.header.size == 0) {
        // A later record of the same key makes either true in the end.
        const auto slot = volume->find(found.header.id);
        const bool is_file = slot && slot->is_live() && slot->offset * kAlignment == found.offset;
        piece.kind = is_file ? client::TailRecord::Kind::file : client::TailRecord::Kind::deletion;
      }
      if (auto sent = send_record(*volume, found.offset, found.bytes, piece, send); !sent) return sent;
      newest = std::max(newest, found.append_at_ns);
      any = true;
    }
    if (!any && !send({.is_last = true, .version = static_cast<std::uint32_t>(volume->version())})) return gone();
    if (!cancel.sleep(kTailRound)) return gone();
    idle = any ? 0 : idle + 1;
    if (idle_rounds > 0 && idle >= idle_rounds) return {};
  }
}

Status VolumeSender::send_record(const Volume& volume, std::uint64_t offset, std::uint64_t bytes, TailPiece piece,
                                 const SendTail& send) {
  std::uint8_t header[kHeaderBytes];
  const auto got = volume.read_dat(offset, header);
  if (!got) return got.error();
  if (*got != sizeof header) return Error(Code::corrupt, "the .dat ends early");
  piece.header = header;
  auto at = offset + kHeaderBytes;
  const auto end = offset + bytes;
  std::string room;
  while (at < end) {
    room.assign(std::min<std::uint64_t>(kPieceBytes, end - at), '\0');  // padding lost in a crash counts as zeros
    const auto read = volume.read_dat(at, room_of(room));
    if (!read) return read.error();
    at += room.size();
    piece.body = bytes_of(room);
    piece.is_last = at == end;
    if (!send(piece)) return gone();
  }
  return {};
}

Status VolumeSender::all_needles(VolumeId id, const SendNeedle& send) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  RecordReader reader(*volume, (*volume)->first_needle());
  for (;;) {
    const auto record = reader.next();
    if (!record) return record.error();
    if (!*record) return {};
    const auto& found = **record;
    const auto slot = (*volume)->find(found.header.id);
    if (!slot || !slot->is_live() || slot->offset * kAlignment != found.offset) continue;
    const auto bytes = RecordReader::read(**volume, found.offset, found.header.size);
    if (!bytes) return bytes.error();
    const auto needle = parse(bytes_of(*bytes), found.header.size, (*volume)->version());
    if (!needle) return needle.error();
    if (!send(*needle)) return gone();
  }
}

// --- one needle ---

Result<std::string> VolumeSender::blob(VolumeId id, std::int64_t offset, std::int32_t size) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  auto bytes = offset < 0 ? Result<std::string>(Error(Code::invalid, "negative offset"))
                          : RecordReader::read(**volume, static_cast<std::uint64_t>(offset), size);
  if (!bytes) {
    return bytes.error().at("read needle blob offset " + std::to_string(offset) + " size " + std::to_string(size));
  }
  return bytes;
}

Result<VolumeSender::Looked> VolumeSender::needle_at(VolumeId id, std::int64_t offset, std::int32_t size) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  if (offset < 0) return Error(Code::invalid, "negative offset " + std::to_string(offset));
  size = std::max(size, 0);  // a deleted one's
  auto bytes = RecordReader::read(**volume, static_cast<std::uint64_t>(offset), size);
  if (!bytes) return bytes.error().at("read needle meta offset " + std::to_string(offset));
  Looked out{.record = std::move(*bytes)};
  const auto needle = parse(bytes_of(out.record), size, (*volume)->version());
  if (!needle) return needle.error();
  out.needle = *needle;
  return out;
}

Result<VolumeSender::Looked> VolumeSender::needle(VolumeId id, NeedleId key) {
  const auto volume = find(id);
  if (!volume) return Error(Code::not_found, "volume not found " + text(id));
  const auto slot = (*volume)->find(key);
  if (!slot || !slot->is_live()) return Error(Code::not_found, "needle not found " + std::to_string(key.value()));
  return needle_at(id, static_cast<std::int64_t>(slot->offset * kAlignment), slot->size);
}

}  // namespace holdfast::volume
