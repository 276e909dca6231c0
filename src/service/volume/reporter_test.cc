// The volume server before fake masters that speak real gRPC over loopback.
#include "service/volume/reporter.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <thread>

#include "api/convert.h"
#include "api/master.grpc.pb.h"
#include "api/pulse.h"
#include "client/http_pool.h"
#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "service/volume/upkeep.h"
#include "service/volume/volume_server.h"

namespace holdfast::volume {
namespace {

const std::string kCluster = "11111111-1111-4111-8111-111111111111";
const std::string kOtherCluster = "22222222-2222-4222-8222-222222222222";

// Waits for what other threads do; a bound, not a pause.
template <typename Condition>
bool soon(Condition condition, Duration patience = 10s) {
  const auto until = io::posix::boot_now() + patience;
  while (io::posix::boot_now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(2ms);
  }
  return condition();
}

class FakeMaster final : public master_pb::Seaweed::Service {
 public:
  // `port`: of HTTP; gRPC listens on any free one, which its address names. 0 takes the last one again.
  void start() {
    grpc::ServerBuilder builder;
    const auto wanted = "127.0.0.1:" + std::to_string(grpc_port_);
    builder.AddListeningPort(wanted, grpc::InsecureServerCredentials(), &grpc_port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    ASSERT_TRUE(server_);
  }
  void stop() {
    {
      std::lock_guard guard(mutex_);
      stopping_ = true;
    }
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    stopping_ = false;
  }
  ~FakeMaster() override { stop(); }

  Address address() const {
    return {"127.0.0.1", static_cast<std::uint16_t>(1000 + id_), static_cast<std::uint16_t>(grpc_port_)};
  }

  grpc::Status SendHeartbeat(grpc::ServerContext*,
                             grpc::ServerReaderWriter<master_pb::HeartbeatResponse, master_pb::Heartbeat>* stream) override {
    master_pb::Heartbeat report;
    bool first = true;
    {
      std::lock_guard guard(mutex_);
      streams_++;
    }
    while (stream->Read(&report)) {
      master_pb::HeartbeatResponse answer;
      bool is_silent = false;
      {
        std::lock_guard guard(mutex_);
        is_silent = silent_;
        reports_.push_back(report);
        answer = answer_;
        stream_ = stream;
      }
      if (is_silent) continue;
      if (first && !stream->Write(answer)) break;
      first = false;
    }
    std::lock_guard guard(mutex_);
    stream_ = nullptr;
    return grpc::Status::OK;
  }
  grpc::Status LookupVolume(grpc::ServerContext*, const master_pb::LookupVolumeRequest* request,
                            master_pb::LookupVolumeResponse* answer) override {
    std::lock_guard guard(mutex_);
    for (const auto& id : request->volume_or_file_ids()) {
      auto* found = answer->add_volume_id_locations();
      found->set_volume_or_file_id(id);
      for (const auto& url : holders_) {
        found->add_locations()->set_url(url);
      }
      if (holders_.empty()) found->set_error("volume id " + id + " not found");
    }
    return grpc::Status::OK;
  }

  explicit FakeMaster(int id) : id_(id) {
    answer_.set_accepted(true);
    answer_.set_cluster_id(kCluster);
    answer_.set_master_uuid(uuid());
    answer_.set_pulse_ms(20);
    answer_.set_volume_size_limit(30000_MiB);
  }
  // Takes what comes, and answers nothing.
  void be_silent(bool silent) {
    std::lock_guard guard(mutex_);
    silent_ = silent;
  }
  int streams() {
    std::lock_guard guard(mutex_);
    return streams_;
  }
  std::string uuid() const { return "33333333-3333-4333-8333-33333333333" + std::to_string(id_); }

  template <typename Change>
  void change(Change change) {
    std::lock_guard guard(mutex_);
    change(answer_);
  }
  // Says whether its datagrams are heard, between two answers.
  void tell_heard(bool heard) {
    std::lock_guard guard(mutex_);
    master_pb::HeartbeatResponse alone;
    alone.mutable_pulse()->set_heard(heard);
    alone.mutable_pulse()->set_alone(true);
    ASSERT_NE(stream_, nullptr);
    ASSERT_TRUE(stream_->Write(alone));
  }
  void set_holders(std::vector<std::string> holders) {
    std::lock_guard guard(mutex_);
    holders_ = std::move(holders);
  }
  void knows(const FakeMaster& other) {
    change([&](auto& answer) {
      auto* master = answer.add_masters();
      master->set_uuid(other.uuid());
      master->set_http_address(other.address().http());
      master->set_grpc_address(other.address().grpc());
      master->set_voter(true);
    });
  }
  std::vector<master_pb::Heartbeat> reports() const {
    std::lock_guard guard(mutex_);
    return reports_;
  }
  void forget_reports() {
    std::lock_guard guard(mutex_);
    reports_.clear();
  }
  bool heard(const std::function<bool(const master_pb::Heartbeat&)>& what) const {
    const auto all = reports();
    return std::any_of(all.begin(), all.end(), what);
  }

 private:
  const int id_;
  int grpc_port_ = 0;
  mutable std::mutex mutex_;
  bool stopping_ = false;
  bool silent_ = false;
  int streams_ = 0;
  grpc::ServerReaderWriter<master_pb::HeartbeatResponse, master_pb::Heartbeat>* stream_ = nullptr;
  master_pb::HeartbeatResponse answer_;
  std::vector<master_pb::Heartbeat> reports_;
  std::vector<std::string> holders_;
  std::unique_ptr<grpc::Server> server_;
};

class ReporterTest : public ::testing::Test {
 protected:
  ReporterTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-reporter-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    a_.start();
    b_.start();
  }
  ~ReporterTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  VolumeConfig config(std::vector<Address> masters) {
    VolumeConfig config;
    config.ip = "127.0.0.1";
    config.port = 8080;
    config.directories = {{.path = folder_, .volumes_max = 9, .min_free_percent = 0}};
    config.masters = std::move(masters);
    return config;
  }
  VolumeServer& start(std::vector<Address> masters) {
    server_.reset();
    auto opened = VolumeServer::open(config(std::move(masters)), world());
    EXPECT_TRUE(opened.ok()) << opened.error().what();
    server_ = std::move(*opened);
    server_->start();
    return *server_;
  }
  VolumeServer::World world() {
    return {io::posix::system_disk(), io::posix::system_clock(), io::posix::system_random(), loops_, pool_,
            io::posix::system_random().uuid()};
  }
  static OrderFence fence(std::uint64_t term, std::uint64_t sequence, const std::string& cluster = kCluster) {
    return Fence{ClusterId(*Uuid::parse(cluster)), Generation(1), Term(term), sequence};
  }
  static auto names_new(std::uint32_t id) {
    return [id](const master_pb::Heartbeat& r) {
      return std::any_of(r.new_volumes().begin(), r.new_volumes().end(), [&](const auto& v) { return v.id() == id; });
    };
  }

  std::string folder_;
  FakeMaster a_{1};
  FakeMaster b_{2};
  io::EventLoops loops_{1};
  client::HttpPool pool_{loops_};
  std::unique_ptr<VolumeServer> server_;
};

TEST_F(ReporterTest, TellsEveryMasterAllItHasAndThenWhatChanges) {
  auto& server = start({a_.address(), b_.address()});
  for (auto* master : {&a_, &b_}) {
    ASSERT_TRUE(soon([&] { return !master->reports().empty(); }));
    const auto first = master->reports()[0];
    EXPECT_EQ(first.ip(), "127.0.0.1");
    EXPECT_EQ(first.port(), 8080u);
    EXPECT_EQ(first.grpc_port(), 18080u);
    EXPECT_TRUE(first.has_no_volumes());
    EXPECT_EQ(first.location_uuids_size(), 1);
    EXPECT_EQ(first.max_volume_counts().at(""), 9u);
    EXPECT_FALSE(first.process_uuid().empty());
  }
  ASSERT_TRUE(server.allocate({.id = VolumeId(3), .collection = "c"}, fence(1, 1)).ok());
  for (auto* master : {&a_, &b_}) EXPECT_TRUE(soon([&] { return master->heard(names_new(3)); }));
  ASSERT_TRUE(server.delete_volume(VolumeId(3), {}, fence(1, 2)).ok());
  EXPECT_TRUE(soon([&] { return a_.heard([](const auto& r) { return r.deleted_volumes_size() == 1; }); }));
}

TEST_F(ReporterTest, TellsOfMaintenanceAtOnceAndAfterARestart) {
  const auto in_maintenance = [](const auto& r) { return r.has_state() && r.state().maintenance() && r.state().version() == 1; };
  auto& server = start({a_.address()});
  ASSERT_TRUE(soon([&] { return !a_.reports().empty(); }));
  EXPECT_FALSE(a_.reports()[0].state().maintenance());
  ASSERT_TRUE(server.upkeep()->set_state({.maintenance = true, .version = 0}).ok());
  EXPECT_TRUE(soon([&] { return a_.heard(in_maintenance); }));
  server_.reset();
  a_.forget_reports();
  start({a_.address()});
  ASSERT_TRUE(soon([&] { return !a_.reports().empty(); }));
  EXPECT_TRUE(in_maintenance(a_.reports()[0]));
}

TEST_F(ReporterTest, LearnsTheOtherMastersAndNeedsNoSeedAfterARestart) {
  a_.knows(a_);
  a_.knows(b_);
  a_.change([&](auto& answer) { answer.set_leader_uuid(a_.uuid()); });
  start({a_.address()});
  EXPECT_TRUE(soon([&] { return !b_.reports().empty(); }));
  EXPECT_TRUE(soon([&] { return server_->masters().size() == 2 && server_->masters()[0] == a_.address(); }));
  server_.reset();
  b_.forget_reports();
  a_.stop();
  auto dead = a_.address();
  start({dead});
  EXPECT_TRUE(soon([&] { return b_.heard([](const auto& r) { return r.cluster_id() == kCluster; }); }));
  // A master that has lost its disk can learn from the first report whose it is.
  const auto first = b_.reports().at(0);
  EXPECT_EQ(first.known_masters_size(), 2);
  EXPECT_EQ(first.called_as(), text(b_.address()));
}

TEST_F(ReporterTest, ABrokenMasterIsFoundAgainAtOnce) {
  auto& server = start({a_.address()});
  ASSERT_TRUE(server.allocate({.id = VolumeId(3)}, fence(1, 1)).ok());
  // In the first full report, or as news after it: whichever comes first.
  ASSERT_TRUE(soon([&] {
    return a_.heard(names_new(3)) || a_.heard([](const auto& r) { return r.volumes_size() == 1; });
  }));
  a_.stop();
  a_.forget_reports();
  const auto back = io::posix::boot_now();
  a_.start();
  EXPECT_TRUE(soon([&] { return a_.heard([](const auto& r) { return r.volumes_size() == 1; }); }));
  EXPECT_LT(io::posix::boot_now() - back, 2s);
}

// A thousand servers that come to a master at once must not ask it to read all their full reports again and again because it
// has not answered yet.
TEST_F(ReporterTest, AMasterThatTakesLongToAnswerIsAskedEverMoreSeldom) {
  a_.be_silent(true);
  FenceKeeper fences(ServerState{}, [](const ServerState&) { return Status(); });
  VolumeConfig config;
  config.ip = "127.0.0.1";
  config.masters = {a_.address()};
  Reporter reporter(config, {.clock = io::posix::system_clock(),
                             .fences = fences,
                             .holdings = [] { return Holdings(); },
                             .folder_uuids = {},
                             .process = Uuid::from_random(1, 2),
                             .settings = [](std::uint64_t) {},
                             .first_answer_max = 100ms});
  reporter.start();
  std::this_thread::sleep_for(1400ms);
  EXPECT_GE(a_.streams(), 2);  // at 0, 0.1, 0.3, 0.7 and 1.5 s, each a little later
  EXPECT_LE(a_.streams(), 5);
  a_.be_silent(false);
  EXPECT_TRUE(soon([&] { return reporter.connected() == 1; }));
}

TEST_F(ReporterTest, StoresForVolumesAreThoseOfAllMastersAndTheLeadersWordCounts) {
  const auto tell = [](FakeMaster& master, const std::string& id, const std::string& bucket) {
    master.change([&](auto& answer) { api::fill(TierBackend{"s3", id, {{"bucket", bucket}}}, answer.add_storage_backends()); });
  };
  for (auto* master : {&a_, &b_}) {
    master->knows(a_);
    master->knows(b_);
    master->change([&](auto& answer) { answer.set_leader_uuid(b_.uuid()); });
  }
  tell(a_, "both", "of a");
  tell(a_, "first", "of a");
  tell(b_, "both", "of b");
  std::mutex mutex;
  std::vector<std::vector<TierBackend>> told;
  FenceKeeper fences(ServerState{}, [](const ServerState&) { return Status(); });
  VolumeConfig config;
  config.ip = "127.0.0.1";
  config.masters = {a_.address(), b_.address()};
  Reporter reporter(config, {.clock = io::posix::system_clock(),
                             .fences = fences,
                             .holdings = [] { return Holdings(); },
                             .folder_uuids = {},
                             .process = Uuid::from_random(1, 2),
                             .settings = [](std::uint64_t) {},
                             .tiers = [&](std::vector<TierBackend> tiers) {
                               std::lock_guard guard(mutex);
                               told.push_back(std::move(tiers));
                             }});
  const auto last = [&] {
    std::lock_guard guard(mutex);
    return told.empty() ? std::vector<TierBackend>() : told.back();
  };
  reporter.start();
  const std::vector<TierBackend> all{{"s3", "both", {{"bucket", "of b"}}}, {"s3", "first", {{"bucket", "of a"}}}};
  EXPECT_TRUE(soon([&] { return last() == all; }));
  // One that is away for a while takes nothing along; one that comes back without its stores does.
  a_.stop();
  a_.change([](auto& answer) { answer.clear_storage_backends(); });
  ASSERT_TRUE(soon([&] { return reporter.connected() == 1; }));
  EXPECT_EQ(last(), all);
  a_.start();
  EXPECT_TRUE(soon([&] { return last() == std::vector<TierBackend>{all[0]}; }));
}

TEST_F(ReporterTest, OrdersOfOldLeadersAndOtherClustersAreRefusedAlsoAfterARestart) {
  auto* server = &start({a_.address()});
  ASSERT_TRUE(server->allocate({.id = VolumeId(1)}, fence(5, 1)).ok());
  EXPECT_EQ(server->allocate({.id = VolumeId(2)}, fence(4, 9)).error().code(), Code::refused);
  server = &start({a_.address()});
  EXPECT_EQ(server->allocate({.id = VolumeId(2)}, fence(4, 9)).error().code(), Code::refused);
  EXPECT_EQ(server->delete_volume(VolumeId(1), {}, fence(9, 9, kOtherCluster)).error().code(), Code::refused);
  EXPECT_TRUE(server->has_volume(VolumeId(1)));
  EXPECT_TRUE(server->allocate({.id = VolumeId(2)}, std::nullopt).ok());
}

TEST_F(ReporterTest, MountingObeysTheFenceToo) {
  auto& server = start({a_.address()});
  ASSERT_TRUE(server.allocate({.id = VolumeId(1)}, fence(5, 1)).ok());
  EXPECT_EQ(server.unmount(VolumeId(1), fence(4, 9)).error().code(), Code::refused);
  EXPECT_TRUE(server.has_volume(VolumeId(1)));
  ASSERT_TRUE(server.unmount(VolumeId(1), fence(5, 2)).ok());
  EXPECT_EQ(server.mount(VolumeId(1), fence(4, 9)).error().code(), Code::refused);
  EXPECT_EQ(server.mount(VolumeId(1), fence(5, 1)).error().code(), Code::refused);  // older than the unmounting
  EXPECT_FALSE(server.has_volume(VolumeId(1)));
  EXPECT_TRUE(server.mount(VolumeId(1), std::nullopt).ok());
}

// A deletion that was under way for long (the server was frozen, say) meets volumes that were made after it was given,
// and may hold acknowledged files by now.
TEST_F(ReporterTest, ADeletionThatWasOvertakenLeavesLaterVolumes) {
  auto& server = start({a_.address()});
  ASSERT_TRUE(server.allocate({.id = VolumeId(1), .collection = "c"}, fence(5, 1)).ok());
  ASSERT_TRUE(server.allocate({.id = VolumeId(2), .collection = "c"}, fence(5, 7)).ok());
  ASSERT_TRUE(server.allocate({.id = VolumeId(3), .collection = "d"}, fence(5, 8)).ok());
  ASSERT_TRUE(server.delete_collection("c", fence(5, 6)).ok());
  EXPECT_FALSE(server.has_volume(VolumeId(1)));
  EXPECT_TRUE(server.has_volume(VolumeId(2)));
  EXPECT_TRUE(server.has_volume(VolumeId(3)));
  // What ran beside it is not refused for being older, and one made again by a doubled order is.
  EXPECT_TRUE(server.allocate({.id = VolumeId(4), .collection = "d"}, fence(5, 5)).ok());
  EXPECT_EQ(server.allocate({.id = VolumeId(1), .collection = "c"}, fence(5, 1)).error().code(), Code::refused);
  // Upstream's order names no time: it takes all.
  ASSERT_TRUE(server.delete_collection("c", std::nullopt).ok());
  EXPECT_FALSE(server.has_volume(VolumeId(2)));
}

TEST_F(ReporterTest, MastersOfAnotherClusterAreLeftAloneWhileItsOwnAnswer) {
  b_.change([](auto& answer) { answer.set_cluster_id(kOtherCluster); });
  start({a_.address()});
  ASSERT_TRUE(soon([&] { return a_.heard([](const auto& r) { return r.cluster_id() == kCluster; }); }));
  start({a_.address(), b_.address()});
  ASSERT_TRUE(soon([&] { return !b_.reports().empty() && !a_.reports().empty(); }));
  EXPECT_EQ(server_->allocate({.id = VolumeId(1)}, fence(9, 9, kOtherCluster)).error().code(), Code::refused);
}

TEST_F(ReporterTest, AnUpstreamMasterGetsFullListsAndIsFollowedToItsLeader) {
  a_.change([&](auto& answer) {
    answer.Clear();
    answer.set_leader(text(b_.address()));
  });
  b_.change([](auto& answer) {
    answer.Clear();
    answer.set_volume_size_limit(1000);
  });
  auto& server = start({a_.address()});
  ASSERT_TRUE(soon([&] { return !b_.reports().empty(); }));
  ASSERT_TRUE(server.allocate({.id = VolumeId(4)}, std::nullopt).ok());
  EXPECT_TRUE(soon([&] { return b_.heard(names_new(4)); }));
  EXPECT_FALSE(b_.heard([](const auto& r) { return r.changed_volumes_size() > 0; }));
}

TEST_F(ReporterTest, PulsesThatSayNothingNewGoByDatagramWhereTheyAreHeard) {
  const std::string key = "0123456789abcdef";
  auto socket = io::posix::UdpSocket::bind("127.0.0.1", 0);
  ASSERT_TRUE(socket.ok());
  // Genuine ones since the last call; each number once, and rising.
  std::uint64_t number = 0;
  const auto datagrams = [&] {
    std::array<std::uint8_t, 64> room{};
    int count = 0;
    while (const auto length = socket->receive(room)) {
      const auto bytes = BytesView(room).first(*length);
      const auto pulse = api::read_pulse(bytes);
      EXPECT_TRUE(pulse && api::is_genuine(bytes, key));
      if (!pulse) continue;
      EXPECT_EQ(pulse->line, 77u);
      EXPECT_GT(pulse->number, number);
      number = pulse->number;
      ++count;
    }
    return count;
  };
  a_.change([&](auto& answer) {
    auto* pulse = answer.mutable_pulse();
    pulse->set_port(socket->port());
    pulse->set_line(77);
    pulse->set_key(key);
  });
  auto& server = start({a_.address()});
  ASSERT_TRUE(soon([&] { return !a_.reports().empty(); }));
  EXPECT_TRUE(a_.reports()[0].pulses_by_datagram());

  // Both ways until the master says that datagrams come. Pulses are 20 ms apart here.
  int heard = 0;
  ASSERT_TRUE(soon([&] { return (heard += datagrams()) >= 5; }));
  EXPECT_GE(a_.reports().size(), 3u);

  a_.tell_heard(true);
  std::this_thread::sleep_for(100ms);  // what was under way
  a_.forget_reports();
  (void)datagrams();
  heard = 0;
  ASSERT_TRUE(soon([&] { return (heard += datagrams()) >= 2 * Reporter::kStreamPulses + 4; }));
  const auto by_stream = a_.reports().size();
  EXPECT_GE(by_stream, 1u);
  EXPECT_LE(by_stream, 8u);

  // News goes by the stream, and at once.
  ASSERT_TRUE(server.allocate({.id = VolumeId(3)}, fence(1, 1)).ok());
  EXPECT_TRUE(soon([&] { return a_.heard(names_new(3)); }));

  // So does everything when datagrams are lost; the first one at once.
  a_.tell_heard(false);
  std::this_thread::sleep_for(50ms);
  a_.forget_reports();
  (void)datagrams();
  heard = 0;
  ASSERT_TRUE(soon([&] { return a_.reports().size() >= 10; }));
  heard += datagrams();
  EXPECT_GE(heard, 5);
  EXPECT_LE(heard, 20);
}

TEST_F(ReporterTest, SaysGoodbye) {
  auto& server = start({a_.address()});
  ASSERT_TRUE(soon([&] { return !a_.reports().empty(); }));
  ASSERT_TRUE(soon([&] { return a_.heard([](const auto& r) { return r.cluster_id() == kCluster; }); }));
  EXPECT_TRUE(server.is_healthy());
  server.leave();
  EXPECT_FALSE(server.is_healthy());
  EXPECT_TRUE(soon([&] { return a_.heard([](const auto& r) { return r.leaving(); }); }));
}

TEST_F(ReporterTest, AWriteForAVolumeThatNobodyHoldsIsAnError) {
  auto& server = start({a_.address()});
  WriteRequest request;
  request.id = FileId{VolumeId(77), NeedleId(1), Cookie(1)};
  request.data = bytes_of("lost?");
  std::atomic<int> code{-1};
  server.write(request, [&](Result<Written> r) { code = r.ok() ? 999 : static_cast<int>(r.error().code()); });
  EXPECT_TRUE(soon([&] { return code >= 0; }));
  EXPECT_EQ(code, static_cast<int>(Code::not_found));
}

TEST_F(ReporterTest, AWriteWithTooFewHoldersIsAnErrorInUpstreamsWords) {
  auto& server = start({a_.address()});
  ASSERT_TRUE(server.allocate({.id = VolumeId(5), .replica_placement = *ReplicaPlacement::parse("001")}, fence(1, 1)).ok());
  a_.set_holders({"127.0.0.1:8080"});
  WriteRequest request;
  request.id = FileId{VolumeId(5), NeedleId(1), Cookie(1)};
  request.data = bytes_of("x");
  std::mutex mutex;
  std::string said;
  server.write(request, [&](Result<Written> r) {
    std::lock_guard guard(mutex);
    said = r.ok() ? "stored" : r.error().what();
  });
  EXPECT_TRUE(soon([&] {
    std::lock_guard guard(mutex);
    return !said.empty();
  }));
  EXPECT_EQ(said, "replicating operations [1] is less than volume 5 replication copy count [2]");
}

}  // namespace
}  // namespace holdfast::volume
