// BackupSource: a master's side of those who keep copies of its state (api/backup.proto): answers metaloggers, makes images,
// and knows how far each metalogger is.
//
// A metalogger counts for nothing: nobody waits for it, it is no member, and one that is slow or dead costs a line in a
// table (docs/decisions/metaloggers.md). Any master answers, leading or not, with what it has seen committed.
//
// Images are made one at a time on a thread of their own; the last ones stay in memory until a minute after they were last
// asked for, so that their pieces fit together.
//
// Threads: construction, start, stop and destruction belong to one thread, everything else may be called from any. Callbacks
// come from threads of this class or, where the answer is at hand, from within the call.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/result.h"
#include "io/random.h"
#include "service/master/change_feed.h"
#include "service/master/consensus.h"
#include "service/master/metalogger_status.h"

namespace holdfast {
class BackupRequest;
class BackupChanges;
class BackupImageRequest;
class BackupImagePiece;
}  // namespace holdfast

namespace holdfast::master {

inline constexpr std::size_t kMetaloggersMax = 1000;      // told of; one more is answered all the same
inline constexpr Duration kMetaloggerForgotten = 60s;     // after its last call

class BackupSource {
 public:
  struct About {
    Generation generation;
    std::vector<ClusterId> taken_over;
  };
  struct Parts {
    ChangeFeed& feed;
    io::Clock& clock;
    io::Random& random;
    std::function<About()> about;
  };

  explicit BackupSource(Parts parts);
  ~BackupSource();  // stops

  // `consensus` outlives stop(). Before, everything is answered with "no cluster".
  void start(Consensus& consensus);
  void stop();

  void changes(const BackupRequest& request, const std::string& from,
               std::function<void(Result<BackupChanges>)> done);
  void image(const BackupImageRequest& request, std::function<void(Result<BackupImagePiece>)> done);

  // By name.
  [[nodiscard]] std::vector<MetaloggerStatus> metaloggers() const;

  // The state as a file, here and now, on the caller's thread; for images on this master's own disk.
  Result<std::string> make_image_file() const;

 private:
  struct Waiting;
  struct Made;
  struct Known;

  void run();
  void make_images();
  void note(const BackupRequest& request, const std::string& from, raft::LogPosition last);
  bool answer(const BackupRequest& request, bool may_wait, BackupChanges* out) const;
  std::shared_ptr<const Made> find_image(const std::string& id);
  void collect(std::vector<metrics::Family>& out) const;

  const Parts parts_;
  std::atomic<Consensus*> consensus_{nullptr};

  mutable Mutex mutex_;  // leaf
  Condition changed_;
  bool news_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::list<std::unique_ptr<Waiting>> waiting_ HOLDFAST_GUARDED_BY(mutex_);
  std::map<Uuid, Known> known_ HOLDFAST_GUARDED_BY(mutex_);

  Mutex images_mutex_;  // leaf
  Condition images_changed_;
  bool images_stopping_ HOLDFAST_GUARDED_BY(images_mutex_) = false;
  std::vector<std::function<void(Result<std::shared_ptr<const Made>>)>> wanted_ HOLDFAST_GUARDED_BY(images_mutex_);
  std::vector<std::shared_ptr<Made>> made_ HOLDFAST_GUARDED_BY(images_mutex_);

  std::thread answering_;
  std::thread imaging_;
  metrics::Registry::Collector collector_;
};

}  // namespace holdfast::master
