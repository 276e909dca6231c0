#include "service/master/image_writer.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"

namespace holdfast::master {
namespace {

constexpr const char* kName = "metadata.mfs.back";
constexpr const char* kTemporary = "metadata.mfs.back.tmp";
constexpr Duration kFirstPause = 1s;    // while there is no cluster yet
constexpr Duration kAgain = 1min;       // after one that could not be written

struct Metrics {
  metrics::Counter& written = metrics::process().counter("holdfast_master_images_written_total", "images of the state written");
  metrics::Counter& failed = metrics::process().counter("holdfast_master_images_failed_total", "images that could not be written");
  metrics::Gauge& index = metrics::process().gauge("holdfast_master_image_index", "last entry in the newest image");
};
Metrics& counted() {
  static Metrics metrics;
  return metrics;
}

}  // namespace

ImageWriter::ImageWriter(Options options, ChangeFeed& feed, io::Disk& disk, io::Clock& clock)
    : options_(std::move(options)), feed_(feed), disk_(disk), clock_(clock) {}

ImageWriter::~ImageWriter() { stop(); }

void ImageWriter::start() {
  if (options_.interval > Duration(0)) thread_ = std::thread([this] { run(); });
}

void ImageWriter::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
    woken_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

Status ImageWriter::write() {
  const auto image = feed_.make_image();
  if (!image) return image.error();
  const auto bytes = backup::encode(*image);
  if (auto done = backup::store_image(disk_, options_.folder, kName, kTemporary, bytes, options_.keep); !done) return done;
  written_ = image->head.last.index;
  counted().written.add();
  counted().index.set(static_cast<double>(written_.value()));
  LOG_V(1, "{}/{}: {}, {} bytes", options_.folder, kName, backup::text(image->head), bytes.size());
  return {};
}

void ImageWriter::run() {
  for (;;) {
    Duration pause = options_.interval;
    const Index last = feed_.last().index;
    if (feed_.cluster().value().empty() || last == Index()) {
      pause = std::min(pause, kFirstPause);
    } else if (last != written_) {
      if (auto done = write(); !done) {
        counted().failed.add();
        LOG_WARNING("{}/{} could not be written, the one of before stays: {}", options_.folder, kName, done.error().what());
        pause = std::min(pause, kAgain);
      }
    }
    const Instant until = clock_.now() + pause;
    Guard guard(mutex_);
    while (!stopping_ && clock_.now() < until) (void)woken_.wait_for(mutex_, until - clock_.now());
    if (stopping_) return;
  }
}

}  // namespace holdfast::master
