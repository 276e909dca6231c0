// VolumeSender: gives a volume's files and needles to whoever copies them (spec/weed-grpc 8). The rpcs CopyFile,
// VolumeIncrementalCopy, VolumeTailSender, ReadAllNeedles and those that look at one needle.
//
// All calls wait for the disk and, through `send`, for the caller; make them on a thread of their own. `send` answers
// false when the caller is gone: then the call ends with `unavailable`. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "client/volume_source.h"
#include "core/volume/needle.h"
#include "service/volume/cancel.h"
#include "storage/volume/store.h"

namespace holdfast::volume {

class VolumeSender {
 public:
  static constexpr std::size_t kPieceBytes = 2_MiB;
  static constexpr Duration kTailRound = std::chrono::seconds(2);

  VolumeSender(Store& store, io::Disk& disk) : store_(store), disk_(disk) {}

  // The time is told with the first piece only. A file that is there and empty is one empty piece; one that is missing
  // and may be (ignore_missing, or nothing of it is wanted) none at all.
  using SendPiece = std::function<bool(BytesView bytes, std::int64_t modified_ts_ns)>;
  Status file(const client::FileWish& wish, const SendPiece& send);

  // The .dat from the first needle appended after `since_ns` on; no piece when there is none.
  using SendBytes = std::function<bool(BytesView bytes)>;
  Status since(VolumeId id, std::uint64_t since_ns, const SendBytes& send);

  // Each needle appended after `since_ns`, round after round; an empty piece with is_last when a round found none. Ends
  // after `idle_rounds` such rounds in a row, never when that is 0.
  struct TailPiece {
    BytesView header;
    BytesView body;
    bool is_last = false;
    std::uint32_t version = 3;
    client::TailRecord::Kind kind = client::TailRecord::Kind::unknown;
  };
  using SendTail = std::function<bool(const TailPiece& piece)>;
  Status tail(VolumeId id, std::uint64_t since_ns, std::uint32_t idle_rounds, const SendTail& send, Cancel& cancel);

  // Each live needle, in the order of the .dat.
  using SendNeedle = std::function<bool(const NeedleView& needle)>;
  Status all_needles(VolumeId id, const SendNeedle& send);

  // The record at `offset`, header to padding. Errors in upstream's words.
  Result<std::string> blob(VolumeId id, std::int64_t offset, std::int32_t size);

  // A needle with all but its data; `record` holds what its views point to. By its place, or by its key.
  struct Looked {
    std::string record;
    NeedleView needle;
  };
  Result<Looked> needle_at(VolumeId id, std::int64_t offset, std::int32_t size);
  Result<Looked> needle(VolumeId id, NeedleId key);

 private:
  Result<std::shared_ptr<Volume>> find(VolumeId id) const;
  Status send_volume_file(const Volume& volume, const client::FileWish& wish, const SendPiece& send);
  Status send_path(const std::string& path, const client::FileWish& wish, const SendPiece& send);
  Status send_record(const Volume& volume, std::uint64_t offset, std::uint64_t bytes, TailPiece piece,
                     const SendTail& send);

  Store& store_;
  io::Disk& disk_;
};

}  // namespace holdfast::volume
