#include "cmd/mfs/daemon.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/log.h"
#include "base/time.h"
#include "cmd/command.h"
#include "cmd/mfs/command_line.h"
#include "cmd/mfs/config.h"
#include "cmd/mfs/lock_file.h"
#include "cmd/mfs/process.h"
#include "cmd/mfs/serving.h"
#include "cmd/plan.h"
#include "cmd/signals.h"

namespace holdfast::mfs {
namespace {

constexpr Duration kPoll = 50ms;       // between two looks at the lock of a daemon that ends
constexpr Duration kInfoPoll = 10ms;   // between two looks for the file that `info` has asked for
constexpr Duration kInfoPatience = 5s;

void put(FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

std::string now_text() {
  char text[64] = {};
  const std::time_t now = std::time(nullptr);
  tm parts{};
  ::localtime_r(&now, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z", &parts);
  return text;
}

int syslog_level(const std::string& name) {
  return name == "ERROR" ? 3 : name == "WARNING" ? 4 : name == "NOTICE" ? 5 : name == "INFO" ? 6 : 7;
}

// One run of the program: a command line, the settings, and what the action does with them.
class Daemon {
 public:
  Daemon(const Role& role, CommandLine line, Config config, std::string data_path)
      : role_(role),
        line_(std::move(line)),
        config_(std::move(config)),
        data_path_(std::move(data_path)),
        lock_(fmt::format("{}/.{}.lock", data_path_, role.name)) {}

  int act();

 private:
  int start();
  int stop(int signal);
  int restart();
  int signal_it(int signal, const char* done);
  int info();
  int test();
  int restore();
  int refuse_dangerous() const;
  std::vector<std::string> about_settings() const;

  Status prepare();
  Result<std::unique_ptr<Serving>> begin();
  int serve(Serving& serving);
  void reload(Serving& serving);
  void write_info(const Serving& serving) const;
  void configure_log() const;
  void use_syslog() const;

  // To the terminal, as long as there is one.
  void say(const std::string& text) const { put(stderr, text + "\n"); }
  // To the terminal and to the log. Once the log is configured.
  void note(const std::string& text) const {
    if (!line_.in_foreground) say(text);
    LOG_WARNING("{}", text);
  }
  int fail(const std::string& text) const {
    say(fmt::format("{}: {}", role_.name, text));
    return 1;
  }
  std::string info_path() const { return fmt::format("{}/.{}_info.txt", data_path_, role_.name); }

  // The process that runs, 0 for none; -1 when that cannot be found out, which has been said.
  pid_t owner() const {
    const auto found = lock_.owner();
    if (!found) {
      fail(found.error().what());
      return -1;
    }
    return found->value_or(0);
  }

  const Role& role_;
  const CommandLine line_;
  Config config_;
  const std::string data_path_;
  LockFile lock_;
  const std::string began_ = now_text();
};

// ---------------------------------------------------------------------------------------------------- actions

int Daemon::act() {
  switch (line_.action) {
    case Action::start: return start();
    case Action::stop: return stop(SIGTERM);
    case Action::kill: return stop(SIGKILL);
    case Action::restart: return restart();
    case Action::try_restart: {
      const pid_t pid = owner();
      if (pid == 0) return fail("does not run, so there is nothing to restart");
      return pid < 0 ? 1 : restart();
    }
    case Action::reload: {
      for (const auto& remark : config_.remarks()) say(remark);
      if (refuse_dangerous() != 0) return 1;
      return signal_it(SIGHUP, "reads its settings again");
    }
    case Action::info: return info();
    case Action::test: return test();
    case Action::restore: return restore();
  }
  return 1;
}

int Daemon::refuse_dangerous() const {
  if (line_.allows_dangerous || config_.dangerous().empty()) return 0;
  for (const auto& name : config_.dangerous()) say(fmt::format("{} is dangerous: take it away, or allow it with -d", name));
  return 1;
}

std::vector<std::string> Daemon::about_settings() const {
  auto all = config_.remarks();
  for (auto& sentence : config_.without_effect()) all.push_back(std::move(sentence));
  if (!line_.tells_defaults) return all;
  for (auto& sentence : config_.defaults_used()) all.push_back(std::move(sentence));
  return all;
}

int Daemon::test() {
  const pid_t pid = owner();
  if (pid < 0) return 1;
  if (pid == 0) {
    put(stdout, fmt::format("{} is not running\n", role_.name));
    return 1;
  }
  put(stdout, fmt::format("{} pid: {}\n", role_.name, pid));
  return 0;
}

int Daemon::signal_it(int signal, const char* done) {
  const pid_t pid = owner();
  if (pid == 0) return fail("is not running");
  if (pid < 0) return 1;
  if (::kill(pid, signal) != 0) return fail(errno_error(errno, fmt::format("signal process {}", pid)).what());
  say(fmt::format("{} (pid {}) {}", role_.name, pid, done));
  return 0;
}

// Comes back when the file is there, so that it can be read at once.
int Daemon::info() {
  const auto mark = [&] {
    struct stat now {};
    if (::stat(info_path().c_str(), &now) != 0) return std::pair<ino_t, std::int64_t>{0, 0};
    return std::pair<ino_t, std::int64_t>{now.st_ino, now.st_mtim.tv_sec * 1'000'000'000 + now.st_mtim.tv_nsec};
  };
  const auto before = mark();
  if (const int status = signal_it(SIGUSR1, "is asked for its info file"); status != 0) return status;
  const auto until = std::chrono::steady_clock::now() + kInfoPatience;
  while (mark() == before && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(kInfoPoll);
  say(fmt::format("{} {}", info_path(), mark() == before ? "has not been written yet" : "is written"));
  return 0;
}

int Daemon::stop(int signal) {
  const pid_t pid = owner();
  if (pid < 0) return 1;
  if (pid == 0) {
    say(fmt::format("{} is not running", role_.name));
    return 0;
  }
  if (::kill(pid, signal) != 0 && errno != ESRCH) {
    return fail(errno_error(errno, fmt::format("signal process {}", pid)).what());
  }
  say(fmt::format("{} (pid {}): {} sent, waits for its end", role_.name, pid, signal == SIGKILL ? "SIGKILL" : "SIGTERM"));
  const auto until = std::chrono::steady_clock::now() + line_.patience;
  for (;;) {
    const pid_t still = owner();
    if (still < 0) return 1;
    if (still == 0) return 0;
    if (still != pid) {
      say(fmt::format("process {} has ended; {} runs again as process {}, which someone else has started", pid, role_.name,
                      still));
      return 0;
    }
    if (std::chrono::steady_clock::now() >= until) {
      return fail(fmt::format("process {} has not ended within {} s", pid, line_.patience.count()));
    }
    std::this_thread::sleep_for(kPoll);
  }
}

int Daemon::restart() {
  // What would keep the new one from starting should not end the old one first.
  if (refuse_dangerous() != 0) return 1;
  const int stopped = stop(SIGTERM);
  return stopped != 0 ? stopped : start();
}

int Daemon::restore() {
  if (refuse_dangerous() != 0) return 1;
  configure_log();
  for (const auto& sentence : about_settings()) note(sentence);
  if (auto done = prepare(); !done) return fail(done.error().what());
  std::vector<std::string> remarks;
  const auto said = restore_master(config_, data_path_, &remarks);
  for (const auto& remark : remarks) say(remark);
  if (!said) return fail(said.error().what());
  say(*said);
  say("no metadata.mfs is written: this master needs none");
  return 0;
}

// ---------------------------------------------------------------------------------------------------- a start

int Daemon::start() {
  if (refuse_dangerous() != 0) return 1;
  const pid_t pid = owner();
  if (pid < 0) return 1;
  if (pid > 0) return fail(fmt::format("runs already, as process {}", pid));
  Detached detached;
  if (!line_.in_foreground) {
    auto child = Detached::detach();
    if (!child) return fail(child.error().what());
    detached = std::move(*child);
  }
  auto serving = begin();
  if (!serving) {
    LOG_ERROR("cannot start: {}", serving.error().what());
    return line_.in_foreground ? 1 : fail(serving.error().what());
  }
  say(fmt::format("{} daemon initialized properly", role_.name));
  detached.succeeded();
  return serve(**serving);
}

// The folder, the user and the lock: what every action needs that works on the state itself.
Status Daemon::prepare() {
  std::vector<std::string> remarks;
  std::string remark;
  const auto user = working_user(config_, &remark);
  if (!user) return user.error();
  if (!remark.empty()) remarks.push_back(remark);
  if (auto done = make_data_folder(data_path_, *user); !done) return done;
  if (auto done = prepare_process(config_, *user, line_.keeps_core_limit, &remarks); !done) return done;
  for (const auto& one : remarks) note(one);
  if (::access(data_path_.c_str(), W_OK | X_OK) != 0 && errno == EACCES) {
    const auto owner = user->name.empty() ? fmt::format("{}", user->uid) : user->name;
    return Error(Code::refused, fmt::format("DATA_PATH: {0} cannot be written by {1}, as which this daemon runs: "
                                            "chown -R {1} {0}, or set WORKING_USER", data_path_, owner));
  }
  if (::chdir(data_path_.c_str()) != 0) return errno_error(errno, "DATA_PATH: chdir " + data_path_);
  return lock_.take();
}

Result<std::unique_ptr<Serving>> Daemon::begin() {
  configure_log();
  LOG_INFO("{} {}, feature level {}, process {}", role_.name, cmd::version_text(), cmd::feature_level(), ::getpid());
  for (const auto& sentence : about_settings()) note(sentence);
  if (line_.restores) note("-a: nothing to restore by hand: every start recovers by itself");
  if (line_.ignores_errors) note("-i: accepted without effect: what is damaged is mended or learned from the other masters");
  if (auto done = prepare(); !done) return done.error();
  if (line_.starts_empty) {
    const auto aside = put_state_aside(config_, data_path_);
    if (!aside) return aside.error();
    if (!aside->empty()) note(fmt::format("the state of before is kept in {}", *aside));
  }
  std::vector<std::string> remarks;
  auto serving = start_serving(config_, data_path_, &remarks);
  for (const auto& remark : remarks) note(remark);
  return serving;
}

void Daemon::use_syslog() const {
  log::use_syslog({.identity = config_.string("SYSLOG_IDENT"),
                   .lowest = syslog_level(config_.string("SYSLOG_MIN_LEVEL")),
                   .raised_to = syslog_level(config_.string("SYSLOG_ELEVATE_TO"))});
}

void Daemon::configure_log() const {
  log::Options options;
  options.program = std::string(role_.name);
  options.files = false;
  options.also_stderr = line_.in_foreground;
  options.stderr_threshold = log::Severity::fatal;
  options.verbosity = std::max(line_.verbosity, config_.string("SYSLOG_MIN_LEVEL") == "DEBUG" ? 1 : 0);
  CHECK(log::configure(options).ok());
  use_syslog();
}

int Daemon::serve(Serving& serving) {
  const auto signal = cmd::wait_for_stop([&] { reload(serving); }, [&] { write_info(serving); });
  LOG_INFO("{}: stopping", signal);
  serving.stop();
  LOG_INFO("{} has stopped", role_.name);
  return 0;
}

void Daemon::reload(Serving& serving) {
  bool is_missing = false;
  const auto text = read_config_file(config_.path(), &is_missing);
  if (!text) {
    LOG_ERROR("reload: {}; nothing is changed", text.error().what());
    return;
  }
  auto fresh = Config::make(role_, *text, config_.path());
  if (!fresh.dangerous().empty() && !line_.allows_dangerous) {
    LOG_ERROR("reload: {} is dangerous and not allowed; nothing is changed", fresh.dangerous().front());
    return;
  }
  if (is_missing) LOG_WARNING("reload: there is no {}: defaults are used", config_.path());
  for (const auto& sentence : fresh.remarks()) LOG_WARNING("{}", sentence);
  const auto change = fresh.since(config_);
  for (const auto& name : change.need_restart) LOG_WARNING("reload: {} has changed, which only a restart takes", name);
  for (const auto& name : change.taken) LOG_INFO("reload: {} has changed", name);
  config_ = std::move(fresh);
  use_syslog();
  serving.reload(config_);
  LOG_INFO("{} has been read again", config_.path());
}

// Whole or not at all: who waits for the file must not read half of it.
void Daemon::write_info(const Serving& serving) const {
  const std::string path = info_path();
  const std::string fresh = path + ".new";
  {
    std::ofstream file(fresh, std::ios::trunc);
    file << fmt::format("[general]\nprogram: {}\nversion: {}\npid: {}\nstarted: {}\nwritten: {}\ndata path: {}\n"
                        "settings: {}\n\n[settings]\n{}\n[{}]\n{}",
                        role_.name, cmd::version_text(), ::getpid(), began_, now_text(), data_path_, config_.path(),
                        config_.report(), role_.name, serving.describe());
    file.close();
    if (!file) {
      LOG_ERROR("info: {} cannot be written", fresh);
      return;
    }
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) LOG_ERROR("{}", errno_error(errno, "info: rename " + fresh).what());
}

}  // namespace

const Role* role_of_program(const std::string& argv0) {
  return find_role(std::string_view(argv0).substr(argv0.rfind('/') + 1));
}

int run(const Role& role, const std::vector<std::string>& arguments) {
  auto line = parse_command_line(role, arguments);
  if (!line) {
    put(stderr, fmt::format("{}: {}\n\n{}", role.name, line.error().what(), usage_of(role)));
    return 1;
  }
  if (line->wants_help) {
    put(stdout, usage_of(role));
    return 0;
  }
  if (line->wants_version) {
    put(stdout, fmt::format("version: {} (holdfast)\n", cmd::release_text()));
    return 0;
  }
  std::error_code trouble;
  line->config_path = std::filesystem::absolute(line->config_path, trouble);
  bool is_missing = false;
  const auto text = read_config_file(line->config_path, &is_missing);
  if (!text) {
    put(stderr, fmt::format("{}: {}\n", role.name, text.error().what()));
    return 1;
  }
  if (is_missing) put(stderr, fmt::format("{}: there is no {}: defaults are used\n", role.name, line->config_path));
  auto config = Config::make(role, *text, line->config_path);
  if (config.string("DATA_PATH").empty()) {
    put(stderr, fmt::format("{}: DATA_PATH is empty: name a folder in {}\n", role.name, line->config_path));
    return 1;
  }
  const auto data_path = std::filesystem::absolute(config.string("DATA_PATH"), trouble).lexically_normal().string();
  return Daemon(role, std::move(*line), std::move(config), data_path).act();
}

}  // namespace holdfast::mfs
