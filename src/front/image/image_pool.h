// ImagePool: resizes images in worker processes (image_worker.h), each fed by a thread of this pool. The first job
// starts them; one that has had nothing to do for a minute ends.
//
// A worker that crashes, is killed by a limit, or takes longer than `patience` costs its own request the result, and the
// next one finds a new worker. Jobs that wait are bounded by number and bytes; beyond that, and where no worker can be
// started, the answer is an error at once. Callers send the image as it is stored then.
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"
#include "front/image/image_worker.h"

namespace holdfast::front {

class ImagePool {
 public:
  struct Options {
    std::size_t workers = 2;
    std::size_t waiting_max = 64;
    std::uint64_t waiting_bytes_max = 256_MiB;
    Duration patience = 20s;  // for one image
    Duration idle = 60s;
    std::string program = "/proc/self/exe";
  };

  // The result; nothing when the image is to be sent as it is.
  using Done = std::function<void(Result<std::optional<std::string>>)>;

  explicit ImagePool(Options options, metrics::Registry& metrics = metrics::process());
  ~ImagePool();  // calls every `done` and ends the workers

  // `done` is called once: from a thread of the pool, or from here when the job is refused. It must not wait.
  void run(const ImageWish& wish, std::string image, Done done);

 private:
  struct Job {
    ImageWish wish;
    std::string image;
    Done done;
  };
  class Worker;

  void serve();
  Result<std::optional<std::string>> work(Worker& worker, const Job& job);

  // Constant after construction.
  const Options options_;
  metrics::Counter& done_;
  metrics::Counter& untouched_;
  metrics::Counter& bad_;
  metrics::Counter& broken_;

  Mutex mutex_;  // leaf
  Condition wake_;
  std::deque<Job> jobs_ HOLDFAST_GUARDED_BY(mutex_);
  std::uint64_t bytes_ HOLDFAST_GUARDED_BY(mutex_) = 0;  // of those
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ HOLDFAST_GUARDED_BY(mutex_);  // started by the first job
};

}  // namespace holdfast::front
