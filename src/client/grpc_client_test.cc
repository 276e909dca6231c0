// The gRPC side of the client library against masters and volume servers that are real servers with scripted answers.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "api/convert.h"
#include "api/master.grpc.pb.h"
#include "api/volume_server.grpc.pb.h"
#include "client/heartbeat_stream.h"
#include "client/master_client.h"
#include "client/volume_orders.h"

namespace holdfast::client {
namespace {

using Clock = std::chrono::steady_clock;

// An address nobody listens on: bound, never listened on, held until the end of the test.
class DeadAddress {
 public:
  DeadAddress() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
  }
  ~DeadAddress() { ::close(socket_); }
  Address address() const { return {.host = "127.0.0.1", .port = 1, .grpc_port = port_}; }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

template <typename Service>
class Served {
 public:
  explicit Served(const std::string& host = "127.0.0.1") : host_(host) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(host_port(host, 0), grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
  }
  ~Served() { stop(); }
  void stop() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }
  // The HTTP port is made up: it tells the masters of one test apart.
  Address address() const {
    return {.host = host_, .port = static_cast<std::uint16_t>(port_ - 1), .grpc_port = static_cast<std::uint16_t>(port_)};
  }
  Service& service() { return service_; }

 private:
  const std::string host_;
  Service service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class FakeMaster final : public master_pb::Seaweed::Service {
 public:
  std::atomic<int> assigns = 0;
  std::function<grpc::Status(const master_pb::AssignRequest&, master_pb::AssignResponse*)> on_assign;
  std::function<void(master_pb::GetMasterConfigurationResponse*)> on_configuration;
  std::function<grpc::Status(grpc::ServerReaderWriter<master_pb::HeartbeatResponse, master_pb::Heartbeat>*)> on_stream;

  grpc::Status Assign(grpc::ServerContext*, const master_pb::AssignRequest* request,
                      master_pb::AssignResponse* response) override {
    ++assigns;
    return on_assign(*request, response);
  }
  grpc::Status LookupVolume(grpc::ServerContext*, const master_pb::LookupVolumeRequest* request,
                            master_pb::LookupVolumeResponse* response) override {
    for (const auto& id : request->volume_or_file_ids()) {
      auto* one = response->add_volume_id_locations();
      one->set_volume_or_file_id(id);
      if (id == "7") {
        auto* location = one->add_locations();
        location->set_url("127.0.0.1:8080");
        location->set_public_url("pub:80");
        location->set_grpc_port(18080);
      } else {
        one->set_error("volume id " + id + " not found");
      }
    }
    return grpc::Status::OK;
  }
  grpc::Status GetMasterConfiguration(grpc::ServerContext*, const master_pb::GetMasterConfigurationRequest*,
                                      master_pb::GetMasterConfigurationResponse* response) override {
    if (on_configuration) on_configuration(response);
    return grpc::Status::OK;
  }
  grpc::Status SendHeartbeat(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<master_pb::HeartbeatResponse, master_pb::Heartbeat>* stream) override {
    return on_stream(stream);
  }
};

grpc::Status give(const std::string& fid, master_pb::AssignResponse* response) {
  response->set_fid(fid);
  response->set_count(1);
  response->mutable_location()->set_url("127.0.0.1:8080");
  return grpc::Status::OK;
}

// Opens once; a server's handler can wait for it as long as a test lasts.
class Gate {
 public:
  void open() {
    const std::lock_guard guard(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }
  bool wait_for(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST(MasterClient, AssignsAndLooksUp) {
  Served<FakeMaster> master;
  master.service().on_assign = [](const auto& request, auto* response) {
    EXPECT_EQ(request.collection(), "pics");
    EXPECT_EQ(request.count(), 2u);
    response->add_replicas()->set_url("127.0.0.1:8081");
    return give("3,01637037d6", response);
  };
  MasterClient client({.masters = {master.address()}});
  const auto assigned = client.assign({.count = 2, .collection = "pics"});
  ASSERT_TRUE(assigned.ok()) << assigned.error().what();
  EXPECT_EQ(assigned->fid, "3,01637037d6");
  EXPECT_EQ(assigned->location.url, "127.0.0.1:8080");
  EXPECT_EQ(assigned->replicas.size(), 1u);
  const auto found = client.lookup({"7", "8"});
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->size(), 2u);
  EXPECT_EQ((*found)[0].locations.at(0).public_url, "pub:80");
  EXPECT_EQ((*found)[1].error, "volume id 8 not found");
}

TEST(MasterClient, ADeadMasterIsLeftForTheNextAtOnce) {
  const DeadAddress dead;
  Served<FakeMaster> master;
  master.service().on_assign = [](const auto&, auto* response) { return give("1,01", response); };
  MasterClient client({.masters = {dead.address(), master.address()}, .hedge_after = 10s});
  const auto begun = Clock::now();
  ASSERT_TRUE(client.assign({}).ok());
  EXPECT_LT(Clock::now() - begun, 2s);
  EXPECT_EQ(client.masters().front(), master.address());
}

TEST(MasterClient, ANameStandsForAllItsRecordsAlsoWhenTheyChangeUnderAQuestion) {
  Served<FakeMaster> master;
  master.service().on_assign = [](const auto&, auto* response) { return give("1,01", response); };
  // On loopback each number is a host of its own: nobody listens on the others.
  std::atomic<bool> has_moved{false};
  std::atomic<int> asked{0};
  MasterClient client({.masters = {{"masters.invalid", master.address().port, master.address().grpc_port}},
                       .discovery_interval = 5ms,
                       .resolve = [&](const std::string&) -> Result<std::vector<std::string>> {
                         ++asked;
                         if (has_moved) return std::vector<std::string>{"127.0.0.1", "127.0.0.4"};
                         return std::vector<std::string>{"127.0.0.2", "127.0.0.3"};
                       }});
  auto promise = std::make_shared<std::promise<Result<Assignment>>>();
  auto future = promise->get_future();
  client.assign({}, [promise](Result<Assignment> assigned) { promise->set_value(std::move(assigned)); });
  while (asked < 3) std::this_thread::sleep_for(1ms);
  has_moved = true;
  EXPECT_TRUE(future.get().ok());
  // Those that the name has left are asked no more.
  for (const auto& known : client.masters()) EXPECT_TRUE(known.host == "127.0.0.1" || known.host == "127.0.0.4");
}

TEST(MasterClient, ASilentMasterDoesNotHoldUpTheQuestion) {
  Served<FakeMaster> silent;
  Served<FakeMaster> master;
  Gate end;
  silent.service().on_assign = [&](const auto&, auto*) {
    end.wait();
    return grpc::Status::OK;
  };
  master.service().on_assign = [](const auto&, auto* response) { return give("1,01", response); };
  {
    MasterClient client({.masters = {silent.address(), master.address()}, .hedge_after = 50ms});
    const auto begun = Clock::now();
    ASSERT_TRUE(client.assign({}).ok());
    EXPECT_LT(Clock::now() - begun, 5s);
  }
  end.open();
}

TEST(MasterClient, WaitsThroughAnElectionAlthoughAFrozenMasterNeverAnswers) {
  Served<FakeMaster> frozen;
  Served<FakeMaster> follower;
  Gate end;
  frozen.service().on_assign = [&](const auto&, auto*) {
    end.wait();
    return grpc::Status::OK;
  };
  follower.service().on_assign = [&](const auto&, auto* response) {
    if (follower.service().assigns < 4) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "no leader yet");
    return give("1,01", response);
  };
  {
    MasterClient client({.masters = {frozen.address(), follower.address()}, .hedge_after = 20ms});
    ASSERT_TRUE(client.assign({}).ok());
    EXPECT_EQ(follower.service().assigns, 4);
  }
  end.open();
}

TEST(MasterClient, WhenPatienceEndsABusyMastersOwnWordsAreTheAnswer) {
  Served<FakeMaster> master;
  master.service().on_assign = [&](const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "volume growth in progress");
  };
  MasterClient client({.masters = {master.address()}, .patience = 1s});
  const auto refused = client.assign({});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::busy);
  EXPECT_EQ(refused.error().what(), "volume growth in progress");
}

TEST(MasterClient, GoesOnWhenToldThatTheMasterDoesNotLead) {
  Served<FakeMaster> master;
  master.service().on_assign = [&](const auto&, auto* response) {
    if (master.service().assigns < 3) return grpc::Status(grpc::StatusCode::UNKNOWN, "raft.Server: Not current leader");
    return give("1,01", response);
  };
  MasterClient client({.masters = {master.address()}});
  EXPECT_TRUE(client.assign({}).ok());
  EXPECT_EQ(master.service().assigns, 3);
}

TEST(MasterClient, ANoIsFinal) {
  Served<FakeMaster> master;
  master.service().on_assign = [](const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::UNKNOWN, "data center dc9 not found in topology");
  };
  MasterClient client({.masters = {master.address()}});
  const auto answer = client.assign({.data_center = "dc9"});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().what(), "data center dc9 not found in topology");
  EXPECT_EQ(master.service().assigns, 1);
}

TEST(MasterClient, PatienceEndsWithTheLastTrouble) {
  const DeadAddress dead;
  MasterClient client({.masters = {dead.address()}, .patience = 1s});
  const auto answer = client.assign({});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Code::unavailable);
  EXPECT_NE(answer.error().what().find("127.0.0.1:1"), std::string::npos) << answer.error().what();
}

TEST(MasterClient, WhatAMasterSaidTellsMoreThanThatItIsSilentNow) {
  Served<FakeMaster> master;
  Gate end;
  master.service().on_assign = [&](const auto&, auto*) {
    if (master.service().assigns == 1) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "no leader yet");
    end.wait();
    return grpc::Status::OK;
  };
  {
    MasterClient client({.masters = {master.address()}, .attempt_max = 100ms, .patience = 1s});
    const auto answer = client.assign({});
    ASSERT_FALSE(answer.ok());
    EXPECT_GE(master.service().assigns, 2);
    EXPECT_NE(answer.error().what().find("no leader yet"), std::string::npos) << answer.error().what();
  }
  end.open();
}

TEST(MasterClient, LearnsTheOtherMastersAndAsksTheLeaderFirst) {
  Served<FakeMaster> seed;
  Served<FakeMaster> leader;
  seed.service().on_configuration = [&](auto* response) {
    api::fill(MasterMember{.id = NodeId(Uuid{1, 1}), .address = seed.address()}, response->add_masters());
    api::fill(MasterMember{.id = NodeId(Uuid{2, 2}), .address = leader.address()}, response->add_masters());
    response->set_leader(leader.address().http());
  };
  leader.service().on_assign = [](const auto&, auto* response) { return give("1,01", response); };
  MasterClient client({.masters = {seed.address()}});
  ASSERT_TRUE(client.configuration().ok());
  ASSERT_EQ(client.masters().size(), 2u);
  EXPECT_EQ(client.masters().front(), leader.address());
  seed.stop();
  EXPECT_TRUE(client.assign({}).ok());
}

TEST(MasterClient, GoingAwayAnswersWhatIsUnderWay) {
  Served<FakeMaster> master;
  Gate asked;
  Gate end;
  master.service().on_assign = [&](const auto&, auto*) {
    asked.open();
    end.wait();
    return grpc::Status::OK;
  };
  std::atomic<int> answers = 0;
  {
    MasterClient client({.masters = {master.address()}});
    client.assign(AssignWish{}, [&](Result<Assignment> answer) {
      EXPECT_FALSE(answer.ok());
      ++answers;
    });
    asked.wait();
  }
  EXPECT_EQ(answers, 1);
  end.open();
}

TEST(MasterClient, WorksOverIpv6) {
  Served<FakeMaster> master("::1");
  if (master.address().grpc_port == 0) GTEST_SKIP() << "no IPv6 here";
  master.service().on_assign = [](const auto&, auto* response) { return give("1,01", response); };
  MasterClient client({.masters = {master.address()}});
  EXPECT_TRUE(client.assign({}).ok());
}

TEST(HeartbeatStream, CarriesReportsInOrderAndAnswersBack) {
  Served<FakeMaster> master;
  std::vector<std::uint32_t> seen;
  master.service().on_stream = [&](auto* stream) {
    master_pb::Heartbeat report;
    while (stream->Read(&report)) {
      seen.push_back(report.port());
      master_pb::HeartbeatResponse response;
      response.set_term(report.port());
      stream->Write(response);
    }
    return grpc::Status::OK;
  };
  std::promise<Error> closed;
  std::vector<std::uint64_t> answers;
  HeartbeatStream stream(master.address(), {.on_response = [&](const auto& r) { answers.push_back(r.term()); },
                                            .on_closed = [&](const Error& error) { closed.set_value(error); }});
  for (std::uint32_t i = 1; i <= 100; ++i) {
    master_pb::Heartbeat report;
    report.set_port(i);
    ASSERT_TRUE(stream.send(report));
  }
  stream.finish();
  EXPECT_EQ(closed.get_future().get().what(), "closed");
  ASSERT_EQ(seen.size(), 100u);
  ASSERT_EQ(answers.size(), 100u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_FALSE(stream.send({}));
}

TEST(HeartbeatStream, ARefusedConnectionIsToldAtOnce) {
  const DeadAddress dead;
  std::promise<Error> closed;
  const auto begun = Clock::now();
  HeartbeatStream stream(dead.address(), {.on_response = {}, .on_closed = [&](const Error& e) { closed.set_value(e); }});
  EXPECT_EQ(closed.get_future().get().code(), Code::unavailable);
  EXPECT_LT(Clock::now() - begun, 1s);
}

TEST(HeartbeatStream, TheMastersEndIsToldAtOnceWithItsWords) {
  Served<FakeMaster> master;
  master.service().on_stream = [](auto*) {
    return grpc::Status(grpc::StatusCode::UNKNOWN, "raft.Server: Not current leader");
  };
  std::promise<Error> closed;
  HeartbeatStream stream(master.address(),
                         {.on_response = {}, .on_closed = [&](const Error& e) { closed.set_value(e); }});
  EXPECT_EQ(closed.get_future().get().code(), Code::not_leader);
}

TEST(HeartbeatStream, MayBeDestroyedWithinItsOwnEvents) {
  Served<FakeMaster> master;
  master.service().on_stream = [](auto* stream) {
    stream->Write({});
    master_pb::Heartbeat report;
    while (stream->Read(&report)) {
    }
    return grpc::Status::OK;
  };
  std::mutex mutex;
  std::unique_ptr<HeartbeatStream> stream;
  std::promise<void> gone;
  {
    const std::lock_guard guard(mutex);
    stream = std::make_unique<HeartbeatStream>(master.address(),
                                               HeartbeatStream::Events{.on_response =
                                                                           [&](const auto&) {
                                                                             const std::lock_guard in(mutex);
                                                                             stream.reset();
                                                                             gone.set_value();
                                                                           },
                                                                       .on_closed = [](const Error&) { FAIL(); }});
  }
  gone.get_future().wait();
}

TEST(HeartbeatStream, NoEventComesAfterItIsGone) {
  const DeadAddress dead;
  for (int i = 0; i < 50; ++i) {
    auto alive = std::make_unique<std::atomic<bool>>(true);
    auto* told = alive.get();
    { HeartbeatStream stream(dead.address(), {.on_response = {}, .on_closed = [told](const Error&) { *told = false; }}); }
    alive.reset();  // under the address sanitizer a late event would be seen
  }
}

TEST(HeartbeatStream, AMasterThatDoesNotReadClosesTheStreamInsteadOfFillingTheMemory) {
  Served<FakeMaster> master;
  Gate end;
  master.service().on_stream = [&](auto*) {
    end.wait();
    return grpc::Status::OK;
  };
  std::promise<Error> closed;
  HeartbeatStream stream(master.address(),
                         {.on_response = {}, .on_closed = [&](const Error& e) { closed.set_value(e); }});
  master_pb::Heartbeat report;
  report.set_public_url(std::string(1 << 20, 'x'));
  int sent = 0;
  while (stream.send(report)) ASSERT_LT(++sent, 1000);
  // On a slow machine the socket is full for kSilenceMax before the queue is: then the link counts as broken.
  const Code code = closed.get_future().get().code();
  EXPECT_TRUE(code == Code::busy || code == Code::unavailable) << text(code);
  end.open();
}

class FakeVolumeServer final : public volume_server_pb::VolumeServer::Service {
 public:
  std::function<grpc::Status(const volume_server_pb::AllocateVolumeRequest&)> on_allocate;
  std::function<grpc::Status(const volume_server_pb::VolumeDeleteRequest&)> on_delete;

  grpc::Status AllocateVolume(grpc::ServerContext*, const volume_server_pb::AllocateVolumeRequest* request,
                              volume_server_pb::AllocateVolumeResponse*) override {
    return on_allocate(*request);
  }
  grpc::Status VolumeDelete(grpc::ServerContext*, const volume_server_pb::VolumeDeleteRequest* request,
                            volume_server_pb::VolumeDeleteResponse*) override {
    return on_delete(*request);
  }
};

const Fence kFence{.cluster = ClusterId(Uuid{1, 2}), .generation = Generation(3), .term = Term(4), .sequence = 5};

Status allocate(VolumeOrders& orders, const Address& server) {
  std::promise<Status> answer;
  VolumeOrders::Allocate order;
  order.volume = VolumeId(7);
  order.replica_placement = *ReplicaPlacement::parse("010");
  order.ttl = *Ttl::parse("3h");
  order.memory_map_max_size_mb = 9;
  orders.allocate(server.grpc(), order, kFence, [&](Status status) { answer.set_value(std::move(status)); });
  return answer.get_future().get();
}

TEST(VolumeOrders, AnOrderCarriesItsFence) {
  Served<FakeVolumeServer> server;
  server.service().on_allocate = [](const auto& request) {
    EXPECT_EQ(request.volume_id(), 7u);
    EXPECT_EQ(request.replication(), "010");
    EXPECT_EQ(request.ttl(), "3h");
    EXPECT_EQ(request.memory_map_max_size_mb(), 9u);
    EXPECT_EQ(request.version(), 3u);
    EXPECT_EQ(*api::read(request.fence()), kFence);
    return grpc::Status::OK;
  };
  const auto orders = make_volume_orders();
  EXPECT_TRUE(allocate(*orders, server.address()).ok());
}

TEST(VolumeOrders, TheServersWordsBecomeCodes) {
  Served<FakeVolumeServer> server;
  grpc::Status status;
  server.service().on_allocate = [&](const auto&) { return status; };
  const auto orders = make_volume_orders();
  const auto code = [&](grpc::StatusCode with, const std::string& words) {
    status = grpc::Status(with, words);
    const Status answer = allocate(*orders, server.address());
    return answer.ok() ? Code::internal : answer.error().code();
  };
  EXPECT_EQ(code(grpc::StatusCode::UNKNOWN, "Volume Id 7 already exists!"), Code::already_exists);
  EXPECT_EQ(code(grpc::StatusCode::UNKNOWN, "No more free space left"), Code::no_space);
  EXPECT_EQ(code(grpc::StatusCode::UNKNOWN, "not found volume id 7"), Code::not_found);
  EXPECT_EQ(code(grpc::StatusCode::FAILED_PRECONDITION, "older than what was seen"), Code::refused);
  EXPECT_EQ(code(grpc::StatusCode::UNKNOWN, "disk on fire"), Code::internal);
}

TEST(VolumeOrders, AServerOutOfReachSurelyDidNothing) {
  const DeadAddress dead;
  const auto orders = make_volume_orders();
  const Status status = allocate(*orders, dead.address());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), Code::unavailable) << status.error().what();
}

TEST(VolumeOrders, ABrokenLinkLeavesTheOutcomeUnknownAndTheNextOrderDialsAnew) {
  const auto orders = make_volume_orders();
  auto server = std::make_unique<Served<FakeVolumeServer>>();
  Gate asked;
  Gate end;
  server->service().on_allocate = [&](const auto&) {
    asked.open();
    end.wait();
    return grpc::Status::OK;
  };
  std::promise<Status> answer;
  orders->allocate(server->address().grpc(), {}, kFence, [&](Status status) { answer.set_value(std::move(status)); });
  asked.wait();
  std::thread stopper([&] { server->stop(); });
  const Status status = answer.get_future().get();
  end.open();
  stopper.join();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), Code::outcome_unknown);
  Served<FakeVolumeServer> other;
  other.service().on_allocate = [](const auto&) { return grpc::Status::OK; };
  EXPECT_TRUE(allocate(*orders, other.address()).ok());
}

TEST(VolumeOrders, ASilentServerEndsAsOutcomeUnknown) {
  Served<FakeVolumeServer> server;
  Gate end;
  server.service().on_allocate = [&](const auto&) {
    end.wait();
    return grpc::Status::OK;
  };
  const auto orders = make_volume_orders(100ms);
  const Status status = allocate(*orders, server.address());
  end.open();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), Code::outcome_unknown);
}

TEST(VolumeOrders, GoingAwayAnswersWhatIsUnderWay) {
  Served<FakeVolumeServer> server;
  Gate asked;
  Gate end;
  server.service().on_delete = [&](const auto&) {
    asked.open();
    end.wait();
    return grpc::Status::OK;
  };
  std::atomic<int> answers = 0;
  {
    const auto orders = make_volume_orders();
    orders->remove(server.address().grpc(), VolumeId(1), true, kFence, [&](Status status) {
      EXPECT_FALSE(status.ok());
      ++answers;
    });
    asked.wait();
  }
  EXPECT_EQ(answers, 1);
  end.open();
}

}  // namespace
}  // namespace holdfast::client
