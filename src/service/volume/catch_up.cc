#include "service/volume/catch_up.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "core/volume/needle.h"

namespace holdfast::volume {

namespace {

constexpr const char* kTailExtension = ".tmp";  // behind .dat: the store removes one that a crash has left
constexpr std::size_t kPieceBytes = 1_MiB;
constexpr std::size_t kCrcBytes = 4;

std::uint64_t begin_of(const IndexRow& row) { return row.offset * kAlignment; }
std::int32_t size_of(const IndexRow& row) { return std::max(row.size, 0); }

Error not_the_beginning(const std::string& why) { return Error(Code::refused, "the copy here is not the beginning of the other one: " + why); }

}  // namespace

Result<std::uint64_t> CatchUp::run(const std::function<void()>& changed) {
  if (volume_->replica().outdated_by() != 0) return Error(Code::refused, "the copy here is outdated");
  if (volume_->is_read_only()) return Error(Code::refused, "the copy here is read-only: " + volume_->read_only_reason());
  const Cancel::Hook hook(cancel_, [this] { source_.cancel(); });
  auto remote = source_.status(volume_->id());
  if (!remote) return remote.error();
  remote_ = std::move(*remote);
  volume_->settle_writes();
  dat_bytes_ = volume_->dat_bytes();
  idx_bytes_ = volume_->idx_bytes();
  if (remote_.compaction_revision != volume_->compact_revision() || remote_.version != static_cast<std::uint32_t>(volume_->version())) {
    return not_the_beginning("one of them was compacted");
  }
  if (remote_.dat_bytes <= dat_bytes_ || remote_.idx_bytes <= idx_bytes_) return not_the_beginning("that one is not longer");

  const auto path = volume_->place().dat() + kTailExtension;
  auto tail = disk_.open(path, {.write = true, .create = true, .truncate = true});
  if (!tail) return tail.error();
  tail_ = std::move(*tail);
  Status done = look_at_index();
  if (done) done = look_at_data();
  if (done) done = check_tail();
  if (done) {
    const auto taken = store_.unmount(volume_->id());
    changed();
    done = taken == volume_ ? append() : Status(Error(Code::stale, "another volume has taken the copy's place meanwhile"));
    if (taken) {  // else somebody has unmounted or removed it
      if (auto mounted = store_.mount(volume_->id()); !mounted) {
        LOG_ERROR("volume {}: not served any more after it was mended: {}", text(volume_->id()), mounted.error().what());
        done = mounted.error();
      }
      changed();
    }
  }
  tail_.reset();
  if (auto removed = disk_.remove(path); !removed) LOG_WARNING("{}", removed.error().what());
  if (!done) return done.error();
  return remote_.dat_bytes - dat_bytes_;
}

Status CatchUp::fetch(const char* extension, std::uint64_t bytes, const std::function<Status(BytesView)>& take) {
  std::uint64_t got = 0;
  const auto copied = source_.copy_file({.volume = volume_->id(),
                                         .collection = remote_.collection,
                                         .extension = extension,
                                         .compaction_revision = remote_.compaction_revision,
                                         .stop_offset = bytes},
                                        [&](BytesView piece) -> Status {
                                          if (auto taken = take(piece); !taken) return taken;
                                          got += piece.size();
                                          return pacer_.pass(piece.size(), cancel_) ? Status() : Error(Code::unavailable, "called off");
                                        });
  if (!copied) return copied.error();
  if (got != bytes) return Error(Code::corrupt, fmt::format("{} bytes of the other copy's {} were to come, and {} came", bytes, extension, got));
  return {};
}

Status CatchUp::look_at_index() {
  std::string mine(idx_bytes_, '\0');
  const auto got = volume_->read_idx(0, {reinterpret_cast<std::uint8_t*>(mine.data()), mine.size()});
  if (!got) return got.error();
  if (*got != mine.size()) return Error(Code::stale, "the index here became shorter");
  std::string theirs;
  const auto fetched = fetch(".idx", remote_.idx_bytes, [&](BytesView piece) -> Status {
    theirs += text_of(piece);
    return {};
  });
  if (!fetched) return fetched;
  if (!theirs.starts_with(mine)) return not_the_beginning("their indexes differ");
  for (std::size_t at = 0; at + kIndexRowBytes <= theirs.size(); at += kIndexRowBytes) {
    const auto row = parse_row(reinterpret_cast<const std::uint8_t*>(theirs.data()) + at);
    const auto end = begin_of(row) + record_bytes(size_of(row), volume_->version());
    if (at >= idx_bytes_) {
      // Rows of records behind what is fetched, and deletions without a record, which nobody writes any more.
      if (row.offset == 0 || begin_of(row) < dat_bytes_ || end > remote_.dat_bytes) break;
      rows_.push_back(row);
    } else if (row.offset != 0) {
      holes_.push_back({begin_of(row) + kHeaderBytes + static_cast<std::uint64_t>(size_of(row)) + kCrcBytes, end});
    }
  }
  if (rows_.empty()) return not_the_beginning("what that one has more is in no index");
  std::sort(holes_.begin(), holes_.end(), [](const Hole& a, const Hole& b) { return a.begin < b.begin; });
  // Up to there, and no further: what lies behind the last row is not known to be whole.
  remote_.dat_bytes = begin_of(rows_.back()) + record_bytes(size_of(rows_.back()), volume_->version());
  return {};
}

void CatchUp::blank(std::uint64_t at, std::span<std::uint8_t> bytes) const {
  auto hole = std::partition_point(holes_.begin(), holes_.end(), [&](const Hole& one) { return one.end <= at; });
  for (; hole != holes_.end() && hole->begin < at + bytes.size(); ++hole) {
    const auto begin = std::max(hole->begin, at) - at;
    const auto end = std::min(hole->end, at + bytes.size()) - at;
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.begin() + static_cast<std::ptrdiff_t>(end), std::uint8_t{0});
  }
}

Status CatchUp::compare(std::uint64_t at, BytesView theirs) {
  std::vector<std::uint8_t> mine(theirs.size()), other(theirs.begin(), theirs.end());
  const auto got = volume_->read_dat(at, mine);
  if (!got) return got.error();
  blank(at, mine);
  blank(at, other);
  if (*got != mine.size() || mine != other) return not_the_beginning("their data differ before byte " + std::to_string(at + theirs.size()));
  return {};
}

Status CatchUp::look_at_data() {
  std::uint64_t at = 0;
  return fetch(".dat", remote_.dat_bytes, [&](BytesView piece) -> Status {
    const auto before = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), dat_bytes_ - std::min(at, dat_bytes_)));
    if (before > 0) {
      if (auto same = compare(at, piece.first(before)); !same) return same;
    }
    if (before < piece.size()) {
      if (auto kept = tail_->write(at + before - dat_bytes_, piece.subspan(before)); !kept) return kept;
    }
    at += piece.size();
    return {};
  });
}

// Every record of it whole, as the other copy's index has it, and one behind the other.
Status CatchUp::check_tail() const {
  const auto damaged = [](const IndexRow& row, const std::string& why) {
    return Error(Code::refused, fmt::format("key {:x} of the other copy is damaged, and nothing was taken of it: {}", row.key.value(), why));
  };
  std::uint64_t at = dat_bytes_;
  std::vector<std::uint8_t> room;
  for (const IndexRow& row : rows_) {
    if (begin_of(row) != at) return damaged(row, "its record is not where the one before it ends");
    room.resize(record_bytes(size_of(row), volume_->version()));
    const auto got = tail_->read(at - dat_bytes_, room);
    if (!got) return got.error();
    if (*got != room.size()) return damaged(row, "it ends too early");
    const auto needle = parse(room, size_of(row), volume_->version());
    if (!needle) return damaged(row, needle.error().what());
    if (needle->id != row.key) return damaged(row, "another key stands in its record");
    if (row.size > 0 && !check_data(*needle)) return damaged(row, "its checksum is wrong");
    at += room.size();
  }
  return {};
}

// The volume is not served now, and nothing else opens its files.
Status CatchUp::append() {
  if (volume_->dat_bytes() != dat_bytes_ || volume_->idx_bytes() != idx_bytes_) return Error(Code::stale, "the copy here was written to meanwhile");
  auto dat = disk_.open(volume_->place().dat(), {.write = true});
  if (!dat) return dat.error();
  std::vector<std::uint8_t> piece(kPieceBytes);
  for (std::uint64_t at = dat_bytes_; at < remote_.dat_bytes;) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), remote_.dat_bytes - at));
    const std::span<std::uint8_t> room(piece.data(), n);
    const auto got = tail_->read(at - dat_bytes_, room);
    if (!got) return got.error();
    if (*got != n) return Error(Code::corrupt, "what was fetched became shorter");
    if (auto written = (*dat)->write(at, room); !written) return written;
    at += n;
  }
  if (auto synced = (*dat)->sync(); !synced) return synced;
  // Rows after their records, as ever; those that are missing after a crash are made anew from the .dat.
  std::string rows;
  for (const IndexRow& row : rows_) append_row(rows, row);
  return append_rows(rows);
}

Status CatchUp::append_rows(std::string_view rows) const {
  auto idx = disk_.open(volume_->place().idx(), {.write = true});
  if (!idx) return idx.error();
  if (auto written = (*idx)->write(idx_bytes_, bytes_of(rows)); !written) return written;
  return (*idx)->sync();
}

}  // namespace holdfast::volume
