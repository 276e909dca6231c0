#include "storage/volume/record_writer.h"

namespace holdfast::volume {

Status RecordWriter::append(BytesView bytes) {
  buffer_ += text_of(bytes);
  dat_end_ += bytes.size();
  return buffer_.size() >= kBufferBytes ? flush_dat() : Status();
}

Status RecordWriter::append_row(const IndexRow& row) {
  volume::append_row(rows_, row);
  idx_end_ += kIndexRowBytes;
  return rows_.size() >= kBufferBytes ? flush_rows() : Status();
}

void RecordWriter::rewind(std::uint64_t dat_end) {
  const auto buffered_from = dat_end_ - buffer_.size();
  buffer_.resize(dat_end <= buffered_from ? 0 : dat_end - buffered_from);
  dat_end_ = dat_end;
}

Status RecordWriter::flush_dat() {
  if (auto written = dat_->write(dat_end_ - buffer_.size(), bytes_of(buffer_)); !written) return written;
  unsynced_ += buffer_.size();
  buffer_.clear();
  if (unsynced_ < kSyncEveryBytes) return {};
  unsynced_ = 0;
  return dat_->sync();
}

Status RecordWriter::flush_rows() {
  if (auto written = idx_->write(idx_end_ - rows_.size(), bytes_of(rows_)); !written) return written;
  rows_.clear();
  return {};
}

Status RecordWriter::make_durable() {
  if (!buffer_.empty()) {
    if (auto flushed = flush_dat(); !flushed) return flushed;
  }
  if (!rows_.empty()) {
    if (auto flushed = flush_rows(); !flushed) return flushed;
  }
  // A large record that was taken back may have left bytes behind the end.
  if (auto cut = dat_->truncate(dat_end_); !cut) return cut;
  if (auto synced = dat_->sync(); !synced) return synced;
  return idx_->sync();
}

}  // namespace holdfast::volume
