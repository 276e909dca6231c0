// VolumeSource: another volume server as what a copy is made from: its files (CopyFile), how large they are
// (ReadVolumeFileStatus) and what was written since (VolumeTailSender), over upstream's rpcs (spec/weed-grpc 8), so it
// may be one of upstream's.
//
// Calls wait for the answer; make them on a thread that may. A source whose machine is gone is noticed by keepalive
// pings within half a minute; there is no other bound on the time, since a volume may be large and the link slow.
//
// Errors: unavailable (not reached, or the link broke: begin again), not_found (the source has no such volume),
// stale (it was compacted since: begin again with its new status), else the source's own words.
//
// Thread-safe but for one thing: one call at a time. cancel() may come from any thread and ends the call under way and
// all later ones with `unavailable`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "model/address.h"
#include "model/ids.h"

namespace holdfast::client {

// One file of a volume, as CopyFile takes it.
struct FileWish {
  static constexpr std::uint32_t kAnyRevision = UINT32_MAX;

  VolumeId volume;
  std::string collection;  // needed with is_ec_volume only: then the file is found by its name
  std::string extension;   // ".dat"
  std::uint32_t compaction_revision = kAnyRevision;
  std::uint64_t stop_offset = UINT64_MAX;
  bool is_ec_volume = false;
  bool ignore_missing = false;  // a source without the file sends none, and that is fine
};

struct FileCopied {
  bool is_there = false;  // false: the source has no such file
  std::uint64_t bytes = 0;
  std::int64_t modified_ts_ns = 0;  // 0: not told
};

struct RemoteVolume {
  std::string collection;
  std::string disk_type;
  std::uint32_t version = 3;
  std::uint32_t compaction_revision = 0;
  std::uint64_t dat_bytes = 0;
  std::uint64_t idx_bytes = 0;
  std::uint64_t dat_modified_seconds = 0;
  std::uint64_t idx_modified_seconds = 0;
  std::uint64_t file_count = 0;
};

// A needle that was written at the source.
struct TailRecord {
  // Whether a record without data deletes its key or is an empty file. The bytes alone do not tell; upstream's sources
  // do not say either.
  enum class Kind { unknown, file, deletion };

  std::string header;  // 16 bytes
  std::string body;    // to the end of the padding
  std::uint32_t version = 3;
  Kind kind = Kind::unknown;
};

class VolumeSource {
 public:
  // "host:port" or "host:port.grpcPort"; dials with the first call.
  static std::unique_ptr<VolumeSource> at(const Address& server);

  virtual ~VolumeSource() = default;

  virtual Result<RemoteVolume> status(VolumeId volume) = 0;

  // Calls `take` with each piece in order; an error of it ends the call and is what is answered.
  using Take = std::function<Status(BytesView piece)>;
  virtual Result<FileCopied> copy_file(const FileWish& wish, const Take& take) = 0;

  // Calls `take` with each needle appended after `since_ns`, until nothing came for idle_rounds rounds of two seconds
  // (0: for ever). A record that breaks off in the middle is not given.
  using TakeRecord = std::function<Status(const TailRecord&)>;
  virtual Status tail(VolumeId volume, std::uint64_t since_ns, std::uint32_t idle_rounds, const TakeRecord& take) = 0;

  // What the volume's files are, as service/volume/content.h encodes them, in pieces of whole entries. A source of upstream's
  // knows no such call: unsupported.
  virtual Status content(VolumeId volume, const Take& take) = 0;

  virtual void cancel() = 0;
};

}  // namespace holdfast::client
