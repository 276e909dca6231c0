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
  EXPECT_TRUE(is_future_shell_command("volume.balance"));
  EXPECT_TRUE(is_future_shell_command("fs.ls"));
  EXPECT_FALSE(is_future_shell_command("nosuch"));
}

}  // namespace
}  // namespace holdfast::cmd
