#include "core/volume/needle_map.h"

#include <algorithm>
#include <cstring>

namespace holdfast::volume {
namespace {

constexpr std::size_t kAllocatorOverhead = 16;  // malloc's own words per block

std::uint8_t width_for(std::uint64_t distance) {
  if (distance <= 0xffff) return 2;
  if (distance <= 0xffffffff) return 4;
  return 8;
}

template <typename T>
T load(const std::uint8_t* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <typename T>
void store(std::uint8_t* p, T v) {
  std::memcpy(p, &v, sizeof v);
}

// The first of `n` rising values from `at` on that is not below `wanted`, by halving without branches; at + n if none.
template <typename T>
unsigned lower_bound_within(const std::uint8_t* block, unsigned at, unsigned n, std::uint64_t wanted) {
  while (n > 1) {
    const unsigned half = n / 2;
    at += load<T>(block + (at + half - 1) * sizeof(T)) < wanted ? half : 0;
    n -= half;
  }
  return at + (n == 1 && load<T>(block + at * sizeof(T)) < wanted ? 1 : 0);
}

// Like std::lower_bound over `count` rising values, the last of which is not below `wanted`; widens the search from `guess` on.
template <typename T>
unsigned lower_bound_near(const std::uint8_t* block, unsigned count, unsigned guess, std::uint64_t wanted) {
  unsigned step = 16;
  if (load<T>(block + guess * sizeof(T)) < wanted) {
    unsigned low = guess + 1;  // all before it are below
    while (step < count - low && load<T>(block + (low + step - 1) * sizeof(T)) < wanted) {
      low += step;
      step *= 2;
    }
    return lower_bound_within<T>(block, low, std::min(step, count - low), wanted);
  }
  unsigned high = guess;  // neither it nor any behind it is below
  while (step < high && load<T>(block + (high - step) * sizeof(T)) >= wanted) {
    high -= step;
    step *= 2;
  }
  const auto low = high > step ? high - step : 0;
  return lower_bound_within<T>(block, low, high - low, wanted);
}

}  // namespace

std::uint64_t NeedleMap::Leaf::distance(unsigned i) const {
  const auto* p = block.get() + std::size_t{i} * width;
  if (width == 2) return load<std::uint16_t>(p);
  if (width == 4) return load<std::uint32_t>(p);
  return load<std::uint64_t>(p);
}

Slot NeedleMap::Leaf::slot(unsigned i) const {
  const auto* p = slots() + std::size_t{i} * kSlotBytes;
  return {load<std::uint32_t>(p), load<std::int32_t>(p + 4)};
}

void NeedleMap::Leaf::set_slot(unsigned i, Slot slot) {
  auto* p = slots() + std::size_t{i} * kSlotBytes;
  store(p, slot.offset);
  store(p + 4, slot.size);
}

unsigned NeedleMap::Leaf::lower_bound(std::uint64_t wanted) const {
  if (count == 0 || wanted > last) return count;
  // Assigned keys lie evenly, so the search begins where `wanted` would lie if all did: mostly one line of memory.
  const auto fraction = last == 0 ? 0 : static_cast<double>(wanted) / static_cast<double>(last);
  const auto guess = std::min(static_cast<unsigned>(fraction * (count - 1)), count - 1u);
  __builtin_prefetch(slots() + guess * kSlotBytes);  // comes while the search goes on
  if (width == 2) return lower_bound_near<std::uint16_t>(block.get(), count, guess, wanted);
  if (width == 4) return lower_bound_near<std::uint32_t>(block.get(), count, guess, wanted);
  return lower_bound_near<std::uint64_t>(block.get(), count, guess, wanted);
}

void NeedleMap::Leaf::reshape(std::uint64_t new_base, unsigned new_capacity, std::uint8_t new_width) {
  Leaf next;
  next.base = new_base;
  next.capacity = static_cast<std::uint16_t>(new_capacity);
  next.width = new_width;
  next.count = count;
  next.block = std::make_unique_for_overwrite<std::uint8_t[]>(next.block_bytes());
  for (unsigned i = 0; i < count; i++) {
    const auto d = base + distance(i) - new_base;
    auto* p = next.block.get() + std::size_t{i} * new_width;
    if (new_width == 2) store(p, static_cast<std::uint16_t>(d));
    if (new_width == 4) store(p, static_cast<std::uint32_t>(d));
    if (new_width == 8) store(p, d);
    next.set_slot(i, slot(i));
  }
  *this = std::move(next);
}

void NeedleMap::Leaf::insert(unsigned at, std::uint64_t key, Slot value) {
  const auto new_base = count == 0 ? key : std::min(base, key);
  const auto last_key = count == 0 ? key : std::max(key, base + last);
  const auto new_width = std::max(width_for(last_key - new_base), count == 0 ? std::uint8_t{2} : width);
  const unsigned new_capacity =
      count < capacity ? capacity : std::min<unsigned>(kLeafEntriesMax, capacity + kLeafGrowth);
  if (new_base != base || new_capacity != capacity || new_width != width || !block) {
    reshape(new_base, new_capacity, new_width);
  }
  const auto behind = std::size_t{count} - at;
  auto* distances = block.get();
  auto* entries = slots();
  std::memmove(distances + (at + 1u) * std::size_t{width}, distances + at * std::size_t{width}, behind * width);
  std::memmove(entries + (at + 1u) * kSlotBytes, entries + at * kSlotBytes, behind * kSlotBytes);
  auto* p = distances + at * std::size_t{width};
  const auto d = key - base;
  if (width == 2) store(p, static_cast<std::uint16_t>(d));
  if (width == 4) store(p, static_cast<std::uint32_t>(d));
  if (width == 8) store(p, d);
  count++;
  last = distance(count - 1u);
  set_slot(at, value);
}

std::size_t NeedleMap::leaf_of(std::uint64_t key) const {
  const auto* at = bases_.data();  // the answer lies in [at, at + n)
  for (auto n = bases_.size(); n > 1;) {
    const auto half = n / 2;
    at += at[half] <= key ? half : 0;
    n -= half;
  }
  return static_cast<std::size_t>(at - bases_.data());
}

std::optional<std::pair<std::size_t, unsigned>> NeedleMap::locate(std::uint64_t key) const {
  if (leaves_.empty()) return {};
  const auto i = leaf_of(key);
  const auto& leaf = leaves_[i];
  if (key < leaf.base) return {};
  const auto at = leaf.lower_bound(key - leaf.base);
  if (at == leaf.count || leaf.base + leaf.distance(at) != key) return {};
  return std::pair{i, at};
}

std::optional<Slot> NeedleMap::find(NeedleId key) const {
  const auto place = locate(key.value());
  if (!place) return {};
  return leaves_[place->first].slot(place->second);
}

void NeedleMap::collect(NeedleId from, std::size_t entries_max, std::vector<std::pair<NeedleId, Slot>>& out) const {
  if (leaves_.empty()) return;
  const auto out_max = out.size() + entries_max;
  auto i = leaf_of(from.value());
  auto at = from.value() < leaves_[i].base ? 0 : leaves_[i].lower_bound(from.value() - leaves_[i].base);
  for (; i < leaves_.size() && out.size() < out_max; i++, at = 0) {
    const auto& leaf = leaves_[i];
    for (; at < leaf.count && out.size() < out_max; at++) {
      out.emplace_back(NeedleId(leaf.base + leaf.distance(at)), leaf.slot(at));
    }
  }
}

void NeedleMap::split(std::size_t i) {
  Leaf& left = leaves_[i];
  const unsigned keep = left.count / 2u;
  Leaf right;
  // Entries go over one behind the other, so `right` only ever grows at its end.
  for (unsigned j = keep; j < left.count; j++) right.insert(j - keep, left.base + left.distance(j), left.slot(j));
  left.count = static_cast<std::uint16_t>(keep);
  left.reshape(left.base, keep + kLeafGrowth, width_for(left.distance(keep - 1)));
  left.last = left.distance(keep - 1);
  bases_.insert(bases_.begin() + static_cast<std::ptrdiff_t>(i) + 1, right.base);
  leaves_.insert(leaves_.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::move(right));
}

void NeedleMap::insert(std::uint64_t key, Slot slot) {
  const auto add_leaf = [&] {
    Leaf leaf;
    leaf.insert(0, key, slot);
    bases_.push_back(key);
    leaves_.push_back(std::move(leaf));
  };
  if (leaves_.empty()) return add_leaf();
  auto i = leaf_of(key);
  if (leaves_[i].count == kLeafEntriesMax) {
    const auto& leaf = leaves_[i];
    const bool behind_all = i + 1 == leaves_.size() && key > leaf.base + leaf.distance(leaf.count - 1u);
    if (behind_all) return add_leaf();  // rising keys leave full leaves behind
    split(i);
    i = leaf_of(key);
  }
  Leaf& leaf = leaves_[i];
  const auto at = key < leaf.base ? 0 : leaf.lower_bound(key - leaf.base);
  leaf.insert(at, key, slot);
  bases_[i] = leaf.base;
}

void NeedleMap::put(NeedleId key, Slot slot) {
  if (const auto place = locate(key.value())) {
    auto& leaf = leaves_[place->first];
    const auto old = leaf.slot(place->second);
    tally_.put(key, slot.size, &old);
    leaf.set_slot(place->second, slot);
    return;
  }
  tally_.put(key, slot.size, nullptr);
  insert(key.value(), slot);
}

void NeedleMap::remove(NeedleId key) {
  const auto place = locate(key.value());
  if (!place) {
    (void)tally_.remove(key, nullptr);
    return;
  }
  auto& leaf = leaves_[place->first];
  const auto old = leaf.slot(place->second);
  if (const auto now = tally_.remove(key, &old)) leaf.set_slot(place->second, *now);
}

void NeedleMap::apply(const IndexRow& row) {
  if (row.is_put()) {
    put(row.key, {static_cast<std::uint32_t>(row.offset), row.size});
  } else {
    remove(row.key);
  }
}

std::size_t NeedleMap::memory_bytes() const {
  std::size_t bytes = sizeof *this + bases_.capacity() * sizeof(bases_[0]) + leaves_.capacity() * sizeof(Leaf);
  for (const auto& leaf : leaves_) bytes += leaf.block_bytes() + kAllocatorOverhead;
  return bytes;
}

}  // namespace holdfast::volume
