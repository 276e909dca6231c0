// What is mended by itself, on the page: which copies are made again and why, and what needs somebody (docs/self-healing.md).
#include "front/http/master_page_inside.h"

namespace holdfast::front::page {

void put_healing(std::string& out, const MasterPage& page) {
  const auto* leader = page.cluster.view->leader_member();
  if (leader == nullptr || !leader->self) return;  // only the leader mends, and knows of it
  const auto& healing = page.healing;
  out += "<section id=\"healing\"><h2>Self-healing<small>copies that were lost are made again</small></h2>\n<div class=\"card\">";
  if (healing.is_on) {
    put(out,
        "<p class=\"empty\">A copy of a volume that has been gone for {} is made again on another server, while its files are "
        "read. {} {} short of copies; {} made again and {} failed since this master leads or began.</p>\n",
        duration_text(healing.grace), healing.short_of_copies, healing.short_of_copies == 1 ? "volume is" : "volumes are",
        healing.made, healing.failed);
  }
  if (!healing.waiting.empty()) put(out, "<p class=\"empty\">Nothing is begun now: {}.</p>\n", html(healing.waiting));
  if (!healing.no_removal.empty()) {
    put(out, "<p class=\"empty\">No old or surplus copy is removed now: {}.</p>\n", html(healing.no_removal));
  }
  if (!healing.under_way.empty() || !healing.reported.empty()) {
    out += "<table><thead><tr><th>Volume</th><th>What</th></tr></thead>\n<tbody>\n";
    for (const auto& one : healing.under_way) {
      put(out, "<tr><td>{}</td><td>{}: copied from {} to {}, {}</td></tr>\n", one.volume.value(), html(one.why), html(one.from),
          html(one.to), html(one.step));
    }
    for (const auto& one : healing.reported) {
      put(out, "<tr><td>{}</td><td>{}</td></tr>\n", one.volume.value(), html(one.what));
    }
    out += "</tbody></table>";
    if (healing.reported_all > healing.reported.size()) {
      put(out, "<p class=\"empty\">And {} more; the log has them all.</p>", healing.reported_all - healing.reported.size());
    }
  }
  out += "</div></section>\n";
}

}  // namespace holdfast::front::page
