#include "service/master/log_thread.h"

#include "base/log.h"
#include "base/metrics.h"

namespace holdfast::master {
namespace {

constexpr Duration kFullDiskRetry = 1s;

struct Metrics {
  metrics::Counter& syncs =
      metrics::process().counter("holdfast_raft_syncs_total", "syncs of the masters' log that succeeded");
  metrics::Histogram& sync_time =
      metrics::process().histogram("holdfast_raft_sync_seconds", "write and sync of the masters' log, per group", {},
                                   metrics::kDiskFirstBound);
  metrics::Counter& entries =
      metrics::process().counter("holdfast_raft_entries_written_total", "entries written to the masters' log");
  metrics::Gauge& log_bytes = metrics::process().gauge("holdfast_raft_log_bytes", "size of the masters' log on disk");
};

Metrics& counted() {
  static Metrics metrics;
  return metrics;
}

}  // namespace

LogThread::LogThread(std::unique_ptr<storage::RaftStore> store, io::Clock& clock, Hooks hooks)
    : store_(std::move(store)), clock_(clock), hooks_(std::move(hooks)) {
  log_bytes_ = store_->log().bytes();
  disk_full_ = !store_->log().has_reserve();
  thread_ = std::thread([this] { run(); });
}

LogThread::~LogThread() { stop(); }

void LogThread::enqueue(Work work) {
  if (work.empty()) return;
  {
    Guard guard(mutex_);
    queue_.push_back(std::move(work));
  }
  arrived_.notify_one();
}

void LogThread::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Duration LogThread::busy_for(Instant now) const {
  const auto since = busy_since_.load(std::memory_order_relaxed);
  return since == 0 ? Duration(0) : now.time_since_epoch() - Duration(since);
}

void LogThread::run() {
  for (;;) {
    std::vector<Work> batch;
    {
      Guard guard(mutex_);
      while (queue_.empty() && !stopping_) {
        if (disk_full_) {
          if (arrived_.wait_for(mutex_, kFullDiskRetry) == std::cv_status::timeout) break;
        } else {
          arrived_.wait(mutex_);
        }
      }
      if (queue_.empty() && stopping_) return;
      batch.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(queue_.end()));
      queue_.clear();
    }
    if (const auto done = handle(batch); !done) {
      silent_ = true;
      hooks_.fatal("the masters' log cannot be written: " + done.error().what() +
                   ". After a failed write or sync nobody knows what is on disk, so this process ends; check the disk, "
                   "then start it again");
      return;
    }
    keep_reserve();
  }
}

Status LogThread::handle(std::vector<Work>& batch) {
  std::vector<raft::Input> answers;
  std::uint64_t sequence = 0;
  for (const auto& work : batch) sequence = std::max(sequence, work.write_sequence);
  if (sequence != 0) {
    const Instant begin = clock_.now();
    busy_since_ = std::max<std::int64_t>(1, begin.time_since_epoch().count());
    for (const auto& work : batch) {
      if (work.write_sequence == 0) continue;
      counted().entries.add(work.appended.size());
      if (auto done = store_->write(work.log_reset, work.hard_state, work.appended); !done) return done;
    }
    if (auto done = store_->sync(); !done) return done;
    busy_since_ = 0;
    counted().syncs.add();
    const Duration took = clock_.now() - begin;
    pace_.observe(took);
    patience_ = pace_.patience(kSyncPatienceMin).count();
    counted().sync_time.observe(took);
    for (const auto& work : batch) {
      if (!silent_ && !work.messages_after_sync.empty()) hooks_.send(work.messages_after_sync);
    }
    answers.emplace_back(raft::Persisted{sequence});
    hooks_.post(std::move(answers));
    answers.clear();
  }
  for (const auto& work : batch) {
    answer_reads(work, &answers);
    if (auto done = snapshot_work(work, &answers); !done) return done;
  }
  log_bytes_ = store_->log().bytes();
  counted().log_bytes.set(static_cast<double>(store_->log().bytes()));
  if (!answers.empty()) hooks_.post(std::move(answers));
  return {};
}

void LogThread::answer_reads(const Work& work, std::vector<raft::Input>* answers) {
  for (const auto& wanted : work.log_reads) {
    raft::EntriesFetched fetched{.peer = wanted.peer, .from = wanted.from};
    auto read = store_->log().read(wanted.from, wanted.bytes_max);
    if (read) {
      fetched.previous_term = read->previous_term;
      fetched.entries = std::move(read->entries);
    } else {
      LOG_WARNING("log entries for {} from {}: {}", text(wanted.peer), text(wanted.from), read.error().what());
    }
    answers->emplace_back(std::move(fetched));
  }
  for (const auto& wanted : work.snapshot_reads) {
    auto read = store_->snapshots().read(wanted);
    if (read && *read) {
      answers->emplace_back(std::move(**read));
    } else {
      LOG_WARNING("snapshot for {}: {}", text(wanted.peer), read ? "there is none" : read.error().what());
      answers->emplace_back(raft::SnapshotPieceRead{.peer = wanted.peer, .meta = {.last = wanted.snapshot}});
    }
  }
}

Status LogThread::snapshot_work(const Work& work, std::vector<raft::Input>* answers) {
  for (const auto& piece : work.snapshot_writes) answers->emplace_back(store_->snapshots().write(piece));
  if (!work.snapshot) return {};
  const auto& wanted = *work.snapshot;
  auto taken = store_->take_snapshot(wanted.meta, wanted.files, wanted.keep_from);
  if (!taken && taken.error().code() == Code::no_space) {
    // Nothing is lost: the log goes on, a later attempt may find room.
    LOG_WARNING("snapshot at {}: {}", text(wanted.meta.last.index), taken.error().what());
    return {};
  }
  if (!taken) return taken.error();
  answers->emplace_back(*taken);
  return {};
}

// The disk is called full when the room for the next segment cannot be had; what the core has handed out before fits
// into the segment in use and the reserve that was just taken into use.
void LogThread::keep_reserve() {
  if (store_->log().has_reserve()) {
    disk_full_ = false;
    return;
  }
  const auto made = store_->make_reserve();
  const bool full = !made;
  if (full && !disk_full_) {
    LOG_ERROR("no room for the masters' log: {}. This master votes but takes nothing more; free some space", made.error().what());
  }
  if (!full && disk_full_) LOG_INFO("there is room for the masters' log again");
  disk_full_ = full;
}

}  // namespace holdfast::master
