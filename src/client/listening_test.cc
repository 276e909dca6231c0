#include "client/listening.h"

#include <gmock/gmock.h>

#include <optional>

#include "client/scripted_server.h"

namespace holdfast::client {
namespace {

using ::testing::ElementsAre;

TEST(Listening, SaysWhoTakesConnections) {
  ScriptedServer one([](const std::string&) { return std::string(); });
  std::optional<ScriptedServer> other(std::in_place, [](const std::string&) { return std::string(); });
  const std::string gone = other->authority();
  const std::string by_name = "localhost" + one.authority().substr(one.authority().find(':'));
  EXPECT_THAT(listening({one.authority(), gone, by_name}, 1s), ElementsAre(true, true, true));
  other.reset();
  EXPECT_THAT(listening({gone, one.authority(), "", "no-port", "no.such.name.invalid:1"}, 1s),
              ElementsAre(false, true, false, false, false));
  EXPECT_THAT(listening({}, 1s), ElementsAre());
}

TEST(Listening, OneThatDoesNotAnswerAtAllCostsThePatienceOnce) {
  const auto begin = std::chrono::steady_clock::now();
  // TEST-NET-1: no route, or silence.
  EXPECT_THAT(listening({"192.0.2.1:9", "192.0.2.2:9", "192.0.2.3:9"}, 200ms), ElementsAre(false, false, false));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
}

}  // namespace
}  // namespace holdfast::client
