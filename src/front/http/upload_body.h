// UploadBody: the bytes of one upload, taken from a raw or multipart request body while it streams in, and made ready
// to be stored (spec/weed-cluster 3.5).
//
// Up to kUploadMemory they stay in memory; beyond, they go to a spool file in pieces of that size, so an upload of any
// length takes about a MiB. What touches the spool or takes long (MD5, gzip) runs on the service's pool.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/task.h"
#include "front/http/multipart_reader.h"
#include "front/http/server.h"
#include "model/content_type.h"
#include "service/volume/volume_service.h"

namespace holdfast::front {

inline constexpr std::size_t kUploadMemory = 1_MiB;

class UploadBody {
 public:
  struct Limits {
    std::uint64_t bytes_max = volume::kDataBytesMax;  // Code::invalid `file over the limited N bytes`
  };

  UploadBody(http::Exchange& exchange, volume::VolumeService& service, VolumeId volume, Limits limits);

  // Whether the request is a form, or Code::invalid with Go's words when it should be one and is not.
  struct Form {
    bool is_multipart = false;
    std::string boundary;
  };
  static Result<Form> form_of(const http::Request& request);

  // Reads the request's body to its end. Code::invalid: malformed, 400. Other errors: client or disk failed.
  Async<Status> receive(Form form);

  // --- what came with it
  const std::string& name() const { return name_; }         // without directories
  const std::string& part_type() const { return type_; }    // as given, "" when not
  bool is_gzip() const { return is_gzip_; }                 // said to be
  const std::string& content_md5() const { return md5_; }   // as sent: the request's header, else the part's

  // Compresses when that pays and `may_compress`, learns size and MD5. `mime` is the type to be stored.
  Async<Status> prepare(std::string_view mime, bool may_compress);

  // All that is to be stored, and something else in its place; for what is small enough for memory. Before prepare() it is
  // as it was received. whole() may wait for the disk.
  std::uint64_t size() const { return spool_ ? spool_->size() : memory_.size(); }
  Result<std::string> whole() const;
  void replace(std::string data);

  bool is_compressed() const { return is_gzip_ || compressed_; }
  std::uint64_t original_size() const { return original_size_; }  // unpacked, when it unpacks
  BytesView data() const { return bytes_of(memory_); }            // to be stored, unless spool()
  const std::shared_ptr<volume::Spool>& spool() const { return spool_; }

 private:
  Async<Status> receive_raw();
  Async<Status> receive_multipart(std::string boundary);
  Async<Status> append(BytesView bytes);
  Async<Status> flush();
  void restart();  // another part replaces what came so far
  void begin_part(const MultipartReader& reader, bool is_first);
  Status prepare_now(bool compressing);
  Status for_each_piece(const std::function<Status(BytesView)>& piece) const;
  Status compress();
  template <typename Work>
  Async<Status> on_pool(Work work);

  http::Exchange& exchange_;
  volume::VolumeService& service_;
  const VolumeId volume_;
  const Limits limits_;

  std::string memory_;
  std::shared_ptr<volume::Spool> spool_;  // shared with the service while it stores
  std::uint64_t size_ = 0;                // as received
  std::string head_;                      // the first 512 bytes, for sniffing

  std::string name_;
  std::string type_;
  std::string md5_;
  bool has_file_name_ = false;
  bool is_gzip_ = false;
  bool compressed_ = false;
  std::uint64_t original_size_ = 0;
};

}  // namespace holdfast::front
