#include "service/volume/replicator.h"

#include <fmt/format.h>

#include <atomic>
#include <boost/json.hpp>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/task.h"

namespace holdfast::volume {
namespace {

constexpr std::size_t kPieceBytes = 256_KiB;

// Any text that no file will contain by chance, nor on purpose: it is drawn anew for each request.
std::string boundary() {
  static std::atomic<std::uint64_t> drawn{0x9e3779b97f4a7c15ull};
  const auto a = drawn.fetch_add(0x9e3779b97f4a7c15ull);
  const auto b = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  return fmt::format("holdfast{:016x}{:016x}{:016x}", a, b, a * 0xff51afd7ed558ccdull ^ b);
}

// As Go's mime.FormatMediaType writes a parameter: bare when it is a token, else quoted.
std::string parameter(std::string_view value) {
  const auto is_token = [](unsigned char c) {
    return c > 0x20 && c < 0x7f && std::string_view("()<>@,;:\\\"/[]?=").find(static_cast<char>(c)) == std::string_view::npos;
  };
  if (!value.empty() && std::all_of(value.begin(), value.end(), is_token)) return std::string(value);
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out.push_back('\\');
    // A line's end in a name would end the header.
    out.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
  }
  return out + "\"";
}

std::string header_value(std::string_view value) {
  std::string out(value);
  for (auto& c : out) {
    if (c == '\r' || c == '\n' || c == '\0') c = ' ';
  }
  return out;
}

std::string query_escaped(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
        c == '.' || c == '~') {
      out.push_back(static_cast<char>(c));
    } else {
      out += fmt::format("%{:02X}", c);
    }
  }
  return out;
}

std::string url_of(const client::HttpRequest& request) { return "http://" + request.authority + request.target; }

// The "error" member of a JSON answer, "" when there is none.
std::string error_member(const std::string& body) {
  boost::json::error_code error;
  const auto value = boost::json::parse(body, error);
  if (error || !value.is_object()) return "";
  const auto* member = value.get_object().if_contains("error");
  return member != nullptr && member->is_string() ? std::string(member->get_string()) : "";
}

// Why a sibling did not do it, in a word: it was not reached, or it refused.
const char* reason_of(const Result<client::HttpAnswer>& answer) {
  if (answer) return "refused";
  return answer.error().code() == Code::timed_out ? "timed_out" : "unreachable";
}

// "" when the sibling has stored its copy.
std::string write_trouble(const WriteRequest& request, const std::string& url, std::uint64_t bytes,
                          const Result<client::HttpAnswer>& answer) {
  if (!answer) {
    return fmt::format("upload {} {} bytes to {}: Post \"{}\": {}", text(request.id), bytes, url, url,
                       answer.error().what());
  }
  if (answer->status == 204) return "";
  if (const auto said = error_member(answer->body); !said.empty()) return "unmarshalled error " + url + ": " + said;
  if (answer->status >= 200 && answer->status < 300) return "";
  return fmt::format("upload {} {} bytes to {}: status {}", text(request.id), bytes, url, answer->status);
}

std::string remove_trouble(const std::string& url, const Result<client::HttpAnswer>& answer) {
  if (!answer) return fmt::format("Delete \"{}\": {}", url, answer.error().what());
  switch (answer->status) {
    case 200:
    case 202:
    case 204:
    case 404: return "";
    default: break;
  }
  if (const auto said = error_member(answer->body); !said.empty()) return said;
  return answer->body.empty() ? fmt::format("status {}", answer->status) : answer->body;
}

// Under which epoch the copy here is; upstream's servers, whose copies never have one, are not told.
template <typename Request>
std::string epoch_of(const Request& request) {
  return request.epoch == 0 ? std::string() : "&epoch=" + std::to_string(request.epoch);
}

template <typename Request>
std::string path_of(const Request& request) {
  return "/" + (request.fid_text.empty() ? text(request.id) : std::string(request.fid_text));
}

std::uint64_t data_bytes(const WriteRequest& request) {
  return request.spool ? request.spool->size() : request.data.size();
}

}  // namespace

// Counts the answers of all siblings and tells the whole.
struct Replicator::Gathered {
  Gathered(std::size_t n, const char* what, Done d) : operation(what), targets(n), done(std::move(d)), missing(n) {}

  // `reason` as a label of a metric; trouble "": there was none.
  void tell(const std::string& server, std::string trouble, const char* reason) {
    std::string all;
    if (!trouble.empty()) {
      metrics::process()
          .counter("SeaweedFS_volumeServer_replication_failures_total", "Copies that a sibling did not make.",
                   {{"operation", operation}, {"reason", reason}})
          .add();
    }
    {
      Guard guard(mutex);
      if (!trouble.empty()) troubles.push_back("[" + server + "]: " + std::move(trouble));
      if (--missing > 0) return;
      std::sort(troubles.begin(), troubles.end());
      for (const auto& one : troubles) all += (all.empty() ? "" : "\n") + one;
    }
    auto& registry = metrics::process();
    const char* result = all.empty() ? "success" : "failure";
    registry.counter("SeaweedFS_volumeServer_replication_operations_total", "Writes and deletions sent to siblings.",
                     {{"operation", operation}, {"result", result}}).add();
    registry.histogram("SeaweedFS_volumeServer_replication_seconds", "Until the last sibling has answered.")
        .observe(std::chrono::steady_clock::now() - begun);
    // One second stands for one sibling: the bounds are 1, 2, 4, ... of them.
    registry.histogram("SeaweedFS_volumeServer_replication_targets", "Siblings that a write or deletion was sent to.", {}, 1s)
        .observe(targets * 1s);
    done(all.empty() ? Status() : Error(Code::unavailable, all));
  }

  const char* const operation;
  const std::size_t targets;
  const std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
  const Done done;
  Mutex mutex;  // leaf
  std::size_t missing HOLDFAST_GUARDED_BY(mutex);
  std::vector<std::string> troubles HOLDFAST_GUARDED_BY(mutex);
};

client::HttpRequest Replicator::write_request(const WriteRequest& request, const std::string& server, Form& form) {
  client::HttpRequest out;
  out.authority = server;
  out.target = fmt::format("{}?{}{}ts={}&ttl={}&{}", path_of(request), request.chunk_manifest ? "cm=true&" : "",
                           request.fsync ? "fsync=true&" : "", request.last_modified, query_escaped(request.ttl_text),
                           request.pass_on ? "proxied=true" : "type=replicate" + epoch_of(request));
  out.connect_timeout = kConnectMax;
  out.silence_timeout = kSilenceMax;
  // The same needle with the same cookie and bytes once more changes nothing.
  out.may_repeat = true;
  if (!request.authorization.empty()) out.headers.emplace_back("Authorization", header_value(request.authorization));
  if (!request.request_id.empty()) out.headers.emplace_back("X-Amz-Request-Id", header_value(request.request_id));
  for (const auto& [name, value] : request.pair_headers) out.headers.emplace_back(name, header_value(value));

  // A form drops the type application/octet-stream; only a plain body carries it, so that all copies are the same.
  if (request.mime == "application/octet-stream" && !request.name.empty()) {
    out.method = "PUT";
    out.headers.emplace_back("Content-Type", "application/octet-stream");
    out.headers.emplace_back("Content-Disposition", "attachment; filename=" + parameter(request.name));
    if (request.compressed) out.headers.emplace_back("Content-Encoding", "gzip");
    return out;
  }
  out.method = "POST";
  const auto mark = boundary();
  out.headers.emplace_back("Content-Type", "multipart/form-data; boundary=" + mark);
  form.before = "--" + mark + "\r\nContent-Disposition: form-data; ";
  if (!request.name.empty()) form.before += "filename=" + parameter(request.name) + "; ";
  form.before += "name=file\r\n";
  if (request.compressed) form.before += "Content-Encoding: gzip\r\n";
  if (!request.mime.empty()) form.before += "Content-Type: " + header_value(request.mime) + "\r\n";
  form.before += "Idempotency-Key: " + url_of(out) + "\r\n\r\n";
  form.after = "\r\n--" + mark + "--\r\n";
  return out;
}

void Replicator::write(const WriteRequest& request, const std::vector<std::string>& servers, Done done) {
  if (servers.empty()) return done({});
  const auto gathered = std::make_shared<Gathered>(servers.size(), "write", std::move(done));
  for (const auto& server : servers) {
    if (request.spool) {
      send_spooled(request, server, gathered);
      continue;
    }
    const auto form = std::make_shared<Form>();
    auto http = write_request(request, server, *form);
    http.body = {form->before, text_of(request.data), form->after};
    http.keep = form;
    auto url = url_of(http);
    pool_.send(std::move(http), [&request, server, gathered, url](Result<client::HttpAnswer> answer) {
      gathered->tell(server, write_trouble(request, url, request.data.size(), answer), reason_of(answer));
    });
  }
}

namespace {

// Reads pieces of a spool on the disk's threads and writes them to a sibling, one after the other.
Task copy_spool(io::EventLoop& loop, client::HttpPool& pool, WorkPool& disk_pool, std::shared_ptr<const Spool> spool,
                client::HttpRequest http, Replicator::Form form, std::function<void(Result<client::HttpAnswer>)> done) {
  const std::uint64_t bytes = form.before.size() + spool->size() + form.after.size();
  const auto call = pool.open(loop, std::move(http), bytes);
  std::string piece;
  Status sent;
  if (!form.before.empty()) sent = co_await call->write(form.before);
  for (std::uint64_t at = 0; sent.ok() && at < spool->size(); at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(kPieceBytes, spool->size() - at));
    auto read_piece = [&](std::function<void(Status)> read) {
      const std::span<std::uint8_t> room(reinterpret_cast<std::uint8_t*>(piece.data()), piece.size());
      const bool posted = disk_pool.post([&spool, at, room, read] { read(spool->read(at, room)); });
      if (!posted) read(Error(Code::unavailable, "the volume server is stopping"));
    };
    Status read = co_await awaited<Status>(loop, read_piece);
    if (!read.ok()) {
      done(read.error());
      co_return;
    }
    sent = co_await call->write(piece);
  }
  if (sent.ok() && !form.after.empty()) sent = co_await call->write(form.after);
  // Also when the sibling did not take it all: it may have said why.
  Result<client::HttpAnswer> answer = co_await call->answer();
  if (!answer.ok()) {
    done(sent.ok() ? answer.error() : sent.error());
    co_return;
  }
  for (;;) {
    Result<BytesView> more = co_await call->read();
    if (!more.ok() || more->empty() || answer->body.size() > 64_KiB) break;
    answer->body += text_of(*more);
  }
  done(std::move(answer));
}

}  // namespace

void Replicator::send_spooled(const WriteRequest& request, std::string server, std::shared_ptr<Gathered> gathered) {
  Form form;
  auto http = write_request(request, server, form);
  http.fresh_connection = true;  // next to so large a body a connection costs nothing
  const auto url = url_of(http);
  auto& loop = loops_.any();
  auto done = [&request, server, gathered, url](Result<client::HttpAnswer> answer) {
    gathered->tell(server, write_trouble(request, url, data_bytes(request), answer), reason_of(answer));
  };
  loop.post([this, &loop, spool = request.spool, http = std::move(http), form = std::move(form),
             done = std::move(done)]() mutable {
    copy_spool(loop, pool_, disk_pool_, std::move(spool), std::move(http), std::move(form), std::move(done));
  });
}

void Replicator::remove(const RemoveRequest& request, const std::vector<std::string>& servers, Done done) {
  if (servers.empty()) return done({});
  const auto gathered = std::make_shared<Gathered>(servers.size(), "delete", std::move(done));
  for (const auto& server : servers) {
    client::HttpRequest http;
    http.method = "DELETE";
    http.authority = server;
    http.target = path_of(request) + (request.fsync ? "?fsync=true&" : "?") + "type=replicate" + epoch_of(request);
    http.connect_timeout = kConnectMax;
    http.silence_timeout = kSilenceMax;
    http.may_repeat = true;  // deleting what is deleted changes nothing
    if (!request.authorization.empty()) http.headers.emplace_back("Authorization", header_value(request.authorization));
    auto url = url_of(http);
    pool_.send(std::move(http), [server, gathered, url](Result<client::HttpAnswer> answer) {
      gathered->tell(server, remove_trouble(url, answer), reason_of(answer));
    });
  }
}

}  // namespace holdfast::volume
