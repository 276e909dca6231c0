// Two volume servers' stores behind real gRPC: what one gives, the other takes.
#include "front/grpc/volume_copy_calls.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <future>
#include <filesystem>
#include <map>
#include <thread>

#include "api/volume_server.grpc.pb.h"
#include "base/crc32c.h"
#include "base/gzip.h"
#include "client/volume_orders.h"
#include "front/grpc/test_fakes.h"
#include "front/grpc/volume_service.h"
#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "service/volume/healer.h"
#include "service/volume/upkeep.h"

namespace holdfast::front {
namespace {

using grpc::StatusCode;
using Stub = volume_server_pb::VolumeServer::Stub;
namespace pb = volume_server_pb;

// A store with its upkeep, and nothing of what readers and masters see.
class StoreService final : public volume::VolumeService {
 public:
  StoreService(const std::string& folder, int volumes_max) {
    auto opened = volume::Store::open({disk_, clock_, pool_}, io::posix::system_random(),
                                      {{.path = folder, .volumes_max = volumes_max, .min_free_percent = 0}});
    CHECK(opened.ok());
    store = std::move(*opened);
    upkeep_ = std::make_unique<volume::Upkeep>(
        *store, disk_, clock_,
        volume::Upkeep::Options{.receiver = {.self = "127.0.0.1:1", .changed = [this] { changes++; }},
                                .admit = [this](const volume::OrderFence&, VolumeId) -> Status {
                                  if (!refuses) return {};
                                  return Error(Code::refused, "an order of term 3 came after one of term 4");
                                }});
    healer_ = std::make_unique<volume::Healer>(
        volume::Healer::World{.store = *store, .disk = disk_, .clock = clock_, .receiver = upkeep_->receiver(), .changed = [this] { changes++; }});
  }

  std::unique_ptr<volume::Store> store;
  std::atomic<int> changes{0};
  std::atomic<bool> refuses{false};

  volume::Upkeep* upkeep() override { return upkeep_.get(); }
  volume::Healer* healer() override { return healer_.get(); }
  volume::ReadNow read_now(const FileId&, volume::ReadOptions, volume::ReadBuffer&, volume::Found&) override {
    return volume::ReadNow::not_found;
  }
  void read(const FileId&, volume::ReadOptions, Done<volume::Found>) override {}
  bool has_volume(VolumeId id) const override { return store->find(id) != nullptr; }
  void write(volume::WriteRequest, Done<volume::Written>) override {}
  void remove(volume::RemoveRequest, Done<volume::Removed>) override {}
  Result<std::shared_ptr<volume::Spool>> make_spool(VolumeId) override { return Error(Code::unsupported, ""); }
  bool post(std::function<void()> work) override { return pool_.post(std::move(work)); }
  void locate(VolumeId, Done<std::vector<volume::Location>>) override {}
  bool is_healthy() const override { return true; }
  std::vector<VolumeInfo> volumes() const override { return {}; }
  std::vector<volume::DiskStatus> disks() const override { return {}; }
  Result<volume::VolumeFileStatus> volume_status(VolumeId id) const override {
    const auto volume = store->find(id);
    if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
    volume::VolumeFileStatus out;
    out.info = volume->info();
    out.idx_bytes = volume->idx_bytes();
    out.dat_bytes = volume->dat_bytes();
    return out;
  }
  std::string self() const override { return "127.0.0.1:1"; }
  std::vector<Address> masters() const override { return {}; }
  Status allocate(const volume::AllocateRequest&, const volume::OrderFence&) override { return {}; }
  Status delete_volume(VolumeId, const volume::Deletion&, const volume::OrderFence&) override { return {}; }
  Status delete_collection(const std::string&, const volume::OrderFence&) override { return {}; }
  Status mark_read_only(VolumeId, bool, bool, const volume::OrderFence&) override { return {}; }
  Status mark_writable(VolumeId, const volume::OrderFence&) override { return {}; }
  Status mount(VolumeId, const volume::OrderFence&) override { return {}; }
  Status unmount(VolumeId, const volume::OrderFence&) override { return {}; }
  void leave() override {}

 private:
  io::Disk& disk_ = io::posix::system_disk();
  io::posix::SystemClock clock_;
  volume::WorkPool pool_{2};
  std::unique_ptr<volume::Upkeep> upkeep_;
  std::unique_ptr<volume::Healer> healer_;
};

struct Node {
  explicit Node(int volumes_max = 8) {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-copy-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    start(volumes_max);
  }
  ~Node() {
    stop();
    std::filesystem::remove_all(folder);
  }
  void start(int volumes_max = 8) {
    service = std::make_unique<StoreService>(folder, volumes_max);
    server = serve(make_volume_service({}, *service));
    stub = pb::VolumeServer::NewStub(dial(*server));
  }
  void stop() {
    stub.reset();
    server.reset();
    service.reset();
  }
  // The port of HTTP does not matter to a copy.
  std::string address() const { return "127.0.0.1:2." + std::to_string(server->port()); }
  volume::Store& store() { return *service->store; }
  std::shared_ptr<volume::Volume> volume(std::uint32_t id = 7) { return store().find(VolumeId(id)); }
  bool has(const std::string& name) const { return std::filesystem::exists(folder + "/" + name); }
  std::string content(const std::string& name) const {
    return *io::posix::system_disk().read_file(folder + "/" + name, 1_GiB);
  }

  std::string folder;
  std::unique_ptr<StoreService> service;
  std::unique_ptr<GrpcServer> server;
  std::unique_ptr<Stub> stub;
};

template <typename T>
Result<T> wait_for(const std::function<void(std::function<void(Result<T>)>)>& start) {
  std::promise<Result<T>> promise;
  start([&](Result<T> result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

void put(volume::Volume& volume, std::uint64_t key, const std::string& data, std::uint32_t cookie = 0xc00c1e) {
  const auto outcome = wait_for<volume::Put::Outcome>([&](auto done) {
    volume::Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = Cookie(cookie);
    put.needle.data = bytes_of(data);
    put.needle.name = "a.txt";
    put.needle.flags = volume::kFlagName | volume::kFlagLastModified;
    put.needle.last_modified = 1700000000;
    put.done = std::move(done);
    volume.put(std::move(put), true);
  });
  ASSERT_TRUE(outcome.ok()) << outcome.error().what();
}

void remove(volume::Volume& volume, std::uint64_t key) {
  const auto outcome = wait_for<std::int32_t>([&](auto done) {
    volume.remove({.id = NeedleId(key), .check_cookie = false, .done = std::move(done)}, true);
  });
  ASSERT_TRUE(outcome.ok()) << outcome.error().what();
}

std::string get(volume::Volume& volume, std::uint64_t key, std::uint32_t cookie = 0xc00c1e) {
  const auto found = volume.read(NeedleId(key), Cookie(cookie), {});
  if (!found) return "<" + std::string(text(found.error().code())) + ">";
  if (!found->body) return std::string(text_of(found->needle.data));
  std::string out(found->body->size(), '\0');
  CHECK(found->body->read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}).ok());
  return out;
}

// A source with volume 7 and a few files in it.
void fill(Node& node) {
  const auto made = node.store().allocate({.id = VolumeId(7), .collection = "pics"});
  ASSERT_TRUE(made.ok());
  put(**made, 1, "one");
  put(**made, 2, std::string(3'000'000, 'b'));
  put(**made, 3, "three");
  put(**made, 4, "");
  remove(**made, 3);
}

struct Copied {
  grpc::Status status;
  std::string bytes;
  std::vector<std::size_t> pieces;
  std::vector<std::int64_t> times;
};

Copied copy_file(Node& node, const std::function<void(pb::CopyFileRequest&)>& change) {
  pb::CopyFileRequest request;
  request.set_volume_id(7);
  request.set_ext(".dat");
  request.set_compaction_revision(0);
  request.set_stop_offset(UINT64_MAX);
  change(request);
  grpc::ClientContext context;
  auto stream = node.stub->CopyFile(&context, request);
  Copied out;
  pb::CopyFileResponse response;
  while (stream->Read(&response)) {
    out.bytes += response.file_content();
    out.pieces.push_back(response.file_content().size());
    out.times.push_back(response.modified_ts_ns());
  }
  out.status = stream->Finish();
  return out;
}

TEST(CopyFile, GivesAFileInPiecesWithItsTimeInTheFirst) {
  Node node;
  fill(node);
  const auto all = copy_file(node, [](auto&) {});
  ASSERT_TRUE(all.status.ok()) << all.status.error_message();
  EXPECT_EQ(all.bytes, node.content("pics_7.dat"));
  ASSERT_EQ(all.pieces.size(), 2u);
  EXPECT_EQ(all.pieces[0], 2_MiB);
  EXPECT_GT(all.times[0], 1'600'000'000'000'000'000);
  EXPECT_EQ(all.times[1], 0);
  const auto rows = copy_file(node, [](auto& r) { r.set_ext(".idx"), r.set_stop_offset(32); });
  EXPECT_EQ(rows.bytes, node.content("pics_7.idx").substr(0, 32));
  const auto settings = copy_file(node, [](auto& r) { r.set_ext(".vif"), r.set_compaction_revision(UINT32_MAX); });
  EXPECT_EQ(settings.bytes, node.content("pics_7.vif"));
}

TEST(CopyFile, NothingWantedIsOneEmptyPieceAndNothingThereNone) {
  Node node;
  fill(node);
  const auto nothing = copy_file(node, [](auto& r) { r.set_stop_offset(0); });
  EXPECT_TRUE(nothing.status.ok());
  EXPECT_EQ(nothing.pieces, std::vector<std::size_t>{0});
  EXPECT_NE(nothing.times[0], 0);
  const auto missing = copy_file(node, [](auto& r) { r.set_ext(".sdx"), r.set_ignore_source_file_not_found(true); });
  EXPECT_TRUE(missing.status.ok());
  EXPECT_TRUE(missing.pieces.empty());
  EXPECT_TRUE(copy_file(node, [](auto& r) { r.set_ext(".sdx"), r.set_stop_offset(0); }).status.ok());
  EXPECT_FALSE(copy_file(node, [](auto& r) { r.set_ext(".sdx"); }).status.ok());
}

TEST(CopyFile, RefusesInUpstreamsWords) {
  Node node;
  fill(node);
  const auto said = [&](const std::function<void(pb::CopyFileRequest&)>& change) {
    const auto copied = copy_file(node, change);
    EXPECT_EQ(copied.status.error_code(), StatusCode::UNKNOWN);
    return copied.status.error_message();
  };
  EXPECT_EQ(said([](auto& r) { r.set_compaction_revision(3); }), "volume 7 is compacted");
  EXPECT_EQ(said([](auto& r) { r.set_volume_id(8); }), "not found volume id 8");
  for (const auto* ext : {"", ".", "dat", "./../../etc/passwd", ".d/t", ".dat\n"}) {
    EXPECT_NE(said([&](auto& r) { r.set_ext(ext); }).find("invalid file extension"), std::string::npos) << ext;
  }
  EXPECT_NE(said([](auto& r) { r.set_is_ec_volume(true), r.set_collection("../x"); }).find("collection"), std::string::npos);
}

TEST(CopyFile, FindsAnErasureCodedVolumesFileByItsName) {
  Node node;
  ASSERT_TRUE(io::posix::system_disk().replace_file(node.folder + "/pics_9.ec03", "shard").ok());
  const auto shard = copy_file(node, [](auto& r) {
    r.set_volume_id(9), r.set_collection("pics"), r.set_ext(".ec03"), r.set_is_ec_volume(true), r.set_compaction_revision(5);
  });
  EXPECT_TRUE(shard.status.ok()) << shard.status.error_message();
  EXPECT_EQ(shard.bytes, "shard");
}

struct VolumeCopied {
  grpc::Status status;
  std::uint64_t last_append_at_ns = 0;
};

VolumeCopied copy_volume(Node& target, const std::string& source,
                         const std::function<void(pb::VolumeCopyRequest&)>& change = {}) {
  pb::VolumeCopyRequest request;
  request.set_volume_id(7);
  request.set_source_data_node(source);
  if (change) change(request);
  grpc::ClientContext context;
  auto stream = target.stub->VolumeCopy(&context, request);
  VolumeCopied out;
  pb::VolumeCopyResponse response;
  while (stream->Read(&response)) out.last_append_at_ns = response.last_append_at_ns();
  out.status = stream->Finish();
  return out;
}

grpc::Status tail_into(Node& target, const std::string& source, std::uint64_t since_ns) {
  pb::VolumeTailReceiverRequest request;
  request.set_volume_id(7);
  request.set_since_ns(since_ns);
  request.set_idle_timeout_seconds(1);
  request.set_source_volume_server(source);
  grpc::ClientContext context;
  pb::VolumeTailReceiverResponse response;
  return target.stub->VolumeTailReceiver(&context, request, &response);
}

TEST(VolumeCopy, MakesTheSameVolumeThere) {
  Node source;
  Node target;
  fill(source);
  const auto copied = copy_volume(target, source.address());
  ASSERT_TRUE(copied.status.ok()) << copied.status.error_message();
  for (const auto* name : {"pics_7.dat", "pics_7.idx", "pics_7.vif"}) {
    EXPECT_EQ(target.content(name), source.content(name)) << name;
  }
  EXPECT_FALSE(target.has("pics_7.note"));
  EXPECT_EQ(copied.last_append_at_ns, source.volume()->last_append_at_ns());
  const auto volume = target.volume();
  ASSERT_TRUE(volume);
  EXPECT_EQ(get(*volume, 1), "one");
  EXPECT_EQ(get(*volume, 3), "<not_found>");
  EXPECT_EQ(get(*volume, 4), "");
  EXPECT_GE(target.service->changes, 1);
  const auto time = [](Node& node) { return std::filesystem::last_write_time(node.folder + "/pics_7.dat"); };
  EXPECT_EQ(time(target), time(source));
}

TEST(VolumeCopy, TheTailBringsWhatCameMeanwhile) {
  Node source;
  Node target;
  fill(source);
  const auto copied = copy_volume(target, source.address());
  ASSERT_TRUE(copied.status.ok());
  auto& volume = *source.volume();
  put(volume, 1, "one, changed");
  remove(volume, 2);
  put(volume, 5, std::string(5'000'000, 'x'));
  put(volume, 6, "");
  remove(volume, 4);  // an empty file: its deletion is like it to the byte
  put(volume, 3, "three again, under another cookie", 0xc00c1e);
  ASSERT_TRUE(tail_into(target, source.address(), copied.last_append_at_ns).ok());
  auto& there = *target.volume();
  EXPECT_EQ(get(there, 1), "one, changed");
  EXPECT_EQ(get(there, 2), "<not_found>");
  EXPECT_EQ(get(there, 5), std::string(5'000'000, 'x'));
  EXPECT_EQ(get(there, 6), "");
  EXPECT_FALSE(there.find(NeedleId(4))->is_live());
  EXPECT_EQ(get(there, 3), "three again, under another cookie");
  // Again from the beginning: what is there already stays as it is.
  const auto before = target.content("pics_7.dat").size();
  ASSERT_TRUE(tail_into(target, source.address(), copied.last_append_at_ns).ok());
  EXPECT_EQ(get(there, 1), "one, changed");
  EXPECT_FALSE(there.find(NeedleId(2))->is_live());
  EXPECT_LE(target.content("pics_7.dat").size() - before, 200u);  // the empty file once more
}

TEST(VolumeCopy, AnOwnReplicaGivesWayOnlyToASourceThatHasTheVolume) {
  Node source;
  Node target(1);
  ASSERT_TRUE(target.store().allocate({.id = VolumeId(7)}).ok());
  put(*target.volume(), 9, "older");
  const auto missing = copy_volume(target, source.address());
  EXPECT_EQ(missing.status.error_code(), StatusCode::UNKNOWN);
  EXPECT_NE(missing.status.error_message().find("not found volume id 7"), std::string::npos);
  EXPECT_FALSE(copy_volume(target, "127.0.0.1:1").status.ok());  // itself, by its name
  EXPECT_EQ(get(*target.volume(), 9), "older");
  fill(source);
  ASSERT_TRUE(copy_volume(target, source.address()).status.ok());
  EXPECT_EQ(get(*target.volume(), 9), "<not_found>");
  EXPECT_EQ(get(*target.volume(), 1), "one");
  EXPECT_FALSE(target.has("7.dat"));
}

TEST(VolumeCopy, WithoutASlotThereIsNone) {
  Node source;
  Node target(1);
  fill(source);
  ASSERT_TRUE(target.store().allocate({.id = VolumeId(1)}).ok());
  EXPECT_EQ(copy_volume(target, source.address()).status.error_message(), "no space left for disk type hdd");
  EXPECT_EQ(copy_volume(target, source.address(), [](auto& r) { r.set_disk_type("ssd"); }).status.error_message(),
            "no space left for disk type ssd");
  target.service->refuses = true;
  EXPECT_EQ(copy_volume(target, source.address()).status.error_code(), StatusCode::FAILED_PRECONDITION);
}

TEST(VolumeCopy, OneThatIsCalledOffLeavesNothing) {
  Node source;
  Node target;
  fill(source);
  pb::VolumeCopyRequest request;
  request.set_volume_id(7);
  request.set_source_data_node(source.address());
  request.set_io_byte_per_second(100'000);  // the first piece alone would take 20 s
  grpc::ClientContext context;
  auto stream = target.stub->VolumeCopy(&context, request);
  const auto begun = std::chrono::steady_clock::now();
  while (!target.has("pics_7.dat")) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(target.has("pics_7.note"));
  EXPECT_FALSE(target.volume());
  EXPECT_EQ(copy_volume(target, source.address()).status.error_message(),
            "volume 7 is being copied to this server already");
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::CANCELLED);
  while (target.has("pics_7.note")) std::this_thread::sleep_for(1ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
  EXPECT_FALSE(target.has("pics_7.dat"));
  EXPECT_FALSE(target.has("pics_7.idx"));
  EXPECT_TRUE(copy_volume(target, source.address()).status.ok());
}

TEST(VolumeCopy, WhatAKilledServerHadOfOneIsGoneAtItsNextStart) {
  Node target;
  target.stop();
  auto& disk = io::posix::system_disk();
  const std::string note = "holdfast: a copy of this volume is under way\n";
  for (const auto* ext : {".dat", ".idx", ".vif", ".note"}) {
    ASSERT_TRUE(disk.replace_file(target.folder + "/pics_7" + ext, ext == std::string(".note") ? note : "half").ok());
    ASSERT_TRUE(disk.replace_file(target.folder + "/9" + ext, "of another program").ok());
  }
  ASSERT_TRUE(disk.replace_file(target.folder + "/8.note", note).ok());
  ASSERT_TRUE(disk.replace_file(target.folder + "/8.vif", "of an erasure-coded volume").ok());
  ASSERT_TRUE(disk.replace_file(target.folder + "/8.ecx", "").ok());
  target.start();
  for (const auto* ext : {".dat", ".idx", ".vif", ".note"}) EXPECT_FALSE(target.has(std::string("pics_7") + ext)) << ext;
  for (const auto* ext : {".dat", ".idx", ".vif", ".note"}) EXPECT_TRUE(target.has(std::string("9") + ext)) << ext;
  EXPECT_TRUE(target.has("8.vif"));
  EXPECT_FALSE(target.has("8.note"));
}

// What a master hears when it has `node` get the rest of its copy of volume 7.
Result<client::VolumeOrders::Healed> catch_up(Node& node, const std::string& source) {
  const auto orders = client::make_volume_orders();
  return wait_for<client::VolumeOrders::Healed>([&](auto done) {
    orders->heal("127.0.0.1:" + std::to_string(node.server->port()),
                 {.step = client::VolumeOrders::Heal::Step::catch_up, .volume = VolumeId(7), .source = source}, {}, 10s, done);
  });
}

TEST(HealReplica, ASourceThatIsGoneIsNoWordAboutTheCopies) {
  Node source;
  Node node;
  fill(source);
  ASSERT_TRUE(copy_volume(node, source.address()).status.ok());
  EXPECT_EQ(catch_up(node, source.address()).error().code(), Code::refused);  // they are equal
  put(*source.volume(), 5, "five");
  const auto address = source.address();
  source.stop();
  const auto gone = catch_up(node, address);
  EXPECT_EQ(gone.error().code(), Code::busy) << gone.error().what();
  source.start();
  const auto mended = catch_up(node, source.address());
  ASSERT_TRUE(mended.ok()) << mended.error().what();
  EXPECT_GT(mended->bytes, 0u);
  EXPECT_EQ(get(*node.volume(), 5), "five");
}

TEST(VolumeTailSender, TellsWhatANeedleWithoutDataIs) {
  Node node;
  fill(node);
  pb::VolumeTailSenderRequest request;
  request.set_volume_id(7);
  request.set_idle_timeout_seconds(1);
  grpc::ClientContext context;
  auto stream = node.stub->VolumeTailSender(&context, request);
  pb::VolumeTailSenderResponse response;
  std::string told;
  while (stream->Read(&response)) {
    if (response.needle_header().empty()) {
      told += response.is_last_chunk() ? "idle " : "? ";
      continue;
    }
    const auto header = volume::NeedleHeader::parse(bytes_of(response.needle_header()).data());
    EXPECT_EQ(response.version(), 3u);
    EXPECT_LE(response.needle_body().size(), 2_MiB);
    told += std::to_string(header.id.value()) + ":" + std::to_string(response.kind()) + (response.is_last_chunk() ? " " : "+ ");
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(told, "1:0 2:0+ 2:0 3:0 4:1 3:2 idle ");
}

TEST(VolumeIncrementalCopy, GivesTheBytesBehindATime) {
  Node node;
  fill(node);
  const auto since = [&](std::uint64_t since_ns) {
    pb::VolumeIncrementalCopyRequest request;
    request.set_volume_id(7);
    request.set_since_ns(since_ns);
    grpc::ClientContext context;
    auto stream = node.stub->VolumeIncrementalCopy(&context, request);
    pb::VolumeIncrementalCopyResponse response;
    std::string out;
    while (stream->Read(&response)) out += response.file_content();
    EXPECT_TRUE(stream->Finish().ok());
    return out;
  };
  const auto dat = node.content("pics_7.dat");
  EXPECT_EQ(since(0), dat.substr(8));
  const auto now = node.volume()->last_append_at_ns();
  EXPECT_EQ(since(now), "");
  put(*node.volume(), 10, "ten");
  put(*node.volume(), 11, "eleven");
  EXPECT_EQ(since(now), node.content("pics_7.dat").substr(dat.size()));
  for (std::uint64_t key = 100; key < 200; key++) {
    const auto before = node.volume()->last_append_at_ns();
    const auto at = node.content("pics_7.dat").size();
    put(*node.volume(), key, "more");
    EXPECT_EQ(since(before), node.content("pics_7.dat").substr(at));
  }
}

TEST(ReadAllNeedles, GivesTheLiveOnes) {
  Node node;
  fill(node);
  put(*node.volume(), 1, "one, changed");
  pb::ReadAllNeedlesRequest request;
  request.add_volume_ids(7);
  grpc::ClientContext context;
  auto stream = node.stub->ReadAllNeedles(&context, request);
  pb::ReadAllNeedlesResponse response;
  std::vector<std::uint64_t> keys;
  while (stream->Read(&response)) {
    keys.push_back(response.needle_id());
    if (response.needle_id() == 1) {
      EXPECT_EQ(response.needle_blob(), "one, changed");
      EXPECT_EQ(response.name(), "a.txt");
      EXPECT_EQ(response.crc(), volume::legacy_crc(crc32c(bytes_of("one, changed"))));
    }
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(keys, (std::vector<std::uint64_t>{2, 4, 1}));
}

TEST(ReadAllNeedles, TellsWhichAreCompressedAndSendsThemAsTheyLie) {
  Node node;
  fill(node);
  const auto zipped = gzip::compress(bytes_of(std::string(1000, 'z')));
  volume::Put compressed;
  compressed.needle = {.cookie = Cookie(1), .id = NeedleId(5), .data = bytes_of(zipped), .flags = volume::kFlagCompressed};
  const auto outcome = wait_for<volume::Put::Outcome>([&](auto done) {
    compressed.done = std::move(done);
    node.volume()->put(std::move(compressed), true);
  });
  ASSERT_TRUE(outcome.ok()) << outcome.error().what();
  pb::ReadAllNeedlesRequest request;
  request.add_volume_ids(7);
  grpc::ClientContext context;
  auto stream = node.stub->ReadAllNeedles(&context, request);
  std::map<std::uint64_t, pb::ReadAllNeedlesResponse> needles;
  pb::ReadAllNeedlesResponse response;
  while (stream->Read(&response)) needles[response.needle_id()] = response;
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_EQ(needles.size(), 4u);
  EXPECT_TRUE(needles[5].needle_blob_compressed());
  EXPECT_EQ(needles[5].needle_blob(), zipped);
  EXPECT_EQ(needles[5].crc(), volume::legacy_crc(crc32c(bytes_of(zipped))));
  for (const auto key : {1, 2, 4}) EXPECT_FALSE(needles[key].needle_blob_compressed()) << key;
}

TEST(NeedleBlob, GoesFromOneServerToAnother) {
  Node source;
  Node target;
  fill(source);
  ASSERT_TRUE(target.store().allocate({.id = VolumeId(7)}).ok());
  const auto slot = *source.volume()->find(NeedleId(1));
  pb::ReadNeedleBlobRequest read;
  read.set_volume_id(7);
  read.set_offset(slot.offset * 8);
  read.set_size(slot.size);
  pb::ReadNeedleBlobResponse blob;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(source.stub->ReadNeedleBlob(&context, read, &blob).ok());
  }
  EXPECT_EQ(blob.needle_blob(), source.content("pics_7.dat").substr(slot.offset * 8, volume::record_bytes(slot.size, volume::Version::v3)));
  pb::WriteNeedleBlobRequest write;
  write.set_volume_id(7);
  write.set_needle_id(1);
  write.set_size(slot.size);
  write.set_needle_blob(blob.needle_blob());
  pb::WriteNeedleBlobResponse written;
  const auto send = [&](const pb::WriteNeedleBlobRequest& request) {
    grpc::ClientContext context;
    return target.stub->WriteNeedleBlob(&context, request, &written);
  };
  EXPECT_TRUE(send(write).ok());
  EXPECT_EQ(get(*target.volume(), 1), "one");
  EXPECT_GT(target.volume()->last_append_at_ns(), source.volume()->last_append_at_ns());
  auto wrong = write;
  wrong.set_size(slot.size + 1);
  EXPECT_FALSE(send(wrong).ok());
  wrong = write;
  wrong.set_needle_id(2);
  EXPECT_FALSE(send(wrong).ok());
  wrong = write;
  wrong.mutable_needle_blob()->at(22) ^= 1;
  EXPECT_FALSE(send(wrong).ok());
  wrong.set_needle_blob("short");
  EXPECT_FALSE(send(wrong).ok());
  ASSERT_TRUE(target.volume()->mark_read_only(false).ok());
  EXPECT_EQ(send(write).error_message(), "volume 7 is read only");
  // Places that are none.
  for (const auto& [offset, size] : {std::pair<std::int64_t, int>{-8, 5}, {1 << 30, 5}, {8, INT32_MAX}, {8, -5}}) {
    read.set_offset(offset);
    read.set_size(size);
    grpc::ClientContext context;
    EXPECT_FALSE(source.stub->ReadNeedleBlob(&context, read, &blob).ok()) << offset << " " << size;
  }
}

TEST(NeedleMeta, IsToldByPlaceAndByKey) {
  Node node;
  fill(node);
  const auto slot = *node.volume()->find(NeedleId(1));
  pb::ReadNeedleMetaRequest by_place;
  by_place.set_volume_id(7);
  by_place.set_needle_id(1);
  by_place.set_offset(slot.offset * 8);
  by_place.set_size(slot.size);
  pb::ReadNeedleMetaResponse meta;
  grpc::ClientContext context;
  ASSERT_TRUE(node.stub->ReadNeedleMeta(&context, by_place, &meta).ok());
  EXPECT_EQ(meta.cookie(), 0xc00c1eu);
  EXPECT_EQ(meta.last_modified(), 1700000000u);
  EXPECT_EQ(meta.crc(), volume::legacy_crc(crc32c(bytes_of("one"))));
  EXPECT_GT(meta.append_at_ns(), 0u);
  pb::VolumeNeedleStatusRequest by_key;
  by_key.set_volume_id(7);
  by_key.set_needle_id(1);
  pb::VolumeNeedleStatusResponse status;
  grpc::ClientContext second;
  ASSERT_TRUE(node.stub->VolumeNeedleStatus(&second, by_key, &status).ok());
  EXPECT_EQ(status.size(), static_cast<std::uint32_t>(slot.size));
  EXPECT_EQ(status.crc(), meta.crc());
  by_key.set_needle_id(3);  // deleted
  grpc::ClientContext third;
  EXPECT_FALSE(node.stub->VolumeNeedleStatus(&third, by_key, &status).ok());
}

pb::ReceiveFileResponse send_file(Node& node, const std::vector<pb::ReceiveFileRequest>& requests) {
  grpc::ClientContext context;
  pb::ReceiveFileResponse response;
  auto stream = node.stub->ReceiveFile(&context, &response);
  for (const auto& request : requests) stream->Write(request);
  stream->WritesDone();
  const auto status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

pb::ReceiveFileRequest info_of(std::uint32_t id, const std::string& ext, std::uint64_t bytes, bool is_ec = true) {
  pb::ReceiveFileRequest request;
  auto* info = request.mutable_info();
  info->set_volume_id(id);
  info->set_ext(ext);
  info->set_collection("pics");
  info->set_is_ec_volume(is_ec);
  info->set_file_size(bytes);
  return request;
}

pb::ReceiveFileRequest content_of(const std::string& bytes) {
  pb::ReceiveFileRequest request;
  request.set_file_content(bytes);
  return request;
}

TEST(ReceiveFile, TakesAShardAndTellsTroublesInItsAnswer) {
  Node node;
  const auto taken = send_file(node, {info_of(9, ".ec03", 6), content_of("sha"), content_of("rd!")});
  EXPECT_EQ(taken.error(), "");
  EXPECT_EQ(taken.bytes_written(), 6u);
  EXPECT_EQ(node.content("pics_9.ec03"), "shard!");
  EXPECT_NE(send_file(node, {content_of("x")}).error(), "");
  EXPECT_NE(send_file(node, {}).error(), "");
  EXPECT_NE(send_file(node, {info_of(9, ".ec04", 6), content_of("sha")}).error(), "");
  EXPECT_NE(send_file(node, {info_of(9, ".ec04", 2), content_of("sha")}).error(), "");
  EXPECT_NE(send_file(node, {info_of(9, "/../x", 3), content_of("sha")}).error(), "");
  EXPECT_FALSE(node.has("pics_9.ec04"));
  EXPECT_FALSE(node.has("pics_9.ec04.tmp"));
  fill(node);
  const auto before = node.content("pics_7.dat");
  EXPECT_NE(send_file(node, {info_of(7, ".dat", 3, false), content_of("xyz")}).error(), "");
  EXPECT_EQ(node.content("pics_7.dat"), before);
  auto staged = info_of(8, ".dat", 3, false);
  EXPECT_NE(send_file(node, {staged, content_of("xyz")}).error(), "");  // no such volume
  staged.mutable_info()->set_disk_type("hdd");
  EXPECT_EQ(send_file(node, {staged, content_of("xyz")}).error(), "");
  EXPECT_EQ(node.content("pics_8.dat.copying"), "xyz");
}

TEST(VolumeConsolidateIndex, IsForVolumesThatAreHere) {
  Node node;
  fill(node);
  const auto consolidate = [&](std::uint32_t id) {
    pb::VolumeConsolidateIndexRequest request;
    request.set_volume_id(id);
    pb::VolumeConsolidateIndexResponse response;
    grpc::ClientContext context;
    return node.stub->VolumeConsolidateIndex(&context, request, &response);
  };
  const auto before = node.content("pics_7.idx");
  EXPECT_TRUE(consolidate(7).ok());
  EXPECT_EQ(node.content("pics_7.idx"), before);  // every change is a row of it at once
  const auto missing = consolidate(9);
  EXPECT_EQ(missing.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(missing.error_message(), "not found volume id 9");
}

TEST(ScrubVolume, FindsWhatRotted) {
  Node node;
  fill(node);
  const auto scrub = [&](pb::VolumeScrubMode mode, bool mark = false) {
    pb::ScrubVolumeRequest request;
    request.set_mode(mode);
    request.set_mark_broken_volumes_readonly(mark);
    grpc::ClientContext context;
    pb::ScrubVolumeResponse response;
    const auto status = node.stub->ScrubVolume(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  };
  EXPECT_EQ(scrub(pb::FULL).broken_volume_ids_size(), 0);
  EXPECT_EQ(scrub(pb::FULL).total_files(), 3u);
  EXPECT_EQ(scrub(pb::INDEX).total_files(), 5u);
  {
    auto file = io::posix::system_disk().open(node.folder + "/pics_7.dat", {.write = true});
    ASSERT_TRUE((*file)->write(1000, bytes_of("?")).ok());
  }
  EXPECT_EQ(scrub(pb::INDEX).broken_volume_ids_size(), 0);
  EXPECT_FALSE(node.volume()->is_read_only());
  const auto broken = scrub(pb::FULL, true);
  ASSERT_EQ(broken.broken_volume_ids_size(), 1);
  EXPECT_EQ(broken.broken_volume_ids(0), 7u);
  ASSERT_EQ(broken.details_size(), 1);
  EXPECT_NE(broken.details(0).find("needle 2 "), std::string::npos) << broken.details(0);
  EXPECT_TRUE(node.volume()->is_read_only());
  pb::ScrubVolumeRequest request;
  grpc::ClientContext context;
  pb::ScrubVolumeResponse response;
  EXPECT_FALSE(node.stub->ScrubVolume(&context, request, &response).ok());  // no mode
}

TEST(VolumeConfigure, ChangesTheReplicationAtOnceAndForGood) {
  Node node;
  fill(node);
  pb::VolumeConfigureRequest request;
  request.set_volume_id(7);
  request.set_replication("001");
  const auto configure = [&] {
    grpc::ClientContext context;
    pb::VolumeConfigureResponse response;
    EXPECT_TRUE(node.stub->VolumeConfigure(&context, request, &response).ok());
    return response.error();
  };
  EXPECT_EQ(configure(), "");
  EXPECT_EQ(text(node.volume()->replica_placement()), "001");
  node.stop();
  node.start();
  EXPECT_EQ(text(node.volume()->replica_placement()), "001");
  request.set_replication("zzz");
  EXPECT_NE(configure(), "");
  request.set_replication("000");
  request.set_volume_id(8);
  EXPECT_NE(configure(), "");
}

TEST(State, IsKeptAndKeepsChangesOut) {
  Node source;
  Node node;
  fill(source);
  const auto set = [&](bool maintenance, std::uint32_t version, pb::SetStateResponse* response) {
    pb::SetStateRequest request;
    request.mutable_state()->set_maintenance(maintenance);
    request.mutable_state()->set_version(version);
    grpc::ClientContext context;
    return node.stub->SetState(&context, request, response);
  };
  pb::SetStateResponse response;
  ASSERT_TRUE(set(true, 0, &response).ok());
  EXPECT_TRUE(response.state().maintenance());
  EXPECT_EQ(response.state().version(), 1u);
  EXPECT_NE(set(false, 0, &response).error_message().find("version mismatch"), std::string::npos);
  EXPECT_NE(copy_volume(node, source.address()).status.error_message().find("maintenance mode"), std::string::npos);
  node.stop();
  node.start();
  {
    grpc::ClientContext context;
    pb::GetStateResponse state;
    ASSERT_TRUE(node.stub->GetState(&context, {}, &state).ok());
    EXPECT_TRUE(state.state().maintenance());
  }
  ASSERT_TRUE(set(false, 1, &response).ok());
  EXPECT_TRUE(copy_volume(node, source.address()).status.ok());
}

TEST(BlockingCalls, AServerThatStopsEndsATailThatWouldLastForEver) {
  Node node;
  fill(node);
  pb::VolumeTailSenderRequest request;
  request.set_volume_id(7);
  grpc::ClientContext context;
  auto stream = node.stub->VolumeTailSender(&context, request);
  pb::VolumeTailSenderResponse response;
  ASSERT_TRUE(stream->Read(&response));
  const auto begun = std::chrono::steady_clock::now();
  node.server->stop();
  while (stream->Read(&response)) {
  }
  EXPECT_FALSE(stream->Finish().ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
}

}  // namespace
}  // namespace holdfast::front
