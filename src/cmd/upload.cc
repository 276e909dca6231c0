// `upload`: files to the cluster, their ids to stdout, one line of JSON for each call (spec/weed-cluster 1.9).
//
// The named files share one assign (fid, fid_1, ...); with -dir each file has its own. A file whose upload fails gets a
// new id and is tried again, so a volume server or master that dies meanwhile costs time and not files. Bodies are
// streamed: a large file never sits in memory.
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <future>

#include "base/log.h"
#include "base/strconv.h"
#include "base/task.h"
#include "cmd/client_tools.h"
#include "cmd/command.h"
#include "cmd/paths.h"
#include "cmd/signals.h"
#include "front/http/json.h"

namespace holdfast::cmd {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 3;  // of one file, each after the first with an id of its own; upstream's number
constexpr Duration kPause = 500ms;
constexpr std::size_t kPieceBytes = 256 << 10;

struct Sent {
  std::string file_name;
  std::string url;
  std::string fid;
  std::uint64_t size = 0;
  std::string error;
};

std::string go_error(const char* call, const std::string& path, int number) {
  return fmt::format("{} {}: {}", call, path, errno_words(number));
}

// An open file with what an upload wants to know of it.
class Source {
 public:
  static Result<Source> open(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return Error(Code::not_found, go_error("open", path, errno));
    struct stat status {};
    if (::fstat(file, &status) != 0 || S_ISDIR(status.st_mode)) {
      const int number = S_ISDIR(status.st_mode) ? EISDIR : errno;
      ::close(file);
      return Error(Code::invalid, go_error("read", path, number));
    }
    return Source(file, static_cast<std::uint64_t>(status.st_size), status.st_mtime);
  }
  Source(Source&& other) noexcept
      : file_(std::exchange(other.file_, -1)), size(other.size), modified(other.modified) {}
  Source(const Source&) = delete;
  ~Source() {
    if (file_ >= 0) ::close(file_);
  }

  // Up to `bytes` from `offset`; empty at the end or on an error, which the caller sees as a file that shrank.
  std::string_view read(std::uint64_t offset, std::string& room) const {
    room.resize(kPieceBytes);
    ssize_t got;
    do {
      got = ::pread(file_, room.data(), room.size(), static_cast<off_t>(offset));
    } while (got < 0 && errno == EINTR);
    return std::string_view(room).substr(0, got < 0 ? 0 : static_cast<std::size_t>(got));
  }

 private:
  Source(int file, std::uint64_t size, std::int64_t modified) : file_(file), size(size), modified(modified) {}
  int file_;

 public:
  std::uint64_t size;
  std::int64_t modified;
};

class Uploader {
 public:
  Uploader(ClientTools& tools, const FlagSet& flags) : tools_(tools), flags_(flags) {
    wish_.replication = flags.string("replication");
    wish_.collection = flags.string("collection");
    wish_.ttl = flags.string("ttl");
    wish_.data_center = flags.string("dataCenter");
    wish_.disk_type = flags.string("disk");
  }

  void expect(std::size_t files, std::uint64_t bytes) {
    files_all_ = files;
    bytes_all_ = bytes;
  }
  void use_replication(const std::string& replication) {
    if (wish_.replication.empty()) wish_.replication = replication;
  }

  Result<client::Assignment> assign(std::uint64_t count, std::uint64_t expected_bytes) {
    auto wish = wish_;
    wish.count = count;
    wish.expected_data_size = expected_bytes;
    return tools_.masters.assign(wish);
  }

  Sent send(const std::string& path, client::Assignment place, const std::string& fid) {
    Sent sent;
    sent.file_name = fs::path(path).filename().string();
    sent.fid = fid;
    for (int attempt = 1;; ++attempt) {
      const auto& url = flags_.boolean("usePublicUrl") && !place.location.public_url.empty()
                            ? place.location.public_url
                            : place.location.url;
      sent.url = url + "/" + sent.fid;
      sent.error.clear();
      auto source = Source::open(path);
      if (!source) {
        sent.error = source.error().what();
        break;
      }
      const auto stored = send_once(*source, sent, url, place.auth);
      if (stored) {
        sent.size = *stored;
        break;
      }
      sent.error = stored.error().what();
      // What is wrong with the request itself stays wrong; anything else may be over in a moment, on another server.
      if (attempt == kTries || stored.error().code() == Code::invalid) break;
      if (flags_.boolean("debug")) {
        progress_.clear();
        std::fprintf(stderr, "%s: %s; trying again\n", sent.url.c_str(), sent.error.c_str());
      }
      std::this_thread::sleep_for(kPause);
      auto next = assign(1, source->size);
      if (!next) {
        sent.error = next.error().what();
        break;
      }
      place = std::move(*next);
      sent.fid = place.fid;
    }
    ++files_done_;
    show();
    return sent;
  }

  Progress& progress() { return progress_; }

 private:
  // The size as the volume server has it.
  Result<std::uint64_t> send_once(const Source& source, const Sent& sent, const std::string& authority,
                                  const std::string& token) {
    std::promise<Result<std::uint64_t>> promise;
    auto outcome = promise.get_future();
    auto& loop = tools_.loops.at(0);
    loop.post([&] { post(loop, source, sent, authority, token, promise); });
    return outcome.get();
  }

  Task post(io::EventLoop& loop, const Source& source, const Sent& sent, const std::string& authority,
            const std::string& token, std::promise<Result<std::uint64_t>>& promise) {
    const std::string boundary = fmt::format("holdfast{:016x}", static_cast<std::uint64_t>(now().time_since_epoch().count()));
    const std::string head = multipart_head(boundary, sent.file_name, "", "http://" + sent.url);
    const std::string tail = multipart_tail(boundary);
    client::HttpRequest request;
    request.method = "POST";
    request.authority = authority;
    request.target = fmt::format("/{}?ts={}", sent.fid, source.modified);
    if (const auto& ttl = flags_.string("ttl"); !ttl.empty()) request.target += "&ttl=" + query_escape(ttl);
    request.headers.emplace_back("Content-Type", "multipart/form-data; boundary=" + boundary);
    if (!token.empty()) request.headers.emplace_back("Authorization", "Bearer " + token);

    auto call = tools_.http.open(loop, std::move(request), head.size() + source.size + tail.size());
    Status written = co_await call->write(head);
    std::uint64_t offset = 0;
    std::string room;
    while (written && offset < source.size) {
      auto piece = source.read(offset, room);
      piece = piece.substr(0, std::min<std::uint64_t>(piece.size(), source.size - offset));
      if (piece.empty()) {
        written = Error(Code::invalid, "the file became shorter while it was read");
        break;
      }
      written = co_await call->write(piece);
      offset += piece.size();
      bytes_done_ += piece.size();
      show();
    }
    if (written) written = co_await call->write(tail);
    if (!written && written.error().code() != Code::outcome_unknown) {
      call.reset();
      promise.set_value(written.error());
      co_return;
    }
    // Also after a broken write: a server that refuses a body early has said why.
    Result<client::HttpAnswer> answer = co_await call->answer();
    while (answer && answer->body.size() < (64 << 10)) {
      Result<BytesView> piece = co_await call->read();
      if (!piece || piece->empty()) break;
      answer->body += text_of(*piece);
    }
    call.reset();
    if (!answer) {
      promise.set_value(answer.error());
    } else if (answer->status >= 300) {
      const Code code = answer->status >= 500 ? Code::unavailable : Code::invalid;
      promise.set_value(Error(code, error_of_answer(*answer)));
    } else {
      std::uint64_t size = source.size;
      boost::json::error_code fault;
      const auto parsed = boost::json::parse(answer->body, fault);
      if (!fault && parsed.is_object()) {
        if (const auto* told = parsed.as_object().if_contains("size")) {
          if (told->is_int64() && told->as_int64() >= 0) size = static_cast<std::uint64_t>(told->as_int64());
        }
      }
      promise.set_value(size);
    }
  }

  void show() {
    if (!progress_.is_shown()) return;
    const double spent = seconds(now() - begun_);
    progress_.show(fmt::format("{} of {} files, {} of {}{}, {}/s", files_done_.load(), files_all_,
                               human_bytes(bytes_done_), human_bytes(bytes_all_),
                               bytes_all_ == 0 ? std::string() : fmt::format(" ({}%)", bytes_done_ * 100 / bytes_all_),
                               human_bytes(static_cast<std::uint64_t>(static_cast<double>(bytes_done_) / std::max(spent, 0.001)))));
  }

  ClientTools& tools_;
  const FlagSet& flags_;
  client::AssignWish wish_;
  Progress progress_;
  const Instant begun_ = now();
  std::size_t files_all_ = 0;
  std::uint64_t bytes_all_ = 0;
  std::atomic<std::size_t> files_done_{0};
  std::atomic<std::uint64_t> bytes_done_{0};
};

void print(Uploader& uploader, const std::vector<Sent>& all) {
  std::string line;
  front::JsonWriter json(line);
  json.begin_array();
  for (const auto& sent : all) {
    json.begin_object()
        .field_unless_empty("fileName", sent.file_name)
        .field_unless_empty("url", sent.url)
        .field_unless_empty("fid", sent.fid)
        .field_unless_empty("size", sent.size)
        .field_unless_empty("error", sent.error)
        .end_object();
  }
  json.end_array();
  uploader.progress().clear();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

std::uint64_t size_of(const std::string& path) {
  std::error_code fault;
  const auto size = fs::file_size(path, fault);
  return fault ? 0 : size;
}

void tell_of_chunks(const FlagSet& flags, std::uint64_t bytes) {
  const auto max_mb = flags.integer("maxMB");
  if (max_mb > 0 && bytes > static_cast<std::uint64_t>(max_mb) << 20) {
    LOG_ONCE("a file is larger than -maxMB={}: this build does not cut files into chunks yet and uploads it whole, up "
             "to the volume server's -fileSizeLimitMB", max_mb);
  }
}

int upload_files(Uploader& uploader, const Call& call) {
  std::uint64_t bytes = 0;
  for (const auto& path : call.arguments) {
    // All are looked at before anything is uploaded.
    const auto source = Source::open(path);
    if (!source) {
      std::printf("%s\n", source.error().what().c_str());
      std::fflush(stdout);
      return kFailed;
    }
    bytes += source->size;
    tell_of_chunks(call.flags, source->size);
  }
  uploader.expect(call.arguments.size(), bytes);
  const auto place = uploader.assign(call.arguments.size(), bytes / call.arguments.size());
  if (!place) {
    std::printf("%s\n", rpc_text(place.error()).c_str());
    std::fflush(stdout);
    return kFailed;
  }
  std::vector<Sent> all;
  for (std::size_t i = 0; i < call.arguments.size(); ++i) {
    all.push_back(uploader.send(call.arguments[i], *place, i == 0 ? place->fid : fmt::format("{}_{}", place->fid, i)));
  }
  print(uploader, all);
  return 0;
}

int upload_folder(Uploader& uploader, const FlagSet& flags) {
  const std::string root = expand_home(flags.string("dir"));
  struct stat status {};
  if (::lstat(root.c_str(), &status) != 0) {
    const std::string error = go_error("lstat", root, errno);
    std::printf("%s\n%s\n", error.c_str(), error.c_str());  // upstream says it twice
    std::fflush(stdout);
    return kFailed;
  }
  const std::string& pattern = flags.string("include");
  std::vector<std::string> paths;
  std::uint64_t bytes = 0;
  std::error_code fault;
  for (fs::recursive_directory_iterator next(root, fs::directory_options::skip_permission_denied, fault), end;
       !fault && next != end; next.increment(fault)) {
    if (!next->is_regular_file(fault)) continue;
    const std::string name = next->path().filename().string();
    if (!pattern.empty() && ::fnmatch(pattern.c_str(), name.c_str(), 0) != 0) continue;
    paths.push_back(next->path().string());
    bytes += size_of(paths.back());
    tell_of_chunks(flags, size_of(paths.back()));
  }
  if (fault) {
    std::printf("%s: %s\n", root.c_str(), fault.message().c_str());
    std::fflush(stdout);
    return kFailed;
  }
  if (!S_ISDIR(status.st_mode)) paths.push_back(root);
  std::sort(paths.begin(), paths.end());
  uploader.expect(paths.size(), bytes);
  for (const auto& path : paths) {
    const auto place = uploader.assign(1, size_of(path));
    if (!place) {
      uploader.progress().clear();
      std::printf("%s\n", rpc_text(place.error()).c_str());
      std::fflush(stdout);
      return kFailed;
    }
    print(uploader, {uploader.send(path, *place, place->fid)});
  }
  return 0;
}

}  // namespace

int run_upload(const Call& call) {
  // A body that breaks off is dropped by the volume server as a whole, so there is nothing to tidy up.
  const Interruption interruption([] { std::fputs("\ninterrupted\n", stderr); });

  const std::string& masters = call.flags.string("master");
  auto tools = ClientTools::make(masters, 10s);
  if (!tools) {
    std::printf("upload: %s\n", tools.error().what().c_str());
    std::fflush(stdout);
    return kFailed;
  }
  const auto configuration = (*tools)->masters.configuration();
  if (!configuration) {
    std::printf("upload: get master %s configuration: %s\n", masters.c_str(),
                rpc_text(configuration.error()).c_str());
    std::fflush(stdout);
    return kFailed;
  }
  Uploader uploader(**tools, call.flags);
  uploader.use_replication(configuration->default_replication);
  if (!call.flags.string("dir").empty()) return upload_folder(uploader, call.flags);
  if (call.arguments.empty()) return kFailed;
  return upload_files(uploader, call);
}

}  // namespace holdfast::cmd
