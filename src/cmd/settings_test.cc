#include "cmd/settings.h"

#include <gtest/gtest.h>

#include <map>

namespace holdfast::cmd {
namespace {

Environment environment_of(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

constexpr const char* kToml = R"(
[jwt.signing]
key = "secret"
expires_after_seconds = 10
[guard]
white_list = "10.0.0.0/8, ::1"
[master.volume_growth]
copy_1 = 2
threshold = 0.8
disable = true
)";

TEST(Settings, ValuesAreFoundByTheirDottedPath) {
  const auto settings = Settings::parse(kToml, environment_of({}));
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->string("jwt.signing.key"), "secret");
  EXPECT_EQ(settings->integer("master.volume_growth.copy_1", 7), 2);
  EXPECT_EQ(settings->number("master.volume_growth.threshold", 0.9), 0.8);
  EXPECT_TRUE(settings->boolean("master.volume_growth.disable", false));
  EXPECT_EQ(settings->integer("master.volume_growth.copy_2", 6), 6);
  EXPECT_FALSE(settings->has("jwt.filer_signing.key"));
}

TEST(Settings, CapitalsInKeysDoNotMatter) {
  const auto settings = Settings::parse("[grpc.master]\nallowed_commonNames = \"a,b\"\n", nullptr);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->string("grpc.master.allowed_commonNames"), "a,b");
  EXPECT_EQ(settings->string("GRPC.master.allowed_commonnames"), "a,b");
}

TEST(Settings, TheEnvironmentWinsOverTheFile) {
  const auto settings = Settings::parse(kToml, environment_of({{"WEED_MASTER_VOLUME_GROWTH_COPY_1", "1"},
                                                               {"WEED_JWT_SIGNING_READ_KEY", "other"},
                                                               {"WEED_GUARD_WHITE_LIST", ""}}));
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->integer("master.volume_growth.copy_1", 7), 1);
  EXPECT_EQ(settings->string("jwt.signing.read.key"), "other");
  EXPECT_EQ(settings->string("guard.white_list"), "10.0.0.0/8, ::1");  // an empty variable says nothing
}

TEST(Settings, AValueOfTheWrongKindIsAsIfNotSet) {
  const auto settings = Settings::parse("[a]\nb = \"x\"\n", environment_of({}));
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->integer("a.b", 5), 5);
}

TEST(Settings, TablesAreListedByName) {
  const auto settings = Settings::parse("[a.b]\nkey = 1\n[a.b.Two]\nx = 1\ny = 2\n[a.b.one]\nx = 1\n[a.bc.three]\nx = 1\n", nullptr);
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->tables_below("a.b"), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(settings->tables_below("A"), (std::vector<std::string>{"b", "bc"}));
  EXPECT_TRUE(settings->tables_below("nosuch").empty());
}

TEST(Settings, WhatIsNoTomlNamesFileAndLine) {
  const auto settings = Settings::parse("[a]\nb = \n", environment_of({}), "/etc/master.toml");
  ASSERT_FALSE(settings.ok());
  EXPECT_EQ(settings.error().what().substr(0, 18), "/etc/master.toml:2");
}

}  // namespace
}  // namespace holdfast::cmd
