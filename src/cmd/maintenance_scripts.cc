#include "cmd/maintenance_scripts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/log.h"
#include "cmd/shell_commands.h"
#include "cmd/shell_words.h"
#include "io/posix/descriptor.h"

namespace holdfast::cmd {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Duration kLook = std::chrono::milliseconds(200);  // whether this master leads, and whether it is to stop
constexpr std::size_t kLineBytesMax = 64 << 10;             // of the shell's answers; the rest of a longer one is dropped
constexpr std::string_view kPrompt = "holdfast-maintenance: next";

// A word as shell_words() reads it back.
std::string quoted(const std::string& word) {
  if (!word.empty() && word.find_first_of(" \t\r;\"'\\") == std::string::npos) return word;
  std::string out = "\"";
  for (const char c : word) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string line_of(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + quoted(word);
  return out;
}

}  // namespace

std::vector<std::string> maintenance_commands(std::string_view scripts, std::vector<std::string>& warnings) {
  std::vector<std::string> out;
  bool has_lock = false;
  for (std::size_t number = 1; !scripts.empty(); ++number) {
    const auto end = scripts.find('\n');
    const auto line = scripts.substr(0, end);
    scripts.remove_prefix(end == std::string_view::npos ? scripts.size() : end + 1);
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos || line[first] == '#') continue;
    const auto commands = shell_words(line);
    if (!commands) {
      warnings.push_back(fmt::format("line {} is left out: {}: {}", number, commands.error().what(), line.substr(first)));
      continue;
    }
    for (const auto& words : *commands) {
      if (find_shell_command(words[0]) == nullptr) {
        warnings.push_back(fmt::format("line {}: \"{}\" is left out: {}", number, line_of(words),
                                       is_future_shell_command(words[0]) ? "this release has no such command yet"
                                                                         : "the shell has no such command"));
        continue;
      }
      has_lock = has_lock || words[0] == "lock";
      out.push_back(line_of(words));
    }
  }
  if (!out.empty() && !has_lock) {
    out.insert(out.begin(), "lock");
    out.emplace_back("unlock");
  }
  return out;
}

// One shell. Belongs to one thread.
class MaintenanceScripts::Session {
 public:
  static Result<std::unique_ptr<Session>> start(const MaintenancePlan& plan) {
    std::array<int, 2> ends{};
    // A socket for both ways: a write to a shell that is gone must be an error and no signal.
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return errno_error(errno, "a socket");
    auto session = std::unique_ptr<Session>(new Session(ends[0]));
    const io::posix::Descriptor theirs(ends[1]);
    std::vector<std::string> words = {"holdfast"};
    if (!plan.config_dir.empty()) words.push_back("-config_dir=" + plan.config_dir);
    words.insert(words.end(), {"shell", "-master=" + plan.masters, "-prompt=" + std::string(kPrompt)});
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    if (::posix_spawn_file_actions_init(&files) != 0) return Error(Code::internal, "no memory");
    if (::posix_spawnattr_init(&attributes) != 0) {
      (void)::posix_spawn_file_actions_destroy(&files);
      return Error(Code::internal, "no memory");
    }
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    for (const int fd : {0, 1, 2}) (void)::posix_spawn_file_actions_adddup2(&files, theirs.get(), fd);
    (void)::posix_spawn_file_actions_addclosefrom_np(&files, 3);
    (void)::posix_spawnattr_setsigmask(&attributes, &none);
    (void)::posix_spawnattr_setsigdefault(&attributes, &all);
    (void)::posix_spawnattr_setpgroup(&attributes, 0);  // Ctrl-C at the master's terminal is not meant for it
    (void)::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    const int error = ::posix_spawn(&session->child_, "/proc/self/exe", &files, &attributes, arguments.data(), environ);
    (void)::posix_spawn_file_actions_destroy(&files);
    (void)::posix_spawnattr_destroy(&attributes);
    if (error != 0) {
      session->child_ = 0;
      return errno_error(error, "/proc/self/exe cannot be started");
    }
    return session;
  }

  // The shell ends at the end of its input, behind the command that it runs, and gives back its lock.
  ~Session() {
    (void)::shutdown(socket_.get(), SHUT_WR);
    if (child_ == 0) return;
    const auto until = Clock::now() + kEndPatience;
    for (int status = 0; ::waitpid(child_, &status, WNOHANG) == 0;) {
      if (Clock::now() >= until) {
        LOG_WARNING("maintenance: the shell (process {}) is left to end its command by itself", child_);
        return;
      }
      (void)next_line(kLook);  // so that it never waits for somebody to read
    }
  }

  Status say(std::string line) {
    line += '\n';
    for (std::size_t sent = 0; sent < line.size();) {
      const auto some = ::send(socket_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
      if (some < 0 && errno == EINTR) continue;
      if (some <= 0) return errno_error(errno, "the shell does not listen");
      sent += static_cast<std::size_t>(some);
    }
    return {};
  }

  // A line of what the shell prints, without its end; Code::timed_out when there is none yet, not_found at the end.
  Result<std::string> next_line(Duration patience) {
    for (;;) {
      if (const auto end = unread_.find('\n'); end != std::string::npos) {
        std::string line = unread_.substr(0, std::min(end, kLineBytesMax));
        unread_.erase(0, end + 1);
        return line;
      }
      pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
      if (::poll(&wait, 1, static_cast<int>(left)) <= 0) return Error(Code::timed_out, "the shell says nothing");
      std::array<char, 4096> room;
      const auto got = ::recv(socket_.get(), room.data(), room.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return Error(Code::not_found, "the shell has ended");
      if (unread_.size() <= kLineBytesMax || std::memchr(room.data(), '\n', static_cast<std::size_t>(got)) != nullptr) {
        unread_.append(room.data(), static_cast<std::size_t>(got));
      }
    }
  }

 private:
  explicit Session(int socket) : socket_(socket) {}

  const io::posix::Descriptor socket_;
  pid_t child_ = 0;
  std::string unread_;
};

MaintenanceScripts::MaintenanceScripts(MaintenancePlan plan, std::function<bool()> is_leader)
    : plan_(std::move(plan)), is_leader_(std::move(is_leader)) {
  if (!plan_.commands.empty()) thread_ = std::thread([this] { run(); });
}

MaintenanceScripts::~MaintenanceScripts() {
  {
    const Guard guard(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool MaintenanceScripts::is_stopping() {
  const Guard guard(mutex_);
  return stopping_;
}

bool MaintenanceScripts::sleep(Duration length) {
  const Guard guard(mutex_);
  stopped_.wait_for(mutex_, length, [this]() HOLDFAST_NO_ANALYSIS { return stopping_; });
  return !stopping_;
}

void MaintenanceScripts::run() {
  while (sleep(kLook)) {
    if (!is_leader_()) continue;
    // A term that is lost and won again within one look is taken for the same; the lock makes that harmless.
    auto next = Clock::now() + plan_.interval;
    while (is_leader_() && sleep(std::min<Duration>(kLook, plan_.interval))) {
      if (Clock::now() < next) continue;
      run_once();
      next = Clock::now() + plan_.interval;
    }
  }
}

void MaintenanceScripts::run_once() {
  LOG_INFO("maintenance: {} commands of master.maintenance.scripts begin", plan_.commands.size());
  auto session = Session::start(plan_);
  if (!session) {
    LOG_WARNING("maintenance: nothing was run: {}", session.error().what());
    return;
  }
  std::size_t given = 0, failed = 0;
  std::string command = "(start)";  // the one that runs
  bool this_failed = false;
  for (;;) {
    const auto line = (*session)->next_line(kLook);
    if (!line && line.error().code() == Code::timed_out) {
      // Nothing more is given to it, and the one that runs is not waited for longer than an end of this master allows.
      if (!is_stopping()) continue;
      LOG_WARNING("maintenance: left at \"{}\": this master stops", command);
      return;
    }
    if (!line) {
      LOG_WARNING("maintenance: the shell ended at \"{}\"; {} commands wait for the next turn", command,
                  plan_.commands.size() - given);
      return;
    }
    if (*line != kPrompt) {
      const bool is_error = line->starts_with("error: ");
      this_failed = this_failed || is_error;
      if (is_error) {
        LOG_WARNING("maintenance: {}: {}", command, *line);
      } else if (!line->empty()) {
        LOG_INFO("maintenance: {}", *line);
      }
      continue;
    }
    failed += this_failed;
    if (this_failed && command == "lock") {
      LOG_WARNING("maintenance: without the admin lock the other {} commands wait for the next turn, in {} s",
                  plan_.commands.size() - given, std::chrono::duration_cast<std::chrono::seconds>(plan_.interval).count());
      return;
    }
    if (given == plan_.commands.size()) break;
    if (is_stopping() || !is_leader_()) {
      LOG_INFO("maintenance: {} commands are left to the next leader", plan_.commands.size() - given);
      return;
    }
    command = plan_.commands[given++];
    this_failed = false;
    if (command != "lock" && command != "unlock") LOG_INFO("maintenance: runs \"{}\"", command);
    if (const auto said = (*session)->say(command); !said) {
      LOG_WARNING("maintenance: {}", said.error().what());
      return;
    }
  }
  LOG_INFO("maintenance: {} commands were run, {} of them failed", given, failed);
}

}  // namespace holdfast::cmd
