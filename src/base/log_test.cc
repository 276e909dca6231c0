#include "base/log.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace holdfast::log {
namespace {

namespace fs = std::filesystem;

// configure() works once in a process, so each story is told by a child in a folder of its own.
class LogFiles : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holdfast_log_test_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Runs `story` in a child with its stderr kept; returns the child's exit status.
  template <typename Story>
  int tell(Options options, Story story) {
    options.directory = folder_;
    const auto child = ::fork();
    if (child == 0) {
      FILE* kept = std::freopen((folder_ + "/stderr").c_str(), "w", stderr);
      if (kept == nullptr || !configure(options).ok()) ::_exit(99);
      story();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string text_of(const std::string& name) const {
    std::ifstream in(folder_ + "/" + name);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }

  int files_with(const std::string& part) const {
    int count = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().filename().string().find(part) != std::string::npos) ++count;
    }
    return count;
  }

  std::string folder_;
};

TEST_F(LogFiles, ALineHasSeverityDateTimePlaceAndText) {
  ASSERT_EQ(tell({}, [] { LOG_WARNING("disk {} is nearly full", 7); }), 0);
  const std::regex shape(R"(W\d{4} \d\d:\d\d:\d\d\.\d{6} log_test\.cc:\d+ disk 7 is nearly full\n)");
  EXPECT_TRUE(std::regex_match(text_of("stderr"), shape)) << text_of("stderr");
  EXPECT_EQ(text_of("weed.WARNING"), text_of("stderr"));
  EXPECT_EQ(text_of("weed.INFO"), text_of("stderr"));
  EXPECT_FALSE(fs::exists(folder_ + "/weed.ERROR"));
}

TEST_F(LogFiles, LogToStderrMakesNoFiles) {
  ASSERT_EQ(tell({.only_stderr = true, .also_stderr = false}, [] { LOG_INFO("hello"); }), 0);
  EXPECT_NE(text_of("stderr").find("hello"), std::string::npos);
  EXPECT_EQ(files_with("weed."), 0);
}

TEST_F(LogFiles, WithoutAlsoOnlyLinesFromTheThresholdOnReachStderr) {
  ASSERT_EQ(tell({.also_stderr = false},
                 [] {
                   LOG_INFO("quiet");
                   LOG_ERROR("loud");
                 }),
            0);
  EXPECT_EQ(text_of("stderr").find("quiet"), std::string::npos);
  EXPECT_NE(text_of("stderr").find("loud"), std::string::npos);
  EXPECT_NE(text_of("weed.INFO").find("quiet"), std::string::npos);
}

TEST_F(LogFiles, AFullFileIsRotatedAndTheOldestRemoved) {
  ASSERT_EQ(tell({.file_bytes_max = 200, .files_max = 3},
                 [] {
                   for (int i = 0; i < 40; ++i) LOG_INFO("line {:03} with some words to fill the file", i);
                 }),
            0);
  EXPECT_EQ(files_with(".log.INFO."), 3);
  EXPECT_NE(text_of("weed.INFO").find("line 039"), std::string::npos);
}

TEST_F(LogFiles, FilesOfOthersThatStillRunAreKept) {
  // Process 1 always runs; no process has this large number.
  const std::string stem = [&] {
    tell({}, [] { LOG_INFO("to learn the name"); });
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const auto name = entry.path().filename().string();
      if (const auto at = name.find(".log.INFO."); at != std::string::npos) return name.substr(0, at + 10);
    }
    return std::string();
  }();
  ASSERT_FALSE(stem.empty());
  std::ofstream(folder_ + "/" + stem + "20200101-000000.1") << "alive";
  std::ofstream(folder_ + "/" + stem + "20200101-000000.2147483646") << "dead";
  ASSERT_EQ(tell({.files_max = 1}, [] { LOG_INFO("hello"); }), 0);
  EXPECT_TRUE(fs::exists(folder_ + "/" + stem + "20200101-000000.1"));
  EXPECT_FALSE(fs::exists(folder_ + "/" + stem + "20200101-000000.2147483646"));
}

TEST_F(LogFiles, JsonIsOneObjectALine) {
  ASSERT_EQ(tell({.json = true}, [] { LOG_ERROR("say \"no\"\n"); }), 0);
  const std::regex shape(
      R"re(\{"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z","level":"ERROR","file":"log_test\.cc","line":\d+,"msg":"say \\"no\\"\\n"\}\n)re");
  EXPECT_TRUE(std::regex_match(text_of("stderr"), shape)) << text_of("stderr");
}

TEST_F(LogFiles, VmoduleRaisesTheVerbosityOfNamedFiles) {
  ASSERT_EQ(tell({.per_file = "nosuch=4,log_te*=2"},
                 [] {
                   LOG_V(2, "let through");
                   LOG_V(3, "held back");
                 }),
            0);
  EXPECT_NE(text_of("stderr").find("let through"), std::string::npos);
  EXPECT_EQ(text_of("stderr").find("held back"), std::string::npos);
}

TEST_F(LogFiles, AFatalLineEndsTheProcessWith255) {
  EXPECT_EQ(tell({}, [] { LOG_FATAL("port {} is taken", 9333); }), 255);
  EXPECT_EQ(text_of("stderr")[0], 'F');
  EXPECT_NE(text_of("weed.FATAL").find("port 9333 is taken"), std::string::npos);
}

TEST_F(LogFiles, AFolderThatCannotBeWrittenIsToldOfOnceAndDoesNoHarm) {
  const auto child = ::fork();
  if (child == 0) {
    FILE* kept = std::freopen((folder_ + "/stderr").c_str(), "w", stderr);
    if (kept == nullptr || !configure({.directory = folder_ + "/missing"}).ok()) ::_exit(99);
    LOG_INFO("one");
    LOG_INFO("two");
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  const auto told = text_of("stderr");
  const auto first = told.find("cannot be written: No such file or directory");
  EXPECT_NE(first, std::string::npos) << told;
  EXPECT_EQ(told.find("cannot be written", first + 1), std::string::npos);
  EXPECT_NE(told.find("two"), std::string::npos);
}

TEST(LogSeverity, IsReadByNameOrNumber) {
  EXPECT_EQ(*parse_severity("warning"), Severity::warning);
  EXPECT_EQ(*parse_severity("2"), Severity::error);
  EXPECT_FALSE(parse_severity("loud").ok());
}

}  // namespace
}  // namespace holdfast::log
