// EcVolume: the shards of one erasure-coded volume that this server has mounted, with the volume's index.
//
// Reading a needle looks it up in the .ecx, reads the pieces of its record from the shards here and from other servers
// (RemoteShards), and makes a piece that nobody has out of pieces of the others. A record whose checksum is wrong is
// made again without each of the shards it came from in turn, so that rot in one shard is not seen by readers.
//
// Deleting appends the key to the .ecj and syncs; the .ecx stays as it is until fold(). Shards may lie in several
// folders; the index is read from one of them and deletions are told to all.
//
// Thread-safe. No lock is held while a disk or the network works, except for the journal's own during a delete.
#pragma once

#include <map>
#include <memory>
#include <unordered_set>
#include <vector>

#include "base/mutex.h"
#include "core/ec/codec.h"
#include "core/ec/layout.h"
#include "model/ec_shards_info.h"
#include "storage/ec/ec_files.h"
#include "storage/ec/remote_shards.h"
#include "storage/ec/sorted_index.h"
#include "storage/volume/reading.h"

namespace holdfast::ec {

class EcVolume : public std::enable_shared_from_this<EcVolume> {
 public:
  // Records above this are assembled on disk instead of in memory.
  static constexpr std::uint64_t kMemoryBytesMax = 8_MiB;

  // Without shards yet. `files` has the .ecx.
  static Result<std::shared_ptr<EcVolume>> open(const volume::Surroundings& around, const EcFiles& files);

  VolumeId id() const { return files_.place().id; }
  const std::string& collection() const { return files_.place().collection; }
  const EcFiles& files() const { return files_; }
  Scheme scheme() const { return codec_.scheme(); }
  std::int64_t encode_ts_ns() const { return encode_ts_ns_; }
  std::uint64_t expire_at_sec() const { return expire_at_sec_; }
  std::uint64_t dat_bytes() const { return dat_bytes_; }  // when encoded; 0: unknown
  std::uint64_t file_count() const { return file_count_; }
  std::uint64_t delete_count() const;

  // --- shards ---
  // Fine when it is mounted already. not_found when the file is missing or empty.
  Status add_shard(const EcFiles& where, ShardId id);
  bool drop_shard(ShardId id);
  ShardBits bits() const;
  std::vector<EcShardsInfo> infos() const;  // one for each folder
  std::map<ShardId, std::uint64_t> shard_sizes() const;

  // --- reading --- may wait for disk and network
  // As Volume::read. `remote` may be null.
  Result<volume::Found> read(NeedleId key, Cookie cookie, RemoteShards* remote);
  // The record's length in the .dat; not_found: absent, with "deleted" when it is.
  Result<volume::IndexRow> find(NeedleId key) const;
  bool is_deleted(NeedleId key) const;
  // A piece of a shard here; short where the shard ends. not_found when it is not mounted.
  Result<std::size_t> read_shard(ShardId id, std::uint64_t offset, std::span<std::uint8_t> out) const;
  std::vector<Piece> pieces(const volume::IndexRow& row) const;
  std::uint64_t record_bytes(const volume::IndexRow& row) const { return volume::record_bytes(row.size, version_); }

  // --- deleting ---
  // not_found when the index does not have it. Fine when it is deleted already.
  Status remove(NeedleId key);

  // All rows of the index, those in the journal as deleted unless `as_encoded`. Code::corrupt when they are not in order.
  Result<std::vector<volume::IndexRow>> rows(bool as_encoded = false) const;

  // Whether the file of this row can be read whole and its crc is right; `here_only`: from the shards on this server,
  // nothing when some of its pieces are elsewhere.
  std::optional<Status> check(const volume::IndexRow& row, bool here_only, RemoteShards* remote) const;

  // Journal into index, in all folders.
  Status fold();

 private:
  struct Shard {
    std::shared_ptr<const io::File> file;
    std::uint64_t bytes = 0;
    volume::VolumePlace place;
  };

  EcVolume(const volume::Surroundings& around, const EcFiles& files, const VolumeSettings& settings);
  std::map<ShardId, Shard> shards() const;
  std::map<std::string, EcFiles> all_files() const;
  Layout layout() const;
  Status fill(std::vector<ShardRange> ranges, NeedleId key, ShardBits avoid, RemoteShards* remote) const;
  Status make(const ShardRange& wanted, NeedleId key, ShardBits avoid, RemoteShards* remote) const;
  Status read_record(const volume::IndexRow& row, std::uint64_t offset, std::span<std::uint8_t> out, ShardBits avoid,
                     RemoteShards* remote) const;
  Result<volume::Found> read_once(const volume::IndexRow& row, ShardBits avoid, RemoteShards* remote) const;
  Result<volume::Found> read_large(const volume::IndexRow& row, ShardBits avoid, RemoteShards* remote) const;

  const volume::Surroundings around_;
  const EcFiles files_;
  const Codec codec_;
  const std::int64_t encode_ts_ns_;
  const std::uint64_t expire_at_sec_;
  const std::uint64_t dat_bytes_;
  const volume::Version version_;
  std::shared_ptr<const io::File> index_;
  std::uint64_t file_count_ = 0;
  NeedleId max_key_;

  mutable Mutex mutex_;  // leaf
  std::map<ShardId, Shard> shards_ HOLDFAST_GUARDED_BY(mutex_);
  std::unordered_set<std::uint64_t> deleted_ HOLDFAST_GUARDED_BY(mutex_);  // ids in the .ecj

  Mutex journal_mutex_;  // one delete at a time; held across I/O
};

}  // namespace holdfast::ec
