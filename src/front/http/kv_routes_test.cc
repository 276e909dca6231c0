// /cluster/kv/ over a fake space; with real masters: test/cluster/kv_test.py.
#include <gmock/gmock.h>

#include "test/support/master_node.h"

namespace holdfast::front {
namespace {

using fake::Answer;
using fake::Node;
using master::Refusal;
using ::testing::HasSubstr;

class KvRoutes : public ::testing::Test {
 protected:
  KvRoutes() : node(loops) { node.master.lead(node.address()); }

  Answer put(const std::string& target, const std::string& value) { return node.ask("PUT", "/cluster/kv/" + target, "", value); }
  Answer get(const std::string& target) { return node.get("/cluster/kv/" + target); }

  io::EventLoops loops{2};
  Node node;
};

TEST_F(KvRoutes, AValueComesBackAsItWasPutWithWhereItStands) {
  const std::string bytes("a\0\xff\r\n", 5);
  const auto made = put("dir/a%20b%25", bytes);
  EXPECT_EQ(made.status, 200);
  EXPECT_EQ(made.body, R"({"key":"dir/a b%","revision":1,"createRevision":1,"version":1,"spaceRevision":1})");
  EXPECT_EQ(node.ask("POST", "/cluster/kv/dir/a%20b%25?ttl=1m30s", "", bytes).status, 200);
  const auto read = get("dir/a%20b%25");
  EXPECT_EQ(read.status, 200);
  EXPECT_EQ(read.body, bytes);
  EXPECT_EQ(read.header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(read.header("X-Holdfast-Revision"), "2");
  EXPECT_EQ(read.header("X-Holdfast-Create-Revision"), "1");
  EXPECT_EQ(read.header("X-Holdfast-Version"), "2");
  EXPECT_EQ(read.header("X-Holdfast-Ttl"), "1m30s");
  EXPECT_FALSE(read.has("X-Holdfast-Applied-Index"));
  EXPECT_EQ(get("dir/a%20b%25?stale=true").header("X-Holdfast-Applied-Index"), "77");
  EXPECT_EQ(get("dir/a%20b%25?json=1").body,
            R"({"key":"dir/a b%","valueBase64":"YQD/DQo=","revision":2,"createRevision":1,"version":2,"ttl":"1m30s","spaceRevision":2})");
  const auto head = node.ask("HEAD", "/cluster/kv/dir/a%20b%25");
  EXPECT_EQ(head.header("Content-Length"), "5");
  EXPECT_EQ(head.body, "");
}

TEST_F(KvRoutes, AKeyIsATextAndNoPath) {
  for (const char* key : {"a//b", "a/../b", "/a", "a/", ".", "a?"}) {
    std::string escaped = key;
    if (escaped == "a?") escaped = "a%3F";
    EXPECT_EQ(put(escaped, key).status, 200) << key;
    EXPECT_EQ(get(escaped).body, key);
  }
  EXPECT_EQ(node.master.kv.with([](auto& kv) { return kv.space.keys(); }), 6u);
}

TEST_F(KvRoutes, AnEmptyValueIsAValue) {
  EXPECT_EQ(put("a", "").status, 200);
  EXPECT_EQ(get("a").status, 200);
  EXPECT_EQ(get("a").body, "");
}

TEST_F(KvRoutes, CompareAndSetSaysWhereTheKeyStands) {
  EXPECT_EQ(put("a?cas=0", "1").status, 200);
  const auto taken = put("a?cas=0", "2");
  EXPECT_EQ(taken.status, 412);
  EXPECT_THAT(taken.body, HasSubstr(R"("revision":1,"spaceRevision":1})"));
  EXPECT_THAT(taken.body, HasSubstr("was changed at revision 1: read it again"));
  EXPECT_EQ(put("a?cas=1", "2").status, 200);
  EXPECT_EQ(node.ask("DELETE", "/cluster/kv/a?cas=1").status, 412);
  EXPECT_EQ(node.ask("DELETE", "/cluster/kv/a?cas=2").body,
            R"({"key":"a","revision":3,"previousRevision":2,"spaceRevision":3})");
  EXPECT_EQ(node.ask("DELETE", "/cluster/kv/a").status, 404);
  EXPECT_THAT(put("a?cas=2", "2").body, HasSubstr("does not exist: read it again"));
  EXPECT_EQ(get("a").status, 404);
  EXPECT_EQ(get("a").body, R"({"error":"key \"a\" does not exist","revision":0,"spaceRevision":3})");
}

TEST_F(KvRoutes, ARenewalNeedsATimeToLive) {
  put("a?ttl=10s", "1");
  put("b", "1");
  const auto renewed = node.ask("POST", "/cluster/kv/a?renew=true");
  EXPECT_EQ(renewed.status, 200);
  EXPECT_THAT(renewed.body, HasSubstr(R"("revision":1,)"));
  EXPECT_EQ(get("a").body, "1");
  EXPECT_EQ(node.ask("POST", "/cluster/kv/b?renew=true").status, 400);
  EXPECT_EQ(node.ask("POST", "/cluster/kv/b?renew=true&ttl=5s").status, 200);
  EXPECT_EQ(node.ask("POST", "/cluster/kv/c?renew=true").status, 404);
}

TEST_F(KvRoutes, WhatIsWrongIsSaidAndNothingIsDone) {
  const std::map<std::string, std::string> wrong = {
      {"a?cas=x", "cas \\\"x\\\" is no number"},
      {"a?cas=%zz", "cannot be decoded"},
      {"a?cas=1;x", "cannot be decoded"},
      {"a?CAS=1", "unknown parameter \\\"CAS\\\""},
      {"a?ttl=5", "write it as 500ms, 10s"},
      {"a?ttl=-5s", "write it as"},
      {"a?ttl=0", "leave it out"},
      {"a?ttl=1ms", "at least 100 ms"},
      {"a?requestId=", "requestId is empty"},
      {"a?requestId=" + std::string(65, 'i'), "at most 64"},
      {"", "at least one byte"},
      {std::string(513, 'k'), "at most 512"},
      {"a%00b", "control characters"},
      {"a%ff", "UTF-8"},
  };
  for (const auto& [target, words] : wrong) {
    const auto answer = put(target, "1");
    EXPECT_EQ(answer.status, 400) << target;
    EXPECT_THAT(answer.body, HasSubstr(words)) << target;
  }
  const auto large = put("a", std::string(kv::kValueBytesMax + 1, 'v'));
  EXPECT_EQ(large.status, 413);
  EXPECT_THAT(large.body, HasSubstr("at most 65536 bytes"));
  EXPECT_EQ(node.ask("PATCH", "/cluster/kv/a").status, 405);
  EXPECT_EQ(get("?limit=0").status, 400);
  EXPECT_EQ(get("?watch=1&since=x").status, 400);
  EXPECT_EQ(node.master.kv.with([](auto& kv) { return kv.writes; }), 0u);
  EXPECT_EQ(put("a", std::string(kv::kValueBytesMax, 'v')).status, 200);
}

TEST_F(KvRoutes, AListGoesPageByPage) {
  for (const char* key : {"a/1", "a/2", "a/3", "b"}) put(key, "v");
  EXPECT_EQ(get("?prefix=a/&limit=2&keysOnly=1").body,
            R"({"spaceRevision":4,"keys":[{"key":"a/1","revision":1,"createRevision":1,"version":1},)"
            R"({"key":"a/2","revision":2,"createRevision":2,"version":1}],"more":true,"after":"a/2"})");
  EXPECT_EQ(get("?prefix=a/&limit=2&after=a/2").body,
            R"({"spaceRevision":4,"keys":[{"key":"a/3","value":"v","revision":3,"createRevision":3,"version":1}],"more":false})");
  EXPECT_EQ(node.get("/cluster/kv?prefix=none").body, R"({"spaceRevision":4,"keys":[],"more":false})");
  EXPECT_THAT(get("?stale=1").body, HasSubstr("\"appliedIndex\":77"));
}

TEST_F(KvRoutes, AWatchTellsChangesSinceARevision) {
  put("a", "1");
  put("b", "2");
  node.ask("DELETE", "/cluster/kv/a");
  EXPECT_EQ(get("?watch=1&since=1").body,
            R"({"spaceRevision":3,"changes":[{"type":"put","key":"b","value":"2","revision":2,"createRevision":2,"version":1},)"
            R"({"type":"delete","key":"a","revision":3,"createRevision":1,"version":1}]})");
  EXPECT_THAT(get("b?watch=1&since=0").body, HasSubstr(R"("key":"b")"));
  EXPECT_EQ(get("a/?watch=1&since=0&timeout=0s").body, R"({"spaceRevision":3,"changes":[]})");
  EXPECT_THAT(get("?watch=1&since=0&limit=1").body, HasSubstr(R"({"spaceRevision":1,)"));
  for (int i = 0; i < 5000; ++i) {
    node.master.kv.with([&](auto& kv) { (void)kv.space.apply(kv::Put{"a", "x", {}, {}, {}}); });
  }
  const auto late = get("?watch=1&since=1");
  EXPECT_EQ(late.status, 410);
  EXPECT_THAT(late.body, HasSubstr("compacted"));
  EXPECT_THAT(late.body, HasSubstr("\"oldest\":908}"));
}

TEST_F(KvRoutes, AFullSpaceIs507) {
  node.master.kv.with([](auto& kv) {
    for (int i = 0; i < 255; ++i) {
      (void)kv.space.apply(kv::Put{"k" + std::to_string(i), std::string(kv::kValueBytesMax, 'v'), {}, {}, {}});
    }
  });
  const auto full = put("x", std::string(kv::kValueBytesMax, 'v'));
  EXPECT_EQ(full.status, 507);
  EXPECT_THAT(full.body, HasSubstr("delete some keys first"));
}

TEST_F(KvRoutes, TheWhiteListGuardsReadsAndWrites) {
  ASSERT_TRUE(node.white_list.set("10.0.0.1").ok());
  EXPECT_EQ(put("a", "1").status, 401);
  EXPECT_EQ(get("a").status, 401);
  EXPECT_EQ(node.get("/cluster/kv").status, 401);
}

TEST_F(KvRoutes, APageOfAnotherSiteMayNotWrite) {
  EXPECT_EQ(node.ask("POST", "/cluster/kv/a", "Sec-Fetch-Site: cross-site\r\n", "1").status, 403);
  EXPECT_EQ(node.ask("POST", "/cluster/kv/a", "Sec-Fetch-Site: same-origin\r\n", "1").status, 200);
}

TEST_F(KvRoutes, UntilAllMastersKnowTheSpaceTheAnswerSaysWhoDoesNot) {
  node.master.kv.with([](auto& kv) { kv.closed = Refusal{Refusal::Kind::unsupported, "not all masters know it: m2"}; });
  const auto closed = put("a", "1");
  EXPECT_EQ(closed.status, 501);
  EXPECT_EQ(closed.body, R"({"error":"not all masters know it: m2"})");
}

// ---- followers, and leaders that are lost --------------------------------------------------------------------------

class KvFollower : public ::testing::Test {
 protected:
  KvFollower() : leader(loops), node(loops) {
    leader.master.lead(leader.address());
    node.master.follow(leader.address());
  }
  std::uint64_t written(Node& at) {
    return at.master.kv.with([](auto& kv) { return kv.space.revision().value(); });
  }

  io::EventLoops loops{2};
  Node leader;
  Node node;
};

TEST_F(KvFollower, AWriteIsPassedOnWithItsValueAndItsParameters) {
  const auto made = node.ask("PUT", "/cluster/kv/a%2Fb?cas=0&requestId=x&ttl=10s", "", "value");
  EXPECT_EQ(made.status, 200);
  EXPECT_EQ(written(leader), 1u);
  EXPECT_EQ(written(node), 0u);
  EXPECT_EQ(leader.get("/cluster/kv/a/b").body, "value");
  EXPECT_EQ(leader.get("/cluster/kv/a/b").header("X-Holdfast-Ttl"), "10s");
  EXPECT_EQ(node.ask("PUT", "/cluster/kv/a%2Fb?cas=0", "", "other").status, 412);
  EXPECT_EQ(node.ask("DELETE", "/cluster/kv/a%2Fb").status, 200);
}

TEST_F(KvFollower, WithoutARequestIdALostLeaderLeavesTheOutcomeUnknown) {
  const Refusal unknown{Refusal::Kind::outcome_unknown, "may have been done; ask again under the same request id"};
  leader.master.kv.with([&](auto& kv) { kv.refusals = {unknown}; });
  const auto answer = leader.ask("PUT", "/cluster/kv/a", "", "1");
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("same request id"));
  // Nobody has an answer: then it is unknown too, not "surely not done".
  leader.master.kv.with([&](auto& kv) { kv.refusals.assign(1000, unknown); });
  EXPECT_EQ(node.ask("PUT", "/cluster/kv/a", "", "1").status, 500);
}

TEST_F(KvFollower, WhatItPassesOnCountsOnceByAnIdOfItsOwn) {
  for (const std::string query : {"", "?cas=0"}) {
    leader.master.kv.with([](auto& kv) {
      kv.refusals = {Refusal{Refusal::Kind::outcome_unknown, "may have been done"}};
    });
    const auto before = written(leader);
    const auto answer = node.ask("PUT", "/cluster/kv/a" + std::to_string(before) + query, "", "1");
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(written(leader), before + 1);
  }
}

TEST_F(KvFollower, WithARequestIdItIsAskedAgainAndCountsOnce) {
  for (Node* at : {&leader, &node}) {
    leader.master.kv.with([](auto& kv) {
      kv.refusals = {Refusal{Refusal::Kind::outcome_unknown, "may have been done"}};
    });
    const auto before = written(leader);
    const std::string id = at == &node ? "of node" : "of leader";
    const auto answer = at->ask("PUT", "/cluster/kv/a?requestId=" + id.substr(3), "", "1");
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(written(leader), before + 1);
  }
}

TEST_F(KvFollower, ReadsAreAnsweredHere) {
  leader.master.kv.with([](auto& kv) { (void)kv.space.apply(kv::Put{"a", "leader", {}, {}, {}}); });
  node.master.kv.with([](auto& kv) { (void)kv.space.apply(kv::Put{"a", "here", {}, {}, {}}); });
  EXPECT_EQ(node.get("/cluster/kv/a").body, "here");
}

}  // namespace
}  // namespace holdfast::front
