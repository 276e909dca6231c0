// `download`: files by their ids into a folder (spec/weed-cluster 1.9).
//
// A file is written under a hidden name and gets its own when all of it is there, so neither Ctrl-C nor a volume
// server that dies leaves half a file. A replica that fails is followed by the next.
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <future>
#include <random>
#include <set>

#include "base/mutex.h"
#include "base/task.h"
#include "cmd/client_tools.h"
#include "cmd/command.h"
#include "cmd/paths.h"
#include "cmd/signals.h"
#include "model/file_id.h"

namespace holdfast::cmd {
namespace {

// The unfinished files of this process; an interruption removes them.
class Unfinished {
 public:
  void add(const std::string& path) {
    const Guard guard(mutex_);
    paths_.insert(path);
  }
  void remove(const std::string& path) {
    const Guard guard(mutex_);
    paths_.erase(path);
  }
  void unlink_all() {
    const Guard guard(mutex_);
    for (const auto& path : paths_) ::unlink(path.c_str());
  }

 private:
  Mutex mutex_;
  std::set<std::string> paths_ HOLDFAST_GUARDED_BY(mutex_);
};

class Downloader {
 public:
  Downloader(ClientTools& tools, std::string folder, Unfinished& unfinished)
      : tools_(tools), folder_(std::move(folder)), unfinished_(unfinished) {}

  Status fetch(const std::string& fid) {
    if (!parse_file_id(fid)) return Error(Code::invalid, "Invalid fileId " + fid);
    const auto found = tools_.masters.lookup({fid.substr(0, fid.find(','))});
    if (!found) return found.error();
    if (found->empty() || (*found)[0].locations.empty()) return Error(Code::not_found, "File Not Found");
    auto places = (*found)[0].locations;
    std::shuffle(places.begin(), places.end(), random_);

    std::string token;
    Status outcome = fetch_from(places, fid, token);
    if (!outcome && outcome.error().code() == Code::refused) {
      token = reading_token(fid);
      if (!token.empty()) outcome = fetch_from(places, fid, token);
    }
    progress_.clear();
    return outcome;
  }

 private:
  Status fetch_from(const std::vector<client::Location>& places, const std::string& fid, const std::string& token) {
    Status outcome = Error(Code::not_found, "File Not Found");
    for (const auto& place : places) {
      std::promise<Status> promise;
      auto done = promise.get_future();
      auto& loop = tools_.loops.at(0);
      loop.post([&] { get(loop, place.url, fid, token, promise); });
      outcome = done.get();
      if (outcome) break;
    }
    return outcome;
  }

  // What the masters' HTTP lookup gives for reading where there is a read key ("Bearer ..."); gRPC has none. "": no key.
  std::string reading_token(const std::string& fid) {
    for (const Address& master : tools_.masters.masters()) {
      client::HttpRequest request;
      request.authority = master.http();
      request.target = "/dir/lookup?read=yes&fileId=" + query_escape(fid);
      const auto answer = tools_.http.send_and_wait(std::move(request));
      if (answer && answer->status == 200) return std::string(client::header(answer->headers, "Authorization"));
    }
    return "";
  }

  Task get(io::EventLoop& loop, const std::string& authority, const std::string& fid, const std::string& token,
           std::promise<Status>& promise) {
    client::HttpRequest request;
    request.authority = authority;
    request.target = "/" + fid;
    if (!token.empty()) request.headers.emplace_back("Authorization", token);
    auto call = tools_.http.open(loop, std::move(request), 0);
    Result<client::HttpAnswer> answer = co_await call->answer();
    if (!answer) {
      promise.set_value(answer.error());
      co_return;
    }
    if (answer->status != 200) {
      promise.set_value(answer->status == 404
                            ? Error(Code::not_found, "File Not Found")
                            : Error(answer->status == 401 ? Code::refused : Code::unavailable,
                                    fmt::format("http://{}/{}: status {}", authority, fid, answer->status)));
      co_return;
    }
    std::string name = disposition_name(client::header(answer->headers, "Content-Disposition"));
    if (name.empty()) name = fid;
    const std::string path = folder_ + "/" + name;
    const std::string hidden = fmt::format("{}/.{}.{}.part", folder_, fid, ::getpid());
    unfinished_.add(hidden);
    const int file = ::open(hidden.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (file < 0) {
      const Error error(Code::io, fmt::format("open {}: {}", path, errno_words(errno)));
      unfinished_.remove(hidden);
      promise.set_value(error);
      co_return;
    }
    Status outcome;
    std::uint64_t bytes = 0;
    for (;;) {
      Result<BytesView> piece = co_await call->read();
      if (!piece) {
        outcome = piece.error();
        break;
      }
      if (piece->empty()) break;
      std::string_view rest = text_of(*piece);
      while (outcome && !rest.empty()) {
        const auto written = ::write(file, rest.data(), rest.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
          outcome = Error(Code::io, fmt::format("write {}: {}", path, errno_words(errno)));
        } else {
          rest.remove_prefix(static_cast<std::size_t>(written));
        }
      }
      if (!outcome) break;
      bytes += piece->size();
      if (progress_.is_shown()) progress_.show(fmt::format("{}: {}", name, human_bytes(bytes)));
    }
    if (::close(file) != 0 && outcome) outcome = Error(Code::io, fmt::format("write {}: {}", path, errno_words(errno)));
    if (outcome && ::rename(hidden.c_str(), path.c_str()) != 0) {
      outcome = Error(Code::io, fmt::format("open {}: {}", path, errno_words(errno)));
    }
    if (!outcome) ::unlink(hidden.c_str());
    unfinished_.remove(hidden);
    promise.set_value(outcome);
  }

  ClientTools& tools_;
  const std::string folder_;
  Unfinished& unfinished_;
  Progress progress_;
  std::mt19937 random_{std::random_device{}()};
};

}  // namespace

int run_download(const Call& call) {
  Unfinished unfinished;
  const Interruption interruption([&] { unfinished.unlink_all(); });
  if (call.arguments.empty()) return 0;

  const auto& old_name = call.flags.string("server");
  auto tools = ClientTools::make(old_name.empty() ? call.flags.string("master") : old_name, 10s);
  if (!tools) {
    std::printf("Download Error:  %s\n", tools.error().what().c_str());
    std::fflush(stdout);
    return 0;
  }
  Downloader downloader(**tools, expand_home(call.flags.string("dir")), unfinished);
  for (const auto& fid : call.arguments) {
    const auto outcome = downloader.fetch(fid);
    if (!outcome) {
      std::printf("Download Error:  %s %s\n", fid.c_str(), outcome.error().what().c_str());
      std::fflush(stdout);
    }
  }
  return 0;  // as upstream, whatever happened
}

}  // namespace holdfast::cmd
