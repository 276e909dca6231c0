#include "io/s3/s3_store.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "io/s3/curl_library.h"

namespace holdfast::io::s3 {
namespace {

constexpr std::uint64_t kPieceBytes = 1_MiB;     // of a file, read at a time
constexpr std::uint64_t kPartBytes = 16_MiB;     // S3 wants parts of 5 MiB at least, and 10000 at most
constexpr std::uint64_t kFileBytesMax = kPartBytes * 10000;
constexpr std::size_t kAnswerBytesMax = 1_MiB;   // of what is not an object: a few lines of XML
constexpr std::size_t kConnectionsKept = 16;     // at rest, for the requests to come
constexpr int kTries = 4;
constexpr long kConnectMs = 5000;
constexpr long kStallSeconds = 20;  // without a byte a second: whoever waits is told rather than kept

static_assert(kFileBytesMax > 32_GiB, "a volume fits");

// --- words ---

std::string escaped(std::string_view text, bool keeps_slash) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
                       c == '.' || c == '~' || (keeps_slash && c == '/');
    if (plain) {
      out.push_back(c);
    } else {
      constexpr char kDigits[] = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

// What stands in the first element of that name; "" when there is none. Enough for the few answers that matter here.
std::string element(std::string_view xml, const std::string& name) {
  const auto open = "<" + name + ">";
  const auto begin = xml.find(open);
  if (begin == std::string_view::npos) return {};
  const auto from = begin + open.size();
  const auto end = xml.find("</" + name + ">", from);
  if (end == std::string_view::npos) return {};
  std::string out(xml.substr(from, end - from));
  for (const auto& [entity, c] : {std::pair{"&quot;", '"'}, {"&#34;", '"'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}}) {
    for (std::size_t at = 0; (at = out.find(entity, at)) != std::string::npos; at++) {
      out.replace(at, std::string_view(entity).size(), 1, c);
    }
  }
  return out;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1); }
  void add(BytesView bytes) { CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1); }
  std::string hex() {
    std::array<unsigned char, 32> sum{};
    CHECK(EVP_DigestFinal_ex(context_.get(), sum.data(), nullptr) == 1);
    std::string out;
    for (const auto byte : sum) out += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// --- one request ---

// A piece of a file on its way out.
struct Outgoing {
  const File* file = nullptr;
  std::uint64_t begin = 0;
  std::uint64_t bytes = 0;
  std::uint64_t sent = 0;
  std::uint64_t sent_before = 0;  // by earlier parts
  const ObjectStore::Progress* progress = nullptr;
  Status trouble;  // of the file, or called off
};

struct Request {
  const char* method = "GET";
  std::string key;
  std::string query;  // its names in order, escaped
  std::string text;   // the body of a POST
  std::string content_hash;
  bool with_class = false;
  std::optional<std::uint64_t> range_begin;
  std::span<std::uint8_t> into;  // with a range
  Outgoing* out = nullptr;
};

struct Answer {
  long status = 0;
  std::uint64_t length = 0;  // told by Content-Length
  std::string etag;
  std::string text;         // unless it went into the request's room
  std::size_t filled = 0;
  bool overflow = false;
  const Request* request = nullptr;
};

// Where the status says that the object's own bytes come.
bool takes_object(const Answer& answer, long status) { return answer.request->range_begin && (status == 206 || status == 200); }

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* to);
std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* to);
std::size_t give_body(char* room, std::size_t size, std::size_t count, void* from);
int rewind_body(void* from, curl_off_t offset, int origin);

class Store final : public ObjectStore {
 public:
  Store(const CurlLibrary& curl, S3Options options, std::string base)
      : curl_(curl), options_(std::move(options)), base_(std::move(base)), empty_hash_(Sha256().hex()) {}

  ~Store() override {
    for (auto* handle : at_rest_) curl_.easy_cleanup(handle);
  }

  Status put(const std::string& key, const File& file, std::uint64_t bytes, const Progress& progress) override {
    if (bytes > kFileBytesMax) return Error(Code::invalid, options_.name + ": the file is too large for one object");
    if (bytes > options_.parts_above) return put_parts(key, file, bytes, progress);
    Outgoing out{.file = &file, .bytes = bytes, .progress = &progress};
    const auto sent = send_piece({.method = "PUT", .key = key, .with_class = true, .out = &out});
    return sent ? Status() : Status(sent.error());
  }

  Result<std::uint64_t> size(const std::string& key) override {
    const auto answer = ask({.method = "HEAD", .key = key});
    if (!answer) return answer.error();
    return answer->length;
  }

  Status read(const std::string& key, std::uint64_t offset, std::span<std::uint8_t> out) override {
    if (out.empty()) return {};
    const auto answer = ask({.key = key, .range_begin = offset, .into = out});
    if (!answer) return answer.error();
    if (answer->status != 206) return Error(Code::unsupported, at(key) + ": it sends no ranges of objects");
    if (answer->filled == out.size()) return {};
    return Error(Code::corrupt, at(key) + ": it ends " + std::to_string(out.size() - answer->filled) + " bytes early");
  }

  Status remove(const std::string& key) override {
    const auto answer = ask({.method = "DELETE", .key = key});
    if (answer || answer.error().code() == Code::not_found) return {};
    return answer.error();
  }

 private:
  std::string at(const std::string& key) const { return options_.name + " (bucket " + options_.bucket + "): " + key; }

  // --- uploads ---

  Status put_parts(const std::string& key, const File& file, std::uint64_t bytes, const Progress& progress) {
    const auto begun = ask({.method = "POST", .key = key, .query = "uploads=", .with_class = true});
    if (!begun) return begun.error();
    const auto upload = element(begun->text, "UploadId");
    if (upload.empty()) return Error(Code::unsupported, at(key) + ": no upload in parts: " + begun->text.substr(0, 200));
    auto done = put_parts_of(key, escaped(upload, false), file, bytes, progress);
    if (done) return done;
    const auto aborted = ask({.method = "DELETE", .key = key, .query = "uploadId=" + escaped(upload, false)});
    if (aborted || aborted.error().code() == Code::not_found) return done;
    return Error(done.error().code(), done.error().what() + "; and its parts are left in the bucket: " + aborted.error().what());
  }

  Status put_parts_of(const std::string& key, const std::string& upload, const File& file, std::uint64_t bytes,
                      const Progress& progress) {
    std::string list = "<CompleteMultipartUpload>";
    int number = 1;
    for (std::uint64_t begin = 0; begin < bytes; begin += kPartBytes, number++) {
      Outgoing out{.file = &file, .begin = begin, .bytes = std::min(kPartBytes, bytes - begin), .sent_before = begin, .progress = &progress};
      const auto sent = send_piece({.method = "PUT", .key = key,
                                    .query = "partNumber=" + std::to_string(number) + "&uploadId=" + upload, .out = &out});
      if (!sent) return sent.error();
      if (sent->etag.empty()) return Error(Code::unsupported, at(key) + ": a part was taken without an ETag");
      list += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>" + sent->etag + "</ETag></Part>";
    }
    list += "</CompleteMultipartUpload>";
    const auto ended = ask({.method = "POST", .key = key, .query = "uploadId=" + upload, .text = std::move(list)});
    if (!ended) return ended.error();
    // It may fail with a 200, once that has been sent.
    const auto code = element(ended->text, "Code");
    if (ended->text.find("<Error>") == std::string::npos) return {};
    return Error(Code::unavailable, at(key) + ": " + code + ": " + element(ended->text, "Message"));
  }

  // Read twice: its sum stands before it.
  Result<Answer> send_piece(Request request) {
    const auto& out = *request.out;
    Sha256 sum;
    std::string piece;
    for (std::uint64_t done = 0; done < out.bytes;) {
      piece.resize(std::min(kPieceBytes, out.bytes - done));
      const std::span<std::uint8_t> room(reinterpret_cast<std::uint8_t*>(piece.data()), piece.size());
      const auto got = out.file->read(out.begin + done, room);
      if (!got) return got.error();
      if (*got != piece.size()) return Error(Code::corrupt, out.file->path() + ": ends early");
      sum.add(room);
      done += piece.size();
    }
    request.content_hash = sum.hex();
    return ask(std::move(request));
  }

  // --- asking ---

  // Until it is answered for good. All requests may be sent twice: what they make is the same.
  Result<Answer> ask(Request request) {
    if (request.content_hash.empty()) {
      Sha256 sum;
      sum.add(bytes_of(request.text));
      request.content_hash = request.text.empty() ? empty_hash_ : sum.hex();
    }
    auto pause = options_.retry_pause;
    for (int tried = 1;; tried++, pause *= 2) {
      auto answer = ask_once(request);
      const bool may_help = !answer && answer.error().code() == Code::unavailable;
      const bool called_off = request.out != nullptr && !request.out->trouble;
      if (!may_help || called_off || tried == kTries) return answer;
      std::this_thread::sleep_for(pause);
    }
  }

  Result<Answer> ask_once(const Request& request) {
    CURL* const handle = take();
    if (handle == nullptr) return Error(Code::internal, "no room for a request");
    Answer answer{.request = &request};
    curl_slist* headers = nullptr;
    const auto header = [&](const std::string& line) { headers = curl_.slist_append(headers, line.c_str()); };
    header("x-amz-content-sha256: " + request.content_hash);
    if (request.with_class && !options_.storage_class.empty()) header("x-amz-storage-class: " + options_.storage_class);

    const auto url = base_ + "/" + escaped(request.key, true) + (request.query.empty() ? "" : "?" + request.query);
    char words[CURL_ERROR_SIZE] = "";
    const auto set = [&](CURLoption option, auto value) { CHECK(curl_.easy_setopt(handle, option, value) == CURLE_OK); };
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_PATH_AS_IS, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_ERRORBUFFER, words);
    set(CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, kStallSeconds);
    set(CURLOPT_WRITEFUNCTION, &take_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&answer));
    set(CURLOPT_HEADERFUNCTION, &take_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&answer));
    if (!options_.access_key.empty()) {
      set(CURLOPT_AWS_SIGV4, ("aws:amz:" + options_.region + ":s3").c_str());
      set(CURLOPT_USERNAME, options_.access_key.c_str());
      set(CURLOPT_PASSWORD, options_.secret_key.c_str());
    }
    const std::string_view method = request.method;
    if (request.out != nullptr) {
      request.out->sent = 0;
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.out->bytes));
      set(CURLOPT_READFUNCTION, &give_body);
      set(CURLOPT_READDATA, static_cast<void*>(request.out));
      set(CURLOPT_SEEKFUNCTION, &rewind_body);
      set(CURLOPT_SEEKDATA, static_cast<void*>(request.out));
    } else if (method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (method == "POST") {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDS, request.text.c_str());
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.text.size()));
    } else if (method != "GET") {
      set(CURLOPT_CUSTOMREQUEST, request.method);
    }
    std::string range;
    if (request.range_begin) {
      range = std::to_string(*request.range_begin) + "-" + std::to_string(*request.range_begin + request.into.size() - 1);
      set(CURLOPT_RANGE, range.c_str());
    }
    set(CURLOPT_HTTPHEADER, headers);

    const auto performed = curl_.easy_perform(handle);
    curl_.easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_.slist_free_all(headers);
    if (request.out != nullptr && !request.out->trouble) {
      curl_.easy_cleanup(handle);  // broken off in the middle of a request
      return request.out->trouble.error();
    }
    if (performed != CURLE_OK && !answer.overflow) {
      curl_.easy_cleanup(handle);
      return Error(Code::unavailable, at(request.key) + ": " + (words[0] != '\0' ? words : curl_.easy_strerror(performed)));
    }
    if (performed != CURLE_OK) {
      curl_.easy_cleanup(handle);
      return Error(Code::unsupported, at(request.key) + ": it sends no ranges of objects");
    }
    give_back(handle);
    if (answer.status >= 200 && answer.status < 300) return answer;
    return refusal(request, answer);
  }

  Error refusal(const Request& request, const Answer& answer) const {
    const auto status = answer.status;
    auto words = element(answer.text, "Code");
    if (const auto message = element(answer.text, "Message"); !message.empty()) words += ": " + message;
    if (words.empty()) words = "HTTP status " + std::to_string(status);
    auto code = Code::refused;
    if (status == 404) code = element(answer.text, "Code") == "NoSuchBucket" ? Code::refused : Code::not_found;
    if (status == 416) code = Code::corrupt;
    if (status >= 500 || status == 429 || status == 408) code = Code::unavailable;
    return {code, at(request.key) + ": " + words};
  }

  // --- connections, each with the handle that keeps it ---

  CURL* take() {
    {
      Guard guard(mutex_);
      if (!at_rest_.empty()) {
        auto* const handle = at_rest_.back();
        at_rest_.pop_back();
        return handle;
      }
    }
    return curl_.easy_init();
  }

  void give_back(CURL* handle) {
    curl_.easy_reset(handle);  // its connection stays
    {
      Guard guard(mutex_);
      if (at_rest_.size() < kConnectionsKept) {
        at_rest_.push_back(handle);
        return;
      }
    }
    curl_.easy_cleanup(handle);
  }

  const CurlLibrary& curl_;
  const S3Options options_;
  const std::string base_;  // "http://host:port/bucket"
  const std::string empty_hash_;

  Mutex mutex_;  // leaf
  std::vector<CURL*> at_rest_ HOLDFAST_GUARDED_BY(mutex_);
};

std::size_t take_body(char* bytes, std::size_t, std::size_t count, void* to) {
  auto& answer = *static_cast<Answer*>(to);
  if (!takes_object(answer, answer.status)) {
    answer.text.append(bytes, std::min(count, kAnswerBytesMax - std::min(kAnswerBytesMax, answer.text.size())));
    return count;
  }
  if (count > answer.request->into.size() - answer.filled) {
    answer.overflow = true;
    return 0;
  }
  std::copy_n(bytes, count, answer.request->into.begin() + static_cast<std::ptrdiff_t>(answer.filled));
  answer.filled += count;
  return count;
}

std::size_t take_header(char* bytes, std::size_t, std::size_t count, void* to) {
  auto& answer = *static_cast<Answer*>(to);
  std::string_view line(bytes, count);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // of each answer, "100 Continue" included
    const auto space = line.find(' ');
    answer.status = 0;
    if (space != std::string_view::npos) std::from_chars(line.data() + space + 1, line.data() + line.size(), answer.status);
    return count;
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  auto value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (name == "etag") answer.etag = value;
  if (name == "content-length") std::from_chars(value.data(), value.data() + value.size(), answer.length);
  return count;
}

std::size_t give_body(char* room, std::size_t size, std::size_t count, void* from) {
  auto& out = *static_cast<Outgoing*>(from);
  const auto wanted = std::min<std::uint64_t>(size * count, out.bytes - out.sent);
  if (*out.progress && !(*out.progress)(out.sent_before + out.sent)) {
    out.trouble = Error(Code::unavailable, "the upload was called off");
    return CURL_READFUNC_ABORT;
  }
  const auto got = out.file->read(out.begin + out.sent, {reinterpret_cast<std::uint8_t*>(room), static_cast<std::size_t>(wanted)});
  if (!got || *got != wanted) {
    out.trouble = got ? Error(Code::corrupt, out.file->path() + ": ends early") : got.error();
    return CURL_READFUNC_ABORT;
  }
  out.sent += wanted;
  return static_cast<std::size_t>(wanted);
}

int rewind_body(void* from, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Outgoing*>(from)->sent = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

Status check(const S3Options& options) {
  const auto wrong = [&](const std::string& what) { return Error(Code::invalid, options.name + ": " + what); };
  if (options.bucket.empty()) return wrong("no bucket is named");
  if (options.access_key.empty() != options.secret_key.empty()) return wrong("of access key and secret key one is missing");
  const std::string_view endpoint = options.endpoint;
  if (!endpoint.empty() && !endpoint.starts_with("http://") && !endpoint.starts_with("https://")) {
    return wrong("its endpoint must begin with http:// or https://, not \"" + options.endpoint + "\"");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> make_s3_store(S3Options options) {
  if (auto checked = check(options); !checked) return checked.error();
  const auto curl = CurlLibrary::load();
  if (!curl) return curl.error();
  if (options.region.empty()) options.region = "us-east-1";
  auto base = options.endpoint.empty() ? "https://s3." + options.region + ".amazonaws.com" : options.endpoint;
  while (base.ends_with('/')) base.pop_back();
  base += "/" + escaped(options.bucket, false);
  return std::unique_ptr<ObjectStore>(std::make_unique<Store>(**curl, std::move(options), std::move(base)));
}

}  // namespace holdfast::io::s3
