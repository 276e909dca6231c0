// A volume server's routes over a real store in a temporary folder, through a real socket, for tests.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "front/http/test_client.h"
#include "front/http/volume_routes.h"
#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "service/volume/volume_server.h"

namespace holdfast::front::volume_test {

using http::test::Client;

// Passes everything on but what a test wants to say itself: who holds a volume.
class Elsewhere : public volume::VolumeService {
 public:
  explicit Elsewhere(volume::VolumeService& real) : real_(real) {}
  std::vector<volume::Location> holders;

  volume::ReadNow read_now(const FileId& id, volume::ReadOptions options, volume::ReadBuffer& buffer, volume::Found& out) override {
    if (slow) return real_.has_volume(id.volume) ? volume::ReadNow::would_block : volume::ReadNow::no_volume;
    return real_.read_now(id, options, buffer, out);
  }
  void read(const FileId& id, volume::ReadOptions options, Done<volume::Found> done) override { real_.read(id, options, done); }
  bool has_volume(VolumeId id) const override { return real_.has_volume(id); }
  void write(volume::WriteRequest request, Done<volume::Written> done) override { real_.write(std::move(request), done); }
  void remove(volume::RemoveRequest request, Done<volume::Removed> done) override { real_.remove(std::move(request), done); }
  Result<std::shared_ptr<volume::Spool>> make_spool(VolumeId volume) override { return ++spools, real_.make_spool(volume); }
  bool post(std::function<void()> work) override { return real_.post(std::move(work)); }
  void locate(VolumeId, Done<std::vector<volume::Location>> done) override {
    if (holders.empty()) return done(Error(Code::not_found, "nobody"));
    done(holders);
  }
  bool is_healthy() const override { return real_.is_healthy(); }
  std::vector<VolumeInfo> volumes() const override { return real_.volumes(); }
  std::vector<volume::DiskStatus> disks() const override { return real_.disks(); }
  Result<volume::VolumeFileStatus> volume_status(VolumeId id) const override { return real_.volume_status(id); }
  std::string self() const override { return real_.self(); }
  std::vector<Address> masters() const override { return real_.masters(); }
  Status allocate(const volume::AllocateRequest& request, const volume::OrderFence& fence) override { return real_.allocate(request, fence); }
  Status delete_volume(VolumeId id, const volume::Deletion& how, const volume::OrderFence& fence) override { return real_.delete_volume(id, how, fence); }
  Status delete_collection(const std::string& collection, const volume::OrderFence& fence) override { return real_.delete_collection(collection, fence); }
  Status mark_read_only(VolumeId id, bool persist, bool can_delete, const volume::OrderFence& fence) override {
    return real_.mark_read_only(id, persist, can_delete, fence);
  }
  Status mark_writable(VolumeId id, const volume::OrderFence& fence) override { return real_.mark_writable(id, fence); }
  Status mount(VolumeId id, const volume::OrderFence& fence) override { return real_.mount(id, fence); }
  Status unmount(VolumeId id, const volume::OrderFence& fence) override { return real_.unmount(id, fence); }
  void leave() override { real_.leave(); }

  bool slow = false;  // nothing is in the page cache
  std::atomic<int> spools{0};

 private:
  volume::VolumeService& real_;
};

struct Answer {
  int status = 0;
  std::string head;
  std::string body;

  // The value of a header; "-" when absent.
  std::string operator[](const std::string& name) const {
    const auto at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "-";
    const auto from = at + name.size() + 4;
    return head.substr(from, head.find("\r\n", from) - from);
  }
};

using Headers = std::vector<std::pair<std::string, std::string>>;

// One volume server with volumes 1 (plain), in a folder of its own.
class Server {
 public:
  explicit Server(VolumeRoutes::Options options = {}) {
    std::string pattern = std::filesystem::temp_directory_path() / "volume_routes_XXXXXX";
    folder = ::mkdtemp(pattern.data());
    volume::VolumeConfig config;
    config.ip = "127.0.0.1";
    config.port = 1;
    config.directories = {{.path = folder, .min_free_percent = 0}};
    config.masters = {{"127.0.0.1", 9, 10}};  // nobody is there, and nothing here needs one
    auto opened = volume::VolumeServer::open(config, {disk, clock, random, loops, pool, random.uuid()});
    EXPECT_TRUE(opened.ok()) << opened.error().what();
    real = std::move(*opened);
    service = std::make_unique<Elsewhere>(*real);
    EXPECT_TRUE(real->allocate({.id = VolumeId(1)}, std::nullopt).ok());
    routes = std::make_unique<VolumeRoutes>(VolumeRoutes::Parts{*service, pool, loops, clock, white_list, registry, &jwt}, options);
    http = std::make_unique<http::Server>(loops, *routes, http::ServerOptions{.observer = &routes->observer()});
    port = *http->listen("127.0.0.1", 0);
  }
  ~Server() {
    http.reset();
    routes.reset();
    real->stop();
    std::filesystem::remove_all(folder);
  }

  Answer ask(const std::string& method, const std::string& target, const std::string& body = "", const Headers& headers = {}) {
    std::string request = method + " " + target + " HTTP/1.1\r\nHost: x\r\n";
    for (const auto& [name, value] : headers) request += name + ": " + value + "\r\n";
    if (!body.empty() || method == "POST" || method == "PUT") request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    Client client(port);
    client.send(request + "\r\n" + body);
    return read(client, method == "HEAD");
  }
  static Answer read(Client& client, bool head_only = false) {
    const auto text = head_only ? client.read_head() : client.read_answer();
    const auto end = text.find("\r\n\r\n");
    Answer answer;
    answer.status = text.size() > 12 ? std::stoi(text.substr(9, 3)) : 0;
    answer.head = text.substr(0, end + 2);
    if (end != std::string::npos) answer.body = text.substr(end + 4);
    return answer;
  }

  Answer get(const std::string& target, const Headers& headers = {}) { return ask("GET", target, "", headers); }
  Answer put(const std::string& target, const std::string& body, const Headers& headers = {}) { return ask("PUT", target, body, headers); }

  std::string folder;
  io::posix::SystemDisk disk;
  io::posix::SystemClock clock;
  io::posix::SystemRandom random;
  io::EventLoops loops{2, "test"};
  client::HttpPool pool{loops};
  metrics::Registry registry;
  WhiteList white_list;
  api::JwtKeys jwt;
  std::unique_ptr<volume::VolumeServer> real;
  std::unique_ptr<Elsewhere> service;
  std::unique_ptr<VolumeRoutes> routes;
  std::unique_ptr<http::Server> http;
  std::uint16_t port = 0;
};

inline std::string bytes(std::size_t n, unsigned seed = 1) {
  std::string out(n, '\0');
  std::uint32_t state = seed * 2654435761u + 1;
  for (auto& c : out) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return out;
}

}  // namespace holdfast::front::volume_test
