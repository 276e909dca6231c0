#include "front/http/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/check.h"
#include "front/http/answers.h"

namespace holdfast::front {
namespace {

prometheus::MetricType type_of(metrics::Family::Kind kind) {
  switch (kind) {
    case metrics::Family::Kind::counter: return prometheus::MetricType::Counter;
    case metrics::Family::Kind::gauge: return prometheus::MetricType::Gauge;
    case metrics::Family::Kind::histogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric converted(const metrics::Sample& sample, metrics::Family::Kind kind) {
  prometheus::ClientMetric out;
  for (const auto& [name, value] : sample.labels) out.label.push_back({name, value});
  out.counter.value = sample.value;
  out.gauge.value = sample.value;
  if (kind == metrics::Family::Kind::histogram) {
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < metrics::Histogram::kBounds; ++i) {
      cumulative += sample.histogram.counts[i];
      out.histogram.bucket.push_back({cumulative, sample.histogram.bounds[i]});
    }
    out.histogram.sample_count = sample.histogram.count;
    out.histogram.sample_sum = sample.histogram.sum;
  }
  return out;
}

void add_plain(std::vector<metrics::Family>& out, const char* name, const char* help, metrics::Family::Kind kind,
               double value) {
  out.push_back({name, help, kind, {metrics::Sample{.labels = {}, .value = value, .histogram = {}}}});
}

// Taken when the program is loaded, before main.
const double kStarted = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

// Names as Prometheus' own client libraries give them, so that common dashboards know them.
void add_process(std::vector<metrics::Family>& out) {
  using Kind = metrics::Family::Kind;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    add_plain(out, "process_cpu_seconds_total", "User and system time spent.", Kind::counter,
              seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  }
  std::ifstream statm("/proc/self/statm");
  double total = 0;
  double resident = 0;
  if (statm >> total >> resident) {
    const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
    add_plain(out, "process_resident_memory_bytes", "Resident memory.", Kind::gauge, resident * page);
    add_plain(out, "process_virtual_memory_bytes", "Virtual memory.", Kind::gauge, total * page);
  }
  std::error_code error;
  double open = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    ++open;
  }
  if (!error) add_plain(out, "process_open_fds", "Open file descriptors.", Kind::gauge, open);
  add_plain(out, "process_start_time_seconds", "Wall-clock time of the start.", Kind::gauge, kStarted);
}

}  // namespace

std::string metrics_text(const metrics::Registry& registry) {
  auto families = registry.collect();
  add_process(families);
  std::vector<prometheus::MetricFamily> out;
  out.reserve(families.size());
  for (const auto& family : families) {
    prometheus::MetricFamily one;
    one.name = family.name;
    one.help = family.help;
    one.type = type_of(family.kind);
    for (const auto& sample : family.samples) one.metric.push_back(converted(sample, family.kind));
    out.push_back(std::move(one));
  }
  return prometheus::TextSerializer().Serialize(out);
}

void answer_metrics(http::Exchange& exchange, const metrics::Registry& registry) {
  const auto body = metrics_text(registry);
  exchange.head(200).add("Content-Type", kMetricsContentType);
  exchange.finish(body);
}

void MetricsRoutes::serve(http::Exchange& exchange) {
  if (exchange.request().path == "/metrics") return answer_metrics(exchange, registry_);
  answer_no_such_page(exchange);
}

metrics::Family InFlightRequests::family(std::string name) const {
  metrics::Family out{std::move(name), "Requests under way.", metrics::Family::Kind::gauge, {}};
  for (std::size_t i = 0; i < kinds_.size(); ++i) {
    const auto ended = counts_[i].ended.value();  // first: never more than have begun
    out.samples.push_back({{{"type", kinds_[i]}}, static_cast<double>(counts_[i].begun.value() - ended), {}});
  }
  return out;
}

RequestMetrics::RequestMetrics(metrics::Registry& registry, std::string_view subsystem,
                               std::vector<std::string> kinds)
    : registry_(registry), total_name_("SeaweedFS_" + std::string(subsystem) + "_request_total") {
  const auto seconds_name = "SeaweedFS_" + std::string(subsystem) + "_request_seconds";
  for (auto& name : kinds) {
    auto kind = std::make_unique<Kind>();
    kind->seconds = &registry.histogram(seconds_name, "Time from a request's last header byte to its answer.",
                                        {{"type", name}}, metrics::kRequestFirstBound);
    kind->name = std::move(name);
    kinds_.push_back(std::move(kind));
  }
}

metrics::Counter& RequestMetrics::counter(std::size_t kind, unsigned status) {
  if (status < kFirstStatus || status >= kFirstStatus + kStatuses) status = kFirstStatus + kStatuses - 1;
  auto& slot = kinds_[kind]->by_status[status - kFirstStatus];
  if (auto* known = slot.load(std::memory_order_acquire)) return *known;
  auto& made = registry_.counter(total_name_, "Requests answered, by kind and status.",
                                 {{"type", kinds_[kind]->name}, {"code", std::to_string(status)}});
  slot.store(&made, std::memory_order_release);
  return made;
}

void RequestMetrics::done(std::size_t kind, unsigned status, Duration took) {
  CHECK(kind < kinds_.size());
  counter(kind, status).add();
  kinds_[kind]->seconds->observe(took);
}

}  // namespace holdfast::front
