// Healer: a volume server's part in making lost copies again; each step is an order of the leading master
// (docs/self-healing.md, service/master/healing.h).
//
// At the source: freeze, extend while the copy is on its way, adopt the next epoch, or thaw. At the target: copy, and then
// adopt, which makes a volume of it; before that it is no volume, and gone after a restart. A step that nobody follows up is
// undone by time: a freeze ends, a copy is dropped.
//
// Thread-safe. Every step may wait for the disk or a peer, and must not run on the store's pool.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "io/clock.h"
#include "service/volume/content.h"
#include "service/volume/volume_receiver.h"
#include "storage/volume/store.h"

namespace holdfast::volume {

class Healer {
 public:
  static constexpr Duration kTimeMax = std::chrono::minutes(10);  // the longest freeze without an extension
  static constexpr std::uint64_t kCompareBytesPerSecond = 64_MiB;  // unless the maintenance of this server has a bound
  static constexpr std::uint64_t kBackgroundBytesPerSecond = 16_MiB;
  static constexpr std::size_t kFilesMax = 2'000'000;

  struct World {
    Store& store;
    io::Disk& disk;
    io::Clock& clock;
    VolumeReceiver& receiver;
    std::uint64_t bytes_per_second = 0;  // of maintenance; 0: no bound
    std::function<void()> changed;  // what the masters are told of has
  };
  explicit Healer(World world) : world_(std::move(world)) {}

  // The epoch that is frozen. not_found "not found volume id N", as all of these.
  Result<std::uint64_t> freeze(VolumeId id, std::uint64_t token, Duration time);
  // What a copy's files are, in pieces of entries; an error of `give` ends it.
  Status content(VolumeId id, const std::function<Status(BytesView)>& give, Cancel& cancel);

  // Of a freeze, or a copy that waits for its adoption; stale: it is over.
  Status extend(VolumeId id, std::uint64_t token, Duration time);
  // Ends a freeze, or drops a copy that was not adopted. Fine when there is neither.
  Status thaw(VolumeId id, std::uint64_t token);

  // Pulls a copy, which then waits for `time`. already_exists: one is here.
  Status copy(VolumeId id, const std::string& source, std::uint64_t token, Duration time, Cancel& cancel);

  // Moves the volume, or the copy that waits under this token, from epoch `from` on to `to`. `frozen`: only if the freeze by
  // this token has lasted until now.
  Status adopt(VolumeId id, std::uint64_t token, bool frozen, std::uint64_t from, std::uint64_t to);

  // Other copies of epoch `by` have taken this one's place.
  Status outdate(VolumeId id, std::uint64_t by);

  // Holds the copy here against the one at `source`; its deletions too unless it is older than the copies of epoch `to`, since what of these
  // was acknowledged is on all of them. Of an outdated one it is remembered, until a restart, that it is known
  // there; another one may change meanwhile, is read at a lower pace, and is too large with more than kFilesMax files
  // (no_space): this is for a look in the background.
  Result<Coverage::Answer> compare(VolumeId id, const std::string& source, std::uint64_t to, Cancel& cancel);
  // Deletes a copy that is outdated by `by`, and of which a comparison has found everything at the other one. refused
  // otherwise.
  Status discard(VolumeId id, std::uint64_t by);

  // Appends to the copy here what the one at `source` has more, if the one here is the beginning of that one (catch_up.h); how many
  // bytes. refused otherwise.
  Result<std::uint64_t> catch_up(VolumeId id, const std::string& source, Cancel& cancel);

  // Drops copies whose time is over. Call it now and then.
  void tend();

 private:
  struct Waiting {
    std::uint64_t token = 0;
    Instant until;
    VolumePlace place;
  };

  Result<std::shared_ptr<Volume>> find(VolumeId id) const;
  Pacer pacer(std::uint64_t bytes_per_second) const;
  std::optional<Waiting> take(VolumeId id, std::uint64_t token);

  const World world_;
  Mutex mutex_;  // leaf
  std::map<VolumeId, Waiting> waiting_ HOLDFAST_GUARDED_BY(mutex_);
  std::set<VolumeId> catching_up_ HOLDFAST_GUARDED_BY(mutex_);
  std::map<VolumeId, std::weak_ptr<Volume>> covered_ HOLDFAST_GUARDED_BY(mutex_);  // outdated ones, found to be known elsewhere
};

}  // namespace holdfast::volume
