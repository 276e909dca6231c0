// Erasure coding over the wire: two real volume servers with their gRPC services, and a master that believes what they
// report.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "api/master.grpc.pb.h"
#include "api/volume_server.grpc.pb.h"
#include "client/http_pool.h"
#include "front/grpc/server.h"
#include "front/grpc/volume_service.h"
#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "service/volume/volume_server.h"

namespace holdfast::front {
namespace {

namespace pb = volume_server_pb;
namespace fs = std::filesystem;
using ::testing::HasSubstr;

template <typename Condition>
bool soon(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return condition();
}

// Keeps what each server reported of its shards, whole lists and changes.
class BelievingMaster final : public master_pb::Seaweed::Service {
 public:
  BelievingMaster() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~BelievingMaster() override { server_->Shutdown(std::chrono::system_clock::now()); }
  Address address() const { return {"127.0.0.1", 1, static_cast<std::uint16_t>(port_)}; }

  grpc::Status SendHeartbeat(grpc::ServerContext*,
                             grpc::ServerReaderWriter<master_pb::HeartbeatResponse, master_pb::Heartbeat>* stream) override {
    master_pb::Heartbeat report;
    std::string who;
    std::uint32_t grpc_port = 0;
    while (stream->Read(&report)) {
      {
        const std::lock_guard guard(mutex_);
        if (!report.ip().empty()) {
          who = report.ip() + ":" + std::to_string(report.port());
          grpc_port = report.grpc_port();
        }
        for (const auto& shards : report.new_ec_shards()) new_bits[who] |= shards.ec_index_bits();
        for (const auto& shards : report.deleted_ec_shards()) deleted_bits[who] |= shards.ec_index_bits();
        if (report.ec_shards_size() > 0 || report.has_no_ec_shards()) {
          shards_[who] = {0, grpc_port};
          for (const auto& shards : report.ec_shards()) shards_[who].first |= shards.ec_index_bits();
        }
      }
      if (std::exchange(answered_[who], true)) continue;
      master_pb::HeartbeatResponse answer;
      answer.set_accepted(true);
      answer.set_cluster_id("11111111-1111-4111-8111-111111111111");
      answer.set_master_uuid("33333333-3333-4333-8333-333333333331");
      answer.set_pulse_ms(20);
      answer.set_volume_size_limit(1u << 30);
      if (!stream->Write(answer)) break;
    }
    const std::lock_guard guard(mutex_);
    shards_.erase(who);
    answered_.erase(who);
    return grpc::Status::OK;
  }
  grpc::Status LookupEcVolume(grpc::ServerContext*, const master_pb::LookupEcVolumeRequest* request,
                              master_pb::LookupEcVolumeResponse* response) override {
    const std::lock_guard guard(mutex_);
    lookups++;
    response->set_volume_id(request->volume_id());
    for (unsigned shard = 0; shard < 32; shard++) {
      for (const auto& [who, held] : shards_) {
        if ((held.first >> shard & 1) == 0) continue;
        auto* locations = response->add_shard_id_locations();
        locations->set_shard_id(shard);
        auto* location = locations->add_locations();
        location->set_url(who);
        location->set_grpc_port(held.second);
      }
    }
    if (response->shard_id_locations().empty()) return {grpc::StatusCode::UNKNOWN, "ec volume 3 not found"};
    return grpc::Status::OK;
  }
  std::uint32_t bits_of(const std::string& who) {
    const std::lock_guard guard(mutex_);
    return shards_.contains(who) ? shards_[who].first : 0;
  }
  std::map<std::string, std::uint32_t> new_bits, deleted_bits;
  int lookups = 0;

 private:
  std::mutex mutex_;
  std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> shards_;  // bits, gRPC port
  std::map<std::string, bool> answered_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class Server {
 public:
  Server(BelievingMaster& master, std::uint16_t port) : master_(master) {
    std::string pattern = (fs::temp_directory_path() / "holdfast-ec-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    config_.ip = "127.0.0.1";
    config_.port = port;
    start();
  }
  ~Server() {
    stop();
    fs::remove_all(folder);
  }
  void start() {
    // The gRPC port must be known before the service is there to be served.
    for (std::uint16_t port = config_.grpc_port != 0 ? config_.grpc_port : 21000 + ::getpid() % 20000; !server; port++) {
      config_.grpc_port = port;
      open();
      std::vector<std::unique_ptr<grpc::Service>> services;
      services.push_back(make_volume_service({.version = "test"}, *volumes));
      auto started = GrpcServer::start({.hosts = {"127.0.0.1"}, .port = port, .services = std::move(services)});
      if (started) {
        server = std::move(*started);
      } else {
        volumes.reset();
      }
    }
    volumes->start();
    stub = pb::VolumeServer::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(config_.grpc_port),
                                                         grpc::InsecureChannelCredentials()));
  }
  void stop() {
    if (volumes) volumes->stop();
    server.reset();
    volumes.reset();
  }
  std::string file(const std::string& ext) const { return folder + "/c_3" + ext; }
  std::string content(const std::string& ext) const {
    std::ifstream in(file(ext), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string url() const { return host_port(config_.ip, config_.port); }
  Address address() const { return {config_.ip, config_.port, config_.grpc_port}; }

  template <typename Request, typename Response>
  grpc::Status call(grpc::Status (pb::VolumeServer::Stub::*rpc)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return ((*stub).*rpc)(&context, request, response);
  }
  grpc::Status generate(unsigned data = 0, unsigned parity = 0) {
    pb::VolumeEcShardsGenerateRequest request;
    request.set_volume_id(3);
    request.set_collection("c");
    request.set_data_shards(data);
    request.set_parity_shards(parity);
    pb::VolumeEcShardsGenerateResponse response;
    return call(&pb::VolumeServer::Stub::VolumeEcShardsGenerate, request, &response);
  }
  grpc::Status mount(const std::vector<unsigned>& ids, bool fetch = false) {
    pb::VolumeEcShardsMountRequest request;
    request.set_volume_id(3);
    request.set_collection("c");
    for (const auto id : ids) request.add_shard_ids(id);
    request.set_recover_missing_index(fetch);
    pb::VolumeEcShardsMountResponse response;
    return call(&pb::VolumeServer::Stub::VolumeEcShardsMount, request, &response);
  }
  grpc::Status unmount(const std::vector<unsigned>& ids) {
    pb::VolumeEcShardsUnmountRequest request;
    request.set_volume_id(3);
    for (const auto id : ids) request.add_shard_ids(id);
    pb::VolumeEcShardsUnmountResponse response;
    return call(&pb::VolumeServer::Stub::VolumeEcShardsUnmount, request, &response);
  }
  // Here only, not at the other servers.
  grpc::Status remove_blob(std::uint64_t key) {
    pb::VolumeEcBlobDeleteRequest request;
    request.set_volume_id(3);
    request.set_file_key(key);
    pb::VolumeEcBlobDeleteResponse response;
    return call(&pb::VolumeServer::Stub::VolumeEcBlobDelete, request, &response);
  }
  grpc::Status remove_shards(const std::vector<unsigned>& ids, bool all = false, std::int64_t ts = 0) {
    pb::VolumeEcShardsDeleteRequest request;
    request.set_volume_id(3);
    request.set_collection("c");
    for (const auto id : ids) request.add_shard_ids(id);
    request.set_full_teardown(all);
    request.set_encode_ts_ns(ts);
    pb::VolumeEcShardsDeleteResponse response;
    const auto status = call(&pb::VolumeServer::Stub::VolumeEcShardsDelete, request, &response);
    EXPECT_EQ(response.full_teardown_done(), status.ok() && all);
    return status;
  }
  grpc::Status copy(const Server& from, const std::vector<unsigned>& ids, bool others) {
    pb::VolumeEcShardsCopyRequest request;
    request.set_volume_id(3);
    request.set_collection("c");
    for (const auto id : ids) request.add_shard_ids(id);
    request.set_source_data_node(text(from.address()));
    request.set_copy_ecx_file(others);
    request.set_copy_ecj_file(others);
    request.set_copy_vif_file(others);
    request.set_copy_ecsum_file(others);
    pb::VolumeEcShardsCopyResponse response;
    return call(&pb::VolumeServer::Stub::VolumeEcShardsCopy, request, &response);
  }

  // What it answers in its `error`.
  std::string receive(const std::string& ext, const std::string& content) {
    grpc::ClientContext context;
    pb::ReceiveFileResponse response;
    const auto stream = stub->ReceiveFile(&context, &response);
    pb::ReceiveFileRequest request;
    request.mutable_info()->set_volume_id(3);
    request.mutable_info()->set_collection("c");
    request.mutable_info()->set_ext(ext);
    request.mutable_info()->set_is_ec_volume(true);
    request.mutable_info()->set_file_size(content.size());
    stream->Write(request);
    request.set_file_content(content);
    stream->Write(request);
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    return response.error();
  }

  void put(std::uint64_t key, const std::string& data) {
    std::promise<Result<volume::Written>> promise;
    volume::WriteRequest request;
    request.id = {VolumeId(3), NeedleId(key), Cookie(0xabc)};
    request.data = bytes_of(data);
    volumes->write(request, [&](auto r) { promise.set_value(std::move(r)); });
    const auto written = promise.get_future().get();
    ASSERT_TRUE(written.ok()) << written.error().what();
  }
  std::string read(std::uint64_t key, std::uint32_t cookie = 0xabc) {
    volume::ReadBuffer buffer;
    volume::Found found;
    const FileId id{VolumeId(3), NeedleId(key), Cookie(cookie)};
    if (volumes->read_now(id, {}, buffer, found) == volume::ReadNow::found) return std::string(text_of(found.needle.data));
    std::promise<Result<volume::Found>> promise;
    volumes->read(id, {}, [&](auto r) { promise.set_value(std::move(r)); });
    auto read = promise.get_future().get();
    if (!read) return read.error().code() == Code::not_found ? "<gone>" : "<" + read.error().what() + ">";
    if (!read->body) return std::string(text_of(read->needle.data));
    std::string out(read->body->size(), '\0');
    EXPECT_TRUE(read->body->read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}).ok());
    return out;
  }
  Result<volume::Removed> remove(std::uint64_t key, std::uint32_t cookie = 0xabc) {
    std::promise<Result<volume::Removed>> promise;
    volumes->remove({.id = {VolumeId(3), NeedleId(key), Cookie(cookie)}}, [&](auto r) { promise.set_value(std::move(r)); });
    return promise.get_future().get();
  }

  std::string folder;
  std::unique_ptr<volume::VolumeServer> volumes;
  std::unique_ptr<GrpcServer> server;
  std::unique_ptr<pb::VolumeServer::Stub> stub;

 private:
  void open() {
    config_.directories = {{.path = folder, .volumes_max = 9, .min_free_percent = 0}};
    config_.masters = {master_.address()};
    auto opened = volume::VolumeServer::open(
        config_, {io::posix::system_disk(), io::posix::system_clock(), io::posix::system_random(), loops_, pool_,
                  io::posix::system_random().uuid()});
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    volumes = std::move(*opened);
  }

  BelievingMaster& master_;
  volume::VolumeConfig config_;
  io::EventLoops loops_{1};
  client::HttpPool pool_{loops_};
};

class VolumeEcTest : public ::testing::Test {
 protected:
  // Volume 3 with six files, one of them of several MiB, encoded and mounted at a; the original is gone.
  void encode(unsigned data, unsigned parity) {
    total_ = data + parity;
    ASSERT_TRUE(a_.volumes->allocate({.id = VolumeId(3), .collection = "c"}, std::nullopt).ok());
    for (std::uint64_t key = 1; key <= 6; key++) {
      files_[key] = std::string(key == 6 ? 12'000'000 : 1000 * key, static_cast<char>('a' + key));
      for (std::size_t i = 0; i < files_[key].size(); i += 97) files_[key][i] = static_cast<char>(i * key >> 5);
      a_.put(key, files_[key]);
    }
    const auto made = a_.generate(data, parity);
    ASSERT_TRUE(made.ok()) << made.error_message();
    const auto mounted = a_.mount(ids(0, total_));
    ASSERT_TRUE(mounted.ok()) << mounted.error_message();
    ASSERT_TRUE(a_.volumes->delete_volume(VolumeId(3), {}, std::nullopt).ok());
    ASSERT_FALSE(fs::exists(a_.folder + "/c_3.dat"));
  }
  static std::vector<unsigned> ids(unsigned from, unsigned to) {
    std::vector<unsigned> out;
    for (; from < to; from++) out.push_back(from);
    return out;
  }
  // Shards from..to go to b, by hand.
  void move_to_b(unsigned from, unsigned to) {
    for (const auto id : ids(from, to)) {
      const auto name = fmt::format("/c_3.ec{:02}", id);
      fs::copy(a_.folder + name, b_.folder + name);
    }
    for (const auto* ext : {".ecx", ".ecj", ".vif", ".ecsum"}) fs::copy(a_.folder + "/c_3" + ext, b_.folder + "/c_3" + ext);
    const auto mounted = b_.mount(ids(from, to));
    ASSERT_TRUE(mounted.ok()) << mounted.error_message();
    const auto removed = a_.remove_shards(ids(from, to));
    ASSERT_TRUE(removed.ok()) << removed.error_message();
    const auto moved = (1u << to) - (1u << from);
    ASSERT_TRUE(soon([&] { return master_.bits_of(b_.url()) == moved; }));
    ASSERT_TRUE(soon([&] { return master_.bits_of(a_.url()) == ((1u << total_) - 1) - moved; }));
  }
  void expect_all(Server& server) {
    for (std::uint64_t key = 1; key <= 6; key++) {
      EXPECT_TRUE(server.read(key) == (files_.contains(key) ? files_[key] : "<gone>")) << server.url() << " " << key;
    }
  }

  BelievingMaster master_;
  Server a_{master_, 1801};
  Server b_{master_, 1802};
  unsigned total_ = 0;
  std::map<std::uint64_t, std::string> files_;
};

TEST_F(VolumeEcTest, FilesAreReadAcrossServersAndWithShardsLost) {
  encode(10, 4);
  ASSERT_TRUE(soon([&] { return master_.bits_of(a_.url()) == 0x3fff; }));
  EXPECT_EQ(master_.new_bits[a_.url()], 0x3fffu);
  expect_all(a_);
  move_to_b(7, 14);
  EXPECT_EQ(master_.deleted_bits[a_.url()], 0x3f80u);
  expect_all(a_);
  expect_all(b_);
  // Four shards are lost for good: two here, two there.
  ASSERT_TRUE(a_.remove_shards({0, 1}).ok());
  ASSERT_TRUE(b_.remove_shards({7, 8}).ok());
  expect_all(a_);
  expect_all(b_);
  EXPECT_EQ(a_.read(1, 0xbad), "<gone>");
  // With the other server gone there is not enough.
  b_.stop();
  EXPECT_THAT(a_.read(1), ::testing::StartsWith("<"));
}

TEST_F(VolumeEcTest, AnEncodedVolumeTakesNoWrites) {
  encode(2, 1);
  std::promise<Result<volume::Written>> promise;
  volume::WriteRequest request;
  request.id = {VolumeId(3), NeedleId(9), Cookie(1)};
  request.data = bytes_of("x");
  a_.volumes->write(request, [&](auto r) { promise.set_value(std::move(r)); });
  EXPECT_EQ(promise.get_future().get().error().code(), Code::read_only);
  EXPECT_TRUE(a_.volumes->has_volume(VolumeId(3)));
}

TEST_F(VolumeEcTest, ADeleteIsKnownToEveryHolder) {
  encode(2, 1);
  move_to_b(1, 3);
  EXPECT_THAT(a_.remove(1, 0xbad).error().what(), HasSubstr("unexpected cookie bad"));
  EXPECT_THAT(a_.remove(77).error().what(), HasSubstr("FindNeedleFromEcx: needle not found"));
  const auto removed = a_.remove(1);
  ASSERT_TRUE(removed.ok()) << removed.error().what();
  EXPECT_GT(removed->size, 1000);  // the whole record
  EXPECT_THAT(a_.remove(1).error().what(), HasSubstr("already deleted"));
  files_.erase(1);
  expect_all(a_);
  expect_all(b_);
  EXPECT_EQ(fs::file_size(b_.folder + "/c_3.ecj"), 8u);
  // A server that cannot be told is no reason to forget it: the delete fails and can be repeated.
  b_.stop();
  EXPECT_FALSE(a_.remove(2).ok());
  b_.start();
  ASSERT_TRUE(soon([&] { return master_.bits_of(b_.url()) == 0b110; }));
  ASSERT_TRUE(soon([&] { return a_.remove(2).ok(); }));
  files_.erase(2);
  expect_all(a_);
  expect_all(b_);
}

TEST_F(VolumeEcTest, ShardsAreSentInPiecesOfOneEncoding) {
  encode(2, 1);
  const auto read = [&](const pb::VolumeEcShardReadRequest& request, std::string& data, std::vector<std::size_t>& chunks) {
    grpc::ClientContext context;
    pb::VolumeEcShardReadResponse response;
    const auto stream = a_.stub->VolumeEcShardRead(&context, request);
    bool deleted = false;
    while (stream->Read(&response)) {
      data += response.data();
      chunks.push_back(response.data().size());
      EXPECT_NE(response.encode_ts_ns(), 0);
      deleted = deleted || response.is_deleted();
    }
    auto status = stream->Finish();
    return std::pair(status, deleted);
  };
  pb::VolumeEcShardReadRequest request;
  request.set_volume_id(3);
  request.set_shard_id(1);
  request.set_offset(5);
  request.set_size(100 << 20);  // more than there is: short at the end
  std::string data;
  std::vector<std::size_t> chunks;
  EXPECT_TRUE(read(request, data, chunks).first.ok());
  std::ifstream in(a_.folder + "/c_3.ec01", std::ios::binary);
  const std::string file((std::istreambuf_iterator<char>(in)), {});
  EXPECT_TRUE(data == file.substr(5));
  EXPECT_EQ(*std::max_element(chunks.begin(), chunks.end()), 2u << 20);
  request.set_encode_ts_ns(4711);
  const auto other = read(request, data, chunks).first;
  EXPECT_EQ(other.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_THAT(other.error_message(), HasSubstr("belongs to a different encode run"));
  request.set_encode_ts_ns(0);
  pb::VolumeEcBlobDeleteRequest blob;
  blob.set_volume_id(3);
  blob.set_file_key(2);
  pb::VolumeEcBlobDeleteResponse done;
  EXPECT_TRUE(a_.call(&pb::VolumeServer::Stub::VolumeEcBlobDelete, blob, &done).ok());
  request.set_file_key(2);
  chunks.clear();
  EXPECT_TRUE(read(request, data, chunks).second);
  EXPECT_EQ(chunks, std::vector<std::size_t>{0});
  request.set_volume_id(9);
  EXPECT_EQ(read(request, data, chunks).first.error_code(), grpc::StatusCode::UNKNOWN);
}

TEST_F(VolumeEcTest, InfoRebuildDecodeAndScrub) {
  encode(10, 4);
  pb::VolumeEcShardsInfoRequest about;
  about.set_volume_id(3);
  pb::VolumeEcShardsInfoResponse info;
  ASSERT_TRUE(a_.call(&pb::VolumeServer::Stub::VolumeEcShardsInfo, about, &info).ok());
  EXPECT_EQ(info.ec_shard_infos_size(), 14);
  EXPECT_EQ(info.ec_shard_infos(13).size(), 2 << 20);
  EXPECT_EQ(info.file_count(), 6u);

  pb::ScrubEcVolumeRequest scrub;
  scrub.set_mode(pb::FULL);
  pb::ScrubEcVolumeResponse scrubbed;
  ASSERT_TRUE(a_.call(&pb::VolumeServer::Stub::ScrubEcVolume, scrub, &scrubbed).ok());
  EXPECT_EQ(scrubbed.total_files(), 6u);
  EXPECT_EQ(scrubbed.broken_volume_ids_size(), 0) << scrubbed.ShortDebugString();
  {
    std::fstream file(a_.folder + "/c_3.ec02", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1000);
    file.put('\x7f');
  }
  scrub.set_mode(pb::CHECKSUM);
  ASSERT_TRUE(a_.call(&pb::VolumeServer::Stub::ScrubEcVolume, scrub, &scrubbed).ok());
  ASSERT_EQ(scrubbed.broken_shard_infos_size(), 1) << scrubbed.ShortDebugString();
  EXPECT_EQ(scrubbed.broken_shard_infos(0).shard_id(), 2u);

  ASSERT_TRUE(a_.remove_shards({0, 9, 12}).ok());
  pb::VolumeEcShardsRebuildRequest rebuild;
  rebuild.set_volume_id(3);
  rebuild.set_collection("c");
  pb::VolumeEcShardsRebuildResponse rebuilt;
  const auto status = a_.call(&pb::VolumeServer::Stub::VolumeEcShardsRebuild, rebuild, &rebuilt);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(rebuilt.rebuilt_shard_ids(), ::testing::ElementsAre(0, 2, 9, 12));
  ASSERT_TRUE(a_.mount({0, 9, 12}).ok());
  ASSERT_TRUE(a_.call(&pb::VolumeServer::Stub::ScrubEcVolume, scrub, &scrubbed).ok());
  EXPECT_EQ(scrubbed.broken_shard_infos_size(), 0) << scrubbed.ShortDebugString();

  pb::VolumeEcShardsToVolumeRequest decode;
  decode.set_volume_id(3);
  decode.set_collection("c");
  pb::VolumeEcShardsToVolumeResponse decoded;
  ASSERT_TRUE(a_.call(&pb::VolumeServer::Stub::VolumeEcShardsToVolume, decode, &decoded).ok());
  ASSERT_TRUE(a_.volumes->mount(VolumeId(3), std::nullopt).ok());
  const auto ts = [&] {
    std::ifstream in(a_.folder + "/c_3.vif");
    const std::string json((std::istreambuf_iterator<char>(in)), {});
    return json.find("encodeTsNs") != std::string::npos;
  };
  EXPECT_TRUE(ts());
  EXPECT_THAT(a_.remove_shards({}, true, 4711).error_message(), HasSubstr("different encode run"));
  ASSERT_TRUE(a_.remove_shards({}, true).ok());
  EXPECT_FALSE(fs::exists(a_.folder + "/c_3.ecx"));
  EXPECT_TRUE(fs::exists(a_.folder + "/c_3.vif"));
  expect_all(a_);
  ASSERT_TRUE(soon([&] { return master_.bits_of(a_.url()) == 0; }));
}

TEST_F(VolumeEcTest, NothingLeftToDecodeIsSaidByItsCode) {
  encode(2, 1);
  for (const auto& [key, data] : files_) ASSERT_TRUE(a_.remove(key).ok());
  pb::VolumeEcShardsToVolumeRequest decode;
  decode.set_volume_id(3);
  decode.set_collection("c");
  pb::VolumeEcShardsToVolumeResponse decoded;
  const auto status = a_.call(&pb::VolumeServer::Stub::VolumeEcShardsToVolume, decode, &decoded);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("has no live entries"));
}

TEST_F(VolumeEcTest, ErrorsLeaveTheConnectionAlone) {
  EXPECT_EQ(a_.generate().error_message(), "not found volume id 3");
  EXPECT_EQ(a_.generate().error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(a_.mount({0}).error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_TRUE(a_.remove_shards({}, true).ok());  // nothing to tear down
  EXPECT_TRUE(a_.unmount({1}).ok());
}

TEST_F(VolumeEcTest, AMissingIndexIsFetchedFromAServerThatHasIt) {
  encode(2, 1);
  move_to_b(1, 3);
  ASSERT_TRUE(a_.remove(1).ok());
  files_.erase(1);
  ASSERT_TRUE(b_.unmount({1, 2}).ok());
  for (const auto* ext : {".ecx", ".ecj", ".vif", ".ecsum"}) fs::remove(b_.file(ext));
  const auto refused = b_.mount({1, 2});
  EXPECT_THAT(refused.error_message(), HasSubstr("cannot open ec volume index"));
  const auto mounted = b_.mount({1, 2}, true);
  ASSERT_TRUE(mounted.ok()) << mounted.error_message();
  for (const auto* ext : {".ecx", ".ecj", ".vif", ".ecsum"}) EXPECT_EQ(b_.content(ext), a_.content(ext)) << ext;
  ASSERT_TRUE(soon([&] { return master_.bits_of(b_.url()) == 0b110; }));
  expect_all(b_);
  expect_all(a_);
}

TEST_F(VolumeEcTest, AnIndexIsFetchedFromWhoHasItNow) {
  encode(2, 1);
  ASSERT_TRUE(soon([&] { return master_.bits_of(a_.url()) == 0b111; }));
  ASSERT_TRUE(a_.unmount({0}).ok());
  ASSERT_TRUE(soon([&] { return master_.bits_of(a_.url()) == 0b110; }));
  expect_all(a_);  // now it knows for a while that nobody else has any
  ASSERT_GT(master_.lookups, 0);
  for (const auto* ext : {".ec00", ".ecx", ".ecj", ".vif", ".ecsum"}) fs::copy(a_.file(ext), b_.file(ext));
  ASSERT_TRUE(b_.mount({0}).ok());
  ASSERT_TRUE(soon([&] { return master_.bits_of(b_.url()) == 0b001; }));
  ASSERT_TRUE(a_.unmount({1, 2}).ok());
  fs::remove(a_.file(".ecx"));
  const auto mounted = a_.mount({1, 2}, true);
  ASSERT_TRUE(mounted.ok()) << mounted.error_message();
  expect_all(a_);
}

TEST_F(VolumeEcTest, DeletionsThatOnlyThisServerKnowsStayWhenItsIndexIsFetched) {
  encode(2, 1);
  move_to_b(1, 3);
  ASSERT_TRUE(a_.remove_blob(1).ok());
  ASSERT_TRUE(b_.remove_blob(2).ok());
  ASSERT_TRUE(b_.unmount({1, 2}).ok());
  fs::remove(b_.file(".ecx"));
  const auto mounted = b_.mount({1, 2}, true);
  ASSERT_TRUE(mounted.ok()) << mounted.error_message();
  files_.erase(1);
  files_.erase(2);
  expect_all(b_);
}

TEST_F(VolumeEcTest, TheIndexOfAnotherEncodingIsNotFetched) {
  encode(2, 1);
  move_to_b(1, 3);
  ASSERT_TRUE(b_.unmount({1, 2}).ok());
  fs::remove(b_.file(".ecx"));
  auto settings = b_.content(".vif");
  const auto run = settings.find_first_of("123456789", settings.find("encodeTsNs"));
  ASSERT_NE(run, std::string::npos) << settings;
  settings[run] = settings[run] == '1' ? '2' : '1';
  std::ofstream(b_.file(".vif"), std::ios::binary) << settings;
  const auto mounted = b_.mount({1, 2}, true);
  EXPECT_EQ(mounted.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_THAT(mounted.error_message(), HasSubstr("belongs to a different encode run"));
  EXPECT_FALSE(fs::exists(b_.file(".ecx")));
  EXPECT_EQ(b_.content(".vif"), settings);
}

TEST_F(VolumeEcTest, DamagedSettingsAreNotTakenOverWithAnIndex) {
  encode(2, 1);
  move_to_b(1, 3);
  ASSERT_TRUE(b_.unmount({1, 2}).ok());
  fs::remove(b_.file(".ecx"));
  const std::string plain = R"({"version": 3})";  // says nothing of an encoding
  std::ofstream(b_.file(".vif"), std::ios::binary) << plain;
  std::ofstream(a_.file(".vif"), std::ios::binary) << "{\"version\": 3, \"ecSh";
  (void)b_.mount({1, 2}, true);
  EXPECT_EQ(b_.content(".vif"), plain);
}

// It was away when they were deleted, say; shards are brought to it from one that knows less.
TEST_F(VolumeEcTest, DeletionsThatOnlyTheTargetKnowsStayWhenShardsAreCopied) {
  encode(2, 1);
  move_to_b(1, 3);
  ASSERT_TRUE(a_.remove_blob(1).ok());
  ASSERT_TRUE(b_.remove_blob(2).ok());
  files_.erase(1);
  files_.erase(2);
  // Beside mounted shards,
  const auto copied = a_.copy(b_, {1}, true);
  ASSERT_TRUE(copied.ok()) << copied.error_message();
  expect_all(a_);
  ASSERT_TRUE(a_.mount({1}).ok());
  a_.stop();
  a_.start();
  ASSERT_TRUE(soon([&] { return master_.bits_of(a_.url()) == 0b11; }));
  expect_all(a_);
  // and beside others.
  ASSERT_TRUE(b_.remove_blob(3).ok());
  files_.erase(3);
  ASSERT_TRUE(b_.unmount({1, 2}).ok());
  ASSERT_TRUE(b_.copy(a_, {0}, true).ok());
  ASSERT_TRUE(b_.mount({0, 1, 2}).ok());
  ASSERT_TRUE(soon([&] { return master_.bits_of(b_.url()) == 0b111; }));
  expect_all(b_);
}

TEST_F(VolumeEcTest, DeletionsThatAreFoldedIntoAnIndexStayWhenShardsAreCopied) {
  encode(2, 1);
  move_to_b(1, 3);
  ASSERT_TRUE(a_.copy(b_, {1, 2}, false).ok());
  ASSERT_TRUE(a_.remove_blob(1).ok());
  pb::VolumeEcShardsRebuildRequest request;
  request.set_volume_id(3);
  request.set_collection("c");
  pb::VolumeEcShardsRebuildResponse rebuilt;
  ASSERT_TRUE(a_.call(&pb::VolumeServer::Stub::VolumeEcShardsRebuild, request, &rebuilt).ok());
  ASSERT_FALSE(fs::exists(a_.file(".ecj")));
  ASSERT_TRUE(b_.remove_blob(2).ok());
  files_.erase(1);
  // At the source: b takes them over and keeps its own.
  ASSERT_TRUE(b_.copy(a_, {0}, true).ok());
  ASSERT_TRUE(b_.mount({0}).ok());
  files_.erase(2);
  expect_all(b_);
  // At the target: they stay when an index comes that does not have them.
  ASSERT_TRUE(a_.unmount({0}).ok());
  ASSERT_TRUE(a_.copy(b_, {1}, true).ok());
  ASSERT_TRUE(a_.mount({0, 1, 2}).ok());
  expect_all(a_);
}

TEST_F(VolumeEcTest, ShardsOfAnotherEncodingAreNotCopiedBesideThese) {
  encode(2, 1);
  move_to_b(1, 3);
  ASSERT_TRUE(b_.unmount({1, 2}).ok());
  auto settings = b_.content(".vif");
  const auto run = settings.find_first_of("123456789", settings.find("encodeTsNs"));
  ASSERT_NE(run, std::string::npos) << settings;
  settings[run] = settings[run] == '1' ? '2' : '1';
  std::ofstream(b_.file(".vif"), std::ios::binary) << settings;
  for (const bool others : {true, false}) {
    const auto copied = b_.copy(a_, {0}, others);
    EXPECT_EQ(copied.error_code(), grpc::StatusCode::UNKNOWN);
    EXPECT_THAT(copied.error_message(), HasSubstr("belongs to a different encode run"));
    EXPECT_FALSE(fs::exists(b_.file(".ec00")));
    EXPECT_EQ(b_.content(".vif"), settings);
  }
  // Nothing half made is left either.
  for (const auto& entry : fs::directory_iterator(b_.folder)) EXPECT_NE(entry.path().extension(), ".copying") << entry.path();
}

TEST_F(VolumeEcTest, WhatIsLeftOfAnotherEncodingDeletesNothingInACopy) {
  encode(2, 1);
  auto settings = a_.content(".vif");
  const auto run = settings.find_first_of("123456789", settings.find("encodeTsNs"));
  ASSERT_NE(run, std::string::npos) << settings;
  settings[run] = settings[run] == '1' ? '2' : '1';
  std::ofstream(b_.file(".vif"), std::ios::binary) << settings;
  std::ofstream(b_.file(".ecx"), std::ios::binary) << std::string(16, '\0');
  std::ofstream(b_.file(".ecj"), std::ios::binary) << std::string("\0\0\0\0\0\0\0\1", 8);
  ASSERT_TRUE(b_.copy(a_, {0, 1}, true).ok());
  for (const auto* ext : {".ecx", ".ecj", ".vif", ".ecsum"}) EXPECT_EQ(b_.content(ext), a_.content(ext)) << ext;
  ASSERT_TRUE(b_.mount({0, 1}).ok());
  expect_all(b_);
  // Nor does a journal beside which nothing lies.
  ASSERT_TRUE(b_.remove_shards({}, true).ok());
  std::ofstream(b_.file(".ecj"), std::ios::binary) << std::string("\0\0\0\0\0\0\0\1", 8);
  ASSERT_TRUE(b_.copy(a_, {0, 1}, true).ok());
  ASSERT_TRUE(b_.mount({0, 1}).ok());
  expect_all(b_);
}

TEST_F(VolumeEcTest, FilesThatAreSentBringNoDeletedFileBack) {
  encode(2, 1);
  ASSERT_TRUE(a_.remove_blob(2).ok());
  const auto journal_of = [](char key) { return std::string(7, '\0') + key; };
  const auto index = a_.content(".ecx");
  EXPECT_THAT(a_.receive(".ecj", journal_of(1)), HasSubstr("ec volume 3 is mounted"));
  ASSERT_TRUE(a_.unmount({0, 1, 2}).ok());
  EXPECT_EQ(a_.receive(".ecj", journal_of(1)), "");
  EXPECT_EQ(a_.content(".ecj"), journal_of(2) + journal_of(1));
  // The index of the same files, of which one was deleted and folded in: the fourth.
  auto folded = index;
  folded.replace(3 * 16 + 12, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(a_.receive(".ecx", folded), "");
  EXPECT_EQ(a_.content(".ecj"), journal_of(2) + journal_of(1) + journal_of(4));
  EXPECT_EQ(a_.content(".ecx"), index);
  EXPECT_FALSE(fs::exists(a_.file(".ecx.tmp")) || fs::exists(a_.file(".ecj.tmp")));
  ASSERT_TRUE(a_.mount({0, 1, 2}).ok());
  for (const auto key : {1, 2, 4}) files_.erase(static_cast<std::uint64_t>(key));
  expect_all(a_);
  // That of other files: what was deleted of these says nothing of them.
  ASSERT_TRUE(a_.unmount({0, 1, 2}).ok());
  EXPECT_EQ(a_.receive(".ecx", index.substr(16)), "");
  EXPECT_EQ(a_.content(".ecx"), index.substr(16));
  EXPECT_FALSE(fs::exists(a_.file(".ecj")));
}

TEST_F(VolumeEcTest, AnIndexThatNobodyHasIsNotFetched) {
  encode(2, 1);
  ASSERT_TRUE(a_.unmount({0, 1, 2}).ok());
  ASSERT_TRUE(soon([&] { return master_.bits_of(a_.url()) == 0; }));
  fs::remove(a_.file(".ecx"));
  EXPECT_THAT(a_.mount({0, 1, 2}, true).error_message(), HasSubstr("ec volume 3 not found"));
  // Nor is it asked for without a shard.
  EXPECT_THAT(b_.mount({0}, true).error_message(), HasSubstr("MountEcShards 3.0 not found on disk"));
}

}  // namespace
}  // namespace holdfast::front
