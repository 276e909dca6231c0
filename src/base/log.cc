#include "base/log.h"

#include <dirent.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "base/strconv.h"

namespace holdfast::log {

std::atomic<int> verbosity{0};
std::atomic<bool> has_rules{false};

namespace {

constexpr std::array kNames = {"INFO", "WARNING", "ERROR", "FATAL"};
constexpr int kFrames = 64;  // of a stack in the log; deeper ones are cut

struct Rule {
  std::string pattern;  // over the base name without its ending; over the whole path when it has a slash
  int level;
};

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::string host_name() {
  char name[256] = "unknownhost";
  ::gethostname(name, sizeof name - 1);
  name[sizeof name - 1] = '\0';
  if (char* dot = std::strchr(name, '.')) *dot = '\0';
  return name;
}

std::string user_name() {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> room{};
  if (::getpwuid_r(::getuid(), &entry, room.data(), room.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return "unknownuser";
}

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<int>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

std::string format_line(bool json, Severity severity, std::string_view file, int line, std::string_view text) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  if (json) {
    ::gmtime_r(&now.tv_sec, &parts);
    std::string out = fmt::format(
        R"({{"ts":"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z","level":"{}","file":)", parts.tm_year + 1900,
        parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec,
        kNames[static_cast<std::size_t>(severity)]);
    append_json_text(out, file);
    out += fmt::format(R"(,"line":{},"msg":)", line);
    append_json_text(out, text);
    return out + "}\n";
  }
  ::localtime_r(&now.tv_sec, &parts);
  return fmt::format("{}{:02}{:02} {:02}:{:02}:{:02}.{:06} {}:{} {}\n",
                     kNames[static_cast<std::size_t>(severity)][0], parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                     parts.tm_min, parts.tm_sec, now.tv_nsec / 1000, file, line, text);
}

// Writes path + ".gz" and removes `path`. Runs in a thread of its own at rotation; a failure leaves the plain file.
void compress(const std::string& path) {
  const int source = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (source < 0) return;
  const std::string target = path + ".gz";
  gzFile out = ::gzopen(target.c_str(), "wbxe");
  bool ok = out != nullptr;
  std::array<char, 65536> room{};
  while (ok) {
    const auto got = ::read(source, room.data(), room.size());
    if (got < 0) ok = false;
    if (got <= 0) break;
    ok = ::gzwrite(out, room.data(), static_cast<unsigned>(got)) == got;
  }
  if (out != nullptr) ok = ::gzclose(out) == Z_OK && ok;
  ::close(source);
  ::unlink(ok ? path.c_str() : target.c_str());
}

// One file of one severity: opened with its first line, rotated by size and age.
class File {
 public:
  File(const Options& options, Severity severity) : options_(options), severity_(severity) {}

  // Whether the line is on its way to the disk. The reason of a failure is in errno.
  bool append(std::string_view line) {
    const auto now = ::time(nullptr);
    const bool is_old =
        options_.file_age_max > 0s && now - opened_ >= std::chrono::duration_cast<std::chrono::seconds>(
                                                           options_.file_age_max).count();
    if (file_ >= 0 && (bytes_ + line.size() > options_.file_bytes_max || is_old)) rotate();
    if (file_ < 0 && !open(now)) return false;
    if (!write_all(file_, line)) return false;
    bytes_ += line.size();
    return true;
  }

 private:
  std::string prefix() const {
    return fmt::format("{}.{}.{}.log.{}.", options_.program, host_name(), user_name(), name());
  }
  const char* name() const { return kNames[static_cast<std::size_t>(severity_)]; }

  bool open(std::time_t now) {
    tm parts{};
    ::localtime_r(&now, &parts);
    const std::string stem =
        fmt::format("{}{:04}{:02}{:02}-{:02}{:02}{:02}.{}", prefix(), parts.tm_year + 1900, parts.tm_mon + 1,
                    parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, ::getpid());
    // Several rotations in one second get a number at the end, in the order of the names. The temp dir is anyone's:
    // O_EXCL keeps us from following a name that someone else has put there.
    if (stem != stem_) number_ = 0;
    stem_ = stem;
    path_ = fmt::format("{}/{}{}", options_.directory, stem, number_ == 0 ? "" : fmt::format(".{:06}", number_));
    ++number_;
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (file_ < 0) return false;
    opened_ = now;
    bytes_ = 0;

    const std::string link = fmt::format("{}/{}.{}", options_.directory, options_.program, name());
    const std::string fresh = fmt::format("{}.{}", link, ::getpid());
    ::unlink(fresh.c_str());
    if (::symlink(std::string(base_name(path_)).c_str(), fresh.c_str()) == 0 &&
        ::rename(fresh.c_str(), link.c_str()) != 0) {
      ::unlink(fresh.c_str());
    }
    remove_surplus();
    return true;
  }

  void rotate() {
    ::close(file_);
    file_ = -1;
    if (options_.compress) std::thread(compress, path_).detach();
  }

  // Files of other processes that still run share the folder and stay, however many they are.
  void remove_surplus() {
    if (options_.files_max <= 0) return;
    DIR* folder = ::opendir(options_.directory.c_str());
    if (folder == nullptr) return;
    std::vector<std::string> found;
    const std::string want = prefix();
    while (const dirent* entry = ::readdir(folder)) {
      const std::string_view file = entry->d_name;
      if (file.starts_with(want) && is_ours_or_orphan(file.substr(want.size()))) found.emplace_back(file);
    }
    ::closedir(folder);
    std::sort(found.begin(), found.end());
    const auto keep = static_cast<std::size_t>(options_.files_max);
    for (std::size_t i = 0; i + keep < found.size(); ++i) {
      ::unlink(fmt::format("{}/{}", options_.directory, found[i]).c_str());
    }
  }

  // `rest` is "<yyyymmdd>-<hhmmss>.<pid>" with perhaps ".<n>" or ".gz" behind.
  static bool is_ours_or_orphan(std::string_view rest) {
    const auto dot = rest.find('.');
    if (dot == std::string_view::npos) return false;
    const auto digits = rest.substr(dot + 1);
    const auto pid = strconv::atoi(digits.substr(0, digits.find('.')));
    if (!pid || *pid <= 0) return false;
    return *pid == ::getpid() || (::kill(static_cast<pid_t>(*pid), 0) != 0 && errno == ESRCH);
  }

  const Options& options_;
  const Severity severity_;
  int file_ = -1;
  std::string path_;
  std::string stem_;  // of the newest file
  int number_ = 0;    // of the next file with that stem
  std::time_t opened_ = 0;
  std::uint64_t bytes_ = 0;
};

struct State {
  Options options;
  std::vector<Rule> rules;
  std::string backtrace_file;
  int backtrace_line = 0;

  Mutex mutex;  // leaf; keeps files and their rotation whole
  std::array<std::unique_ptr<File>, 4> files HOLDFAST_GUARDED_BY(mutex);
  bool has_failed HOLDFAST_GUARDED_BY(mutex) = false;
};

// Set once by configure(), then never freed: threads may log until the process is gone.
std::atomic<State*> configured{nullptr};

// The levels of the system's log, 0: it is not used. Its identity is kept for ever: openlog() takes no copy.
std::atomic<int> syslog_lowest{0};
std::atomic<int> syslog_raised_to{0};

void write_syslog(Severity severity, std::string_view text) {
  const int lowest = syslog_lowest.load(std::memory_order_relaxed);
  if (lowest == 0) return;
  const int level = severity == Severity::info ? 6 : severity == Severity::warning ? 4 : 3;
  if (level > lowest) return;
  const int sent = std::min(level, syslog_raised_to.load(std::memory_order_relaxed));
  ::syslog(sent, "%.*s", static_cast<int>(text.size()), text.data());
}

// A CHECK that fails inside this file while the mutex is held must not wait for itself.
thread_local bool is_writing = false;

void write_files(State& state, Severity severity, std::string_view line) {
  if (state.options.only_stderr || !state.options.files || is_writing) return;
  is_writing = true;
  {
    const Guard guard(state.mutex);
    for (int i = static_cast<int>(severity); i >= 0; --i) {
      auto& file = state.files[static_cast<std::size_t>(i)];
      if (!file) file = std::make_unique<File>(state.options, static_cast<Severity>(i));
      if (!file->append(line) && !state.has_failed) {
        state.has_failed = true;
        write_all(STDERR_FILENO, fmt::format("log files in {} cannot be written: {}; lines go to stderr alone\n",
                                             state.options.directory, std::strerror(errno)));
      }
    }
  }
  is_writing = false;
}

Result<std::vector<Rule>> parse_rules(std::string_view text) {
  std::vector<Rule> rules;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto part = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (part.empty()) continue;
    const auto equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return Error(Code::invalid, "syntax error: expect comma-separated list of filename=N");
    }
    const auto level = strconv::atoi(part.substr(equals + 1));
    if (!level || *level < 0) return Error(Code::invalid, "syntax error: expect comma-separated list of filename=N");
    rules.push_back({std::string(part.substr(0, equals)), static_cast<int>(*level)});
  }
  return rules;
}

}  // namespace

Result<Severity> parse_severity(std::string_view text) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (::strncasecmp(kNames[i], text.data(), text.size()) == 0 && std::strlen(kNames[i]) == text.size()) {
      return static_cast<Severity>(i);
    }
  }
  const auto number = strconv::atoi(text);
  if (!number) return number.error();
  if (*number < 0) return Error(Code::invalid, "severity is 0 to 3, or INFO, WARNING, ERROR, FATAL");
  return static_cast<Severity>(std::min<std::int64_t>(*number, 3));
}

Status configure(const Options& options) {
  CHECK(configured.load() == nullptr);
  auto state = std::make_unique<State>();
  state->options = options;
  if (state->options.directory.empty()) {
    const char* temporary = std::getenv("TMPDIR");
    state->options.directory = temporary != nullptr && *temporary != '\0' ? temporary : "/tmp";
  }
  auto rules = parse_rules(options.per_file);
  if (!rules) return rules.error();
  state->rules = std::move(*rules);
  if (!options.backtrace_at.empty()) {
    const auto colon = options.backtrace_at.rfind(':');
    const auto line = colon == std::string::npos ? Result<std::int64_t>(Error(Code::invalid, ""))
                                                 : strconv::atoi(options.backtrace_at.substr(colon + 1));
    if (!line || *line <= 0) return Error(Code::invalid, "syntax error: expect file.go:234");
    state->backtrace_file = options.backtrace_at.substr(0, colon);
    state->backtrace_line = static_cast<int>(*line);
  }
  verbosity = options.verbosity;
  has_rules = !state->rules.empty();
  configured.store(state.release(), std::memory_order_release);
  return {};
}

void use_syslog(const Syslog& options) {
  static std::string identity;
  if (identity.empty()) {
    identity = options.identity;
    ::openlog(identity.c_str(), LOG_PID | LOG_NDELAY, LOG_DAEMON);
  }
  syslog_raised_to = options.raised_to;
  syslog_lowest = options.lowest;
}

bool rules_let(int level, const char* file) {
  const State* state = configured.load(std::memory_order_acquire);
  if (state == nullptr) return false;
  std::string path = file;
  path = path.substr(0, path.rfind('.'));
  const std::string base(base_name(path));
  for (const auto& rule : state->rules) {
    const bool is_path = rule.pattern.find('/') != std::string::npos;
    if (::fnmatch(rule.pattern.c_str(), is_path ? path.c_str() : base.c_str(), 0) == 0) return rule.level >= level;
  }
  return false;
}

void write(Severity severity, const char* file, int line, std::string_view text) {
  State* state = configured.load(std::memory_order_acquire);
  const auto base = base_name(file);
  write_syslog(severity, text);
  const auto whole = format_line(state != nullptr && state->options.json, severity, base, line, text);
  if (state == nullptr) {
    write_all(STDERR_FILENO, whole);
    return;
  }
  if (state->options.only_stderr || state->options.also_stderr || severity >= state->options.stderr_threshold) {
    write_all(STDERR_FILENO, whole);
  }
  write_files(*state, severity, whole);
  if (state->backtrace_line == line && state->backtrace_file == base) {
    void* frames[kFrames];
    ::backtrace_symbols_fd(frames, ::backtrace(frames, kFrames), STDERR_FILENO);
  }
}

void write_fatal(const char* file, int line, std::string_view text) {
  write(Severity::fatal, file, line, text);
  ::_exit(255);
}

}  // namespace holdfast::log
