#include "service/master/seal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "api/hmac.h"

namespace holdfast::master {
namespace {

class FakeClock final : public io::Clock {
 public:
  Instant now() const override { return at(1000s + passed); }
  io::WallTime wall() const override { return io::WallTime(std::chrono::hours(500'000) + passed + off); }
  Duration passed{};
  Duration off{};
};

constexpr char kSecret[] = "0123456789abcdef";

RaftGreeting greeting(const std::string& address = "localhost:9333") {
  RaftGreeting out;
  out.set_address(address);
  out.set_term(7);
  return out;
}

class SealTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  Seal one_{kSecret, clock_}, other_{kSecret, clock_}, stranger_{"fedcba9876543210", clock_}, none_{"", clock_};
};

TEST_F(SealTest, ACallAndItsAnswerArriveAsTheyWereMeant) {
  auto call = greeting();
  const auto number = one_.seal_call("meet", &call);
  EXPECT_EQ(call.address(), "");  // nothing stands beside what is sealed
  const auto received = other_.open_call("meet", &call);
  ASSERT_TRUE(received.ok());
  EXPECT_EQ(*received, number);
  EXPECT_EQ(call.address(), "localhost:9333");
  EXPECT_EQ(call.term(), 7u);
  RaftJoinReply reply;
  reply.set_leader("localhost:9334");
  const auto answered = other_.seal_answer("meet", *received, &reply);
  const auto opened = one_.open_answer("meet", number, &reply);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(*opened, answered);
  EXPECT_EQ(reply.leader(), "localhost:9334");
}

TEST_F(SealTest, WhoHasAnotherSecretOrNoneIsToldSo) {
  auto call = greeting();
  stranger_.seal_call("meet", &call);
  auto copy = call;
  const auto refused = one_.open_call("meet", &copy);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().what().find("which calls itself localhost:9333, is another one"), std::string::npos) << refused.error().what();
  auto plain = greeting();
  EXPECT_NE(one_.open_call("meet", &plain).error().what().find("this cluster has a secret"), std::string::npos);
  copy = call;
  EXPECT_NE(none_.open_call("meet", &copy).error().what().find("this master has none"), std::string::npos);
  EXPECT_TRUE(none_.open_call("meet", &plain).ok());
  // What calls itself something that is no address does not get into a log.
  auto odd = greeting("x\nE1121 forged line");
  stranger_.seal_call("meet", &odd);
  EXPECT_EQ(one_.open_call("meet", &odd).error().what().find("forged"), std::string::npos);

  // Nobody starts a caller that is no master: `recover` is to be given the secret.
  const std::string way_in = "give it the -clusterSecretFile that this master was started with";
  auto nobody = greeting("");
  EXPECT_NE(one_.open_call("meet", &nobody).error().what().find("the caller has none: " + way_in), std::string::npos);
  stranger_.seal_call("meet", &nobody);
  EXPECT_NE(one_.open_call("meet", &nobody).error().what().find("of the caller is another one: " + way_in), std::string::npos);

  auto answer = greeting();
  stranger_.seal_answer("meet", "n", &answer);
  EXPECT_NE(one_.open_answer("meet", "n", &answer).error().what().find("is another one"), std::string::npos);
  EXPECT_NE(none_.open_answer("meet", "n", &answer).error().what().find("this master has none"), std::string::npos);
  RaftGreeting words;
  words.set_refusal("no");
  EXPECT_EQ(one_.open_answer("meet", "n", &words).error().what(), "it says: no");
}

TEST_F(SealTest, ACallCountsOnceForOnePurposeAndSoon) {
  auto call = greeting();
  one_.seal_call("meet", &call);
  auto copy = call;
  EXPECT_FALSE(other_.open_call("join", &copy).ok());
  copy = call;
  EXPECT_TRUE(other_.open_call("meet", &copy).ok());
  copy = call;
  EXPECT_NE(other_.open_call("meet", &copy).error().what().find("a second time"), std::string::npos);
  clock_.passed += 11min;  // forgotten by then, and too old
  copy = call;
  EXPECT_NE(other_.open_call("meet", &copy).error().what().find("calendars differ by 660 s"), std::string::npos);
  auto ahead = greeting();
  clock_.off = 6min;
  one_.seal_call("meet", &ahead);
  clock_.off = {};
  EXPECT_FALSE(other_.open_call("meet", &ahead).ok());
}

TEST_F(SealTest, NoBitOfACallOrAnswerMayChange) {
  auto call = greeting();
  one_.seal_call("meet", &call);
  for (std::size_t i = 0; i < call.sealed().size(); ++i) {
    auto bent = call;
    (*bent.mutable_sealed())[i] ^= 1;
    EXPECT_FALSE(other_.open_call("meet", &bent).ok()) << i;
  }
  auto cut = call;
  cut.mutable_mac()->pop_back();
  EXPECT_FALSE(other_.open_call("meet", &cut).ok());
  auto answer = greeting();
  one_.seal_answer("meet", "number", &answer);
  auto elsewhere = answer;
  EXPECT_FALSE(other_.open_answer("meet", "another call", &elsewhere).ok());
  EXPECT_TRUE(other_.open_answer("meet", "number", &answer).ok());
}

TEST_F(SealTest, FramesCountAtTheirPlaceInTheirStreamOnly) {
  auto sending = one_.stream("call", "answer"), receiving = other_.stream("call", "answer"), later = other_.stream("call", "another");
  RaftFrame frames[3];
  for (auto& frame : frames) {
    frame.add_messages()->set_term(static_cast<std::uint64_t>(&frame - frames) + 1);
    sending.seal(&frame);
    EXPECT_EQ(frame.messages_size(), 0);
  }
  RaftFrame out;
  EXPECT_FALSE(later.open(frames[0], &out));
  EXPECT_FALSE(receiving.open(frames[1], &out));
  ASSERT_TRUE(receiving.open(frames[0], &out));
  EXPECT_EQ(out.messages(0).term(), 1u);
  EXPECT_FALSE(receiving.open(frames[0], &out));
  EXPECT_TRUE(receiving.open(frames[1], &out));
  RaftFrame plain;
  plain.add_messages()->set_term(9);
  EXPECT_FALSE(receiving.open(plain, &out));
}

TEST_F(SealTest, DatagramsCountOnceBetweenTwoProcesses) {
  const Uuid a{1, 1}, b{2, 2}, c{3, 3};
  const auto key = one_.datagram_key(a, b);
  EXPECT_EQ(key, other_.datagram_key(a, b));
  EXPECT_NE(key, one_.datagram_key(b, a));
  DatagramGate gate(key), of_another(other_.datagram_key(a, c)), strange(stranger_.datagram_key(a, b));
  std::vector<std::string> all;
  for (std::uint64_t n = 1; n <= 100; ++n) all.push_back(seal_datagram(key, a, n, "beat " + std::to_string(n)));
  EXPECT_EQ(datagram_sender(bytes_of(all[0])), a);
  EXPECT_FALSE(of_another.open(bytes_of(all[0])));
  EXPECT_FALSE(strange.open(bytes_of(all[0])));
  EXPECT_EQ(text_of(gate.open(bytes_of(all[2]))->content), "beat 3");
  EXPECT_FALSE(gate.open(bytes_of(all[2])));
  EXPECT_TRUE(gate.open(bytes_of(all[0])));  // overtaken
  EXPECT_FALSE(gate.open(bytes_of(all[0])));
  EXPECT_TRUE(gate.open(bytes_of(all[99])));
  EXPECT_FALSE(gate.open(bytes_of(all[1])));  // older than the window
  EXPECT_TRUE(gate.open(bytes_of(all[98])));
  for (std::size_t i = 0; i < all[50].size(); ++i) {
    auto bent = all[50];
    bent[i] ^= 1;
    if (i >= 4 && i < 20) continue;  // the sender's name: the gate of another one would be asked
    EXPECT_FALSE(gate.open(bytes_of(bent))) << i;
    EXPECT_FALSE(gate.open(bytes_of(all[50]).first(i))) << i;
  }
  EXPECT_TRUE(gate.open(bytes_of(all[50])));
  const auto prepared = seal_datagram(key, a, 0, "certificate");
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(gate.open(bytes_of(prepared))->repeatable);
}

// docs/cluster-secret.md, by its words alone.
TEST_F(SealTest, TheBytesAreThoseOfTheDocument) {
  const auto hmac = [](std::string_view key, std::string_view bytes) {
    return std::string(text_of(api::hmac_sha256(bytes_of(key), bytes_of(bytes))));
  };
  const auto key = hmac(kSecret, "holdfast masters 1");
  const auto mac = [&](const std::string& purpose, const std::string& call, const std::string& bytes) {
    std::string all;
    for (const auto* part : {&purpose, &call, &bytes}) {
      append_be(all, static_cast<std::uint64_t>(part->size()));
      all += *part;
    }
    return hmac(key, all);
  };
  auto call = greeting(), answer = greeting();
  const auto asked = one_.seal_call("link", &call);
  EXPECT_EQ(call.mac(), mac("link", "", call.sealed()));
  const auto answered = one_.seal_answer("link", asked, &answer);
  EXPECT_EQ(answer.mac(), mac("link answer", asked, answer.sealed()));
  auto stream = one_.stream(asked, answered);
  for (std::uint64_t place = 0; place < 3; ++place) {
    RaftFrame frame;
    frame.add_messages()->set_term(9);
    stream.seal(&frame);
    std::string numbered;
    append_be(numbered, place);
    EXPECT_EQ(frame.mac(), hmac(mac("stream", asked, answered), numbered + frame.sealed())) << place;
  }
  const Uuid a{1, 1}, b{2, 2};
  EXPECT_EQ(hex(bytes_of(seal_datagram(one_.datagram_key(a, b), a, 1, "beat 1"))),
            "48465331" "00000000000000010000000000000001" "0000000000000001" "95988775f9d6c635ff7304a273c7d2e8" "626561742031");
}

TEST(ClusterSecret, ComesFromAFileThatIsOnesOwn) {
  char name[] = "/tmp/seal_test.XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string path = std::string(name) + "/secret";
  std::ofstream(path) << kSecret << "\r\nmore\n";
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(*load_cluster_secret(path, "not this one, since a file is named"), kSecret);
  ::chmod(path.c_str(), 0644);
  EXPECT_NE(load_cluster_secret(path, "").error().what().find("chmod 600"), std::string::npos);
  ::chmod(path.c_str(), 0600);
  std::ofstream(path) << "short\n";
  EXPECT_NE(load_cluster_secret(path, "").error().what().find("16 bytes at least"), std::string::npos);
  std::ofstream(path) << "\n";
  EXPECT_FALSE(load_cluster_secret(path, "").ok());
  EXPECT_FALSE(load_cluster_secret(path + "x", "").ok());
  EXPECT_EQ(*load_cluster_secret("", kSecret), kSecret);
  EXPECT_EQ(*load_cluster_secret("", ""), "");
  EXPECT_FALSE(load_cluster_secret("", "short").ok());
  std::filesystem::remove_all(name);
}

}  // namespace
}  // namespace holdfast::master
