// The HTTP routes of a volume server: spec/weed-cluster section 3. Where they differ on purpose from upstream's, see
// docs/compatibility.md.
//
// A small read takes the fast way: the path is read in place, one VolumeService::read_now (a map lookup and a pread
// from the page cache), head and data leave in one send; nothing is allocated. What is not in the page cache, is
// large, compressed for a client that cannot unpack, or asked for in several ranges goes the long way, streamed.
// Uploads are read piece by piece; above kUploadMemory they wait in a spool file, never in memory.
//
// Decides nothing: parses, asks the service, translates its answer.
//
// Threads: serve() on any loop at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "api/jwt.h"
#include "base/metrics.h"
#include "client/http_pool.h"
#include "front/http/server.h"
#include "front/http/white_list.h"
#include "io/clock.h"
#include "io/event_loop.h"
#include "service/volume/volume_service.h"

namespace holdfast::front {

class ImagePool;

enum class ReadMode { local, proxy, redirect };

// "local", "proxy", "redirect"; anything else is proxy, as upstream has it (spec/weed-cluster 3.9).
ReadMode read_mode_of(std::string_view text);

class VolumeRoutes : public http::Handler {
 public:
  struct Options {
    ReadMode read_mode = ReadMode::proxy;
    std::uint16_t public_port = 0;  // requests that come in on this port may only read; 0: there is none
    std::uint64_t file_bytes_max = 256_MiB;  // -fileSizeLimitMB
    std::uint64_t upload_bytes_max = 0;     // of uploads under way, copies of siblings aside; 0: no bound
    Duration upload_patience = 60s;         // how long one waits for room before it is refused with 429
    std::uint64_t download_bytes_max = 0;   // of large files on their way out; 0: no bound
    Duration download_patience = 60s;
    std::string version = "30GB 4.44 ";     // "Version" of /status, and the end of the Server header
    bool turn_images = false;               // -images.fix.orientation: JPEGs are stored upright
    bool has_page = true;                   // access.ui: /ui/index.html even while writes need a token
  };

  // All references outlive this; the server that uses it is stopped before it goes.
  struct Parts {
    volume::VolumeService& service;
    client::HttpPool& pool;
    io::EventLoops& loops;
    io::Clock& clock;
    const WhiteList& white_list;
    metrics::Registry& metrics = metrics::process();
    const api::JwtKeys* jwt = nullptr;  // null: no request needs a token
    ImagePool* images = nullptr;        // null: images are always sent as they are stored
  };

  VolumeRoutes(Parts parts, Options options);
  ~VolumeRoutes() override;

  void serve(http::Exchange& exchange) override;

  // Give this to the server's options: counts requests by kind and status.
  http::Observer& observer();

  struct Inside;  // what the files of these routes share

 private:
  std::unique_ptr<Inside> inside_;
};

}  // namespace holdfast::front
