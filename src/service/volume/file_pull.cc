#include "service/volume/file_pull.h"

#include "base/log.h"

namespace holdfast::volume {

Result<client::FileCopied> pull_file(client::VolumeSource& source, const client::FileWish& wish, io::Disk& disk,
                                     const std::string& path, const PullOptions& options) {
  if (auto removed = disk.remove(path); !removed && removed.error().code() != Code::not_found) return removed.error();
  auto file = disk.open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return file.error();
  std::uint64_t at = 0;
  const Cancel::Hook hook(options.cancel, [&source] { source.cancel(); });
  auto copied = source.copy_file(wish, [&](BytesView piece) -> Status {
    if (auto written = (*file)->write(at, piece); !written) return written;
    at += piece.size();
    if (options.moved) options.moved(piece.size());
    if (!options.pacer.pass(piece.size(), options.cancel)) return Error(Code::unavailable, "the copy was called off");
    return {};
  });
  if (!copied) return copied.error();
  if (!copied->is_there) {
    file->reset();
    if (auto removed = disk.remove(path); !removed) return removed.error();
    return copied;
  }
  if (auto synced = (*file)->sync(); !synced) return synced.error();
  file->reset();
  if (copied->modified_ts_ns > 0) {
    const io::WallTime time{std::chrono::nanoseconds(copied->modified_ts_ns)};
    if (auto set = disk.set_modified(path, time); !set) LOG_WARNING("{}", set.error().what());
  }
  return copied;
}

}  // namespace holdfast::volume
