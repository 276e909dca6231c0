#include "storage/volume/record_reader.h"

#include <algorithm>

namespace holdfast::volume {
namespace {

constexpr std::size_t kWindowBytes = 256_KiB;  // read ahead, so that small records cost no call each

std::span<std::uint8_t> room_of(std::string& s) { return {reinterpret_cast<std::uint8_t*>(s.data()), s.size()}; }

Error ends_early(std::uint64_t offset) {
  return Error(Code::corrupt, "the record at byte " + std::to_string(offset) + " ends early");
}

// Of one record, by its row.
Result<std::uint64_t> append_time(const Volume& volume, const IndexRow& row) {
  const auto size = std::max(row.size, 0);
  std::uint8_t bytes[8];
  const auto at = row.offset * kAlignment + kHeaderBytes + static_cast<std::uint64_t>(size) + 4;
  const auto got = volume.read_dat(at, bytes);
  if (!got) return got.error();
  if (*got != sizeof bytes) return ends_early(row.offset * kAlignment);
  return load_be<std::uint64_t>(bytes);
}

Result<IndexRow> row_at(const Volume& volume, std::uint64_t number) {
  std::uint8_t bytes[kIndexRowBytes];
  const auto got = volume.read_idx(number * kIndexRowBytes, bytes);
  if (!got) return got.error();
  if (*got != sizeof bytes) return Error(Code::corrupt, "its .idx ends early");
  return parse_row(bytes);
}

// The index's rows are in the order of the .dat and of time as long as no vacuum has sorted them: the first row whose
// record is younger is found by halves.
Result<std::uint64_t> search_rows(const Volume& volume, std::uint64_t since_ns, std::uint64_t dat_end) {
  std::uint64_t low = 0;
  std::uint64_t high = volume.idx_bytes() / kIndexRowBytes;
  const auto rows = high;
  while (low < high) {
    const auto middle = low + (high - low) / 2;
    // A row without a place tells no time; the next one that has does for both.
    auto looked_at = middle;
    std::uint64_t time = UINT64_MAX;
    for (; looked_at < high; looked_at++) {
      const auto row = row_at(volume, looked_at);
      if (!row) return row.error();
      if (row->offset == 0) continue;
      const auto found = append_time(volume, *row);
      if (!found) return found.error();
      time = *found;
      break;
    }
    if (time > since_ns) {
      high = middle;
    } else {
      low = looked_at + 1;
    }
  }
  for (; low < rows; low++) {
    const auto row = row_at(volume, low);
    if (!row) return row.error();
    if (row->offset != 0) return row->offset * kAlignment;
  }
  return dat_end;
}

}  // namespace

RecordReader::RecordReader(std::shared_ptr<const Volume> volume, std::uint64_t offset)
    : volume_(std::move(volume)), at_(offset) {
  refresh();
}

void RecordReader::refresh() { end_ = volume_->dat_bytes(); }

// Makes window_ hold `bytes` bytes at `offset`, or what is there of them.
Status RecordReader::fill(std::uint64_t offset, std::size_t bytes) {
  if (offset >= window_at_ && offset + bytes <= window_at_ + window_.size()) return {};
  window_.resize(std::min<std::uint64_t>(std::max(kWindowBytes, bytes), end_ - std::min(end_, offset)));
  window_at_ = offset;
  const auto got = volume_->read_dat(offset, room_of(window_));
  if (!got) {
    window_.clear();
    return got.error();
  }
  window_.resize(*got);
  return {};
}

Result<std::optional<RecordReader::Record>> RecordReader::next() {
  if (at_ >= end_) return std::optional<Record>();
  if (auto filled = fill(at_, kHeaderBytes); !filled) return filled.error();
  if (at_ + kHeaderBytes > window_at_ + window_.size()) return ends_early(at_);
  Record record{.offset = at_};
  record.header = NeedleHeader::parse(reinterpret_cast<const std::uint8_t*>(window_.data()) + (at_ - window_at_));
  const auto version = volume_->version();
  if (record.header.size < 0) return Error(Code::corrupt, "no record lies at byte " + std::to_string(at_));
  record.bytes = record_bytes(record.header.size, version);
  // Only the padding of the last one may be missing.
  if (record.bytes - padding_bytes(record.header.size, version) > end_ - at_) return ends_early(at_);
  const std::uint64_t crc_at = at_ + kHeaderBytes + static_cast<std::uint64_t>(record.header.size);
  const std::size_t wanted = version == Version::v3 ? 12 : 4;
  if (auto filled = fill(crc_at, wanted); !filled) return filled.error();
  if (crc_at + wanted > window_at_ + window_.size()) return ends_early(at_);
  const auto* const tail = window_.data() + (crc_at - window_at_);
  record.crc = load_be<std::uint32_t>(tail);
  if (version == Version::v3) record.append_at_ns = load_be<std::uint64_t>(tail + 4);
  at_ += record.bytes;
  return std::optional(record);
}

Result<std::string> RecordReader::read(const Volume& volume, std::uint64_t offset, std::int32_t size) {
  const auto version = volume.version();
  const auto end = volume.dat_bytes();
  const auto padding = padding_bytes(std::max(size, 0), version);
  const auto bytes = record_bytes(std::max(size, 0), version);
  if (size < 0 || offset >= end || bytes - padding > end - offset) return Error(Code::invalid, "EOF");
  std::string out(bytes, '\0');
  const auto got = volume.read_dat(offset, room_of(out));
  if (!got) return got.error();
  if (*got < bytes - padding) return Error(Code::corrupt, "EOF");
  return out;
}

Result<std::uint64_t> RecordReader::find_since(const std::shared_ptr<const Volume>& volume, std::uint64_t since_ns) {
  if (volume->version() != Version::v3) {
    return Error(Code::invalid, "volume " + text(volume->id()) + " has no times of writing: its version is " +
                                        std::to_string(static_cast<int>(volume->version())));
  }
  const auto end = volume->dat_bytes();
  if (since_ns == 0) return volume->first_needle();
  if (volume->compact_revision() == 0) return search_rows(*volume, since_ns, end);
  RecordReader reader(volume, volume->first_needle());
  for (;;) {
    const auto record = reader.next();
    if (!record) return record.error();
    if (!*record) return end;
    if ((*record)->append_at_ns > since_ns) return (*record)->offset;
  }
}

}  // namespace holdfast::volume
