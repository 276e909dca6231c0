// What the masters watch, on the page: alarms, who reaches whom, who led and held the lease when.
#include <fmt/chrono.h>

#include <algorithm>

#include "front/http/master_page_inside.h"

namespace holdfast::front::page {
namespace {

constexpr int kChartWidth = 1000;  // units of the chart's own, from `span` ago to now

struct Chart {
  Instant now;
  Duration span;

  int x(Instant at) const {
    const auto ago = std::clamp<Duration>(now - at, Duration(0), span);
    return kChartWidth - static_cast<int>((ago.count() * kChartWidth + span.count() / 2) / span.count());
  }
};

std::string clock_text(std::chrono::sys_time<Duration> wall) {
  const auto second = std::chrono::floor<std::chrono::seconds>(wall);
  return fmt::format("{:%H:%M:%S}", fmt::gmtime(std::chrono::system_clock::to_time_t(second)));
}

// What happened to leases of `holder`; grants are where the bars begin.
void put_marks(std::string& out, NodeId holder, const std::vector<master::LeaseEvent>& events, const Chart& chart) {
  for (const auto& event : events) {
    if (event.holder != holder || event.at <= chart.now - chart.span || event.at > chart.now) continue;
    if (event.kind == master::LeaseEventKind::grant) continue;
    put(out, "<rect class=\"mark {}\" x=\"{}\" y=\"0\" width=\"4\" height=\"10\"><title>{} UTC, {} of the lease of term {}: {}</title></rect>",
        text(event.kind), std::clamp(chart.x(event.at) - 2, 0, kChartWidth - 4), clock_text(event.wall), text(event.kind),
        event.term.value(), html(event.cause));
  }
}

// One lane: the times in which `leader` led (empty: nobody did).
void put_lane(std::string& out, std::string_view label, std::optional<NodeId> leader,
              const std::vector<master::LeadershipMoment>& history, const std::vector<master::LeaseEvent>& events, const Chart& chart) {
  put(out, "<div class=\"lane\"><span>{}</span><svg viewBox=\"0 0 {} 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
      html(label), kChartWidth);
  for (std::size_t i = 0; i < history.size(); ++i) {
    const Instant end = i + 1 < history.size() ? history[i + 1].at : chart.now;
    if (history[i].leader != leader || end <= chart.now - chart.span) continue;
    const int from = std::min(chart.x(history[i].at), kChartWidth - 2);
    const int width = std::max(chart.x(end) - from, 2);  // the shortest is seen too
    put(out, "<rect class=\"{}\" x=\"{}\" y=\"0\" width=\"{}\" height=\"10\"><title>{} UTC, for {}: {}</title></rect>",
        leader ? "led" : "gap", from, width, clock_text(history[i].wall), duration_text(end - history[i].at),
        html(history[i].why));
  }
  if (leader) put_marks(out, *leader, events, chart);
  out += "</svg></div>\n";
}

// The last ones, newest first: of leases where they are known, else of leadership alone.
void put_moments(std::string& out, const MasterPage& page, const std::vector<master::LeadershipMoment>& history) {
  const auto& events = page.watch->events;
  const auto known = events.empty() ? history.size() : events.size();
  const auto shown = std::min(known, kMomentsShownMax);
  out += "<ol>\n";
  for (std::size_t i = 0; i < shown; ++i) {
    if (events.empty()) {
      const auto& moment = history[known - 1 - i];
      put(out, "<li><time>{}</time> <span>{}</span></li>\n", clock_text(moment.wall), html(moment.why));
    } else {
      const auto& event = events[known - 1 - i];
      put(out, "<li><time>{}</time> <em class=\"{}\">{}</em> <span>{}, term {}: {}</span></li>\n", clock_text(event.wall),
          text(event.kind), text(event.kind), html(event.holder_address), event.term.value(), html(event.cause));
    }
  }
  put(out, "</ol></div>{}</section>\n",
      known > shown ? fmt::format("<p class=\"empty\">And {} before: <a href=\"/cluster/lease/history\">/cluster/lease/history</a>, lease.log.</p>", known - shown) : "");
}

const char* sign(master::Reached reached) {
  switch (reached) {
    case master::Reached::yes: return "✓";
    case master::Reached::by_stream: return "~";
    case master::Reached::no: return "✗";
    case master::Reached::unknown: return "?";
  }
  return "";
}

std::string meaning(master::Reached reached, const std::string& from, const std::string& to) {
  switch (reached) {
    case master::Reached::yes: return "what " + from + " sends arrives at " + to;
    case master::Reached::by_stream: return from + " reaches " + to + " by its connection, not by datagrams";
    case master::Reached::no: return "what " + from + " sends does not arrive at " + to;
    case master::Reached::unknown: return to + " has not told of late whom it hears";
  }
  return "";
}

}  // namespace

void put_alarms(std::string& out, const MasterPage& page) {
  if (page.watch->alarms.empty()) return;
  out += "<ul class=\"alarms\" id=\"alarms\" role=\"alert\">\n";
  for (const auto& alarm : page.watch->alarms) {
    put(out, "<li data-alarm=\"{}\">{}{}. <small>since {}</small></li>\n", text(alarm.kind), alarm.is_on ? "" : "No more so: ",
        html(alarm.text), duration_text(page.now - alarm.since));
  }
  out += "</ul>\n";
}

void put_reach(std::string& out, const MasterPage& page) {
  const auto& matrix = page.watch->matrix;
  if (matrix.members.size() < 2) return;
  const auto& view = *page.cluster.view;
  const auto count = matrix.members.size();
  std::vector<std::string> names;
  for (const auto id : matrix.members) names.push_back(name_of(view, id));
  std::vector<std::size_t> order(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return names[a] < names[b]; });
  out += "<section id=\"reach\"><h2>Who reaches whom<small>a row sends, a column hears</small></h2>\n"
         "<div class=\"card\"><table class=\"matrix\"><thead><tr><th>from / to</th>";
  for (std::size_t i = 0; i < count; ++i) put(out, "<th title=\"{}\">{}</th>", html(names[order[i]]), i + 1);
  out += "</tr></thead>\n<tbody>\n";
  for (std::size_t i = 0; i < count; ++i) {
    const auto from = order[i];
    put(out, "<tr><th>{}. {}</th>", i + 1, html(names[from]));
    for (const auto to : order) {
      if (from == to) {
        out += "<td class=\"self\"></td>";
        continue;
      }
      const auto cell = matrix.cells[from][to];
      put(out, "<td class=\"{}\" data-from=\"{}\" data-to=\"{}\" title=\"{}\">{}</td>", text(cell), html(names[from]), html(names[to]),
          html(meaning(cell, names[from], names[to])), sign(cell));
    }
    out += "</tr>\n";
  }
  out += "</tbody></table></div></section>\n";
}

void put_history(std::string& out, const MasterPage& page) {
  const auto& view = *page.cluster.view;
  if (!view.history || view.history->empty()) return;
  const auto& history = *view.history;
  const bool is_short = history.front().at > page.now - kChartSpanShort;
  const Chart chart{page.now, is_short ? kChartSpanShort : kChartSpan};
  put(out, "<section id=\"history\"><h2>Elections and leases<small>who led in the last {}, as this master saw it since its start; UTC</small></h2>\n"
           "<div class=\"card chart\">\n", is_short ? "five minutes" : "hour");
  for (const auto& member : by_address(view)) {
    if (member.voter && !member.witness) put_lane(out, address_of(member), member.id, history, page.watch->events, chart);
  }
  put_lane(out, "nobody", std::nullopt, history, page.watch->events, chart);
  put(out, "<div class=\"lane axis\"><span></span><div><span>{} ago</span><span>now</span></div></div>\n",
      is_short ? "five minutes" : "an hour");
  out += "<p class=\"legend\"><i class=\"hand-over\"></i>handed over <i class=\"loss\"></i>lost <i class=\"expiry\"></i>ran out "
         "<i class=\"conflict\"></i>overlapped</p>\n";
  put_moments(out, page, history);
}

}  // namespace holdfast::front::page
