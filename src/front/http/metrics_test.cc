#include "front/http/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "front/http/volume_metrics.h"

namespace holdfast::front {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsText, PrintsCountersGaugesAndHistograms) {
  metrics::Registry registry;
  registry.counter("holdfast_elections_total", "Elections begun.").add(3);
  registry.gauge("SeaweedFS_master_is_leader", "1 on the leader.").set(1);
  registry.histogram("holdfast_commit_seconds", "Commit latency.", {}, 10us).observe(15us);
  const auto text = metrics_text(registry);
  EXPECT_THAT(text, HasSubstr("# HELP holdfast_elections_total Elections begun.\n"
                              "# TYPE holdfast_elections_total counter\n"
                              "holdfast_elections_total 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE SeaweedFS_master_is_leader gauge\nSeaweedFS_master_is_leader 1\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_commit_seconds_bucket{le=\"+Inf\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_commit_seconds_count 1\n"));
  EXPECT_THAT(text, HasSubstr("process_resident_memory_bytes "));
  EXPECT_THAT(text, HasSubstr("process_cpu_seconds_total "));
}

TEST(MetricsText, CountsRequestsByKindAndStatus) {
  metrics::Registry registry;
  RequestMetrics requests(registry, "master", {"assign", "lookup"});
  requests.done(0, 200, 50us);
  requests.done(0, 200, 1ms);
  requests.done(0, 503, 2s);
  requests.done(1, 404, 10us);
  requests.done(1, 9999, 10us);
  const auto text = metrics_text(registry);
  EXPECT_THAT(text, HasSubstr("SeaweedFS_master_request_total{type=\"assign\",code=\"200\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_master_request_total{type=\"assign\",code=\"503\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_master_request_total{type=\"lookup\",code=\"404\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_master_request_total{type=\"lookup\",code=\"599\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_master_request_seconds_count{type=\"assign\"} 3\n"));
  EXPECT_THAT(text, Not(HasSubstr("{type=\"lookup\",code=\"200\"}")));
}

TEST(MetricsText, ShowsVolumesByCollectionAndDisks) {
  VolumeInfo a;
  a.size = 100;
  a.deleted_byte_count = 7;
  VolumeInfo b = a;
  b.read_only = true;
  VolumeInfo c;
  c.collection = "c";
  volume::DiskStatus disk;
  disk.directory = "/data";
  disk.all = 1000;
  disk.error = "I/O error";
  disk.volumes_max = 8;
  metrics::Registry registry;
  const auto collector = registry.collector([&](auto& out) { append_volume_metrics(out, {a, b, c}, {disk, disk}, 3); });
  const auto text = metrics_text(registry);
  EXPECT_THAT(text, HasSubstr("SeaweedFS_volumeServer_volumes{collection=\"\",type=\"volume\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_volumeServer_volumes{collection=\"c\",type=\"volume\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_volumeServer_read_only_volumes{collection=\"\",type=\"volume\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_volumeServer_total_disk_size{collection=\"\",type=\"normal\"} 200\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_volumeServer_resource{name=\"/data\",type=\"all\"} 1000\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_volumeServer_disk_error_status{name=\"/data\",type=\"error\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("SeaweedFS_volumeServer_max_volumes 16\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_volume_masters_known 3\n"));
}

TEST(MetricsText, CountsRequestsUnderWay) {
  metrics::Registry registry;
  InFlightRequests in_flight({"get", "post"});
  const auto collector = registry.collector([&](auto& out) { out.push_back(in_flight.family("in_flight_requests")); });
  in_flight.begun(0);
  in_flight.begun(0);
  in_flight.begun(1);
  in_flight.ended(0);
  in_flight.ended(1);
  const auto text = metrics_text(registry);
  EXPECT_THAT(text, HasSubstr("in_flight_requests{type=\"get\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("in_flight_requests{type=\"post\"} 0\n"));
}

}  // namespace
}  // namespace holdfast::front
