// VolumeReceiver: takes volumes, needles and files in from other volume servers (spec/weed-grpc 8). The rpcs
// VolumeCopy, VolumeTailReceiver, WriteNeedleBlob and ReceiveFile.
//
// All calls wait for the disk and the network; make them on a thread of their own. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "client/volume_source.h"
#include "io/clock.h"
#include "model/address.h"
#include "service/volume/cancel.h"
#include "storage/volume/store.h"

namespace holdfast::volume {

class VolumeReceiver {
 public:
  static constexpr std::uint64_t kProgressBytes = 128_MiB;

  struct Options {
    std::string self;                     // "host:port": no volume is copied onto itself
    std::uint64_t bytes_per_second = 0;   // of a copy that does not say; 0: no bound
    std::function<void()> changed;        // the set of volumes has
  };

  VolumeReceiver(Store& store, io::Disk& disk, io::Clock& clock, Options options)
      : store_(store), disk_(disk), clock_(clock), options_(std::move(options)) {}

  struct Copy {
    VolumeId id;
    std::string disk_type;  // "": the source's
    std::string source;     // "host:port" or "host:port.grpcPort"
    std::uint64_t bytes_per_second = 0;
  };
  // Pulls a volume from another server and serves it; an own replica of it gives way. Nothing of it stays when it fails
  // at any point, or when the process dies. `progress` is told every 128 MiB and answers false when the caller is gone.
  // The time of the newest write in the copy: a tail from there on brings what came meanwhile.
  Result<std::uint64_t> copy(const Copy& copy, const std::function<bool(std::uint64_t bytes)>& progress, Cancel& cancel);

  // The first half of it, for who says later whether the copy is to be served (healer.h): its files lie here, beside the
  // marker that says they are no volume. Never in place of an own replica.
  Result<VolumePlace> fetch(const Copy& copy, Cancel& cancel);
  // "host:port" or "host:port.grpcPort" of another server; invalid for this one.
  Result<Address> source_of(const std::string& text) const;

  // Writes here what is appended to the volume at `source` after `since_ns`, until nothing came for so many rounds.
  Status tail(VolumeId id, std::uint64_t since_ns, std::uint32_t idle_rounds, const std::string& source, Cancel& cancel);

  // Appends a record as another server has it, under a time of its own.
  Status write_blob(VolumeId id, NeedleId key, std::int32_t size, BytesView blob);

  struct FileInfo {
    VolumeId id;
    std::string collection;
    std::string extension;
    bool is_ec_volume = false;
    std::uint64_t bytes = 0;     // 0: not told
    std::uint32_t disk_id = 0;   // 0: any
    std::string disk_type;       // of a volume that is not here: the file waits as <name>.copying
  };
  // A file on its way in; gone unless finish() was called. One thread.
  class Incoming {
   public:
    virtual ~Incoming() = default;
    virtual Status append(BytesView bytes) = 0;
    virtual Result<std::uint64_t> finish() = 0;  // its size; the file is durable
  };
  Result<std::unique_ptr<Incoming>> receive(const FileInfo& info);

 private:
  Result<std::uint64_t> pull(client::VolumeSource& source, const client::RemoteVolume& remote, const Copy& copy,
                             const VolumePlace& place, bool with_epoch,
                             const std::function<bool(std::uint64_t)>& progress, Cancel& cancel);
  Status write(Volume& volume, const client::TailRecord& record);
  Result<std::string> path_for(const FileInfo& info);

  Store& store_;
  io::Disk& disk_;
  io::Clock& clock_;
  const Options options_;
};

}  // namespace holdfast::volume
