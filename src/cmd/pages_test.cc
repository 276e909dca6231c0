// Completion and manual pages hold what the tables hold: each command, each flag.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "cmd/command.h"
#include "cmd/completion.h"
#include "cmd/man_pages.h"
#include "cmd/mfs/options.h"
#include "cmd/tables.h"

namespace holdfast::cmd {
namespace {

using ::testing::HasSubstr;

std::vector<FlagSet::Description> flags_of(const Command& command) {
  FlagSet flags;
  command.declare(flags);
  return flags.descriptions();
}

const ManPage& page(const std::vector<ManPage>& pages, const std::string& name) {
  const auto found = std::find_if(pages.begin(), pages.end(), [&](const auto& one) { return one.name == name; });
  CHECK(found != pages.end());
  return *found;
}

std::string line_that_begins(const std::string& text, const std::string& begin) {
  std::stringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(begin)) return line + " ";
  }
  return "";
}

TEST(Completion, BashKnowsEachFlagOfEachCommand) {
  const auto script = completion_script("bash");
  for (const auto& command : commands()) {
    const auto line = line_that_begins(script, "    \"" + std::string(command.name) + "\") ");
    ASSERT_NE(line, "") << command.name;
    for (const auto& flag : flags_of(command)) {
      EXPECT_TRUE(line.find(" " + flag.name + " ") != std::string::npos || line.find("\"" + flag.name + " ") != std::string::npos ||
                  line.find(" " + flag.name + "\"") != std::string::npos || line.find("\"" + flag.name + "\"") != std::string::npos)
          << command.name << " -" << flag.name;
    }
  }
  for (const auto action : kv_actions()) EXPECT_NE(line_that_begins(script, "    \"kv " + std::string(action) + "\") "), "");
}

TEST(Completion, FishKnowsEachFlagOfEachCommand) {
  const auto script = completion_script("fish");
  for (const auto& command : commands()) {
    EXPECT_THAT(script, HasSubstr("-a " + std::string(command.name) + " -d "));
    for (const auto& flag : flags_of(command)) {
      EXPECT_THAT(script, HasSubstr("-n '__fish_seen_subcommand_from " + std::string(command.name) + "' -o " + flag.name + " "));
    }
  }
}

TEST(Completion, OfAnUnknownShellIsNone) {
  EXPECT_EQ(completion_script("tcsh"), "");
  EXPECT_THAT(completion_script("zsh"), HasSubstr("bashcompinit"));
}

TEST(ManPages, EachCommandHasOneWithEachFlag) {
  const auto pages = man_pages();
  const auto& program = page(pages, "holdfast");
  for (const auto& command : commands()) {
    EXPECT_THAT(program.text, HasSubstr(".TP\n.B " + std::string(command.name) + "\n"));
    const auto& own = page(pages, "holdfast-" + std::string(command.name));
    EXPECT_EQ(own.section, 1);
    for (const auto& flag : flags_of(command)) {
      std::string name;
      for (const char c : flag.name) name += c == '-' ? "\\-" : std::string(1, c);
      EXPECT_THAT(own.text, HasSubstr(".B \\-" + name + (flag.word.empty() ? "\n" : " \\fI"))) << command.name;
    }
  }
}

TEST(ManPages, EachSettingOfADaemonIsInItsOwn) {
  const auto pages = man_pages();
  for (const auto* role : {&mfs::kMasterRole, &mfs::kChunkserverRole, &mfs::kMetaloggerRole}) {
    EXPECT_EQ(page(pages, std::string(role->name)).section, 8);
    const auto& settings = page(pages, std::string(role->name) + ".cfg");
    EXPECT_EQ(settings.file(), std::string(role->name) + ".cfg.5");
    for (const auto& option : role->options) EXPECT_THAT(settings.text, HasSubstr("#" + std::string(option.name) + " ="));
  }
}

TEST(ManPages, NoLineOfTextIsAnOrderToRoffByChance) {
  // What begins with a dot or an apostrophe is one of those that are written on purpose.
  const std::set<std::string> orders = {".TH", ".SH", ".TP", ".B", ".BR", ".RB", ".I", ".IR", ".PP", ".nf", ".fi"};
  for (const auto& one : man_pages()) {
    std::stringstream lines(one.text);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || (line[0] != '.' && line[0] != '\'')) continue;
      EXPECT_TRUE(orders.contains(line.substr(0, line.find(' ')))) << one.name << ": " << line;
    }
    EXPECT_TRUE(std::all_of(one.text.begin(), one.text.end(), [](char c) { return c > 0; })) << one.name;
  }
}

}  // namespace
}  // namespace holdfast::cmd
