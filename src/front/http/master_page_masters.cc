// The masters on the page: who leads and by what right, who votes and why, how far each is, and what may be changed.
#include <algorithm>

#include "front/http/master_page_inside.h"
#include "front/http/master_watch_json.h"

namespace holdfast::front::page {
namespace {

const char* role_text(master::Role role) {
  switch (role) {
    case master::Role::follower: return "FOLLOWER";
    case master::Role::pre_candidate:
    case master::Role::candidate: return "CANDIDATE";
    case master::Role::leader: return "LEADER";
    case master::Role::learner: return "LEARNER";
  }
  return "";
}

struct MasterState {
  Health health = Health::well;
  std::string text;
};

std::string round_trip_text(Duration d) {
  return d < 10ms ? fmt::format("{:.1f} ms", seconds(d) * 1000) : duration_text(d);
}

MasterState state_of(const master::MemberView& member, const master::View& view) {
  const bool leads = view.leader == member.id;
  if (!member.self && !member.connected) {
    if (!member.silent_for) return {Health::broken, "never heard"};
    return {Health::broken, "not heard for " + duration_text(*member.silent_for)};
  }
  if (member.joining) return {Health::weak, "JOINING"};
  if (member.witness) return {Health::well, "WITNESS"};
  if (leads) return {Health::well, "LEADER"};
  // A leader that this master does not follow is one of a past term; it says so itself until it learns better.
  if (member.role == master::Role::leader) return {Health::weak, "was leader"};
  const bool settled = member.role == master::Role::follower || member.role == master::Role::learner;
  return {settled ? Health::well : Health::weak, role_text(member.role)};
}

std::string entry_text(Index index) { return index.value() > 0 ? std::to_string(index.value()) : std::string("–"); }

// What a member says of itself, if that is not too old to be shown.
const MemberSeen* fresh(const MasterPage& page, NodeId id) {
  const auto found = page.seen.find(id);
  if (found == page.seen.end() || !found->second.facts || page.now - found->second.answered > kFactsShownFor) return nullptr;
  return &found->second;
}

MemberFacts facts_about(const MasterPage& page, const master::MemberView& member) {
  if (member.self) return facts_of(page.cluster, page.now);
  if (const auto* said = fresh(page, member.id)) return *said->facts;
  MemberFacts facts;
  facts.id = member.id;
  facts.term = member.term;
  facts.last = member.match;  // known at the leader
  return facts;
}

// Eight digits are enough for an eye to compare; the title has all.
std::string digest_cell(const MemberFacts& facts) {
  if (facts.digest_at == Index()) return "<td class=\"number none\" data-is=\"Digest\">–</td>";
  const auto digest = fmt::format("{:016x}", facts.digest);
  return fmt::format("<td class=\"number\" data-is=\"Digest\"><span title=\"of the state at entry {}: {}\">{}</span></td>",
                     facts.digest_at.value(), digest, digest.substr(0, 8));
}

const char* vote_word(const master::MemberView& member) {
  return member.voter && !member.joining ? "yes" : member.voter || member.promote ? "later" : "no";
}

void put_lease(std::string& out, const MasterPage& page) {
  const auto& view = *page.cluster.view;
  const auto* leader = view.leader_member();
  out += "<p class=\"lease\" id=\"lease\">";
  if (leader == nullptr) {
    put(out, "Nobody holds the lead{}.", view.last_change.empty() ? "" : ": " + html(view.last_change));
  } else {
    const auto facts = facts_about(page, *leader);
    const auto name = html(address_of(*leader));
    if (facts.commits_in) {
      put(out, "<strong>{}</strong> leads and commits nothing for {} ms: the lease of the one before may still run.", name,
          milliseconds(*facts.commits_in));
    } else if (facts.lease_left) {
      put(out, "<strong>{}</strong> holds the lease: {} of {} ms left, renewed with every heartbeat. It answers reads "
               "without asking anyone.", name, milliseconds(*facts.lease_left), milliseconds(facts.lease_length));
    } else if (facts.lease_length > Duration(0)) {
      put(out, "<strong>{}</strong> leads and holds no lease at the moment: each read asks a majority.", name);
    } else if (!leader->self && fresh(page, leader->id) == nullptr) {
      put(out, "<strong>{}</strong> leads.", name);
    } else {
      put(out, "<strong>{}</strong> leads without a lease: each read asks a majority{}.", name,
          view.lease.cap > Duration(0) ? "" : " (leases are off, -leaseReads)");
    }
  }
  out += "</p>\n";
}

void put_votes(std::string& out, const MasterPage& page) {
  out += "<ul class=\"votes\" id=\"votes\">\n";
  for (const auto& member : by_address(*page.cluster.view)) {
    put(out, "<li><strong>{}</strong> {}</li>\n", html(address_of(member)), html(vote_reason(member, *page.cluster.view)));
  }
  out += "</ul>\n";
}

void put_member(std::string& out, const MasterPage& page, const master::MemberView& member, const Count& count) {
  const auto& view = *page.cluster.view;
  const auto state = state_of(member, view);
  const auto* said = member.self ? nullptr : fresh(page, member.id);
  const auto facts = facts_about(page, member);
  const auto name = html(address_of(member));
  put(out, "<tr data-master=\"{}\"><td class=\"name\"><span class=\"dot {}\"></span>", name, css(state.health));
  if (member.http.empty()) {
    out += name;
  } else {
    put(out, "<a href=\"//{}/\">{}</a>", name, name);
  }
  if (member.self) out += "<span class=\"tag\">this master</span>";
  // The buttons are shown by the script, without which they could do nothing.
  if (view.leader == member.id) {
    out += "<span class=\"tag lead\">leader</span>";
    if (count.masters > 1) put(out, "<button type=\"button\" class=\"act\" data-step-down=\"{}\" hidden>Step down</button>", name);
  } else if (page.changes_members && view.members.size() > 1) {
    put(out, "<button type=\"button\" class=\"act\" data-remove=\"{}\" hidden>Remove</button>", name);
  }
  put(out, "</td><td class=\"state\" data-is=\"State\">{}</td>", html(state.text));
  put(out, "<td data-is=\"Votes\">{}</td>", vote_word(member));
  put(out, "<td class=\"number\" data-is=\"Term\">{}</td>", facts.term.value());
  put(out, "<td class=\"number\" data-is=\"Last entry\">{}</td>", entry_text(facts.last));
  put(out, "<td class=\"number\" data-is=\"Committed\">{}</td>", entry_text(facts.committed));
  put(out, "<td class=\"number\" data-is=\"Applied\">{}</td>", entry_text(facts.applied));
  out += digest_cell(facts);
  put(out, "<td class=\"number{}\" data-is=\"Round trip\">{}</td>", member.self ? " none" : "",
      said != nullptr ? round_trip_text(said->round_trip) : std::string("–"));
  // Followers have little to say to each other: an answer to the page's own question counts as well.
  std::optional<Duration> silent_for = member.silent_for;
  if (said != nullptr) silent_for = std::min(silent_for.value_or(Duration::max()), page.now - said->answered);
  put(out, "<td class=\"number{}\" data-is=\"Last heard\">{}</td></tr>\n", member.self ? " none" : "",
      member.self ? std::string("–") : silent_for ? duration_text(*silent_for) + " ago" : "never");
}

}  // namespace

void put_masters(std::string& out, const MasterPage& page) {
  const auto& view = *page.cluster.view;
  const auto count = count_voters(view);
  put(out, "<section id=\"masters\"><h2>Masters<small>{} of {} heard{}, {} are a majority</small></h2>\n<div class=\"card\">\n",
      count.heard, count.masters, !count.witness ? "" : count.witness_heard ? ", the witness too" : ", the witness not",
      count.witness ? fmt::format("{} of these {}", count.majority(), count.voters()) : std::to_string(count.majority()));
  if (!view.members.empty()) put_lease(out, page);
  out += "<table><thead><tr><th>Address</th><th>State</th><th>Votes</th><th class=\"number\">Term</th>"
         "<th class=\"number\">Last entry</th><th class=\"number\">Committed</th><th class=\"number\">Applied</th>"
         "<th class=\"number\">Digest</th><th class=\"number\">Round trip</th><th class=\"number\">Last heard</th></tr></thead>\n<tbody>\n";
  for (const auto& member : by_address(view)) put_member(out, page, member, count);
  for (const auto& member : view.leaving) {
    const auto name = html(address_of(member));
    put(out, "<tr data-leaving=\"{}\"><td class=\"name\"><span class=\"dot weak\"></span>{}</td><td class=\"state\" data-is=\"State\">LEAVING</td>"
             "<td colspan=\"8\">it is removed, which is not committed yet</td></tr>\n", name, name);
  }
  for (const auto& master : page.watch->discovered) {
    const auto name = html(master.address);
    put(out, "<tr data-discovered=\"{}\"><td class=\"name\"><span class=\"dot weak\"></span>{}<span class=\"tag\">named, no member</span></td>"
             "<td class=\"state\" data-is=\"State\" colspan=\"9\">{}</td></tr>\n", name, name, html(master.state));
  }
  out += "</tbody></table>\n";
  if (!view.members.empty()) put_votes(out, page);
  out += "</div>\n";
  if (page.changes_members && view.leader) {
    out += "<form class=\"add\" id=\"add\" hidden><label for=\"add-address\">Add a master</label>"
           "<input id=\"add-address\" placeholder=\"host:port\" autocomplete=\"off\" spellcheck=\"false\" required>"
           "<button type=\"submit\" class=\"act\">Add</button></form>\n";
  }
  out += "</section>\n";
}

}  // namespace holdfast::front::page
