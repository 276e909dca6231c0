#include "core/volume/merge.h"

#include <algorithm>
#include <numeric>
#include <span>

namespace holdfast::volume {
namespace {

// One copy's records of one key, in their order; empty when it knows nothing of it.
using History = std::span<const MergeRecord>;

bool is_same_write(const MergeRecord& a, const MergeRecord& b) {
  const auto apart = a.append_at_ns > b.append_at_ns ? a.append_at_ns - b.append_at_ns : b.append_at_ns - a.append_at_ns;
  return !a.is_deletion() && a.has_content_of(b) && apart <= static_cast<std::uint64_t>(kSameWriteMax.count());
}

// Whether another copy made the write that `own` ends with, too, and went on from there.
bool is_overtaken(std::size_t own, const std::vector<History>& histories) {
  for (std::size_t i = 0; i < histories.size(); ++i) {
    if (i == own || histories[i].empty() || histories[i].back().has_content_of(histories[own].back())) continue;
    const auto earlier = histories[i].first(histories[i].size() - 1);
    if (std::any_of(earlier.begin(), earlier.end(), [&](const auto& r) { return is_same_write(r, histories[own].back()); })) {
      return true;
    }
  }
  return false;
}

// The copy whose last operation counts. When each is overtaken by another one, the times decide as among all.
std::size_t newest(const std::vector<History>& histories) {
  std::size_t best = 0;
  auto rank = [&](std::size_t i) { return std::pair(!is_overtaken(i, histories), histories[i].back().append_at_ns); };
  bool is_first = true;
  for (std::size_t i = 0; i < histories.size(); ++i) {
    if (histories[i].empty()) continue;
    if (is_first || rank(i) > rank(best)) best = i;
    is_first = false;
  }
  return best;
}

// Sorted by key, each key's records in their order.
std::vector<MergeRecord> by_key(std::vector<MergeRecord> records) {
  std::stable_sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return records;
}

}  // namespace

bool MergeRecord::has_content_of(const MergeRecord& other) const {
  if (is_deletion() || other.is_deletion()) return is_deletion() && other.is_deletion();
  return size == other.size && cookie == other.cookie && crc == other.crc;
}

std::size_t MergePlan::files() const {
  return static_cast<std::size_t>(std::count_if(steps.begin(), steps.end(), [](const auto& s) { return !s.record.is_deletion(); }));
}

MergePlan plan_merge(const std::vector<MergeCopy>& copies) {
  std::vector<std::vector<MergeRecord>> sorted;
  for (const auto& copy : copies) sorted.push_back(by_key(copy.records));
  std::vector<std::size_t> at(copies.size(), 0);
  MergePlan plan;
  plan.outdated.resize(copies.size(), 0);
  while (true) {
    const NeedleId* key = nullptr;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      if (at[i] < sorted[i].size() && (key == nullptr || sorted[i][at[i]].key < *key)) key = &sorted[i][at[i]].key;
    }
    if (key == nullptr) break;
    std::vector<History> histories;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      const auto begin = at[i];
      while (at[i] < sorted[i].size() && sorted[i][at[i]].key == *key) ++at[i];
      histories.push_back(History(sorted[i]).subspan(begin, at[i] - begin));
    }
    const auto from = newest(histories);
    const auto& record = histories[from].back();
    plan.steps.push_back({from, record});
    bool is_unclear = false;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      const bool is_known = !histories[i].empty();
      const bool is_right = is_known ? histories[i].back().has_content_of(record) : record.is_deletion();
      plan.outdated[i] += is_right ? 0 : 1;
      is_unclear = is_unclear || (!is_known && !record.is_deletion() && copies[i].is_compacted);
    }
    if (is_unclear) plan.unclear.push_back(*key);
  }
  std::sort(plan.steps.begin(), plan.steps.end(), [](const auto& a, const auto& b) {
    return std::pair(a.record.append_at_ns, a.record.key) < std::pair(b.record.append_at_ns, b.record.key);
  });
  return plan;
}

}  // namespace holdfast::volume
