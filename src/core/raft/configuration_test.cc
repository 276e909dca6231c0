#include "core/raft/configuration.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace holdfast::raft {
namespace {

NodeId node(std::uint64_t n) { return NodeId(Uuid{7, n}); }

Configuration some() {
  return Configuration({{.id = node(2), .address = "b:9333", .voter = true},
                        {.id = node(1), .address = "a:9333", .voter = true},
                        {.id = node(3), .address = "[::1]:9333", .promote = true, .replaces = node(9)}});
}

TEST(Configuration, ComesBackFromItsBytesAsItWas) {
  const auto decoded = decode_configuration(encode(some()));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, some());
}

TEST(Configuration, DoesNotDependOnTheOrderOfTheList) {
  auto members = some().members();
  std::swap(members[0], members[2]);
  EXPECT_EQ(encode(Configuration(members)), encode(some()));
}

TEST(Configuration, EveryShorterOrLongerRunOfBytesIsRefused) {
  const auto bytes = encode(some());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(decode_configuration(std::string_view(bytes).substr(0, length))) << length;
  }
  EXPECT_FALSE(decode_configuration(bytes + "x"));
}

TEST(Configuration, AMemberListedTwiceIsRefused) {
  auto members = some().members();
  members.push_back(members[0]);
  EXPECT_FALSE(decode_configuration(encode(Configuration(members))));
}

TEST(Configuration, ALaterVersionIsRefused) {
  auto bytes = encode(some());
  bytes[0] = 4;
  const auto decoded = decode_configuration(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code(), Code::unsupported);
}

TEST(Configuration, AWitnessIsAVoterThatIsNotFull) {
  const auto with = Configuration({{.id = node(1), .voter = true},
                                   {.id = node(2), .voter = true},
                                   {.id = node(3), .address = "w:8080", .voter = true, .witness = true}});
  EXPECT_EQ(encode(with)[0], 3);
  for (const auto& one : {with, with.with_lease_cap(80ms)}) {
    const auto decoded = decode_configuration(encode(one));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, one);
  }
  EXPECT_EQ(with.voter_count(), 3u);
  EXPECT_EQ(with.majority(), 2u);
  EXPECT_EQ(with.full_voters(), (std::vector<NodeId>{node(1), node(2)}));
  EXPECT_EQ(with.witness(), node(3));
  EXPECT_FALSE(with.is_full(node(3)));
  EXPECT_EQ(encode(with.without(node(3)))[0], 1);
}

TEST(Configuration, OneWitnessIsEnoughAndVotes) {
  const auto two = Configuration({{.id = node(1), .voter = true, .witness = true},
                                  {.id = node(2), .voter = true, .witness = true}});
  EXPECT_FALSE(decode_configuration(encode(two)));
  EXPECT_FALSE(decode_configuration(encode(Configuration({{.id = node(1), .witness = true}}))));
}

TEST(Configuration, WithoutALeaseCapTheBytesAreThoseOfTheFirstRelease) {
  EXPECT_EQ(encode(some())[0], 1);
  EXPECT_EQ(encode(some().with_lease_cap(80ms).with_lease_cap(Duration(0))), encode(some()));
}

TEST(Configuration, TheLeaseCapComesBackAndStaysWhenMembersChange) {
  const auto capped = some().with_lease_cap(80ms);
  EXPECT_EQ(encode(capped)[0], 2);
  const auto decoded = decode_configuration(encode(capped));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, capped);
  EXPECT_NE(*decoded, some());
  EXPECT_EQ(capped.without(node(1)).lease_cap(), 80ms);
  EXPECT_EQ(capped.with({.id = node(5), .address = "e:9333"}).lease_cap(), 80ms);
}

// docs/raft-log-format.md
TEST(Configuration, TheWorkedExampleOfTheDocumentIsExact) {
  Configuration one({{.id = NodeId(Uuid{1, 2}), .address = "a:1", .voter = true}});
  EXPECT_EQ(hex(bytes_of(encode(one))), "01" "0001" "00000000000000010000000000000002" "01" "0003" "613a31");
  EXPECT_EQ(hex(bytes_of(encode(one.with_lease_cap(80ms)))),
            "02" "0001" "00000000000000010000000000000002" "01" "0003" "613a31" "0000000004c4b400");
  one = one.with({.id = NodeId(Uuid{1, 3}), .address = "b:2", .voter = true, .witness = true})
            .with({.id = NodeId(Uuid{1, 4}), .address = "", .promote = true, .replaces = NodeId(Uuid{1, 9})});
  EXPECT_EQ(hex(bytes_of(encode(one))),
            "03" "0003" "00000000000000010000000000000002" "01" "0003" "613a31"
            "00000000000000010000000000000003" "09" "0003" "623a32"
            "00000000000000010000000000000004" "06" "00000000000000010000000000000009" "0000"
            "0000000000000000");
}

TEST(Configuration, AnImpossibleLeaseCapIsRefused) {
  EXPECT_FALSE(decode_configuration(encode(some().with_lease_cap(kLeaseCapMax + 1ns))));
  auto bytes = encode(some());
  bytes[0] = 2;
  EXPECT_FALSE(decode_configuration(bytes));
  EXPECT_FALSE(decode_configuration(bytes + std::string(8, '\0')));
}

TEST(Configuration, OnlyVotersMakeTheMajority) {
  EXPECT_EQ(some().voter_count(), 2u);
  EXPECT_EQ(some().majority(), 2u);
  EXPECT_EQ(some().without(node(2)).majority(), 1u);
}

}  // namespace
}  // namespace holdfast::raft
