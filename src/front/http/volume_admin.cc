// What is not a file: health, status, page, metrics, pictures (spec/weed-cluster 3.12).
#include "base/log.h"
#include "front/http/json.h"
#include "front/http/page_assets.h"
#include "front/http/volume_info_json.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

using http::Exchange;

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  for (; value >= 1024 && unit < 6; ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

struct Told {
  std::vector<VolumeInfo> volumes;
  std::vector<volume::DiskStatus> disks;
};

constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--ink:#1c2730;--soft:#5c6b76;--line:#d9e0e5;--back:#fbfcfd;--mark:#2a7f86}
@media(prefers-color-scheme:dark){:root{--ink:#e4ebf0;--soft:#93a3af;--line:#2c3942;--back:#12191e;--mark:#62c0c6}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0 auto;max-width:64rem;padding:1.2rem}
h1{font-size:1.3rem;margin:0 0 .2rem}h2{font-size:1rem;margin:1.6rem 0 .4rem;color:var(--mark)}
p{margin:.2rem 0;color:var(--soft)}a{color:var(--mark)}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem 1.2rem .3rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}.n{text-align:right}
)";

std::string page_of(const Told& told, volume::VolumeService& service, std::string_view version, Duration up) {
  while (version.ends_with(' ')) version.remove_suffix(1);
  std::string out = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                    "content=\"width=device-width,initial-scale=1\"><meta http-equiv=\"refresh\" content=\"10\"><title>Volume server ";
  out += escaped(service.self()) + "</title><style>" + std::string(kStyle) + "</style></head><body>";
  out += "<h1>Volume server " + escaped(service.self()) + "</h1><p>Version " + escaped(version) + ", up " +
         fmt::format("{} h {} min", static_cast<long>(seconds(up)) / 3600, static_cast<long>(seconds(up)) / 60 % 60) + "</p><p>Masters:";
  for (const auto& master : service.masters()) {
    const auto name = escaped(master.http());
    out += " <a href=\"//" + name + "/\">" + name + "</a>";
  }
  out += "</p><h2>Disks</h2><div class=\"wide\"><table><tr><th>Folder</th><th>Type</th><th class=\"n\">Size</th><th class=\"n\">Used</th>"
         "<th class=\"n\">Free</th><th>State</th></tr>";
  for (const auto& disk : told.disks) {
    out += "<tr><td>" + escaped(disk.directory) + "</td><td>" + (disk.disk_type.empty() ? "hdd" : escaped(disk.disk_type)) +
           "</td><td class=\"n\">" + human_bytes(disk.all) + "</td><td class=\"n\">" + human_bytes(disk.used) + "</td><td class=\"n\">" +
           human_bytes(disk.free) + "</td><td>" + (disk.error.empty() ? "well" : escaped(disk.error)) + "</td></tr>";
  }
  out += "</table></div><h2>Volumes</h2><div class=\"wide\"><table><tr><th class=\"n\">Id</th><th>Collection</th><th>Copies</th><th>TTL</th>"
         "<th class=\"n\">Size</th><th class=\"n\">Files</th><th class=\"n\">Deleted</th><th class=\"n\">Deleted bytes</th><th>State</th></tr>";
  for (const auto& volume : told.volumes) {
    out += fmt::format("<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>"
                       "<td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
                       volume.id.value(), escaped(volume.collection), text(volume.replica_placement), text(volume.ttl),
                       human_bytes(volume.size), volume.file_count, volume.delete_count, human_bytes(volume.deleted_byte_count),
                       volume.read_only ? "read only" : "writable");
  }
  return out + "</table></div></body></html>\n";
}

}  // namespace

void VolumeRoutes::Inside::answer_health(Exchange& exchange) {
  answer_nothing(exchange, service.is_healthy() ? 200 : 503);
}

Task VolumeRoutes::Inside::answer_status(Exchange& exchange) {
  auto look = [this]() -> Result<Told> { return Told{service.volumes(), service.disks()}; };
  const auto told = co_await on_pool<Told>(exchange.loop(), look);
  if (!told) {
    answer_error(exchange, 503, told.error().what());
    co_return;
  }
  std::string body;
  JsonWriter json(body, wants_pretty(exchange.request().query));
  json.begin_object().key("DiskStatuses").begin_array();
  for (const auto& disk : told->disks) {
    json.begin_object()
        .field_unless_empty("dir", disk.directory)
        .field_unless_empty("all", disk.all)
        .field_unless_empty("used", disk.used)
        .field_unless_empty("free", disk.free)
        .field_unless_empty("percent_free", static_cast<float>(disk.percent_free))
        .field_unless_empty("percent_used", static_cast<float>(disk.percent_used))
        .field_unless_empty("disk_type", disk.disk_type == "hdd" ? std::string() : disk.disk_type)
        .field_unless_empty("error", disk.error)
        .end_object();
  }
  json.end_array().field("Version", options.version).key("Volumes").begin_array();
  for (const auto& volume : told->volumes) append_volume_info(json, volume, volume.content_size);
  json.end_array().end_object();
  answer_json(exchange, 200, body);
}

Task VolumeRoutes::Inside::answer_page(Exchange& exchange) {
  auto look = [this]() -> Result<std::string> {
    const Told told{service.volumes(), service.disks()};
    return page_of(told, service, options.version, clock.now() - started_at);
  };
  const auto page = co_await on_pool<std::string>(exchange.loop(), look);
  if (!page) {
    answer_error(exchange, 503, page.error().what());
    co_return;
  }
  head(exchange, 200).add("Content-Type", "text/html; charset=utf-8");
  exchange.finish(*page);
}

Task VolumeRoutes::Inside::answer_metrics(Exchange& exchange) {
  auto look = [this]() -> Result<std::string> { return metrics_text(registry); };
  const auto text = co_await on_pool<std::string>(exchange.loop(), look);
  if (!text) {
    answer_error(exchange, 503, text.error().what());
    co_return;
  }
  head(exchange, 200).add("Content-Type", kMetricsContentType);
  exchange.finish(*text);
}

void VolumeRoutes::Inside::answer_static(Exchange& exchange, std::string_view path) {
  constexpr std::string_view kPrefix = "/seaweedfsstatic/";
  const auto* file = static_file(path.starts_with(kPrefix) ? path.substr(kPrefix.size()) : path.substr(1));
  if (file == nullptr) {
    answer_no_such_page(exchange);
    return;
  }
  exchange.head(200).add("Content-Type", file->content_type).add("Accept-Ranges", "bytes");
  exchange.finish(file->bytes);
}

}  // namespace holdfast::front
