// FaultyDisk: the real disk, but its syncs can be made slow or broken, and it can be made full.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "io/posix/disk.h"

namespace holdfast::test {

class FaultyDisk final : public io::Disk {
 public:
  std::atomic<std::int64_t> sync_delay_ns{0};
  std::atomic<bool> sync_fails{false};
  std::atomic<int> syncing{0};  // how many are under way
  std::atomic<bool> full{false};

  Result<std::unique_ptr<io::File>> open(const std::string& path, io::OpenOptions options) override {
    auto file = real_.open(path, options);
    if (!file) return file.error();
    return std::unique_ptr<io::File>(std::make_unique<FaultyFile>(*this, std::move(*file)));
  }
  Result<io::FileInfo> info(const std::string& path) override { return real_.info(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return real_.list(folder); }
  Status make_folder(const std::string& path) override { return real_.make_folder(path); }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status rename(const std::string& from, const std::string& to) override { return real_.rename(from, to); }
  Status sync_dir(const std::string& folder) override { return real_.sync_dir(folder); }
  Result<io::Space> space(const std::string& path) override { return real_.space(path); }
  Result<std::unique_ptr<io::FolderLock>> lock(const std::string& path) override { return real_.lock(path); }

 private:
  class FaultyFile final : public io::File {
   public:
    FaultyFile(FaultyDisk& disk, std::unique_ptr<io::File> real) : disk_(disk), real_(std::move(real)) {}
    Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> out) const override {
      return real_->read(offset, out);
    }
    Result<std::size_t> read_cached(std::uint64_t offset, std::span<std::uint8_t> out) const override {
      return real_->read_cached(offset, out);
    }
    Status write(std::uint64_t offset, BytesView bytes) override { return real_->write(offset, bytes); }
    Status write_pieces(std::uint64_t offset, std::span<const BytesView> pieces) override {
      return real_->write_pieces(offset, pieces);
    }
    Status sync() override {
      // In slices, so that a test may end the delay.
      ++disk_.syncing;
      for (std::int64_t slept = 0; slept < disk_.sync_delay_ns; slept += 1'000'000) std::this_thread::sleep_for(1ms);
      --disk_.syncing;
      if (disk_.sync_fails) return Error{Code::io, "sync " + path() + ": EIO"};
      return real_->sync();
    }
    Result<std::uint64_t> size() const override { return real_->size(); }
    Status truncate(std::uint64_t size) override { return real_->truncate(size); }
    Status allocate(std::uint64_t offset, std::uint64_t length, bool keep_size) override {
      if (disk_.full) return Error{Code::no_space, "allocate " + path() + ": disk full"};
      return real_->allocate(offset, length, keep_size);
    }
    int descriptor() const override { return -1; }
    const std::string& path() const override { return real_->path(); }

   private:
    FaultyDisk& disk_;
    const std::unique_ptr<io::File> real_;
  };

  io::posix::SystemDisk real_;
};

}  // namespace holdfast::test
