// Vacuums on a simulated disk: a crash before every single operation of the disk, an error of each of them, full disks,
// while files are written, overwritten and deleted.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <set>

#include "io/sim/clock.h"
#include "io/sim/disk.h"
#include "io/sim/random.h"
#include "storage/volume/vacuums.h"

namespace holdfast::volume {
namespace {

constexpr Cookie kCookie(0xc0ffee);
constexpr VolumeId kId(7);
constexpr std::uint64_t kKeys = 24;

// What may be read of a key: its state at the last sync, any later one, and that of an operation not yet answered.
struct History {
  std::string synced = "<gone>";
  std::vector<std::string> later;  // acknowledged, in order
  std::vector<std::string> under_way;
  std::vector<std::string> unknown;  // of writes that failed, until a later one succeeds

  const std::string& newest() const { return later.empty() ? synced : later.back(); }
  bool is_under_way(const std::string& state) const {
    return std::find(under_way.begin(), under_way.end(), state) != under_way.end() ||
           std::find(unknown.begin(), unknown.end(), state) != unknown.end();
  }
  bool after_power_loss(const std::string& state) const {
    return state == synced || std::find(later.begin(), later.end(), state) != later.end() || is_under_way(state);
  }
  bool after_kill(const std::string& state) const { return state == newest() || is_under_way(state); }
};
using Histories = std::map<std::uint64_t, History>;

// A store with one volume, over `disk`.
class Node {
 public:
  Node(io::sim::SimDisk& disk, bool two_folders, std::uint64_t seed) : disk_(disk), random_(seed) {
    auto opened = Store::open({disk, clock_, pool_}, random_,
                              {{.path = "/d", .index_path = two_folders ? "/i" : "", .min_free_percent = 0}});
    if (!opened) {
      error_ = opened.error().what();
      return;
    }
    store = std::move(*opened);
    vacuums = std::make_unique<Vacuums>(clock_, *store);
  }
  ~Node() {
    vacuums.reset();
    store.reset();
  }
  const std::string& error() const { return error_; }

  void make_volume(Ttl ttl = {}) {
    auto made = store->allocate({.id = kId, .collection = "", .disk_type = "", .creation = {.ttl = ttl}});
    ASSERT_TRUE(made.ok()) << made.error().what();
  }
  std::shared_ptr<Volume> volume() const { return store->find(kId); }

  // The data, "<gone>", or "<error>".
  std::string read(std::uint64_t key) const {
    const auto here = volume();
    if (!here) return "<no volume>";
    auto found = here->read(NeedleId(key), kCookie, {});
    if (!found) return found.error().code() == Code::not_found ? "<gone>" : "<error>";
    if (!found->body) return std::string(text_of(found->needle.data));
    std::string out(found->body->size(), '\0');
    const auto got = found->body->read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    return got.ok() ? out : "<error>";
  }

  io::sim::ManualClock& clock() { return clock_; }
  io::sim::SimDisk& disk() { return disk_; }

  std::unique_ptr<Store> store;
  std::unique_ptr<Vacuums> vacuums;

 private:
  io::sim::SimDisk& disk_;
  io::sim::ManualClock clock_;
  io::sim::SeededRandom random_;
  WorkPool pool_{0};  // everything runs on the test's thread
  std::string error_;
};

// Writes and deletes at random, and knows what may be read.
class Client {
 public:
  explicit Client(std::uint64_t seed) : random_(seed) {}

  void act(Node& node) {
    const auto key = random_() % kKeys;
    const auto what = random_() % 20;
    if (what < 5) return remove(node, key);
    // Empty files have keys of their own, written once: in a .dat whose rows were lost, a file overwritten by an empty
    // one looks like a deletion (spec/volume-format 4), with a vacuum or without.
    if (what < 7) return put(node, kKeys + empties_++, 0);
    if (what < 8 && empties_ > 0) return remove(node, kKeys + random_() % empties_);
    put(node, key, random_() % 150 == 0 ? 300'000 + random_() % 100'000 : 1 + random_() % 1200);
  }
  void act(Node& node, int times) {
    for (int i = 0; i < times; i++) act(node);
  }

  void put(Node& node, std::uint64_t key, std::uint64_t size) {
    const auto& data = data_.emplace_back(size == 0 ? "" : std::to_string(random_()) + std::string(size, 'x'));
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = kCookie;
    put.needle.data = bytes_of(data);
    put.needle.flags = kFlagName | kFlagLastModified;
    put.needle.name = "name";
    put.needle.last_modified = 1;
    put.fsync = random_() % 5 == 0;
    begin(key, data);
    put.done = [this, key, &data, fsync = put.fsync](const Result<Put::Outcome>& r) {
      end(key, data, r.ok() ? Status() : r.error(), fsync);
    };
    node.volume()->put(std::move(put), true);
  }
  void remove(Node& node, std::uint64_t key) {
    const bool fsync = random_() % 5 == 0;
    begin(key, "<gone>");
    node.volume()->remove({.id = NeedleId(key), .cookie = kCookie, .fsync = fsync,
                           .done = [this, key, fsync](const Result<std::int32_t>& r) {
                             end(key, "<gone>", r.ok() ? Status() : r.error(), fsync);
                           }},
                          true);
  }

  std::uint64_t random() { return random_(); }
  const Histories& files() const { return files_; }

 private:
  void begin(std::uint64_t key, const std::string& state) { files_[key].under_way.push_back(state); }
  void end(std::uint64_t key, const std::string& state, const Status& status, bool fsync) {
    auto& file = files_[key];
    file.under_way.erase(std::find(file.under_way.begin(), file.under_way.end(), state));
    if (!status) {
      // What was not there, and what came to a volume that takes no writes, has surely changed nothing.
      const auto code = status.error().code();
      if (code != Code::not_found && code != Code::read_only) file.unknown.push_back(state);
      return;
    }
    file.unknown.clear();
    file.later.push_back(state);
    if (!fsync) return;
    for (auto& [k, f] : files_) {
      if (f.later.empty()) continue;
      f.synced = f.later.back();
      f.later.clear();
    }
  }

  std::mt19937_64 random_;
  std::deque<std::string> data_;
  std::uint64_t empties_ = 0;
  Histories files_;
};

void check_after_kill(const Node& node, const Histories& files, const std::string& where) {
  ASSERT_EQ(node.error(), "") << where;
  ASSERT_TRUE(node.volume()) << where;
  ASSERT_FALSE(node.volume()->is_read_only()) << where << ": " << node.volume()->read_only_reason();
  for (const auto& [key, file] : files) {
    const auto state = node.read(key);
    ASSERT_TRUE(file.after_kill(state)) << where << ": key " << key << " is " << state.substr(0, 30) << ", not "
                                        << file.newest().substr(0, 30);
  }
}

void check_after_power_loss(const Node& node, const Histories& files, const std::string& where) {
  ASSERT_EQ(node.error(), "") << where;
  ASSERT_TRUE(node.volume()) << where;
  ASSERT_FALSE(node.volume()->is_read_only()) << where << ": " << node.volume()->read_only_reason();
  for (const auto& [key, file] : files) {
    const auto state = node.read(key);
    // As without a vacuum, an unsynced overwrite may have lost its data but not its row.
    const auto slot = node.volume()->find(NeedleId(key));
    const bool torn = state == "<error>" || (state == "<gone>" && slot && slot->is_live());
    const bool unsynced = !file.later.empty() || !file.under_way.empty() || !file.unknown.empty();
    ASSERT_TRUE(file.after_power_loss(state) || (torn && unsynced))
        << where << ": key " << key << " is " << state.substr(0, 30) << ", not " << file.synced.substr(0, 30);
  }
}

// No file of a vacuum may be left.
void check_clean(io::sim::SimDisk& disk, const std::string& where) {
  for (const auto* folder : {"/d", "/i"}) {
    const auto names = disk.list(folder);
    for (const auto& name : *names) {
      ASSERT_FALSE(name.ends_with(".cpd") || name.ends_with(".cpx") || name.ends_with(".cpc")) << where << ": " << name;
    }
  }
}

std::unique_ptr<io::sim::SimDisk> make_disk(std::uint64_t seed) {
  auto disk = std::make_unique<io::sim::SimDisk>(seed);
  for (const auto* folder : {"/d", "/i"}) EXPECT_TRUE(disk->make_folder(folder).ok());
  EXPECT_TRUE(disk->sync_dir("/").ok());
  return disk;
}

Compaction::Options with_writes(Node& node, Client& client) {
  Compaction::Options options;
  options.go_on = [&](std::uint64_t) {
    if (client.random() % 3 == 0) client.act(node);
    return true;
  };
  return options;
}

class VacuumOnAFaultyDisk : public testing::TestWithParam<bool> {};  // with an index folder of its own
INSTANTIATE_TEST_SUITE_P(Folders, VacuumOnAFaultyDisk, testing::Bool(),
                         [](const auto& info) { return info.param ? "Two" : "One"; });

TEST_P(VacuumOnAFaultyDisk, ACrashBeforeAnyOperationLosesNothing) {
  int crashes = 0;
  for (std::uint64_t seed = 1; seed <= 4; seed++) {
    const auto disk = make_disk(seed);
    Node node(*disk, GetParam(), seed);
    node.make_volume();
    Client client(seed);
    client.act(node, 60);
    bool inside = false;
    std::uint64_t every = 1;
    disk->before_operations([&](std::uint64_t operation, const std::string& what) -> Status {
      if (inside || operation % every != 0 || testing::Test::HasFatalFailure()) return {};
      inside = true;
      const auto where = "seed " + std::to_string(seed) + ", before operation " + std::to_string(operation) + ", " + what;
      for (const bool power_loss : {false, true}) {
        const auto future = disk->clone(seed * 1'000'000 + operation);
        power_loss ? future->crash() : future->kill_process();
        if (client.random() % 4 == 0) {  // and a second one while the first is mended
          future->fail_at(client.random() % 12);
          Node again(*future, GetParam(), seed);
          again.vacuums.reset();
          again.store.reset();
          power_loss ? future->crash() : future->kill_process();
        }
        Node reopened(*future, GetParam(), seed);
        power_loss ? check_after_power_loss(reopened, client.files(), where)
                   : check_after_kill(reopened, client.files(), where);
        check_clean(*future, where);
        crashes++;
      }
      // Writes that come while the volume's writer is held: they wait, and go to the new volume.
      if (what.ends_with(".cpc")) client.act(node, 2);
      inside = false;
      return {};
    });
    ASSERT_TRUE(node.vacuums->compact(kId, with_writes(node, client)).ok());
    every = 50;
    client.act(node, static_cast<int>(seed % 2) * 350);  // more than kTailRowsMax
    every = 1;
    const auto revision = node.volume()->info().compact_revision;
    const auto committed = node.vacuums->commit(kId);
    ASSERT_TRUE(committed.ok()) << committed.error().what();
    EXPECT_EQ(node.volume()->info().compact_revision, revision + 1);
    client.act(node, 10);
    disk->before_operations({});
    if (testing::Test::HasFatalFailure()) return;
    check_clean(*disk, "at the end");
    check_after_kill(node, client.files(), "at the end");
    // Nothing is under way any more.
    for (const auto& [key, file] : client.files()) EXPECT_EQ(node.read(key), file.newest());
  }
  EXPECT_GT(crashes, 500);
}

// The whole vacuum with one operation of the disk that fails. Then either it has taken place or nothing has changed,
// and what was answered is there, now and after the next start.
TEST_P(VacuumOnAFaultyDisk, AnErrorOfAnyOperationLosesNothing) {
  int failed = 0;
  int done = 0;
  for (std::uint64_t wrong = 0;; wrong++) {
    const auto disk = make_disk(5);
    Node node(*disk, GetParam(), 5);
    node.make_volume();
    Client client(5);
    client.act(node, 50);
    bool met = false;
    const auto first = disk->operations();
    disk->before_operations([&](std::uint64_t operation, const std::string& what) -> Status {
      if (operation != first + wrong) return {};
      met = true;
      return Error(Code::io, what + ": EIO (simulated once)");
    });
    const auto before = node.volume();
    const auto compacted = node.vacuums->compact(kId, with_writes(node, client));
    bool committed = false;
    if (compacted) {
      client.act(node, 5);
      committed = node.vacuums->commit(kId).ok();
    }
    const auto where = "operation " + std::to_string(wrong);
    EXPECT_EQ(committed, node.volume() != before) << where;
    (committed ? done : failed)++;
    client.act(node, 5);
    for (const auto& [key, file] : client.files()) {
      EXPECT_TRUE(file.after_kill(node.read(key))) << where << ": key " << key;
    }
    disk->before_operations({});
    node.vacuums.reset();
    const auto future = disk->clone(wrong);
    future->kill_process();
    {
      Node reopened(*future, GetParam(), 5);
      check_after_kill(reopened, client.files(), where);
      check_clean(*future, where);
      // And a vacuum succeeds then.
      ASSERT_TRUE(reopened.vacuums->compact(kId, {}).ok()) << where;
      ASSERT_TRUE(reopened.vacuums->commit(kId).ok()) << where;
      check_after_kill(reopened, client.files(), where);
    }
    if (testing::Test::HasFatalFailure()) return;
    if (!met) break;  // that was all of them
  }
  EXPECT_GT(failed, 10);
  EXPECT_GT(done, 1);
}

// Every operation from some point on fails, then the power goes.
TEST_P(VacuumOnAFaultyDisk, ADiskThatDiesLosesNothingThatWasSynced) {
  for (std::uint64_t seed = 1; seed <= 2; seed++) {
    for (std::uint64_t dies = 0;; dies++) {
      const auto disk = make_disk(seed + dies * 100);
      auto node = std::make_unique<Node>(*disk, GetParam(), seed);
      node->make_volume();
      Client client(seed);
      client.act(*node, 50);
      const auto first = disk->operations();
      disk->fail_at(dies);
      if (node->vacuums->compact(kId, with_writes(*node, client)).ok()) (void)node->vacuums->commit(kId);
      client.act(*node, 5);
      const bool lived = disk->operations() < first + dies;
      node.reset();
      disk->crash();
      const auto where = "seed " + std::to_string(seed) + ", dead from operation " + std::to_string(dies);
      Node reopened(*disk, GetParam(), seed);
      check_after_power_loss(reopened, client.files(), where);
      check_clean(*disk, where);
      if (testing::Test::HasFatalFailure()) return;
      if (lived) break;
    }
  }
}

TEST_P(VacuumOnAFaultyDisk, AFullDiskIsSaidBeforeAnythingIsWritten) {
  const auto disk = make_disk(3);
  Node node(*disk, GetParam(), 3);
  node.make_volume();
  Client client(3);
  client.act(node, 50);
  const auto needed = node.volume()->dat_bytes() + node.volume()->idx_bytes();
  disk->set_faults({.capacity = disk->used() + needed - 1});
  const auto refused = node.vacuums->compact(kId, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::no_space);
  EXPECT_NE(refused.error().what().find("not enough free space"), std::string::npos) << refused.error().what();
  check_clean(*disk, "refused");
  disk->set_faults({.capacity = disk->used() + needed});
  EXPECT_TRUE(node.vacuums->compact(kId, {}).ok());
  EXPECT_TRUE(node.vacuums->commit(kId).ok());
  check_after_kill(node, client.files(), "with room");
}

TEST_P(VacuumOnAFaultyDisk, ADiskThatFillsUpEndsIt) {
  const auto disk = make_disk(3);
  Node node(*disk, GetParam(), 3);
  node.make_volume();
  Client client(3);
  client.act(node, 50);
  const auto refused = node.vacuums->compact(kId, {.go_on = [&](std::uint64_t) {
    disk->set_faults({.capacity = disk->used() + 100});
    return true;
  }});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::no_space) << refused.error().what();
  disk->set_faults({});
  check_clean(*disk, "full");
  check_after_kill(node, client.files(), "full");
  EXPECT_FALSE(node.vacuums->commit(kId).ok());
}

// Two data folders with one index folder: a start must not take the files of the other folder's vacuum for its own.
TEST(VacuumOfSeveralFolders, AVacuumIsFinishedInItsOwnFolder) {
  io::sim::SimDisk disk(1);
  for (const auto* folder : {"/a", "/b", "/i"}) ASSERT_TRUE(disk.make_folder(folder).ok());
  io::sim::ManualClock clock;
  io::sim::SeededRandom random(1);
  WorkPool pool(0);
  const Surroundings around{disk, clock, pool};
  const std::vector<FolderOptions> folders{{.path = "/a", .index_path = "/i", .min_free_percent = 0},
                                           {.path = "/b", .index_path = "/i", .min_free_percent = 0}};
  const VolumePlace place{.id = VolumeId(8), .data_folder = "/b", .index_folder = "/i"};
  {
    auto volume = Volume::create(around, place, {});
    ASSERT_TRUE(volume.ok());
    const std::string data = "eight";
    Put put;
    put.needle.id = NeedleId(1);
    put.needle.cookie = kCookie;
    put.needle.data = bytes_of(data);
    put.done = [](const Result<Put::Outcome>& r) { EXPECT_TRUE(r.ok()); };
    (*volume)->put(std::move(put), true);
    auto compaction = Compaction::make(*volume, {});
    ASSERT_TRUE(compaction.ok()) << compaction.error().what();
    // The power goes as soon as the marker is there.
    disk.before_operations([&](std::uint64_t, const std::string& what) -> Status {
      if (what.starts_with("rename")) return Error(Code::io, "gone");
      return {};
    });
    EXPECT_TRUE((*compaction)->commit([](const auto&) {}).ok());
  }
  ASSERT_TRUE(disk.info("/b/8.cpc").ok());
  ASSERT_TRUE(disk.info("/i/8.cpx").ok());
  disk.before_operations({});
  disk.crash();
  auto store = Store::open(around, random, folders);
  ASSERT_TRUE(store.ok()) << store.error().what();
  const auto volume = (*store)->find(VolumeId(8));
  ASSERT_TRUE(volume);
  EXPECT_EQ(volume->info().compact_revision, 1);
  EXPECT_FALSE(disk.info("/i/8.cpx").ok());
  const auto found = volume->read(NeedleId(1), kCookie, {});
  ASSERT_TRUE(found.ok()) << found.error().what();
  EXPECT_EQ(text_of(found->needle.data), "eight");
}

}  // namespace
}  // namespace holdfast::volume
