// ImageWriter: `metadata.mfs.back` in a master's folder, for cron and scp: the whole state as a plain file, written at the
// start, then every so often, when something has changed. A thread of its own makes and writes it; the one that runs
// consensus is not held up (change_feed.h).
//
// A copy to take away. The master itself starts from its log and snapshots, never from this.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/time.h"
#include "io/clock.h"
#include "io/disk.h"
#include "service/master/change_feed.h"

namespace holdfast::master {

class ImageWriter {
 public:
  struct Options {
    std::string folder;
    Duration interval{};      // 0: none is written
    std::size_t keep = 1;     // older ones
  };

  ImageWriter(Options options, ChangeFeed& feed, io::Disk& disk, io::Clock& clock);
  ~ImageWriter();  // stops

  void start();
  void stop();  // at most the image under way is finished

 private:
  void run();
  Status write();

  const Options options_;
  ChangeFeed& feed_;
  io::Disk& disk_;
  io::Clock& clock_;
  Index written_;  // the thread's own
  std::thread thread_;
  Mutex mutex_;
  Condition woken_;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

}  // namespace holdfast::master
