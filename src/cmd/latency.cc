#include "cmd/latency.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace holdfast::cmd {

void Latencies::add(Duration took) {
  const auto bucket = static_cast<std::size_t>(std::max<std::int64_t>(0, took / kWidth));
  ++buckets_[std::min(bucket, kBuckets)];
  min_ = count_ == 0 ? took : std::min(min_, took);
  max_ = std::max(max_, took);
  ++count_;
  const double ms = milliseconds_of(took);
  sum_ms_ += ms;
  sum_of_squares_ += ms * ms;
}

void Latencies::add(const Latencies& others) {
  if (others.count_ == 0) return;
  for (std::size_t i = 0; i <= kBuckets; ++i) buckets_[i] += others.buckets_[i];
  min_ = count_ == 0 ? others.min_ : std::min(min_, others.min_);
  max_ = std::max(max_, others.max_);
  count_ += others.count_;
  sum_ms_ += others.sum_ms_;
  sum_of_squares_ += others.sum_of_squares_;
}

double Latencies::mean_ms() const { return count_ == 0 ? 0 : sum_ms_ / static_cast<double>(count_); }

double Latencies::deviation_ms() const {
  if (count_ == 0) return 0;
  const double mean = mean_ms();
  return std::sqrt(std::max(0.0, sum_of_squares_ / static_cast<double>(count_) - mean * mean));
}

std::uint64_t Latencies::percentile_tenths(unsigned percent) const {
  if (count_ == 0) return 0;
  // Rank of the request in question, from 1; rounded up, so that 100 is the last of all.
  const std::uint64_t rank = std::max<std::uint64_t>(1, (count_ * percent + 99) / 100);
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= rank) return i;
  }
  return static_cast<std::uint64_t>(max_ / kWidth);
}

std::string Latencies::table() const {
  std::string out = "Percentage of the requests served within a certain time (ms)\n";
  if (count_ == 0) return out;
  std::uint64_t before = UINT64_MAX;
  for (const unsigned percent : {50u, 66u, 75u, 80u, 90u, 95u, 98u, 99u, 100u}) {
    const auto tenths = percentile_tenths(percent);
    if (tenths == before) continue;
    before = tenths;
    out += fmt::format("{:5}%{:9.1f} ms\n", percent, static_cast<double>(tenths) / 10);
  }
  return out;
}

std::string Latencies::histogram(const std::string& phase) const {
  std::string out;
  for (std::size_t i = 0; i <= kBuckets; ++i) {
    if (buckets_[i] == 0) continue;
    const double lower = static_cast<double>(i) / 10;
    const double upper = i == kBuckets ? max_ms() : lower + 0.1;
    out += fmt::format("{}\t{:.1f}\t{:.1f}\t{}\n", phase, lower, upper, buckets_[i]);
  }
  return out;
}

}  // namespace holdfast::cmd
