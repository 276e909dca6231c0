#include "front/http/master_page.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "front/http/master_page_inside.h"
#include "front/http/metaloggers.h"
#include "front/http/page_assets.h"

namespace holdfast::front {

// ---- what the files share (master_page_inside.h)
namespace page {

const char* css(Health health) {
  switch (health) {
    case Health::well: return "well";
    case Health::weak: return "weak";
    case Health::broken: return "broken";
  }
  return "";
}

std::string html(std::string_view text) {
  std::string out;
  append_html(out, text);
  return out;
}

std::string plural(std::uint64_t n, const char* one, const char* many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

std::string address_of(const master::MemberView& member) {
  return member.http.empty() ? text(member.id) : member.http;
}

Count count_voters(const master::View& view) {
  Count count;
  for (const auto& member : view.members) {
    if (!member.voter || member.joining) continue;
    const bool heard = member.self || member.connected;
    if (member.witness) {
      count.witness = true;
      count.witness_heard = heard;
    } else {
      ++count.masters;
      count.heard += heard ? 1 : 0;
    }
    if (!heard) count.unheard.push_back((member.witness ? "the witness " : "") + address_of(member));
  }
  return count;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) {
    if (!out.empty()) out += ", ";
    out += part;
  }
  return out;
}

std::string name_of(const master::View& view, NodeId id) {
  const auto* member = view.member(id);
  return member == nullptr ? text(id) : address_of(*member);
}

std::vector<master::MemberView> by_address(const master::View& view) {
  auto members = view.members;
  std::sort(members.begin(), members.end(),
            [](const auto& a, const auto& b) { return std::tie(a.http, a.id) < std::tie(b.http, b.id); });
  return members;
}

}  // namespace page

using namespace page;
namespace {
// ---- what to say of it all -----------------------------------------------------------------------------------------

struct Verdict {
  Health health = Health::well;
  std::string main;
  std::string why;
};

// How many more masters may fail, in words. Of more than two masters most must have an entry, witness or not
// (docs/witness.md); of two one is enough if the witness knows.
std::string spare_text(const Count& count) {
  if (count.masters == 2 && count.witness) {
    if (count.heard == 2 && count.witness_heard) return "One of the masters or the witness may fail without harm.";
    return count.heard == 2 ? "No master may fail now." : "Neither this master nor the witness may fail now.";
  }
  const auto needed = count.masters / 2 + 1;
  const auto spare = count.heard > needed ? count.heard - needed : 0;
  if (spare > 0) return spare == 1 ? std::string("One more master may fail without harm.")
                                   : fmt::format("{} more masters may fail without harm.", spare);
  if (count.voters() == 1) return "It is the only one: start two more and uploads go on when one fails.";
  return "No further master may fail now.";
}

// Without a leader: who is there, and how many it takes.
std::string heard_text(const Count& count) {
  auto out = fmt::format("{} of {} masters {} heard from here", count.heard, count.masters, count.heard == 1 ? "is" : "are");
  if (count.witness) out += count.witness_heard ? ", the witness too" : ", the witness is not";
  return out + (count.witness ? fmt::format("; {} of these {} are needed.", count.majority(), count.voters())
                              : fmt::format("; {} are needed.", count.majority()));
}

// What is short of copies or differs, at the leader, who alone knows; "" when nothing is.
std::string trouble_of_volumes(const master::HealingStatus& healing) {
  if (healing.short_of_copies > 0) return plural(healing.short_of_copies, "volume is", "volumes are") + " short of copies";
  if (healing.reported_all > 0) return plural(healing.reported_all, "volume needs", "volumes need") + " somebody to look";
  return "";
}

Verdict verdict_of_follower(const master::ClusterStatus& cluster) {
  return {cluster.servers > 0 ? Health::well : Health::weak, "Follows the masters and answers lookups; it is none of them.",
          cluster.servers > 0 ? "Knows the volumes of " + plural(cluster.servers, "volume server", "volume servers") +
                                    ". What changes anything goes to a master."
                              : "No master has told of a volume server yet."};
}

Verdict verdict_of(const MasterPage& page) {
  const auto& cluster = page.cluster;
  const auto& view = *cluster.view;
  if (page.follows) return verdict_of_follower(cluster);
  const auto count = count_voters(view);
  Verdict out;
  if (!view.waiting_for.empty()) {
    // One sentence for pages and logs alike.
    std::string why = view.waiting_for;
    if (why[0] >= 'a' && why[0] <= 'z') why[0] = static_cast<char>(why[0] - 'a' + 'A');
    return {Health::broken, "The masters are not all there yet.", why + "."};
  }
  const auto* leader = view.leader_member();
  if (leader == nullptr) {
    out = {Health::broken, "No leader: reads go on, uploads wait.",
           heard_text(count) + (view.last_change.empty() ? "" : " " + view.last_change)};
    return out;
  }
  const auto leads = fmt::format("{}{} leads", address_of(*leader), leader->self ? " (this master)" : "");
  if (!count.unheard.empty()) {
    out.health = Health::weak;
    out.main = fmt::format("{}; {} {} not heard.", leads, joined(count.unheard), count.unheard.size() == 1 ? "is" : "are");
    out.why = spare_text(count);
  } else if (cluster.servers_silent > 0) {
    out.health = Health::weak;
    out.main = fmt::format("{}; {} not heard.", leads,
                           cluster.servers_silent == 1 ? "one volume server is"
                                                       : fmt::format("{} volume servers are", cluster.servers_silent));
    out.why = "New files go to the others meanwhile.";
  } else if (cluster.servers == 0) {
    out.health = Health::weak;
    out.main = fmt::format("{}; there is no volume server yet.", leads);
    out.why = fmt::format("Start one with: holdfast volume -dir=DIR -mserver={}", address_of(*leader));
  } else if (const auto trouble = leader->self ? trouble_of_volumes(page.healing) : ""; !trouble.empty()) {
    out.health = Health::weak;
    out.main = fmt::format("{}; {}.", leads, trouble);
    out.why = "Self-healing, below, says which and why.";
  } else {
    out.main = fmt::format("{}. All is well.", leads);
    out.why = fmt::format("{}{} and {} are heard. {}", plural(count.heard, "master", "masters"),
                          count.witness ? ", a witness" : "", plural(cluster.servers, "volume server", "volume servers"), spare_text(count));
  }
  if (!view.last_change.empty()) out.why += " Last change: " + view.last_change;
  return out;
}

// ---- sections ------------------------------------------------------------------------------------------------------

void put_figure(std::string& out, std::string_view name, std::string_view value, std::string_view remark) {
  put(out, "<div><dt>{}</dt><dd>{}", name, html(value));
  if (!remark.empty()) put(out, " <small>{}</small>", html(remark));
  out += "</dd></div>\n";
}

void put_figures(std::string& out, const MasterPage& page) {
  const auto& cluster = page.cluster;
  const auto& topology = page.topology;
  std::uint64_t stored = 0;
  std::uint64_t disk_total = 0;
  std::uint64_t disk_free = 0;
  for (const auto& center : topology.data_centers) {
    for (const auto& rack : center.racks) {
      for (const auto& server : rack.servers) {
        stored += server.used_bytes;
        for (const auto& [type, disk] : server.disks) {
          disk_total += disk.total_bytes;
          disk_free += disk.free_bytes;
        }
      }
    }
  }
  out += "<dl class=\"figures\">\n";
  put_figure(out, "Volume servers", std::to_string(cluster.servers - std::min(cluster.servers, cluster.servers_silent)),
             cluster.servers_silent > 0 ? fmt::format("of {} heard", cluster.servers) : "");
  put_figure(out, "Volumes", std::to_string(topology.volumes), "");
  put_figure(out, "Free slots", std::to_string(topology.free), fmt::format("of {} max", topology.max));
  put_figure(out, "Stored", size_text(stored), disk_total > 0 ? size_text(disk_free) + " free" : "");
  put_figure(out, "Volume size limit", size_text(cluster.volume_size_limit), "");
  put_figure(out, "Max volume id", std::to_string(cluster.max_volume_id.value()), "");
  put_figure(out, "Term", std::to_string(cluster.view->term.value()),
             cluster.view->commit.value() > 0 ? fmt::format("entry {}", cluster.view->commit.value()) : "");
  put_figure(out, "Up time", duration_text(cluster.uptime), "of this master");
  out += "</dl>\n";
}

Health health_of(const master::ServerStatus& server) {
  if (server.state == "ok") return Health::well;
  return server.state == "silent" ? Health::broken : Health::weak;
}

std::string state_text(const master::ServerStatus& server) {
  if (server.state == "silent") return "silent for " + duration_text(server.silent_for);
  return server.state;
}

// "hdd 1-7; ssd 9", or without the type where there is only one.
std::string ids_text(const master::ServerStatus& server) {
  std::string out;
  for (const auto& [type, disk] : server.disks) {
    if (disk.volume_ids.empty()) continue;
    if (!out.empty()) out += "; ";
    if (server.disks.size() > 1) out += (type.empty() ? std::string("hdd") : type) + " ";
    out += volume_ranges(disk.volume_ids);
  }
  return out;
}

void put_server(std::string& out, const master::ServerStatus& server) {
  std::uint64_t disk_total = 0;
  std::uint64_t disk_free = 0;
  for (const auto& [type, disk] : server.disks) {
    disk_total += disk.total_bytes;
    disk_free += disk.free_bytes;
  }
  const auto health = health_of(server);
  const auto name = html(server.id);
  put(out, "<tr data-server=\"{}\"><td class=\"name\"><span class=\"dot {}\"></span>", name, css(health));
  put(out, "<a href=\"//{}/ui/index.html\">{}</a></td>", html(server.public_url.empty() ? server.url : server.public_url),
      name);
  put(out, "<td class=\"state{}\" data-is=\"State\">{}</td>", server.state.size() > 24 ? " long" : "", html(state_text(server)));
  const auto max = std::max<std::int64_t>(server.max, 0);
  const auto used = std::max<std::int64_t>(server.max - server.free, 0);
  put(out, "<td class=\"number\" data-is=\"Volumes\"><span>");
  if (max > 0) {
    put(out, "<meter min=\"0\" max=\"{}\" low=\"{}\" high=\"{}\" optimum=\"0\" value=\"{}\" aria-label=\"slots used\"></meter>",
        max, static_cast<double>(max) * 0.9, static_cast<double>(max) * 0.999, std::min(used, max));
  }
  put(out, "{} of {}</span></td>", server.volumes, server.max);
  put(out, "<td class=\"number{}\" data-is=\"EC shards\">{}</td>", server.ec_shards == 0 ? " none" : "", server.ec_shards);
  put(out, "<td class=\"number\" data-is=\"Stored\">{}</td>", size_text(server.used_bytes));
  put(out, "<td class=\"number{}\" data-is=\"Disk free\">{}</td>", disk_total == 0 ? " none" : "",
      disk_total > 0 ? size_text(disk_free) : std::string("–"));
  const auto ids = ids_text(server);
  put(out, "<td class=\"ids{}\" data-is=\"Volume ids\">{}</td></tr>\n", ids.empty() ? " none" : "", html(ids));
}

void put_servers(std::string& out, const MasterPage& page) {
  put(out, "<section id=\"servers\" class=\"servers\"><h2>Volume servers<small>{}</small></h2>\n",
      plural(page.topology.data_centers.size(), "data center", "data centers"));
  if (page.topology.data_centers.empty()) {
    out += "<div class=\"card\"><p class=\"empty\">None has reported to this master yet.</p></div>";
  }
  std::size_t shown = 0;
  std::size_t left_out = 0;
  for (const auto& center : page.topology.data_centers) {
    for (const auto& rack : center.racks) {
      const auto room = kServersShownMax - shown;
      const auto count = std::min(room, rack.servers.size());
      left_out += rack.servers.size() - count;
      if (count == 0) continue;
      put(out, "<div class=\"card\"><h3>{} / {}<small>{}</small></h3>\n", html(center.id), html(rack.id),
          plural(rack.servers.size(), "server", "servers"));
      out += "<table><thead><tr><th>Server</th><th>State</th><th class=\"number\">Volumes</th>"
             "<th class=\"number\">EC shards</th><th class=\"number\">Stored</th><th class=\"number\">Disk free</th>"
             "<th>Volume ids</th></tr></thead>\n<tbody>\n";
      for (std::size_t i = 0; i < count; ++i) put_server(out, rack.servers[i]);
      out += "</tbody></table></div>\n";
      shown += count;
    }
  }
  if (left_out > 0) put(out, "<p class=\"empty\">And {} more; /dir/status has them all.</p>", left_out);
  out += "</section>\n";
}

// All that a follower of the masters is told of a server.
void put_followed(std::string& out, const MasterPage& page) {
  out += "<section id=\"servers\" class=\"servers\"><h2>Volume servers<small>as the masters tell</small></h2>\n<div class=\"card\">"
         "<table><thead><tr><th>Server</th><th class=\"number\">Volumes</th><th>Volume ids</th></tr></thead>\n<tbody>\n";
  std::size_t shown = 0;
  for (const auto& center : page.topology.data_centers) {
    for (const auto& rack : center.racks) {
      for (const auto& server : rack.servers) {
        if (++shown > kServersShownMax) continue;
        const auto& url = server.public_url.empty() ? server.url : server.public_url;
        put(out, "<tr data-server=\"{}\"><td class=\"name\"><a href=\"//{}/ui/index.html\">{}</a></td>", html(server.id), html(url),
            html(server.id));
        put(out, "<td class=\"number\" data-is=\"Volumes\">{}</td>", server.volumes);
        const auto ids = ids_text(server);
        put(out, "<td class=\"ids{}\" data-is=\"Volume ids\">{}</td></tr>\n", ids.empty() ? " none" : "", html(ids));
      }
    }
  }
  out += "</tbody></table>";
  if (shown > kServersShownMax) put(out, "<p class=\"empty\">And {} more.</p>", shown - kServersShownMax);
  out += "</div></section>\n";
}

void put_layouts(std::string& out, const master::TopologyStatus& topology) {
  out += "<section id=\"layouts\"><h2>Collections<small>volumes that are alike</small></h2>\n<div class=\"card\">";
  if (topology.layouts.empty()) {
    out += "<p class=\"empty\">No volumes yet: the first upload makes some.</p></div></section>\n";
    return;
  }
  out += "<table><thead><tr><th>Collection</th><th>Replication</th><th>Time to live</th><th>Disk</th>"
         "<th class=\"number\">Volumes</th><th class=\"number\">Writable</th></tr></thead>\n<tbody>\n";
  const auto count = std::min(topology.layouts.size(), kLayoutsShownMax);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& layout = topology.layouts[i];
    const auto ttl = text(layout.ttl);
    put(out, "<tr><td class=\"name\">{}</td><td data-is=\"Replication\">{}</td>",
        layout.collection.empty() ? std::string("<em>default</em>") : html(layout.collection), text(layout.replica_placement));
    put(out, "<td data-is=\"Time to live\"{}>{}</td>", ttl.empty() ? " class=\"none\"" : "", ttl.empty() ? "–" : html(ttl));
    put(out, "<td data-is=\"Disk\">{}</td>", layout.disk_type.empty() ? std::string("hdd") : html(layout.disk_type));
    put(out, "<td class=\"number\" data-is=\"Volumes\">{}</td><td class=\"number\" data-is=\"Writable\">{}</td></tr>\n",
        layout.volumes, layout.writables.size());
  }
  out += "</tbody></table></div>\n";
  if (topology.layouts.size() > count) {
    put(out, "<p class=\"empty\">And {} more; /dir/status has them all.</p>", topology.layouts.size() - count);
  }
  out += "</section>\n";
}

// Asks before this page changes anything; the script opens it and fills in who. Outside <main>: it stays while the rest
// refreshes itself.
void put_dialog(std::string& out, bool asks_for_token) {
  out += "<dialog id=\"ask\" aria-labelledby=\"ask-what\"><h2 id=\"ask-what\"></h2>\n"
         "<p id=\"ask-how\"></p>\n"
         "<p id=\"ask-other-line\" hidden><label>In its place, host:port; empty: nobody<input id=\"ask-other\" autocomplete=\"off\" "
         "spellcheck=\"false\"></label></p>\n";
  if (asks_for_token) {
    out += "<p><label>Admin token<input id=\"ask-token\" type=\"password\" autocomplete=\"off\"></label></p>\n";
  }
  out += "<p id=\"ask-error\" class=\"error\" role=\"alert\"></p>\n"
         "<p class=\"buttons\"><button type=\"button\" id=\"ask-no\">Cancel</button>"
         "<button type=\"button\" id=\"ask-yes\" class=\"act\">Step down</button></p></dialog>\n";
}

std::string base64_sha256(std::string_view text) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<unsigned char, SHA256_DIGEST_LENGTH + 1> digest{};  // 33 bytes: whole groups of three, the last one 0
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::string out;
  for (std::size_t i = 0; i < digest.size(); i += 3) {
    const unsigned group = static_cast<unsigned>(digest[i]) << 16 | static_cast<unsigned>(digest[i + 1]) << 8 | digest[i + 2];
    for (const int shift : {18, 12, 6, 0}) out += kDigits[group >> shift & 63];
  }
  out.back() = '=';
  return out;
}

}  // namespace

void append_html(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
}

std::string size_text(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  auto text = unit == 0 || value >= 99.95 ? fmt::format("{:.0f}", value) : fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text + " " + kUnits[unit];
}

std::string duration_text(Duration d) {
  const auto ms = milliseconds(d);
  if (ms < 0) return "0 s";
  if (ms < 1000) return fmt::format("{} ms", ms);
  const auto s = ms / 1000;
  if (s < 120) return fmt::format("{} s", s);
  const auto minutes = s / 60;
  if (minutes < 120) return fmt::format("{} min", minutes);
  const auto hours = minutes / 60;
  if (hours < 48) return fmt::format("{} h {} min", hours, minutes % 60);
  return fmt::format("{} d {} h", hours / 24, hours % 24);
}

std::string volume_ranges(const std::vector<VolumeId>& ascending) {
  std::string out;
  const auto count = std::min(ascending.size(), kVolumeIdsShownMax);
  for (std::size_t i = 0; i < count;) {
    std::size_t last = i;
    while (last + 1 < count && ascending[last + 1].value() == ascending[last].value() + 1) ++last;
    if (!out.empty()) out += ' ';
    out += text(ascending[i]);
    if (last > i) out += "-" + text(ascending[last]);
    i = last + 1;
  }
  if (ascending.size() > count) out += " ...";
  return out;
}

namespace {

void put_sections(std::string& out, const MasterPage& page) {
  put_alarms(out, page);
  put_figures(out, page);
  put_masters(out, page);
  put_reach(out, page);
  put_history(out, page);
  append_metaloggers_section(out, page.metaloggers);
  put_servers(out, page);
  put_layouts(out, page.topology);
  put_healing(out, page);
  put(out, "<footer><p>Version {}. Cluster {}, generation {}, feature level {}.</p>", html(page.version),
      page.cluster.cluster_id.value().empty() ? std::string("not founded yet") : text(page.cluster.cluster_id),
      page.cluster.generation.value(), page.cluster.feature_level);
  out += "<p>The same as JSON: <a href=\"/cluster/status\">/cluster/status</a>, <a href=\"/dir/status?pretty=y\">/dir/status</a>, "
         "<a href=\"/vol/status?pretty=y\">/vol/status</a>, <a href=\"/cluster/member?pretty=y\">/cluster/member</a>, <a href=\"/cluster/metaloggers?pretty=y\">/cluster/metaloggers</a>, <a href=\"/cluster/lease?pretty=y\">/cluster/lease</a>, <a href=\"/raft/stats?pretty=y\">/raft/stats</a>.</p></footer>\n";
}

}  // namespace

std::string render(const MasterPage& page) {
  const auto& view = *page.cluster.view;
  const auto* self = view.member(view.self);
  const auto* leader = view.leader_member();
  const auto here = html(self != nullptr ? address_of(*self) : page.address);
  const auto verdict = verdict_of(page);

  std::string out;
  out.reserve(32 << 10);
  put(out, "<!DOCTYPE html>\n<html lang=\"en\" data-version=\"{}\"><head><meta charset=\"utf-8\">\n", html(page.version));
  put(out, "<title>{} – {} – Holdfast</title>\n", here, leader == nullptr ? "no leader" : leader->self ? "leader" : "follower");
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<link rel=\"icon\" href=\"/favicon.ico\">\n"
         "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n<style>";
  out += kPageStyle;
  out += "</style></head>\n<body><div class=\"page\">\n<header>";
  out += kLogoSvg;
  put(out, "<h1>Holdfast</h1><span class=\"where\">{} {}</span><span class=\"live\" id=\"live\" role=\"status\"></span></header>\n",
      page.follows ? "follower" : "master", here);
  out += "<main>\n";
  put(out, "<div class=\"verdict {}\" id=\"verdict\"><span class=\"dot\"></span><div><p class=\"main\">{}</p><p class=\"why\">{}</p></div></div>\n",
      css(verdict.health), html(verdict.main), html(verdict.why));
  if (page.follows) {
    put_followed(out, page);
    put(out, "<footer><p>Version {}. One volume as JSON: <a href=\"/dir/lookup?volumeId=1&amp;pretty=y\">/dir/lookup?volumeId=1</a>.</p></footer>\n",
        html(page.version));
  } else {
    put_sections(out, page);
  }
  out += "</main></div>\n";
  put_dialog(out, page.asks_for_token);
  out += "<script>";
  out += kPageScript;
  out += "</script></body></html>\n";
  return out;
}

const std::string& page_security_policy() {
  static const std::string policy = "default-src 'none'; style-src 'sha256-" + base64_sha256(kPageStyle) +
                                    "'; script-src 'sha256-" + base64_sha256(kPageScript) +
                                    "'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'";
  return policy;
}

}  // namespace holdfast::front
