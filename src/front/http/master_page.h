// The master's page: the whole cluster on one HTML page that needs nothing but itself.
//
// Rendered here on the server, so it works without JavaScript and with curl. With JavaScript the page fetches itself
// again every second (less often when it is large, not at all in a hidden tab), compares and changes only what
// differs, so an open fold or a selection survives. When this master stops answering, the page says since when, and
// keeps the links to the other masters. Every master answers with what it knows itself, with or without a leader.
//
// Pure: values in, text out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "front/http/member_watch.h"
#include "service/master/healing_status.h"
#include "service/master/metalogger_status.h"
#include "service/master/status.h"
#include "service/master/watch.h"

namespace holdfast::front {

struct MasterPage {
  std::string version;
  master::ClusterStatus cluster;
  master::TopologyStatus topology;
  std::string address;  // of this master, for as long as it is no member of anything
  bool asks_for_token = false;  // before it lets anybody change something
  Instant now = kDistantPast;   // on the clock of View::history and of `seen`
  std::map<NodeId, MemberSeen> seen = {};  // what the other masters say of themselves
  std::shared_ptr<const master::WatchReport> watch = std::make_shared<master::WatchReport>();  // never null
  bool changes_members = false;  // there are buttons for it
  std::vector<master::MetaloggerStatus> metaloggers = {};
  master::HealingStatus healing = {};
  bool follows = false;  // no master: answers lookups from what the masters tell (`master.follower`)
};

// Beyond these the lists are cut and say so; a page stays below a megabyte or two in a cluster of any size.
inline constexpr std::size_t kServersShownMax = 2000;
inline constexpr std::size_t kLayoutsShownMax = 500;
inline constexpr std::size_t kVolumeIdsShownMax = 100;  // per server, as /dir/status has it
inline constexpr std::size_t kMomentsShownMax = 8;
inline constexpr Duration kFactsShownFor = std::chrono::seconds(5);  // what a member said of itself
// The chart of who led reaches back this far, and only a few minutes where there is no more to show.
inline constexpr Duration kChartSpan = std::chrono::hours(1);
inline constexpr Duration kChartSpanShort = std::chrono::minutes(5);

std::string render(const MasterPage& page);

// The value of Content-Security-Policy: only the page's own style and script, known by their hashes, and fetches from
// where it came from.
const std::string& page_security_policy();

// Appends `text` with & < > " ' escaped, for text and quoted attributes.
void append_html(std::string& out, std::string_view text);

// "1.5 GiB", "12 s", "3 d 4 h": short, for people.
std::string size_text(std::uint64_t bytes);
std::string duration_text(Duration d);

// "1-7 9", after which " ..." when there are more than kVolumeIdsShownMax ids. Ascending ids in, spec/weed-cluster 5.8.
std::string volume_ranges(const std::vector<VolumeId>& ascending);

}  // namespace holdfast::front
