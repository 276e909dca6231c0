// RemoteDat: a .dat that lies in a remote tier, as a file that is only read. One read is one request.
//
// The store is looked up for each read, so it need not be known when the volume is opened. What a store answers becomes
// `unavailable`: whatever is wrong with the bucket, the needle is not gone, and the disk is not to blame.
#pragma once

#include <string>

#include "io/disk.h"
#include "storage/volume/remote_tier.h"
#include "storage/volume/volume_settings.h"

namespace holdfast::volume {

class RemoteDat final : public io::File {
 public:
  // `tier` outlives this.
  RemoteDat(RemoteTier& tier, const RemoteFile& where);

  Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> out) const override;
  Result<std::size_t> read_cached(std::uint64_t offset, std::span<std::uint8_t> out) const override;
  Status write(std::uint64_t offset, BytesView bytes) override;
  Status write_pieces(std::uint64_t offset, std::span<const BytesView> pieces) override;
  Status sync() override { return {}; }
  Result<std::uint64_t> size() const override { return size_; }
  Status truncate(std::uint64_t size) override;
  Status allocate(std::uint64_t offset, std::uint64_t length, bool keep_size) override;
  int descriptor() const override { return -1; }
  const std::string& path() const override { return path_; }

 private:
  Error read_only() const;

  RemoteTier& tier_;
  const std::string name_;
  const std::string key_;
  const std::uint64_t size_;
  const std::string path_;  // "s3.cold:7.dat"
};

}  // namespace holdfast::volume
