#include "front/http/metaloggers.h"

#include <fmt/format.h>

#include "front/http/json.h"
#include "front/http/master_page.h"

namespace holdfast::front {
namespace {

constexpr Duration kSilent = std::chrono::seconds(10);     // then its dot is no longer green
constexpr Duration kFarBehind = std::chrono::minutes(1);

std::string html(const std::string& text) {
  std::string out;
  append_html(out, text);
  return out;
}

}  // namespace

void append_metaloggers(std::string& out, const std::vector<master::MetaloggerStatus>& metaloggers, bool pretty) {
  JsonWriter json(out, pretty);
  json.begin_object().key("Metaloggers").begin_array();
  for (const auto& one : metaloggers) {
    json.begin_object()
        .field("Name", one.name)
        .field("Address", one.address)
        .field("Follows", one.follows)
        .field("Position", one.position.value())
        .field("Image", one.image.value())
        .field("Behind", one.behind)
        .field("BehindSeconds", seconds(one.behind_for))
        .field("SilentSeconds", seconds(one.silent_for))
        .end_object();
  }
  json.end_array().end_object();
}

void append_metaloggers_section(std::string& out, const std::vector<master::MetaloggerStatus>& metaloggers) {
  if (metaloggers.empty()) return;
  out += "<section id=\"metaloggers\"><h2>Metaloggers<small>copies of the masters' state elsewhere</small></h2>\n"
         "<div class=\"card\"><table><thead><tr><th>Name</th><th>Follows</th><th class=\"number\">Has</th>"
         "<th class=\"number\">Image</th><th class=\"number\">Behind</th><th class=\"number\">Last heard</th></tr></thead>\n<tbody>\n";
  for (const auto& one : metaloggers) {
    const bool is_well = one.silent_for < kSilent && one.behind_for < kFarBehind;
    const auto name = html(one.name.empty() ? one.address : one.name);
    const auto behind = one.behind == 0 ? std::string("nothing")
                        : one.behind_for > Duration(0)
                            ? fmt::format("{} entries, {}", one.behind, duration_text(one.behind_for))
                            : fmt::format("{} entries", one.behind);
    fmt::format_to(std::back_inserter(out),
                   "<tr data-metalogger=\"{} {}\"><td class=\"name\"><span class=\"dot {}\"></span>{} <small>{}</small></td>"
                   "<td class=\"state\" data-is=\"Follows\">{}</td><td class=\"number\" data-is=\"Has\">{}</td>"
                   "<td class=\"number\" data-is=\"Image\">{}</td><td class=\"number\" data-is=\"Behind\">{}</td>"
                   "<td class=\"number\" data-is=\"Last heard\">{} ago</td></tr>\n",
                   name, html(one.address), is_well ? "well" : "weak", name, html(one.address),
                   one.follows.empty() ? std::string("none") : html(one.follows), one.position.value(), one.image.value(), behind,
                   duration_text(one.silent_for));
  }
  out += "</tbody></table></div></section>\n";
}

}  // namespace holdfast::front
