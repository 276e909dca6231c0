#include "cmd/mfs/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::mfs {
namespace {

using testing::HasSubstr;

CommandLine good(const Role& role, const std::vector<std::string>& arguments) {
  auto line = parse_command_line(role, arguments);
  EXPECT_TRUE(line) << line.error().what();
  return line ? *line : CommandLine{};
}

TEST(MfsCommandLine, WithoutAnythingItStarts) {
  const auto line = good(kMasterRole, {});
  EXPECT_EQ(line.action, Action::start);
  EXPECT_EQ(line.config_path, "/etc/mfs/mfsmaster.cfg");
  EXPECT_EQ(line.patience, std::chrono::seconds(1800));
  EXPECT_FALSE(line.in_foreground);
}

TEST(MfsCommandLine, OptionsAndActionComeInAnyOrder) {
  for (const auto& words : {std::vector<std::string>{"-fu", "-t", "5", "-c", "x.cfg", "stop"},
                            {"stop", "-f", "-u", "-t5", "-cx.cfg"},
                            {"-fut5", "STOP", "-c", "x.cfg"}}) {
    const auto line = good(kChunkserverRole, words);
    EXPECT_EQ(line.action, Action::stop);
    EXPECT_EQ(line.config_path, "x.cfg");
    EXPECT_EQ(line.patience, std::chrono::seconds(5));
    EXPECT_TRUE(line.in_foreground);
    EXPECT_TRUE(line.tells_defaults);
  }
}

TEST(MfsCommandLine, EveryActionHasItsName) {
  const std::pair<const char*, Action> names[] = {
      {"start", Action::start},   {"Stop", Action::stop}, {"RESTART", Action::restart}, {"try-restart", Action::try_restart},
      {"reload", Action::reload}, {"info", Action::info}, {"test", Action::test},       {"status", Action::test},
      {"kill", Action::kill},     {"restore", Action::restore}};
  for (const auto& [name, action] : names) EXPECT_EQ(good(kMasterRole, {name}).action, action) << name;
}

TEST(MfsCommandLine, TheMasterHasOptionsOfItsOwn) {
  const auto line = good(kMasterRole, {"-a", "-i", "-xx", "-e", "start"});
  EXPECT_TRUE(line.restores && line.ignores_errors && line.starts_empty);
  EXPECT_EQ(line.verbosity, 2);
  for (const char* word : {"-a", "-i", "-e", "-x", "restore"}) {
    EXPECT_FALSE(parse_command_line(kChunkserverRole, {word})) << word;
    EXPECT_FALSE(parse_command_line(kMetaloggerRole, {word})) << word;
  }
}

TEST(MfsCommandLine, WhatMakesNoSenseIsSaidInWords) {
  const std::pair<std::vector<std::string>, const char*> wrong[] = {
      {{"begin"}, "no action \"begin\""}, {{"-z"}, "no option -z"},       {{"start", "stop"}, "a second one"},
      {{"-t"}, "-t needs a value"},       {{"-t", "soon"}, "-t takes seconds"}, {{"-t", "-1"}, "-t takes seconds"},
      {{"-c"}, "-c needs a value"},       {{"-c", ""}, "-c names no file"}};
  for (const auto& [words, text] : wrong) {
    const auto line = parse_command_line(kMasterRole, words);
    ASSERT_FALSE(line);
    EXPECT_THAT(line.error().what(), HasSubstr(text));
  }
}

TEST(MfsCommandLine, TheUsageNamesEveryOptionAndAction) {
  for (const Role* role : {&kMasterRole, &kChunkserverRole, &kMetaloggerRole}) {
    const auto usage = usage_of(*role);
    for (const char* word : {"-v", "-h", "-c FILE", "-f", "-u", "-d", "-n", "-t SECONDS", "start", "stop", "restart",
                             "try-restart", "reload", "info", "test, status", "kill"}) {
      EXPECT_THAT(usage, HasSubstr(std::string("  ") + word)) << role->name;
    }
  }
  EXPECT_THAT(usage_of(kMasterRole), HasSubstr("restore"));
}

}  // namespace
}  // namespace holdfast::mfs
