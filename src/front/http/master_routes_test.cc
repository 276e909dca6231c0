#include "front/http/master_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <thread>

#include "front/http/json.h"
#include "front/http/page_assets.h"
#include "test/support/master_node.h"

namespace holdfast::front {
namespace {

using master::Refusal;
using test::FakeMaster;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using fake::Answer;
using fake::Node;

class Routes : public ::testing::Test {
 protected:
  Routes() : node(loops) {
    node.master.lead(node.address());
    node.master.add_volume(3, "127.0.0.1:8080");
  }
  io::EventLoops loops{2};
  Node node;
};

const std::regex kRequestId("[0-9A-F]{24}");

// ---- /dir/assign ---------------------------------------------------------------------------------------------------

TEST_F(Routes, AssignAnswersWithAFileIdAndWhereToPutIt) {
  const auto answer = node.get("/dir/assign");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"fid":"3,01637037d6","url":"127.0.0.1:8080","publicUrl":"127.0.0.1:8080","count":1})");
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  EXPECT_EQ(answer.header("X-Content-Type-Options"), "nosniff");
  EXPECT_TRUE(std::regex_match(answer.header("X-Amz-Request-Id"), kRequestId)) << answer.head;
  EXPECT_FALSE(answer.has("Server"));
}

TEST_F(Routes, AssignTakesItsParametersFromTheQuery) {
  node.get("/dir/assign?count=5&collection=c%20d&replication=001&ttl=3m&disk=ssd&dataCenter=dc1&rack=r1&dataNode=n:1"
           "&preallocate=-7&memoryMapMaxSizeMb=9&writableVolumeCount=4&dataSize=123");
  const auto params = node.master.with([](auto& m) { return m.assign_params; });
  const std::map<std::string, std::string> expected = {
      {"count", "5"},          {"collection", "c d"},  {"replication", "001"},       {"ttl", "3m"},
      {"disk", "ssd"},         {"dataCenter", "dc1"},  {"rack", "r1"},               {"dataNode", "n:1"},
      {"preallocate", "-7"},   {"dataSize", "123"},    {"writableVolumeCount", "4"}, {"memoryMapMaxSizeMb", "9"}};
  EXPECT_EQ(params, expected);
}

TEST_F(Routes, AssignTakesItsParametersFromABodyFirst) {
  const std::string form = "Content-Type: application/x-www-form-urlencoded\r\n";
  for (const char* method : {"POST", "PUT", "PATCH"}) {
    const auto answer = node.ask(method, "/dir/assign?count=2&ttl=3m", form, "count=7");
    EXPECT_THAT(answer.body, HasSubstr("\"count\":7")) << method;
  }
  EXPECT_EQ(node.master.with([](auto& m) { return m.assign_params["ttl"]; }), "3m");
  // DELETE bodies are not read, and a body of another type is none of our business.
  EXPECT_THAT(node.ask("DELETE", "/dir/assign?count=2", form, "count=7").body, HasSubstr("\"count\":2"));
  EXPECT_THAT(node.ask("POST", "/dir/assign?count=2", "Content-Type: text/plain\r\n", "count=7").body, HasSubstr("\"count\":2"));
  const auto multipart = node.ask("POST", "/dir/assign", "Content-Type: multipart/form-data; boundary=B\r\n",
                                  "--B\r\nContent-Disposition: form-data; name=\"count\"\r\n\r\n9\r\n--B--\r\n");
  EXPECT_THAT(multipart.body, HasSubstr("\"count\":9"));
}

TEST_F(Routes, ACountThatIsNoneIsOne) {
  for (const char* count : {"0", "-1", "x", "", "1.5", "%zz"}) {
    EXPECT_THAT(node.get(std::string("/dir/assign?count=") + count).body, HasSubstr("\"count\":1}")) << count;
  }
}

TEST_F(Routes, HeadTakesAKeyAndSendsNoBody) {
  const auto answer = node.ask("HEAD", "/dir/assign");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(node.master.with([](auto& m) { return m.assigns; }), 1u);
}

TEST_F(Routes, AnyMethodIsAsGoodAsGetOnDataRoutes) {
  for (const char* method : {"OPTIONS", "PROPFIND", "DELETE", "PUT", "PATCH"}) {
    EXPECT_EQ(node.ask(method, "/dir/assign").status, 200) << method;
    EXPECT_EQ(node.ask(method, "/dir/lookup?volumeId=3").status, 200) << method;
  }
}

TEST_F(Routes, PrettyIndentsAlsoErrors) {
  EXPECT_THAT(node.get("/dir/assign?pretty=y").body, StartsWith("{\n  \"fid\": \"3,"));
  EXPECT_THAT(node.get("/dir/assign?pretty=").body, StartsWith("{\"fid\":"));
  EXPECT_EQ(node.get("/dir/assign?pretty=1&preallocate=x").body,
            "{\n  \"error\": \"Failed to parse int64 preallocate = x: strconv.ParseInt: parsing \\\"x\\\": invalid syntax\"\n}");
  EXPECT_THAT(node.get("/dir/assign?callback=f").body, StartsWith("{\"fid\""));
}

TEST_F(Routes, AssignRefusesNumbersThatAreNone) {
  const auto bad = node.get("/dir/assign?memoryMapMaxSizeMb=x");
  EXPECT_EQ(bad.status, 406);
  EXPECT_EQ(bad.body, R"({"error":"strconv.ParseUint: parsing \"x\": invalid syntax"})");
  EXPECT_EQ(node.get("/dir/assign?preallocate=x").status, 406);
  EXPECT_EQ(node.master.with([](auto& m) { return m.assigns; }), 0u);
}

TEST_F(Routes, AssignChecksItsParametersInUpstreamsOrder) {
  const std::pair<const char*, const char*> cases[] = {
      {"replication=256&ttl=zz&memoryMapMaxSizeMb=x&preallocate=x", "unexpected replication type: 256"},
      {"ttl=zz&memoryMapMaxSizeMb=x&preallocate=x", R"(strconv.Atoi: parsing \"z\": invalid syntax)"},
      {"memoryMapMaxSizeMb=x&preallocate=x", R"(strconv.ParseUint: parsing \"x\": invalid syntax)"},
  };
  for (const auto& [query, text] : cases) {
    const auto answer = node.get(std::string("/dir/assign?") + query);
    EXPECT_EQ(answer.status, 406);
    EXPECT_EQ(answer.body, std::string(R"({"error":")") + text + "\"}") << query;
  }
}

TEST_F(Routes, EachRefusalHasItsStatusAndText) {
  struct Case {
    Refusal refusal;
    int status;
    std::string retry_after;
  };
  const Case cases[] = {
      {{Refusal::Kind::bad_request, "data center X not found in topology"}, 400, ""},
      {{Refusal::Kind::not_acceptable, "failed to find writable volumes"}, 406, ""},
      {{Refusal::Kind::busy, "no writable volumes for {\"replication\":{}}, volume growth in progress", 1s}, 503, "1"},
      {{Refusal::Kind::warming_up, "master is warming up, topology is still loading", 2100ms}, 503, "3"},
      {{Refusal::Kind::unavailable, "no leader"}, 503, "1"},
      {{Refusal::Kind::timed_out, "request timeout"}, 408, ""},
      {{Refusal::Kind::outcome_unknown, "may have been done"}, 500, ""},
      {{Refusal::Kind::unsupported, "not built"}, 501, ""},
      {{Refusal::Kind::failed, "disk"}, 500, ""},
  };
  for (const auto& c : cases) {
    node.master.with([&](auto& m) { m.refusal = c.refusal; });
    const auto answer = node.get("/dir/assign");
    EXPECT_EQ(answer.status, c.status);
    EXPECT_EQ(answer.header("Retry-After"), c.retry_after) << c.refusal.text;
    EXPECT_TRUE(std::regex_match(answer.header("X-Amz-Request-Id"), kRequestId));
    std::string expected;
    JsonWriter(expected).begin_object().field("error", c.refusal.text).end_object();
    EXPECT_EQ(answer.body, expected);
  }
}

TEST_F(Routes, AnAssignThatTakesWaitingIsAnsweredLater) {
  node.master.with([](auto& m) { m.at_once = false; });
  EXPECT_EQ(node.get("/dir/assign?count=2").body,
            R"({"fid":"3,01637037d6","url":"127.0.0.1:8080","publicUrl":"127.0.0.1:8080","count":2})");
}

TEST_F(Routes, AFormTooLargeIsRefused) {
  const auto answer = node.ask("POST", "/dir/assign", "Content-Type: application/x-www-form-urlencoded\r\n",
                               std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(answer.status, 413);
  EXPECT_THAT(answer.body, HasSubstr("files go to /submit"));
}

// ---- /dir/lookup ---------------------------------------------------------------------------------------------------

TEST_F(Routes, LookupTellsWhereAVolumeIs) {
  const auto answer = node.get("/dir/lookup?volumeId=3");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            R"({"volumeOrFileId":"3","locations":[{"url":"127.0.0.1:8080","publicUrl":"127.0.0.1:8080","dataCenter":"dc1","grpcPort":18080}]})");
}

TEST_F(Routes, LookupEchoesTheVolumeIdAsGiven) {
  const auto echo = [&](const std::string& query) {
    const auto body = node.get("/dir/lookup?" + query).body;
    std::smatch match;
    return std::regex_search(body, match, std::regex("^\\{\"volumeOrFileId\":\"([^\"]*)\",\"locations\"")) ? match[1].str() : body;
  };
  EXPECT_EQ(echo("volumeId=003"), "003");
  EXPECT_EQ(echo("volumeId=3,01637037d6"), "3");
  EXPECT_EQ(echo("volumeId=9&fileId=3,01637037d6"), "3");
  EXPECT_EQ(echo("volumeId=3&fileId=9"), "3");  // a fileId without a comma does not count
  EXPECT_EQ(echo("volumeId=3&volumeId=4"), "3");
  EXPECT_EQ(echo("volumeId=4294967299"), "4294967299");  // kept to 32 bits: 3
}

TEST_F(Routes, LookupSaysWhatIsNotThere) {
  const auto not_found = [&](const std::string& query) {
    const auto answer = node.get("/dir/lookup" + query);
    EXPECT_EQ(answer.status, 404);
    return answer.body;
  };
  EXPECT_EQ(not_found("?volumeId=9"), R"({"volumeOrFileId":"9","error":"volume id 9 not found"})");
  EXPECT_EQ(not_found("?volumeId=abc"), R"({"volumeOrFileId":"abc","error":"Unknown volume id abc"})");
  EXPECT_EQ(not_found(""), R"({"error":"Unknown volume id "})");
  EXPECT_EQ(not_found("?volumeId=3&collection=other"), R"({"volumeOrFileId":"3","error":"volume id 3 not found"})");
}

TEST_F(Routes, LookupOfAnUnknownVolumeWhileWarmingUpSaysToRetry) {
  node.master.with([](auto& m) { m.unknown.warming_up = true; });
  const auto answer = node.get("/dir/lookup?volumeId=9");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Retry-After"), "1");
  EXPECT_EQ(answer.body, R"({"volumeOrFileId":"9","error":"service warming up, please retry"})");
}

// ---- /{fileId} -----------------------------------------------------------------------------------------------------

TEST_F(Routes, AFileIdIsRedirectedToItsVolumeServer) {
  const auto answer = node.get("/3,01637037d6?a=b&c=d");
  EXPECT_EQ(answer.status, 308);
  EXPECT_EQ(answer.header("Location"), "http://127.0.0.1:8080/3,01637037d6?a=b&c=d");
  EXPECT_EQ(answer.header("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(answer.body, "<a href=\"http://127.0.0.1:8080/3,01637037d6?a=b&amp;c=d\">Permanent Redirect</a>.\n\n");
  for (const char* path : {"/3", "/3,zz", "/3,01.html", "/3,1,2"}) {
    EXPECT_EQ(node.get(path).status, std::string(path) == "/3,1,2" ? 404 : 308) << path;
  }
}

TEST_F(Routes, OtherMethodsAreRedirectedWithoutABody) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    const auto answer = node.ask(method, "/3,01637037d6");
    EXPECT_EQ(answer.status, 308);
    EXPECT_EQ(answer.body, "");
    EXPECT_FALSE(answer.has("Content-Type"));
  }
}

TEST_F(Routes, ARedirectCannotBeMadeToForgeHeaders) {
  const auto answer = node.get("/3,01%0d%0aX-Evil:%201%3Fx%25");
  EXPECT_EQ(answer.status, 308);
  EXPECT_EQ(answer.header("Location"), "http://127.0.0.1:8080/3,01%0D%0AX-Evil:%201%3Fx%25");
  EXPECT_FALSE(answer.has("X-Evil"));
}

TEST_F(Routes, AnUnknownVolumeIsNotFound) {
  EXPECT_EQ(node.get("/9,01").body, R"({"error":"volume id 9 not found: volume id 9 not found"})");
  EXPECT_EQ(node.get("/nosuchpage").body, R"({"error":"volume id nosuchpage not found: Unknown volume id nosuchpage"})");
  EXPECT_EQ(node.get("/nosuchpage").status, 404);
  EXPECT_EQ(node.get("/3,01?collection=other").status, 404);
  node.master.with([](auto& m) { m.unknown.warming_up = true; });
  EXPECT_EQ(node.get("/9,01").status, 503);
}

TEST_F(Routes, ReplicasAreNamedByChance) {
  node.master.add_volume(3, "127.0.0.1:8081");
  std::set<std::string> seen;
  for (int i = 0; i < 60; ++i) seen.insert(node.get("/3,01").header("Location"));
  EXPECT_THAT(seen, ElementsAre("http://127.0.0.1:8080/3,01", "http://127.0.0.1:8081/3,01"));
}

// ---- growth, deletion, collections, vacuum ---------------------------------------------------------------------------

TEST_F(Routes, GrowTellsHowManyReplicasItMade) {
  const auto answer = node.get("/vol/grow?count=4&collection=c&replication=000&ttl=1h&disk=ssd&dataCenter=d&rack=r&dataNode=n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"count":4})");
  const auto grown = node.master.with([](auto& m) { return m.grown.at(0); });
  EXPECT_EQ(grown.collection + grown.replication + grown.ttl + grown.disk_type + grown.data_center + grown.rack + grown.data_node,
            "c0001hssddrn");
}

TEST_F(Routes, GrowChecksItsParametersInUpstreamsOrder) {
  const auto refused = [&](const std::string& query) {
    const auto answer = node.get("/vol/grow" + query);
    EXPECT_EQ(answer.status, 406) << query;
    return answer.body;
  };
  EXPECT_EQ(refused("?replication=256"), R"({"error":"unexpected replication type: 256"})");
  EXPECT_EQ(refused("?count=x&ttl=zz"), R"({"error":"strconv.Atoi: parsing \"z\": invalid syntax"})");
  EXPECT_EQ(refused(""), R"({"error":"can not parse parameter count "})");
  EXPECT_EQ(refused("?count=-1"), R"({"error":"can not parse parameter count -1"})");
  EXPECT_EQ(refused("?count=4294967296"), R"({"error":"can not parse parameter count 4294967296"})");
  EXPECT_EQ(node.get("/vol/grow?count=0").body, R"({"count":0})");
  EXPECT_EQ(node.master.with([](auto& m) { return m.grown.size(); }), 0u);
}

TEST_F(Routes, DeletingACollectionNeedsItsName) {
  node.master.with([](auto& m) {
    m.known_collections[""];
    m.known_collections["c"];
  });
  const auto missing = node.get("/col/delete");
  EXPECT_EQ(missing.status, 400);
  EXPECT_THAT(missing.body, HasSubstr("collection is required: nothing was deleted."));
  EXPECT_EQ(node.get("/col/delete?collection=").status, 400);
  EXPECT_EQ(node.get("/col/delete?collection=c&default=yes").status, 400);
  EXPECT_TRUE(node.master.with([](auto& m) { return m.deleted; }).empty());

  const auto done = node.get("/col/delete?collection=c");
  EXPECT_EQ(done.status, 204);
  EXPECT_EQ(done.body, "");
  EXPECT_EQ(node.get("/col/delete?collection=c").body, R"({"error":"collection c does not exist"})");
  EXPECT_EQ(node.get("/col/delete?default=yes").status, 204);
  EXPECT_THAT(node.master.with([](auto& m) { return m.deleted; }), ElementsAre("c", ""));
}

TEST_F(Routes, CollectionInfoCounts) {
  node.master.with([](auto& m) { m.known_collections["c"] = {"c", 5, 1000, 10, 1, 7}; });
  EXPECT_EQ(node.get("/collection/info?collection=c").body,
            R"({"Collection":"c","FileCount":5,"TotalSize":1000,"UsedSize":10,"Version":"30GB 4.44 ","VolumeCount":1})");
  EXPECT_EQ(node.get("/collection/info?collection=c&detail=true").body,
            R"([{"Collection":"c","FileCount":5,"TotalSize":1000,"UsedSize":10,"Version":"30GB 4.44 "}])");
  const auto missing = node.get("/collection/info");
  EXPECT_EQ(missing.status, 400);
  EXPECT_EQ(missing.body, R"({"error":"collection is required"})");
  EXPECT_EQ(node.get("/collection/info?collection=x").body, R"({"error":"collection x does not exist"})");
}

TEST_F(Routes, VacuumRunsAndShowsTheStatus) {
  const auto done = node.get("/vol/vacuum?garbageThreshold=0.4");
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(done.body, node.get("/dir/status").body);
  EXPECT_EQ(node.get("/vol/vacuum").status, 200);
  EXPECT_THAT(node.master.with([](auto& m) { return m.vacuumed; }), ElementsAre(0.4, -1));
  const auto bad = node.get("/vol/vacuum?garbageThreshold=x");
  EXPECT_EQ(bad.status, 406);
  EXPECT_EQ(bad.body, R"({"error":"garbageThreshold x is not a valid float number"})");
}

// ---- status --------------------------------------------------------------------------------------------------------

master::TopologyStatus topology_with_a_server() {
  master::ServerStatus server;
  server.id = server.url = "127.0.0.1:8080";
  server.public_url = "localhost:8080";
  server.max = 8;
  server.free = 4;
  server.volumes = 4;
  server.disks[""].volume_ids = {VolumeId(1), VolumeId(2), VolumeId(3), VolumeId(5)};
  auto info = std::make_shared<VolumeInfo>();
  info->id = VolumeId(1);
  info->size = 1234;
  info->replica_placement = *ReplicaPlacement::parse("012");
  info->ttl = *Ttl::parse("3m");
  server.volume_infos = {info};
  master::ServerStatus empty = server;
  empty.id = empty.url = empty.public_url = "127.0.0.1:8081";
  empty.volumes = 0;
  empty.disks[""].volume_ids.clear();
  empty.volume_infos.clear();
  master::LayoutStatus layout;
  layout.writables = {VolumeId(1), VolumeId(2)};
  layout.ttl = *Ttl::parse("300m");
  master::LayoutStatus unused;
  unused.collection = "c";
  unused.disk_type = "ssd";
  master::TopologyStatus out;
  out.max = 16;
  out.free = 12;
  out.data_centers = {{"dc1", {{"r1", {server, empty}}}}};
  out.layouts = {layout, unused};
  return out;
}

TEST_F(Routes, DirStatusIsUpstreams) {
  node.master.with([](auto& m) {
    m.topology = topology_with_a_server();
    m.cluster.cluster_id = ClusterId(Uuid{0x0123456789abcdef, 0xfedcba9876543210});
  });
  EXPECT_EQ(node.get("/dir/status").body,
            R"({"Topology":{"Max":16,"Free":12,"DataCenters":[{"Id":"dc1","Racks":[{"Id":"r1","DataNodes":[)"
            R"({"Url":"127.0.0.1:8080","PublicUrl":"localhost:8080","Volumes":4,"EcShards":0,"Max":8,"VolumeIds":" 1-3 5"},)"
            R"({"Url":"127.0.0.1:8081","PublicUrl":"127.0.0.1:8081","Volumes":0,"EcShards":0,"Max":8,"VolumeIds":" "}]}]}],)"
            R"("Layouts":[{"replication":"000","ttl":"5h","writables":[1,2],"collection":"","diskType":"hdd"},)"
            R"({"replication":"000","ttl":"","writables":null,"collection":"c","diskType":"ssd"}]},)"
            R"("TopologyId":"01234567-89ab-cdef-fedc-ba9876543210","Version":"30GB 4.44 "})");
}

TEST_F(Routes, DirStatusWithoutServersHasNulls) {
  EXPECT_EQ(node.get("/dir/status").body,
            R"({"Topology":{"Max":0,"Free":0,"DataCenters":null,"Layouts":null},"TopologyId":"","Version":"30GB 4.44 "})");
}

TEST_F(Routes, VolStatusListsVolumes) {
  EXPECT_EQ(node.get("/vol/status").body, R"({"Version":"30GB 4.44 ","Volumes":{"DataCenters":{},"Free":0,"Max":0}})");
  node.master.with([](auto& m) { m.topology = topology_with_a_server(); });
  EXPECT_EQ(node.get("/vol/status").body,
            R"({"Version":"30GB 4.44 ","Volumes":{"DataCenters":{"dc1":{"r1":{"127.0.0.1:8080":[{"Collection":"","DiskType":"",)"
            R"("RemoteStorageName":"","ReplicaPlacement":{"node":2,"rack":1},"Ttl":{"Count":3,"Unit":1},"Size":1234,)"
            R"("DeletedByteCount":0,"ModifiedAtSecond":0,"Id":1,"DiskId":0,"CompactRevision":0,"FileCount":0,"DeleteCount":0,)"
            R"("Version":3,"ReadOnly":false}],"127.0.0.1:8081":[]}}},"Free":12,"Max":16}})");
}

std::shared_ptr<const master::View> view_of_three(bool leads) {
  auto view = std::make_shared<master::View>();
  for (std::uint64_t i = 1; i <= 3; ++i) {
    master::MemberView member;
    member.id = NodeId(Uuid{i, i});
    member.self = i == 2;
    member.connected = true;
    member.http = "127.0.0.1:" + std::to_string(9332 + i);
    member.grpc = "127.0.0.1:" + std::to_string(19332 + i);
    view->members.push_back(member);
  }
  view->self = NodeId(Uuid{2, 2});
  view->leader = NodeId(Uuid{leads ? 2u : 1u, leads ? 2u : 1u});
  view->role = leads ? master::Role::leader : master::Role::follower;
  view->term = Term(7);
  view->commit = Index(40);
  view->applied = Index(39);
  view->last = Index(42);
  view->last_term = Term(7);
  view->snapshot = Index(20);
  view->snapshot_term = Term(5);
  view->configuration = Index(3);
  return view;
}

TEST_F(Routes, ClusterStatusNamesTheLeaderAndTheOthers) {
  node.master.with([](auto& m) {
    m.cluster.view = view_of_three(true);
    m.cluster.max_volume_id = VolumeId(7);
  });
  const auto answer = node.get("/cluster/status");
  EXPECT_EQ(answer.body, R"({"IsLeader":true,"Leader":"127.0.0.1:9334.19334","Peers":["127.0.0.1:9333.19333","127.0.0.1:9335.19335"],"MaxVolumeId":7})");
  EXPECT_FALSE(answer.has("X-Amz-Request-Id"));
  node.master.with([](auto& m) {
    m.cluster.view = view_of_three(false);
    m.cluster.max_volume_id = VolumeId(0);
  });
  EXPECT_EQ(node.get("/cluster/status").body,
            R"({"Leader":"127.0.0.1:9333.19333","Peers":["127.0.0.1:9333.19333","127.0.0.1:9335.19335"]})");
  node.master.with([](auto& m) { m.cluster.view = std::make_shared<master::View>(); });
  EXPECT_EQ(node.get("/cluster/status").body, "{}");
}

TEST_F(Routes, RaftStatsAreTexts) {
  node.master.with([](auto& m) { m.cluster.view = view_of_three(true); });
  const auto body = node.get("/raft/stats").body;
  EXPECT_THAT(body, AllOf(HasSubstr(R"("applied_index":"39")"), HasSubstr(R"("commit_index":"40")"), HasSubstr(R"("fsm_pending":"1")"),
                          HasSubstr(R"("num_peers":"2")"), HasSubstr(R"("state":"Leader")"), HasSubstr(R"("term":"7")")));
  EXPECT_THAT(body, AllOf(HasSubstr(R"("last_log_index":"42")"), HasSubstr(R"("last_log_term":"7")"),
                          HasSubstr(R"("last_snapshot_index":"20")"), HasSubstr(R"("last_snapshot_term":"5")"),
                          HasSubstr(R"("latest_configuration_index":"3")"), HasSubstr(R"("protocol_version":"1")"),
                          HasSubstr(R"("protocol_version_max":"1")"), HasSubstr(R"("protocol_version_min":"1")"),
                          HasSubstr(R"("snapshot_version_max":"1")"), HasSubstr(R"("snapshot_version_min":"1")")));
}

TEST_F(Routes, HealthIsWhetherALeaderIsKnown) {
  for (const char* method : {"GET", "HEAD"}) {
    for (const char* path : {"/cluster/healthz", "/readyz", "/healthz"}) EXPECT_EQ(node.ask(method, path).status, 200) << path;
  }
  EXPECT_TRUE(node.get("/healthz").has("X-Amz-Request-Id"));
  EXPECT_TRUE(node.get("/readyz").has("X-Amz-Request-Id"));
  EXPECT_FALSE(node.get("/cluster/healthz").has("X-Amz-Request-Id"));
  node.master.lose_leader();
  EXPECT_EQ(node.get("/cluster/healthz").status, 503);
  EXPECT_EQ(node.get("/readyz").status, 503);
  EXPECT_EQ(node.get("/healthz").status, 200);
  EXPECT_EQ(node.get("/healthz").body, "");
}

TEST_F(Routes, OnlyGetAndHeadOfClusterRoutes) {
  for (const char* path : {"/cluster/status", "/cluster/healthz", "/raft/stats"}) {
    const auto answer = node.ask("POST", path);
    EXPECT_EQ(answer.status, 405) << path;
    EXPECT_EQ(answer.body, "");
    EXPECT_FALSE(answer.has("Allow"));
  }
  EXPECT_EQ(node.ask("POST", "/healthz").body, R"({"error":"volume id healthz not found: Unknown volume id healthz"})");
}

// ---- paths, statics, page, guard -------------------------------------------------------------------------------------

TEST_F(Routes, UnknownPathsHaveGosWords) {
  for (const char* path : {"/dir/", "/dir/assign/", "/stats/health", "/3/01637037d6", "/3,01637037d6/a.txt", "/DIR/assign",
                           "/seaweedfsstatic/none"}) {
    const auto answer = node.get(path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_EQ(answer.body, "404 page not found\n") << path;
    EXPECT_EQ(answer.header("Content-Type"), "text/plain; charset=utf-8");
    EXPECT_EQ(answer.header("X-Content-Type-Options"), "nosniff");
    EXPECT_FALSE(answer.has("X-Amz-Request-Id"));
  }
  for (const char* path : {"/stats", "/dir", "/ui"}) {
    EXPECT_THAT(node.get(path).body, StartsWith("{\"error\":\"volume id ")) << path;
  }
}

TEST_F(Routes, UncleanPathsAreRedirected) {
  const auto location = [&](const std::string& target) {
    const auto answer = node.get(target);
    EXPECT_EQ(answer.status, 301) << target;
    EXPECT_EQ(answer.body, "");
    EXPECT_FALSE(answer.has("Content-Type"));
    return answer.header("Location");
  };
  EXPECT_EQ(location("//dir/assign?x=1&y"), "/dir/assign?x=1&y");
  EXPECT_EQ(location("/dir/./assign"), "/dir/assign");
  EXPECT_EQ(location("/a/../3,01"), "/3,01");
  EXPECT_EQ(location("/%2f"), "/");
  EXPECT_EQ(location("/a%20b/../c%20d"), "/c%20d");
}

TEST_F(Routes, OptionsOfTheWholeServerIsNoPath) {
  const auto answer = node.ask("OPTIONS", "*");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("Content-Length"), "0");
  EXPECT_EQ(node.ask("GET", "*").status, 400);
}

TEST_F(Routes, EncodedPathsAreRoutesAllTheSame) {
  EXPECT_EQ(node.get("/dir/%61ssign").status, 200);
  EXPECT_EQ(node.get("/3%2c01637037d6").status, 308);
}

TEST_F(Routes, ServesThePageInAnyMethodAndWithoutALeader) {
  node.master.lose_leader();
  for (const char* path : {"/", "/ui/index.html"}) {
    const auto answer = node.get(path);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.header("Content-Type"), "text/html; charset=utf-8");
    EXPECT_THAT(answer.header("Content-Security-Policy"), StartsWith("default-src 'none'"));
    EXPECT_TRUE(answer.has("X-Amz-Request-Id"));
    EXPECT_THAT(answer.body, HasSubstr("No leader: reads go on, uploads wait."));
  }
  EXPECT_EQ(node.ask("POST", "/").status, 200);
}

TEST_F(Routes, ServesItsStaticFiles) {
  EXPECT_EQ(node.get("/favicon.ico").header("Content-Type"), "image/x-icon");
  const auto png = node.get("/seaweedfsstatic/seaweed50x50.png");
  EXPECT_EQ(png.header("Content-Type"), "image/png");
  EXPECT_EQ(png.body, static_file("seaweed50x50.png")->bytes);
  EXPECT_THAT(node.get("/seaweedfsstatic/").body, HasSubstr("<a href=\"seaweed50x50.png\">"));
  EXPECT_EQ(node.ask("DELETE", "/favicon.ico").status, 200);
}

TEST_F(Routes, TheWhiteListGuardsTheDataRoutes) {
  ASSERT_TRUE(node.white_list.set("10.0.0.0/8").ok());
  for (const char* path : {"/dir/assign", "/dir/lookup?volumeId=3", "/dir/status", "/col/delete", "/vol/grow", "/vol/status",
                           "/vol/vacuum", "/submit", "/collection/info"}) {
    const auto answer = node.get(path);
    EXPECT_EQ(answer.status, 401) << path;
    EXPECT_EQ(answer.body, "");
    EXPECT_FALSE(answer.has("X-Amz-Request-Id"));
  }
  EXPECT_EQ(node.ask("GET", "/dir/assign", "X-Forwarded-For: 10.0.0.1\r\n").status, 401);
  EXPECT_EQ(node.ask("GET", "/dir/assign", "X-Holdfast-Forwarded: 1\r\n").status, 401);
  for (const char* path : {"/", "/cluster/status", "/healthz", "/ui/index.html"}) EXPECT_EQ(node.get(path).status, 200) << path;
  EXPECT_EQ(node.get("/3,01").status, 308);
  // A fellow master, which has looked already, shows that it is one by naming this process.
  node.master.with([](auto& m) {
    auto view = std::make_shared<master::View>(*view_of_three(true));
    view->process = Uuid{5, 6};
    m.cluster.view = view;
  });
  EXPECT_EQ(node.ask("GET", "/dir/assign", "X-Holdfast-Forwarded: 1\r\n").status, 401);
  EXPECT_EQ(node.ask("GET", "/dir/assign", "X-Holdfast-Forwarded: " + text(Uuid{5, 6}) + "\r\n").status, 200);
}

// ---- /cluster/leader/stepdown --------------------------------------------------------------------------------------

constexpr const char* kStepDown = "/cluster/leader/stepdown";

TEST_F(Routes, TheLeaderStepsDownForTheBestHeirOrTheOneNamed) {
  node.master.with([](auto& m) { m.cluster.view = view_of_three(true); });
  const auto& view = *node.master.cluster.view;
  const auto* self = view.member(view.self);
  auto answer = node.ask("POST", kStepDown);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "{\"steppedDown\":\"" + self->http + "\"}");
  std::string heir;
  for (const auto& member : view.members) {
    if (!member.self) heir = member.http;
  }
  EXPECT_EQ(node.ask("POST", std::string(kStepDown) + "?to=" + heir).status, 200);
  ASSERT_EQ(node.transfers.size(), 2u);
  EXPECT_EQ(node.transfers[0], std::nullopt);
  EXPECT_EQ(node.transfers[1], std::find_if(view.members.begin(), view.members.end(), [&](auto& m) { return m.http == heir; })->id);
  // Nothing is done for one who means another leader, or an heir that is none.
  answer = node.ask("POST", std::string(kStepDown) + "?from=" + heir);
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr(self->http + " leads by now, not " + heir));
  answer = node.ask("POST", std::string(kStepDown) + "?to=" + self->http);
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr(heir));
  EXPECT_EQ(node.ask("POST", std::string(kStepDown) + "?from=" + self->http).status, 200);
  EXPECT_EQ(node.transfers.size(), 3u);
  node.transfer_outcome = Error(Code::unavailable, "leadership stays here: nobody is up to date");
  answer = node.ask("POST", kStepDown);
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("nobody is up to date"));
}

TEST_F(Routes, SteppingDownTakesAPostFromWhoMayAdministrate) {
  for (const char* method : {"GET", "HEAD", "PUT", "DELETE"}) EXPECT_EQ(node.ask(method, kStepDown).status, 405) << method;
  EXPECT_EQ(node.ask("POST", kStepDown, "Origin: http://evil.example\r\n").status, 403);
  EXPECT_EQ(node.ask("POST", kStepDown, "Origin: http://x\r\n").status, 200);  // the Host that the test sends
  Node guarded(loops, {.admin_token = "s3cret"});
  guarded.master.lead(guarded.address());
  const auto refused = guarded.ask("POST", kStepDown);
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.body, HasSubstr("admin.token"));
  EXPECT_EQ(guarded.ask("POST", kStepDown, "Authorization: Bearer s3cret\r\n").status, 200);
  ASSERT_TRUE(guarded.white_list.set("10.0.0.0/8").ok());
  EXPECT_EQ(guarded.ask("POST", kStepDown, "Authorization: Bearer s3cret\r\n").status, 401);
  EXPECT_EQ(guarded.transfers.size(), 1u);
}

TEST_F(Routes, DisableHttpLeavesHealthStatusAndPage) {
  Node bare(loops, {.disable_http = true});
  bare.master.lead(bare.address());
  bare.master.add_volume(3, "127.0.0.1:8080");
  for (const char* path : {"/dir/assign", "/dir/lookup?volumeId=3", "/dir/status", "/col/delete", "/vol/grow", "/vol/status",
                           "/vol/vacuum", "/submit", "/collection/info", "/3,01", "/nosuchpage"}) {
    EXPECT_EQ(bare.get(path).body, "404 page not found\n") << path;
  }
  for (const char* path : {"/", "/ui/index.html", "/cluster/status", "/cluster/healthz", "/healthz", "/readyz", "/favicon.ico"}) {
    EXPECT_EQ(bare.get(path).status, 200) << path;
  }
  EXPECT_EQ(bare.ask("POST", "/healthz").status, 405);
}

TEST_F(Routes, CountsRequestsByRouteAndStatus) {
  node.get("/dir/assign");
  node.get("/dir/lookup?volumeId=9");
  node.get("/nosuch/page");
  const auto scraped = node.get("/metrics");
  EXPECT_EQ(scraped.header("Content-Type"), std::string(kMetricsContentType));
  EXPECT_THAT(scraped.body, HasSubstr("SeaweedFS_master_request_total{type=\"assign\",code=\"200\"} 1\n"));
  EXPECT_THAT(scraped.body, HasSubstr("SeaweedFS_master_request_total{type=\"lookup\",code=\"404\"} 1\n"));
  EXPECT_THAT(scraped.body, HasSubstr("SeaweedFS_master_request_total{type=\"other\",code=\"404\"} 1\n"));
}

TEST_F(Routes, ShowsItsStateToPrometheus) {
  node.master.with([](auto& m) {
    m.cluster.view = view_of_three(true);
    m.cluster.servers = 4;
    m.topology = topology_with_a_server();
  });
  const auto scraped = node.get("/metrics").body;
  EXPECT_THAT(scraped, HasSubstr("SeaweedFS_master_is_leader 1\n"));
  EXPECT_THAT(scraped, HasSubstr("SeaweedFS_master_leader_changes{type=\"127.0.0.1:9334\"} 1\n"));
  EXPECT_THAT(scraped, HasSubstr("SeaweedFS_master_volume_layout_writable{collection=\"\",disk=\"hdd\",rp=\"000\",ttl=\"5h\"} 2\n"));
  EXPECT_THAT(scraped, HasSubstr("holdfast_master_servers 4\n"));
  EXPECT_THAT(scraped, HasSubstr("holdfast_master_member_connected{member=\"127.0.0.1:9333\"} 1\n"));
  EXPECT_THAT(scraped, HasSubstr("holdfast_master_member_lag_entries{member=\"127.0.0.1:9333\"} 40\n"));
}

// ---- followers -----------------------------------------------------------------------------------------------------

// `node` follows `other`, which leads.
class Follower : public Routes {
 protected:
  Follower() : other(loops) {
    node.master.with([](auto& m) { m.places.clear(); });
    node.master.follow(other.address());
    other.master.lead(other.address());
    other.master.add_volume(5, "127.0.0.1:8085");
  }
  // The follower knows the leader's running process, which only masters do.
  void introduce() {
    const auto leader = node.master.leader()->id;
    other.master.with([&](auto& m) {
      auto view = std::make_shared<master::View>();
      view->process = Uuid{5, 6};
      m.cluster.view = view;
    });
    node.master.with([&](auto& m) {
      auto view = std::make_shared<master::View>();
      master::MemberView member;
      member.id = leader;
      member.process = Uuid{5, 6};
      view->members = {member};
      m.cluster.view = view;
    });
  }
  Node other;
};

TEST_F(Follower, PassesAnAssignOnWithItsParameters) {
  const auto answer = node.get("/dir/assign?count=3&pretty=y&collection=a%26b");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "{\n  \"fid\": \"5,01637037d6\",\n  \"url\": \"127.0.0.1:8085\",\n  \"publicUrl\": \"127.0.0.1:8085\",\n  \"count\": 3\n}");
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  EXPECT_TRUE(std::regex_match(answer.header("X-Amz-Request-Id"), kRequestId));
  EXPECT_EQ(other.master.with([](auto& m) { return m.assign_params["collection"]; }), "a&b");
}

TEST_F(Follower, PassesOnFormsHeadAndErrors) {
  EXPECT_THAT(node.ask("POST", "/dir/assign?count=2", "Content-Type: application/x-www-form-urlencoded\r\n", "count=7").body,
              HasSubstr("\"count\":7"));
  const auto head = node.ask("HEAD", "/dir/assign");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  other.master.with([](auto& m) { m.refusal = Refusal{Refusal::Kind::busy, "volume growth in progress", 1s}; });
  const auto refused = node.get("/dir/assign");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_EQ(refused.body, R"({"error":"volume growth in progress"})");
}

TEST_F(Follower, PassesOnGrowthDeletionAndStatus) {
  EXPECT_EQ(node.get("/vol/grow?count=2").body, R"({"count":2})");
  other.master.with([](auto& m) { m.known_collections["c"]; });
  EXPECT_EQ(node.get("/col/delete?collection=c").status, 204);
  EXPECT_THAT(other.master.with([](auto& m) { return m.deleted; }), ElementsAre("c"));
  other.master.with([](auto& m) { m.topology.max = 77; });
  EXPECT_THAT(node.get("/dir/status").body, HasSubstr("\"Max\":77"));
  EXPECT_THAT(node.get("/vol/status").body, HasSubstr("\"Max\":77"));
}

// What volume servers are told to do for a request is under the id that its client gave it; also when it was passed on.
TEST_F(Follower, TheIdOfARequestGoesOn) {
  const auto ids = [](Node& at) { return at.master.with([](auto& m) { return std::exchange(m.request_ids, {}); }); };
  other.master.with([](auto& m) {
    m.at_once = false;
    m.known_collections["c"];
  });
  const std::string header = "X-Amz-Request-Id: from-afar\r\n";
  for (const char* path : {"/dir/assign", "/vol/grow?count=1", "/col/delete?collection=c", "/vol/vacuum"}) {
    const auto answer = node.ask("GET", path, header);
    EXPECT_LT(answer.status, 300) << path;
    EXPECT_THAT(ids(other), ElementsAre("from-afar")) << path;
    EXPECT_TRUE(std::regex_match(answer.header("X-Amz-Request-Id"), kRequestId));  // its own, as upstream's
  }
  node.get("/vol/grow?count=1");
  EXPECT_THAT(ids(other), ElementsAre(""));
  node.ask("GET", "/vol/grow?count=1", "X-Amz-Request-Id: two words\r\n");
  EXPECT_THAT(ids(other), ElementsAre(""));
  node.master.lose_leader();
  std::thread later([&] {
    std::this_thread::sleep_for(50ms);
    node.master.lead(node.address());
  });
  EXPECT_EQ(node.ask("GET", "/vol/grow?count=1", header).status, 200);
  EXPECT_THAT(ids(node), ElementsAre("from-afar"));
  later.join();
}

TEST_F(Follower, PassesAStepDownOnOnceAndTheOriginWasLookedAtHere) {
  introduce();
  EXPECT_EQ(node.ask("POST", kStepDown, "Origin: http://x\r\nSec-Fetch-Site: same-origin\r\n").status, 200);
  EXPECT_EQ(other.transfers.size(), 1u);
  EXPECT_TRUE(node.transfers.empty());
}

TEST_F(Follower, IsBelievedByALeaderWhoseWhiteListDoesNotNameIt) {
  ASSERT_TRUE(other.white_list.set("10.0.0.0/8").ok());
  EXPECT_EQ(node.get("/dir/assign").status, 401);  // the leader's process is not known here
  introduce();
  EXPECT_EQ(node.get("/dir/assign").status, 200);
}

TEST_F(Follower, AnswersLookupsItselfWithoutALeader) {
  node.master.add_volume(8, "127.0.0.1:8088");
  node.master.lose_leader();
  EXPECT_EQ(node.get("/dir/lookup?volumeId=8").status, 200);
  EXPECT_EQ(node.get("/8,01").status, 308);
  EXPECT_EQ(node.get("/dir/lookup?volumeId=5").status, 404);
}

TEST_F(Follower, AsksTheLeaderForAVolumeItHasNotHeardOf) {
  const std::string there =
      R"({"volumeOrFileId":"005","locations":[{"url":"127.0.0.1:8085","publicUrl":"127.0.0.1:8085","dataCenter":"dc1","grpcPort":18080}]})";
  const auto answer = node.get("/dir/lookup?volumeId=005");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, there);
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  const std::string form = "Content-Type: application/x-www-form-urlencoded\r\n";
  EXPECT_EQ(node.ask("POST", "/dir/lookup", form, "volumeId=005").body, there);
  EXPECT_THAT(node.get("/dir/lookup?volumeId=5&pretty=y").body, StartsWith("{\n  \"volumeOrFileId\": \"5\""));
  EXPECT_EQ(node.ask("HEAD", "/dir/lookup?volumeId=5").status, 200);
  EXPECT_EQ(node.get("/dir/lookup?volumeId=5&collection=c").status, 404);
  EXPECT_EQ(node.get("/dir/lookup?volumeId=6").body, R"({"volumeOrFileId":"6","error":"volume id 6 not found"})");

  EXPECT_EQ(node.get("/5,01?a=b").header("Location"), "http://127.0.0.1:8085/5,01?a=b");
  EXPECT_EQ(node.ask("DELETE", "/5,01").status, 308);
  EXPECT_EQ(node.get("/6,01").body, R"({"error":"volume id 6 not found: volume id 6 not found"})");
}

std::vector<std::string> urls(const Answer& answer) {
  std::vector<std::string> out;
  const std::regex url("\"url\":\"([^\"]*)\"");
  for (std::sregex_iterator it(answer.body.begin(), answer.body.end(), url), end; it != end; ++it) out.push_back((*it)[1]);
  return out;
}

// One volume server tells of it while the leader is being asked.
TEST_F(Follower, OneCopyThatAppearsIsNotTakenForAll) {
  node.master.add_volume(5, "127.0.0.1:8086");
  const auto one = node.master.lookup(VolumeId(5), "");
  node.master.with([&](auto& m) {
    m.places.clear();
    m.unknown.may_appear = true;
    m.soon = one;
    m.soon->copies_may_appear = true;
  });
  other.master.add_volume(5, "127.0.0.1:8086");
  EXPECT_THAT(urls(node.get("/dir/lookup?volumeId=5")), ElementsAre("127.0.0.1:8085", "127.0.0.1:8086"));
  EXPECT_EQ(node.get("/5,01").status, 308);  // to whichever is known
  other.master.with([](auto& m) { m.places.clear(); });
  EXPECT_THAT(urls(node.get("/dir/lookup?volumeId=5")), ElementsAre("127.0.0.1:8086"));
  other.stop();
  EXPECT_THAT(urls(node.get("/dir/lookup?volumeId=5")), ElementsAre("127.0.0.1:8086"));
}

TEST_F(Follower, AsksTheLeaderForTheCopiesOfANewVolumeThatItHasNotHeardOf) {
  const auto asked = [&] { return other.master.with([](auto& m) { return m.lookups; }); };
  node.master.add_volume(5, "127.0.0.1:8086");
  other.master.add_volume(5, "127.0.0.1:8086");
  EXPECT_THAT(urls(node.get("/dir/lookup?volumeId=5")), ElementsAre("127.0.0.1:8086"));
  EXPECT_EQ(asked(), 0u);

  node.master.with([](auto& m) { m.copies_may_appear = true; });
  const auto both = node.get("/dir/lookup?volumeId=5");
  EXPECT_EQ(both.status, 200);
  EXPECT_THAT(urls(both), ElementsAre("127.0.0.1:8085", "127.0.0.1:8086"));
  EXPECT_EQ(asked(), 1u);
  EXPECT_EQ(node.get("/5,01").status, 308);  // to whichever is known
  EXPECT_EQ(asked(), 1u);

  // Passed on once already; the leader does not know it; it says nothing; there is none.
  EXPECT_THAT(urls(node.ask("GET", "/dir/lookup?volumeId=5", std::string(kForwardedHeader) + ": x\r\n")), ElementsAre("127.0.0.1:8086"));
  other.master.with([](auto& m) { m.places.clear(); });
  EXPECT_THAT(urls(node.get("/dir/lookup?volumeId=5")), ElementsAre("127.0.0.1:8086"));
  other.stop();
  EXPECT_THAT(urls(node.get("/dir/lookup?volumeId=5")), ElementsAre("127.0.0.1:8086"));
  node.master.lose_leader();
  EXPECT_THAT(urls(node.get("/dir/lookup?volumeId=5")), ElementsAre("127.0.0.1:8086"));
}

TEST_F(Follower, AnswersALookupItselfWhenTheLeaderSaysNothing) {
  other.stop();
  EXPECT_EQ(node.get("/dir/lookup?volumeId=5").body, R"({"volumeOrFileId":"5","error":"volume id 5 not found"})");
  EXPECT_EQ(node.get("/5,01").status, 404);
}

TEST_F(Follower, ALeaderWithoutDataRoutesHasNoSayInLookups) {
  Node leader(loops, {.disable_http = true});
  leader.master.lead(leader.address());
  node.master.follow(leader.address());
  EXPECT_EQ(node.get("/dir/lookup?volumeId=5").body, R"({"volumeOrFileId":"5","error":"volume id 5 not found"})");
}

TEST_F(Follower, WithoutALeaderWaitsAndThenSaysWhatIsGoingOn) {
  Node lonely(loops, {.forward = {.wait = 100ms}});
  const auto answer = lonely.get("/dir/assign");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Retry-After"), "1");
  EXPECT_EQ(answer.body, R"({"error":"no leading master: 1 of 3 masters is heard, 2 are needed"})");
}

TEST_F(Follower, ARequestWaitsForALeaderAndGoesToIt) {
  node.master.lose_leader();
  std::thread later([&] {
    std::this_thread::sleep_for(50ms);
    node.master.follow(other.address());
  });
  EXPECT_THAT(node.get("/dir/assign").body, StartsWith("{\"fid\":\"5,"));
  later.join();
}

TEST_F(Follower, ARequestThatWaitedIsServedHereWhenThisMasterBecomesTheLeader) {
  node.master.lose_leader();
  node.master.add_volume(3, "127.0.0.1:8080");
  std::thread later([&] {
    std::this_thread::sleep_for(50ms);
    node.master.lead(node.address());
  });
  EXPECT_THAT(node.get("/dir/assign").body, StartsWith("{\"fid\":\"3,"));
  later.join();
}

TEST_F(Follower, ALeaderThatRefusesConnectionsIsNoBadGateway) {
  Node impatient(loops, {.forward = {.wait = 150ms}});
  const auto gone = other.address();
  other.stop();
  impatient.master.follow(gone);
  const auto answer = impatient.get("/dir/assign");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Retry-After"), "1");
  EXPECT_THAT(answer.body, HasSubstr("the leading master " + gone + " cannot be reached: "));
}

TEST_F(Follower, WhatALeaderThatIsGoneNeverSawGoesToTheNext) {
  other.stop();
  Node third(loops);
  third.master.lead(third.address());
  third.master.add_volume(6, "127.0.0.1:8086");
  std::thread later([&] {
    std::this_thread::sleep_for(60ms);
    node.master.follow(third.address());
  });
  EXPECT_EQ(node.get("/vol/grow?count=2").body, R"({"count":2})");
  later.join();
  EXPECT_EQ(third.master.with([](auto& m) { return m.grown.size(); }), 1u);
}

TEST_F(Follower, ALeaderThatStopsSendsWhatWasPassedOnToTheNext) {
  Node third(loops);
  third.master.lead(third.address());
  third.master.add_volume(6, "127.0.0.1:8086");
  other.master.with([](auto& m) { m.refusal = Refusal{Refusal::Kind::unavailable, "this master stops", 1s}; });
  std::thread later([&] {
    std::this_thread::sleep_for(60ms);
    node.master.follow(third.address());
  });
  EXPECT_EQ(node.get("/vol/grow?count=2").body, R"({"count":2})");
  EXPECT_THAT(node.get("/dir/assign").body, StartsWith("{\"fid\":\"6,"));
  later.join();
  // Asked itself, it tells its own client.
  EXPECT_EQ(other.get("/dir/assign").status, 503);
  other.master.follow(third.address());
  EXPECT_THAT(other.get("/dir/assign").body, StartsWith("{\"fid\":\"6,"));
}

// The leader hangs (as a stopped process does), and a third master is elected.
class FrozenLeader : public Follower {
 protected:
  FrozenLeader() : third(loops) {
    third.master.lead(third.address());
    third.master.add_volume(6, "127.0.0.1:8086");
    other.master.with([](auto& m) { m.hangs = true; });
  }
  ~FrozenLeader() override {
    for (auto& answer : other.master.with([](auto& m) { return std::exchange(m.hanging, {}); })) answer();
  }
  void wait_until_it_hangs() {
    while (other.master.with([](auto& m) { return m.hanging.empty(); })) std::this_thread::sleep_for(1ms);
  }
  Node third;
};

TEST_F(FrozenLeader, AnAssignGoesToTheNextLeaderAtOnce) {
  std::thread election([&] {
    wait_until_it_hangs();
    node.master.follow(third.address());
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(node.get("/dir/assign").body, StartsWith("{\"fid\":\"6,"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
  election.join();
}

TEST_F(FrozenLeader, AGrowthIsNotPassedOnASecondTime) {
  std::thread election([&] {
    wait_until_it_hangs();
    node.master.follow(third.address());
  });
  const auto answer = node.get("/vol/grow?count=2");
  election.join();
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, AllOf(HasSubstr("it may have been done or not"), HasSubstr(other.address())));
  EXPECT_TRUE(third.master.with([](auto& m) { return m.grown.empty(); }));
}

TEST_F(FrozenLeader, AnAssignIsServedHereWhenThisMasterIsTheNextLeader) {
  node.master.add_volume(3, "127.0.0.1:8080");
  std::thread election([&] {
    wait_until_it_hangs();
    node.master.lead(node.address());
  });
  EXPECT_THAT(node.get("/dir/assign").body, StartsWith("{\"fid\":\"3,"));
  election.join();
}

TEST_F(Follower, TwoMastersThatTakeEachOtherForTheLeaderDoNotPlayBall) {
  Node a(loops, {.forward = {.wait = 200ms}});
  Node b(loops, {.forward = {.wait = 200ms}});
  a.master.follow(b.address());
  b.master.follow(a.address());
  const auto answer = a.get("/dir/assign");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("it does not lead any more"));
  EXPECT_EQ(a.get("/dir/lookup?volumeId=77").status, 404);
  const auto passed = a.ask("GET", "/dir/assign", "X-Holdfast-Forwarded: 1\r\n");
  EXPECT_EQ(passed.status, 503);
  EXPECT_TRUE(passed.has("X-Holdfast-Not-Leader"));
}

TEST_F(Follower, WhatIsWrongInItselfNeedsNoLeader) {
  node.master.lose_leader();
  EXPECT_EQ(node.get("/vol/grow?count=x").status, 406);
  EXPECT_EQ(node.get("/col/delete").status, 400);
  EXPECT_EQ(node.get("/dir/assign?preallocate=x").status, 406);
}

}  // namespace
}  // namespace holdfast::front
