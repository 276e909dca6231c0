// `upload`: files to the cluster, their ids to stdout, one line of JSON for each call (spec/weed-cluster 1.9).
//
// The named files share one assign (fid, fid_1, ...); with -dir each file has its own. A file whose upload fails gets a
// new id and is tried again, so a volume server or master that dies meanwhile costs time and not files. Bodies are
// streamed: a large file never sits in memory. One above -maxMB is cut into chunks, each a file with an id of its own,
// and its own id gets a manifest that names them (client/chunk_manifest.h); when that fails they are deleted again.
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
#include "client/chunk_manifest.h"
#include "cmd/client_tools.h"
#include "cmd/command.h"
#include "cmd/paths.h"
#include "cmd/signals.h"
#include "front/http/json.h"
#include "model/content_type.h"

namespace holdfast::cmd {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 3;  // of one file, each after the first with an id of its own; upstream's number
constexpr Duration kPause = 500ms;
constexpr std::size_t kPieceBytes = 256 << 10;
constexpr std::uint64_t kChunksMax = client::kManifestBytesMax / 64;  // an entry takes up to some 60 bytes, and a name its own

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

// What one request uploads: a part of a file, or a text.
struct Part {
  std::string name;
  std::string type;   // "" for none
  std::string query;  // "ts=..."
  const Source* source = nullptr;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::string text;  // without a source
};

// The chunks of a file whose manifest is not there yet: nobody would ever find them.
class Loose {
 public:
  void use(ClientTools& tools) { tools_ = &tools; }

  // Does not return once the process is about to end: no chunk is begun then.
  void add(const std::string& fid) {
    for (;;) {
      {
        const Guard guard(mutex_);
        if (!is_ending_) return fids_.push_back(fid);
      }
      ::pause();
    }
  }
  void end() {
    {
      const Guard guard(mutex_);
      is_ending_ = true;
    }
    remove();
  }
  void keep() {
    const Guard guard(mutex_);
    fids_.clear();
  }

  // As far as it can be done: from any thread but a loop.
  void remove() {
    std::vector<std::string> fids;
    {
      const Guard guard(mutex_);
      fids.swap(fids_);
    }
    for (const auto& fid : fids) {
      const auto found = tools_->masters.lookup({fid});
      if (!found || found->empty() || found->front().locations.empty()) continue;
      client::HttpRequest request;
      request.method = "DELETE";
      request.authority = found->front().locations.front().url;
      request.target = "/" + fid;
      request.may_repeat = true;
      if (const auto& token = found->front().auth; !token.empty()) request.headers.emplace_back("Authorization", "Bearer " + token);
      const auto gone = tools_->http.send_and_wait(std::move(request));
      if (!gone) LOG_V(1, "deleting {}: {}", fid, gone.error().what());
    }
  }

 private:
  ClientTools* tools_ = nullptr;
  Mutex mutex_;  // leaf
  std::vector<std::string> fids_ HOLDFAST_GUARDED_BY(mutex_);
  bool is_ending_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

class Uploader {
 public:
  Uploader(ClientTools& tools, const FlagSet& flags, Loose& loose) : tools_(tools), flags_(flags), loose_(loose) {
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
    sent.url = url_of(place) + "/" + fid;
    const auto source = Source::open(path);
    Result<std::uint64_t> stored = Error(Code::invalid, "");
    if (!source) {
      stored = source.error();
    } else if (const auto chunk = chunk_bytes(); chunk != 0 && source->size > chunk) {
      stored = send_in_chunks(sent.file_name, *source, chunk, place, sent);
    } else {
      Part part{.name = sent.file_name, .query = query_of(*source), .source = &*source, .size = source->size};
      stored = upload(part, place, sent);
    }
    if (stored) {
      sent.size = *stored;
    } else {
      sent.error = stored.error().what();
    }
    ++files_done_;
    show();
    return sent;
  }

  Progress& progress() { return progress_; }

 private:
  std::uint64_t chunk_bytes() const {
    const auto mb = flags_.integer("maxMB");
    return mb > 0 ? static_cast<std::uint64_t>(mb) << 20 : 0;
  }

  const std::string& url_of(const client::Assignment& place) const {
    return flags_.boolean("usePublicUrl") && !place.location.public_url.empty() ? place.location.public_url : place.location.url;
  }

  std::string query_of(const Source& source) const {
    auto query = fmt::format("ts={}", source.modified);
    if (const auto& ttl = flags_.string("ttl"); !ttl.empty()) query += "&ttl=" + query_escape(ttl);
    return query;
  }

  // The size as the volume server has it. Tried again under another id: `sent` tells the last one.
  Result<std::uint64_t> upload(const Part& part, client::Assignment place, Sent& sent) {
    for (int attempt = 1;; ++attempt) {
      sent.url = url_of(place) + "/" + sent.fid;
      auto stored = send_once(part, sent, url_of(place), place.auth);
      // What is wrong with the request itself stays wrong; anything else may be over in a moment, on another server.
      if (stored || attempt == kTries || stored.error().code() == Code::invalid) return stored;
      if (flags_.boolean("debug")) {
        progress_.clear();
        std::fprintf(stderr, "%s: %s; trying again\n", sent.url.c_str(), stored.error().what().c_str());
      }
      std::this_thread::sleep_for(kPause);
      auto next = assign(1, part.size);
      if (!next) return next.error();
      place = std::move(*next);
      sent.fid = place.fid;
    }
  }

  Result<std::uint64_t> send_in_chunks(const std::string& name, const Source& source, std::uint64_t chunk_size,
                                       const client::Assignment& place, Sent& sent) {
    const auto count = (source.size + chunk_size - 1) / chunk_size;
    if (count > kChunksMax) {
      return Error(Code::invalid, fmt::format("{} bytes would be {} chunks of {} bytes, above the {} that a manifest holds: use a larger -maxMB",
                                              source.size, count, chunk_size, kChunksMax));
    }
    auto stored = send_chunks(name, source, chunk_size, count, place, sent);
    if (stored) {
      loose_.keep();
    } else {
      loose_.remove();
    }
    return stored;
  }

  Result<std::uint64_t> send_chunks(const std::string& name, const Source& source, std::uint64_t chunk_size, std::uint64_t count,
                                    const client::Assignment& place, Sent& sent) {
    client::ChunkManifest manifest{.name = name, .mime = std::string(types_.of_name(name)), .size = source.size};
    for (std::uint64_t i = 0; i < count; ++i) {
      Part part{.name = fmt::format("{}-{}", name, i + 1), .query = query_of(source), .source = &source, .offset = i * chunk_size};
      part.size = std::min(chunk_size, source.size - part.offset);
      const auto assigned = assign(1, part.size);
      if (!assigned) return assigned.error();
      Sent chunk;
      chunk.fid = assigned->fid;
      loose_.add(chunk.fid);
      const auto stored = upload(part, *assigned, chunk);
      if (!stored) return Error(stored.error().code(), fmt::format("{}: {}", part.name, stored.error().what()));
      if (chunk.fid != assigned->fid) loose_.add(chunk.fid);
      const auto id = parse_file_id(chunk.fid);
      if (!id) return Error(Code::internal, "the master gave a file id that is none: " + chunk.fid);
      manifest.chunks.push_back({*id, part.offset, part.size});
    }
    Part part{.name = name, .type = "application/json", .query = query_of(source) + "&cm=true", .text = client::manifest_json(manifest)};
    part.size = part.text.size();
    // The token of the first assign is old by now; and so may be the server's place among the writable.
    auto now_at = place;
    if (auto found = tools_.masters.lookup({sent.fid}); found && !found->empty() && !found->front().auth.empty()) {
      now_at.auth = found->front().auth;
    }
    const auto stored = upload(part, std::move(now_at), sent);
    if (!stored) return stored;
    return source.size;
  }

  Result<std::uint64_t> send_once(const Part& part, const Sent& sent, const std::string& authority, const std::string& token) {
    std::promise<Result<std::uint64_t>> promise;
    auto outcome = promise.get_future();
    auto& loop = tools_.loops.at(0);
    loop.post([&] { post(loop, part, sent, authority, token, promise); });
    return outcome.get();
  }

  Task post(io::EventLoop& loop, const Part& part, const Sent& sent, const std::string& authority, const std::string& token,
            std::promise<Result<std::uint64_t>>& promise) {
    const std::string boundary = fmt::format("holdfast{:016x}", static_cast<std::uint64_t>(now().time_since_epoch().count()));
    const std::string head = multipart_head(boundary, part.name, part.type, "http://" + sent.url);
    const std::string tail = multipart_tail(boundary);
    client::HttpRequest request;
    request.method = "POST";
    request.authority = authority;
    request.target = fmt::format("/{}?{}", sent.fid, part.query);
    request.headers.emplace_back("Content-Type", "multipart/form-data; boundary=" + boundary);
    if (!token.empty()) request.headers.emplace_back("Authorization", "Bearer " + token);

    auto call = tools_.http.open(loop, std::move(request), head.size() + part.size + tail.size());
    Status written = co_await call->write(head);
    std::uint64_t offset = 0;
    std::string room;
    if (written && part.source == nullptr) written = co_await call->write(part.text);
    while (written && part.source != nullptr && offset < part.size) {
      auto piece = part.source->read(part.offset + offset, room);
      piece = piece.substr(0, std::min<std::uint64_t>(piece.size(), part.size - offset));
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
      std::uint64_t size = part.size;
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
  Loose& loose_;
  const ContentTypes types_;
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
  // A body that breaks off is dropped by the volume server as a whole; of a file in chunks those are left that were done.
  Loose loose;
  const Interruption interruption([&] {
    std::fputs("\ninterrupted\n", stderr);
    loose.end();
  });

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
  loose.use(**tools);
  Uploader uploader(**tools, call.flags, loose);
  uploader.use_replication(configuration->default_replication);
  if (!call.flags.string("dir").empty()) return upload_folder(uploader, call.flags);
  if (call.arguments.empty()) return kFailed;
  return upload_files(uploader, call);
}

}  // namespace holdfast::cmd
