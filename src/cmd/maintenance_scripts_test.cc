#include "cmd/maintenance_scripts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::cmd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(MaintenanceCommands, LinesAndSemicolonsPartThemAndTheLockIsAroundThem) {
  std::vector<std::string> warnings;
  EXPECT_THAT(maintenance_commands("  ec.rebuild -apply\r\n\n# volume.list\nvolume.list ;volume.balance -collection='a b'\n", warnings),
              ElementsAre("lock", "ec.rebuild -apply", "volume.list", "volume.balance \"-collection=a b\"", "unlock"));
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(MaintenanceCommands, AreLeftAloneWhenTheyTakeTheLockThemselves) {
  std::vector<std::string> warnings;
  EXPECT_THAT(maintenance_commands("volume.list\nlock\nec.balance", warnings), ElementsAre("volume.list", "lock", "ec.balance"));
}

TEST(MaintenanceCommands, WhatTheShellDoesNotHaveIsLeftOutByItsLine) {
  std::vector<std::string> warnings;
  EXPECT_THAT(maintenance_commands("\nvolume.list; volume.lst -v\nfs.ls 'x\ns3.clean.uploads -timeAgo=24h", warnings),
              ElementsAre("lock", "volume.list", "unlock"));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("line 2: \"volume.lst -v\" is left out"), HasSubstr("line 3 is left out: a quote"),
                                    HasSubstr("line 4: \"s3.clean.uploads -timeAgo=24h\" is left out: this release")));
}

TEST(MaintenanceCommands, NoneAreNone) {
  std::vector<std::string> warnings;
  EXPECT_THAT(maintenance_commands("# nothing\n  \n", warnings), IsEmpty());
  EXPECT_THAT(maintenance_commands("no.such", warnings), IsEmpty());
}

}  // namespace
}  // namespace holdfast::cmd
