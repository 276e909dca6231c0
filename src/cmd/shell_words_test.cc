#include "cmd/shell_words.h"

#include <gtest/gtest.h>

#include "cmd/shell_commands.h"

namespace holdfast::cmd {
namespace {

using Commands = std::vector<std::vector<std::string>>;

TEST(ShellWords, BlanksSeparateWordsAndSemicolonsCommands) {
  EXPECT_EQ(*shell_words("lock; volume.list -v 3 ;unlock;;"), (Commands{{"lock"}, {"volume.list", "-v", "3"}, {"unlock"}}));
  EXPECT_EQ(*shell_words("  \t "), Commands());
  EXPECT_EQ(*shell_words(""), Commands());
  EXPECT_EQ(*shell_words("help\r"), (Commands{{"help"}}));
}

TEST(ShellWords, QuotesAndBackslashesTakeMeaningAway) {
  EXPECT_EQ(*shell_words(R"(a "b c;d" 'e "f' g\ h\;i "j\"k" '' 'l\m')"),
            (Commands{{"a", "b c;d", "e \"f", "g h;i", "j\"k", "", "l\\m"}}));
  EXPECT_EQ(*shell_words("a-'b'-\"c\""), (Commands{{"a-b-c"}}));
}

TEST(ShellWords, WhatIsNotClosedIsAnError) {
  EXPECT_FALSE(shell_words("a \"b").ok());
  EXPECT_FALSE(shell_words("a 'b").ok());
  EXPECT_FALSE(shell_words("a \\").ok());
}

TEST(ShellCommands, PatternsOfStarsAndQuestionMarks) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("a*c", "abbc"));
  EXPECT_FALSE(matches("a*c", "abbd"));
  EXPECT_TRUE(matches("?b", "ab"));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_TRUE(matches("*a*b", "xaybab"));
  EXPECT_FALSE(matches("*a*a*a*a*a*a*a*a*a*a*b", std::string(200, 'a')));
  EXPECT_TRUE(is_collection_wanted("", "x"));
  EXPECT_TRUE(is_collection_wanted("ALL_COLLECTIONS", "x"));
  EXPECT_TRUE(is_collection_wanted("_default", ""));
  EXPECT_FALSE(is_collection_wanted("y*", "x"));
}

TEST(ShellCommands, VolumeIdsOfAList) {
  EXPECT_EQ(*volume_ids("7, 12,"), (std::vector<VolumeId>{VolumeId(7), VolumeId(12)}));
  EXPECT_FALSE(volume_ids("0").ok());
  EXPECT_FALSE(volume_ids("x").ok());
  EXPECT_FALSE(volume_ids("99999999999999999999").ok());
}

TEST(ShellCommands, AreSortedAndNoneIsSaidToComeLater) {
  std::string_view before;
  for (const auto& command : shell_commands()) {
    EXPECT_LT(before, command.name);
    before = command.name;
    EXPECT_FALSE(is_future_shell_command(command.name)) << command.name;
    EXPECT_NE(command.help.find('.'), std::string_view::npos) << command.name;
    FlagSet flags;
    command.declare(flags);
  }
  EXPECT_TRUE(is_future_shell_command("volume.fsck"));
  EXPECT_TRUE(is_future_shell_command("fs.ls"));
  EXPECT_FALSE(is_future_shell_command("nosuch"));
}

}  // namespace
}  // namespace holdfast::cmd
