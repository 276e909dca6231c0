// The planner beside a picture of a whole cluster that is drawn from a seed: servers of several racks and data centers come and go,
// fall silent, fill up, turn read-only, lose their disks; files are written and deleted by what lookups say; volumes are copied by hand,
// and old disks come back. What the planner orders is carried out, or breaks off halfway. After each turn nothing acknowledged may be
// missing, and in the end, when all is quiet, everything is as it was asked for and stays so.
//
// HEAL_SEEDS=5000 HEAL_SEED=1 to run more of them, from one on.
#include "core/topology/heal_planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

#include "core/topology/picture.h"
#include "core/topology/topology.h"

namespace holdfast::topology {
namespace {

constexpr Duration kGrace = 5min;
constexpr Duration kTurn = 1s;
constexpr std::size_t kServers = 10;
constexpr std::size_t kMakesMax = 4;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// What is said of a key: the number of the write, and whether it was a deletion. Later ones have larger numbers.
struct Word {
  std::uint64_t number = 0;
  bool is_deletion = false;
  friend bool operator==(const Word&, const Word&) = default;
};
using Words = std::map<std::uint64_t, Word>;

// A copy on a disk.
struct Copy {
  std::uint64_t epoch = 0;
  bool is_outdated = false;
  bool is_read_only = false;
  Words words;
};

// As service/volume/content.h: whether all words of `copy` are known to `other`.
bool is_covered(const Copy& copy, const Copy& other) {
  return std::all_of(copy.words.begin(), copy.words.end(), [&](const auto& one) {
    const auto there = other.words.find(one.first);
    if (there == other.words.end()) return one.second.is_deletion;
    return there->second == one.second || there->second.number > one.second.number || (one.second.is_deletion && there->second.is_deletion);
  });
}

struct Server {
  std::string id;
  std::string data_center, rack, host;
  std::int64_t slots = 0;
  bool is_ours = true;      // knows epochs
  bool is_up = true;
  bool is_there = true;     // its machine was not lost for good
  std::uint64_t session = 0;
  Instant down_since;
  std::map<VolumeId, Copy> copies;
};

class Cluster {
 public:
  explicit Cluster(std::uint64_t seed) : draw_(seed), random_(seed) {
    RegistryState state;
    state.cluster_id = ClusterId(Uuid{1, 1});
    state.next_key = NeedleId(1'000'000);
    state.max_volume_id = VolumeId(1000);
    DirSet dirs;
    for (std::uint64_t n = 0; n < kServers; ++n) dirs.insert(Uuid{6, n});
    state.dirs = std::make_shared<const DirSet>(dirs);
    registry_ = state;
    topology_.set_registry(registry_, now_);
    const auto racks = 1 + below(3), data_centers = 1 + below(3);
    for (std::size_t n = 0; n < kServers; ++n) {
      Server server;
      server.id = "10.0.0." + std::to_string(n) + ":8080";
      server.data_center = "d" + std::to_string(n % data_centers);
      server.rack = "r" + std::to_string(n / data_centers % racks);
      server.slots = 4 + static_cast<std::int64_t>(below(20));
      server.is_ours = !chance(3);
      servers_.push_back(server);
    }
    for (auto& server : servers_) come(server);
    for (std::uint32_t id = 1; id <= 6; ++id) grow(VolumeId(id));
    report_all();
  }

  // ---- what happens

  void turn() {
    happen();
    run_planner();
    now_ += kTurn;
    report_all();
    check();
  }

  // Everybody who still has a disk comes back and nothing happens but what the planner orders.
  void settle() {
    is_quiet_ = true;
    for (auto& server : servers_) {
      server.is_ours = true;
      server.slots = 60;
      for (auto& [id, copy] : server.copies) copy.is_read_only = false;
      if (server.is_there && !server.is_up) come(server);
    }
    // A server of the outside world, of another rack and data center each time, so that there is a place for everything.
    for (std::size_t n = 0; n < servers_.size(); ++n) {
      if (!servers_[n].is_there) {
        servers_[n].copies.clear();
        servers_[n].is_there = true;
        come(servers_[n]);
      }
    }
    report_all();
    const auto passed = [&](Duration time) {
      const auto end = now_ + time;
      while (now_ < end) {
        run_planner();
        now_ += 30 * kTurn;
        report_all();
        check();
      }
    };
    passed(6 * kCompareAgain);
    const auto before = shape();
    passed(3 * kCompareAgain);
    ASSERT_EQ(shape(), before) << "it does not come to rest";
    if (is_too_much_at_once(topology_.heal_view())) return;  // it waits for somebody to look at that
    for (const auto& [id, placement] : placements_) {
      const auto volume = topology_.heal_volume(id);
      if (!volume) continue;  // all its disks are gone
      const auto places = places_of(*volume);
      const bool can = can_be_whole_.contains(id);
      if (!can || !are_equal(*volume)) continue;
      if (volume->copies.size() != volume->wanted()) {
        // No place fits, or none can go: that is told.
        EXPECT_TRUE(planner_.troubles().contains(id)) << "volume " << text(id) << " has " << volume->copies.size() << " copies of "
                                                      << volume->wanted() << " and nobody says why";
        continue;
      }
      ++whole;
      const bool stands_well = largest_fitting(placement, places).size() == places.size();
      EXPECT_TRUE(stands_well || was_misplaced_.contains(id)) << "volume " << text(id) << " stands wrongly";
    }
  }

  std::map<std::string, std::size_t> done;  // what the planner had done, by kind
  std::size_t whole = 0;

 private:
  std::uint64_t below(std::uint64_t bound) { return draw_() % bound; }
  bool chance(std::uint64_t percent) { return below(100) < percent; }
  Server& any_server() { return servers_[below(servers_.size())]; }
  Server& server_of(const std::string& id) {
    return *std::find_if(servers_.begin(), servers_.end(), [&](const Server& s) { return s.id == id; });
  }
  std::size_t number_of(const Server& server) const { return static_cast<std::size_t>(&server - servers_.data()); }

  std::vector<Place> places_of(const HealVolume& volume) const {
    std::vector<Place> places;
    for (const auto& copy : volume.copies) places.push_back({copy.place.data_center, copy.place.rack, copy.place.id});
    return places;
  }
  bool are_equal(const HealVolume& volume) {
    const auto& first = server_of(volume.copies.front().place.id).copies.at(volume.id);
    return std::all_of(volume.copies.begin(), volume.copies.end(), [&](const HealCopy& copy) {
      const auto& one = server_of(copy.place.id).copies.at(volume.id);
      return is_covered(one, first) && is_covered(first, one);
    });
  }
  std::string shape() const {
    std::string out;
    for (const auto& server : servers_) {
      for (const auto& [id, copy] : server.copies) {
        out += server.id + " " + text(id) + " " + std::to_string(copy.epoch) + (copy.is_outdated ? " old\n" : "\n");
      }
    }
    return out;
  }

  void grow(VolumeId id) {
    const ReplicaPlacement placement{static_cast<std::uint8_t>(below(2)), static_cast<std::uint8_t>(below(2)),
                                     static_cast<std::uint8_t>(below(3))};
    std::vector<Place> places;
    std::vector<Server*> chosen;
    for (int tries = 0; tries < 200 && chosen.size() < static_cast<std::size_t>(placement.copies()); ++tries) {
      Server& server = any_server();
      places.push_back({server.data_center, server.rack, server.id});
      if (fits_placement(placement, places)) {
        chosen.push_back(&server);
      } else {
        places.pop_back();
      }
    }
    if (chosen.size() < static_cast<std::size_t>(placement.copies())) return;
    placements_[id] = placement;
    can_be_whole_.insert(id);
    for (Server* server : chosen) server->copies[id] = {};
  }

  void come(Server& server) {
    server.is_up = true;
    server.session = ++sessions_;
  }
  void go(Server& server) {
    if (!server.is_up) return;
    server.is_up = false;
    server.down_since = now_;
    if (chance(50)) topology_.session_ended(SessionId(server.session), now_);  // else it just falls silent
  }

  void report_all() {
    for (auto& server : servers_) {
      if (!server.is_up) continue;
      const auto n = number_of(server);
      Report report;
      report.ip = "10.0.0." + std::to_string(n);
      report.port = 8080;
      report.data_center = server.data_center;
      report.rack = server.rack;
      report.max_volume_counts[""] = static_cast<std::uint32_t>(server.slots);
      report.full = true;
      report.process = Uuid{5, n};
      report.feature_level = server.is_ours ? kHealingServerLevel : 1;
      report.pulse = 250ms;
      report.location_uuids = {text(Uuid{6, n})};
      for (const auto& [id, copy] : server.copies) {
        VolumeInfo info;
        info.id = id;
        info.size = 8;
        info.replica_placement = placements_.at(id);
        info.replica_epoch = copy.epoch;
        info.replica_outdated = copy.is_outdated;
        info.read_only = copy.is_read_only;
        report.volumes.push_back(info);
      }
      (void)topology_.report(SessionId(server.session), report, now_);
    }
    topology_.sweep(now_);
    (void)topology_.take_events();
    for (const auto& [id, placement] : placements_) {
      const auto volume = topology_.heal_volume(id);
      const bool is_short = volume && !volume->is_complete();
      if (!is_short) {
        short_since_.erase(id);
      } else {
        short_since_.try_emplace(id, now_);
      }
      const bool is_over = volume && volume->copies.size() > volume->wanted();
      if (!is_over) {
        over_since_.erase(id);
      } else {
        over_since_.try_emplace(id, now_);
      }
    }
  }

  // A client's: acknowledged when every copy that a lookup names takes it, as many as were asked for.
  void write(VolumeId id) {
    const auto volume = topology_.heal_volume(id);
    if (!volume || volume->copies.size() < volume->wanted()) return;
    const std::uint64_t key = below(6);
    const Word word{++writes_, chance(30)};
    bool all = true;
    for (const auto& place : volume->copies) {
      Server& server = server_of(place.place.id);
      const auto it = server.copies.find(id);
      const bool takes = server.is_up && it != server.copies.end() && !it->second.is_outdated && !it->second.is_read_only &&
                         it->second.epoch == volume->copies.front().epoch;
      if (takes) it->second.words[key] = word;
      all = all && takes;
    }
    if (all) acknowledged_[id][key] = word;
  }

  // Somebody copies the files of a volume to another server by hand.
  void copy_by_hand() {
    Server& from = any_server();
    Server& to = any_server();
    if (!from.is_up || !to.is_up || from.copies.empty()) return;
    const auto it = std::next(from.copies.begin(), static_cast<std::ptrdiff_t>(below(from.copies.size())));
    if (to.copies.contains(it->first) || it->second.is_outdated) return;
    Copy copy = it->second;
    if (chance(30)) copy.epoch = 0;  // without the .hfe
    to.copies[it->first] = std::move(copy);
    was_misplaced_.insert(it->first);
  }

  void happen() {
    for (int i = 0; i < 3; ++i) write(VolumeId(1 + static_cast<std::uint32_t>(below(6))));
    if (chance(1)) go(any_server());
    if (chance(3)) {
      Server& server = any_server();
      if (server.is_there && !server.is_up) come(server);
    }
    // A disk is lost only where every volume on it lies elsewhere too: what nobody has left cannot be healed.
    if (below(400) == 0) {
      Server& server = any_server();
      const bool may = std::all_of(server.copies.begin(), server.copies.end(), [&](const auto& one) {
        const auto volume = topology_.heal_volume(one.first);
        return volume && volume->is_complete() && volume->copies.size() > 1 && are_equal(*volume) &&
               std::all_of(volume->copies.begin(), volume->copies.end(), [](const HealCopy& c) { return c.can_take_part; });
      });
      if (may && server.is_up && server.is_there) {
        go(server);
        server.is_there = false;
        server.copies.clear();
      }
    }
    if (below(150) == 0) copy_by_hand();
    if (below(200) == 0) {
      Server& server = any_server();
      if (!server.copies.empty()) {
        auto& copy = std::next(server.copies.begin(), static_cast<std::ptrdiff_t>(below(server.copies.size())))->second;
        copy.is_read_only = !copy.is_read_only;
      }
    }
    if (below(200) == 0) any_server().slots = 1 + static_cast<std::int64_t>(below(11));
    if (below(500) == 0) {  // another leader
      planner_.forget();
      ++term_;
      attempts_ = 0;
    }
    if (below(40) == 0) topology_.hold(VolumeId(1 + static_cast<std::uint32_t>(below(6))), chance(30));  // a vacuum
  }

  // ---- what the planner orders

  void run_planner() {
    const HealPlanner::World world{
        .volume = [this](VolumeId id) { return topology_.heal_volume(id); },
        .targets = [this](VolumeId id, const std::string& type) { return topology_.heal_targets(id, type); }};
    if (is_quiet_) {
      for (std::uint32_t id = 1; id <= 6; ++id) topology_.hold(VolumeId(id), false);
    }
    const auto view = topology_.heal_view();
    // A shell has the admin lock for some minutes now and then.
    if (now_ >= locked_until_ && !is_quiet_ && chance(1)) locked_until_ = now_ + std::chrono::seconds(below(600));
    const bool is_locked = now_ < locked_until_ && !is_quiet_;
    const auto tasks =
        planner_.plan(view, world, {.now = now_, .is_locked = is_locked, .under_way = {}, .busy = {}, .makes_max = kMakesMax}, random_);
    std::set<std::string> taking_part;
    std::size_t compares = 0;
    for (const HealTask& task : tasks) {
      const auto about = [&] { return "volume " + text(task.volume.id) + " at " + std::to_string(now_.time_since_epoch().count()); };
      switch (task.kind) {
        case HealTask::Kind::make:
          EXPECT_FALSE(is_too_much_at_once(view)) << about();
          EXPECT_TRUE(taking_part.insert(task.copy.place.id).second) << about();
          EXPECT_TRUE(taking_part.insert(task.target).second) << about();
          for (const auto& copy : task.volume.copies) EXPECT_FALSE(is_locked && copy.is_read_only) << about();
          if (is_locked) ++done["made under lock"];
          make(task);
          break;
        case HealTask::Kind::outdate: outdate(task.volume, task.copy); break;
        case HealTask::Kind::hold_against:
          ++compares;
          EXPECT_FALSE(is_locked) << about();
          EXPECT_FALSE(is_too_much_at_once(view)) << about();
          hold_against(task);
          break;
        case HealTask::Kind::look:
          ++compares;
          EXPECT_FALSE(is_locked) << about();
          EXPECT_FALSE(is_too_much_at_once(view)) << about();
          look(task);
          break;
      }
    }
    EXPECT_LE(compares, 1u);
    EXPECT_LE(tasks.size(), kMakesMax + compares + HealView::kAsideMax);
  }

  bool breaks_off() { return !is_quiet_ && chance(15); }

  void make(const HealTask& task) {
    const VolumeId id = task.volume.id;
    EXPECT_LT(task.volume.copies.size(), task.volume.wanted());
    EXPECT_FALSE(task.volume.busy);
    ASSERT_TRUE(short_since_.contains(id));
    EXPECT_GE(now_ - short_since_.at(id), kGrace) << "within the grace time";
    EXPECT_GE(now_ - task.since, kGrace);
    for (const auto& copy : task.volume.copies) expect_can_take_part(copy.place.id);
    expect_can_take_part(task.target);
    Server& source = server_of(task.copy.place.id);
    Server& target = server_of(task.target);
    EXPECT_FALSE(target.copies.contains(id)) << "a copy where one is";
    EXPECT_LT(static_cast<std::int64_t>(target.copies.size()), target.slots) << "a full server";
    // The source must not be the older one, nor may it stand beside the others in a way that was not asked for.
    Copy& from = source.copies.at(id);
    EXPECT_TRUE(has_all(from, id) || is_troubled(id)) << "volume " << text(id) << ": a copy of what is older";
    EXPECT_FALSE(from.is_outdated);
    auto places = places_of(task.volume);
    places.push_back({target.data_center, target.rack, target.id});
    EXPECT_TRUE(fits_placement(placements_.at(id), places)) << "volume " << text(id) << ": the new copy stands wrongly";
    if (breaks_off()) return planner_.not_made(id, now_, "broken off");
    const auto to = next_epoch(task.volume.epoch, Generation(1), Term(term_), ++attempts_);
    from.epoch = to;
    if (breaks_off()) return planner_.not_made(id, now_, "no agreement");  // the source is ahead of what is agreed
    agree(id, to);
    const Copy made{.epoch = to, .words = from.words};
    if (!breaks_off()) target.copies[id] = made;
    for (const auto& copy : task.volume.copies) {
      if (!breaks_off()) server_of(copy.place.id).copies.at(id).epoch = to;
    }
    ++done["made"];
  }

  void agree(VolumeId id, std::uint64_t epoch) {
    EpochMap epochs = *registry_.epochs;
    epochs[id] = epoch;
    registry_.epochs = std::make_shared<const EpochMap>(std::move(epochs));
    topology_.set_registry(registry_, now_);
  }

  void outdate(const HealVolume& volume, const HealCopy& copy) {
    expect_can_take_part(copy.place.id);
    EXPECT_GE(volume.copies.size(), 1u);
    EXPECT_TRUE(copy.epoch < volume.agreed_epoch || copy.is_outdated);
    if (breaks_off()) return;
    server_of(copy.place.id).copies.at(volume.id).is_outdated = true;
    planner_.told(volume.id, copy.place.id, now_);
    ++done["outdated"];
  }

  void look(const HealTask& task) {
    const VolumeId id = task.volume.id;
    EXPECT_GT(task.volume.copies.size(), task.volume.wanted());
    ASSERT_TRUE(over_since_.contains(id));
    EXPECT_GE(now_ - over_since_.at(id), kGrace) << "within the grace time";
    for (const auto& copy : task.volume.copies) {
      expect_can_take_part(copy.place.id);
      EXPECT_FALSE(server_of(copy.place.id).copies.at(id).is_read_only);
    }
    if (!are_equal(task.volume)) return;
    if (!is_quiet_ && chance(30)) {  // something comes in between
      go(server_of(task.volume.copies[below(task.volume.copies.size())].place.id));
      now_ += 5s;
      report_all();
    }
    const auto copy = planner_.surplus_of(task.volume, topology_.heal_volume(id), now_);
    if (!copy) return;
    // As many as were asked for are left, all known to be equal, and they stand as was asked for.
    std::vector<Place> rest;
    for (const auto& other : task.volume.copies) {
      if (other.place.id == copy->place.id) continue;
      expect_can_take_part(other.place.id);
      rest.push_back({other.place.data_center, other.place.rack, other.place.id});
    }
    EXPECT_GE(rest.size(), task.volume.wanted());
    EXPECT_GE(largest_fitting(placements_.at(id), rest).size(), task.volume.wanted());
    if (breaks_off()) return;
    server_of(copy->place.id).copies.at(id).is_outdated = true;
    planner_.told(id, copy->place.id, now_);
    ++done["surplus"];
  }

  void hold_against(const HealTask& task) {
    const VolumeId id = task.volume.id;
    Server& server = server_of(task.copy.place.id);
    const Copy& copy = server.copies.at(id);
    EXPECT_TRUE(copy.is_outdated) << "one that may still be written to";
    EXPECT_GE(task.volume.copies.size(), task.volume.wanted());
    expect_can_take_part(server.id);
    for (const auto& other : task.volume.copies) {
      expect_can_take_part(other.place.id);
      if (!is_covered(copy, server_of(other.place.id).copies.at(id))) {
        return planner_.stays(id, server.id, "it knows more");
      }
    }
    if (!is_quiet_ && chance(30)) {
      go(server_of(task.volume.copies[below(task.volume.copies.size())].place.id));
      now_ += 5s;
      report_all();
    }
    if (!HealPlanner::may_discard(task.volume, topology_.heal_volume(id)) || breaks_off()) return;
    // Each file of it is on as many others as were asked for, and these can be asked.
    const auto left = topology_.heal_volume(id);
    ASSERT_TRUE(left.has_value());
    EXPECT_GE(left->copies.size(), left->wanted());
    for (const auto& other : left->copies) {
      expect_can_take_part(other.place.id);
      EXPECT_TRUE(is_covered(copy, server_of(other.place.id).copies.at(id)));
    }
    server.copies.erase(id);
    ++done["removed"];
  }

  void expect_can_take_part(const std::string& id) {
    const Server& server = server_of(id);
    EXPECT_TRUE(server.is_ours) << id << " knows no epochs";
    EXPECT_TRUE(server.is_up || now_ - server.down_since < 2s) << id << " is away";
  }

  // ---- what must hold

  bool has_all(const Copy& copy, VolumeId id) const {
    const auto words = acknowledged_.find(id);
    if (words == acknowledged_.end()) return true;
    return std::all_of(words->second.begin(), words->second.end(), [&](const auto& one) {
      const auto it = copy.words.find(one.first);
      return it != copy.words.end() && it->second.number >= one.second.number;
    });
  }
  // A copy made by hand of something older lies among those of its epoch: that no epoch tells.
  bool is_troubled(VolumeId id) const { return was_misplaced_.contains(id); }

  void check() {
    for (const auto& [id, words] : acknowledged_) {
      for (const auto& [key, word] : words) {
        const bool is_somewhere = std::any_of(servers_.begin(), servers_.end(), [&, id = id, key = key](const Server& server) {
          const auto copy = server.copies.find(id);
          if (copy == server.copies.end()) return false;
          const auto known = copy->second.words.find(key);
          return known != copy->second.words.end() && known->second.number >= words.at(key).number;
        });
        ASSERT_TRUE(is_somewhere) << "key " << key << " of volume " << text(id) << " was acknowledged and is on no disk any more";
      }
      if (is_troubled(id)) continue;
      const auto volume = topology_.heal_volume(id);
      if (!volume) continue;
      for (const auto& copy : volume->copies) {
        const Server& server = server_of(copy.place.id);
        if (!server.is_up) continue;
        ASSERT_TRUE(has_all(server.copies.at(id), id)) << "volume " << text(id) << ": lookups name a copy on " << server.id << " that lacks something";
      }
    }
  }

  std::mt19937_64 draw_;
  PickRandom random_;
  Instant now_ = Instant(1h);
  Instant locked_until_ = kDistantPast;
  RegistryState registry_;
  Topology topology_{Topology::Options{}};
  HealPlanner planner_{kGrace};
  std::vector<Server> servers_;
  std::map<VolumeId, ReplicaPlacement> placements_;
  std::map<VolumeId, Words> acknowledged_;
  std::map<VolumeId, Instant> short_since_, over_since_;
  std::set<VolumeId> can_be_whole_, was_misplaced_;
  std::uint64_t sessions_ = 0;
  std::uint64_t writes_ = 0;
  std::uint64_t term_ = 1;
  std::uint64_t attempts_ = 0;
  bool is_quiet_ = false;
};

TEST(HealPlanner, WhateverHappensNothingIsLostAndItComesToRest) {
  const auto first = number_from("HEAL_SEED", 1), count = number_from("HEAL_SEEDS", 25);
  std::map<std::string, std::size_t> done;
  std::size_t whole = 0;
  for (auto seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE("HEAL_SEEDS=1 HEAL_SEED=" + std::to_string(seed));
    Cluster cluster(seed);
    for (int i = 0; i < 2000 && !testing::Test::HasFailure(); ++i) cluster.turn();
    if (!testing::Test::HasFailure()) cluster.settle();
    if (testing::Test::HasFailure()) FAIL();
    for (const auto& [kind, times] : cluster.done) done[kind] += times;
    whole += cluster.whole;
  }
  for (const auto& [kind, times] : done) RecordProperty(kind, static_cast<int>(times));
  if (count < 25) return;
  // It is no proof if nothing was done.
  for (const char* kind : {"made", "made under lock", "outdated", "surplus", "removed"}) EXPECT_GE(done[kind], count / 10) << kind;
  EXPECT_GE(whole, count / 2);  // about one in each
}

}  // namespace
}  // namespace holdfast::topology
