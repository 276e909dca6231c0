// Volume: one .dat with its .idx and .vif, open for reading and appending (spec/volume-format).
//
// Reading. A lookup takes a lock for as long as the map takes to answer (about 100 ns) and no lock at all while the
// disk works: what lies in a .dat never changes. An index on disk is looked up without a lock, on an event loop only as
// far as its blocks are in memory; all that writes to such a volume goes to the pool.
//
// Writing. put() and remove() queue their work. Whoever finds no writer at work becomes the writer and carries out what
// queues up meanwhile too: one pwritev for the .dat, one write for the .idx, at most one sync, then the map, then each
// `done`. So there is one writer at a time, and many small appends cost few system calls. A thread that must not block
// passes the writing on to the pool as soon as something needs the disk: a sync, an old needle to compare with, a
// spooled body, or a disk that was slow lately.
//
// What is acknowledged survives kill -9 (it is in the page cache), and with `fsync` a loss of power. The .idx is never
// synced for a write: opening scans the .dat from the last indexed record on and indexes again what is whole
// (volume_loader.cc).
//
// Trouble. A failed append is cut off again, and when that fails too the volume becomes read-only. After a failed sync
// nobody knows what is on disk: the batch is cut off and the volume is read-only. Three I/O errors in a row put it in
// quarantine: read-only, and no longer reported to the masters.
//
// Vacuum. A .dat never changes but at its end, so a vacuum makes another Volume of what is live (compaction.h), and the
// store puts that into this one's place. This one hands over its queue and its marks to its successor and passes on to
// it whatever still comes; reads under way go on in the old file, which lives as long as they do.
//
// Remote tier. A .dat may lie in a store outside the cluster (remote_dat.h): then the volume takes no writes, a deletion is
// a row of the .idx alone, and reads ask the store for the needle's range. tier_switch.h takes volumes there and back.
//
// Thread-safe. Shared by the store's table and by what is under way on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/mutex.h"
#include "base/result.h"
#include "core/volume/needle.h"
#include "core/volume/needle_map.h"
#include "core/volume/superblock.h"
#include "io/clock.h"
#include "io/disk.h"
#include "model/volume_info.h"
#include "storage/volume/reading.h"
#include "storage/volume/remote_tier.h"
#include "storage/volume/replica_state.h"
#include "storage/volume/spool.h"
#include "storage/volume/volume_index.h"
#include "storage/volume/volume_settings.h"
#include "storage/volume/work_pool.h"

namespace holdfast::volume {

// What volumes need of the world; outlives them.
struct Surroundings {
  io::Disk& disk;
  io::Clock& clock;
  WorkPool& pool;
  const IndexCaches* index_caches = nullptr;  // for indexes on disk; null: they are kept in memory (volume_index.h)
  RemoteTier* tier = nullptr;  // for volumes whose .dat lies in one; null: they are not opened
};

// Where a volume lies and what it is called.
struct VolumePlace {
  VolumeId id;
  std::string collection;
  std::string data_folder;
  std::string index_folder;  // may be the same
  std::string disk_type;
  std::uint32_t disk_id = 0;

  std::string base_name() const;  // "7" or "pics_7"
  std::string dat() const;
  std::string idx() const;
  std::string vif() const;
  std::string hfe() const;  // replica_state.h
  std::string hfidx() const;  // volume_index.h
};

struct Put {
  // id, cookie, data, flags, name, mime, pairs, last_modified, ttl; what it points to stays until `done`.
  NeedleView needle;
  std::shared_ptr<const Spool> spool;  // instead of needle.data
  bool fsync = false;
  bool inherit_cookie = false;  // a cookie of 0 takes the old needle's
  bool check_cookie = true;     // false: another cookie than the old needle's takes its place (copies of needles)
  std::optional<std::uint64_t> epoch;  // that of the copies it is written to (replica_state.h); nothing: only here

  struct Outcome {
    bool unchanged = false;  // the same cookie and bytes were live already: nothing was appended
    std::uint32_t crc = 0;   // of the data as stored
    std::int32_t size = 0;   // the needle's size field
  };
  std::function<void(Result<Outcome>)> done;
};

struct Remove {
  NeedleId id;
  Cookie cookie;
  bool check_cookie = true;
  bool fsync = false;
  std::optional<std::uint64_t> epoch;  // as of a put
  // The removed needle's size field. not_found: absent, deleted, expired or unreadable; refused: another cookie.
  std::function<void(Result<std::int32_t>)> done;
};

class Volume : public std::enable_shared_from_this<Volume> {
 public:
  // A batch is cut at either bound, so that the first of it does not wait long for the last.
  static constexpr std::size_t kBatchPutsMax = 128;
  static constexpr std::uint64_t kBatchBytesMax = 4_MiB;
  // With 4-byte offsets a needle must begin below this.
  static constexpr std::uint64_t kDatBytesMax = 32_GiB;
  static constexpr int kIoErrorsMax = 3;
  // A record up to this many bytes comes from a remote tier by one request; the data of larger ones in pieces of so many.
  static constexpr std::uint64_t kFetchBytes = 4_MiB;
  // Appends this large, or after one that took this long, leave the event loop alone.
  static constexpr std::uint64_t kLoopAppendBytesMax = 1_MiB;
  static constexpr Duration kSlowAppend = 10ms;
  static constexpr Duration kSlowMemory = 5s;
  // More waiting than this is answered with Code::busy.
  static constexpr std::size_t kWaitingMax = 8192;

  struct Creation {
    ReplicaPlacement replica_placement;
    Ttl ttl;
    Version version = Version::v3;
    std::uint64_t preallocate_bytes = 0;
  };

  // Makes the files, durable by name; already_exists when a .dat or .idx is there.
  static Result<std::shared_ptr<Volume>> create(const Surroundings& around, const VolumePlace& place,
                                                const Creation& creation);

  // Opens what is there and mends it, see volume_loader.h. Code::unsupported: not for this build; the files stay.
  static Result<std::shared_ptr<Volume>> open(const Surroundings& around, const VolumePlace& place);

  ~Volume();

  // --- reading ---
  ReadNow read_now(NeedleId key, Cookie cookie, ReadOptions options, ReadBuffer& buffer, Found& out);
  Result<Found> read(NeedleId key, Cookie cookie, ReadOptions options);  // may wait for the disk
  std::optional<Slot> find(NeedleId key) const;

  // --- for copies --- All may wait for the disk. What lies before dat_bytes() and idx_bytes() never changes while this
  // object lives, also when the files lose their names. A count is short only where the file ends.
  Result<std::size_t> read_dat(std::uint64_t offset, std::span<std::uint8_t> out) const;
  Result<std::size_t> read_idx(std::uint64_t offset, std::span<std::uint8_t> out) const;
  std::uint64_t first_needle() const;  // where the first record lies
  std::uint16_t compact_revision() const { return superblock_.compact_revision; }

  // --- writing --- `may_block`: the caller's thread may wait for the disk. `done` may be called before these return.
  void put(Put put, bool may_block);
  void remove(Remove remove, bool may_block);

  // --- state ---
  VolumeId id() const { return place_.id; }
  const VolumePlace& place() const { return place_; }
  Version version() const { return superblock_.version; }
  ReplicaPlacement replica_placement() const { return ReplicaPlacement::from_byte(replica_placement_); }
  Ttl ttl() const { return superblock_.ttl; }
  VolumeInfo info() const;
  std::uint64_t dat_bytes() const { return dat_end_.load(std::memory_order_relaxed); }
  std::uint64_t idx_bytes() const { return idx_end_.load(std::memory_order_relaxed); }
  std::uint64_t last_append_at_ns() const { return last_append_at_ns_.load(std::memory_order_relaxed); }
  std::size_t live_needles() const;
  std::size_t index_memory_bytes() const;
  bool has_index_on_disk() const { return index_.is_on_disk(); }
  // Where its .dat lies when that is a remote tier; else null. Constant.
  const RemoteFile* remote() const { return remote_ ? &*remote_ : nullptr; }
  // An error that names the tier and what to do, for what is done with a .dat on the disk alone.
  Status check_on_disk() const;
  // Where read() and the like are to be called: they wait for the disk, or for the tier.
  WorkPool& pool() const { return remote_ ? around_.tier->pool() : around_.pool; }
  void tend_index() { index_.tend(); }  // every few seconds; may wait for the disk

  // --- copies of it elsewhere ---
  ReplicaState& replica() const { return *replica_; }
  // Nothing is written from now on, until the freeze is over; waits for what is being written. Not on the pool's threads.
  Status freeze(std::uint64_t token, Duration time);
  // Waits for what is being written. Not on the pool's threads.
  void settle_writes() { drain(); }

  // --- marks ---
  bool is_read_only() const { return !read_only_reason().empty(); }
  std::string read_only_reason() const;  // "" when writable
  Status mark_read_only(bool persist, bool can_delete = false);  // can_delete: deletions go on
  Status mark_writable();  // clears the mark, also in the .vif, and what an I/O error left behind
  // Its shards are about to be made: the .vif names them from the next time it is written.
  void note_encoding(const EcShardConfig& config, std::uint64_t dat_bytes);
  Status set_replica_placement(ReplicaPlacement placement);  // in the .vif, which overrides the superblock
  void set_low_space(bool low) { low_space_.store(low, std::memory_order_relaxed); }
  bool is_quarantined() const { return io_errors_.load(std::memory_order_relaxed) >= kIoErrorsMax; }

  // The .dat's name is gone although files are in it: somebody deleted it behind our back.
  bool has_vanished() const;

  // A volume with a ttl whose last write is older than it (spec/volume-format 9). `grace`: the further wait before it
  // is deleted.
  bool is_expired(std::uint64_t now_seconds, bool with_grace) const;

  // Deleted / put bytes since the index began, of the size fields: what share of the content a vacuum would free.
  double garbage_ratio() const;

  // No more writes: what is queued fails with not_found. Reads under way go on. Waits for a running batch.
  void retire();

  bool is_retired() const;

  // Removes the files; call retire() first.
  Status remove_files();

  // Syncs .dat and .idx; at an orderly stop.
  Status sync();

 private:
  friend class VolumeLoader;
  friend class Compaction;
  friend class TierSwitch;
  class FileBody;
  class FetchedBody;

  struct Operation {
    std::variant<Put, Remove> what;
    std::uint32_t crc = 0;
    // While in a batch:
    EncodedNeedle encoded;
    IndexRow row;
    Put::Outcome outcome;
    std::int32_t removed_size = 0;

    NeedleId key() const;
    bool fsync() const;
    std::uint64_t data_bytes() const;
    void finish(const Error& error);
    void finish();
  };
  using OperationPtr = std::unique_ptr<Operation>;
  struct Batch;

  Volume(const Surroundings& around, VolumePlace place);
  VolumeIndex::Source index_source();  // needs around_.index_caches

  // Reading.
  Result<std::size_t> read_bytes(std::uint64_t at, std::span<std::uint8_t> out) const;
  Result<NeedleView> read_record(const Slot& slot, std::uint8_t* room, std::size_t room_bytes, bool cached_only,
                                 NeedleId key, std::uint64_t base = 0);
  Result<Found> read_large(const Slot& slot, NeedleId key, std::uint64_t base = 0);
  Result<Found> read_at(const Slot& slot, NeedleId key, std::uint64_t base);
  // Reads all of a large record's data; its crc, or an error when that is not the stored one.
  static Result<std::uint32_t> checked_crc(const Found& large);
  void note_read_error(const Error& error, NeedleId key);
  std::uint64_t wall_ns() const;

  // Writing (volume_writer.cc). Only the writer, whoever that is, calls these.
  void enqueue(OperationPtr operation, bool may_block);
  void write_queued(bool may_block);
  bool needs_pool(const Operation& operation) const;
  // Waits for the running batch; from then on operations only queue up, until resume() or hand_over(). For a vacuum,
  // never on the pool's threads: a batch may be waiting for one.
  void pause();
  void drain();
  void resume();
  // While paused: marks and what is queued go over to `successor`, and so will all that comes.
  std::shared_ptr<Volume> successor() const;
  void hand_over(const std::shared_ptr<Volume>& successor);
  void carry_out(std::deque<OperationPtr>& operations);
  bool prepare_put(Operation& operation, Put& put, Batch& batch);
  bool prepare_remove(Operation& operation, Remove& remove, Batch& batch);
  Result<std::optional<Cookie>> guarding_cookie(NeedleId key, const Slot& old, Cookie wanted);
  Result<bool> is_unchanged(const Put& put, const Slot& old, std::uint32_t crc);
  Status append(Batch& batch);
  Status append_bodies(Batch& batch, std::uint64_t at);
  Status sync_records();
  Status sync_rows();
  Status cut_back(std::uint64_t dat_end, const Error& cause);
  void publish(Batch& batch);
  void note_write_error(const Error& error);
  Status save_settings();

  const Surroundings around_;
  const VolumePlace place_;

  // Set while opening, constant afterwards.
  std::unique_ptr<io::File> dat_;
  std::unique_ptr<io::File> idx_;
  std::optional<RemoteFile> remote_;
  bool is_fetched_ = false;  // dat_ is a RemoteDat; else the .dat was kept on the disk too
  Superblock superblock_;
  std::shared_ptr<ReplicaState> replica_;
  bool settings_are_ours_ = true;       // false: the .vif does not parse and is left alone

  VolumeIndex index_;  // locks for itself; closed before the files, which it syncs

  mutable Mutex queue_mutex_;  // leaf
  std::deque<OperationPtr> queue_ HOLDFAST_GUARDED_BY(queue_mutex_);
  bool writer_at_work_ HOLDFAST_GUARDED_BY(queue_mutex_) = false;
  bool retired_ HOLDFAST_GUARDED_BY(queue_mutex_) = false;
  int pauses_wanted_ HOLDFAST_GUARDED_BY(queue_mutex_) = 0;
  std::shared_ptr<Volume> successor_ HOLDFAST_GUARDED_BY(queue_mutex_);  // after a vacuum; set once
  Condition writer_gone_;

  Mutex marks_mutex_;  // held while a mark is set or handed over; across I/O; before the other mutexes

  mutable Mutex settings_mutex_;  // leaf but for the disk: marks are rare
  VolumeSettings settings_ HOLDFAST_GUARDED_BY(settings_mutex_);

  // Written by the writer (or while opening), read by anyone.
  std::atomic<std::uint64_t> dat_end_{0};
  std::atomic<std::uint64_t> idx_end_{0};
  std::atomic<std::uint64_t> last_append_at_ns_{0};
  std::atomic<std::int64_t> modified_at_second_{0};
  std::atomic<std::uint8_t> replica_placement_{0};  // the .vif's, else the superblock's; as one byte
  std::atomic<std::int64_t> slow_until_ns_{INT64_MIN};  // on the clock's now()

  // Why writes are refused; any of them is enough.
  std::atomic<bool> marked_read_only_{false};
  std::atomic<bool> may_delete_when_marked_{false};
  std::atomic<bool> low_space_{false};
  std::atomic<bool> damaged_{false};  // after an I/O error, or found so when opened
  std::atomic<bool> unwritable_{false};  // the file cannot be opened for writing
  std::atomic<int> io_errors_{0};        // in a row
};

}  // namespace holdfast::volume
