#include "cmd/mfs/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace holdfast::mfs {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

Config master(std::string_view text) { return Config::make(kMasterRole, text, "mfsmaster.cfg"); }

TEST(Config, AnEmptyFileIsAllDefaults) {
  const auto config = master("");
  EXPECT_THAT(config.remarks(), IsEmpty());
  EXPECT_EQ(config.integer("MASTER_PORT"), 9420);
  EXPECT_EQ(config.integer("MATOML_LISTEN_PORT"), 9419);
  EXPECT_EQ(config.integer("MATOCL_LISTEN_PORT"), 9421);
  EXPECT_EQ(config.integer("GUISERV_LISTEN_PORT"), 9425);
  EXPECT_FALSE(config.boolean("HA_ENABLED"));
  EXPECT_EQ(config.time("LEADER_LEASE_DURATION"), 2s);
  EXPECT_EQ(config.time("DNS_REFRESH_TIME"), 5s);
  EXPECT_EQ(config.string("MASTER_HOST"), "mfsmaster");
  EXPECT_EQ(config.string("DATA_PATH"), "/var/lib/mfs");
  EXPECT_EQ(config.string("WORKING_USER"), "mfs");
  EXPECT_EQ(config.integer("FILE_UMASK"), 027);
  EXPECT_EQ(config.integer("NICE_LEVEL"), -19);
  EXPECT_FALSE(config.is_given("MASTER_PORT"));
}

TEST(Config, UnknownNamesAreNamedWithFileAndLine) {
  const auto config = master("MASTER_PORT = 9430\nMASTER_PROT = 1\nha_enabled = 1\nHDD_CONF_FILENAME = x\n");
  EXPECT_EQ(config.integer("MASTER_PORT"), 9430);
  EXPECT_THAT(config.remarks(),
              ElementsAre("mfsmaster.cfg:2: MASTER_PROT is no option of mfsmaster: it is passed over",
                          AllOf(HasSubstr("mfsmaster.cfg:3:"), HasSubstr("HA_ENABLED is meant?")),
                          AllOf(HasSubstr("mfsmaster.cfg:4:"), HasSubstr("it is one of mfschunkserver.cfg"))));
}

TEST(Config, WrongValuesAreNamedWithFileAndLine) {
  const auto config = master(
      "DNS_REFRESH_TIME = 1d36h\nMASTER_PORT = 70000\nNICE_LEVEL = 5x\nSYSLOG_MIN_LEVEL = LOUD\nHA_ENABLED = yes\n"
      "METADATA_SAVE_FREQ = 0\nno definition\n");
  EXPECT_THAT(config.remarks(),
              ElementsAre("mfsmaster.cfg:1: DNS_REFRESH_TIME: \"1d36h\" is no time, as 90, 1.5m or 1d12h: 5 stays",
                          "mfsmaster.cfg:2: MASTER_PORT: 70000 is beyond 1 to 65535: 65535 is used",
                          "mfsmaster.cfg:3: NICE_LEVEL: \"x\" behind the number is passed over",
                          HasSubstr("mfsmaster.cfg:4: SYSLOG_MIN_LEVEL: \"LOUD\" is none of"),
                          HasSubstr("mfsmaster.cfg:5: HA_ENABLED: \"yes\" is no integer"),
                          HasSubstr("mfsmaster.cfg:6: METADATA_SAVE_FREQ: 0 is beyond 3600 to"),
                          HasSubstr("mfsmaster.cfg:7: bad definition")));
  EXPECT_EQ(config.time("DNS_REFRESH_TIME"), 5s);
  EXPECT_EQ(config.integer("NICE_LEVEL"), 5);
  EXPECT_EQ(config.string("SYSLOG_MIN_LEVEL"), "INFO");
}

TEST(Config, DangerousOptionsAreKeptApart) {
  const auto config = master("A = 1\nDANGEROUS_THING = 1\n");
  EXPECT_THAT(config.dangerous(), ElementsAre("mfsmaster.cfg:2: DANGEROUS_THING"));
  EXPECT_THAT(config.remarks(), SizeIs(1));
}

TEST(Config, OptionsWithoutEffectAreSaidByReason) {
  const auto config = master("CHANGELOG_PRESERVE_SECONDS = 70\nATIME_MODE = 1\nCHANGELOG_PRESERVE_MB = 200\nMASTER_PORT = 9420\n");
  EXPECT_THAT(config.remarks(), IsEmpty());
  const auto said = config.without_effect();
  ASSERT_THAT(said, SizeIs(2));
  EXPECT_THAT(said, Contains(AllOf(HasSubstr("CHANGELOG_PRESERVE_SECONDS (line 1), CHANGELOG_PRESERVE_MB (line 3)"),
                                   HasSubstr("a metalogger that is later takes an image"))));
  EXPECT_THAT(said, Contains(HasSubstr("ATIME_MODE (line 2)")));
}

TEST(Config, DefaultsAreListedForWhatIsHonouredAndNotSet) {
  const auto defaults = master("DATA_PATH = /srv/mfs\n").defaults_used();
  EXPECT_THAT(defaults, Contains("MASTER_PORT is not set: 9420"));
  EXPECT_THAT(defaults, Contains("WORKING_GROUP is not set: empty"));
  EXPECT_THAT(defaults, Not(Contains(HasSubstr("DATA_PATH"))));
}

TEST(Config, AReloadTellsWhatOnlyARestartTakes) {
  const auto change = master("SYSLOG_MIN_LEVEL = ERROR\nMASTER_PORT = 9440\nBACK_LOGS = 60\n").since(master(""));
  EXPECT_THAT(change.taken, ElementsAre("SYSLOG_MIN_LEVEL"));
  EXPECT_THAT(change.need_restart, ElementsAre("MASTER_PORT"));
}

TEST(Config, TheReportHasEveryHonouredOption) {
  const auto report = master("MASTER_PORT = 9440\n").report();
  EXPECT_THAT(report, HasSubstr("MASTER_PORT = 9440  # line 1\n"));
  EXPECT_THAT(report, HasSubstr("DNS_REFRESH_TIME = 5  # default\n"));
}

TEST(Options, EachIsDeclaredOnceWithWordsAndADefaultThatFits) {
  for (const Role* role : {&kMasterRole, &kChunkserverRole, &kMetaloggerRole}) {
    std::set<std::string_view> names;
    for (const auto& option : role->options) {
      EXPECT_TRUE(names.insert(option.name).second) << option.name;
      EXPECT_GT(option.help.size(), std::size_t{8}) << option.name;
      EXPECT_EQ(option.effect == Effect::none, !option.note.empty()) << option.name;
    }
    EXPECT_THAT(Config::make(*role, "", "x").remarks(), IsEmpty());  // stops where a default does not fit its kind
  }
}

// What people do with a sample: take the # away before the names.
TEST(Scaffold, TheSamplesParseWithoutAWarningAndSayTheDefaults) {
  for (const Role* role : {&kMasterRole, &kChunkserverRole, &kMetaloggerRole}) {
    const auto sample = sample_of(*role);
    EXPECT_THAT(parse_cfg(sample).settings, IsEmpty());
    EXPECT_THAT(parse_cfg(sample).remarks, IsEmpty());
    std::stringstream lines(sample);
    std::string active;
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), std::size_t{120}) << line;
      active += line.size() > 1 && line[0] == '#' && line[1] != ' ' ? line.substr(1) + "\n" : line + "\n";
    }
    const auto config = Config::make(*role, active, "sample");
    EXPECT_THAT(config.remarks(), IsEmpty());
    EXPECT_THAT(config.defaults_used(), IsEmpty());
    EXPECT_THAT(config.since(Config::make(*role, "", "x")).need_restart, IsEmpty());
    for (const auto& option : role->options) EXPECT_TRUE(config.is_given(option.name)) << option.name;
  }
}

TEST(Scaffold, TheSampleOfDisksParsesWithoutAWarning) {
  const auto sample = sample_of_disks();
  EXPECT_THAT(parse_disks(sample).remarks, IsEmpty());
  EXPECT_THAT(parse_disks(sample).disks, IsEmpty());
  std::string active;
  std::stringstream lines(sample);
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 1 && line[1] != ' ' && line[0] == '#') line.erase(0, 1);
    active += line + "\n";
  }
  EXPECT_THAT(parse_disks(active).remarks, IsEmpty());
  EXPECT_THAT(parse_disks(active).disks, SizeIs(3));
}

}  // namespace
}  // namespace holdfast::mfs
