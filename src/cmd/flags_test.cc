#include "cmd/flags.h"

#include <gtest/gtest.h>

#include <map>

namespace holdfast::cmd {
namespace {

constexpr Flag kTable[] = {
    {"port", FlagType::integer, "9333", "http listen port"},
    {"ip.bind", FlagType::string, "", "address to listen on"},
    {"peers", FlagType::string, "none", "all masters"},
    {"fast", FlagType::boolean, "false", "do it fast"},
    {"safe", FlagType::boolean, "true", "do it safely"},
    {"limit", FlagType::unsigned_integer, "30720", "size in `megabytes`"},
    {"ratio", FlagType::number, "0.3", "how much"},
    {"wait", FlagType::duration, "60s", "how long"},
    {"v", FlagType::decimal, "0", "how chatty"},
    {"b", FlagType::boolean, "false", "short"},
    {"old", FlagType::boolean, "true", "no longer of use", Support::inert},
    {"index", FlagType::string, "memory", "kind of index", Support::later, "the index stays in memory"},
};

// What came of a command line, in a form that reads well in an expectation.
struct Story {
  FlagSet flags;
  std::vector<std::string> arguments;
  bool help = false;
  std::string error;

  explicit Story(std::vector<std::string> line, const std::map<std::string, std::string>& environment = {},
                 std::string_view file = "") {
    flags.add(kTable);
    auto parsed = flags.parse(line);
    if (!parsed) {
      error = parsed.error().what();
      return;
    }
    arguments = parsed->arguments;
    help = parsed->help;
    const auto taken = flags.take_environment([&](const std::string& name) -> std::optional<std::string> {
      const auto found = environment.find(name);
      if (found == environment.end()) return std::nullopt;
      return found->second;
    });
    const auto read = flags.take_file(file);
    if (!taken) error = taken.error().what();
    else if (!read) error = read.error().what();
  }
};

using Arguments = std::vector<std::string>;

TEST(Flags, AllFourFormsOfAValueAreEqual) {
  for (const Arguments& line : {Arguments{"-port=1"}, {"--port=1"}, {"-port", "1"}, {"--port", "1"}}) {
    EXPECT_EQ(Story(line).flags.integer("port"), 1);
  }
}

TEST(Flags, ABoolTakesAValueOnlyWithAnEqualsSign) {
  EXPECT_TRUE(Story({"-fast"}).flags.boolean("fast"));
  EXPECT_FALSE(Story({"-safe=F"}).flags.boolean("safe"));
  EXPECT_TRUE(Story({"-fast=TRUE"}).flags.boolean("fast"));
  const Story story({"-fast", "false", "-port=1"});
  EXPECT_TRUE(story.flags.boolean("fast"));
  EXPECT_EQ(story.arguments, (Arguments{"false", "-port=1"}));
  EXPECT_EQ(story.flags.integer("port"), 9333);
}

TEST(Flags, ANumberTakesItsBaseFromThePrefix) {
  EXPECT_EQ(Story({"-port=0x12"}).flags.integer("port"), 18);
  EXPECT_EQ(Story({"-port=0664"}).flags.integer("port"), 0664);
  EXPECT_EQ(Story({"-port", "-5"}).flags.integer("port"), -5);
  EXPECT_EQ(Story({"-limit=10"}).flags.unsigned_integer("limit"), 10u);
  EXPECT_EQ(Story({"-ratio=.5"}).flags.number("ratio"), 0.5);
  EXPECT_EQ(Story({"-wait=1m30s"}).flags.duration("wait"), 90s);
}

TEST(Flags, ParsingStopsAtTheFirstPlainArgument) {
  EXPECT_EQ(Story({"-port=1", "x", "-port=2"}).flags.integer("port"), 1);
  EXPECT_EQ(Story({"-port=1", "-", "-port=2"}).arguments, (Arguments{"-", "-port=2"}));
  EXPECT_EQ(Story({"-port=1", "--", "-port=2"}).arguments, (Arguments{"-port=2"}));
  EXPECT_EQ(Story({"-port=1", ""}).arguments, (Arguments{""}));
  const Story story({"-port=1", "-test.v", "-port=2"});
  EXPECT_EQ(story.error, "");
  EXPECT_EQ(story.flags.integer("port"), 1);
}

TEST(Flags, TheLastOfARepeatedFlagWins) { EXPECT_EQ(Story({"-port=1", "-port=2"}).flags.integer("port"), 2); }

TEST(Flags, HelpIsAskedForWithEitherName) {
  EXPECT_TRUE(Story({"-h"}).help);
  EXPECT_TRUE(Story({"--help"}).help);
  EXPECT_TRUE(Story({"-help", "-port=x"}).help);
}

TEST(Flags, ErrorsHaveGosWords) {
  EXPECT_EQ(Story({"-nosuch=1"}).error, "flag provided but not defined: -nosuch");
  EXPECT_EQ(Story({"-port"}).error, "flag needs an argument: -port");
  EXPECT_EQ(Story({"-port=x"}).error,
            "invalid value \"x\" for flag -port: strconv.ParseInt: parsing \"x\": invalid syntax");
  EXPECT_EQ(Story({"-limit=-1"}).error,
            "invalid value \"-1\" for flag -limit: strconv.ParseUint: parsing \"-1\": invalid syntax");
  EXPECT_EQ(Story({"-ratio=x"}).error,
            "invalid value \"x\" for flag -ratio: strconv.ParseFloat: parsing \"x\": invalid syntax");
  EXPECT_EQ(Story({"-fast=maybe"}).error,
            "invalid boolean value \"maybe\" for -fast: strconv.ParseBool: parsing \"maybe\": invalid syntax");
  EXPECT_EQ(Story({"-v=x"}).error, "invalid value \"x\" for flag -v: strconv.Atoi: parsing \"x\": invalid syntax");
  EXPECT_EQ(Story({"-wait=5"}).error,
            "invalid value \"5\" for flag -wait: time: missing unit in duration \"5\"");
  EXPECT_EQ(Story({"---port=1"}).error, "bad flag syntax: ---port=1");
  EXPECT_EQ(Story({"-=1"}).error, "bad flag syntax: -=1");
}

TEST(Flags, TheEnvironmentFillsWhatTheCommandLineDidNotGive) {
  const Story story({"-port=1"}, {{"PORT", "2"}, {"IP_BIND", "::1"}, {"FAST", ""}, {"PEERS", ""}});
  EXPECT_EQ(story.flags.integer("port"), 1);
  EXPECT_EQ(story.flags.string("ip.bind"), "::1");
  EXPECT_TRUE(story.flags.boolean("fast"));
  EXPECT_EQ(story.flags.string("peers"), "");
  EXPECT_EQ(Story({}, {{"PORT", "x"}}).error,
            "invalid value \"x\" for environment variable port: strconv.ParseInt: parsing \"x\": invalid syntax");
}

TEST(Flags, GlobalFlagsHaveAPrefixInTheEnvironment) {
  FlagSet globals("WEED_");
  globals.add(kTable);
  ASSERT_TRUE(globals.take_environment([](const std::string& name) -> std::optional<std::string> {
    if (name == "WEED_PORT") return "7";
    if (name == "IP_BIND") return "wrong";
    return std::nullopt;
  }).ok());
  EXPECT_EQ(globals.integer("port"), 7);
  EXPECT_EQ(globals.string("ip.bind"), "");
}

TEST(Flags, TheOptionsFileComesLast) {
  const Story story({"-port=1"}, {{"LIMIT", "2"}},
                    "# comment\n"
                    "port=3\n"
                    "limit 4\n"
                    "-ip.bind:localhost\n"
                    "ip.bind=second\n"
                    "  fast  \n"
                    "unknown=1\n"
                    "--ratio=0.9\r\n"
                    "wait = 5s");
  EXPECT_EQ(story.error, "invalid value \"= 5s\" for configuration variable wait: time: invalid duration \"= 5s\"");
  EXPECT_EQ(story.flags.integer("port"), 1);
  EXPECT_EQ(story.flags.unsigned_integer("limit"), 2u);
  EXPECT_EQ(story.flags.string("ip.bind"), "localhost");
  EXPECT_TRUE(story.flags.boolean("fast"));
  EXPECT_EQ(story.flags.number("ratio"), 0.3);
}

TEST(Flags, ABadLineOfTheOptionsFileIsAnError) {
  EXPECT_EQ(Story({}, {}, "port : 1").error,
            "invalid value \": 1\" for configuration variable port: strconv.ParseInt: parsing \": 1\": invalid syntax");
}

TEST(Flags, UsageListsEachFlagAsGoDoes) {
  FlagSet flags;
  flags.add(kTable);
  EXPECT_EQ(flags.defaults_text(),
            "  -b\tshort\n"
            "  -fast\n    \tdo it fast\n"
            "  -index string\n    \tkind of index (default \"memory\")\n"
            "  -ip.bind string\n    \taddress to listen on\n"
            "  -limit megabytes\n    \tsize in megabytes (default 30720)\n"
            "  -old\n    \tno longer of use (default true)\n"
            "  -peers string\n    \tall masters (default \"none\")\n"
            "  -port int\n    \thttp listen port (default 9333)\n"
            "  -ratio float\n    \thow much (default 0.3)\n"
            "  -safe\n    \tdo it safely (default true)\n"
            "  -v value\n    \thow chatty\n"
            "  -wait duration\n    \thow long (default 1m0s)\n");
}

TEST(Flags, WhatIsNotHonouredYetIsSaidWhenItIsGiven) {
  EXPECT_TRUE(Story({"-old=false"}).flags.notes().empty());
  EXPECT_TRUE(Story({"-index=memory"}).flags.notes().empty());
  EXPECT_EQ(Story({"-index=leveldb"}).flags.notes(),
            Arguments{"-index is accepted, but not honoured yet: the index stays in memory"});
}

TEST(Flags, ANameInTheFileThatIsNoFlagIsSaidWithItsLine) {
  const Story story({}, {}, "# all of them\nport=1\n\n-prot=2\npeers a:1\n--peers=b:1\n");
  EXPECT_EQ(story.error, "");
  EXPECT_EQ(story.flags.integer("port"), 1);
  EXPECT_EQ(story.flags.notes(), (Arguments{"line 4 of the -options file is ignored: there is no flag \"prot\"",
                                            "line 6 of the -options file is ignored: there is no flag \"-peers\""}));
}

TEST(Flags, AViewReadsTheSameNamesUnderAPrefix) {
  FlagSet flags;
  flags.add(kTable, "master.");
  flags.add({"ip.bind2", FlagType::string, "x", ""});
  const std::vector<std::string> line = {"-master.port=5"};
  ASSERT_TRUE(flags.parse(line).ok());
  const FlagView view(flags, "master.");
  EXPECT_EQ(view.integer("port"), 5);
  EXPECT_EQ(view.string("ip.bind2"), "x");
  EXPECT_TRUE(view.is_given("port"));
}

}  // namespace
}  // namespace holdfast::cmd
