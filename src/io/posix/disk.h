// The machine's file systems behind io/disk.h.
#pragma once

#include "io/disk.h"

namespace holdfast::io::posix {

class SystemDisk final : public Disk {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Status make_folder(const std::string& path) override;
  Status remove(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status set_modified(const std::string& path, WallTime time) override;
  Status sync_dir(const std::string& folder) override;
  Result<Space> space(const std::string& path) override;
  Result<std::unique_ptr<FolderLock>> lock(const std::string& path) override;
};

SystemDisk& system_disk();

}  // namespace holdfast::io::posix
