#include "front/http/master_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "front/http/page_assets.h"

namespace holdfast::front {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

NodeId node(std::uint64_t n) { return NodeId(Uuid{n, n}); }

master::MemberView member(std::uint64_t n, const std::string& http, bool self) {
  master::MemberView m;
  m.id = node(n);
  m.self = self;
  m.connected = true;
  m.http = http;
  m.grpc = http;
  m.term = Term(4);
  m.match = Index(120);
  if (!self) m.silent_for = 7ms;
  return m;
}

// Three masters, the first of them shown and leading, and three servers in two racks.
struct Cluster {
  master::View view;
  MasterPage page;

  Cluster() {
    view.cluster_id = ClusterId(Uuid{1, 2});
    view.self = node(1);
    view.role = master::Role::leader;
    view.term = Term(4);
    view.commit = Index(120);
    view.leader = node(1);
    view.members = {member(1, "localhost:9333", true), member(2, "localhost:9334", false), member(3, "localhost:9335", false)};
    view.members[0].role = master::Role::leader;
    page.version = "30GB 4.44 holdfast-0.1.0";
    page.cluster.cluster_id = view.cluster_id;
    page.cluster.max_volume_id = VolumeId(9);
    page.cluster.uptime = std::chrono::minutes(200);
    page.cluster.volume_size_limit = 30000ull << 20;
    page.cluster.servers = 3;
    page.topology.max = 24;
    page.topology.free = 15;
    page.topology.volumes = 9;
    page.topology.data_centers = {{"dc1", {{"r1", {server("localhost:8080", 7), server("localhost:8081", 2)}}, {"r2", {server("localhost:8082", 0)}}}}};
    master::LayoutStatus layout;
    layout.volumes = 9;
    layout.writables = {VolumeId(1), VolumeId(2)};
    page.topology.layouts = {layout};
  }

  static master::ServerStatus server(const std::string& id, int volumes) {
    master::ServerStatus s;
    s.id = s.url = s.public_url = id;
    s.state = "ok";
    s.max = 8;
    s.free = 8 - volumes;
    s.volumes = volumes;
    s.used_bytes = static_cast<std::uint64_t>(volumes) * 345678901;
    auto& disk = s.disks[""];
    disk.total_bytes = 500ull << 30;
    disk.free_bytes = 321ull << 30;
    for (int i = 1; i <= volumes; ++i) disk.volume_ids.push_back(VolumeId(static_cast<std::uint32_t>(i)));
    return s;
  }

  std::string rendered() {
    page.cluster.view = std::make_shared<master::View>(view);
    return render(page);
  }
};

TEST(MasterPage, ShowsMembersWithStateAndTermAndTheLeader) {
  const auto html = Cluster().rendered();
  EXPECT_THAT(html, HasSubstr("<title>localhost:9333 – leader – Holdfast</title>"));
  EXPECT_THAT(html, HasSubstr("localhost:9333 (this master) leads. All is well."));
  EXPECT_THAT(html, HasSubstr("3 masters and 3 volume servers are heard. One more master may fail without harm."));
  for (const auto* address : {"localhost:9333", "localhost:9334", "localhost:9335"}) {
    EXPECT_THAT(html, HasSubstr("<tr data-master=\"" + std::string(address) + "\">"));
    EXPECT_THAT(html, HasSubstr("<a href=\"//" + std::string(address) + "/\">"));
  }
  EXPECT_THAT(html, HasSubstr("<td class=\"number\" data-is=\"Term\">4</td>"));
  EXPECT_THAT(html, HasSubstr("7 ms ago"));
}

TEST(MasterPage, OffersToStepDownWhereThereIsAnHeirAndAsksForTheTokenIfThereIsOne) {
  Cluster cluster;
  auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("data-step-down=\"localhost:9333\" hidden>"));
  EXPECT_THAT(html, Not(HasSubstr("ask-token\"")));
  cluster.page.asks_for_token = true;
  EXPECT_THAT(cluster.rendered(), HasSubstr("id=\"ask-token\" type=\"password\""));
  cluster.view.members.resize(1);
  EXPECT_THAT(cluster.rendered(), Not(HasSubstr("data-step-down=\"")));
}

TEST(MasterPage, ShowsWhereEachMasterIsInTheLogByItsOwnAccount) {
  Cluster cluster;
  cluster.page.now = at(std::chrono::hours(5));
  cluster.view.applied = Index(119);
  cluster.view.members[2].term = Term(2);  // from long ago: followers have little to say to each other
  cluster.page.seen[node(3)] = {.facts = MemberFacts{.id = node(3), .state = "follower", .term = Term(4), .last = Index(118),
                                                     .committed = Index(117), .applied = Index(116)},
                                .round_trip = 1300us,
                                .answered = cluster.page.now - 40ms};
  auto html = cluster.rendered();
  for (const auto* cell : {"Last entry\">118<", "Committed\">117<", "Applied\">116<", "Round trip\">1.3 ms<", "Applied\">119<"}) {
    EXPECT_THAT(html, HasSubstr(cell));
  }
  EXPECT_THAT(html, Not(HasSubstr("data-is=\"Term\">2<")));
  cluster.page.now += kFactsShownFor;  // too old to be shown as what is
  html = cluster.rendered();
  EXPECT_THAT(html, Not(HasSubstr("Committed\">117<")));
  EXPECT_THAT(html, HasSubstr("data-is=\"Term\">2<"));
}

TEST(MemberFacts, TellOfDigestAndLease) {
  Cluster cluster;
  cluster.view.digest = 0xabcdef0123456789;
  cluster.view.digest_at = Index(118);
  cluster.view.lease = {.cap = 200ms, .length = 80ms, .held_until = at(1063ms), .commits_from = at(900ms)};
  cluster.page.cluster.view = std::make_shared<master::View>(cluster.view);
  std::string json;
  append_member_facts(json, facts_of(cluster.page.cluster, at(1s)), false);
  EXPECT_THAT(json, HasSubstr("\"digest\":\"abcdef0123456789\",\"digestAt\":118,\"leaseLengthMs\":80,\"leaseLeftMs\":63}"));
  const auto facts = parse_member_facts(json);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->digest, 0xabcdef0123456789);
  EXPECT_EQ(facts->digest_at, Index(118));
  EXPECT_EQ(facts->lease_left, Duration(63ms));
  EXPECT_EQ(facts->lease_length, 80ms);
  EXPECT_FALSE(facts->commits_in);
}

TEST(MasterPage, TellsWhoHoldsTheLeaseAndForHowLong) {
  Cluster cluster;
  cluster.page.now = at(1s);
  EXPECT_THAT(cluster.rendered(), HasSubstr("</strong> leads without a lease: each read asks a majority (leases are off, -leaseReads)."));
  cluster.view.lease = {.cap = 200ms, .length = 80ms, .held_until = at(1063ms)};
  EXPECT_THAT(cluster.rendered(), HasSubstr("<strong>localhost:9333</strong> holds the lease: 63 of 80 ms left"));
  cluster.view.lease.commits_from = at(1040ms);
  EXPECT_THAT(cluster.rendered(), HasSubstr("leads and commits nothing for 40 ms"));
  cluster.view.lease = {.cap = 200ms, .length = 80ms, .held_until = at(900ms)};
  EXPECT_THAT(cluster.rendered(), HasSubstr("holds no lease at the moment"));
}

TEST(MasterPage, TellsWhoVotesAndWhy) {
  Cluster cluster;
  cluster.view.members[1].voter = false;
  cluster.view.members[1].promote = true;
  cluster.view.members[1].match = Index(100);
  cluster.view.members[2].voter = false;
  const auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("<strong>localhost:9333</strong> votes: 1 of 1 are a majority"));
  EXPECT_THAT(html, HasSubstr("<strong>localhost:9334</strong> learns first, and votes when it has caught up: 20 entries to go"));
  EXPECT_THAT(html, HasSubstr("<strong>localhost:9335</strong> learns only: it was added without a vote"));
  EXPECT_THAT(html, HasSubstr("data-is=\"Votes\">later<"));
}

TEST(MasterPage, ShowsAlarmsDiscoveredMastersAndWhoReachesWhom) {
  Cluster cluster;
  auto watch = std::make_shared<master::WatchReport>();
  watch->alarms = {{.kind = master::AlarmKind::cut, .text = "what <a> sends does not reach b", .since = at(0s)}};
  watch->discovered = {{"10.0.0.9:9333", "does not answer"}};
  using enum master::Reached;
  watch->matrix = {.members = {node(1), node(2)}, .cells = {{yes, no}, {by_stream, yes}}};
  cluster.page.watch = watch;
  cluster.page.now = at(7s);
  const auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("<li data-alarm=\"cut\">what &lt;a&gt; sends does not reach b. <small>since 7 s</small>"));
  EXPECT_THAT(html, HasSubstr("data-discovered=\"10.0.0.9:9333\""));
  EXPECT_THAT(html, HasSubstr("<td class=\"no\" data-from=\"localhost:9333\" data-to=\"localhost:9334\""));
  EXPECT_THAT(html, HasSubstr("<td class=\"stream\" data-from=\"localhost:9334\" data-to=\"localhost:9333\""));
  EXPECT_THAT(html, Not(HasSubstr("data-remove=\"")));  // nothing here can change members
  cluster.page.changes_members = true;
  EXPECT_THAT(cluster.rendered(), HasSubstr("data-remove=\"localhost:9334\" hidden"));
  EXPECT_THAT(cluster.rendered(), HasSubstr("<form class=\"add\" id=\"add\" hidden>"));
}

TEST(MasterPage, MarksWhatHappenedToLeases) {
  Cluster cluster;
  cluster.page.now = at(std::chrono::hours(5));
  cluster.view.history = std::make_shared<const std::vector<master::LeadershipMoment>>(std::vector<master::LeadershipMoment>{
      {cluster.page.now - 200s, {}, Term(2), node(1), "a leads"}});
  auto watch = std::make_shared<master::WatchReport>();
  watch->events = {{.kind = master::LeaseEventKind::conflict, .at = cluster.page.now - 150s, .term = Term(4), .holder = node(2),
                    .cause = "<two>", .holder_address = "localhost:9334"}};
  cluster.page.watch = watch;
  const auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("<rect class=\"mark conflict\" x=\"498\""));
  EXPECT_THAT(html, HasSubstr("<em class=\"conflict\">conflict</em> <span>localhost:9334, term 4: &lt;two&gt;</span>"));
}

TEST(MemberFacts, AreReadBackAsTheyWereWritten) {
  Cluster cluster;
  cluster.page.cluster.view = std::make_shared<master::View>(cluster.view);
  std::string json;
  append_member_facts(json, facts_of(cluster.page.cluster, at(1s)), false);
  EXPECT_EQ(json, "{\"id\":\"" + text(node(1)) +
                      "\",\"state\":\"leader\",\"term\":4,\"last\":120,\"committed\":120,\"applied\":0,\"featureLevel\":0}");
  const auto facts = parse_member_facts(json);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->id, node(1));
  EXPECT_EQ(facts->committed, Index(120));
  for (const auto* other : {"", "{}", "[1]", "{\"id\":\"x\",\"term\":1}", "<html>"}) EXPECT_FALSE(parse_member_facts(other)) << other;
}

TEST(MasterPage, ShowsWhoLedWhen) {
  Cluster cluster;
  EXPECT_THAT(cluster.rendered(), Not(HasSubstr("id=\"history\"")));
  const Instant now = at(std::chrono::hours(5));
  const auto noon = std::chrono::sys_time<Duration>(std::chrono::hours(12));
  cluster.page.now = now;
  cluster.view.history = std::make_shared<const std::vector<master::LeadershipMoment>>(std::vector<master::LeadershipMoment>{
      {now - std::chrono::hours(2), noon - std::chrono::hours(2), Term(2), node(3), "long ago"},
      {now - std::chrono::minutes(90), noon, Term(2), node(2), "b leads since term 2"},
      {now - std::chrono::minutes(30), noon, Term(2), std::nullopt, "no leader: <b> fell silent"},
      {now - std::chrono::minutes(30) + 80ms, noon + 80ms, Term(4), node(1), "a leads since term 4"}});
  const auto html = cluster.rendered();
  // From the left edge, to the gap, which is drawn though it is short; from there to the right edge.
  EXPECT_THAT(html, HasSubstr("<rect class=\"led\" x=\"0\" y=\"0\" width=\"500\""));
  EXPECT_THAT(html, HasSubstr("<rect class=\"gap\" x=\"500\" y=\"0\" width=\"2\""));
  EXPECT_THAT(html, HasSubstr("<rect class=\"led\" x=\"500\" y=\"0\" width=\"500\""));
  EXPECT_THAT(html, HasSubstr("for 80 ms: no leader: &lt;b&gt; fell silent"));
  EXPECT_THAT(html, HasSubstr("<time>12:00:00</time> <span>a leads since term 4</span>"));
  EXPECT_THAT(html, HasSubstr("an hour ago"));
  EXPECT_THAT(html, Not(HasSubstr("x=\"-")));
  cluster.view.history = std::make_shared<const std::vector<master::LeadershipMoment>>(
      std::vector<master::LeadershipMoment>{{now - std::chrono::minutes(2) - 30s, noon, Term(2), node(1), "a leads"}});
  const auto young = cluster.rendered();
  EXPECT_THAT(young, HasSubstr("five minutes ago"));
  EXPECT_THAT(young, HasSubstr("<rect class=\"led\" x=\"500\" y=\"0\" width=\"500\""));
}

TEST(MasterPage, ShowsServersByDataCenterAndRackWithVolumesAndSpace) {
  const auto html = Cluster().rendered();
  EXPECT_THAT(html, HasSubstr("<h3>dc1 / r1<small>2 servers</small></h3>"));
  EXPECT_THAT(html, HasSubstr("<h3>dc1 / r2<small>1 server</small></h3>"));
  EXPECT_THAT(html, HasSubstr("<a href=\"//localhost:8080/ui/index.html\">localhost:8080</a>"));
  EXPECT_THAT(html, HasSubstr("7 of 8</span>"));
  EXPECT_THAT(html, HasSubstr("data-is=\"Volume ids\">1-7</td>"));
  EXPECT_THAT(html, HasSubstr("data-is=\"Disk free\">321 GiB</td>"));
  EXPECT_THAT(html, HasSubstr("data-is=\"Stored\">2.3 GiB</td>"));
}

TEST(MasterPage, HasTheFiguresUpstreamsPageHas) {
  const auto html = Cluster().rendered();
  EXPECT_THAT(html, HasSubstr("<dt>Volume size limit</dt><dd>29.3 GiB</dd>"));
  EXPECT_THAT(html, HasSubstr("<dt>Free slots</dt><dd>15 <small>of 24 max</small></dd>"));
  EXPECT_THAT(html, HasSubstr("<dt>Max volume id</dt><dd>9</dd>"));
  EXPECT_THAT(html, HasSubstr("<dt>Up time</dt><dd>3 h 20 min"));
  EXPECT_THAT(html, HasSubstr("Version 30GB 4.44 holdfast-0.1.0."));
}

TEST(MasterPage, SaysWhoIsNotHeardAndHowManyMoreMayFail) {
  Cluster cluster;
  cluster.view.members[2].connected = false;
  cluster.view.members[2].silent_for = 75s;
  const auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("<div class=\"verdict weak\""));
  EXPECT_THAT(html, HasSubstr("localhost:9335 is not heard."));
  EXPECT_THAT(html, HasSubstr("No further master may fail now."));
  EXPECT_THAT(html, HasSubstr("not heard for 75 s"));
}

TEST(MasterPage, NotAllIsWellWhileVolumesAreShortOfCopiesOrDiffer) {
  Cluster cluster;
  cluster.page.healing.is_on = true;
  cluster.page.healing.short_of_copies = 1;
  cluster.page.healing.reported = {{VolumeId(7), "1 of its 2 copies gone: no server with room for it fits"}};
  cluster.page.healing.reported_all = 1;
  EXPECT_THAT(cluster.rendered(), HasSubstr("(this master) leads; 1 volume is short of copies."));
  EXPECT_THAT(cluster.rendered(), HasSubstr("no server with room for it fits"));
  EXPECT_THAT(cluster.rendered(), Not(HasSubstr("copy is removed")));
  cluster.page.healing.no_removal = "the shell on <a> holds the admin lock";
  EXPECT_THAT(cluster.rendered(), HasSubstr("No old or surplus copy is removed now: the shell on &lt;a&gt; holds the admin lock."));
  cluster.page.healing.short_of_copies = 0;
  cluster.page.healing.reported_all = 2;
  EXPECT_THAT(cluster.rendered(), HasSubstr("(this master) leads; 2 volumes need somebody to look."));
}

TEST(MasterPage, AFollowerOfTheMastersSaysWhatItIs) {
  Cluster cluster;
  cluster.page.follows = true;
  EXPECT_THAT(cluster.rendered(), HasSubstr("Follows the masters and answers lookups; it is none of them."));
  EXPECT_THAT(cluster.rendered(), HasSubstr("3 volume servers"));
  EXPECT_THAT(cluster.rendered(), HasSubstr("localhost:8080"));
  for (const auto* no : {"Free slots", "Votes", "Writable", "Disk free"}) EXPECT_THAT(cluster.rendered(), Not(HasSubstr(no)));
}

TEST(MasterPage, BeforeThereIsAClusterItSaysWhoIsMissing) {
  MasterPage page;
  auto view = std::make_shared<master::View>();
  view->waiting_for = "this master waits for the listed ones that do not answer yet: b:2";
  page.cluster.view = view;
  page.address = "a:1";
  const auto html = render(page);
  EXPECT_THAT(html, HasSubstr("<title>a:1 – no leader – Holdfast</title>"));
  EXPECT_THAT(html, HasSubstr("The masters are not all there yet."));
  EXPECT_THAT(html, HasSubstr("This master waits for the listed ones that do not answer yet: b:2."));
}

TEST(MasterPage, WithoutALeaderSaysWhatStillWorks) {
  Cluster cluster;
  cluster.view.leader.reset();
  cluster.view.role = master::Role::candidate;
  cluster.view.members[0].role = master::Role::candidate;
  cluster.view.members[1].connected = false;
  cluster.view.members[2].connected = false;
  const auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("<div class=\"verdict broken\""));
  EXPECT_THAT(html, HasSubstr("No leader: reads go on, uploads wait."));
  EXPECT_THAT(html, HasSubstr("1 of 3 masters is heard from here; 2 are needed."));
  EXPECT_THAT(html, HasSubstr("<title>localhost:9333 – no leader – Holdfast</title>"));
}

// Two masters, and a volume server that votes.
Cluster with_witness() {
  Cluster cluster;
  cluster.view.members[2].witness = true;
  cluster.view.members[2].http = "localhost:8080";
  return cluster;
}

TEST(MasterPage, AWitnessIsNoMaster) {
  auto cluster = with_witness();
  auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("2 masters, a witness and 3 volume servers are heard. One of the masters or the witness may fail without harm."));
  EXPECT_THAT(html, HasSubstr("<small>2 of 2 heard, the witness too, 2 of these 3 are a majority</small>"));
  EXPECT_THAT(html, HasSubstr("<strong>localhost:8080</strong> votes, a volume server as witness: 2 of 3 are a majority"));
  cluster.view.members[2].connected = false;
  html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("localhost:9333 (this master) leads; the witness localhost:8080 is not heard."));
  EXPECT_THAT(html, HasSubstr("No master may fail now."));
  EXPECT_THAT(html, HasSubstr("2 of 2 heard, the witness not, 2 of these 3 are a majority"));
  cluster = with_witness();
  cluster.view.members[1].connected = false;
  EXPECT_THAT(cluster.rendered(), HasSubstr("Neither this master nor the witness may fail now."));
  cluster.view.leader.reset();
  cluster.view.last_change = "";
  EXPECT_THAT(cluster.rendered(), HasSubstr("1 of 2 masters is heard from here, the witness too; 2 of these 3 are needed."));
  cluster.view.members[2].connected = false;
  EXPECT_THAT(cluster.rendered(), HasSubstr("1 of 2 masters is heard from here, the witness is not; 2 of these 3 are needed."));
}

TEST(MasterPage, AWitnessWhoseEntryIsNotCommittedJoins) {
  auto cluster = with_witness();
  cluster.view.members[2].joining = true;
  const auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("JOINING"));
  EXPECT_THAT(html, Not(HasSubstr("WITNESS")));
  EXPECT_THAT(html, HasSubstr("<strong>localhost:8080</strong> joins: that it is a member as it is shown is not committed yet"));
  EXPECT_THAT(html, HasSubstr("2 masters and 3 volume servers are heard. No further master may fail now."));
}

TEST(MasterPage, AMemberWhoseRemovalIsNotCommittedLeaves) {
  Cluster cluster;
  EXPECT_THAT(cluster.rendered(), Not(HasSubstr("LEAVING")));
  cluster.view.leaving.push_back(member(4, "localhost:9336", false));
  const auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("data-leaving=\"localhost:9336\""));
  EXPECT_THAT(html, HasSubstr("LEAVING"));
  EXPECT_THAT(html, HasSubstr("3 of 3 heard, 2 are a majority"));  // it counts no more
}

TEST(MasterPage, BesideFourMastersAWitnessLetsNoMoreOfThemFail) {
  auto cluster = with_witness();
  for (int i = 4; i <= 5; ++i) cluster.view.members.push_back(member(i, "localhost:933" + std::to_string(i), false));
  EXPECT_THAT(cluster.rendered(), HasSubstr("4 masters, a witness and 3 volume servers are heard. One more master may fail without harm."));
  cluster.view.members[1].connected = false;
  EXPECT_THAT(cluster.rendered(), HasSubstr("No further master may fail now."));
}

TEST(MasterPage, EscapesEverythingThatComesFromOutside) {
  Cluster cluster;
  cluster.view.members[1].http = "<script>alert(1)</script>";
  cluster.page.topology.data_centers[0].id = "a\"b<i>";
  cluster.page.topology.layouts[0].collection = "x&y'";
  cluster.view.last_change = "<b>";
  const auto html = cluster.rendered();
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;"));
  EXPECT_THAT(html, HasSubstr("a&#34;b&lt;i&gt; / r1"));
  EXPECT_THAT(html, HasSubstr("x&amp;y&#39;"));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
}

TEST(MasterPage, CutsLongListsAndSaysSo) {
  Cluster cluster;
  auto& servers = cluster.page.topology.data_centers[0].racks[0].servers;
  servers.assign(kServersShownMax + 5, Cluster::server("localhost:1", 1));
  const auto html = cluster.rendered();
  EXPECT_THAT(html, HasSubstr("And 6 more; /dir/status has them all."));
  EXPECT_LT(html.size(), 2u << 20);
}

TEST(MasterPage, LoadsNothingFromElsewhere) {
  const auto html = Cluster().rendered();
  EXPECT_THAT(html, Not(HasSubstr("https://")));
  EXPECT_THAT(html, Not(HasSubstr("src=")));
  EXPECT_THAT(page_security_policy(), HasSubstr("default-src 'none'"));
}

TEST(MasterPage, WritesVolumeIdsAsRanges) {
  const auto ids = [](std::initializer_list<std::uint32_t> list) {
    std::vector<VolumeId> out;
    for (const auto id : list) out.push_back(VolumeId(id));
    return volume_ranges(out);
  };
  EXPECT_EQ(ids({}), "");
  EXPECT_EQ(ids({5}), "5");
  EXPECT_EQ(ids({1, 2, 3, 5}), "1-3 5");
  std::vector<VolumeId> many;
  for (std::uint32_t i = 1; i <= 101; ++i) many.push_back(VolumeId(2 * i));
  EXPECT_THAT(volume_ranges(many), ::testing::EndsWith(" 200 ..."));
}

TEST(MasterPage, WritesSizesAndDurationsForPeople) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(1536), "1.5 KiB");
  EXPECT_EQ(size_text(1ull << 30), "1 GiB");
  EXPECT_EQ(size_text(321ull << 30), "321 GiB");
  EXPECT_EQ(duration_text(12ms), "12 ms");
  EXPECT_EQ(duration_text(90s), "90 s");
  EXPECT_EQ(duration_text(10min), "10 min");
  EXPECT_EQ(duration_text(50h), "2 d 2 h");
}

TEST(StaticFiles, AreFoundByName) {
  ASSERT_NE(static_file("favicon.ico"), nullptr);
  EXPECT_EQ(static_file("favicon.ico")->content_type, "image/x-icon");
  EXPECT_TRUE(static_file("seaweed50x50.png")->bytes.starts_with("\x89PNG"));
  EXPECT_EQ(static_file("none"), nullptr);
}

// Writes the page for a human (or test/page) to look at, when asked to.
TEST(MasterPage, CanBeWrittenToAFile) {
  const char* path = std::getenv("HOLDFAST_PAGE_TO");
  if (path == nullptr) GTEST_SKIP() << "HOLDFAST_PAGE_TO is not set";
  std::ofstream(path) << Cluster().rendered();
}

}  // namespace
}  // namespace holdfast::front
