#include "front/http/upload_body.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/gzip.h"
#include "front/http/content_disposition.h"
#include "front/http/volume_path.h"

namespace holdfast::front {

namespace {

constexpr std::size_t kSniffBytes = 512;
constexpr std::size_t kPoolWorthBytes = 64_KiB;  // digesting or packing more than this would hold up a loop
constexpr std::uint64_t kUnpackBytesMax = 4_GiB;  // a stream that unfolds beyond is not looked into any further

class Md5 {
 public:
  Md5() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_md5(), nullptr); }
  ~Md5() { EVP_MD_CTX_free(context_); }
  Md5(const Md5&) = delete;
  void add(BytesView bytes) { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }
  std::string base64() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(context_, digest, &length);
    unsigned char text[64];
    const int n = EVP_EncodeBlock(text, digest, static_cast<int>(length));
    return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(n)};
  }

 private:
  EVP_MD_CTX* context_;
};

}  // namespace

UploadBody::UploadBody(http::Exchange& exchange, volume::VolumeService& service, VolumeId volume, Limits limits)
    : exchange_(exchange), service_(service), volume_(volume), limits_(limits) {}

Result<UploadBody::Form> UploadBody::form_of(const http::Request& request) {
  if (request.method != http::Method::post) return Form();
  const auto type = request.header("Content-Type");
  if (!type.empty() && type.find("form-data") == std::string_view::npos) return Form();
  const auto parsed = parse_media_type(type);
  if (!parsed || (parsed->type != "multipart/form-data" && parsed->type != "multipart/mixed")) {
    return Error(Code::invalid, "request Content-Type isn't multipart/form-data");
  }
  Form form{.is_multipart = true, .boundary = std::string(parsed->parameter("boundary"))};
  if (form.boundary.empty()) return Error(Code::invalid, "no multipart boundary param in Content-Type");
  return form;
}

template <typename Work>
Async<Status> UploadBody::on_pool(Work work) {
  auto start = [&](auto done) {
    if (!service_.post([&work, done] { done(work()); })) done(Error(Code::unavailable, "server is stopping"));
  };
  co_return co_await awaited<Status>(exchange_.loop(), start);
}

Async<Status> UploadBody::receive(Form form) {
  md5_ = std::string(exchange_.request().header("Content-MD5"));
  if (form.is_multipart) co_return co_await receive_multipart(std::move(form.boundary));
  co_return co_await receive_raw();
}

Async<Status> UploadBody::receive_raw() {
  const auto& request = exchange_.request();
  name_ = name_of_upload(request.header("Content-Disposition"));
  type_ = std::string(request.header("Content-Type"));
  is_gzip_ = request.header("Content-Encoding") == "gzip";
  // Known beforehand to be too much: not a byte of it needs to be read.
  if (request.body_bytes.value_or(0) > limits_.bytes_max) {
    co_return Error(Code::invalid, "file over the limited " + std::to_string(limits_.bytes_max) + " bytes");
  }
  if (request.body_bytes) memory_.reserve(std::min<std::uint64_t>(*request.body_bytes, kUploadMemory));
  while (true) {
    auto piece = co_await exchange_.read_body();
    if (!piece) co_return piece.error();
    if (piece->empty()) break;
    auto status = co_await append(*piece);
    if (!status) co_return status;
  }
  if (spool_) co_return co_await flush();
  co_return Status();
}

void UploadBody::begin_part(const MultipartReader& reader, bool is_first) {
  const auto disposition = reader.header("Content-Disposition");
  const auto name = disposition.empty() ? std::nullopt : name_of_part(disposition);
  if (!is_first && !name) return;
  if (!is_first) restart();
  has_file_name_ = name.has_value();
  name_ = name.value_or(std::string());
  type_ = std::string(reader.header("Content-Type"));
  is_gzip_ = reader.header("Content-Encoding") == "gzip";
  md5_ = std::string(exchange_.request().header("Content-MD5"));
  if (md5_.empty()) md5_ = std::string(reader.header("Content-MD5"));
}

// The file is the first part, or the first later one with a file name when the first has none.
Async<Status> UploadBody::receive_multipart(std::string boundary) {
  MultipartReader reader(std::move(boundary));
  int parts = 0;
  bool taking = false;
  bool whole = false;  // the file's part has ended
  while (true) {
    const auto event = reader.next();
    switch (event.kind) {
      case MultipartReader::Kind::need_more: {
        auto piece = co_await exchange_.read_body();
        if (!piece) co_return piece.error();
        if (piece->empty()) {
          if (parts == 0) co_return Error(Code::invalid, "multipart: NextPart: EOF");
          // The part is there; what should follow it is not: a body cut short is never stored.
          co_return Error(Code::invalid, "unexpected EOF");
        }
        reader.feed(text_of(*piece));
        break;
      }
      case MultipartReader::Kind::part: {
        const bool is_first = parts++ == 0;
        if (is_first || !has_file_name_) {
          const bool had_name = has_file_name_;
          begin_part(reader, is_first);
          taking = is_first || (!had_name && has_file_name_);
        }
        break;
      }
      case MultipartReader::Kind::data:
        if (taking) {
          auto status = co_await append(bytes_of(event.data));
          if (!status) co_return status;
        }
        break;
      case MultipartReader::Kind::part_end:
        whole = whole || taking;
        taking = false;
        break;
      case MultipartReader::Kind::end:
        if (parts == 0) co_return Error(Code::invalid, "multipart: NextPart: EOF");
        while (true) {  // a body cut short behind the form is cut short as well
          auto rest = co_await exchange_.read_body();
          if (!rest) co_return rest.error();
          if (rest->empty()) break;
        }
        if (spool_) co_return co_await flush();
        co_return Status();
      case MultipartReader::Kind::malformed:
        co_return Error(Code::invalid, "multipart: NextPart: malformed part");
    }
  }
}

void UploadBody::restart() {
  memory_.clear();
  spool_.reset();
  size_ = 0;
  head_.clear();
}

Async<Status> UploadBody::append(BytesView bytes) {
  size_ += bytes.size();
  if (size_ > limits_.bytes_max) {
    co_return Error(Code::invalid, "file over the limited " + std::to_string(limits_.bytes_max) + " bytes");
  }
  if (head_.size() < kSniffBytes) head_ += text_of(bytes).substr(0, kSniffBytes - head_.size());
  if (memory_.size() + bytes.size() > kUploadMemory) {
    auto status = co_await flush();
    if (!status) co_return status;
  }
  memory_ += text_of(bytes);
  co_return Status();
}

// Moves what is in memory to the spool.
Async<Status> UploadBody::flush() {
  auto work = [this]() -> Status {
    if (!spool_) {
      auto made = service_.make_spool(volume_);
      if (!made) return made.error();
      spool_ = std::move(*made);
    }
    return spool_->append(bytes_of(memory_));
  };
  auto status = co_await on_pool(work);
  memory_.clear();
  co_return status;
}

Async<Status> UploadBody::prepare(std::string_view mime, bool may_compress) {
  original_size_ = size_;
  std::string_view type = mime;
  if (type.empty()) type = sniffed_type(bytes_of(head_));
  if (type.starts_with("application/octet-stream")) type = {};
  const bool compressing = may_compress && !is_gzip_ && size_ > 0 && is_surely_compressible(base_name(name_), type);
  if (md5_.empty() && !is_gzip_ && !compressing) co_return Status();
  if (size_ <= kPoolWorthBytes && !spool_ && !is_gzip_) co_return prepare_now(compressing);
  auto work = [this, compressing] { return prepare_now(compressing); };
  co_return co_await on_pool(work);
}

Status UploadBody::for_each_piece(const std::function<Status(BytesView)>& piece) const {
  if (!spool_) return piece(bytes_of(memory_));
  std::string room(256_KiB, '\0');
  for (std::uint64_t at = 0; at < spool_->size();) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(room.size(), spool_->size() - at));
    const std::span<std::uint8_t> out(reinterpret_cast<std::uint8_t*>(room.data()), n);
    if (auto status = spool_->read(at, out); !status) return status;
    if (auto status = piece(out); !status) return status;
    at += n;
  }
  return {};
}

Result<std::string> UploadBody::whole() const {
  std::string out;
  out.reserve(static_cast<std::size_t>(size()));
  auto status = for_each_piece([&](BytesView piece) { return out.append(text_of(piece)), Status(); });
  if (!status) return status.error();
  return out;
}

void UploadBody::replace(std::string data) {
  spool_.reset();
  memory_ = std::move(data);
}

Status UploadBody::prepare_now(bool compressing) {
  std::optional<Md5> md5;
  if (!md5_.empty()) md5.emplace();
  if (is_gzip_) {
    // Size and MD5 are those of the file inside; what does not unpack counts as it came.
    gzip::Decompressor unpacker;
    std::uint64_t plain = 0;
    auto status = for_each_piece([&](BytesView piece) {
      return unpacker.add(piece, [&](BytesView bytes) -> Status {
        plain += bytes.size();
        if (plain > kUnpackBytesMax) return Error(Code::no_space, "unpacks to too much");
        if (md5) md5->add(bytes);
        return {};
      });
    });
    if (status) status = unpacker.finish();
    if (status) {
      original_size_ = plain;
    } else if (status.error().code() == Code::io) {
      return status;
    } else if (md5) {
      md5.emplace();
      if (auto again = for_each_piece([&](BytesView piece) { return md5->add(piece), Status(); }); !again) return again;
    }
  } else if (md5) {
    if (auto status = for_each_piece([&](BytesView piece) { return md5->add(piece), Status(); }); !status) return status;
  }
  if (md5) {
    const auto received = md5->base64();
    if (received != md5_) {
      return Error(Code::invalid, "Content-MD5 did not match md5 of file data expected [" + md5_ + "] received [" +
                                      received + "] size " + std::to_string(original_size_));
    }
  }
  return compressing ? compress() : Status();
}

Status UploadBody::compress() {
  gzip::Compressor packer;
  std::string packed;
  std::shared_ptr<volume::Spool> packed_spool;
  const auto spill = [&]() -> Status {
    if (!packed_spool) {
      auto made = service_.make_spool(volume_);
      if (!made) return made.error();
      packed_spool = std::move(*made);
    }
    auto status = packed_spool->append(bytes_of(packed));
    packed.clear();
    return status;
  };
  auto status = for_each_piece([&](BytesView piece) -> Status {
    packer.add(piece, packed);
    return packed.size() > kUploadMemory ? spill() : Status();
  });
  if (!status) return status;
  packer.finish(packed);
  const auto packed_size = packed.size() + (packed_spool ? packed_spool->size() : 0);
  if (!is_worth_compressing(size_, packed_size)) return {};
  if (packed_spool) {
    if (auto spilled = spill(); !spilled) return spilled;
  }
  memory_ = std::move(packed);
  spool_ = std::move(packed_spool);
  compressed_ = true;
  return {};
}

}  // namespace holdfast::front
