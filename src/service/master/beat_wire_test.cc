#include "service/master/beat_wire.h"

#include <gtest/gtest.h>

#include <random>

#include "api/raft.pb.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

using namespace std::chrono_literals;

class BeatWireTest : public testing::Test {
 protected:
  // Zero, small, or anything: all lengths of a varint.
  std::uint64_t number() { return random_() % 4 == 0 ? 0 : random_() >> random_() % 64; }
  bool coin() { return random_() % 2 == 0; }
  NodeId id() { return NodeId(Uuid{random_() | 1, random_()}); }
  raft::Stamp stamp() { return raft::Stamp(Duration(static_cast<std::int64_t>(coin() ? number() : ~number()))); }
  raft::Lease lease() {
    if (coin()) return {};
    return {.epoch = number() | 1, .length = Duration(number() % (raft::kLeaseCapMax.count() + 1)), .raw = stamp()};
  }
  raft::Message message() {
    raft::Message m{.from = id(), .to = id(), .term = Term(number()), .incarnation = Incarnation(number()), .body = {}};
    if (coin()) {
      raft::Beat beat{.commit = Index(number()), .sent = stamp(), .sequence = number(), .round = raft::Round(number()),
                      .heirs = {}, .lease = lease()};
      for (auto n = random_() % (raft::kMembersMax + 1); n > 0; --n) beat.heirs.push_back(id());
      m.body = std::move(beat);
    } else {
      m.body = raft::BeatReply{.sent = stamp(), .sequence = number(), .round = raft::Round(number()), .last = Index(number()),
                               .durable = Index(number()), .disk_full = coin(), .damaged = coin(), .lease = lease()};
    }
    return m;
  }
  static std::string by_library(const raft::Message& message) {
    RaftMessage wire;
    to_wire(message, &wire);
    return wire.SerializeAsString();
  }

  std::mt19937_64 random_{20261122};
};

TEST_F(BeatWireTest, TheBytesAreThoseOfTheLibrary) {
  for (int i = 0; i < 5'000; ++i) {
    const auto one = message();
    std::string bytes = "before";
    ASSERT_TRUE(append_beat(one, &bytes));
    ASSERT_EQ(bytes, "before" + by_library(one));
    EXPECT_LE(bytes.size(), raft::kBeatBytesMax);

    const auto back = read_beat(bytes_of(bytes).subspan(6));
    ASSERT_TRUE(back);
    EXPECT_EQ(by_library(*back), by_library(one));
    EXPECT_EQ(back->body.index(), one.body.index());
  }
}

// Whatever is cut or flipped: it is refused, or means what the library says.
TEST_F(BeatWireTest, DamageIsReadAsTheLibraryReadsItOrNotAtAll) {
  int taken = 0;
  for (int i = 0; i < 15'000; ++i) {
    auto bytes = by_library(message());
    const auto changes = 1 + random_() % 3;
    for (std::uint64_t n = 0; n < changes; ++n) {
      const auto at = random_() % bytes.size();
      switch (random_() % 4) {
        case 0: bytes.resize(at + 1); break;
        case 1: bytes[at] = static_cast<char>(random_()); break;
        case 2: bytes.insert(at, 1, static_cast<char>(random_())); break;
        default: bytes.erase(at, 1 + random_() % 20); break;
      }
      if (bytes.empty()) bytes = "x";
    }
    const auto here = read_beat(bytes_of(bytes));
    if (!here) continue;
    ++taken;
    RaftMessage wire;
    ASSERT_TRUE(wire.ParseFromString(bytes));
    const auto there = from_wire(wire);
    ASSERT_TRUE(there) << there.error().what();
    EXPECT_EQ(by_library(*here), by_library(*there));
  }
  EXPECT_GT(taken, 300);
}

TEST_F(BeatWireTest, TheUnusualIsLeftToTheLibrary) {
  EXPECT_FALSE(read_beat({}));
  raft::Message other{.from = id(), .to = id(), .term = Term(1), .incarnation = Incarnation(1), .body = raft::ReadQuery{.request = 7}};
  std::string bytes;
  EXPECT_FALSE(append_beat(other, &bytes));
  EXPECT_TRUE(bytes.empty());
  EXPECT_FALSE(read_beat(bytes_of(by_library(other))));

  const auto beat = by_library(message());
  EXPECT_TRUE(read_beat(bytes_of(beat)));
  EXPECT_FALSE(read_beat(bytes_of(beat + beat)));           // a second body: the library merges
  EXPECT_FALSE(read_beat(bytes_of(beat + "\xf8\x01\x05")));  // a field of a later release: the library skips it
}

// docs/raft-transport.md
TEST(Datagram, TheWorkedExampleOfTheDocumentIsExact) {
  const raft::Message beat{.from = NodeId(Uuid{1, 2}), .to = NodeId(Uuid{1, 3}), .term = Term(2), .incarnation = Incarnation(1),
                           .body = raft::Beat{.commit = Index(5), .sent = raft::Stamp(1000ns), .sequence = 7,
                                              .round = raft::Round(3), .heirs = {}, .lease = {}}};
  EXPECT_EQ(hex(bytes_of(encode_datagram(ClusterId(Uuid{0x1122334455667788, 0x99aabbccddeeff00}), Uuid{5, 6}, beat))),
            "48464231" "290b92a7" "112233445566778899aabbccddeeff00" "00000000000000050000000000000006"
            "0a1000000000000000010000000000000002" "121000000000000000010000000000000003" "1802" "2001"
            "4a0f" "0805" "11e803000000000000" "1807" "2003");
}

TEST_F(BeatWireTest, ADatagramComesBackAsItWent) {
  const ClusterId cluster{Uuid{3, 4}};
  for (int i = 0; i < 1'000; ++i) {
    const auto one = message();
    const auto datagram = encode_datagram(cluster, Uuid{5, 6}, one);
    const auto back = decode_datagram(cluster, bytes_of(datagram));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->process, (Uuid{5, 6}));
    EXPECT_EQ(by_library(back->message), by_library(one));
    EXPECT_EQ(decode_datagram(ClusterId{Uuid{3, 5}}, bytes_of(datagram)).error().code(), Code::refused);
  }
}

}  // namespace
}  // namespace holdfast::master
