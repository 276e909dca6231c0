#include "cmd/mfs/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cmd/servers.h"

namespace holdfast::mfs {
namespace {

constexpr char kWell = '0';
constexpr std::size_t kEntryRoom = 16384;

std::string system_words(int number) { return std::strerror(number); }

// "#1000" as a number.
std::optional<unsigned> number_behind_hash(const std::string& text) {
  if (!text.starts_with('#')) return std::nullopt;
  const auto number = read_integer(text.substr(1));
  if (!number.value || !number.warning.empty() || *number.value < 0 || *number.value > 0xfffffffe) return std::nullopt;
  return static_cast<unsigned>(*number.value);
}

std::optional<User> find_user(const std::string& name) {
  std::array<char, kEntryRoom> room{};
  passwd entry{};
  passwd* found = nullptr;
  if (const auto uid = number_behind_hash(name)) {
    if (::getpwuid_r(*uid, &entry, room.data(), room.size(), &found) != 0 || found == nullptr) {
      return User{.uid = *uid, .gid = *uid, .name = ""};
    }
  } else if (::getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found) != 0 || found == nullptr) {
    return std::nullopt;
  }
  return User{.uid = found->pw_uid, .gid = found->pw_gid, .name = found->pw_name};
}

std::optional<gid_t> find_group(const std::string& name) {
  if (const auto gid = number_behind_hash(name)) return *gid;
  std::array<char, kEntryRoom> room{};
  group entry{};
  group* found = nullptr;
  if (::getgrnam_r(name.c_str(), &entry, room.data(), room.size(), &found) != 0 || found == nullptr) return std::nullopt;
  return found->gr_gid;
}

void raise_core_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_CORE, &limit);
}

void lock_memory(std::vector<std::string>* remarks) {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  (void)::setrlimit(RLIMIT_MEMLOCK, &unlimited);  // only root can; without it the limit may still suffice
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    remarks->push_back(fmt::format("LOCK_MEMORY: memory cannot be locked: {}", system_words(errno)));
  }
}

void spare_when_memory_is_short(bool is_wanted, std::vector<std::string>* remarks) {
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  const bool is_done = file >= 0 && ::write(file, "-1000\n", 6) == 6;
  const int error = errno;
  if (file >= 0) ::close(file);
  if (!is_done && is_wanted) {
    remarks->push_back(fmt::format("DISABLE_OOM_KILLER: the kernel may still end this daemon: {}", system_words(error)));
  }
}

Status become(const User& user) {
  if (::geteuid() != 0 || (user.uid == 0 && user.gid == 0)) return {};
  const bool has_groups =
      user.name.empty() ? ::setgroups(1, &user.gid) == 0 : ::initgroups(user.name.c_str(), user.gid) == 0;
  if (!has_groups || ::setgid(user.gid) != 0 || ::setuid(user.uid) != 0) {
    return errno_error(errno, fmt::format("WORKING_USER: cannot become {}", user.name.empty() ? "it" : user.name));
  }
  return {};
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- the terminal

Detached::Detached(Detached&& other) noexcept : pipe_(std::exchange(other.pipe_, -1)) {}

Detached& Detached::operator=(Detached&& other) noexcept {
  std::swap(pipe_, other.pipe_);
  return *this;
}

Detached::~Detached() {
  if (pipe_ >= 0) ::close(pipe_);
}

Result<Detached> Detached::detach() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  const pid_t child = ::fork();
  if (child < 0) return errno_error(errno, "fork");
  if (child > 0) {
    ::close(ends[1]);
    char said = 0;
    ssize_t got = 0;
    do got = ::read(ends[0], &said, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1 && said == kWell) ::_exit(0);
    int status = 0;
    if (::waitpid(child, &status, 0) == child && WIFSIGNALED(status)) {
      ::dprintf(STDERR_FILENO, "the daemon died during its start: %s\n", ::strsignal(WTERMSIG(status)));
    }
    ::_exit(1);
  }
  Detached detached;
  detached.pipe_ = ends[1];
  // Whatever the one who started us had open is no affair of a daemon.
  const auto pipe = static_cast<unsigned>(ends[1]);
  if (pipe > STDERR_FILENO + 1) (void)::close_range(STDERR_FILENO + 1, pipe - 1, 0);
  (void)::close_range(pipe + 1, ~0u, 0);
  if (::setsid() < 0) return errno_error(errno, "setsid");
  return detached;
}

void Detached::succeeded() {
  if (pipe_ < 0) return;
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing >= 0) {
    for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) (void)::dup2(nothing, file);
    if (nothing > STDERR_FILENO) ::close(nothing);
  }
  (void)!::write(pipe_, &kWell, 1);
  ::close(std::exchange(pipe_, -1));
}

// ---------------------------------------------------------------------------------------------------- the user

Result<User> working_user(const Config& config, std::string* remark) {
  const User self{.uid = ::geteuid(), .gid = ::getegid(), .name = ""};
  const auto& name = config.string("WORKING_USER");
  const auto& group = config.string("WORKING_GROUP");
  if (self.uid != 0) {
    const auto wanted = find_user(name);
    if (config.is_given("WORKING_USER") && (!wanted || wanted->uid != self.uid)) {
      *remark = fmt::format("WORKING_USER {}: only root can switch to it; runs as uid {}", shown(name), self.uid);
    }
    return self;
  }
  auto user = find_user(name);
  if (!user && config.is_given("WORKING_USER")) {
    return Error(Code::invalid, fmt::format("WORKING_USER: there is no user {}; make one (useradd --system {}), or name "
                                            "another in {}", shown(name), shown(name), config.path()));
  }
  if (!user) {
    *remark = fmt::format("there is no user {}, the default of WORKING_USER: runs as root", name);
    user = self;
  }
  if (!group.empty()) {
    const auto gid = find_group(group);
    if (!gid) return Error(Code::invalid, fmt::format("WORKING_GROUP: there is no group {}", shown(group)));
    user->gid = *gid;
  }
  return *user;
}

Status make_data_folder(const std::string& path, const User& user) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISDIR(info.st_mode)) return Error(Code::invalid, fmt::format("DATA_PATH: {} is no folder", path));
    return {};
  }
  if (::mkdir(path.c_str(), 0750) != 0) return errno_error(errno, fmt::format("DATA_PATH: make {}", path));
  if (::geteuid() == 0 && ::chown(path.c_str(), user.uid, user.gid) != 0) {
    return errno_error(errno, fmt::format("DATA_PATH: give {} to WORKING_USER", path));
  }
  return {};
}

Status prepare_process(const Config& config, const User& user, bool keeps_core_limit, std::vector<std::string>* remarks) {
  if (const auto raised = cmd::raise_files_limit(); !raised) remarks->push_back(raised.error().what());
  if (!keeps_core_limit) raise_core_limit();
  if (const auto arenas = config.integer("LIMIT_GLIBC_MALLOC_ARENAS"); arenas > 0) {
    ::mallopt(M_ARENA_MAX, static_cast<int>(arenas));
  }
  if (config.boolean("LOCK_MEMORY")) lock_memory(remarks);
  if (config.boolean("DISABLE_OOM_KILLER")) spare_when_memory_is_short(config.is_given("DISABLE_OOM_KILLER"), remarks);
  const auto nice = static_cast<int>(config.integer("NICE_LEVEL"));
  if (::setpriority(PRIO_PROCESS, 0, nice) != 0 && config.is_given("NICE_LEVEL")) {
    remarks->push_back(fmt::format("NICE_LEVEL {}: {}", nice, system_words(errno)));
  }
  ::umask(static_cast<mode_t>(config.integer("FILE_UMASK")));
  if (auto done = become(user); !done) return done;
  if (!keeps_core_limit) (void)::prctl(PR_SET_DUMPABLE, 1);  // the switch of users had taken it away
  return {};
}

}  // namespace holdfast::mfs
