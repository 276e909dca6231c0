#include "core/topology/heal_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "core/topology/picture.h"

namespace holdfast::topology {
namespace {

HealPlace place(const std::string& id, const std::string& data_center, const std::string& rack, std::int64_t free = 1) {
  return {id, "host-" + id, data_center, rack, free};
}
ReplicaPlacement code(const char* text) { return *ReplicaPlacement::parse(text); }

bool fits(const std::vector<HealPlace>& places, ReplicaPlacement wanted) {
  std::vector<Place> out;
  for (const HealPlace& p : places) out.push_back({p.data_center, p.rack, p.id});
  return fits_placement(wanted, out);
}

// What a whole layout of the code looks like, by its definition (spec/weed-cluster 4.3).
bool is_layout(const std::vector<HealPlace>& places, ReplicaPlacement code) {
  if (places.size() != static_cast<std::size_t>(code.copies())) return false;
  for (const HealPlace& first : places) {
    std::size_t same = 0, racks = 0;
    std::set<std::string> other_racks, data_centers;
    for (const HealPlace& p : places) {
      if (p.data_center != first.data_center) {
        data_centers.insert(p.data_center);
      } else if (p.rack != first.rack) {
        other_racks.insert(p.rack);
        ++racks;
      } else {
        ++same;
      }
    }
    if (same == code.same_rack + 1u && racks == code.other_racks && other_racks.size() == racks &&
        data_centers.size() == code.other_data_centers) {
      return true;
    }
  }
  return false;
}

TEST(HealPlan, EveryPartOfALayoutFitsAndACompletedOneIsALayout) {
  std::mt19937_64 draw(3);
  PickRandom random(5);
  std::size_t completed = 0;
  for (int round = 0; round < 4000; ++round) {
    const ReplicaPlacement wanted{static_cast<std::uint8_t>(draw() % 3), static_cast<std::uint8_t>(draw() % 3),
                                  static_cast<std::uint8_t>(draw() % 3)};
    if (wanted.copies() < 2) continue;
    std::vector<HealPlace> all;
    for (int i = 0; i < 14; ++i) {
      all.push_back(place(std::to_string(i), "d" + std::to_string(draw() % 4), "r" + std::to_string(draw() % 3),
                          static_cast<std::int64_t>(draw() % 3)));
    }
    std::shuffle(all.begin(), all.end(), draw);
    std::vector<HealPlace> chosen;  // any that fit, one after the other
    for (const HealPlace& p : all) {
      auto more = chosen;
      more.push_back(p);
      if (more.size() <= static_cast<std::size_t>(wanted.copies()) && fits(more, wanted)) chosen = more;
    }
    if (chosen.size() < static_cast<std::size_t>(wanted.copies())) continue;
    EXPECT_TRUE(is_layout(chosen, wanted)) << text(wanted);
    chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(draw() % chosen.size()));
    EXPECT_TRUE(fits(chosen, wanted)) << text(wanted);
    std::vector<HealPlace> candidates;
    for (const HealPlace& p : all) {
      if (std::none_of(chosen.begin(), chosen.end(), [&](const HealPlace& c) { return c.id == p.id; })) candidates.push_back(p);
    }
    const auto target = choose_target(chosen, candidates, wanted, random);
    if (target.empty()) continue;
    const auto found = std::find_if(candidates.begin(), candidates.end(), [&](const HealPlace& p) { return p.id == target; });
    ASSERT_NE(found, candidates.end());
    EXPECT_GT(found->free, 0);
    chosen.push_back(*found);
    EXPECT_TRUE(is_layout(chosen, wanted)) << text(wanted);
    ++completed;
  }
  EXPECT_GT(completed, 500u);
}

TEST(HealPlan, NoTwoAttemptsShareAnEpochAndALaterOneIsAbove) {
  std::uint64_t last = 0;
  for (std::uint64_t generation = 1; generation < 3; ++generation) {
    for (std::uint64_t term = 1; term < 4; ++term) {
      for (std::uint64_t attempt = 1; attempt < 4; ++attempt) {
        const auto epoch = next_epoch(0, Generation(generation), Term(term), attempt);  // all of them from the same set of copies
        EXPECT_GT(epoch, last);
        last = epoch;
      }
    }
  }
  EXPECT_EQ(next_epoch(last, Generation(1), Term(1), 1), last + 1);
}

TEST(HealPlan, AnotherHostIsPreferredAndAFullServerNeverChosen) {
  PickRandom random(1);
  auto a = place("a", "d", "r"), b = place("b", "d", "r"), c = place("c", "d", "r");
  b.host = a.host;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(choose_target({a}, {b, c}, code("001"), random), "c");
  c.free = 0;
  EXPECT_EQ(choose_target({a}, {b, c}, code("001"), random), "b");
  b.free = 0;
  EXPECT_EQ(choose_target({a}, {b, c}, code("001"), random), "");
}

TEST(HealPlan, ALossOfHalfOfEverythingIsTooMuch) {
  const auto view = [](std::uint64_t there, std::uint64_t missing, std::size_t servers, std::size_t silent) {
    HealView out;
    out.copies_there = there;
    out.copies_missing = missing;
    out.servers = servers;
    out.servers_silent = silent;
    return out;
  };
  EXPECT_FALSE(is_too_much_at_once(view(40, 20, 2, 0)));
  EXPECT_FALSE(is_too_much_at_once(view(1, 1, 2, 0)));
  EXPECT_TRUE(is_too_much_at_once(view(20, 40, 1, 0)));
  EXPECT_TRUE(is_too_much_at_once(view(60, 0, 4, 2)));
  EXPECT_FALSE(is_too_much_at_once(view(60, 1, 4, 1)));
}

}  // namespace
}  // namespace holdfast::topology
