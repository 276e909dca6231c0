#include "base/metrics.h"

#include <algorithm>
#include <bit>
#include <set>

#include "base/check.h"

namespace holdfast::metrics {

unsigned this_threads_shard() {
  static std::atomic<unsigned> next{0};
  thread_local const unsigned shard = next.fetch_add(1, std::memory_order_relaxed) % kShards;
  return shard;
}

std::uint64_t Counter::value() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards_) sum += shard.count.load(std::memory_order_relaxed);
  return sum;
}

void Gauge::add(double by) {
  double was = value_.load(std::memory_order_relaxed);
  while (!value_.compare_exchange_weak(was, was + by, std::memory_order_relaxed)) {
  }
}

Histogram::Histogram(Duration first_bound)
    : first_ns_(static_cast<std::uint64_t>(std::max<std::int64_t>(1, first_bound.count()))) {}

void Histogram::observe(Duration d) {
  const auto ns = d.count() > 0 ? static_cast<std::uint64_t>(d.count()) : 0;
  // Bucket i holds first * 2^(i-1) < ns <= first * 2^i, and the first one all below.
  const unsigned bucket =
      ns <= first_ns_ ? 0
                      : std::min<unsigned>(static_cast<unsigned>(std::bit_width((ns - 1) / first_ns_)), kBounds);
  auto& shard = shards_[this_threads_shard()];
  shard.counts[bucket].fetch_add(1, std::memory_order_relaxed);
  shard.sum_ns.fetch_add(ns, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot out;
  std::uint64_t sum_ns = 0;
  for (const auto& shard : shards_) {
    for (std::size_t i = 0; i <= kBounds; ++i) out.counts[i] += shard.counts[i].load(std::memory_order_relaxed);
    sum_ns += shard.sum_ns.load(std::memory_order_relaxed);
  }
  for (const auto n : out.counts) out.count += n;
  out.sum = static_cast<double>(sum_ns) / 1e9;
  double bound = static_cast<double>(first_ns_) / 1e9;
  for (auto& b : out.bounds) {
    b = bound;
    bound *= 2;
  }
  return out;
}

struct Registry::Entry {
  Labels labels;
  std::unique_ptr<Counter> counter;
  std::unique_ptr<Gauge> gauge;
  std::unique_ptr<Histogram> histogram;
};

struct Registry::Named {
  std::string help;
  Family::Kind kind;
  std::map<Labels, Entry> entries;
};

Registry::Registry() = default;
Registry::~Registry() = default;

Registry::Entry& Registry::entry(std::string_view name, std::string_view help, Family::Kind kind,
                                 const Labels& labels, Duration first_bound) {
  const Guard guard(mutex_);
  auto found = named_.find(name);
  if (found == named_.end()) {
    auto named = std::make_unique<Named>(Named{std::string(help), kind, {}});
    found = named_.emplace(std::string(name), std::move(named)).first;
  }
  CHECK(found->second->kind == kind);
  auto& entry = found->second->entries[labels];
  if (!entry.counter && !entry.gauge && !entry.histogram) {
    entry.labels = labels;
    switch (kind) {
      case Family::Kind::counter: entry.counter = std::make_unique<Counter>(); break;
      case Family::Kind::gauge: entry.gauge = std::make_unique<Gauge>(); break;
      case Family::Kind::histogram: entry.histogram = std::make_unique<Histogram>(first_bound); break;
    }
  }
  return entry;
}

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  return *entry(name, help, Family::Kind::counter, labels, {}).counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  return *entry(name, help, Family::Kind::gauge, labels, {}).gauge;
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, const Labels& labels,
                               Duration first_bound) {
  return *entry(name, help, Family::Kind::histogram, labels, first_bound).histogram;
}

Registry::Collector::Collector(Collector&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)), id_(other.id_) {}

Registry::Collector& Registry::Collector::operator=(Collector&& other) noexcept {
  if (this != &other) {
    if (registry_ != nullptr) registry_->forget(id_);
    registry_ = std::exchange(other.registry_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

Registry::Collector::~Collector() {
  if (registry_ != nullptr) registry_->forget(id_);
}

Registry::Collector Registry::collector(std::function<void(std::vector<Family>&)> collect) {
  const Guard guard(collectors_mutex_);
  const auto id = next_collector_++;
  collectors_.emplace(id, std::move(collect));
  return Collector(this, id);
}

void Registry::forget(std::uint64_t id) {
  const Guard guard(collectors_mutex_);
  collectors_.erase(id);
}

std::vector<Family> Registry::collect() const {
  std::vector<Family> out;
  {
    const Guard guard(mutex_);
    for (const auto& [name, named] : named_) {
      Family family{name, named->help, named->kind, {}};
      for (const auto& [labels, entry] : named->entries) {
        Sample sample;
        sample.labels = labels;
        if (entry.counter) sample.value = static_cast<double>(entry.counter->value());
        if (entry.gauge) sample.value = entry.gauge->value();
        if (entry.histogram) sample.histogram = entry.histogram->snapshot();
        family.samples.push_back(std::move(sample));
      }
      out.push_back(std::move(family));
    }
  }
  {
    const Guard guard(collectors_mutex_);
    for (const auto& [id, collect] : collectors_) collect(out);
  }
  std::stable_sort(out.begin(), out.end(), [](const Family& a, const Family& b) { return a.name < b.name; });
  std::vector<Family> merged;
  std::set<Labels> seen;  // of the family at the end of merged: Prometheus refuses a sample that comes twice
  for (auto& family : out) {
    if (merged.empty() || merged.back().name != family.name) {
      seen.clear();
      merged.push_back({family.name, family.help, family.kind, {}});
    }
    for (auto& sample : family.samples) {
      if (seen.insert(sample.labels).second) merged.back().samples.push_back(std::move(sample));
    }
  }
  return merged;
}

Registry& process() {
  static Registry* const registry = new Registry;  // never destroyed: threads may count until the very end
  return *registry;
}

}  // namespace holdfast::metrics
