// VolumeService: one volume server as its fronts see it. The HTTP routes and the gRPC services call nothing else.
//
// Threads. Every call may come from any thread. A call marked *loop* never blocks and may be made on an event loop; one
// marked *pool* may wait for the disk and belongs on another thread: post() runs it on the service's own. A `done` is
// called exactly once, possibly before the call that took it has returned, else from a thread of the service; it must
// not block. What a request points to (data, names) stays alive until its `done`.
//
// Reading has two steps. read_now() answers from the page cache or not at all, so a small file costs the loop one
// lookup and one pread. What it cannot answer goes through read(). Bodies above kInlineBytesMax are never read whole:
// the answer then carries a Body to be read piece by piece, and the reader checks the crc as it goes.
//
// Errors. Code says the HTTP or gRPC status, what() is the text upstream's clients know, without front's own prefix:
//   read     not_found (also deleted, expired, wrong cookie) | corrupt, io: 500
//   write    read_only, already_exists (another cookie), no_space, io, unavailable (siblings): 500 with what();
//            not_found: no server holds the volume, 404
//   remove   not_found 404 | refused (wrong cookie) 400 | else 500 "Deletion Failed: ..."
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/address.h"
#include "model/fence.h"
#include "model/file_id.h"
#include "model/volume_info.h"
#include "storage/volume/reading.h"
#include "storage/volume/spool.h"
#include "storage/volume/volume_settings.h"

namespace holdfast::volume {

class VacuumService;
class EcService;
class Healer;
class TierMover;

struct WriteRequest {
  FileId id;  // with the _N suffix already added to the key
  // "vid,fid" as the client wrote it, for siblings: its token is for this text. "": as the id is written.
  std::string_view fid_text;

  // The data as it is to be stored: one of the two.
  BytesView data;
  std::shared_ptr<const Spool> spool;

  bool compressed = false;      // the data is a gzip stream
  bool chunk_manifest = false;  // cm=true
  std::string_view name;        // left out when longer than 255 bytes
  std::string_view mime;        // likewise
  std::string_view pairs;       // the JSON object, "" for none
  std::uint64_t last_modified = 0;  // unix seconds, 0: now
  Ttl ttl;                      // none: the volume's
  std::string_view ttl_text;    // as the client wrote it; goes to the replicas
  bool fsync = false;

  // A copy sent on by a sibling (type=replicate): stored here and nowhere else, and only under the epoch that the sibling's
  // copy has (docs/self-healing.md).
  bool is_replica = false;
  std::uint64_t epoch = 0;
  // From a server that does not hold the volume (proxied=true): it is not passed on again.
  bool was_passed_on = false;
  // To a server that holds the volume and goes to the siblings itself.
  bool pass_on = false;

  // For the copies sent on to siblings.
  std::string_view authorization;  // the request's Authorization header, "" for none
  std::string_view request_id;     // x-amz-request-id
  // The Seaweed-* request headers, as received.
  std::vector<std::pair<std::string_view, std::string_view>> pair_headers;
};

struct Written {
  bool unchanged = false;  // the same cookie and bytes were live already: 204
  std::uint32_t etag = 0;  // crc of the data as stored
  std::int32_t size = 0;   // the needle's size field
};

struct RemoveRequest {
  FileId id;
  std::string_view fid_text;  // as that of a write
  bool is_replica = false;
  std::uint64_t epoch = 0;         // as that of a write
  bool fsync = false;              // likewise
  bool is_for_each = false;        // BatchDelete: the caller goes to every copy itself
  bool skip_cookie_check = false;  // BatchDelete
  std::string_view authorization;
};

struct Removed {
  std::int32_t size = 0;  // the needle's size field
};

struct Location {
  std::string url;         // ip:port as its volume server reported itself
  std::string public_url;
  std::uint16_t grpc_port = 0;

  friend bool operator==(const Location&, const Location&) = default;
};

struct DiskStatus {
  std::string directory;
  std::string disk_type;
  std::uint64_t all = 0;
  std::uint64_t used = 0;
  std::uint64_t free = 0;
  double percent_free = 0;
  double percent_used = 0;
  std::string error;  // "" when all is well
  std::uint32_t volumes_max = 0;
};

struct AllocateRequest {
  VolumeId id;
  std::string collection;
  ReplicaPlacement replica_placement;
  Ttl ttl;
  std::string disk_type;
  std::uint64_t preallocate_bytes = 0;
  std::uint32_t version = 3;
};

// An order's fence; nothing for orders of upstream's masters and shell.
using OrderFence = std::optional<Fence>;

struct Deletion {
  bool only_empty = false;   // fails when there is a live file
  bool keep_remote = false;  // the object of one in a remote tier stays
};

// VolumeStatus, ReadVolumeFileStatus, VolumeSyncStatus in one.
struct VolumeFileStatus {
  VolumeInfo info;
  std::uint64_t dat_bytes = 0;
  std::uint64_t idx_bytes = 0;
  std::uint64_t dat_modified_seconds = 0;
  std::uint64_t idx_modified_seconds = 0;
  std::uint64_t last_append_at_ns = 0;
  std::optional<RemoteFile> remote;  // where its .dat lies when that is a remote tier
};

class Upkeep;

class VolumeService {
 public:
  template <typename T>
  using Done = std::function<void(Result<T>)>;

  virtual ~VolumeService() = default;

  // --- reading ---
  virtual ReadNow read_now(const FileId& id, ReadOptions options, ReadBuffer& buffer, Found& out) = 0;  // *loop*
  virtual void read(const FileId& id, ReadOptions options, Done<Found> done) = 0;      // *loop*
  virtual bool has_volume(VolumeId id) const = 0;                                                       // *loop*

  // --- writing --- All copies or an error: siblings are written in parallel with the local append.
  virtual void write(WriteRequest request, Done<Written> done) = 0;     // *loop*
  virtual void remove(RemoveRequest request, Done<Removed> done) = 0;   // *loop*
  virtual Result<std::shared_ptr<Spool>> make_spool(VolumeId volume) = 0;  // *pool*

  // Runs `work` on the pool. False when the service is stopping and it will not run.
  virtual bool post(std::function<void()> work) = 0;  // *loop*
  // As post(), for what reads a remote Body.
  virtual bool post_remote(std::function<void()> work) { return post(std::move(work)); }  // *loop*

  // Who holds a volume, by any master's word, self included; cached for seconds. not_found when nobody does,
  // unavailable when no master answers.
  virtual void locate(VolumeId id, Done<std::vector<Location>> done) = 0;  // *loop*

  // --- telling ---
  virtual bool is_healthy() const = 0;  // healthz, readyz: false while stopping or after leave()
  virtual std::vector<VolumeInfo> volumes() const = 0;      // sorted by id; *pool*-ish: locks volumes briefly
  virtual std::vector<DiskStatus> disks() const = 0;        // *pool*
  virtual Result<VolumeFileStatus> volume_status(VolumeId id) const = 0;  // *pool*
  virtual std::string self() const = 0;  // ip:port as reported to masters
  virtual std::vector<Address> masters() const = 0;  // known now, the leader first when one is known

  // --- orders --- all *pool*; refused when their fence is old or of another cluster.
  virtual Status allocate(const AllocateRequest& request, const OrderFence& fence) = 0;
  virtual Status delete_volume(VolumeId id, const Deletion& how, const OrderFence& fence) = 0;
  virtual Status delete_collection(const std::string& collection, const OrderFence& fence) = 0;
  // Both also tell the leading master, since one of upstream's would hear of it late; it may take seconds while none leads.
  virtual Status mark_read_only(VolumeId id, bool persist, bool can_delete, const OrderFence& fence) = 0;
  virtual Status mark_writable(VolumeId id, const OrderFence& fence) = 0;
  virtual Status mount(VolumeId id, const OrderFence& fence) = 0;
  virtual Status unmount(VolumeId id, const OrderFence& fence) = 0;  // of an unknown volume: fine

  // Vacuum of volumes; null when it is none's to give.
  virtual VacuumService* vacuum() { return nullptr; }

  // For those who move and mend volumes (upkeep.h); null where there is none.
  virtual Upkeep* upkeep() { return nullptr; }
  // Its part in making lost copies again; null where there is none.
  virtual Healer* healer() { return nullptr; }
  // Moves volumes to remote tiers and back; null where there is none.
  virtual TierMover* tier_mover() { return nullptr; }
  // Its erasure-coded volumes; null where there can be none.
  virtual EcService* ec() { return nullptr; }

  // Stops reporting to the masters; healthz turns 503 (VolumeServerLeave).
  virtual void leave() = 0;
};

}  // namespace holdfast::volume
