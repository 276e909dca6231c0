// `benchmark`: writes many small files and reads them back at random (spec/weed-cluster 1.9).
//
// -c workers are coroutines spread over a few event loops. A write is an assign at a master and a POST at the volume
// server it names, as any client does it; a read is a GET where the volume was last known to be. A request that
// fails is counted and not repeated, so a failover during a run shows as what it is.
#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_map>

#include "base/strconv.h"
#include "base/task.h"
#include "cmd/client_tools.h"
#include "cmd/command.h"
#include "cmd/latency.h"
#include "cmd/paths.h"
#include "cmd/signals.h"
#include "io/posix/cores.h"

namespace holdfast::cmd {
namespace {

constexpr std::size_t kExtraBytesMax = 64;  // sizes vary by 0..63, so that no size is hit by chance
constexpr std::size_t kNoiseBytes = 1 << 20;

// What the workers of one loop have done; touched by its thread only while they run.
struct Share {
  Latencies latencies;
  std::vector<std::string> fids;
  std::unordered_map<std::string, std::vector<client::Location>> places;  // by volume
  std::mt19937_64 random;
  std::string first_error;
};

class Benchmark {
 public:
  Benchmark(ClientTools& tools, const FlagSet& flags)
      : tools_(tools),
        flags_(flags),
        size_(static_cast<std::size_t>(std::max<std::int64_t>(0, flags.integer("size")))),
        count_(static_cast<std::uint64_t>(std::max<std::int64_t>(0, flags.integer("n")))),
        workers_(static_cast<std::size_t>(std::clamp<std::int64_t>(flags.integer("c"), 1, 65536))) {
    std::mt19937_64 random(std::random_device{}());
    noise_.resize(kNoiseBytes + size_ + kExtraBytesMax);
    for (std::size_t i = 0; i + 8 <= noise_.size(); i += 8) {
      const auto bits = random();
      std::memcpy(noise_.data() + i, &bits, 8);
    }
    wish_.collection = flags.string("collection");
    wish_.replication = flags.string("replication");
    wish_.disk_type = flags.string("disk");
    wish_.expected_data_size = size_ + kExtraBytesMax / 2;
  }

  // Fills `fids` with what was written and not deleted again.
  void write(std::vector<std::string>& fids) {
    run("write", "Writing Benchmark", [this](io::EventLoop& loop, Share& share) { write_worker(loop, share); });
    for (auto& share : shares_) {
      fids.insert(fids.end(), std::make_move_iterator(share->fids.begin()), std::make_move_iterator(share->fids.end()));
    }
  }

  void read(const std::vector<std::string>& fids) {
    fids_ = &fids;
    const bool in_order = flags_.boolean("readSequentially");
    run("read", in_order ? "Sequentially Reading Benchmark" : "Randomly Reading Benchmark",
        [this](io::EventLoop& loop, Share& share) { read_worker(loop, share); });
  }

  const std::string& histogram() const { return histogram_; }

 private:
  Task write_worker(io::EventLoop& loop, Share& share) {
    const auto delete_percent = static_cast<std::uint64_t>(std::max<std::int64_t>(0, flags_.integer("deletePercent")));
    const std::string boundary = "holdfast-benchmark";
    const std::string tail = multipart_tail(boundary);
    const std::string content_type = "multipart/form-data; boundary=" + boundary;
    for (;;) {
      const std::uint64_t number = next_.fetch_add(1, std::memory_order_relaxed);
      if (number >= count_) break;
      const auto begun = now();
      Result<client::Assignment> place = co_await awaited<Result<client::Assignment>>(
          loop, [&](auto done) { tools_.masters.assign(wish_, done); });
      if (!place) {
        fail(share, place.error().what());
        continue;
      }
      // Eight bytes of number make each file another one.
      const std::size_t bytes = size_ + share.random() % kExtraBytesMax;
      const std::size_t stamp = std::min<std::size_t>(8, bytes);
      const std::string head = multipart_head(boundary, "bench", "image/bench", "");
      client::HttpRequest request;
      request.method = "POST";
      request.authority = place->location.url;
      request.target = "/" + place->fid + (flags_.boolean("fsync") ? "?fsync=true" : "");
      request.headers.emplace_back("Content-Type", content_type);
      if (!place->auth.empty()) request.headers.emplace_back("Authorization", "Bearer " + place->auth);
      request.body = {head, std::string_view(reinterpret_cast<const char*>(&number), stamp),
                      std::string_view(noise_).substr(share.random() % kNoiseBytes, bytes - stamp), tail};
      Result<client::HttpAnswer> answer = co_await awaited<Result<client::HttpAnswer>>(
          loop, [&](auto done) { tools_.http.send(loop, std::move(request), done); });
      if (!answer || answer->status >= 300) {
        fail(share, answer ? error_of_answer(*answer) : answer.error().what());
        continue;
      }
      share.latencies.add(now() - begun);
      count(bytes);
      if (delete_percent > 0 && share.random() % 100 < delete_percent) {
        const auto delete_begun = now();
        client::HttpRequest removal;
        removal.method = "DELETE";
        removal.authority = place->location.url;
        removal.target = "/" + place->fid;
        if (!place->auth.empty()) removal.headers.emplace_back("Authorization", "Bearer " + place->auth);
        Result<client::HttpAnswer> removed = co_await awaited<Result<client::HttpAnswer>>(
            loop, [&](auto done) { tools_.http.send(loop, std::move(removal), done); });
        if (!removed || removed->status >= 300) {
          fail(share, removed ? error_of_answer(*removed) : removed.error().what());
        } else {
          share.latencies.add(now() - delete_begun);
          count(0);
        }
        continue;
      }
      share.fids.push_back(place->fid);
    }
    leave();
  }

  Task read_worker(io::EventLoop& loop, Share& share) {
    const bool in_order = flags_.boolean("readSequentially");
    for (;;) {
      const std::uint64_t number = next_.fetch_add(1, std::memory_order_relaxed);
      if (number >= count_) break;
      const auto& fid = (*fids_)[in_order ? number % fids_->size() : share.random() % fids_->size()];
      const std::string volume = fid.substr(0, fid.find(','));
      const auto begun = now();
      auto known = share.places.find(volume);
      if (known == share.places.end()) {
        const std::vector<std::string> wanted = {volume};
        Result<std::vector<client::VolumeLocations>> found = co_await awaited<Result<std::vector<client::VolumeLocations>>>(
            loop, [&](auto done) { tools_.masters.lookup(wanted, "", done); });
        if (!found || found->empty() || (*found)[0].locations.empty()) {
          fail(share, found ? "volume " + volume + " not found" : found.error().what());
          continue;
        }
        known = share.places.insert_or_assign(volume, (*found)[0].locations).first;
      }
      client::HttpRequest request;
      request.authority = known->second[share.random() % known->second.size()].url;
      request.target = "/" + fid;
      Result<client::HttpAnswer> answer = co_await awaited<Result<client::HttpAnswer>>(
          loop, [&](auto done) { tools_.http.send(loop, std::move(request), done); });
      if (!answer || answer->status != 200) {
        share.places.erase(volume);
        fail(share, answer ? fmt::format("http status {}", answer->status) : answer.error().what());
        continue;
      }
      share.latencies.add(now() - begun);
      count(answer->body.size());
    }
    leave();
  }

  template <typename Worker>
  void run(const char* phase, const char* title, Worker worker) {
    next_ = 0;
    completed_ = 0;
    failed_ = 0;
    bytes_ = 0;
    shares_.clear();
    running_ = workers_;
    for (std::size_t i = 0; i < tools_.loops.size(); ++i) {
      shares_.push_back(std::make_unique<Share>());
      shares_.back()->random.seed(std::random_device{}());
    }
    std::printf("\n------------ %s ----------\n", title);
    std::fflush(stdout);
    const auto begun = now();
    for (std::size_t i = 0; i < workers_; ++i) {
      auto& loop = tools_.loops.at(i % tools_.loops.size());
      auto& share = *shares_[i % shares_.size()];
      loop.post([&, worker] { worker(loop, share); });
    }
    tell_each_second(begun);
    const double spent = std::max(seconds(now() - begun), 1e-9);

    Latencies all;
    for (const auto& share : shares_) all.add(share->latencies);
    report(all, spent);
    histogram_ += all.histogram(phase);
    for (const auto& share : shares_) {
      if (!share->first_error.empty()) {
        std::printf("First error: %s\n", share->first_error.c_str());
        break;
      }
    }
    std::fflush(stdout);
  }

  void tell_each_second(Instant begun) {
    std::uint64_t completed_before = 0;
    std::uint64_t bytes_before = 0;
    auto told = begun;
    std::unique_lock lock(mutex_);
    while (!all_left_.wait_for(lock, std::chrono::seconds(1), [&] { return running_ == 0; })) {
      const std::uint64_t completed = completed_;
      const std::uint64_t bytes = bytes_;
      const auto present = now();
      const double span = std::max(seconds(present - told), 1e-9);
      std::printf("Completed %llu of %llu requests, %3.1f%% %3.1f/s %3.1f MB/s\n",
                  static_cast<unsigned long long>(completed), static_cast<unsigned long long>(count_),
                  static_cast<double>(completed) * 100 / static_cast<double>(count_),
                  static_cast<double>(completed - completed_before) / span,
                  static_cast<double>(bytes - bytes_before) / span / (1 << 20));
      std::fflush(stdout);
      completed_before = completed;
      bytes_before = bytes;
      told = present;
    }
  }

  void report(const Latencies& all, double spent) {
    std::printf("\nConcurrency Level:      %zu\n", workers_);
    std::printf("Time taken for tests:   %.3f seconds\n", spent);
    std::printf("Completed requests:      %llu\n", static_cast<unsigned long long>(completed_.load()));
    std::printf("Failed requests:        %llu\n", static_cast<unsigned long long>(failed_.load()));
    std::printf("Total transferred:      %llu bytes\n", static_cast<unsigned long long>(bytes_.load()));
    std::printf("Requests per second:    %.2f [#/sec]\n", static_cast<double>(completed_) / spent);
    std::printf("Transfer rate:          %.2f [Kbytes/sec]\n", static_cast<double>(bytes_) / 1024 / spent);
    std::printf("\nConnection Times (ms)\n");
    std::printf("              min      avg        max      std\n");
    std::printf("Total:        %2.1f      %3.1f       %3.1f      %3.1f\n", all.min_ms(), all.mean_ms(), all.max_ms(),
                all.deviation_ms());
    std::printf("\n%s\n", all.table().c_str());
  }

  void count(std::size_t bytes) {
    completed_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  void fail(Share& share, const std::string& why) {
    failed_.fetch_add(1, std::memory_order_relaxed);
    if (share.first_error.empty()) share.first_error = why;
    if (flags_.boolean("debug")) std::fprintf(stderr, "failed: %s\n", why.c_str());
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) all_left_.notify_all();
  }

  ClientTools& tools_;
  const FlagSet& flags_;
  const std::size_t size_;
  const std::uint64_t count_;
  const std::size_t workers_;
  std::string noise_;
  client::AssignWish wish_;
  const std::vector<std::string>* fids_ = nullptr;
  std::vector<std::unique_ptr<Share>> shares_;
  std::string histogram_;

  std::atomic<std::uint64_t> next_{0};
  std::atomic<std::uint64_t> completed_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> bytes_{0};

  std::mutex mutex_;  // leaf
  std::condition_variable all_left_;
  std::size_t running_ = 0;  // workers not done yet
};

bool tell_cannot_write(const std::string& path) {
  std::printf("cannot write %s: %s\n", path.c_str(), errno_words(errno).c_str());
  std::fflush(stdout);
  return false;
}

// Found out before the work rather than after it.
bool can_be_written(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  return ::access(folder.c_str(), W_OK | X_OK) == 0 || tell_cannot_write(path);
}

bool write_file(const std::string& path, const std::string& text) {
  // Under another name first: a run that is cut short leaves the list of the one before.
  const std::string fresh = fmt::format("{}.{}.part", path, ::getpid());
  {
    std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
    out << text;
    out.close();
    if (!out) {
      (void)tell_cannot_write(path);
      ::unlink(fresh.c_str());
      return false;
    }
  }
  if (std::rename(fresh.c_str(), path.c_str()) == 0) return true;
  (void)tell_cannot_write(path);
  ::unlink(fresh.c_str());
  return false;
}

std::string joined(const std::vector<std::string>& fids) {
  std::string text;
  for (const auto& fid : fids) text += fid + "\n";
  return text;
}

}  // namespace

int run_benchmark(const Call& call) {
  const auto& flags = call.flags;
  std::printf("This is Holdfast version %s\n", (version_text() + "  " + platform_text()).c_str());
  std::fflush(stdout);
  const bool only_read = flags.boolean("readOnly");
  const bool only_write = flags.boolean("writeOnly");
  if (only_read && only_write) {
    std::fputs("Error: -readOnly and -writeOnly are mutually exclusive.\n", stderr);
    return kFailed;
  }
  const Interruption interruption([] { std::fputs("\ninterrupted\n", stderr); });

  const std::string list = expand_home(flags.string("list"));
  const std::string histogram = expand_home(flags.string("histogram"));
  if (!only_read && !can_be_written(list)) return 1;
  if (!histogram.empty() && !can_be_written(histogram)) return 1;

  const auto cores = io::posix::usable_cores();
  const auto wished = flags.integer("maxCpu");
  const auto threads = wished > 0 ? static_cast<unsigned>(wished) : cores;
  const auto workers = static_cast<unsigned>(std::clamp<std::int64_t>(flags.integer("c"), 1, 65536));
  auto tools = ClientTools::make(flags.string("master"), 30s, std::min(threads, workers));
  if (!tools) {
    std::printf("benchmark: %s\n", tools.error().what().c_str());
    std::fflush(stdout);
    return kFailed;
  }
  const auto known = (*tools)->masters.configuration();
  if (!known) {
    std::printf("benchmark: no master answers: %s\n", known.error().what().c_str());
    std::fflush(stdout);
    return kFailed;
  }
  // The leader first, as upstream's client has it: a follower would only pass the assigns on.
  if (!known->leader.empty()) {
    auto again = ClientTools::make(known->leader + "," + flags.string("master"), 30s, std::min(threads, workers));
    if (again) tools = std::move(again);
  }

  Benchmark benchmark(**tools, flags);
  std::vector<std::string> fids;
  if (!only_read) {
    benchmark.write(fids);
    if (!write_file(list, joined(fids))) return 1;
  }
  if (!only_write) {
    if (only_read) {
      std::ifstream in(list);
      for (std::string line; std::getline(in, line);) {
        if (!line.empty()) fids.push_back(line);
      }
    }
    if (fids.empty()) {
      std::printf("nothing to read: %s lists no files\n", list.c_str());
      std::fflush(stdout);
      return only_read ? 1 : 0;
    }
    benchmark.read(fids);
  }
  if (!histogram.empty()) {
    const bool written = write_file(histogram, "# phase\tfrom_ms\tto_ms\trequests\n" + benchmark.histogram());
    if (!written) return 1;
  }
  return 0;
}

}  // namespace holdfast::cmd
