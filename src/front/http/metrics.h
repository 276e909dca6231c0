// Prometheus' view of a process: what the metrics::Registry holds, as text for a scrape.
//
// Names follow upstream where upstream has them (`SeaweedFS_<subsystem>_...`, spec/filer-s3-mount e.2), so its
// dashboards work; ours begin with `holdfast_`. docs/metrics.md lists them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/time.h"
#include "front/http/server.h"

namespace holdfast::front {

inline constexpr std::string_view kMetricsContentType =
    "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

// The whole registry in Prometheus' text format, and what the kernel knows of this process (resident memory, CPU
// time, open files, start time). Takes a few hundred microseconds: not for the hot path.
std::string metrics_text(const metrics::Registry& registry);

// Answers a scrape.
void answer_metrics(http::Exchange& exchange, const metrics::Registry& registry);

// The server on -metricsPort: /metrics, and 404 for the rest.
class MetricsRoutes : public http::Handler {
 public:
  explicit MetricsRoutes(const metrics::Registry& registry) : registry_(registry) {}
  void serve(http::Exchange& exchange) override;

 private:
  const metrics::Registry& registry_;
};

// Counts the requests of one role by kind and status, and their latencies by kind:
//   SeaweedFS_<subsystem>_request_total{type="assign",code="200"}
//   SeaweedFS_<subsystem>_request_seconds_bucket{type="assign",le="0.0001"}
// done() costs two atomic additions on lines that belong to the calling thread's shard.
class RequestMetrics {
 public:
  // `kinds` are the names a request may have; an index into it is a request's kind. `subsystem` is upstream's word:
  // "master" or "volumeServer".
  RequestMetrics(metrics::Registry& registry, std::string_view subsystem, std::vector<std::string> kinds);

  void done(std::size_t kind, unsigned status, Duration took);

 private:
  metrics::Counter& counter(std::size_t kind, unsigned status);

  static constexpr unsigned kFirstStatus = 100;
  static constexpr unsigned kStatuses = 500;  // 100..599; anything else counts as 599

  struct Kind {
    std::string name;
    metrics::Histogram* seconds;
    // Made at the first request with that status.
    std::array<std::atomic<metrics::Counter*>, kStatuses> by_status{};
  };

  metrics::Registry& registry_;
  const std::string total_name_;
  std::vector<std::unique_ptr<Kind>> kinds_;
};

// How many requests are under way, by kind. Two atomic additions for each, on lines of the calling thread's shard.
class InFlightRequests {
 public:
  explicit InFlightRequests(std::vector<std::string> kinds) : kinds_(std::move(kinds)), counts_(kinds_.size()) {}

  void begun(std::size_t kind) { counts_[kind].begun.add(); }
  void ended(std::size_t kind) { counts_[kind].ended.add(); }

  metrics::Family family(std::string name) const;

 private:
  struct Count {
    metrics::Counter begun;
    metrics::Counter ended;
  };
  const std::vector<std::string> kinds_;
  std::vector<Count> counts_;
};

}  // namespace holdfast::front
