#include "front/grpc/volume_service.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "api/convert.h"
#include "api/volume_server.grpc.pb.h"
#include "front/grpc/status.h"
#include "front/grpc/test_fakes.h"
#include "service/volume/vacuum_service.h"
#include "service/volume/volume_service.h"

namespace holdfast::front {
namespace {

using grpc::StatusCode;
namespace pb = volume_server_pb;

const Fence kFence{.cluster = ClusterId(Uuid{1, 2}), .generation = Generation(3), .term = Term(4), .sequence = 5};

// Volume 7 is a third garbage; a compaction tells three times how far it is, until it is told to stop.
class FakeVacuum final : public volume::VacuumService {
 public:
  std::string last;
  std::optional<Fence> last_fence;
  std::atomic<bool> called_off{false};
  bool endless = false;
  std::vector<std::thread> late;
  ~FakeVacuum() override {
    for (auto& thread : late) thread.join();
  }

  Result<double> check(VolumeId id) override {
    if (id != VolumeId(7)) return Error(Code::not_found, "not found volume id " + text(id));
    return 0.33;
  }
  void compact(VolumeId id, std::uint64_t preallocate, const std::optional<Fence>& fence, Progress progress,
               std::function<void(Status)> done) override {
    if (id == VolumeId(0)) return done(Error(Code::not_found, "not found volume id 0"));
    last = "compact " + text(id) + " " + std::to_string(preallocate);
    last_fence = fence;
    late.emplace_back([this, progress = std::move(progress), done = std::move(done)] {
      for (std::uint64_t mib = 0; endless || mib <= 300; mib += 10) {
        if (endless) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        if (progress(mib << 20)) continue;
        called_off = true;
        return done(Error(Code::busy, "called off"));
      }
      done({});
    });
  }
  void commit(VolumeId id, const std::optional<Fence>& fence, std::function<void(Result<volume::Vacuumed>)> done) override {
    last_fence = fence;
    if (id != VolumeId(7)) return done(Error(Code::invalid, "volume 8 has not been compacted"));
    done(volume::Vacuumed{.read_only = true, .bytes = 1234});
  }
  void clean_up(VolumeId id, const std::optional<Fence>& fence, std::function<void(Status)> done) override {
    last = "clean up " + text(id);
    last_fence = fence;
    done({});
  }
};

// Answers orders with `outcome` and remembers them as text.
class FakeVolumes final : public volume::VolumeService {
 public:
  Status outcome;
  std::string last;
  volume::OrderFence last_fence;
  bool stopping = false;
  std::vector<std::thread> late;
  ~FakeVolumes() override {
    for (auto& thread : late) thread.join();
  }

  volume::ReadNow read_now(const FileId&, volume::ReadOptions, volume::ReadBuffer&, volume::Found&) override {
    return volume::ReadNow::not_found;
  }
  void read(const FileId& id, volume::ReadOptions, Done<volume::Found> done) override {
    if (id.key.value() != 6) return done(Error(Code::not_found, "not found"));
    volume::Found manifest;
    manifest.needle.flags = volume::kFlagChunkManifest;
    done(std::move(manifest));
  }
  bool has_volume(VolumeId) const override { return true; }
  void write(volume::WriteRequest, Done<volume::Written>) override {}
  void remove(volume::RemoveRequest request, Done<volume::Removed> done) override {
    EXPECT_TRUE(request.is_for_each);
    late.emplace_back([request, done = std::move(done)] {
      switch (request.id.key.value()) {
        case 1: return done(volume::Removed{.size = 77});
        case 2: return done(volume::Removed{.size = 0});
        case 3: return done(Error(Code::refused, "cookie mismatch"));
        case 4: return done(Error(Code::not_found, "not found"));
        default: return done(Error(Code::io, "disk on fire"));
      }
    });
  }
  Result<std::shared_ptr<volume::Spool>> make_spool(VolumeId) override { return Error(Code::unsupported, ""); }
  bool post(std::function<void()> work) override {
    if (stopping) return false;
    late.emplace_back(std::move(work));
    return true;
  }
  void locate(VolumeId, Done<std::vector<volume::Location>>) override {}
  bool is_healthy() const override { return true; }
  std::vector<VolumeInfo> volumes() const override { return {}; }
  std::vector<volume::DiskStatus> disks() const override { return {{.directory = "/data", .all = 10, .free = 4}}; }
  Result<volume::VolumeFileStatus> volume_status(VolumeId id) const override {
    if (id != VolumeId(7)) return Error(Code::not_found, "volume " + text(id) + " not found");
    volume::VolumeFileStatus status;
    status.info.id = id;
    status.info.collection = "pics";
    status.info.file_count = 5;
    status.info.delete_count = 2;
    status.info.read_only = true;
    status.info.ttl = *Ttl::parse("3h");
    status.dat_bytes = 1000;
    status.idx_bytes = 80;
    return status;
  }
  std::string self() const override { return "127.0.0.1:8080"; }
  std::vector<Address> masters() const override { return {}; }
  Status order(const std::string& what, const volume::OrderFence& fence) {
    last = what;
    last_fence = fence;
    return outcome;
  }
  Status allocate(const volume::AllocateRequest& r, const volume::OrderFence& fence) override {
    return order("allocate " + text(r.id) + " " + r.collection + " " + text(r.replica_placement) + " " + text(r.ttl) +
                     " " + r.disk_type,
                 fence);
  }
  Status delete_volume(VolumeId id, const volume::Deletion& how, const volume::OrderFence& fence) override {
    return order("delete " + text(id) + (how.only_empty ? " only empty" : "") + (how.keep_remote ? " but its object" : ""), fence);
  }
  Status delete_collection(const std::string& collection, const volume::OrderFence& fence) override {
    return order("delete collection " + collection, fence);
  }
  Status mark_read_only(VolumeId id, bool persist, bool can_delete, const volume::OrderFence& fence) override {
    return order("read-only " + text(id) + (persist ? " for good" : "") + (can_delete ? " but for deletions" : ""), fence);
  }
  Status mark_writable(VolumeId id, const volume::OrderFence& fence) override {
    return order("writable " + text(id), fence);
  }
  Status mount(VolumeId id, const volume::OrderFence& fence) override { return order("mount " + text(id), fence); }
  Status unmount(VolumeId id, const volume::OrderFence& fence) override {
    return order("unmount " + text(id), fence);
  }
  void leave() override { last = "leave"; }
  volume::VacuumService* vacuum() override { return &vacuuming; }
  FakeVacuum vacuuming;
};

struct Node {
  explicit Node(VolumeServiceOptions options = {})
      : server(serve(make_volume_service(std::move(options), volumes))),
        stub(pb::VolumeServer::NewStub(dial(*server))) {}

  grpc::Status allocate(const std::function<void(pb::AllocateVolumeRequest&)>& change = {}) {
    pb::AllocateVolumeRequest request;
    request.set_volume_id(7);
    request.set_collection("pics");
    request.set_replication("010");
    request.set_ttl("3h");
    request.set_disk_type("ssd");
    request.set_version(3);
    if (change) change(request);
    grpc::ClientContext context;
    pb::AllocateVolumeResponse response;
    return stub->AllocateVolume(&context, request, &response);
  }

  FakeVolumes volumes;
  std::unique_ptr<GrpcServer> server;
  std::unique_ptr<pb::VolumeServer::Stub> stub;
};

TEST(VolumeServerService, AllocatesAsToldWithTheOrdersFence) {
  Node node;
  EXPECT_TRUE(node.allocate([](auto& request) { api::fill(kFence, request.mutable_fence()); }).ok());
  EXPECT_EQ(node.volumes.last, "allocate 7 pics 010 3h ssd");
  EXPECT_EQ(node.volumes.last_fence, kFence);
}

TEST(VolumeServerService, AnOrderOfUpstreamsMasterHasNoFence) {
  Node node;
  EXPECT_TRUE(node.allocate().ok());
  EXPECT_FALSE(node.volumes.last_fence);
}

TEST(VolumeServerService, WhatCannotBeReadIsRefusedBeforeAnythingHappens) {
  Node node;
  EXPECT_FALSE(node.allocate([](auto& request) { request.set_version(0); }).ok());
  EXPECT_EQ(node.allocate([](auto& request) { request.set_replication("-1"); }).error_message(),
            "unknown replication type: 0-1");
  EXPECT_FALSE(node.allocate([](auto& request) { request.set_ttl("zz"); }).ok());
  EXPECT_EQ(node.allocate([](auto& request) { request.mutable_fence()->set_cluster_id("?"); }).error_code(),
            StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(node.volumes.last, "");
}

TEST(VolumeServerService, AnOlderFenceIsToldApartFromOtherTroubles) {
  Node node;
  node.volumes.outcome = Error(Code::refused, "an order of term 3 came after one of term 4");
  EXPECT_EQ(node.allocate().error_code(), StatusCode::FAILED_PRECONDITION);
  node.volumes.outcome = Error(Code::already_exists, "Volume Id 7 already exists!");
  EXPECT_EQ(node.allocate().error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(node.allocate().error_message(), "Volume Id 7 already exists!");
}

TEST(VolumeServerService, EveryOrderGoesWhereItBelongs) {
  Node node;
  const auto call = [&](auto method, auto request, auto response) {
    grpc::ClientContext context;
    const grpc::Status status = (node.stub.get()->*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return node.volumes.last;
  };
  using Stub = pb::VolumeServer::Stub;
  pb::VolumeDeleteRequest remove;
  remove.set_volume_id(7);
  remove.set_only_empty(true);
  EXPECT_EQ(call(&Stub::VolumeDelete, remove, pb::VolumeDeleteResponse()), "delete 7 only empty");
  pb::DeleteCollectionRequest collection;
  collection.set_collection("pics");
  EXPECT_EQ(call(&Stub::DeleteCollection, collection, pb::DeleteCollectionResponse()), "delete collection pics");
  pb::VolumeMarkReadonlyRequest mark;
  mark.set_volume_id(7);
  mark.set_persist(true);
  EXPECT_EQ(call(&Stub::VolumeMarkReadonly, mark, pb::VolumeMarkReadonlyResponse()), "read-only 7 for good");
  mark.set_can_delete(true);
  EXPECT_EQ(call(&Stub::VolumeMarkReadonly, mark, pb::VolumeMarkReadonlyResponse()),
            "read-only 7 for good but for deletions");
  pb::VolumeMarkWritableRequest writable;
  writable.set_volume_id(7);
  EXPECT_EQ(call(&Stub::VolumeMarkWritable, writable, pb::VolumeMarkWritableResponse()), "writable 7");
  pb::VolumeMountRequest mount;
  api::fill(kFence, mount.mutable_fence());
  EXPECT_EQ(call(&Stub::VolumeMount, mount, pb::VolumeMountResponse()), "mount 0");
  EXPECT_EQ(node.volumes.last_fence, kFence);
  node.volumes.last_fence.reset();
  pb::VolumeUnmountRequest unmount;
  api::fill(kFence, unmount.mutable_fence());
  EXPECT_EQ(call(&Stub::VolumeUnmount, unmount, pb::VolumeUnmountResponse()), "unmount 0");
  EXPECT_EQ(node.volumes.last_fence, kFence);
  EXPECT_EQ(call(&Stub::VolumeServerLeave, pb::VolumeServerLeaveRequest(), pb::VolumeServerLeaveResponse()), "leave");
}

TEST(VolumeServerService, AVacuumIsOrderedStepByStep) {
  Node node;
  auto& fake = node.volumes.vacuuming;
  pb::VacuumVolumeCheckRequest check;
  pb::VacuumVolumeCheckResponse ratio;
  check.set_volume_id(8);
  {
    grpc::ClientContext context;
    const auto status = node.stub->VacuumVolumeCheck(&context, check, &ratio);
    EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
    EXPECT_EQ(status.error_message(), "not found volume id 8");
  }
  check.set_volume_id(7);
  {
    grpc::ClientContext context;
    ASSERT_TRUE(node.stub->VacuumVolumeCheck(&context, check, &ratio).ok());
    EXPECT_DOUBLE_EQ(ratio.garbage_ratio(), 0.33);
  }
  pb::VacuumVolumeCompactRequest compact;
  compact.set_volume_id(7);
  compact.set_preallocate(99);
  api::fill(kFence, compact.mutable_fence());
  {
    grpc::ClientContext context;
    const auto reader = node.stub->VacuumVolumeCompact(&context, compact);
    std::int64_t last = 0;
    pb::VacuumVolumeCompactResponse progress;
    while (reader->Read(&progress)) {
      EXPECT_GT(progress.processed_bytes(), last);
      last = progress.processed_bytes();
    }
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_GE(last, std::int64_t{128} << 20);
    EXPECT_EQ(fake.last, "compact 7 99");
    EXPECT_EQ(fake.last_fence, kFence);
  }
  pb::VacuumVolumeCommitRequest commit;
  pb::VacuumVolumeCommitResponse committed;
  commit.set_volume_id(7);
  {
    grpc::ClientContext context;
    ASSERT_TRUE(node.stub->VacuumVolumeCommit(&context, commit, &committed).ok());
    EXPECT_TRUE(committed.is_read_only());
    EXPECT_EQ(committed.volume_size(), 1234u);
    EXPECT_FALSE(fake.last_fence);
  }
  pb::VacuumVolumeCleanupRequest cleanup;
  pb::VacuumVolumeCleanupResponse cleaned;
  cleanup.set_volume_id(7);
  {
    grpc::ClientContext context;
    ASSERT_TRUE(node.stub->VacuumVolumeCleanup(&context, cleanup, &cleaned).ok());
    EXPECT_EQ(fake.last, "clean up 7");
  }
}

TEST(VolumeServerService, ACompactionEndsWhenItsCallerGoes) {
  Node node;
  auto& fake = node.volumes.vacuuming;
  fake.endless = true;
  pb::VacuumVolumeCompactRequest compact;
  compact.set_volume_id(7);
  grpc::ClientContext context;
  const auto reader = node.stub->VacuumVolumeCompact(&context, compact);
  pb::VacuumVolumeCompactResponse progress;
  ASSERT_TRUE(reader->Read(&progress));
  EXPECT_GE(progress.processed_bytes(), std::int64_t{128} << 20);
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);
  for (int i = 0; i < 1000 && !fake.called_off; i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(fake.called_off);
}

TEST(VolumeServerService, OnlyTheAllowedGiveOrders) {
  Node node({.allows = [](std::string_view ip) { return ip == "10.0.0.1"; }});
  const grpc::Status status = node.allocate();
  EXPECT_EQ(status.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(), "not authorized: 127.0.0.1");
  EXPECT_EQ(node.volumes.last, "");
  grpc::ClientContext context;
  pb::BatchDeleteResponse deleted;
  EXPECT_EQ(node.stub->BatchDelete(&context, {}, &deleted).error_code(), StatusCode::PERMISSION_DENIED);
  grpc::ClientContext reading;
  pb::VolumeStatusRequest request;
  request.set_volume_id(7);
  pb::VolumeStatusResponse response;
  EXPECT_TRUE(node.stub->VolumeStatus(&reading, request, &response).ok());
}

TEST(VolumeServerService, BatchDeleteAnswersEachIdInItsPlace) {
  Node node;
  pb::BatchDeleteRequest request;
  for (const char* id : {"3,01637037d6", "3,02637037d6", "3,03637037d6", "3,04637037d6", "3,05637037d6", "zz"}) {
    request.add_file_ids(id);
  }
  grpc::ClientContext context;
  pb::BatchDeleteResponse response;
  ASSERT_TRUE(node.stub->BatchDelete(&context, request, &response).ok());
  ASSERT_EQ(response.results_size(), 6);
  const int expected[] = {202, 304, 400, 404, 500, 400};
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(response.results(i).status(), expected[i]) << i;
    EXPECT_EQ(response.results(i).file_id(), request.file_ids(i));
  }
  EXPECT_EQ(response.results(0).size(), 77u);
}

TEST(VolumeServerService, BatchDeleteLeavesManifestsToThoseWhoKnowTheirChunks) {
  Node node;
  pb::BatchDeleteRequest request;
  request.add_file_ids("3,06637037d6");
  {
    grpc::ClientContext context;
    pb::BatchDeleteResponse response;
    ASSERT_TRUE(node.stub->BatchDelete(&context, request, &response).ok());
    EXPECT_EQ(response.results(0).status(), 406);
  }
  request.set_skip_cookie_check(true);
  grpc::ClientContext context;
  pb::BatchDeleteResponse response;
  ASSERT_TRUE(node.stub->BatchDelete(&context, request, &response).ok());
  EXPECT_EQ(response.results(0).status(), 500);  // was tried
}

TEST(VolumeServerService, ABatchOfNothingIsAnsweredToo) {
  Node node;
  grpc::ClientContext context;
  pb::BatchDeleteResponse response;
  EXPECT_TRUE(node.stub->BatchDelete(&context, {}, &response).ok());
}

TEST(VolumeServerService, TellsOfItsVolumes) {
  Node node;
  {
    grpc::ClientContext context;
    pb::VolumeStatusRequest request;
    request.set_volume_id(7);
    pb::VolumeStatusResponse response;
    ASSERT_TRUE(node.stub->VolumeStatus(&context, request, &response).ok());
    EXPECT_TRUE(response.is_read_only());
    EXPECT_EQ(response.volume_size(), 1000u);
    EXPECT_EQ(response.file_count(), 5u);
    EXPECT_EQ(response.file_deleted_count(), 2u);
  }
  {
    grpc::ClientContext context;
    pb::ReadVolumeFileStatusRequest request;
    request.set_volume_id(7);
    pb::ReadVolumeFileStatusResponse response;
    ASSERT_TRUE(node.stub->ReadVolumeFileStatus(&context, request, &response).ok());
    EXPECT_EQ(response.dat_file_size(), 1000u);
    EXPECT_EQ(response.idx_file_size(), 80u);
    EXPECT_EQ(response.collection(), "pics");
  }
  grpc::ClientContext context;
  pb::VolumeSyncStatusRequest request;
  request.set_volume_id(8);
  pb::VolumeSyncStatusResponse response;
  const grpc::Status status = node.stub->VolumeSyncStatus(&context, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "not found volume id 8");
}

TEST(VolumeServerService, TellsOfItsDisks) {
  Node node({.version = "30GB 4.44", .data_center = "dc1", .rack = "r1"});
  grpc::ClientContext context;
  pb::VolumeServerStatusResponse response;
  ASSERT_TRUE(node.stub->VolumeServerStatus(&context, {}, &response).ok());
  EXPECT_EQ(response.version(), "30GB 4.44");
  EXPECT_EQ(response.disk_statuses(0).dir(), "/data");
  EXPECT_GT(response.memory_status().all(), response.memory_status().self());
  EXPECT_GT(response.memory_status().self(), 1u << 20);
  EXPECT_TRUE(response.has_state());
}

TEST(VolumeServerService, AStoppingServerAnswersAllTheSame) {
  Node node;
  node.volumes.stopping = true;
  EXPECT_EQ(node.allocate().error_code(), StatusCode::UNAVAILABLE);
}

TEST(VolumeServerService, WhatIsNotBuiltSaysSoInASentence) {
  Node node;
  grpc::GenericStub stub(dial(*node.server));
  int unimplemented = 0;
  const auto* service = pb::PingRequest::descriptor()->file()->FindServiceByName("VolumeServer");
  for (int i = 0; i < service->method_count(); ++i) {
    const auto* method = service->method(i);
    // A stream that is refused at once answers a unary call the same way.
    grpc::ClientContext context;
    grpc::Slice nothing;
    grpc::ByteBuffer request(&nothing, 1);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/volume_server_pb.VolumeServer/" + method->name(), {}, &request, &response,
                   [&](const grpc::Status& status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    if (status.error_code() != StatusCode::UNIMPLEMENTED) continue;
    ++unimplemented;
    // The fake holds no erasure-coded volumes.
    const auto named = method->name().find("Ec") != std::string::npos ? "erasure coding" : method->name();
    EXPECT_NE(status.error_message().find(named), std::string::npos) << status.error_message();
  }
  EXPECT_EQ(unimplemented, 12);
}

TEST(PeerIp, IsReadFromTheLibrarysText) {
  EXPECT_EQ(peer_ip("ipv4:127.0.0.1:4711"), "127.0.0.1");
  EXPECT_EQ(peer_ip("ipv6:%5B::1%5D:4711"), "::1");
  EXPECT_EQ(peer_ip("ipv6:[fe80::1%25eth0]:4711"), "fe80::1");
  EXPECT_EQ(peer_ip("unix:/run/x"), "");
}

}  // namespace
}  // namespace holdfast::front
