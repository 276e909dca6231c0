#include "storage/volume/spool.h"

#include <unistd.h>

#include <atomic>

#include "base/crc32c.h"

namespace holdfast::volume {

Result<std::shared_ptr<Spool>> Spool::make(io::Disk& disk, const std::string& folder) {
  static std::atomic<std::uint64_t> made{0};
  const auto path = io::join(folder, ".upload-" + std::to_string(::getpid()) + "-" + std::to_string(made++));
  auto file = disk.open(path, {.write = true, .create = true, .exclusive = true});
  if (!file) return file.error();
  if (auto removed = disk.remove(path); !removed) return removed.error();
  return std::shared_ptr<Spool>(new Spool(std::move(*file)));
}

Status Spool::append(BytesView bytes) {
  if (auto written = file_->write(size_, bytes); !written) return written;
  size_ += bytes.size();
  crc_ = crc32c(bytes, crc_);
  return {};
}

Status Spool::read(std::uint64_t offset, std::span<std::uint8_t> out) const {
  const auto got = file_->read(offset, out);
  if (!got) return got.error();
  if (*got != out.size()) return Error(Code::io, "the upload's spool ends early");
  return {};
}

}  // namespace holdfast::volume
