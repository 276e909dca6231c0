#include "service/master/guardian.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string_view>

#include "base/check.h"
#include "base/log.h"
#include "base/strconv.h"
#include "core/raft/configuration.h"

namespace holdfast::master {
namespace {

constexpr int kNice = -10;  // as the thread it watches; where that is allowed
constexpr const char* kName = "hf-guardian";  // 15 bytes at most
constexpr std::string_view kTitle = "holdfast: guardian of master process ";
constexpr int kMemoryFile = 3;  // where one that was started anew finds what it shares
constexpr Duration kPauseMin = 1s, kPauseMax = 60s;
// A datagram may be lost: so often it is said, and at these times after the first.
constexpr std::array<Duration, 5> kSayAt = {Duration(0), 2ms, 10ms, 30ms, 100ms};
constexpr Duration kEndPatience = 500ms;

timespec spec_of(Duration d) { return {.tv_sec = d / 1s, .tv_nsec = (d % 1s).count()}; }

Duration monotonic() {
  timespec now{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

bool is_single_threaded() {
  std::error_code trouble;
  std::size_t threads = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", trouble)) {
    (void)thread;
    ++threads;
  }
  return threads == 1;
}

void sleep_for(Duration d) {
  timespec left = spec_of(d);
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

}  // namespace

// Lives in memory that both processes see; nothing in it points anywhere.
struct Guardian::Shared {
  struct Saying {
    std::uint64_t term = 0;
    std::uint32_t count = 0;
    struct Line {
      io::posix::UdpPeer to;
      std::uint32_t length = 0;
      std::array<char, kCertificateBytesMax> bytes{};
    };
    std::array<Line, raft::kMembersMax> lines{};
  };

  pthread_mutex_t alive;                      // robust: held by the master
  std::atomic<std::uint64_t> word{0};         // newest term revoked
  std::atomic<std::uint64_t> turns{0};
  std::atomic<std::int64_t> hang_patience{std::chrono::nanoseconds(kHangPatience).count()};
  std::atomic<pid_t> thread{0};
  std::atomic<std::uint64_t> newest{0};       // sayings[newest % 2] is whole; 0: nothing to say yet
  std::atomic<std::uint32_t> leads{0};
  std::atomic<std::uint32_t> ended{0};
  std::array<Saying, 2> sayings{};
  // The virtual IP: as above, with another writer.
  std::atomic<std::uint64_t> newest_removal{0};
  std::array<Saying, 2> farewells{};
  std::array<std::array<char, 256>, 2> removals{};
  std::array<std::uint32_t, 2> removal_lengths{};  // 0: it is not held

  // A saying has a term; the word is raised before it is said.
  void raise(std::uint64_t term) {
    auto seen = word.load();
    while (seen < term && !word.compare_exchange_weak(seen, term)) {
    }
  }
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<pid_t>::is_always_lock_free);

// ---------------------------------------------------------------------------------------------------- the master

Result<std::unique_ptr<Guardian>> Guardian::start() {
  if (!is_single_threaded()) return Error(Code::internal, "guardian: other threads run already");
  const int file = ::memfd_create(kName, MFD_CLOEXEC);
  void* memory = MAP_FAILED;
  if (file >= 0 && ::ftruncate(file, sizeof(Shared)) == 0) {
    memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  if (memory == MAP_FAILED) {
    const int error = errno;
    if (file >= 0) ::close(file);
    return errno_error(error, "guardian: memory");
  }
  auto* shared = new (memory) Shared;
  pthread_mutexattr_t attributes;
  CHECK(::pthread_mutexattr_init(&attributes) == 0);
  CHECK(::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
  CHECK(::pthread_mutex_init(&shared->alive, &attributes) == 0);
  (void)::pthread_mutexattr_destroy(&attributes);
  CHECK(::pthread_mutex_lock(&shared->alive) == 0);

  const pid_t master = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) keep_watch(*shared, master);
  if (child < 0) {
    const int error = errno;
    (void)::pthread_mutex_unlock(&shared->alive);
    ::munmap(memory, sizeof(Shared));
    ::close(file);
    return errno_error(error, "guardian: fork");
  }
  return std::unique_ptr<Guardian>(new Guardian(shared, file, child));
}

Guardian::~Guardian() {
  end();
  ::close(memory_);
}

void Guardian::end() {
  {
    Guard guard(mutex_);
    if (std::exchange(ending_, true)) return;
  }
  ended_.notify_all();
  shared_->ended = 1;
  (void)::pthread_mutex_unlock(&shared_->alive);
  const pid_t child = child_;
  int status = 0;
  const auto until = monotonic() + kEndPatience;
  while (child != 0 && ::waitpid(child, &status, WNOHANG) == 0) {
    if (monotonic() > until) {
      (void)::kill(child, SIGKILL);
      (void)::waitpid(child, &status, 0);
      break;
    }
    sleep_for(1ms);
  }
  child_ = 0;
  if (keeper_.joinable()) keeper_.join();
  // The page stays mapped: a thread of the front may still look at the word.
}

void Guardian::keep(Duration steady) {
  if (!keeper_.joinable()) keeper_ = std::thread([this, steady] { replace_the_dead(steady); });
}

void Guardian::replace_the_dead(Duration steady) {
  (void)::pthread_setname_np(::pthread_self(), "guardian-keeper");
  constexpr const char* kUntilThen = "should this master die until then, its lease has to run out";
  Duration pause{};
  Duration begun = monotonic() - steady;  // the first one is replaced at once
  for (;;) {
    // Left for whoever takes child_ away under the lock: end(), or the lines below.
    siginfo_t how{};
    while (::waitid(P_PID, static_cast<id_t>(child_), &how, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    const pid_t dead = child_;
    {
      Guard guard(mutex_);
      if (ending_) return;
      int status = 0;
      (void)::waitpid(dead, &status, 0);
      child_ = 0;
    }
    pause = monotonic() - begun >= steady ? Duration(0) : std::clamp(2 * pause, kPauseMin, kPauseMax);
    const auto why = fmt::format("the guardian of this master (process {}) {} {}", dead,
                                 how.si_code == CLD_EXITED ? "ended with" : "was killed by signal", how.si_status);
    if (pause > Duration(0)) {
      LOG_WARNING("{}; another one is started in {:.0f} s: {}", why, seconds(pause), kUntilThen);
    }
    for (bool is_told = pause > Duration(0);; is_told = true) {
      Guard guard(mutex_);
      ended_.wait_for(mutex_, pause, [this]() HOLDFAST_NO_ANALYSIS { return ending_; });
      if (ending_) return;
      begun = monotonic();
      if (const auto next = spawn()) {
        child_ = *next;
        LOG_WARNING("{}: process {} takes its place", why, *next);
        break;
      } else {
        pause = std::clamp(2 * pause, kPauseMin, kPauseMax);
        if (!is_told) LOG_WARNING("{}; {}; tried again later: {}", why, next.error().what(), kUntilThen);
      }
    }
  }
}

// Whatever other threads hold or write at this moment is no concern of the child: it shares nothing but the page.
Result<pid_t> Guardian::spawn() const {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  if (::posix_spawn_file_actions_init(&files) != 0) return Error(Code::internal, "guardian: no memory");
  if (::posix_spawnattr_init(&attributes) != 0) {
    (void)::posix_spawn_file_actions_destroy(&files);
    return Error(Code::internal, "guardian: no memory");
  }
  sigset_t all;
  sigfillset(&all);
  (void)::posix_spawn_file_actions_adddup2(&files, memory_, kMemoryFile);  // without FD_CLOEXEC, equal or not
  (void)::posix_spawn_file_actions_addclosefrom_np(&files, kMemoryFile + 1);
  (void)::posix_spawnattr_setsigmask(&attributes, &all);  // from the first moment on
  (void)::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::string title = fmt::format("{}{}", kTitle, ::getpid());
  std::array<char*, 2> arguments = {title.data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawn(&child, "/proc/self/exe", &files, &attributes, arguments.data(), environ);
  (void)::posix_spawn_file_actions_destroy(&files);
  (void)::posix_spawnattr_destroy(&attributes);
  if (error != 0) return errno_error(error, "guardian: /proc/self/exe cannot be started");
  return child;
}

void Guardian::run_if_asked(int argc, char** argv) {
  if (argc != 1 || !std::string_view(argv[0]).starts_with(kTitle)) return;
  const auto master = strconv::parse_int(std::string_view(argv[0]).substr(kTitle.size()), 10, 32);
  struct stat about {};
  if (!master || ::fstat(kMemoryFile, &about) != 0 || about.st_size != static_cast<off_t>(sizeof(Shared))) {
    (void)std::fprintf(stderr, "a master starts this by itself\n");
    ::_exit(2);
  }
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, kMemoryFile, 0);
  if (memory == MAP_FAILED) ::_exit(1);
  keep_watch(*static_cast<Shared*>(memory), static_cast<pid_t>(*master));
}

std::atomic<std::uint64_t>* Guardian::turns() { return &shared_->turns; }

void Guardian::watch() { shared_->thread = ::gettid(); }

void Guardian::set_patience(Duration patience) {
  patience = std::max<Duration>(kHangPatience, patience);
  if (patience == patience_) return;
  shared_->hang_patience = patience.count();
  patience_ = patience;
}

// static: of what both kinds of words are made
template <typename Saying>
static void write_down(Term term, const std::vector<Certificate>& certificates, Saying* saying) {
  saying->term = term.value();
  saying->count = 0;
  for (const auto& one : certificates) {
    if (one.datagram.size() > kCertificateBytesMax || saying->count == saying->lines.size()) continue;
    auto& line = saying->lines[saying->count++];
    line.to = one.to;
    line.length = static_cast<std::uint32_t>(one.datagram.size());
    std::memcpy(line.bytes.data(), one.datagram.data(), one.datagram.size());
  }
}

void Guardian::prepare_removal(Term term, const std::string& request, const std::vector<Certificate>& farewells) {
  const auto next = shared_->newest_removal.load() + 1;
  auto& bytes = shared_->removals[next % 2];
  CHECK(request.size() <= bytes.size());
  write_down(term, farewells, &shared_->farewells[next % 2]);
  std::memcpy(bytes.data(), request.data(), request.size());
  shared_->removal_lengths[next % 2] = static_cast<std::uint32_t>(request.size());
  shared_->newest_removal = next;
}

void Guardian::prepare(Term term, bool leads, const std::vector<Certificate>& certificates) {
  if (term != prepared_ || certificates != certificates_) {
    const auto next = shared_->newest.load() + 1;
    write_down(term, certificates, &shared_->sayings[next % 2]);
    shared_->newest = next;
    prepared_ = term;
    certificates_ = certificates;
  }
  if (leads != leads_) shared_->leads = leads ? 1 : 0;
  leads_ = leads;
}

void Guardian::follows() {
  if (leads_) shared_->leads = 0;
  leads_ = false;
}

bool Guardian::revoked(Term term) const { return shared_->word.load() >= term.value(); }

void Guardian::revoke_at_crash() {
  static std::atomic<std::atomic<std::uint64_t>*> word{nullptr};
  word = &shared_->word;  // mapped for ever
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
    struct sigaction known {};
    if (::sigaction(signal, nullptr, &known) != 0 || known.sa_handler != SIG_DFL) continue;
    struct sigaction ours {};
    ours.sa_handler = [](int number) {
      word.load()->store(UINT64_MAX);
      (void)::raise(number);  // by default again, see SA_RESETHAND: when this returns
    };
    ours.sa_flags = static_cast<int>(SA_RESETHAND);
    (void)::sigaction(signal, &ours, nullptr);
  }
}

// ---------------------------------------------------------------------------------------------------- the guardian

namespace {

// From here on only what is safe in the child of a fork, whoever else held a lock in the parent.

void leave_everything_behind() {
  const int nothing = ::open("/dev/null", O_RDWR);
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (nothing >= 0) (void)::dup2(nothing, file);
  }
  (void)::close_range(STDERR_FILENO + 1, ~0u, 0);
  if (::chdir("/") != 0) ::_exit(1);  // a folder that is to be unmounted or removed is not kept
  sigset_t all;
  sigfillset(&all);
  (void)::sigprocmask(SIG_SETMASK, &all, nullptr);  // SIGKILL and SIGSTOP cannot be
  (void)::setpriority(PRIO_PROCESS, 0, kNice);
}

// What ps shows: in place of the command line that was inherited, as far as it has room.
void take_title(pid_t master) {
  (void)::prctl(PR_SET_NAME, kName);
  std::array<char, 4096> stat{};
  const int file = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  const auto length = ::read(file, stat.data(), stat.size() - 1);
  ::close(file);
  if (length <= 0) return;
  // Fields are counted behind the name, which may hold anything: arg_start is the 48th, arg_end the 49th.
  const char* at = std::strrchr(stat.data(), ')');
  for (int field = 2; at != nullptr && field < 48; ++field) at = std::strchr(at + 1, ' ');
  if (at == nullptr) return;
  char* after = nullptr;
  const auto begin = std::strtoull(at, &after, 10);
  const auto end = std::strtoull(after, nullptr, 10);
  if (begin == 0 || end <= begin) return;
  auto* title = reinterpret_cast<char*>(begin);  // NOLINT: where the kernel says our own arguments lie
  const auto room = static_cast<std::size_t>(end - begin);
  std::array<char, 64> words{};
  (void)std::snprintf(words.data(), words.size(), "%s%d", kTitle.data(), master);
  std::memset(title, 0, room);
  std::memcpy(title, words.data(), std::min(room - 1, std::strlen(words.data())));
}

// How a thread of the master stands: 'R', 'S', 'D', 'T' stopped, 't' traced; 0: cannot be told.
class ThreadState {
 public:
  explicit ThreadState(pid_t master) : master_(master) {}
  char look(pid_t thread) {
    if (thread != thread_) {
      if (file_ >= 0) ::close(file_);
      std::array<char, 64> path{};
      (void)std::snprintf(path.data(), path.size(), "/proc/%d/task/%d/stat", master_, thread);
      file_ = ::open(path.data(), O_RDONLY | O_CLOEXEC);
      thread_ = thread;
    }
    std::array<char, 128> stat{};
    if (file_ < 0 || ::pread(file_, stat.data(), stat.size() - 1, 0) <= 0) return 0;
    const char* at = std::strrchr(stat.data(), ')');
    return at != nullptr && at[1] == ' ' ? at[2] : '\0';
  }

 private:
  const pid_t master_;
  pid_t thread_ = 0;
  int file_ = -1;
};

}  // namespace

void Guardian::keep_watch(Shared& shared, pid_t master) {
  leave_everything_behind();
  take_title(master);
  const int ipv4 = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int ipv6 = ::socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int netlink = ::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  const auto send_all = [&](const Shared::Saying& saying) {
    for (std::uint32_t i = 0; i < std::min<std::uint32_t>(saying.count, raft::kMembersMax); ++i) {
      const auto& line = saying.lines[i];
      sockaddr_storage to{};
      std::memcpy(&to, line.to.address.data(), std::min<std::size_t>(line.to.length, line.to.address.size()));
      (void)::sendto(to.ss_family == AF_INET6 ? ipv6 : ipv4, line.bytes.data(),
                     std::min<std::size_t>(line.length, line.bytes.size()), MSG_NOSIGNAL,
                     reinterpret_cast<const sockaddr*>(&to), line.to.length);
    }
  };
  // After the word: it keeps the master from setting the address again. A thread that was just about to is undone by the
  // next time, so only from the second on others are told.
  bool is_removed = false;
  const auto remove_address = [&] {
    static Shared::Saying farewell;
    std::array<char, 256> request{};
    std::uint32_t length = 0;
    std::uint64_t newest = 0;
    do {
      newest = shared.newest_removal.load();
      if (newest == 0) return;
      farewell = shared.farewells[newest % 2];
      request = shared.removals[newest % 2];
      length = shared.removal_lengths[newest % 2];
    } while (shared.newest_removal.load() != newest);
    if (length == 0 || shared.word < farewell.term) return;
    std::array<char, 512> rest{};
    while (::recv(netlink, rest.data(), rest.size(), 0) > 0) {
    }
    if (::send(netlink, request.data(), std::min<std::size_t>(length, request.size()), 0) < 0) return;
    // The kernel has done it when send() returns, and says something only if it could not.
    nlmsghdr head{};
    nlmsgerr result{};
    const auto got = ::recv(netlink, rest.data(), rest.size(), 0);
    if (got >= static_cast<ssize_t>(sizeof head + sizeof result)) {
      std::memcpy(&result, rest.data() + sizeof head, sizeof result);
      if (result.error != 0 && result.error != -EADDRNOTAVAIL && result.error != -ENODEV) return;
    }
    if (is_removed) send_all(farewell);
    is_removed = true;
  };
  // The word first: then it is true.
  const auto say = [&] {
    static Shared::Saying saying;  // a copy: the master may be alive after all, and write
    std::uint64_t newest = 0;
    do {
      newest = shared.newest.load();
      if (newest == 0) return;
      saying = shared.sayings[newest % 2];
    } while (shared.newest.load() != newest);
    shared.raise(saying.term);
    send_all(saying);
    remove_address();
  };
  const auto say_and_end = [&] {
    shared.word = UINT64_MAX;
    if (shared.newest != 0) {
      Duration passed{};
      for (const auto at : kSayAt) {
        sleep_for(at - passed);
        passed = at;
        say();
        if (shared.ended != 0) break;  // in good order: said once, the hand-over has said more
      }
    }
    ::_exit(0);
  };

  ThreadState state(master);
  std::uint64_t turns = shared.turns;
  Duration without_turn{};
  int stopped = 0;
  for (;;) {
    const bool leads = shared.leads != 0;
    const auto tick = leads ? kGuardianTick : kGuardianTickAtRest;
    const auto until = spec_of(monotonic() + tick);
    const int got = ::pthread_mutex_clocklock(&shared.alive, CLOCK_MONOTONIC, &until);
    // Given up in good order, or its owner is dead. The parent is another one once the whole process is gone.
    if (got != ETIMEDOUT || ::getppid() != master) say_and_end();
    if (shared.word == UINT64_MAX) say();  // it crashes, and may take its time to write its memory down
    const auto now_turns = shared.turns.load();
    if (!leads || now_turns != turns) {
      is_removed = false;
      turns = now_turns;
      without_turn = Duration(0);
      stopped = 0;
      continue;
    }
    // Counted in ticks, not by the clock: when the whole machine stood still, so did the guardian.
    without_turn += tick;
    const char seen = state.look(shared.thread);
    stopped = seen == 'T' || seen == 't' ? stopped + 1 : 0;
    if (stopped >= 2 || without_turn >= Duration(shared.hang_patience)) {
      say();  // and again at each tick, for a while
      if (without_turn > Duration(shared.hang_patience) + kSayAt.back()) {
        // Said often enough; it may stand still for hours.
        while (shared.turns == turns) {
          const auto later = spec_of(monotonic() + kGuardianTickAtRest);
          if (::pthread_mutex_clocklock(&shared.alive, CLOCK_MONOTONIC, &later) != ETIMEDOUT || ::getppid() != master) {
            say_and_end();
          }
        }
      }
    }
  }
}

}  // namespace holdfast::master
