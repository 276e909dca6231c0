#include "core/topology/topology.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace holdfast::topology {
namespace {

constexpr std::uint64_t kLimit = 1000;

RegistryState registry(std::uint64_t next_key = 1'000'000, std::uint32_t max_volume = 1000) {
  RegistryState state;
  state.cluster_id = ClusterId(Uuid{1, 1});
  state.next_key = NeedleId(next_key);
  state.max_volume_id = VolumeId(max_volume);
  DirSet dirs;
  for (std::uint64_t n = 0; n < 10; ++n) dirs.insert(Uuid{6, n});
  state.dirs = std::make_shared<const DirSet>(dirs);
  return state;
}

Report report(std::uint64_t n, std::vector<VolumeInfo> volumes = {}) {
  Report r;
  r.ip = "10.0.0." + std::to_string(n);
  r.port = 8080;
  r.max_volume_counts[""] = 10;
  r.full = true;
  r.volumes = std::move(volumes);
  r.process = Uuid{5, n};
  r.pulse = 250ms;
  r.location_uuids = {text(Uuid{6, n})};
  return r;
}
VolumeInfo volume(std::uint32_t id, std::uint64_t size = 8, const std::string& replication = "000") {
  VolumeInfo info;
  info.id = VolumeId(id);
  info.size = size;
  info.replica_placement = *ReplicaPlacement::parse(replication);
  return info;
}

class TopologyTest : public ::testing::Test {
 protected:
  TopologyTest() : topology({.volume_size_limit = kLimit}) { topology.set_registry(registry(), now); }

  Topology::Reported say(std::uint64_t session, const Report& r) { return topology.report(SessionId(session), r, now); }
  bool writable(std::uint32_t id) {
    for (const auto& count : topology.layout_counts()) {
      for (const VolumeId v : count.layout->volumes())
        if (v == VolumeId(id)) return true;
    }
    return false;
  }

  Instant now = at(1h);
  Topology topology;
};

TEST_F(TopologyTest, AVolumeNeedsAllItsCopies) {
  say(1, report(1, {volume(7, 8, "001")}));
  EXPECT_FALSE(writable(7));
  say(2, report(2, {volume(7, 8, "001")}));
  EXPECT_TRUE(writable(7));
  EXPECT_EQ(topology.index().find(VolumeId(7))->places.size(), 2u);
  say(3, report(3, {volume(7, 8, "001")}));  // one too many: someone copied it by hand
  EXPECT_FALSE(writable(7));
  topology.session_ended(SessionId(3), now);
  topology.sweep(now += 6s);
  say(1, Report{.pulse = 250ms});
  say(2, Report{.pulse = 250ms});
  EXPECT_TRUE(writable(7));
}

TEST_F(TopologyTest, AServerInMaintenanceTakesNoWritesAndNothingNew) {
  say(1, report(1, {volume(7)}));
  EXPECT_EQ(topology.growth_servers("").size(), 1u);
  say(1, Report{.in_maintenance = true, .pulse = 250ms});
  EXPECT_FALSE(writable(7));
  EXPECT_TRUE(topology.growth_servers("").empty());
  EXPECT_TRUE(topology.vacuum_candidates(VacuumAmong::all).empty());
  EXPECT_EQ(topology.index().find(VolumeId(7))->places.size(), 1u);  // it is read there all the same
  EXPECT_EQ(topology.server_status("10.0.0.1:8080", false, now)->state, "in maintenance");
  say(1, Report{.pulse = 250ms});  // says nothing of it: as before
  EXPECT_FALSE(writable(7));
  say(1, Report{.in_maintenance = false, .pulse = 250ms});
  EXPECT_TRUE(writable(7));
  EXPECT_EQ(topology.growth_servers("").size(), 1u);
}

TEST_F(TopologyTest, ADigestThatIsNotWhatIsKnownAsksForAllVolumes) {
  Report full = report(1, {volume(7), volume(8)});
  full.process.reset();  // upstream's
  full.digest = 0xa ^ 0xb;
  full.hashes = {{VolumeId(7), 0xa}, {VolumeId(8), 0xb}};
  EXPECT_FALSE(say(1, full).resend_full);
  Report change;
  change.changed = {volume(8, 100)};
  change.hashes = {{VolumeId(8), 0xc}};
  change.digest = 0xa ^ 0xc;
  EXPECT_FALSE(say(1, change).resend_full);
  EXPECT_FALSE(say(1, Report{.digest = 0xa ^ 0xc}).resend_full);  // nothing new
  EXPECT_TRUE(say(1, Report{.digest = 0xa ^ 0xd}).resend_full);   // a change was lost
  EXPECT_FALSE(say(1, Report{.removed = {VolumeId(8)}, .digest = 0xa}).resend_full);
  EXPECT_EQ(topology.index().find(VolumeId(8)), nullptr);
  topology.removed(VolumeId(7), "10.0.0.1:8080", now);  // which the server does not know of
  EXPECT_TRUE(say(1, Report{.digest = 0xa}).resend_full);
  full.digest = 0x1;  // the answer to being asked counts as it is: asking again would change nothing
  EXPECT_FALSE(say(1, full).resend_full);
  Report empty = report(1);
  empty.process.reset();
  empty.digest = 0;
  EXPECT_FALSE(say(1, empty).resend_full);
  EXPECT_FALSE(say(1, Report{.digest = 0}).resend_full);
}

TEST_F(TopologyTest, CopiesThatStandWrongAreNamed) {
  const auto in_rack = [](std::uint64_t n, const char* rack, const char* replication) {
    Report r = report(n, {volume(7, 8, replication)});
    r.rack = rack;
    return r;
  };
  const auto misplaced = [&] {
    std::vector<VolumeId> out;
    for (const auto& one : topology.misplaced_volumes()) out.push_back(one.volume);
    return out;
  };
  const std::vector<VolumeId> none, seven = {VolumeId(7)};
  say(1, in_rack(1, "r1", "010"));
  EXPECT_EQ(misplaced(), none);  // a copy is missing, but this one stands right
  say(2, in_rack(2, "r1", "010"));
  EXPECT_EQ(misplaced(), seven);
  say(2, in_rack(2, "r2", "010"));  // the server moved
  EXPECT_EQ(misplaced(), none);
  say(1, in_rack(1, "r1", "001"));  // the volume was given another replication
  say(2, in_rack(2, "r2", "001"));
  EXPECT_EQ(misplaced(), seven);
  say(2, report(2));
  EXPECT_EQ(misplaced(), none);
}

TEST_F(TopologyTest, AChangeToldInBetweenMovesNoServer) {
  // Upstream's volume servers name themselves in it, and leave out their gRPC port.
  Report first = report(1, {volume(7)});
  first.data_center = "dc1";
  first.rack = "r1";
  first.grpc_port = 7777;
  first.public_url = "pub:80";
  say(1, first);
  Report change;
  change.ip = first.ip;
  change.port = first.port;
  change.added = {volume(8)};
  say(1, change);
  const auto place = topology.index().find(VolumeId(8))->places.at(0);
  EXPECT_EQ(place.data_center, "dc1");
  EXPECT_EQ(place.rack, "r1");
  EXPECT_EQ(place.grpc_port, 7777u);
  EXPECT_EQ(place.public_url, "pub:80");
  say(1, report(1, {volume(7)}));  // a full list without a place: the default one
  EXPECT_EQ(topology.index().find(VolumeId(7))->places.at(0).data_center, kDefaultDataCenter);
}

TEST_F(TopologyTest, ServersOfASilentHostAreDoubtedUntilTheyAreHeardAgain) {
  say(1, report(1, {volume(7)}));
  now += 100ms;
  say(2, report(2, {volume(8)}));
  const auto doubted = [&](std::uint32_t id) { return topology.index().find(VolumeId(id))->doubted(); };
  topology.doubt("10.0.0.2");  // heard this very moment
  EXPECT_FALSE(doubted(7));
  EXPECT_TRUE(doubted(8));
  topology.doubt("10.0.0.1");
  EXPECT_TRUE(doubted(7));
  EXPECT_TRUE(writable(7));  // it may be all that there is
  say(1, Report{.pulse = 250ms});
  EXPECT_FALSE(doubted(7));
}

TEST_F(TopologyTest, ReadOnlyFullAndDisagreeingVolumesTakeNoWrites) {
  auto read_only = volume(1);
  read_only.read_only = true;
  say(1, report(1, {read_only, volume(2, kLimit), volume(3, kLimit - 1), volume(4, 8, "001")}));
  auto other = volume(4, 8, "001");
  other.collection = "x";
  say(2, report(2, {other}));
  EXPECT_FALSE(writable(1));
  EXPECT_FALSE(writable(2));
  EXPECT_TRUE(writable(3));
  EXPECT_FALSE(writable(4));
}

TEST_F(TopologyTest, AFullVolumeReturnsOnlyWhenItHasShrunkWellBelowTheLimit) {
  const auto size = [&](std::uint64_t bytes) {
    Report r;
    r.pulse = 250ms;
    r.changed = {volume(1, bytes)};
    say(1, r);
    return writable(1);
  };
  say(1, report(1, {volume(1)}));
  EXPECT_TRUE(size(950));
  EXPECT_EQ(topology.layout_counts()[0].crowded, 1u);
  EXPECT_FALSE(size(1000));
  EXPECT_FALSE(size(950));
  EXPECT_TRUE(size(900));
  EXPECT_EQ(topology.layout_counts()[0].crowded, 0u);
}

TEST_F(TopologyTest, AKeyOrAnIdAboveTheCountersKeepsAVolumeFromWritesUntilTheyAreRaised) {
  auto high = volume(1);
  high.max_key = NeedleId(1'000'000);
  say(1, report(1, {high, volume(1001), volume(3)}));
  EXPECT_FALSE(writable(1));
  EXPECT_FALSE(writable(1001));
  EXPECT_TRUE(writable(3));
  EXPECT_EQ(topology.uncovered_key(), NeedleId(1'000'000));
  EXPECT_EQ(topology.uncovered_volume_id(), VolumeId(1001));
  topology.set_registry(registry(1'000'001, 1001), now);
  EXPECT_TRUE(writable(1));
  EXPECT_TRUE(writable(1001));
  EXPECT_EQ(topology.uncovered_key(), NeedleId());
  EXPECT_EQ(topology.uncovered_volume_id(), VolumeId());
}

TEST_F(TopologyTest, UpstreamsServersTellOneLargestKeyForAll) {
  Report r = report(1, {volume(1)});
  r.process.reset();
  r.max_file_key = NeedleId(2'000'000);
  say(1, r);
  EXPECT_FALSE(writable(1));
  EXPECT_EQ(topology.uncovered_key(), NeedleId(2'000'000));
  topology.set_registry(registry(2'000'001), now);
  EXPECT_TRUE(writable(1));
}

TEST_F(TopologyTest, FoldersWaitForTheirAdoption) {
  Report r = report(1, {volume(1)});
  r.location_uuids.push_back(text(Uuid{66, 66}));
  r.volumes[0].max_key = NeedleId(77);
  r.volumes[0].disk_id = 1;
  EXPECT_TRUE(say(1, r).folders_pending);
  EXPECT_FALSE(writable(1));
  const auto pending = topology.pending_adoptions(10);
  ASSERT_EQ(pending.size(), 1u);
  EXPECT_TRUE(pending[0].has_volumes);
  EXPECT_EQ(pending[0].max_key, NeedleId(77));
  EXPECT_EQ(pending[0].max_volume_id, VolumeId(1));
  auto state = registry();
  auto dirs = *state.dirs;
  dirs.insert(Uuid{66, 66});
  state.dirs = std::make_shared<const DirSet>(dirs);
  topology.set_registry(state, now);
  EXPECT_TRUE(writable(1));
  EXPECT_TRUE(topology.pending_adoptions(10).empty());
}

// What lies in the folders that are ours already was given by us: it skips no keys when another folder comes.
TEST_F(TopologyTest, OnlyTheVolumesOfAFolderCountAtItsAdoption) {
  Report r = report(1, {volume(1), volume(2)});
  r.location_uuids.push_back(text(Uuid{66, 66}));
  r.volumes[0].max_key = NeedleId(900'000);  // disk 0: adopted
  r.volumes[1].max_key = NeedleId(77);
  r.volumes[1].disk_id = 1;
  r.cluster_id = registry().cluster_id;
  say(1, r);
  auto pending = topology.pending_adoptions(10);
  ASSERT_EQ(pending.size(), 1u);
  EXPECT_EQ(pending[0].max_key, NeedleId(77));
  EXPECT_EQ(pending[0].max_volume_id, VolumeId(2));

  // An empty folder beside a full one.
  Report other = report(2, {volume(3)});
  other.location_uuids.push_back(text(Uuid{67, 67}));
  other.volumes[0].max_key = NeedleId(900'000);
  other.cluster_id = registry().cluster_id;
  say(2, other);
  pending = topology.pending_adoptions(10);
  ASSERT_EQ(pending.size(), 2u);
  EXPECT_FALSE(pending[1].has_volumes);
  EXPECT_EQ(pending[1].max_key, NeedleId());

  // Servers of other builds do not say reliably what lies where: all they have counts.
  Report upstream = report(3, {volume(4)});
  upstream.process.reset();
  upstream.location_uuids.push_back(text(Uuid{68, 68}));
  upstream.max_file_key = NeedleId(5000);
  say(3, upstream);
  pending = topology.pending_adoptions(10);
  ASSERT_EQ(pending.size(), 3u);
  EXPECT_TRUE(pending[2].has_volumes);
  EXPECT_EQ(pending[2].max_key, NeedleId(5000));

  // It has obeyed masters that these do not know of: what they gave out counts as well.
  r.generation = Generation(2);
  say(1, r);
  EXPECT_EQ(topology.pending_adoptions(10)[0].max_key, NeedleId(900'000));
}

TEST_F(TopologyTest, AReconnectReplacesTheServerInPlaceWhicheverStreamEndsFirst) {
  say(1, report(1, {volume(1)}));
  EXPECT_TRUE(say(2, report(1, {volume(1)})).duplicated_uuids.empty());
  topology.session_ended(SessionId(1), now);  // late
  EXPECT_TRUE(writable(1));
  EXPECT_FALSE(say(2, Report{.pulse = 250ms}).displaced);
  EXPECT_EQ(topology.server_count(), 1u);
}

TEST_F(TopologyTest, AFolderMovesToAnotherAddressWhenItsFormerHolderIsGone) {
  say(1, report(1, {volume(1)}));
  Report moved = report(2, {volume(1)});
  moved.location_uuids = {text(Uuid{6, 1})};
  EXPECT_EQ(say(2, moved).duplicated_uuids.size(), 1u);
  topology.session_ended(SessionId(1), now);
  EXPECT_TRUE(say(3, moved).duplicated_uuids.empty());
  EXPECT_EQ(topology.server_count(), 1u);
  EXPECT_EQ(topology.index().find(VolumeId(1))->places[0].url, "10.0.0.2:8080");
}

TEST_F(TopologyTest, AServerThatIsGivenANameIsTheSameServer) {
  say(1, report(1, {volume(1)}));
  Report named = report(1, {volume(1)});
  named.id = " rack7-a ";
  say(2, named);
  EXPECT_EQ(topology.server_ids(), std::vector<std::string>{"rack7-a"});
  named.ip = "10.9.9.9";  // and keeps its name at another address
  say(3, named);
  EXPECT_EQ(topology.server_count(), 1u);
  EXPECT_EQ(topology.index().find(VolumeId(1))->places[0].url, "10.9.9.9:8080");
}

TEST_F(TopologyTest, AVolumeJustMadeSurvivesAReportThatWasUnderWay) {
  say(1, report(1));
  topology.allocated(volume(5), {"10.0.0.1:8080"}, now);
  EXPECT_TRUE(writable(5));
  say(1, report(1));
  EXPECT_TRUE(writable(5));
  say(1, Report{.pulse = 250ms});
  now += 11s;
  say(1, report(1));
  EXPECT_FALSE(topology.has_volume(VolumeId(5)));
}

TEST_F(TopologyTest, AServerThatLeavesIsNotWrittenToAndForgottenWithItsStream) {
  say(1, report(1, {volume(1)}));
  Report last = report(1);
  last.leaving = true;
  last.full = false;
  say(1, last);
  EXPECT_FALSE(writable(1));
  EXPECT_TRUE(topology.growth_servers("").empty());
  EXPECT_TRUE(topology.server_status("10.0.0.1:8080", false, now)->leaving);
  EXPECT_NE(topology.index().find(VolumeId(1)), nullptr);
  topology.session_ended(SessionId(1), now);
  EXPECT_EQ(topology.index().find(VolumeId(1)), nullptr);
}

TEST_F(TopologyTest, AServerWhoseMachineVanishedIsForgottenThoughItsStreamStaysOpen) {
  say(1, report(1, {volume(1)}));
  Report foreign = report(2, {volume(2)});
  foreign.process.reset();
  foreign.pulse.reset();
  say(2, foreign);
  topology.sweep(now += 14s);
  EXPECT_NE(topology.index().find(VolumeId(1)), nullptr);
  topology.sweep(now += 1s);
  EXPECT_EQ(topology.index().find(VolumeId(1)), nullptr);
  EXPECT_NE(topology.index().find(VolumeId(2)), nullptr);  // upstream's lives as long as its stream

  // It was only frozen: what it says on the old stream ends that one, and a new one begins with everything.
  EXPECT_TRUE(say(1, Report{.pulse = 250ms}).displaced);
  EXPECT_TRUE(say(1, report(1, {volume(1)})).displaced);
  topology.session_ended(SessionId(1), now);
  EXPECT_FALSE(say(3, report(1, {volume(1)})).displaced);
  EXPECT_TRUE(writable(1));
}

TEST_F(TopologyTest, SlotsAreCountedByDiskTypeWithEcShardsAndReservations) {
  Report r = report(1, {volume(1)});
  r.max_volume_counts["ssd"] = 4;
  r.ec_full = true;
  r.ec_shards = {{.id = VolumeId(3), .bits = 0x7ff}};
  auto on_ssd = volume(2);
  on_ssd.disk_type = "SSD";
  r.volumes.push_back(on_ssd);
  say(1, r);
  EXPECT_EQ(topology.growth_servers("")[0].free, 10 - 1 - 2);
  EXPECT_EQ(topology.growth_servers("ssd")[0].free, 3);
  EXPECT_EQ(topology.growth_servers("nvme")[0].free, 0);
  topology.reserve("10.0.0.1:8080", "ssd", 2);
  EXPECT_EQ(topology.growth_servers("ssd")[0].free, 1);
  topology.reserve("10.0.0.1:8080", "ssd", -2);
  EXPECT_EQ(topology.server_status("10.0.0.1:8080", false, now)->free, 10);
}

// Everything that is kept up to date change by change, against the same computed from scratch, over random reports,
// broken streams, silence, and registries.
class Model {
 public:
  explicit Model(std::uint64_t seed) : random_(seed), topology_({.volume_size_limit = kLimit}) {}

  void step() {
    const std::uint64_t n = 1 + random_() % 5;
    Server& server = servers_[n];
    switch (random_() % 10) {
      case 0:
        if (server.session != 0) topology_.session_ended(SessionId(server.session), now_);
        server.session = 0;
        break;
      case 1: now_ += Duration(random_() % 2'000'000'000); break;
      case 2:
        topology_.suspect(Uuid{5, n}, now_);
        if (!server.suspected) server.suspected_at = now_;
        server.suspected = true;
        break;
      case 6: {  // a sign of life, perhaps told late
        const Instant at = now_ - Duration(random_() % 2 * (random_() % 900'000'000));
        topology_.heard(SessionId(server.session), at);
        if (server.session == 0 || at <= server.heard || at <= server.suspected_at) break;
        server.heard = at;
        server.suspected = false;
        topology_.sweep(now_);
        break;
      }
      case 3:
        // Counters only rise.
        registry_ = registry(std::max(registry_.next_key.value(), random_() % 60),
                             std::max(registry_.max_volume_id.value(), static_cast<std::uint32_t>(random_() % 9)));
        topology_.set_registry(registry_, now_);
        break;
      case 4:
      case 5: {  // a new stream with a full list
        server.session = ++session_;
        server.volumes.clear();
        Report r = report(n);
        for (std::uint32_t id = 1; id <= 8; ++id) {
          if (random_() % 2 == 0) r.volumes.push_back(random_volume(id));
        }
        for (const auto& info : r.volumes) server.volumes[info.id.value()] = info;
        heard(server, r);
        break;
      }
      default: {
        if (server.session == 0) break;
        Report r;
        r.pulse = 250ms;
        for (std::uint64_t k = random_() % 3; k > 0; --k) {
          const VolumeInfo info = random_volume(1 + static_cast<std::uint32_t>(random_() % 8));
          const auto is_it = [&](const VolumeInfo& c) { return c.id == info.id; };
          if (std::any_of(r.changed.begin(), r.changed.end(), is_it)) continue;  // a report says one thing of a volume
          if (std::count(r.removed.begin(), r.removed.end(), info.id) > 0) continue;
          if (random_() % 3 == 0) {
            r.removed.push_back(info.id);
          } else {
            r.changed.push_back(info);
          }
        }
        for (const auto& info : r.changed) server.volumes[info.id.value()] = info;
        for (const VolumeId id : r.removed) server.volumes.erase(id.value());
        heard(server, r);
      }
    }
    topology_.sweep(now_);
    for (auto& [id, s] : servers_) {
      if (now_ - s.heard >= (s.session == 0 ? 5s : 15s)) s.volumes.clear(), s.known = false, s.session = 0;
    }
    check();
  }

 private:
  struct Server {
    std::uint64_t session = 0;
    Instant heard = kDistantPast;
    bool suspected = false;
    Instant suspected_at = kDistantPast;
    bool known = false;
    std::map<std::uint32_t, VolumeInfo> volumes;
  };

  VolumeInfo random_volume(std::uint32_t id) {
    VolumeInfo info = volume(id, random_() % (kLimit * 5 / 4), id % 2 == 0 ? "001" : "000");
    info.max_key = NeedleId(random_() % 60);
    info.read_only = random_() % 8 == 0;
    return info;
  }
  void heard(Server& server, const Report& r) {
    topology_.report(SessionId(server.session), r, now_);
    server.heard = now_;
    server.suspected = false;
    server.known = true;
  }

  void check() {
    std::set<std::uint32_t> writable, crowded_or_not;
    for (const auto& count : topology_.layout_counts()) {
      const auto volumes = count.layout->volumes();
      EXPECT_EQ(volumes.size(), count.writable);
      EXPECT_LE(count.crowded, count.writable);
      for (const VolumeId id : volumes) writable.insert(id.value());
    }
    std::map<std::string, std::set<std::uint32_t>> watched;
    for (std::uint32_t id = 1; id <= 8; ++id) {
      std::size_t replicas = 0, there = 0;
      std::uint64_t size = 0;
      bool good = VolumeId(id) <= registry_.max_volume_id;
      for (const auto& [n, server] : servers_) {
        const auto it = server.volumes.find(id);
        if (it == server.volumes.end()) continue;
        ++replicas;
        there += server.session != 0 ? 1 : 0;
        const VolumeInfo& info = it->second;
        good = good && server.session != 0 && !server.suspected && now_ - server.heard < 750ms && !info.read_only &&
               info.max_key < registry_.next_key && registry_.cluster_id != ClusterId();
        size = std::max(size, info.size);
      }
      if (replicas > 0) {
        if (size >= kLimit) full_.insert(id);
        if (size <= kLimit * 9 / 10) full_.erase(id);
      } else {
        full_.erase(id);
      }
      good = good && replicas == (id % 2 == 0 ? 2u : 1u) && !full_.contains(id);
      ASSERT_EQ(writable.contains(id), good) << "volume " << id;
      const auto found = topology_.index().find(VolumeId(id));
      ASSERT_EQ(found == nullptr ? 0 : found->places.size(), there > 0 ? there : replicas) << "volume " << id;
    }
    // What watchers were told adds up to what is there.
    for (const LocationEvent& event : topology_.take_events()) {
      for (const VolumeId id : event.added) EXPECT_TRUE(told_[event.url].insert(id.value()).second);
      for (const VolumeId id : event.removed) EXPECT_EQ(told_[event.url].erase(id.value()), 1u);
    }
    std::size_t silent = 0;
    for (const auto& [n, server] : servers_) {
      const std::string url = "10.0.0." + std::to_string(n) + ":8080";
      std::set<std::uint32_t> ids;
      for (const auto& [id, info] : server.volumes) ids.insert(id);
      ASSERT_EQ(told_[url], ids) << url;
      const auto status = topology_.server_status(url, true, now_);
      ASSERT_EQ(status.has_value(), server.known) << url;
      if (!status) continue;
      ASSERT_EQ(status->volumes, static_cast<std::int64_t>(ids.size()));
      ASSERT_EQ(status->free, 10 - static_cast<std::int64_t>(ids.size()));
      silent += server.session == 0 || server.suspected || now_ - server.heard >= 750ms ? 1 : 0;
    }
    ASSERT_EQ(topology_.silent_count(), silent);
  }

  std::mt19937_64 random_;
  Instant now_ = at(1h);
  Topology topology_;
  RegistryState registry_;
  std::map<std::uint64_t, Server> servers_;
  std::uint64_t session_ = 0;
  std::set<std::uint32_t> full_;
  std::map<std::string, std::set<std::uint32_t>> told_;
};

TEST(TopologyModel, WhatIsKeptStepByStepIsWhatFollowsFromTheReports) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Model model(seed);
    for (int i = 0; i < 300; ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      model.step();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace holdfast::topology
