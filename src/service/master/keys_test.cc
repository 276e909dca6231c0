#include "service/master/keys.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>

namespace holdfast::master {
namespace {

using topology::AdoptDirs;
using topology::Registry;
using topology::ReserveKeys;

const NodeId kSelf(Uuid{1, 1});
const Uuid kProcess{2, 1};

// Applies one command to one registry.
void apply(Registry& registry, const topology::Command& command) {
  static std::uint64_t sequence = 0;
  const auto entry = topology::encode_batch({{{Uuid{9, 9}, ++sequence}, sequence, topology::encode(command)}});
  ASSERT_TRUE(registry.apply(registry.applied().next(), Term(1), bytes_of(entry)).ok());
}
ReserveKeys reserve(std::uint64_t count) { return {kSelf, Incarnation(1), kProcess, count}; }

TEST(KeySource, GoesFromBlockToBlockWithoutAGapForSingleKeys) {
  Registry registry;
  KeySource keys;
  keys.set_identity(kSelf, kProcess);
  EXPECT_FALSE(keys.take(1).has_value());
  apply(registry, reserve(3));
  apply(registry, {ReserveKeys{NodeId(Uuid{1, 2}), Incarnation(1), {2, 2}, 10}});
  apply(registry, reserve(2));
  keys.update(registry.state());
  EXPECT_EQ(keys.left(), 5u);
  std::vector<std::uint64_t> taken;
  while (const auto key = keys.take(1)) taken.push_back(key->value());
  EXPECT_EQ(taken, (std::vector<std::uint64_t>{1, 2, 3, 14, 15}));
  keys.update(registry.state());  // the same state again brings nothing back
  EXPECT_FALSE(keys.take(1).has_value());
}

TEST(KeySource, ALargeCountComesFromABlockBehindAndThrowsNothingAway) {
  Registry registry;
  KeySource keys;
  keys.set_identity(kSelf, kProcess);
  apply(registry, reserve(3));
  apply(registry, reserve(100));
  keys.update(registry.state());
  EXPECT_EQ(keys.take(1), NeedleId(1));
  EXPECT_EQ(keys.take(50), NeedleId(4));
  EXPECT_EQ(keys.take(2), NeedleId(2));
  EXPECT_FALSE(keys.take(51).has_value());
  EXPECT_EQ(keys.take(50), NeedleId(54));
}

TEST(KeySource, BlocksOfAnotherProcessOfTheSameMasterAreNotOurs) {
  Registry registry;
  KeySource keys;
  apply(registry, reserve(3));
  keys.set_identity(kSelf, Uuid{2, 77});
  keys.update(registry.state());
  EXPECT_FALSE(keys.take(1).has_value());
}

TEST(KeySource, ARaisedFloorTakesBackWhatLiesBelow) {
  Registry registry;
  KeySource keys;
  keys.set_identity(kSelf, kProcess);
  apply(registry, reserve(10));
  apply(registry, reserve(10));
  keys.update(registry.state());
  EXPECT_EQ(keys.take(1), NeedleId(1));
  apply(registry, AdoptDirs{{}, {}, true, NeedleId(5), VolumeId(3), {Uuid{3, 3}}});
  keys.update(registry.state());
  const auto key = keys.take(1);
  ASSERT_TRUE(key.has_value());  // the entry itself gave a block in place of those taken back
  EXPECT_EQ(*key, NeedleId(5 + topology::kKeySkip));
}

TEST(KeySource, ThreadsNeverGetTheSameKeyWhileBlocksComeAndTheFloorRises) {
  Registry registry;
  KeySource keys;
  keys.set_identity(kSelf, kProcess);
  apply(registry, reserve(64));
  keys.update(registry.state());
  std::atomic<bool> stop{false};
  std::array<std::vector<std::uint64_t>, 4> taken;
  std::vector<std::thread> threads;
  for (auto& mine : taken) {
    threads.emplace_back([&] {
      std::uint64_t i = 0;
      while (!stop) {
        const std::uint64_t count = ++i % 7 == 0 ? 5 : 1;
        if (const auto key = keys.take(count)) {
          for (std::uint64_t k = 0; k < count; ++k) mine.push_back(key->value() + k);
        }
      }
    });
  }
  for (int i = 0; i < 500; ++i) {
    apply(registry, reserve(64));
    if (i % 50 == 0) {
      const auto next = registry.state().next_key;
      apply(registry, AdoptDirs{{}, {}, true, next + 100, VolumeId(1), {Uuid{3, static_cast<std::uint64_t>(i)}}});
    }
    keys.update(registry.state());
    while (keys.left() > 256) std::this_thread::yield();  // they keep up
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  std::set<std::uint64_t> all;
  std::size_t count = 0;
  for (const auto& mine : taken) {
    count += mine.size();
    all.insert(mine.begin(), mine.end());
  }
  EXPECT_GT(count, 0u);
  EXPECT_EQ(all.size(), count);
}

// The rule that everything rests on, over random histories: masters crash and return as new processes, from any
// checkpoint and at any distance behind the log; every process, leader or not, stale or not, hands out keys as it
// likes; folders with foreign files come in. No key comes twice, and none that a master gives to a volume it may write
// to is one that the volume's former masters had given.
class KeyHistory {
 public:
  explicit KeyHistory(std::uint64_t seed) : random_(seed) {
    for (std::uint64_t i = 0; i < 5; ++i) start(i);
  }

  void step() {
    const std::uint64_t who = random_() % masters_.size();
    switch (random_() % 12) {
      case 0: start(who); break;
      case 1: {  // anyone may be leading and propose for anyone, with what it believes of them
        const std::uint64_t holder = random_() % masters_.size();
        commit(ReserveKeys{node(holder), Incarnation(masters_[holder].incarnation), masters_[holder].process,
                           1 + random_() % 40});
        break;
      }
      case 2: {  // with an incarnation that is over
        const std::uint64_t holder = random_() % masters_.size();
        commit(ReserveKeys{node(holder), Incarnation(random_() % (masters_[holder].incarnation + 1)),
                           Uuid{random_(), random_()}, 1 + random_() % 40});
        break;
      }
      case 3: {  // a folder whose masters gave keys up to `largest`, some of them not written
        Foreign folder;
        folder.dir = Uuid{77, ++dirs_};
        folder.written = NeedleId(random_() % 3 == 0 ? registry_now().next_key.value() / 2 : random_() % 5000);
        folder.given = folder.written + random_() % topology::kKeySkip;
        foreign_.push_back(folder);
        commit(AdoptDirs{{}, {}, true, folder.written, VolumeId(1), {folder.dir}});
        break;
      }
      case 4: commit(topology::RaiseKeys{NeedleId(registry_now().next_key.value() + random_() % 100)}); break;
      case 5: commit(topology::RaiseGeneration{registry_now().generation.next()}); break;
      case 6: checkpoint_ = full_.checkpoint(); break;
      default: {
        Master& master = masters_[who];
        catch_up(master, random_() % 4);
        for (std::uint64_t n = random_() % 30; n > 0; --n) take(master);
      }
    }
  }
  std::uint64_t given() const { return given_.size(); }

 private:
  struct Master {
    std::uint64_t incarnation = 0;
    Uuid process;
    std::unique_ptr<Registry> registry;
    std::unique_ptr<KeySource> keys;
  };
  struct Foreign {
    Uuid dir;
    NeedleId written, given;
  };

  static NodeId node(std::uint64_t i) { return NodeId(Uuid{1, i}); }
  const topology::RegistryState& registry_now() const { return full_.state(); }

  void start(std::uint64_t i) {
    if (masters_.size() <= i) masters_.resize(i + 1);
    Master& master = masters_[i];
    ++master.incarnation;
    master.process = Uuid{random_(), random_()};
    master.registry = std::make_unique<Registry>();
    master.keys = std::make_unique<KeySource>();
    master.keys->set_identity(node(i), master.process);
    if (checkpoint_ && random_() % 2 == 0) {
      ASSERT_TRUE(master.registry->restore(*checkpoint_).ok());
      master.keys->update(master.registry->state());
    }
  }
  void commit(const topology::Command& command) {
    log_.push_back(topology::encode_batch({{{Uuid{9, 9}, log_.size() + 1}, log_.size() + 1, topology::encode(command)}}));
    ASSERT_TRUE(full_.apply(Index(log_.size()), Term(1), bytes_of(log_.back())).ok());
  }
  void catch_up(Master& master, std::uint64_t entries) {
    while (entries-- > 0 && master.registry->applied().value() < log_.size()) {
      const std::uint64_t index = master.registry->applied().value() + 1;
      ASSERT_TRUE(master.registry->apply(Index(index), Term(1), bytes_of(log_[index - 1])).ok());
      master.keys->update(master.registry->state());
    }
  }
  void take(Master& master) {
    // As an assign does: first the volume, from what is applied here, then the key.
    const Foreign* folder = foreign_.empty() ? nullptr : &foreign_[random_() % foreign_.size()];
    const bool writable = folder != nullptr && master.registry->state().has_dir(folder->dir) &&
                          folder->written < master.registry->state().next_key;
    const std::uint64_t count = 1 + random_() % 3;
    const auto key = master.keys->take(count);
    if (!key) return;
    for (std::uint64_t k = 0; k < count; ++k) {
      ASSERT_TRUE(given_.insert(key->value() + k).second) << "key " << key->value() + k << " was given twice";
    }
    if (writable) {
      ASSERT_GT(*key, folder->written);
      ASSERT_GE(*key, folder->given);
    }
  }

  std::mt19937_64 random_;
  std::vector<Master> masters_;
  Registry full_;
  std::vector<std::string> log_;
  std::optional<topology::Checkpoint> checkpoint_;
  std::vector<Foreign> foreign_;
  std::uint64_t dirs_ = 0;
  std::set<std::uint64_t> given_;
};

TEST(KeyHistory, NoKeyIsEverGivenTwice) {
  std::uint64_t given = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    KeyHistory history(seed);
    for (int i = 0; i < 400; ++i) {
      history.step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    given += history.given();
  }
  EXPECT_GT(given, 200'000u);
}

}  // namespace
}  // namespace holdfast::master
