#include "front/grpc/asked_lately.h"
#include "front/grpc/master_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "api/convert.h"
#include "api/master.grpc.pb.h"
#include "api/reflection.grpc.pb.h"
#include "api/reflection_v1alpha.grpc.pb.h"
#include "api/request_id.h"
#include "api/volume_server.grpc.pb.h"
#include "base/metrics.h"
#include "front/grpc/report.h"
#include "front/grpc/test_fakes.h"

namespace holdfast::front {
namespace {

using grpc::StatusCode;
using master::Refusal;
using master_pb::Seaweed;

master::AssignAnswer answer_of(std::uint64_t key) {
  return {.fid = {VolumeId(3), NeedleId(key), Cookie(0x637037d6)},
          .count = 1,
          .locations = places_of(VolumeId(3), {"127.0.0.1:8080", "127.0.0.1:8081"})};
}

// A master with its server and a client of it.
struct Node {
  explicit Node(MasterServiceOptions options = {}, FakeRuntime* runtime = nullptr)
      : server(serve(make_master_service(std::move(options), master, runtime))),
        stub(Seaweed::NewStub(dial(*server))) {}
  std::string grpc() const { return "127.0.0.1:" + std::to_string(server->port()); }
  std::string http() const { return "127.0.0.1:" + std::to_string(server->port() - 1); }
  void follow(const Node& leader, std::uint64_t term = 1) { master.lead(false, leader.http(), leader.grpc(), term); }

  FakeMaster master;
  std::unique_ptr<GrpcServer> server;
  std::unique_ptr<Seaweed::Stub> stub;
};

template <typename Request>
std::pair<grpc::Status, master_pb::AssignResponse> assign(Node& node, const Request& request) {
  grpc::ClientContext context;
  std::pair<grpc::Status, master_pb::AssignResponse> result;
  result.first = node.stub->Assign(&context, request, &result.second);
  return result;
}

TEST(MasterService, AssignsAtOnceFromWhatIsAtHand) {
  Node node;
  node.master.on_try = [](const master::AssignRequest& request) {
    EXPECT_EQ(request.collection, "pics");
    EXPECT_EQ(request.data_size, 77u);
    EXPECT_EQ(request.memory_map_max_size_mb, 9u);
    return answer_of(1);
  };
  master_pb::AssignRequest request;
  request.set_collection("pics");
  request.set_expected_data_size(77);
  request.set_memory_map_max_size_mb(9);
  const auto [status, response] = assign(node, request);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.fid(), "3,01637037d6");
  EXPECT_EQ(response.count(), 1u);
  EXPECT_EQ(response.location().url(), "127.0.0.1:8080");
  EXPECT_EQ(response.location().public_url(), "pub-127.0.0.1:8080");
  EXPECT_EQ(response.location().grpc_port(), 18080u);
  ASSERT_EQ(response.replicas_size(), 1);
  EXPECT_EQ(response.replicas(0).url(), "127.0.0.1:8081");
}

TEST(MasterService, RefusalsHaveTheCodesUpstreamsClientsKnow) {
  Node node;
  node.master.lead(true);
  Refusal refusal;
  node.master.on_assign = [&](const auto&, auto done) { done(refusal); };
  const auto code = [&](Refusal::Kind kind, const std::string& words) {
    refusal = {.kind = kind, .text = words};
    const auto [status, response] = assign(node, master_pb::AssignRequest());
    if (kind != Refusal::Kind::not_leader) {
      EXPECT_EQ(status.error_message(), words);
    }
    return status.error_code();
  };
  EXPECT_EQ(code(Refusal::Kind::bad_request, "data center x not found in topology"), StatusCode::UNKNOWN);
  EXPECT_EQ(code(Refusal::Kind::not_acceptable, "no free volumes left for {}"), StatusCode::UNKNOWN);
  EXPECT_EQ(code(Refusal::Kind::busy, "volume growth in progress"), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(code(Refusal::Kind::warming_up, "master is warming up"), StatusCode::UNAVAILABLE);
  EXPECT_EQ(code(Refusal::Kind::unavailable, "no leader"), StatusCode::UNAVAILABLE);
  EXPECT_EQ(code(Refusal::Kind::unsupported, "not yet"), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(code(Refusal::Kind::not_leader, ""), StatusCode::UNKNOWN);
  EXPECT_EQ(assign(node, master_pb::AssignRequest()).first.error_message(), "raft.Server: Not current leader");
}

TEST(MasterService, AFollowerPassesAnAssignOnToTheLeader) {
  Node leader;
  Node follower;
  follower.follow(leader);
  leader.master.lead(true);
  leader.master.on_assign = [](const auto&, auto done) { done(answer_of(7)); };
  const auto [status, response] = assign(follower, master_pb::AssignRequest());
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.fid(), "3,07637037d6");
  EXPECT_EQ(response.replicas_size(), 1);
}

TEST(MasterService, TheLeadersNoIsPassedBackAsItIs) {
  Node leader;
  Node follower;
  follower.follow(leader);
  leader.master.lead(true);
  leader.master.on_assign = [](const auto&, auto done) {
    done(Refusal{.kind = Refusal::Kind::bad_request, .text = "data center x not found in topology"});
  };
  const auto [status, response] = assign(follower, master_pb::AssignRequest());
  EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "data center x not found in topology");
}

TEST(MasterService, TwoMastersThatTakeEachOtherForTheLeaderDoNotSendARequestInCircles) {
  Node a;
  Node b;
  a.follow(b);
  b.follow(a);
  std::atomic<int> asked = 0;
  const auto no = [&](const auto&, auto done) {
    ++asked;
    done(Refusal{.kind = Refusal::Kind::not_leader, .text = ""});
  };
  a.master.on_assign = no;
  b.master.on_assign = no;
  const auto begun = std::chrono::steady_clock::now();
  const auto [status, response] = assign(a, master_pb::AssignRequest());
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "no leader: an election is going on");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
  EXPECT_GT(asked, 0);  // the second one answers for itself
  EXPECT_LT(asked, 1000);
}

TEST(MasterService, AnAssignWaitsForTheNextLeaderWhenTheLastIsDead) {
  Node follower;
  Node next;
  next.master.lead(true);
  next.master.on_assign = [](const auto&, auto done) { done(answer_of(9)); };
  {
    Node dead;
    follower.follow(dead, 1);
  }
  auto waiting = std::async(std::launch::async, [&] { return assign(follower, master_pb::AssignRequest()); });
  EXPECT_EQ(waiting.wait_for(50ms), std::future_status::timeout);
  follower.follow(next, 2);
  const auto [status, response] = waiting.get();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.fid(), "3,09637037d6");
}

TEST(MasterService, AnAssignWithAFrozenLeaderIsSentAgainWhenAnotherLeads) {
  Node frozen;
  Node next;
  Node follower;
  std::function<void(FakeMaster::Answer)> never;
  Watched<bool> asked;
  frozen.master.lead(true);
  frozen.master.on_assign = [&](const auto&, auto done) {
    never = done;
    asked.set(true);
  };
  next.master.lead(true);
  next.master.on_assign = [](const auto&, auto done) { done(answer_of(9)); };
  follower.follow(frozen, 1);
  auto waiting = std::async(std::launch::async, [&] { return assign(follower, master_pb::AssignRequest()); });
  ASSERT_TRUE(asked.wait_until([](bool is) { return is; }));
  follower.follow(next, 2);
  ASSERT_EQ(waiting.wait_for(5s), std::future_status::ready);  // and not when the frozen one's time is up
  const auto [status, response] = waiting.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.fid(), "3,09637037d6");
  never(answer_of(1));  // the frozen one thaws
}

TEST(MasterService, AFollowerThatBecomesLeaderDoesTheWorkItself) {
  Node node;
  node.master.on_assign = [](const auto&, auto done) { done(answer_of(5)); };
  auto waiting = std::async(std::launch::async, [&] { return assign(node, master_pb::AssignRequest()); });
  EXPECT_EQ(waiting.wait_for(30ms), std::future_status::timeout);
  node.master.lead(true);
  const auto [status, response] = waiting.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(MasterService, AnAssignWhoseMasterLosesTheLeadMeanwhileGoesToTheNextLeader) {
  Node next;
  Node node;
  next.master.lead(true);
  next.master.on_assign = [](const auto&, auto done) { done(answer_of(9)); };
  node.master.lead(true);
  node.master.on_assign = [&](const auto&, auto done) {
    node.follow(next, 2);
    done(Refusal{.kind = Refusal::Kind::not_leader, .text = "raft.Server: Not current leader"});
  };
  const auto [status, response] = assign(node, master_pb::AssignRequest());
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.fid(), "3,09637037d6");
}

TEST(MasterService, GrowthIsOrderedAsItWasAsked) {
  Node node;
  node.master.lead(true);
  node.master.on_grow = [](const master::GrowRequest& request, auto done) {
    EXPECT_EQ(request.count, 2u);
    EXPECT_EQ(request.collection, "pics");
    EXPECT_EQ(request.replication, "001");
    EXPECT_EQ(request.ttl, "3h");
    EXPECT_EQ(request.disk_type, "ssd");
    EXPECT_EQ(request.data_center, "dc1");
    EXPECT_EQ(request.rack, "r1");
    EXPECT_EQ(request.data_node, "n1");
    EXPECT_EQ(request.memory_map_max_size_mb, 9u);
    done(Refusal{.kind = Refusal::Kind::bad_request, .text = "was asked"});
  };
  grpc::ClientContext context;
  master_pb::VolumeGrowRequest request;
  request.set_writable_volume_count(2);
  request.set_collection("pics");
  request.set_replication("001");
  request.set_ttl("3h");
  request.set_disk_type("ssd");
  request.set_data_center("dc1");
  request.set_rack("r1");
  request.set_data_node("n1");
  request.set_memory_map_max_size_mb(9);
  master_pb::VolumeGrowResponse response;
  EXPECT_EQ(node.stub->VolumeGrow(&context, request, &response).error_message(), "was asked");
}

TEST(MasterService, GrowthWhoseLeaderIsLostEndsAsUnknownAndIsNotSentAgain) {
  Node lost;
  Node next;
  Node follower;
  std::function<void(master::OrRefusal<master::GrowAnswer>)> never;
  Watched<bool> asked;
  lost.master.lead(true);
  lost.master.on_grow = [&](const auto&, auto done) {
    never = done;
    asked.set(true);
  };
  std::atomic<int> grown = 0;
  next.master.lead(true);
  next.master.on_grow = [&](const auto&, auto done) {
    ++grown;
    done(master::GrowAnswer{});
  };
  follower.follow(lost, 1);
  auto waiting = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    master_pb::VolumeGrowRequest request;
    request.set_writable_volume_count(2);
    master_pb::VolumeGrowResponse response;
    return follower.stub->VolumeGrow(&context, request, &response);
  });
  ASSERT_TRUE(asked.wait_until([](bool is) { return is; }));
  follower.follow(next, 2);
  ASSERT_EQ(waiting.wait_for(5s), std::future_status::ready);
  const grpc::Status status = waiting.get();
  EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
  EXPECT_NE(status.error_message().find("may have been done or not"), std::string::npos);
  EXPECT_EQ(grown, 0);
  never(master::GrowAnswer{});
}

TEST(MasterService, AnAssignWhoseLeaderDiesOverItIsSentToTheNext) {
  Node dying;
  Node next;
  Node follower;
  Watched<std::function<void(FakeMaster::Answer)>> asked;
  dying.master.lead(true);
  dying.master.on_assign = [&](const auto&, auto done) { asked.set(done); };
  next.master.lead(true);
  next.master.on_assign = [](const auto&, auto done) { done(answer_of(9)); };
  follower.follow(dying, 1);
  auto waiting = std::async(std::launch::async, [&] { return assign(follower, master_pb::AssignRequest()); });
  ASSERT_TRUE(asked.wait_until([](const auto& done) { return done != nullptr; }));
  std::thread stopping([&] { dying.server->stop(); });
  asked.get()(Refusal{.kind = Refusal::Kind::unavailable, .text = "this master stops"});
  stopping.join();
  EXPECT_EQ(waiting.wait_for(30ms), std::future_status::timeout);
  follower.follow(next, 2);
  const auto [status, response] = waiting.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.fid(), "3,09637037d6");
}

TEST(MasterService, GrowthWhoseLinkBreaksIsUnknownEvenIfNobodyElseLeadsYet) {
  Node dying;
  Node follower;
  Watched<std::function<void(master::OrRefusal<master::GrowAnswer>)>> asked;
  dying.master.lead(true);
  dying.master.on_grow = [&](const auto&, auto done) { asked.set(done); };
  follower.follow(dying, 1);
  auto waiting = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    master_pb::VolumeGrowResponse response;
    return follower.stub->VolumeGrow(&context, {}, &response);
  });
  ASSERT_TRUE(asked.wait_until([](const auto& done) { return done != nullptr; }));
  std::thread stopping([&] { dying.server->stop(); });
  const grpc::Status status = waiting.get();
  asked.get()(master::GrowAnswer{});
  stopping.join();
  EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
  EXPECT_NE(status.error_message().find("may have been done or not"), std::string::npos) << status.error_message();
}

TEST(MasterService, GrowthThatNeverReachedTheLeaderGoesToTheNext) {
  Node follower;
  Node next;
  next.master.lead(true);
  next.master.on_grow = [&](const auto& request, auto done) {
    EXPECT_EQ(request.count, 2u);
    EXPECT_EQ(request.replication, "010");
    done(master::GrowAnswer{});
  };
  {
    Node dead;
    follower.follow(dead, 1);
  }
  auto waiting = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    master_pb::VolumeGrowRequest request;
    request.set_writable_volume_count(2);
    request.set_replication("010");
    master_pb::VolumeGrowResponse response;
    return follower.stub->VolumeGrow(&context, request, &response);
  });
  // At any moment: the dead one's refusal is waited for, also while it is asked again.
  EXPECT_EQ(waiting.wait_for(20ms), std::future_status::timeout);
  follower.follow(next, 2);
  const auto status = waiting.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(MasterService, WaitsForALeaderAsLongAsItIsTold) {
  Node node({.leader_wait = 50ms});
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(assign(node, master_pb::AssignRequest()).first.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 1s);
}

TEST(MasterService, StoppingAnswersWhatWaitsForALeader) {
  Node node({.leader_wait = 60s});
  auto waiting = std::async(std::launch::async, [&] { return assign(node, master_pb::AssignRequest()); });
  EXPECT_EQ(waiting.wait_for(20ms), std::future_status::timeout);
  const auto begun = std::chrono::steady_clock::now();
  node.server->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 1s);
  EXPECT_EQ(waiting.get().first.error_code(), StatusCode::UNAVAILABLE);
}

TEST(MasterService, StoppingDoesNotWaitForStandingStreams) {
  Node node;
  node.master.lead(true);
  node.master.on_report = [](const auto&) { return std::nullopt; };
  node.master.on_assign = [](const auto&, auto done) { done(answer_of(1)); };
  grpc::ClientContext reporting;
  const auto reports = node.stub->SendHeartbeat(&reporting);
  reports->Write({});
  grpc::ClientContext keeping;
  const auto kept = node.stub->KeepConnected(&keeping);
  kept->Write({});
  master_pb::KeepConnectedResponse first;
  ASSERT_TRUE(kept->Read(&first));
  grpc::ClientContext assigning;
  const auto assigns = node.stub->StreamAssign(&assigning);
  assigns->Write({});
  master_pb::AssignResponse assigned;
  ASSERT_TRUE(assigns->Read(&assigned));
  ASSERT_TRUE(node.master.sessions_open.wait_until([](int n) { return n == 1; }));
  const auto begun = std::chrono::steady_clock::now();
  node.server->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 1s);
  EXPECT_EQ(node.master.sessions_open.get(), 0);
  EXPECT_EQ(node.master.subscriptions_open.get(), 0);
  reports->Finish();
  kept->Finish();
  assigns->Finish();
}

TEST(MasterService, StreamAssignAnswersInOrderAndTellsPassingTroubleInBand) {
  Node node;
  node.master.lead(true);
  std::atomic<int> asked = 0;
  node.master.on_assign = [&](const auto&, auto done) {
    const int n = ++asked;
    if (n == 2) return done(Refusal{.kind = Refusal::Kind::busy, .text = "volume growth in progress"});
    if (n == 4) return done(Refusal{.kind = Refusal::Kind::not_acceptable, .text = "No writable volumes"});
    done(answer_of(static_cast<std::uint64_t>(n)));
  };
  grpc::ClientContext context;
  const auto stream = node.stub->StreamAssign(&context);
  master_pb::AssignResponse response;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(stream->Write({}));
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.error(), i == 2 ? "volume growth in progress" : "");
    EXPECT_EQ(response.fid(), i == 2 ? "" : "3,0" + std::to_string(i) + "637037d6");
  }
  stream->Write({});
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "No writable volumes");
}

TEST(MasterService, LooksUpByVolumeAndFileId) {
  Node node;
  node.master.lead(true);
  node.master.volumes[VolumeId(3)] = places_of(VolumeId(3), {"127.0.0.1:8080"});
  master_pb::LookupVolumeRequest request;
  for (const char* id : {"3", "3,01637037d6", "8", "x"}) request.add_volume_or_file_ids(id);
  grpc::ClientContext context;
  master_pb::LookupVolumeResponse response;
  ASSERT_TRUE(node.stub->LookupVolume(&context, request, &response).ok());
  ASSERT_EQ(response.volume_id_locations_size(), 4);
  EXPECT_EQ(response.volume_id_locations(0).locations(0).url(), "127.0.0.1:8080");
  EXPECT_EQ(response.volume_id_locations(1).volume_or_file_id(), "3");
  EXPECT_EQ(response.volume_id_locations(1).locations_size(), 1);
  EXPECT_EQ(response.volume_id_locations(2).error(), "volume id 8 not found");
  EXPECT_NE(response.volume_id_locations(3).error(), "");
}

TEST(MasterService, AMissWhileWarmingUpSaysComeBack) {
  Node node;
  node.master.lead(true);
  node.master.warming_up = true;
  node.master.volumes[VolumeId(3)] = places_of(VolumeId(3), {"127.0.0.1:8080"});
  const auto look = [&](std::vector<std::string> ids) {
    master_pb::LookupVolumeRequest request;
    for (const auto& id : ids) request.add_volume_or_file_ids(id);
    grpc::ClientContext context;
    master_pb::LookupVolumeResponse response;
    return node.stub->LookupVolume(&context, request, &response).error_code();
  };
  EXPECT_EQ(look({"8"}), StatusCode::UNAVAILABLE);
  EXPECT_EQ(look({"8", "3"}), StatusCode::OK);
}

TEST(MasterService, AFollowerAsksTheLeaderForAVolumeItHasNotHeardOf) {
  Node leader;
  Node follower;
  follower.follow(leader);
  leader.master.lead(true);
  leader.master.volumes[VolumeId(3)] = places_of(VolumeId(3), {"127.0.0.1:8080"});
  master_pb::LookupVolumeRequest request;
  request.add_volume_or_file_ids("3");
  {
    grpc::ClientContext context;
    master_pb::LookupVolumeResponse response;
    ASSERT_TRUE(follower.stub->LookupVolume(&context, request, &response).ok());
    EXPECT_EQ(response.volume_id_locations(0).locations_size(), 1);
  }
  leader.server->stop();  // then its own picture has to do
  grpc::ClientContext context;
  master_pb::LookupVolumeResponse response;
  ASSERT_TRUE(follower.stub->LookupVolume(&context, request, &response).ok());
  EXPECT_EQ(response.volume_id_locations(0).error(), "volume id 3 not found");
}

// How many places `node` names of each of these volumes.
std::vector<int> places_named(Node& node, const std::vector<std::uint32_t>& volumes) {
  master_pb::LookupVolumeRequest request;
  for (const auto volume : volumes) request.add_volume_or_file_ids(std::to_string(volume));
  grpc::ClientContext context;
  master_pb::LookupVolumeResponse response;
  EXPECT_TRUE(node.stub->LookupVolume(&context, request, &response).ok());
  std::vector<int> out;
  for (const auto& one : response.volume_id_locations()) out.push_back(one.locations_size());
  return out;
}

TEST(MasterService, AFollowerAsksTheLeaderForCopiesItHasNotHeardOf) {
  Node leader;
  Node follower;
  follower.follow(leader);
  leader.master.lead(true);
  leader.master.volumes[VolumeId(3)] = places_of(VolumeId(3), {"127.0.0.1:8080", "127.0.0.1:8081"}, 2);
  follower.master.volumes[VolumeId(3)] = places_of(VolumeId(3), {"127.0.0.1:8081"}, 2);
  follower.master.volumes[VolumeId(4)] = places_of(VolumeId(4), {"127.0.0.1:8081"});  // one that the leader does not know
  EXPECT_EQ(places_named(follower, {3, 4}), (std::vector{2, 1}));
  EXPECT_EQ(leader.master.lookups, 2);
  EXPECT_EQ(places_named(follower, {4}), std::vector{1});
  EXPECT_EQ(leader.master.lookups, 2);  // nothing lacks
  follower.master.volumes[VolumeId(3)] = leader.master.volumes[VolumeId(3)];
  EXPECT_EQ(places_named(follower, {3}), std::vector{2});
  EXPECT_EQ(leader.master.lookups, 2);
}

TEST(MasterService, ALostCopyIsNotAskedForAtTheLeaderAgainAndAgain) {
  Node leader;
  Node follower;
  follower.follow(leader);
  leader.master.lead(true);
  for (Node* node : {&leader, &follower}) node->master.volumes[VolumeId(3)] = places_of(VolumeId(3), {"127.0.0.1:8080"}, 2);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(places_named(follower, {3}), std::vector{1});
  EXPECT_LT(leader.master.lookups, 5);
  // Of a new volume the other copies may be told at any moment.
  const int before = leader.master.lookups;
  follower.master.copies_may_appear = true;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(places_named(follower, {3}), std::vector{1});
  EXPECT_EQ(leader.master.lookups, before + 5);
  leader.server->stop();
  EXPECT_EQ(places_named(follower, {3}), std::vector{1});
}

TEST(AskedLately, IsOverAfterAWhile) {
  AskedLately asked;
  const Instant now(1h);
  EXPECT_FALSE(asked.contains(VolumeId(3), now));
  asked.add(VolumeId(3), now);
  EXPECT_TRUE(asked.contains(VolumeId(3), now));
  EXPECT_FALSE(asked.contains(VolumeId(4), now));
  EXPECT_FALSE(asked.contains(VolumeId(3), now + AskedLately::kQuiet));
}

TEST(MasterService, AReportReachesTheSessionAndTheReplyComesBack) {
  FakeRuntime runtime;
  Node node({}, &runtime);
  const Uuid process{5, 6};
  const ClusterId cluster(Uuid{7, 8});
  Watched<std::optional<topology::Report>> seen;
  node.master.on_report = [&](const topology::Report& report) -> std::optional<master::ReportReply> {
    seen.set(report);
    master::ReportReply reply;
    reply.volume_size_limit = 30ull << 30;
    reply.cluster_id = cluster;
    reply.generation = Generation(2);
    reply.term = Term(9);
    reply.leader = NodeId(Uuid{1, 1});
    reply.masters.push_back({.id = NodeId(Uuid{1, 1}), .http = "m1:9333", .grpc = "m1:19333"});
    reply.pulse = 250ms;
    reply.adopted_dirs = {"dir-1"};
    reply.tiers = std::make_shared<const std::vector<TierBackend>>(
        std::vector<TierBackend>{{.type = "s3", .id = "cold", .properties = {{"bucket", "b"}}}});
    return reply;
  };
  grpc::ClientContext context;
  const auto stream = node.stub->SendHeartbeat(&context);
  master_pb::Heartbeat report;
  report.set_ip("127.0.0.1");
  report.set_port(8080);
  report.set_has_no_volumes(true);
  report.set_has_no_ec_shards(true);
  (*report.mutable_max_volume_counts())[""] = 8;
  report.add_location_uuids("dir-1");
  report.set_process_uuid(text(process));
  report.set_cluster_id(text(cluster));
  report.set_pulse_ms(250);
  api::fill(MasterMember{.id = NodeId(Uuid{1, 1}), .address = Address{.host = "m1", .port = 9333}},
            report.add_known_masters());
  report.set_called_as("m1:9333");
  VolumeInfo added;
  added.id = VolumeId(4);
  added.max_key = NeedleId(99);
  api::fill(added, report.add_new_volumes());
  ASSERT_TRUE(stream->Write(report));
  master_pb::HeartbeatResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.volume_size_limit(), 30ull << 30);
  EXPECT_EQ(response.cluster_id(), text(cluster));
  EXPECT_EQ(response.term(), 9u);
  EXPECT_EQ(response.pulse_ms(), 250u);
  EXPECT_TRUE(response.accepted());
  EXPECT_EQ(response.masters(0).http_address(), "m1:9333");
  EXPECT_EQ(response.adopted_dirs(0), "dir-1");
  ASSERT_EQ(response.storage_backends_size(), 1);
  EXPECT_EQ(response.storage_backends(0).id(), "cold");
  EXPECT_EQ(response.leader(), "");
  const auto got = seen.get();
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->full);
  EXPECT_EQ(got->max_volume_counts.at(""), 8u);
  EXPECT_EQ(got->process, process);
  EXPECT_EQ(got->cluster_id, cluster);
  EXPECT_EQ(got->pulse, Duration(250ms));
  EXPECT_TRUE(got->ec_full);
  ASSERT_EQ(got->added.size(), 1u);
  EXPECT_EQ(got->added[0].max_key, NeedleId(99));
  const auto hints = runtime.hints.get();
  ASSERT_EQ(hints.size(), 1u);
  EXPECT_EQ(hints[0].cluster, cluster);
  EXPECT_EQ(text(hints[0].called_as), "m1:9333");
  ASSERT_EQ(hints[0].masters.size(), 1u);
  EXPECT_EQ(hints[0].from, "127.0.0.1:8080");
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(node.master.sessions_open.wait_until([](int n) { return n == 0; }));
}

TEST(MasterService, AReportOfManyVolumesIsTakenWhole) {
  Node node;
  Watched<std::size_t> seen;
  node.master.on_report = [&](const topology::Report& report) {
    seen.set(report.volumes.size());
    return std::nullopt;
  };
  master_pb::Heartbeat report;
  for (std::uint32_t i = 1; i <= 200'000; ++i) {
    VolumeInfo info;
    info.id = VolumeId(i);
    info.collection = "a collection with a name of some length";
    info.size = 30ull << 30;
    info.max_key = NeedleId(1ull << 40);
    api::fill(info, report.add_volumes());
  }
  ASSERT_GT(report.ByteSizeLong(), 8u << 20);  // the library's own limit would be 4 MiB
  grpc::ClientContext context;
  const auto stream = node.stub->SendHeartbeat(&context);
  ASSERT_TRUE(stream->Write(report));
  EXPECT_TRUE(seen.wait_until([](std::size_t n) { return n == 200'000; }));
  context.TryCancel();
  stream->Finish();
}

TEST(MasterService, AnUpstreamReportIsNotTakenForOneOfOurs) {
  Node node;
  Watched<std::optional<topology::Report>> seen;
  node.master.on_report = [&](const topology::Report& report) {
    seen.set(report);
    return std::nullopt;
  };
  grpc::ClientContext context;
  const auto stream = node.stub->SendHeartbeat(&context);
  master_pb::Heartbeat report;
  report.set_ip("127.0.0.1");
  stream->Write(report);
  ASSERT_TRUE(seen.wait_until([](const auto& r) { return r.has_value(); }));
  EXPECT_FALSE(seen.get()->is_ours());
  EXPECT_FALSE(seen.get()->full);
  EXPECT_FALSE(seen.get()->ec_full);
  context.TryCancel();
  stream->Finish();
}

TEST(MasterService, TheSessionEndsAtOnceWhenTheVolumeServersConnectionBreaks) {
  Node node;
  node.master.on_report = [](const auto&) { return std::nullopt; };
  {
    auto stub = Seaweed::NewStub(dial(*node.server));
    grpc::ClientContext context;
    const auto stream = stub->SendHeartbeat(&context);
    stream->Write({});
    ASSERT_TRUE(node.master.sessions_open.wait_until([](int n) { return n == 1; }));
    context.TryCancel();
    stream->Finish();
  }
  EXPECT_TRUE(node.master.sessions_open.wait_until([](int n) { return n == 0; }));
}

TEST(MasterService, ARefusedReporterHearsTheReplyAndThenTheError) {
  Node node;
  node.master.on_report = [](const auto&) {
    master::ReportReply reply;
    reply.accepted = false;
    reply.refusal = "this folder belongs to another cluster";
    reply.end_with_error = "raft.Server: Not current leader";
    return reply;
  };
  grpc::ClientContext context;
  const auto stream = node.stub->SendHeartbeat(&context);
  stream->Write({});
  master_pb::HeartbeatResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_FALSE(response.accepted());
  EXPECT_EQ(response.refusal(), "this folder belongs to another cluster");
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "raft.Server: Not current leader");
}

TEST(MasterService, TheTermsOfDatagramsAreToldWithAnAnswerAndBetweenTwo) {
  Node node;
  node.master.on_report = [](const topology::Report& report) -> std::optional<master::ReportReply> {
    EXPECT_TRUE(report.pulses_by_datagram);
    master::ReportReply reply;
    reply.datagrams = master::ReportReply::Pulse{.port = 19333, .line = 7, .key = "0123456789abcdef", .heard = false};
    return reply;
  };
  grpc::ClientContext context;
  const auto stream = node.stub->SendHeartbeat(&context);
  master_pb::Heartbeat report;
  report.set_pulses_by_datagram(true);
  stream->Write(report);
  master_pb::HeartbeatResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.accepted());
  EXPECT_EQ(response.pulse().port(), 19333u);
  EXPECT_EQ(response.pulse().line(), 7u);
  EXPECT_EQ(response.pulse().key(), "0123456789abcdef");
  EXPECT_FALSE(response.pulse().heard());
  EXPECT_FALSE(response.pulse().alone());

  master::ReportReply between;
  between.datagrams = master::ReportReply::Pulse{.heard = true};
  between.says_only_pulse = true;
  const auto tell = node.master.tell_volume_server;
  tell(between);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.pulse().heard());
  EXPECT_TRUE(response.pulse().alone());

  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  tell(between);  // its stream is over: nothing happens
}

TEST(MasterService, AReportWithStrangeIdsIsRefused) {
  Node node;
  node.master.on_report = [](const auto&) { return std::nullopt; };
  grpc::ClientContext context;
  const auto stream = node.stub->SendHeartbeat(&context);
  master_pb::Heartbeat report;
  report.set_process_uuid("not a uuid");
  stream->Write(report);
  master_pb::HeartbeatResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

// A client of KeepConnected that has said who it is.
struct Connected {
  explicit Connected(Node& node, const std::string& type = "client", const std::string& address = "")
      : stream(node.stub->KeepConnected(&context)) {
    master_pb::KeepConnectedRequest request;
    request.set_client_type(type);
    request.set_client_address(address);
    stream->Write(request);
  }
  ~Connected() {
    if (ended) return;
    context.TryCancel();
    master_pb::KeepConnectedResponse rest;
    while (stream->Read(&rest)) {
    }
    stream->Finish();
  }
  bool ended = false;  // by the test
  master_pb::KeepConnectedResponse next() {
    master_pb::KeepConnectedResponse response;
    EXPECT_TRUE(stream->Read(&response));
    return response;
  }
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<master_pb::KeepConnectedRequest, master_pb::KeepConnectedResponse>> stream;
};

TEST(MasterService, KeepConnectedGivesThePictureAndThenTheChanges) {
  Node node;
  node.master.lead(true);
  node.master.picture = {{.url = "127.0.0.1:8080", .data_center = "dc1", .grpc_port = 18080, .added = {VolumeId(1)}},
                         {.url = "127.0.0.1:8081", .added = {VolumeId(2), VolumeId(3)}}};
  Connected client(node);
  const auto first = client.next().volume_location();
  EXPECT_EQ(first.url(), "127.0.0.1:8080");
  EXPECT_EQ(first.leader(), "127.0.0.1:9333");
  EXPECT_EQ(first.new_vids(0), 1u);
  EXPECT_EQ(first.grpc_port(), 18080u);
  const auto second = client.next().volume_location();
  EXPECT_EQ(second.leader(), "");
  EXPECT_EQ(second.new_vids_size(), 2);
  node.master.tell({.url = "127.0.0.1:8080", .added = {VolumeId(9)}, .removed = {VolumeId(1)}, .leader = "127.0.0.1:9333"});
  const auto delta = client.next().volume_location();
  EXPECT_EQ(delta.new_vids(0), 9u);
  EXPECT_EQ(delta.deleted_vids(0), 1u);
  EXPECT_EQ(delta.leader(), "");
}

TEST(MasterService, TakesDigestsOfUpstreamsVolumeServers) {
  master_pb::Heartbeat message;
  message.set_volume_digest(0xf585f9060a78341fu);
  auto& volume = *message.add_changed_volumes();
  volume.set_id(7);
  volume.set_size(104);
  volume.set_file_count(2);
  volume.set_delete_count(1);
  volume.set_deleted_byte_count(5);
  volume.set_replica_placement(1);
  volume.set_version(3);
  volume.set_ttl(0x0302);
  volume.set_modified_at_second(1700000001);
  volume.set_collection("pics");
  message.mutable_state()->set_maintenance(true);
  const auto report = read(message);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->digest, 0xf585f9060a78341fu);
  EXPECT_EQ(report->hashes, (std::vector<std::pair<VolumeId, std::uint64_t>>{{VolumeId(7), 0xf585f9060a78341fu}}));
  EXPECT_EQ(report->in_maintenance, true);
  message.clear_volume_digest();
  message.clear_state();
  EXPECT_TRUE(read(message)->hashes.empty());
  EXPECT_EQ(read(message)->in_maintenance, std::nullopt);
}

// What the trailer of a LookupVolume says as the request id, for a client that sends `given`.
std::string request_id(Node& node, const std::string& given) {
  grpc::ClientContext context;
  if (!given.empty()) context.AddMetadata("x-amz-request-id", given);
  master_pb::LookupVolumeResponse response;
  node.stub->LookupVolume(&context, {}, &response);
  const auto& trailers = context.GetServerTrailingMetadata();
  if (trailers.count("x-amz-request-id") != 1) return "";
  const auto id = trailers.find("x-amz-request-id")->second;
  return {id.data(), id.size()};
}

TEST(MasterService, AnswersTheCallersRequestIdOrOneOfItsOwn) {
  Node node;
  node.master.lead(true);
  EXPECT_EQ(request_id(node, "mine"), "mine");
  const auto made = request_id(node, "");
  EXPECT_EQ(made.size(), 24u);
  EXPECT_NE(request_id(node, ""), made);
  EXPECT_EQ(request_id(node, std::string(128, 'x')), std::string(128, 'x'));
  EXPECT_EQ(request_id(node, std::string(129, 'x')).size(), 24u);
  EXPECT_EQ(request_id(node, "a b").size(), 24u);  // would be two fields of the access log
  grpc::ClientContext context;  // of a call that fails
  context.AddMetadata("x-amz-request-id", "failing");
  master_pb::LookupEcVolumeResponse response;
  EXPECT_FALSE(node.stub->LookupEcVolume(&context, {}, &response).ok());
  EXPECT_EQ(context.GetServerTrailingMetadata().count("x-amz-request-id"), 1u);
}

TEST(MasterService, PassesARequestOnUnderItsId) {
  std::mutex mutex;
  std::vector<std::string> seen;
  FakeMaster master;
  GrpcServer::Options options;
  options.hosts = {"127.0.0.1"};
  options.services.push_back(make_master_service({}, master, nullptr));
  options.on_call_ended = [&](const EndedCall& call) {
    const std::lock_guard guard(mutex);
    seen.push_back(std::string(call.method) + " " + std::string(call.given_id) + " " + std::to_string(call.code));
  };
  auto leader = GrpcServer::start(std::move(options));
  ASSERT_TRUE(leader.ok());
  master.lead(true);
  master.on_assign = [](const auto&, auto done) { done(answer_of(1)); };
  Node follower;
  follower.master.lead(false, "127.0.0.1:1", "127.0.0.1:" + std::to_string((*leader)->port()));
  grpc::ClientContext context;
  context.AddMetadata("x-amz-request-id", "from-afar");
  master_pb::AssignResponse response;
  ASSERT_TRUE(follower.stub->Assign(&context, {}, &response).ok());
  (*leader)->stop();  // all calls are over then, and told
  const std::lock_guard guard(mutex);
  EXPECT_EQ(seen, std::vector<std::string>{"/master_pb.Seaweed/Assign from-afar 0"});
}

TEST(MasterService, WhoBecomesTheLeaderWhilePassingOnDoesItUnderTheSameId) {
  Node node;
  std::atomic<int> done{0};
  const auto under_its_id = [&] { done += api::RequestScope::current() == "from-afar"; };
  node.master.on_assign = [&](const auto&, auto answer) {
    under_its_id();
    answer(answer_of(1));
  };
  node.master.on_grow = [&](const auto&, auto answer) {
    under_its_id();
    answer(master::GrowAnswer{1});
  };
  node.master.on_delete = [&](const auto&) -> master::OrRefusal<master::Done> {
    under_its_id();
    return master::Done{};
  };
  const auto ask = [&](auto call, const auto& request, auto response) {
    node.master.lead(false, "127.0.0.1:1", "127.0.0.1:1");  // nobody is there
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      node.master.lead(true);
    });
    grpc::ClientContext context;
    context.AddMetadata("x-amz-request-id", "from-afar");
    const auto status = ((*node.stub).*call)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    later.join();
  };
  ask(&Seaweed::Stub::Assign, master_pb::AssignRequest(), master_pb::AssignResponse());
  ask(&Seaweed::Stub::VolumeGrow, master_pb::VolumeGrowRequest(), master_pb::VolumeGrowResponse());
  master_pb::CollectionDeleteRequest removal;
  removal.set_name("c");
  ask(&Seaweed::Stub::CollectionDelete, removal, master_pb::CollectionDeleteResponse());
  EXPECT_EQ(done, 3);
}

TEST(MasterService, AClientThatReadsTooSlowlyIsCutOffAndCounted) {
  Node node;
  node.master.lead(true);
  Connected client(node);
  client.next();
  auto& counter = metrics::process().counter("SeaweedFS_master_broadcast_to_full", "");
  const auto before = counter.value();
  master::LocationChange change{.url = "127.0.0.1:8080"};
  for (std::uint32_t id = 1; id <= 4000; ++id) change.added.emplace_back(id);
  for (int i = 0; i < 100'000 && counter.value() == before; ++i) node.master.tell(change);
  EXPECT_EQ(counter.value(), before + 1);
  ASSERT_TRUE(node.master.subscriptions_open.get() <= 1);
  client.ended = true;
  master_pb::KeepConnectedResponse rest;
  while (client.stream->Read(&rest)) {
  }
  EXPECT_EQ(client.stream->Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

TEST(MasterService, KeepConnectedWithoutVolumesStillSaysWhoLeads) {
  Node node;
  node.master.lead(true);
  Connected client(node);
  const auto first = client.next().volume_location();
  EXPECT_EQ(first.url(), "");
  EXPECT_EQ(first.leader(), "127.0.0.1:9333");
}

TEST(MasterService, KeepConnectedAtAFollowerNamesTheLeaderAndEnds) {
  Node node;
  node.master.lead(false, "10.0.0.1:9333", "10.0.0.1:7777");
  Connected client(node);
  EXPECT_EQ(client.next().volume_location().leader(), "10.0.0.1:9333.7777");
  master_pb::KeepConnectedResponse response;
  EXPECT_FALSE(client.stream->Read(&response));
  EXPECT_EQ(node.master.subscriptions_open.get(), 0);
}

TEST(MasterService, KeepConnectedWithoutALeaderSaysSo) {
  Node node;
  grpc::ClientContext context;
  const auto stream = node.stub->KeepConnected(&context);
  stream->Write({});
  master_pb::KeepConnectedResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_message(), "raft.Server: Not current leader");
}

TEST(MasterService, KeepConnectedSendsClientsToTheNextLeader) {
  Node node;
  node.master.lead(true);
  Connected client(node);
  client.next();
  node.master.tell({.leader = "10.0.0.2:9333"});
  EXPECT_EQ(client.next().volume_location().leader(), "10.0.0.2:9333");
  master_pb::KeepConnectedResponse response;
  EXPECT_FALSE(client.stream->Read(&response));
  EXPECT_TRUE(node.master.subscriptions_open.wait_until([](int n) { return n == 0; }));
}

TEST(MasterService, AClientThatDoesNotReadLosesItsStreamAndNothingOfThePicture) {
  Node node;
  node.master.lead(true);
  Connected client(node);
  client.next();
  master::LocationChange change{.url = std::string(1 << 10, 'x')};
  for (int i = 0; i < 30'000 && node.master.subscriptions_open.get() > 0; ++i) node.master.tell(change);
  grpc::Status status;
  master_pb::KeepConnectedResponse rest;
  int read = 0;
  while (client.stream->Read(&rest)) ++read;
  EXPECT_LT(read, 25'000);
  status = client.stream->Finish();
  client.ended = true;
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(node.master.subscriptions_open.wait_until([](int n) { return n == 0; }));
}

TEST(MasterService, AClientThatLeavesEndsItsSubscription) {
  Node node;
  node.master.lead(true);
  {
    Connected client(node);
    client.next();
    EXPECT_EQ(node.master.subscriptions_open.get(), 1);
  }
  EXPECT_TRUE(node.master.subscriptions_open.wait_until([](int n) { return n == 0; }));
}

TEST(MasterService, FilersAreNodesWhileTheyStayAndOthersHearOfThem) {
  Node node;
  node.master.lead(true);
  const auto filers = [&] {
    grpc::ClientContext context;
    master_pb::ListClusterNodesRequest request;
    request.set_client_type("filer");
    master_pb::ListClusterNodesResponse response;
    EXPECT_TRUE(node.stub->ListClusterNodes(&context, request, &response).ok());
    return response;
  };
  Connected shell(node, "adminShell");
  shell.next();
  {
    Connected filer(node, "filer", "127.0.0.1:8888");
    filer.next();
    const auto update = shell.next().cluster_node_update();
    EXPECT_TRUE(update.is_add());
    EXPECT_EQ(update.address(), "127.0.0.1:8888");
    ASSERT_EQ(filers().cluster_nodes_size(), 1);
    EXPECT_EQ(filers().cluster_nodes(0).address(), "127.0.0.1:8888");
  }
  EXPECT_FALSE(shell.next().cluster_node_update().is_add());
  EXPECT_EQ(filers().cluster_nodes_size(), 0);
}

TEST(MasterService, FilersAndGatewaysHearTheRingOfFilersOnceItHasSettled) {
  Node node;
  node.master.lead(true);
  Connected gateway(node, "s3", "127.0.0.1:8333");
  const auto ring = [](Connected& client) {
    for (;;) {
      const auto message = client.next();
      if (message.has_lock_ring_update()) return message.lock_ring_update();
      if (!message.has_volume_location() && !message.has_cluster_node_update()) return master_pb::LockRingUpdate();
    }
  };
  auto one = std::make_unique<Connected>(node, "filer", "127.0.0.1:8889");
  auto two = std::make_unique<Connected>(node, "filer", "127.0.0.1:8888");
  const auto both = ring(gateway);
  ASSERT_EQ(both.servers_size(), 2);  // and not one after the other
  EXPECT_EQ(both.servers(0), "127.0.0.1:8888");
  EXPECT_EQ(both.servers(1), "127.0.0.1:8889");
  EXPECT_GT(both.version(), 0);
  EXPECT_EQ(ring(*two).version(), both.version());

  Connected late(node, "s3", "127.0.0.1:8334");
  EXPECT_EQ(ring(late).version(), both.version());  // at once
  one.reset();
  const auto left = ring(gateway);
  ASSERT_EQ(left.servers_size(), 1);
  EXPECT_GT(left.version(), both.version());
}

master::TopologyStatus two_servers() {
  const auto volume = [](std::uint32_t id, const std::string& collection, std::uint64_t size) {
    auto info = std::make_shared<VolumeInfo>();
    info->id = VolumeId(id);
    info->collection = collection;
    info->size = size;
    info->file_count = 10;
    return info;
  };
  master::ServerStatus one;
  one.id = one.url = "127.0.0.1:8080";
  one.grpc_port = 18080;
  one.disks[""] = {.max = 8, .volumes = 2, .free = 6};
  one.volume_infos = {volume(1, "", 100), volume(2, "pics", 200)};
  master::ServerStatus two;
  two.id = "second";
  two.url = "127.0.0.1:8081";
  two.disks[""] = {.max = 8, .volumes = 1, .free = 7};
  two.volume_infos = {volume(2, "pics", 210)};
  master::TopologyStatus status;
  status.data_centers = {{.id = "dc1", .racks = {{.id = "r1", .servers = {one, two}}}}};
  return status;
}

TEST(MasterService, VolumeListCountsEverythingAndListsWhatIsAskedFor) {
  Node node;
  node.master.topology = two_servers();
  node.master.cluster.volume_size_limit = 30ull << 30;
  grpc::ClientContext context;
  master_pb::VolumeListRequest request;
  request.set_collection("pics");
  master_pb::VolumeListResponse response;
  ASSERT_TRUE(node.stub->VolumeList(&context, request, &response).ok());
  EXPECT_EQ(response.volume_size_limit_mb(), 30u << 10);
  const auto& topology = response.topology_info();
  EXPECT_EQ(topology.id(), "topo");
  EXPECT_EQ(topology.diskinfos().at("").max_volume_count(), 16);
  const auto& rack = topology.data_center_infos(0).rack_infos(0);
  EXPECT_EQ(rack.diskinfos().at("").volume_count(), 3);
  EXPECT_EQ(rack.data_node_infos(1).id(), "second");
  EXPECT_EQ(rack.data_node_infos(1).address(), "127.0.0.1:8081");
  const auto& disk = rack.data_node_infos(0).diskinfos().at("");
  EXPECT_EQ(disk.volume_count(), 2);
  ASSERT_EQ(disk.volume_infos_size(), 1);
  EXPECT_EQ(disk.volume_infos(0).id(), 2u);
}

TEST(MasterService, VolumeListMayKeepToTheDefaultCollection) {
  Node node;
  node.master.topology = two_servers();
  auto& servers = node.master.topology.data_centers[0].racks[0].servers;
  servers[0].ec_infos = {{.id = VolumeId(3)}, {.id = VolumeId(4), .collection = "pics"}};
  // The ids of volumes and those of encoded ones, by the list and by the stream.
  using Ids = std::pair<std::vector<std::uint32_t>, std::vector<std::uint32_t>>;
  const auto add = [](Ids& ids, const auto& message) {
    for (const auto& volume : message.volume_infos()) ids.first.push_back(volume.id());
    for (const auto& shards : message.ec_shard_infos()) ids.second.push_back(shards.id());
  };
  const auto listed = [&](const master_pb::VolumeListRequest& request) {
    grpc::ClientContext context;
    master_pb::VolumeListResponse response;
    EXPECT_TRUE(node.stub->VolumeList(&context, request, &response).ok());
    EXPECT_EQ(response.topology_info().diskinfos().at("").volume_count(), 3);  // all are counted
    Ids ids;
    for (const auto& server : response.topology_info().data_center_infos(0).rack_infos(0).data_node_infos()) {
      for (const auto& [type, disk] : server.diskinfos()) add(ids, disk);
    }
    return ids;
  };
  const auto streamed = [&](const master_pb::VolumeListRequest& request) {
    grpc::ClientContext context;
    const auto stream = node.stub->VolumeListStream(&context, request);
    master_pb::VolumeListStreamResponse piece;
    EXPECT_TRUE(stream->Read(&piece));
    EXPECT_EQ(piece.header().topology_info().diskinfos().at("").volume_count(), 3);
    Ids ids;
    while (stream->Read(&piece)) add(ids, piece);
    EXPECT_TRUE(stream->Finish().ok());
    return ids;
  };
  master_pb::VolumeListRequest request;
  EXPECT_EQ(listed(request), Ids({1, 2, 2}, {3, 4}));
  EXPECT_EQ(streamed(request), Ids({1, 2, 2}, {3, 4}));
  request.set_default_collection_only(true);
  EXPECT_EQ(listed(request), Ids({1}, {3}));
  EXPECT_EQ(streamed(request), Ids({1}, {3}));
  request.set_volume_id(2);
  EXPECT_EQ(listed(request), Ids());
  EXPECT_EQ(streamed(request), Ids());
}

TEST(MasterService, CollectionListKeepsToTheKindsOfVolumesThatAreAskedFor) {
  Node node;
  node.master.collection_names = {"", "both", "plain"};
  node.master.ec_collection_names = {"both", "encoded"};
  const auto names = [&](bool normal, bool ec) {
    grpc::ClientContext context;
    master_pb::CollectionListRequest request;
    request.set_include_normal_volumes(normal);
    request.set_include_ec_volumes(ec);
    master_pb::CollectionListResponse response;
    EXPECT_TRUE(node.stub->CollectionList(&context, request, &response).ok());
    std::vector<std::string> out;
    for (const auto& collection : response.collections()) out.push_back(collection.name());
    return out;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(false, false), Names());
  EXPECT_EQ(names(true, false), Names({"", "both", "plain"}));
  EXPECT_EQ(names(false, true), Names({"both", "encoded"}));
  EXPECT_EQ(names(true, true), Names({"", "both", "encoded", "plain"}));  // each once
}

TEST(MasterService, VolumeListStreamBeginsWithTheHeader) {
  Node node;
  node.master.topology = two_servers();
  grpc::ClientContext context;
  const auto stream = node.stub->VolumeListStream(&context, {});
  master_pb::VolumeListStreamResponse piece;
  ASSERT_TRUE(stream->Read(&piece));
  EXPECT_EQ(piece.header().topology_info().diskinfos().at("").volume_count(), 3);
  ASSERT_TRUE(stream->Read(&piece));
  EXPECT_FALSE(piece.has_header());
  EXPECT_EQ(piece.data_node(), "127.0.0.1:8080");
  EXPECT_EQ(piece.volume_infos_size(), 2);
  ASSERT_TRUE(stream->Read(&piece));
  EXPECT_EQ(piece.data_node(), "second");
  EXPECT_FALSE(stream->Read(&piece));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(MasterService, CollectionStatisticsCountReplicasOnce) {
  Node node;
  node.master.topology = two_servers();
  grpc::ClientContext context;
  master_pb::CollectionStatisticsResponse response;
  ASSERT_TRUE(node.stub->CollectionStatistics(&context, {}, &response).ok());
  ASSERT_EQ(response.collections_size(), 2);
  const auto& pics = response.collections(1);
  EXPECT_EQ(pics.collection(), "pics");
  EXPECT_EQ(pics.volume_count(), 1u);
  EXPECT_EQ(pics.size(), 210u);
  EXPECT_EQ(pics.physical_size(), 410u);
}

TEST(MasterService, StatisticsTellTheRoomOfTheClusterAndWhatIsUsed) {
  Node node;
  node.master.topology = two_servers();
  node.master.cluster.volume_size_limit = 1000;
  const auto ask = [&](const std::string& collection, const std::string& replication, const std::string& disk_type) {
    grpc::ClientContext context;
    master_pb::StatisticsRequest request;
    request.set_collection(collection);
    request.set_replication(replication);
    request.set_disk_type(disk_type);
    master_pb::StatisticsResponse response;
    EXPECT_TRUE(node.stub->Statistics(&context, request, &response).ok());
    return response;
  };
  const auto pics = ask("pics", "", "");
  EXPECT_EQ(pics.total_size(), 16'000u);  // slots, also those without a volume yet
  EXPECT_EQ(pics.used_size(), 410u);      // on all disks
  EXPECT_EQ(pics.logical_used_size(), 210u);
  EXPECT_EQ(pics.file_count(), 10u);
  EXPECT_EQ(ask("", "", "hdd").used_size(), 100u);
  EXPECT_EQ(ask("nobody's", "", "").used_size(), 0u);
  EXPECT_EQ(ask("nobody's", "", "").total_size(), 16'000u);
  EXPECT_EQ(ask("pics", "001", "").used_size(), 0u);  // they have one copy each by their own word
  EXPECT_EQ(ask("pics", "001", "").logical_total_size(), 8'000u);
  EXPECT_EQ(ask("pics", "", "ssd").total_size(), 0u);

  grpc::ClientContext context;
  master_pb::StatisticsRequest wrong;
  wrong.set_replication("9x9");
  wrong.set_ttl("zz");
  master_pb::StatisticsResponse response;
  EXPECT_EQ(node.stub->Statistics(&context, wrong, &response).error_code(), StatusCode::UNKNOWN);
}

TEST(MasterService, DeletesACollectionAndIsContentWhenItIsNotThere) {
  Node node;
  node.master.lead(true);
  node.master.on_delete = [](const std::string& name) -> master::OrRefusal<master::Done> {
    if (name == "pics") return master::Done{};
    return Refusal{.kind = Refusal::Kind::bad_request, .text = "collection " + name + " does not exist"};
  };
  const auto code = [&](const std::string& name) {
    grpc::ClientContext context;
    master_pb::CollectionDeleteRequest request;
    request.set_name(name);
    master_pb::CollectionDeleteResponse response;
    return node.stub->CollectionDelete(&context, request, &response).error_code();
  };
  EXPECT_EQ(code("pics"), StatusCode::OK);
  EXPECT_EQ(code("other"), StatusCode::OK);
  EXPECT_EQ(code(""), StatusCode::INVALID_ARGUMENT);
}

std::shared_ptr<master::View> view_of_two() {
  auto view = std::make_shared<master::View>();
  view->self = NodeId(Uuid{1, 1});
  view->leader = NodeId(Uuid{1, 1});
  view->members = {
      {.id = NodeId(Uuid{1, 1}), .self = true, .http = "127.0.0.1:9333", .grpc = "127.0.0.1:19333"},
      {.id = NodeId(Uuid{1, 2}),
       .voter = false,
       .connected = true,
       .http = "127.0.0.1:9334",
       .grpc = "127.0.0.1:19334"}};
  return view;
}

TEST(MasterService, GetMasterConfigurationNamesTheLeaderAndAllMembers) {
  Node node({.default_replication = "001", .preallocate = true});
  node.master.lead(false, "127.0.0.1:9334", "127.0.0.1:19334");
  node.master.cluster.view = view_of_two();
  node.master.cluster.volume_size_limit = 1000ull << 20;
  node.master.tiers_told = {{.type = "s3", .id = "cold", .properties = {{"bucket", "b"}}}};
  grpc::ClientContext context;
  master_pb::GetMasterConfigurationResponse response;
  ASSERT_TRUE(node.stub->GetMasterConfiguration(&context, {}, &response).ok());
  EXPECT_EQ(response.default_replication(), "001");
  EXPECT_EQ(response.leader(), "127.0.0.1:9334");
  EXPECT_EQ(response.volume_size_limit_m_b(), 1000u);
  EXPECT_TRUE(response.volume_preallocate());
  ASSERT_EQ(response.masters_size(), 2);
  EXPECT_FALSE(response.masters(1).voter());
  ASSERT_EQ(response.storage_backends_size(), 1);
  EXPECT_EQ(response.storage_backends(0).id(), "cold");
  EXPECT_EQ(response.storage_backends(0).properties().at("bucket"), "b");
}

TEST(MasterService, MembersAreChangedByTheAllowedAtTheLeaderOnly) {
  FakeRuntime runtime;
  bool allowed = true;
  Node node({.allows =
                 [&](std::string_view ip) {
                   EXPECT_EQ(ip, "127.0.0.1");
                   return allowed;
                 }},
            &runtime);
  node.master.cluster.view = view_of_two();
  const auto transfer = [&](const std::string& to) {
    grpc::ClientContext context;
    master_pb::RaftLeadershipTransferRequest request;
    request.set_target_address(to);
    master_pb::RaftLeadershipTransferResponse response;
    return node.stub->RaftLeadershipTransfer(&context, request, &response);
  };
  EXPECT_EQ(transfer("").error_message(), "raft.Server: Not current leader");
  node.master.lead(true);
  EXPECT_TRUE(transfer("").ok());
  EXPECT_FALSE(runtime.transferred_to);
  EXPECT_TRUE(transfer("127.0.0.1:19334").ok());
  EXPECT_EQ(runtime.transferred_to, NodeId(Uuid{1, 2}));
  EXPECT_EQ(transfer("nobody:1").error_code(), StatusCode::INVALID_ARGUMENT);

  const auto remove = [&](bool force) {
    grpc::ClientContext context;
    master_pb::RaftRemoveServerRequest request;
    request.set_id(text(NodeId(Uuid{1, 2})));
    request.set_force(force);
    master_pb::RaftRemoveServerResponse response;
    return node.stub->RaftRemoveServer(&context, request, &response);
  };
  EXPECT_NE(remove(false).error_message().find("is connected"), std::string::npos);
  EXPECT_TRUE(remove(true).ok());
  EXPECT_EQ(runtime.removed, NodeId(Uuid{1, 2}));
  for (const char* name : {"127.0.0.1:9334", "127.0.0.1:9334.19334", "127.0.0.1:19334"}) {
    runtime.removed.reset();
    grpc::ClientContext named;
    master_pb::RaftRemoveServerRequest request;
    request.set_id(name);
    request.set_force(true);
    master_pb::RaftRemoveServerResponse response;
    EXPECT_TRUE(node.stub->RaftRemoveServer(&named, request, &response).ok()) << name;
    EXPECT_EQ(runtime.removed, NodeId(Uuid{1, 2})) << name;
  }

  grpc::ClientContext context;
  master_pb::RaftAddServerRequest add;
  add.set_id("127.0.0.1:9335");
  add.set_address("127.0.0.1:19335");
  master_pb::RaftAddServerResponse added;
  EXPECT_TRUE(node.stub->RaftAddServer(&context, add, &added).ok());
  EXPECT_EQ(runtime.added, "127.0.0.1:9335 (learner)");
  add.set_voter(true);
  grpc::ClientContext again;
  EXPECT_TRUE(node.stub->RaftAddServer(&again, add, &added).ok());
  EXPECT_EQ(runtime.added, "127.0.0.1:9335");

  allowed = false;
  EXPECT_EQ(transfer("").error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(transfer("").error_message(), "not authorized: 127.0.0.1");
}

TEST(MasterService, ListsTheMembersOfTheRaftGroup) {
  Node node;
  node.master.cluster.view = view_of_two();
  grpc::ClientContext context;
  master_pb::RaftListClusterServersResponse response;
  ASSERT_TRUE(node.stub->RaftListClusterServers(&context, {}, &response).ok());
  ASSERT_EQ(response.cluster_servers_size(), 2);
  EXPECT_TRUE(response.cluster_servers(0).isleader());
  EXPECT_EQ(response.cluster_servers(0).suffrage(), "Voter");
  EXPECT_EQ(response.cluster_servers(1).suffrage(), "Nonvoter");
  EXPECT_EQ(response.cluster_servers(1).address(), "127.0.0.1:19334");
}

TEST(MasterService, AMemberWhoseEntryIsNotCommittedIsNoVoterYet) {
  Node node;
  auto view = *view_of_two();
  view.members[1].voter = view.members[1].joining = true;
  node.master.cluster.view = std::make_shared<master::View>(view);
  grpc::ClientContext context;
  master_pb::RaftListClusterServersResponse response;
  ASSERT_TRUE(node.stub->RaftListClusterServers(&context, {}, &response).ok());
  EXPECT_EQ(response.cluster_servers(1).suffrage(), "Nonvoter");
}

TEST(MasterService, AMemberWhoseRemovalIsNotCommittedIsLeaving) {
  Node node;
  auto view = *view_of_two();
  view.leaving.push_back(view.members[1]);
  view.members.pop_back();
  node.master.cluster.view = std::make_shared<master::View>(view);
  grpc::ClientContext context;
  master_pb::RaftListClusterServersResponse response;
  ASSERT_TRUE(node.stub->RaftListClusterServers(&context, {}, &response).ok());
  ASSERT_EQ(response.cluster_servers_size(), 2);
  EXPECT_EQ(response.cluster_servers(1).suffrage(), "Leaving");
  EXPECT_EQ(response.cluster_servers(1).address(), "127.0.0.1:19334");
}

// ---- the admin lock

TEST(MasterService, TheAdminLockIsTheLeadersAndNamesItsHolder) {
  Node node;
  node.master.lead(true);
  master_pb::LeaseAdminTokenRequest request;
  request.set_lock_name("shell");
  request.set_client_name("host-a");
  request.set_message("moves volumes");
  master_pb::LeaseAdminTokenResponse lease;
  const auto ask = [&](auto call, const auto& message, auto* response) {
    grpc::ClientContext context;
    return ((*node.stub).*call)(&context, message, response);
  };
  ASSERT_TRUE(ask(&Seaweed::Stub::LeaseAdminToken, request, &lease).ok());
  EXPECT_GT(lease.lock_ts_ns(), 0);

  master_pb::LeaseAdminTokenRequest other;
  other.set_lock_name("shell");
  other.set_client_name("host-b");
  master_pb::LeaseAdminTokenResponse none;
  const auto held = ask(&Seaweed::Stub::LeaseAdminToken, other, &none);
  EXPECT_EQ(held.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(held.error_message(), "already locked by host-a: moves volumes");

  master_pb::GetAdminLockStatusRequest what;
  what.set_lock_name("shell");
  master_pb::GetAdminLockStatusResponse status;
  ASSERT_TRUE(ask(&Seaweed::Stub::GetAdminLockStatus, what, &status).ok());
  EXPECT_TRUE(status.is_locked());
  EXPECT_EQ(status.client_name(), "host-a");
  EXPECT_EQ(status.message(), "moves volumes");

  node.master.lead(false);
  const auto elsewhere = ask(&Seaweed::Stub::LeaseAdminToken, other, &none);
  EXPECT_EQ(elsewhere.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(elsewhere.error_message(), "raft.Server: Not current leader");
  node.master.lead(true);

  master_pb::ReleaseAdminTokenRequest release;
  release.set_lock_name("shell");
  release.set_previous_token(lease.token());
  release.set_previous_lock_time(lease.lock_ts_ns());
  master_pb::ReleaseAdminTokenResponse released;
  ASSERT_TRUE(ask(&Seaweed::Stub::ReleaseAdminToken, release, &released).ok());
  EXPECT_TRUE(ask(&Seaweed::Stub::LeaseAdminToken, other, &none).ok());
}

// ---- reflection

template <typename Reflection, typename Request, typename Response>
std::vector<Response> reflect(Node& node, const std::vector<Request>& requests) {
  const auto stub = Reflection::NewStub(dial(*node.server));
  grpc::ClientContext context;
  const auto stream = stub->ServerReflectionInfo(&context);
  std::vector<Response> answers;
  for (const Request& request : requests) {
    EXPECT_TRUE(stream->Write(request));
    EXPECT_TRUE(stream->Read(&answers.emplace_back()));
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  return answers;
}

TEST(Reflection, TellsWhatIsServedUnderBothItsNames) {
  namespace v1 = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  Node node;
  std::vector<v1::ServerReflectionRequest> requests(5);
  requests[0].set_list_services("*");
  requests[1].set_file_containing_symbol("master_pb.Seaweed");
  requests[2].set_file_by_filename("api/volume_server.proto");
  requests[3].set_file_containing_symbol("nobody.Knows");
  const auto answers = reflect<v1::ServerReflection, v1::ServerReflectionRequest, v1::ServerReflectionResponse>(
      node, requests);
  std::set<std::string> names;
  for (const auto& service : answers[0].list_services_response().service()) names.insert(service.name());
  EXPECT_EQ(names, (std::set<std::string>{"master_pb.Seaweed", "grpc.reflection.v1.ServerReflection",
                                          "grpc.reflection.v1alpha.ServerReflection"}));
  // The file that was asked for, then what it needs: a client can build the whole from one answer.
  const auto& files = answers[1].file_descriptor_response().file_descriptor_proto();
  ASSERT_EQ(files.size(), 2);
  google::protobuf::DescriptorPool pool;
  for (auto it = files.rbegin(); it != files.rend(); ++it) {
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(*it));
    ASSERT_NE(pool.BuildFile(file), nullptr);
  }
  EXPECT_NE(pool.FindMethodByName("master_pb.Seaweed.KeepConnected"), nullptr);
  EXPECT_EQ(answers[2].file_descriptor_response().file_descriptor_proto_size(), 1);
  EXPECT_EQ(answers[3].error_response().error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(answers[4].error_response().error_code(), StatusCode::INVALID_ARGUMENT);

  v1alpha::ServerReflectionRequest old;
  old.set_list_services("*");
  EXPECT_EQ((reflect<v1alpha::ServerReflection, v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(
                 node, {old}))
                .at(0)
                .list_services_response()
                .service_size(),
            3);
}

TEST(MasterService, PingsItselfAndKnownServersButNobodyElse) {
  Node node;
  Node other;
  auto view = view_of_two();
  view->members[1].http = other.http();
  view->members[1].grpc = other.grpc();
  node.master.cluster.view = view;
  const auto ping = [&](const std::string& target, const std::string& type) {
    grpc::ClientContext context;
    master_pb::PingRequest request;
    request.set_target(target);
    request.set_target_type(type);
    master_pb::PingResponse response;
    const grpc::Status status = node.stub->Ping(&context, request, &response);
    if (status.ok()) {
      EXPECT_GT(response.remote_time_ns(), 0);
    }
    return status;
  };
  EXPECT_TRUE(ping("", "").ok());
  EXPECT_TRUE(ping(other.http(), "master").ok());
  const grpc::Status unknown = ping("10.0.0.9:8080", "volumeServer");
  EXPECT_EQ(unknown.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(unknown.error_message(), "unknown ping target 10.0.0.9:8080 of type volumeServer");
}

// A filer as far as Ping goes.
class FakeFiler : public grpc::CallbackGenericService {
 public:
  FakeFiler() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterCallbackGenericService(this);
    server = builder.BuildAndStart();
  }
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    class Answer : public grpc::ServerGenericBidiReactor {
     public:
      explicit Answer(bool is_ping) {
        if (!is_ping) {
          Finish({StatusCode::UNIMPLEMENTED, "no such method"});
          return;
        }
        master_pb::PingResponse response;
        response.set_start_time_ns(41);
        response.set_remote_time_ns(42);
        const grpc::Slice slice(response.SerializeAsString());
        bytes_ = grpc::ByteBuffer(&slice, 1);
        StartWriteAndFinish(&bytes_, {}, grpc::Status::OK);
      }
      void OnDone() override { delete this; }

     private:
      grpc::ByteBuffer bytes_;
    };
    return new Answer(context->method() == "/filer_pb.SeaweedFiler/Ping");
  }
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

TEST(MasterService, PingsAFilerForAsLongAsItIsConnected) {
  Node node;
  node.master.lead(true);
  FakeFiler filer;
  const auto ping = [&](const std::string& target) {
    grpc::ClientContext context;
    master_pb::PingRequest request;
    request.set_target(target);
    request.set_target_type("filer");
    master_pb::PingResponse response;
    const grpc::Status status = node.stub->Ping(&context, request, &response);
    if (status.ok()) {
      EXPECT_EQ(response.remote_time_ns(), 41);
    }
    return status;
  };
  const std::string address = "127.0.0.1:8888." + std::to_string(filer.port);
  EXPECT_EQ(ping(address).error_code(), StatusCode::INVALID_ARGUMENT);
  Connected connected(node, "filer", address);
  connected.next();
  const auto end = std::chrono::steady_clock::now() + 10s;  // the greeting may come before the list of filers has it
  while (!ping(address).ok() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(ping(address).ok());
  EXPECT_TRUE(ping("127.0.0.1:8888").ok());
  EXPECT_EQ(ping("127.0.0.1:8889").error_message(), "unknown ping target 127.0.0.1:8889 of type filer");
}

TEST(MasterService, AVolumeIsMarkedAtTheLeader) {
  Node node;
  node.master.volumes[VolumeId(3)] = places_of(VolumeId(3), {"127.0.0.1:8080"});
  const auto mark = [&](std::uint32_t volume) {
    grpc::ClientContext context;
    master_pb::VolumeMarkReadonlyRequest request;
    request.set_ip("127.0.0.1");
    request.set_port(8080);
    request.set_volume_id(volume);
    request.set_is_readonly(true);
    master_pb::VolumeMarkReadonlyResponse response;
    return node.stub->VolumeMarkReadonly(&context, request, &response);
  };
  EXPECT_EQ(mark(3).error_message(), "raft.Server: Not current leader");
  node.master.lead(true);
  EXPECT_TRUE(mark(3).ok());
  EXPECT_EQ(node.master.marked, "127.0.0.1:8080 3 ro");
  EXPECT_TRUE(mark(4).ok());
}

TEST(MasterService, AVacuumIsTheLeadersAndItsMarkEverybodys) {
  Node node;
  const auto vacuum = [&] {
    grpc::ClientContext context;
    master_pb::VacuumVolumeRequest request;
    request.set_garbage_threshold(0.25);
    request.set_volume_id(7);
    request.set_collection("pics");
    master_pb::VacuumVolumeResponse response;
    return node.stub->VacuumVolume(&context, request, &response);
  };
  EXPECT_EQ(vacuum().error_message(), "raft.Server: Not current leader");
  {
    grpc::ClientContext context;
    master_pb::DisableVacuumRequest request;
    master_pb::DisableVacuumResponse response;
    EXPECT_TRUE(node.stub->DisableVacuum(&context, request, &response).ok());
    EXPECT_EQ(node.master.marked, "disabled");
  }
  {
    grpc::ClientContext context;
    master_pb::EnableVacuumRequest request;
    request.set_by_plugin(true);
    master_pb::EnableVacuumResponse response;
    EXPECT_TRUE(node.stub->EnableVacuum(&context, request, &response).ok());
    EXPECT_EQ(node.master.marked, "enabled by a plugin");
  }
  node.master.lead(true);
  EXPECT_TRUE(vacuum().ok());
  EXPECT_EQ(node.master.marked, "vacuum 7 pics 0.250000");
}

// Whatever is not built must say so in words: an empty UNIMPLEMENTED would be a method nobody thought of.
TEST(MasterService, WhatIsNotBuiltSaysSoInASentence) {
  Node node;
  node.master.lead(true);
  grpc::GenericStub stub(dial(*node.server));
  int unimplemented = 0;
  const auto* service = master_pb::Heartbeat::descriptor()->file()->FindServiceByName("Seaweed");
  for (int i = 0; i < service->method_count(); ++i) {
    const auto* method = service->method(i);
    if (method->client_streaming() || method->server_streaming()) continue;
    if (method->name() == "Assign" || method->name() == "VolumeGrow" || method->name() == "CollectionDelete") continue;
    grpc::ClientContext context;
    grpc::Slice nothing;
    grpc::ByteBuffer request(&nothing, 1);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/master_pb.Seaweed/" + method->name(), {}, &request, &response,
                   [&](const grpc::Status& status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    if (status.error_code() != StatusCode::UNIMPLEMENTED) continue;
    ++unimplemented;
    EXPECT_NE(status.error_message(), "") << method->name();
  }
  EXPECT_EQ(unimplemented, 4);  // members (no runtime here) and the mending of a volume (the fake has none)
}

TEST(GrpcServer, RefusesAPortThatIsTaken) {
  Node node;
  GrpcServer::Options options;
  options.hosts = {"127.0.0.1"};
  options.port = node.server->port();
  options.services.push_back(make_master_service({}, node.master, nullptr));
  const auto second = GrpcServer::start(std::move(options));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::io);
  EXPECT_NE(second.error().what().find(node.grpc()), std::string::npos);
}

TEST(GrpcServer, ListensOnAllAddressesOfBothKinds) {
  FakeMaster master;
  GrpcServer::Options options;
  options.services.push_back(make_master_service({}, master, nullptr));
  auto server = GrpcServer::start(std::move(options));
  ASSERT_TRUE(server.ok()) << server.error().what();
  for (const std::string host : {"127.0.0.1", "[::1]"}) {
    auto stub = Seaweed::NewStub(grpc::CreateChannel(host + ":" + std::to_string((*server)->port()),
                                                     grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    master_pb::PingResponse response;
    EXPECT_TRUE(stub->Ping(&context, {}, &response).ok()) << host;
  }
}

}  // namespace
}  // namespace holdfast::front
