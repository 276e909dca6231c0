// EcClient: what a volume server asks of masters and of other volume servers about erasure-coded volumes: where the
// shards are (LookupEcVolume), pieces of them (VolumeEcShardRead), and that a file is deleted (VolumeEcBlobDelete).
//
// Calls wait for their answers, with bounds on the time. Thread-safe. Connections are kept, one to each server.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/address.h"
#include "model/ids.h"

namespace holdfast::client {

struct ShardHolder {
  std::string url;   // host:port as it reported itself
  std::string grpc;  // host:port to dial
};

class EcClient {
 public:
  static constexpr Duration kLookupMax = std::chrono::seconds(3);
  static constexpr Duration kReadMax = std::chrono::seconds(10);
  static constexpr Duration kDeleteMax = std::chrono::seconds(10);

  EcClient();
  ~EcClient();

  // By shard. Asks one master after the other until one knows; not_found: each that answered says there is no such
  // volume; unavailable: none answered.
  using Holders = std::map<std::uint32_t, std::vector<ShardHolder>>;
  Result<Holders> lookup(const std::vector<Address>& masters, VolumeId volume);

  struct Read {
    std::string server;  // grpc
    std::uint32_t shard = 0;
    std::uint64_t offset = 0;
    std::span<std::uint8_t> out;
  };
  // All at the same time. True: filled; false: the other says that the file is deleted.
  std::vector<Result<bool>> read(VolumeId volume, std::int64_t encode_ts_ns, NeedleId key,
                                 const std::vector<Read>& reads);

  // To all of them at the same time; the first error when one failed.
  Status delete_blob(const std::vector<std::string>& servers, VolumeId volume, const std::string& collection,
                     NeedleId key, std::uint32_t version);

 private:
  struct Servers;
  const std::unique_ptr<Servers> servers_;
};

}  // namespace holdfast::client
