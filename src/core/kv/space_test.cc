#include "core/kv/space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "core/kv/expiry.h"

namespace holdfast::kv {
namespace {

using ::testing::HasSubstr;

Put put(std::string key, std::string value = "v") { return {std::move(key), std::move(value), {}, {}, {}}; }
Put mortal(std::string key, Duration ttl) { return {std::move(key), "v", ttl, {}, {}}; }
Put compared(std::string key, std::string value, std::uint64_t revision) {
  return {std::move(key), std::move(value), {}, Revision(revision), {}};
}
Put with_id(Put put, std::string id) {
  put.request_id = std::move(id);
  return put;
}

std::string value_of(const Space& space, const std::string& key) {
  const Item* item = space.find(key);
  return item == nullptr ? "(none)" : *item->value;
}
std::string encoded(const Space& space) {
  Writer out;
  space.encode(out);
  return out.take();
}
Space decoded(const std::string& bytes, bool* ok) {
  Reader in(bytes_of(bytes));
  Space space = Space::decode(in);
  *ok = in.at_end();
  return space;
}

TEST(Space, APutDrawsTheNextRevisionAndKeepsWhenTheKeyWasMade) {
  Space space;
  EXPECT_EQ(space.apply(put("a")).revision, Revision(1));
  EXPECT_EQ(space.apply(put("b")).revision, Revision(2));
  const Answer again = space.apply(put("a", "w"));
  EXPECT_EQ(again.modified, Revision(3));
  EXPECT_EQ(again.created, Revision(1));
  EXPECT_EQ(again.version, 2u);
  EXPECT_EQ(value_of(space, "a"), "w");
  EXPECT_EQ(space.bytes(), 4u);
}

TEST(Space, AKeyThatWasDeletedBeginsAnew) {
  Space space;
  space.apply(put("a"));
  const Answer gone = space.apply(Delete{"a", {}, {}});
  EXPECT_EQ(gone.outcome, Outcome::done);
  EXPECT_EQ(gone.revision, Revision(2));
  EXPECT_EQ(gone.modified, Revision(1));
  EXPECT_EQ(space.apply(Delete{"a", {}, {}}).outcome, Outcome::not_found);
  const Answer anew = space.apply(put("a"));
  EXPECT_EQ(anew.created, Revision(3));
  EXPECT_EQ(anew.version, 1u);
}

TEST(Space, APutComparesWithTheRevisionOfTheLastChange) {
  Space space;
  EXPECT_EQ(space.apply(compared("a", "1", 0)).outcome, Outcome::done);
  const Answer taken = space.apply(compared("a", "2", 0));
  EXPECT_EQ(taken.outcome, Outcome::compare_failed);
  EXPECT_EQ(taken.modified, Revision(1));
  EXPECT_EQ(space.apply(compared("a", "2", 1)).modified, Revision(2));
  EXPECT_EQ(space.apply(compared("a", "3", 1)).outcome, Outcome::compare_failed);
  EXPECT_EQ(value_of(space, "a"), "2");
  EXPECT_EQ(space.apply(compared("b", "1", 7)).outcome, Outcome::compare_failed);
  EXPECT_EQ(space.apply(Delete{"a", Revision(1), {}}).outcome, Outcome::compare_failed);
  EXPECT_EQ(space.apply(Delete{"a", Revision(2), {}}).outcome, Outcome::done);
  EXPECT_EQ(space.revision(), Revision(3));
}

TEST(Space, ARequestIdCountsOnceAndGetsItsFirstAnswer) {
  Space space;
  const Answer first = space.apply(with_id(put("a", "1"), "x"));
  space.apply(put("a", "2"));
  EXPECT_EQ(space.apply(with_id(put("a", "1"), "x")), first);
  EXPECT_EQ(value_of(space, "a"), "2");
  EXPECT_EQ(space.revision(), Revision(2));
  // A refusal is an answer too.
  const Answer failed = space.apply(with_id(compared("a", "3", 9), "y"));
  EXPECT_EQ(failed.outcome, Outcome::compare_failed);
  space.apply(Delete{"a", {}, {}});
  EXPECT_EQ(space.apply(with_id(compared("a", "3", 9), "y")), failed);
}

TEST(Space, ARequestIdThatComesWithAnotherCommandIsRefused) {
  Space space;
  space.apply(with_id(put("a", "1"), "x"));
  const Answer other = space.apply(with_id(put("a", "2"), "x"));
  EXPECT_EQ(other.outcome, Outcome::invalid);
  EXPECT_THAT(other.text, HasSubstr("used for another change"));
  EXPECT_EQ(value_of(space, "a"), "1");
}

TEST(Space, OnlyTheLastRequestsAreRemembered) {
  Space space;
  for (std::size_t i = 0; i <= kRequestsRememberedMax; ++i) space.apply(with_id(put("a"), "id" + std::to_string(i)));
  const Revision before = space.revision();
  space.apply(with_id(put("a"), "id1"));
  EXPECT_EQ(space.revision(), before);
  space.apply(with_id(put("a"), "id0"));
  EXPECT_EQ(space.revision(), before.next());
}

TEST(Space, AnExpiryTakesAKeyOnlyInTheLifeItNames) {
  Space space;
  space.apply(mortal("a", 5s));
  space.apply(mortal("b", 5s));
  const Life a = space.find("a")->life;
  const Life b = space.find("b")->life;
  const Revision before = space.find("a")->modified;
  ASSERT_EQ(space.apply(Renew{"a", {}, {}, {}}).outcome, Outcome::done);
  EXPECT_EQ(space.find("a")->modified, before);
  const Answer answer = space.apply(Expire{{{"a", a}, {"b", b}, {"c", b}}});
  EXPECT_EQ(answer.version, 1u);
  EXPECT_NE(space.find("a"), nullptr);
  EXPECT_EQ(space.find("b"), nullptr);
  EXPECT_EQ(space.revision(), Revision(3));
}

TEST(Space, AKeyThatIsPutWithoutATimeToLiveStays) {
  Space space;
  space.apply(mortal("a", 5s));
  const Life life = space.find("a")->life;
  space.apply(put("a"));
  EXPECT_TRUE(space.lives().empty());
  space.apply(Expire{{{"a", life}, {"a", Life()}}});
  EXPECT_NE(space.find("a"), nullptr);
  const Answer renewed = space.apply(Renew{"a", {}, {}, {}});
  EXPECT_EQ(renewed.outcome, Outcome::invalid);
  EXPECT_THAT(renewed.text, HasSubstr("no time to live"));
  EXPECT_EQ(space.apply(Renew{"a", 7s, {}, {}}).ttl, Duration(7s));
  EXPECT_EQ(space.apply(Renew{"none", 7s, {}, {}}).outcome, Outcome::not_found);
}

TEST(Space, ListsGoPageByPageInTheOrderOfTheKeys) {
  Space space;
  for (const char* key : {"b/1", "a", "b/3", "b/2", "b", "c"}) space.apply(put(key));
  const List first = space.list({"b/", "", 2});
  ASSERT_EQ(first.records.size(), 2u);
  EXPECT_EQ(first.records[1].key, "b/2");
  EXPECT_TRUE(first.more);
  const List second = space.list({"b/", "b/2", 2});
  ASSERT_EQ(second.records.size(), 1u);
  EXPECT_EQ(second.records[0].key, "b/3");
  EXPECT_FALSE(second.more);
  EXPECT_EQ(space.list({"", "", 100}).records.size(), 6u);
  EXPECT_EQ(space.list({"", "", 100, 3}).records.size(), 1u);  // bytes: "a", "v" fit, "b", "v" no more
  EXPECT_EQ(space.list({"b/", "a", 100}).records.size(), 3u);  // an `after` before the prefix leaves nothing out
}

TEST(Space, ChangesComeInOrderFromTheRevisionAskedFor) {
  Space space;
  space.apply(put("a/1"));
  space.apply(put("b"));
  space.apply(Delete{"a/1", {}, {}});
  const Changes all = space.changes({"a/", true}, Revision(0), 10);
  ASSERT_EQ(all.changes.size(), 2u);
  EXPECT_EQ(all.changes[1].kind, Change::Kind::removed);
  EXPECT_EQ(all.changes[1].revision(), Revision(3));
  EXPECT_EQ(all.until, Revision(3));
  EXPECT_EQ(space.changes({"a/", true}, Revision(1), 10).changes.size(), 1u);
  EXPECT_EQ(space.changes({"a", false}, Revision(0), 10).changes.size(), 0u);
  // Cut short: what was not looked at is asked for again.
  const Changes one = space.changes({"", true}, Revision(0), 1);
  EXPECT_EQ(one.until, Revision(1));
  EXPECT_EQ(space.changes({"", true}, Revision(0), 10, 6).until, Revision(2));  // 4 and 2 bytes
  // A member that is behind has nothing to say, and does not go back.
  EXPECT_EQ(space.changes({"", true}, Revision(9), 10).until, Revision(9));
}

TEST(Space, ChangesThatWereForgottenAreSaidToBe) {
  Space space;
  for (std::size_t i = 0; i < kHistoryEventsMax + 5; ++i) space.apply(put("a", std::to_string(i)));
  const Changes late = space.changes({"", true}, Revision(4), 10);
  ASSERT_TRUE(late.compacted.has_value());
  EXPECT_EQ(*late.compacted, Revision(6));
  EXPECT_TRUE(late.changes.empty());
  EXPECT_EQ(space.changes({"", true}, Revision(5), 10).changes.size(), 10u);
  // Large values push out more of them.
  Space large;
  for (int i = 0; i < 100; ++i) large.apply(put("a", std::string(kValueBytesMax, 'x')));
  EXPECT_TRUE(large.changes({"", true}, Revision(1), 10).compacted.has_value());
}

TEST(Space, LimitsAreNamedAndChangeNothing) {
  Space space;
  EXPECT_THAT(space.apply(put("")).text, HasSubstr("at least one byte"));
  EXPECT_EQ(space.apply(put(std::string(kKeyBytesMax, 'k'))).outcome, Outcome::done);
  EXPECT_THAT(space.apply(put(std::string(kKeyBytesMax + 1, 'k'))).text, HasSubstr("at most 512"));
  EXPECT_THAT(space.apply(put("a\nb")).text, HasSubstr("control"));
  EXPECT_THAT(space.apply(put("\xff")).text, HasSubstr("UTF-8"));
  EXPECT_THAT(space.apply(put("a", std::string(kValueBytesMax + 1, 'v'))).text, HasSubstr("at most 65536"));
  EXPECT_THAT(space.apply(mortal("a", 99ms)).text, HasSubstr("at least 100 ms"));
  EXPECT_EQ(space.apply(mortal("a", kTtlMax + 1s)).outcome, Outcome::invalid);
  EXPECT_EQ(space.apply(with_id(put("a"), std::string(65, 'i'))).outcome, Outcome::invalid);
  EXPECT_EQ(space.revision(), Revision(1));
}

TEST(Space, AFullSpaceRefusesInWordsAndTakesAgainWhatFits) {
  Space space;
  for (int i = 0; i < 255; ++i) {
    ASSERT_EQ(space.apply(put("k" + std::to_string(i), std::string(kValueBytesMax, 'v'))).outcome, Outcome::done);
  }
  ASSERT_EQ(space.apply(put("k255", std::string(kValueBytesMax - 2000, 'v'))).outcome, Outcome::done);
  const Answer full = space.apply(put("more", std::string(5000, 'v')));
  EXPECT_EQ(full.outcome, Outcome::no_space);
  EXPECT_THAT(full.text, HasSubstr("of at most 16777216: delete some keys"));
  EXPECT_EQ(space.apply(put("k7", "small")).outcome, Outcome::done);
  EXPECT_EQ(space.apply(put("more", std::string(5000, 'v'))).outcome, Outcome::done);

  Space many;
  for (std::size_t i = 0; i < kKeysMax; ++i) many.apply(put(std::to_string(i), ""));
  EXPECT_THAT(many.apply(put("one more")).text, HasSubstr("65536 keys"));
  EXPECT_EQ(many.apply(put("7", "there already")).outcome, Outcome::done);
}

TEST(Commands, AreReadAsTheyWereWritten) {
  const std::vector<Command> all = {
      Put{"k", "v", 1500ms, Revision(3), "id"}, Put{"k", "", {}, {}, {}}, Delete{"k", Revision(0), "id"},
      Renew{"k", 2s, {}, "id"}, Expire{{{"a", Life(1)}, {"b", Life(2)}}}};
  for (const Command& command : all) {
    const std::string bytes = encode(command);
    const auto read = decode_command(bytes_of(bytes));
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(encode(*read), bytes);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_FALSE(decode_command(bytes_of(bytes).first(length)).ok());
    }
  }
  EXPECT_EQ(decode_command(bytes_of(std::string("\x44\x01", 2))).error().code(), Code::unsupported);  // kind 68
  EXPECT_EQ(decode_command(bytes_of(std::string("\x40\x02", 2))).error().code(), Code::unsupported);  // version 2
  EXPECT_EQ(decode_command(bytes_of(std::string("\x01\x01", 2))).error().code(), Code::invalid);      // the registry's
}

TEST(Commands, AnAnswerIsReadAsItWasWritten) {
  const Answer answer{Outcome::compare_failed, Revision(9), Revision(8), Revision(7), 6, 5s, "words"};
  const auto read = decode_answer(encode(answer));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, answer);
  EXPECT_FALSE(decode_answer("\x05").ok());
}

// ---- the leader's clock --------------------------------------------------------------------------------------------

// What is over at `now`, as the leader would propose and apply it.
std::set<std::string> expire(Expiry& expiry, Space& space, Instant now) {
  std::set<std::string> keys;
  const auto over = expiry.look(space, now);
  for (const auto& one : over) keys.insert(one.key);
  space.apply(Expire{over});
  return keys;
}

TEST(Expiry, AKeyLivesItsTimeAndNoRenewalIsLost) {
  Space space;
  Expiry expiry;
  expiry.begin();
  space.apply(mortal("a", 5s));
  space.apply(mortal("b", 5s));
  space.apply(put("c"));
  EXPECT_EQ(expire(expiry, space, at(1s)), std::set<std::string>());
  EXPECT_EQ(expiry.next(), at(6s));
  space.apply(Renew{"b", {}, {}, {}});
  EXPECT_EQ(expire(expiry, space, at(4s)), std::set<std::string>());
  EXPECT_EQ(expire(expiry, space, at(5999ms)), std::set<std::string>());
  EXPECT_EQ(expire(expiry, space, at(6s)), std::set<std::string>{"a"});
  EXPECT_EQ(expire(expiry, space, at(8999ms)), std::set<std::string>());
  EXPECT_EQ(expire(expiry, space, at(9s)), std::set<std::string>{"b"});
  EXPECT_NE(space.find("c"), nullptr);
}

TEST(Expiry, UnderANewLeaderTheFullTimeRunsAgain) {
  Space space;
  space.apply(mortal("a", 5s));
  Expiry expiry;
  expiry.begin();
  (void)expiry.look(space, at(0s));
  expiry.begin();
  EXPECT_TRUE(expiry.look(space, at(4s)).empty());
  EXPECT_TRUE(expiry.look(space, at(8999ms)).empty());
  EXPECT_EQ(expiry.look(space, at(9s)).size(), 1u);
}

TEST(Expiry, WhatWasProposedAndGotLostIsProposedAgain) {
  Space space;
  space.apply(mortal("a", 5s));
  Expiry expiry;
  expiry.begin();
  (void)expiry.look(space, at(0s));
  EXPECT_EQ(expiry.look(space, at(5s)).size(), 1u);
  EXPECT_TRUE(expiry.look(space, at(5500ms)).empty());
  EXPECT_EQ(expiry.look(space, at(5s) + Expiry::kRepeat).size(), 1u);
  space.apply(Delete{"a", {}, {}});
  EXPECT_TRUE(expiry.look(space, at(99s)).empty());
  EXPECT_EQ(expiry.next(), kDistantFuture);
}

TEST(Expiry, ManyAreNamedInSeveralTurns) {
  Space space;
  for (std::size_t i = 0; i < kExpiriesPerCommandMax + 3; ++i) space.apply(mortal(std::to_string(i), 1s));
  Expiry expiry;
  expiry.begin();
  (void)expiry.look(space, at(0s));
  EXPECT_EQ(expire(expiry, space, at(1s)).size(), kExpiriesPerCommandMax);
  EXPECT_EQ(expire(expiry, space, at(1s)).size(), 3u);
  EXPECT_EQ(space.keys(), 0u);
}

// ---- against a model -----------------------------------------------------------------------------------------------

// The same rules once more, as plainly as possible: every change of the whole life of the space is kept.
struct Model {
  struct Key {
    std::string value;
    std::uint64_t created, modified, version;
    Duration ttl;
    std::uint64_t life;
  };
  std::map<std::string, Key> keys;
  std::vector<std::pair<std::string, std::string>> changes;  // [i] is revision i + 1: key, and value or why it went
  std::uint64_t lives = 0;
  std::map<std::string, std::pair<std::string, Answer>> answered;  // by request id: the command, its answer

  Answer answer(Outcome outcome, const Key* key) const {
    Answer out;
    out.outcome = outcome;
    out.revision = Revision(changes.size());
    if (key != nullptr) {
      out.modified = Revision(key->modified);
      out.created = Revision(key->created);
      out.version = key->version;
      out.ttl = key->ttl;
    }
    return out;
  }
  const Key* find(const std::string& key) const {
    const auto it = keys.find(key);
    return it == keys.end() ? nullptr : &it->second;
  }
  bool differs(const std::optional<Revision>& wanted, const std::string& key) const {
    return wanted && wanted->value() != (keys.contains(key) ? keys.at(key).modified : 0);
  }
  Answer decide(const Put& c) {
    if (differs(c.compare, c.key)) return answer(Outcome::compare_failed, find(c.key));
    changes.emplace_back(c.key, "=" + c.value);
    auto [it, made] = keys.try_emplace(c.key);
    Key& key = it->second;
    if (made) key = {{}, changes.size(), 0, 0, {}, 0};
    key.value = c.value;
    key.modified = changes.size();
    ++key.version;
    key.ttl = c.ttl;
    key.life = c.ttl == Duration(0) ? 0 : ++lives;
    return answer(Outcome::done, &key);
  }
  Answer decide(const Delete& c) {
    if (differs(c.compare, c.key)) return answer(Outcome::compare_failed, find(c.key));
    if (!keys.contains(c.key)) return answer(Outcome::not_found, nullptr);
    Answer out = answer(Outcome::done, find(c.key));
    keys.erase(c.key);
    changes.emplace_back(c.key, "removed");
    out.revision = Revision(changes.size());
    return out;
  }
  Answer decide(const Renew& c) {
    if (differs(c.compare, c.key)) return answer(Outcome::compare_failed, find(c.key));
    if (!keys.contains(c.key)) return answer(Outcome::not_found, nullptr);
    Key& key = keys.at(c.key);
    if (c.ttl == Duration(0) && key.ttl == Duration(0)) return answer(Outcome::invalid, &key);
    if (c.ttl != Duration(0)) key.ttl = c.ttl;
    key.life = ++lives;
    return answer(Outcome::done, &key);
  }
  Answer decide(const Expire& c) {
    std::uint64_t gone = 0;
    for (const auto& one : c.lives) {
      if (!keys.contains(one.key) || keys.at(one.key).life != one.life.value() || one.life == Life()) continue;
      keys.erase(one.key);
      changes.emplace_back(one.key, "expired");
      ++gone;
    }
    Answer out = answer(Outcome::done, nullptr);
    out.version = gone;
    return out;
  }
  Answer apply(const Command& command) {
    const std::string id = std::visit([](const auto& c) {
      if constexpr (requires { c.request_id; }) return c.request_id;
      else return std::string();
    }, command);
    if (id.empty()) return std::visit([this](const auto& c) { return decide(c); }, command);
    if (const auto it = answered.find(id); it != answered.end()) {
      return it->second.first == encode(command) ? it->second.second : answer(Outcome::invalid, nullptr);
    }
    const Answer decided = std::visit([this](const auto& c) { return decide(c); }, command);
    answered[id] = {encode(command), decided};
    return decided;
  }
};

Command random_command(std::mt19937_64& random, const Model& model, std::uint64_t& ids) {
  const std::string key(1 + random() % 2, static_cast<char>('a' + random() % 4));
  const Model::Key* known = model.find(key);
  std::optional<Revision> compare;
  if (random() % 2 == 0) compare = Revision(known != nullptr && random() % 3 != 0 ? known->modified : random() % 2);
  std::string id;
  if (random() % 2 == 0) id = "id" + std::to_string(random() % 4 == 0 && ids > 0 ? random() % ids : ids++);
  const Duration ttl = random() % 2 == 0 ? Duration(0) : std::chrono::milliseconds(100 + random() % 5);
  switch (random() % 6) {
    case 0: return Delete{key, compare, id};
    case 1: return Renew{key, ttl, compare, id};
    case 2: {
      Expire expire;
      for (const auto& [name, one] : model.keys) {
        if (random() % 3 == 0) expire.lives.push_back({name, Life(random() % 4 == 0 ? one.life + 1 : one.life)});
      }
      return expire;
    }
    default: return Put{key, std::to_string(random() % 100), ttl, compare, id};
  }
}

void expect_equal(const Space& space, const Model& model) {
  ASSERT_EQ(space.revision().value(), model.changes.size());
  ASSERT_EQ(space.keys(), model.keys.size());
  std::uint64_t bytes = 0;
  for (const auto& [name, key] : model.keys) {
    const Item* item = space.find(name);
    ASSERT_NE(item, nullptr);
    ASSERT_EQ(*item->value, key.value);
    ASSERT_EQ(item->life.value(), key.life);
    ASSERT_EQ(item->ttl, key.ttl);
    bytes += name.size() + key.value.size();
  }
  ASSERT_EQ(space.bytes(), bytes);
  const Changes all = space.changes({"", true}, Revision(0), 1'000'000, 1 << 30);
  ASSERT_EQ(all.changes.size(), model.changes.size());
  for (std::size_t i = 0; i < all.changes.size(); ++i) {
    const Change& change = all.changes[i];
    ASSERT_EQ(change.revision().value(), i + 1);
    ASSERT_EQ(change.key, model.changes[i].first);
    const std::string what = change.kind == Change::Kind::put       ? "=" + *change.item.value
                             : change.kind == Change::Kind::removed ? "removed"
                                                                    : "expired";
    ASSERT_EQ(what, model.changes[i].second);
  }
}

TEST(Space, RandomCommandsGoAsInTheModelAndACheckpointGoesOnAsTheWholeLogDoes) {
  std::map<Outcome, int> seen;
  for (int seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    Model model;
    Space whole;
    Space resumed;  // is thrown away now and then and made again from a checkpoint of the other
    std::uint64_t ids = 0;
    for (int step = 0; step < 300; ++step) {
      const Command command = random_command(random, model, ids);
      const Answer expected = model.apply(command);
      Answer got = whole.apply(command);
      ASSERT_EQ(resumed.apply(command), got) << "seed " << seed << " step " << step;
      got.text.clear();
      ASSERT_EQ(got, expected) << "seed " << seed << " step " << step;
      ++seen[got.outcome];
      ASSERT_EQ(encoded(whole), encoded(resumed));
      if (random() % 20 == 0) {
        bool ok = false;
        resumed = decoded(encoded(whole), &ok);
        ASSERT_TRUE(ok);
      }
    }
    expect_equal(whole, model);
    expect_equal(resumed, model);
  }
  EXPECT_EQ(seen.size(), 4u);  // all but no_space, which has tests of its own
}

TEST(Space, ABrokenCheckpointIsRefused) {
  Space space;
  space.apply(mortal("a", 5s));
  space.apply(with_id(mortal("b", 5s), "x"));
  space.apply(Delete{"a", {}, {}});
  const std::string good = encoded(space);
  bool ok = false;
  for (std::size_t length = 0; length < good.size(); ++length) {
    (void)decoded(good.substr(0, length), &ok);
    EXPECT_FALSE(ok);
  }
  // With a life that nobody has, or a history with a gap, it parses and is refused all the same. What a flipped bit
  // leaves sound is used, and is written as it was read.
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    Space other = decoded(flipped, &ok);
    if (ok) other.apply(Expire{{{"b", Life(2)}}});
  }
}

}  // namespace
}  // namespace holdfast::kv
