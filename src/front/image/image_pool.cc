#include "front/image/image_pool.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/log.h"

namespace holdfast::front {

namespace {

Error errno_error(const char* what) { return Error(Code::io, fmt::format("{}: {}", what, ::strerror(errno))); }

}  // namespace

// One child process. Belongs to one thread of the pool.
class ImagePool::Worker {
 public:
  explicit Worker(const Options& options) : options_(options) {}
  ~Worker() { end(); }
  Worker(const Worker&) = delete;

  void end() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
    if (child_ == 0) return;
    // It holds nothing that would be lost.
    (void)::kill(child_, SIGKILL);
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
    child_ = 0;
  }

  Result<ImageAnswer> ask(const ImageWish& wish, const std::string& image, std::string& bytes) {
    if (child_ != 0 && ::waitpid(child_, nullptr, WNOHANG) == child_) {  // died while it had nothing to do
      child_ = 0;
      end();
    }
    if (child_ == 0) {
      if (auto started = start(); !started) return started.error();
    }
    until_ = std::chrono::steady_clock::now() + options_.patience;
    ImageRequest request{wish, image.size()};
    ImageAnswer answer;
    if (auto status = move_all(POLLOUT, reinterpret_cast<char*>(&request), sizeof request); !status) return status.error();
    if (auto status = move_all(POLLOUT, const_cast<char*>(image.data()), image.size()); !status) return status.error();
    if (auto status = move_all(POLLIN, reinterpret_cast<char*>(&answer), sizeof answer); !status) return status.error();
    // It has read what anybody may have sent: nothing it says is trusted.
    if (answer.bytes > kImageBytesMax) return Error(Code::corrupt, fmt::format("a result of {} bytes", answer.bytes));
    bytes.resize(static_cast<std::size_t>(answer.bytes));
    if (auto status = move_all(POLLIN, bytes.data(), bytes.size()); !status) return status.error();
    return answer;
  }

 private:
  Status start() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return errno_error("a socket");
    posix_spawn_file_actions_t files;
    if (::posix_spawn_file_actions_init(&files) != 0) {
      ::close(ends[0]);
      ::close(ends[1]);
      return Error(Code::internal, "no memory");
    }
    (void)::posix_spawn_file_actions_adddup2(&files, ends[1], kImageWorkerSocket);  // without FD_CLOEXEC, equal or not
    (void)::posix_spawn_file_actions_addclosefrom_np(&files, kImageWorkerSocket + 1);
    std::string title = kImageWorkerTitle;
    std::array<char*, 2> arguments = {title.data(), nullptr};
    const int error = ::posix_spawn(&child_, options_.program.c_str(), &files, nullptr, arguments.data(), environ);
    (void)::posix_spawn_file_actions_destroy(&files);
    ::close(ends[1]);
    if (error != 0) {
      child_ = 0;
      ::close(ends[0]);
      return Error(Code::io, fmt::format("{} cannot be started: {}", options_.program, ::strerror(error)));
    }
    socket_ = ends[0];
    return {};
  }

  Status move_all(short direction, char* at, std::size_t n) {
    while (n > 0) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until_ - std::chrono::steady_clock::now()).count();
      if (left <= 0) return Error(Code::timed_out, "took too long");
      pollfd watched{socket_, direction, 0};
      const int ready = ::poll(&watched, 1, static_cast<int>(left));
      if (ready < 0 && errno != EINTR) return errno_error("poll");
      if (ready <= 0) continue;
      const auto moved = direction == POLLIN ? ::recv(socket_, at, n, MSG_DONTWAIT) : ::send(socket_, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (moved < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (moved == 0) return Error(Code::io, "the worker died");
      if (moved < 0) return Error(Code::io, fmt::format("the worker died: {}", ::strerror(errno)));
      at += moved;
      n -= static_cast<std::size_t>(moved);
    }
    return {};
  }

  const Options& options_;
  pid_t child_ = 0;
  int socket_ = -1;
  std::chrono::steady_clock::time_point until_;
};

ImagePool::ImagePool(Options options, metrics::Registry& registry)
    : options_(std::move(options)),
      done_(registry.counter("holdfast_volume_images_total", "images asked for in another size", {{"outcome", "resized"}})),
      untouched_(registry.counter("holdfast_volume_images_total", "", {{"outcome", "untouched"}})),
      bad_(registry.counter("holdfast_volume_images_total", "", {{"outcome", "bad"}})),
      broken_(registry.counter("holdfast_volume_images_total", "", {{"outcome", "failed"}})) {}

ImagePool::~ImagePool() {
  std::vector<std::thread> threads;
  std::deque<Job> left;
  {
    Guard guard(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    left.swap(jobs_);
  }
  wake_.notify_all();
  for (auto& job : left) job.done(Error(Code::unavailable, "the server is stopping"));
  for (auto& thread : threads) thread.join();
}

void ImagePool::run(const ImageWish& wish, std::string image, Done done) {
  const auto refuse = [&](Code code, const char* why) { done(Error(code, why)); };
  if (image.size() > kImageBytesMax) return refuse(Code::no_space, "the image is too large");
  bool is_refused = false;
  {
    Guard guard(mutex_);
    is_refused = stopping_ || jobs_.size() >= options_.waiting_max || bytes_ + image.size() > options_.waiting_bytes_max;
    if (!is_refused) {
      bytes_ += image.size();
      jobs_.push_back({wish, std::move(image), std::move(done)});
      if (threads_.size() < options_.workers) threads_.emplace_back([this] { serve(); });
    }
  }
  if (is_refused) {
    broken_.add();
    return refuse(Code::busy, "too many images are waiting");
  }
  wake_.notify_one();
}

void ImagePool::serve() {
  (void)::pthread_setname_np(::pthread_self(), "images");
  Worker worker(options_);
  for (;;) {
    Job job;
    {
      Guard guard(mutex_);
      const auto awaited = [this]() HOLDFAST_NO_ANALYSIS { return stopping_ || !jobs_.empty(); };
      if (!wake_.wait_for(mutex_, options_.idle, awaited)) {
        worker.end();
        wake_.wait(mutex_, awaited);
      }
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
      bytes_ -= job.image.size();
    }
    job.done(work(worker, job));
  }
}

Result<std::optional<std::string>> ImagePool::work(Worker& worker, const Job& job) {
  std::string bytes;
  const auto answer = worker.ask(job.wish, job.image, bytes);
  if (!answer) {
    worker.end();
    broken_.add();
    return answer.error();
  }
  switch (answer->outcome) {
    case ImageOutcome::done:
      done_.add();
      return std::optional<std::string>(std::move(bytes));
    case ImageOutcome::untouched:
      untouched_.add();
      return std::optional<std::string>();
    case ImageOutcome::bad:
      bad_.add();
      return Error(Code::invalid, bytes);
    default:
      broken_.add();
      worker.end();  // it may be installed by the next time
      LOG_ONCE("images are served as they are stored: {}", bytes);
      return Error(Code::unsupported, bytes);
  }
}

}  // namespace holdfast::front
