#include "service/master/admin_locks.h"

#include <gtest/gtest.h>

#include <future>

#include "core/kv/space.h"
#include "service/master/fakes.h"

namespace holdfast::master {
namespace {

// The space itself, without masters around it.
class OneSpace final : public KeyValues {
 public:
  void when_open(std::function<void(std::optional<Refusal>)> done) override { done(std::nullopt); }
  void write(kv::Command command, std::function<void(OrRefusal<kv::Answer>)> done) override {
    if (before_write) std::exchange(before_write, {})();
    const kv::Answer answer = space.apply(command);
    if (loses_answers) return done(Refusal{Refusal::Kind::outcome_unknown, "lost"});
    done(answer);
  }
  void get(std::string key, bool, std::function<void(OrRefusal<KvRecord>)> done) override {
    const kv::Item* item = space.find(key);
    done(KvRecord{item == nullptr ? std::nullopt : std::optional(*item), space.revision(), Index(1)});
  }
  void list(kv::ListRequest, bool, std::function<void(OrRefusal<KvList>)>) override {}
  void watch(KvWatch, std::function<void(OrRefusal<kv::Changes>)>) override {}

  void expire_all() {
    kv::Expire expire;
    for (const auto& [life, key] : space.lives()) expire.lives.push_back({key, life});
    space.apply(expire);
  }

  kv::Space space;
  bool loses_answers = false;
  std::function<void()> before_write;
};

class AdminLocksTest : public ::testing::Test {
 protected:
  OrRefusal<AdminToken> lease(AdminToken previous, const std::string& client = "a", const std::string& name = "shell") {
    std::optional<OrRefusal<AdminToken>> got;
    locks.lease(name, previous, client, "does things", [&](OrRefusal<AdminToken> answer) { got = std::move(answer); });
    return got.value();
  }
  AdminToken token(const OrRefusal<AdminToken>& answer) {
    const auto* refusal = std::get_if<Refusal>(&answer);
    EXPECT_EQ(refusal, nullptr) << refusal->text;
    return refusal == nullptr ? std::get<AdminToken>(answer) : AdminToken();
  }
  std::string words(const OrRefusal<AdminToken>& answer) {
    const auto* refusal = std::get_if<Refusal>(&answer);
    return refusal == nullptr ? "" : refusal->text;
  }
  AdminLock status() {
    std::optional<OrRefusal<AdminLock>> got;
    locks.status("shell", [&](OrRefusal<AdminLock> answer) { got = std::move(answer); });
    return std::get<AdminLock>(got.value());
  }
  void release(AdminToken previous) {
    locks.release("shell", previous, [](const OrRefusal<Done>& answer) {
      EXPECT_TRUE(std::holds_alternative<Done>(answer));
    });
  }

  OneSpace space;
  FakeRandom random{3};
  std::int64_t now_ns = 1000;
  AdminLocks locks{space, random, [this] { return ++now_ns; }};
};

TEST_F(AdminLocksTest, OneHoldsItAndTheOthersHearWho) {
  const AdminToken mine = token(lease({}));
  EXPECT_NE(mine.token, 0);
  EXPECT_EQ(words(lease({}, "b")), "already locked by a: does things");
  EXPECT_EQ(words(lease({mine.token + 1, mine.time_ns}, "b")), "already locked by a: does things");
  EXPECT_EQ(words(lease({mine.token, mine.time_ns + 1}, "b")), "already locked by a: does things");
  EXPECT_TRUE(status().locked);
  EXPECT_EQ(status().client, "a");
  EXPECT_EQ(status().message, "does things");
  token(lease({}, "b", "another lock"));
}

TEST_F(AdminLocksTest, ARenewalGivesANewPairAndLivesOn) {
  const AdminToken first = token(lease({}));
  const AdminToken second = token(lease(first));
  EXPECT_NE(first, second);
  const AdminToken third = token(lease(second));
  EXPECT_EQ(words(lease(first)), "already locked by a: does things");  // two renewals ago
  EXPECT_EQ(space.space.find("admin-locks/shell")->ttl, kAdminLockTime);
  space.expire_all();
  EXPECT_FALSE(status().locked);
  token(lease(third));  // nobody took it meanwhile
}

TEST_F(AdminLocksTest, ARenewalWhoseAnswerWasLostMayBeAskedAgain) {
  const AdminToken first = token(lease({}));
  space.loses_answers = true;
  EXPECT_EQ(words(lease(first)), "lost");
  space.loses_answers = false;
  EXPECT_EQ(words(lease({}, "b")), "already locked by a: does things");
  const AdminToken again = token(lease(first));
  token(lease(again));
}

TEST_F(AdminLocksTest, WhoseLockRanOutAndWentToAnotherHasNoneNorFreesIt) {
  const AdminToken old = token(lease({}));
  space.expire_all();
  const AdminToken other = token(lease({}, "b"));
  EXPECT_EQ(words(lease(old)), "already locked by b: does things");
  release(old);
  EXPECT_EQ(status().client, "b");
  release({});
  EXPECT_TRUE(status().locked);
  release(other);
  EXPECT_FALSE(status().locked);
  release(other);  // nothing to do
}

TEST_F(AdminLocksTest, OfTwoAtTheSameMomentOneGetsIt) {
  space.before_write = [&] { token(lease({}, "b")); };
  EXPECT_EQ(words(lease({}, "a")), "already locked by b: does things");
}

TEST_F(AdminLocksTest, AKeyThatIsNoLockHoldsItAndSaysSo) {
  space.space.apply(kv::Put{"admin-locks/shell", "\xff{", {}, {}, {}});
  EXPECT_EQ(words(lease({})),
            "already locked by whoever wrote the key admin-locks/shell: it is no lock; delete it to free the lock");
}

}  // namespace
}  // namespace holdfast::master
