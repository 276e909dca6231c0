#include "core/topology/layout.h"

#include <algorithm>

namespace holdfast::topology {

// ---- fill ----------------------------------------------------------------------------------------------------------

void Fill::assigned(Instant now, std::uint64_t bytes) {
  const std::uint32_t e = epoch(now);
  std::uint32_t seen = epoch_.load(std::memory_order_relaxed);
  if (seen != e && epoch_.compare_exchange_strong(seen, e, std::memory_order_relaxed)) {
    const std::uint64_t last = current_.exchange(0, std::memory_order_relaxed);
    previous_.store(seen + 1 == e ? last : 0, std::memory_order_relaxed);
  }
  current_.fetch_add(bytes, std::memory_order_relaxed);
}

std::uint64_t Fill::bias(Instant now) const {
  const std::uint32_t age = epoch(now) - epoch_.load(std::memory_order_relaxed);
  const std::uint64_t current = current_.load(std::memory_order_relaxed);
  if (age == 0) return current + previous_.load(std::memory_order_relaxed);
  return age == 1 ? current : 0;
}

// ---- pick ----------------------------------------------------------------------------------------------------------

std::uint64_t Layout::weight(const Candidate& candidate, Instant now) const {
  const std::uint64_t used = candidate.fill->reported() + candidate.fill->bias(now);
  // At least 1: neither a bias nor a report that is a moment old closes a volume.
  return used < limit_ ? limit_ - used : 1;
}

const Candidate* Layout::choose(const std::array<const Candidate*, kSamples>& found, std::size_t count, Instant now,
                                PickRandom& random) const {
  picks_.fetch_add(1, std::memory_order_relaxed);
  if (count == 1) return found[0];
  std::array<std::uint64_t, kSamples> weights{};
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += weights[i] = weight(*found[i], now);
  std::uint64_t at = random.below(sum);
  for (std::size_t i = 0; i + 1 < count; ++i) {
    if (at < weights[i]) return found[i];
    at -= weights[i];
  }
  return found[count - 1];
}

LocationsPtr Layout::pick(Instant now, const Wish& wish, std::uint64_t bytes, PickRandom& random) const {
  std::size_t start = 0;
  {
    Guard guard(mutex_);
    const std::size_t n = candidates_.size();
    if (n == 0) return nullptr;
    std::array<const Candidate*, kSamples> found{}, doubted{};
    std::size_t count = 0, doubted_count = 0;
    // Three different ones: a random place and two further ones at random distances below a third of the way round.
    std::size_t place = start = random.below(n);
    const std::size_t step_max = std::max<std::size_t>(n / kSamples, 1);
    for (std::size_t i = 0; i < std::min(n, kSamples); ++i) {
      const Candidate& c = candidates_[place];
      if (c.locations->alive(now) && (wish.empty() || wish.met_by(*c.locations))) {
        if (c.locations->doubted()) {
          doubted[doubted_count++] = &c;
        } else {
          found[count++] = &c;
        }
      }
      place += 1 + random.below(step_max);
      if (place >= n) place -= n;
    }
    if (count == 0 && n <= kSamples) {  // all were looked at
      found = doubted;
      count = doubted_count;
    }
    if (count > 0) {
      const Candidate* chosen = choose(found, count, now, random);
      chosen->fill->assigned(now, bytes);
      return chosen->locations;
    }
    if (n <= kSamples) return nullptr;
  }
  std::vector<Candidate> scanned = scan(now, wish, kSamples, start, false);
  if (scanned.empty()) scanned = scan(now, wish, kSamples, start, true);
  if (scanned.empty()) return nullptr;
  std::array<const Candidate*, kSamples> found{};
  for (std::size_t i = 0; i < scanned.size(); ++i) found[i] = &scanned[i];
  const Candidate* chosen = choose(found, scanned.size(), now, random);
  chosen->fill->assigned(now, bytes);
  return chosen->locations;
}

std::vector<Candidate> Layout::scan(Instant now, const Wish& wish, std::size_t wanted, std::size_t start,
                                    bool doubted) const {
  std::vector<Candidate> found;
  std::size_t done = 0;
  while (found.size() < wanted) {
    Guard guard(mutex_);
    const std::size_t n = candidates_.size();
    const std::size_t end = std::min(done + kScanSlice, n);
    if (done >= end) break;
    for (; done < end && found.size() < wanted; ++done) {
      const Candidate& c = candidates_[(start + done) % n];
      if (!c.locations->alive(now) || (!doubted && c.locations->doubted())) continue;
      if (wish.met_by(*c.locations)) found.push_back(c);
    }
  }
  return found;
}

std::vector<std::size_t> Layout::unmet(const std::vector<Wish>& wishes, std::uint64_t bytes_max, Instant now) const {
  std::vector<std::size_t> left(wishes.size());
  for (std::size_t i = 0; i < left.size(); ++i) left[i] = i;
  for (std::size_t done = 0; !left.empty();) {
    const Guard guard(mutex_);
    const std::size_t end = std::min(done + kScanSlice, candidates_.size());
    if (done >= end) break;
    for (; done < end && !left.empty(); ++done) {
      const Candidate& c = candidates_[done];
      if (c.fill->reported() > bytes_max || !c.locations->alive(now)) continue;
      std::erase_if(left, [&](std::size_t i) { return wishes[i].met_by(*c.locations); });
    }
  }
  return left;
}

bool Layout::can_pick(Instant now, const Wish& wish) const { return !scan(now, wish, 1, 0, true).empty(); }

// ---- changes -------------------------------------------------------------------------------------------------------

void Layout::add(Candidate candidate) {
  Guard guard(mutex_);
  const VolumeId volume = candidate.locations->volume;
  const auto [it, fresh] = position_.try_emplace(volume, candidates_.size());
  if (fresh) {
    candidates_.push_back(std::move(candidate));
  } else {
    candidates_[it->second] = std::move(candidate);
  }
}

void Layout::remove(VolumeId volume) {
  Guard guard(mutex_);
  const auto it = position_.find(volume);
  if (it == position_.end()) return;
  const std::size_t hole = it->second;
  position_.erase(it);
  if (hole + 1 != candidates_.size()) {
    candidates_[hole] = std::move(candidates_.back());
    position_[candidates_[hole].locations->volume] = hole;
  }
  candidates_.pop_back();
}

std::vector<VolumeId> Layout::volumes() const {
  std::vector<VolumeId> ids;
  {
    Guard guard(mutex_);
    ids.reserve(candidates_.size());
    for (const Candidate& c : candidates_) ids.push_back(c.locations->volume);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::size_t Layout::size() const {
  Guard guard(mutex_);
  return candidates_.size();
}

// ---- table ---------------------------------------------------------------------------------------------------------

LayoutPtr LayoutTable::find(const LayoutRef& ref) const {
  const auto table = this->table();
  const auto it = table->find(ref);
  return it == table->end() ? nullptr : it->second;
}

void LayoutTable::add(LayoutPtr layout) {
  auto next = std::make_shared<Table>(*table());
  (*next)[layout->key()] = std::move(layout);
  Guard guard(mutex_);
  table_ = std::move(next);
}

void LayoutTable::remove(const LayoutKey& key) {
  auto next = std::make_shared<Table>(*table());
  next->erase(key);
  Guard guard(mutex_);
  table_ = std::move(next);
}

std::vector<LayoutPtr> LayoutTable::all() const {
  std::vector<LayoutPtr> layouts;
  for (const auto& [key, layout] : *table()) layouts.push_back(layout);
  std::sort(layouts.begin(), layouts.end(),
            [](const LayoutPtr& a, const LayoutPtr& b) { return a->key() < b->key(); });
  return layouts;
}

}  // namespace holdfast::topology
