#include "io/posix/line_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace holdfast::io::posix {
namespace {

class LineFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/line_file_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ + "/x.log";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_, path_;
};

TEST_F(LineFileTest, LinesComeBackInTheirOrder) {
  const LineFile file(path_, 1000, 2);
  ASSERT_TRUE(file.append("one").ok());
  ASSERT_TRUE(file.append("two").ok());
  EXPECT_EQ(*file.read(), (std::vector<std::string>{"one", "two"}));
}

TEST_F(LineFileTest, ItNeverGrowsPastItsBound) {
  const LineFile file(path_, 100, 2);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(file.append("line " + std::to_string(1000 + i)).ok());
  for (const auto* name : {"", ".1", ".2"}) EXPECT_LE(std::filesystem::file_size(path_ + name), 100u);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".3"));
  const auto lines = *file.read();
  ASSERT_GE(lines.size(), 20u);
  EXPECT_EQ(lines.back(), "line 1099");
  for (std::size_t i = 1; i < lines.size(); ++i) EXPECT_LT(lines[i - 1], lines[i]);
}

TEST_F(LineFileTest, AnUnfinishedLineSpoilsNoOther) {
  std::ofstream(path_) << "whole\nhal";
  const LineFile file(path_, 1000, 2);
  EXPECT_EQ(*file.read(), (std::vector<std::string>{"whole"}));
  ASSERT_TRUE(file.append("next").ok());
  EXPECT_EQ(*file.read(), (std::vector<std::string>{"whole", "hal", "next"}));
}

TEST_F(LineFileTest, WhatIsMissingOrCannotBeWrittenIsSaid) {
  EXPECT_EQ(LineFile(path_, 100, 1).read().error().code(), Code::not_found);
  EXPECT_FALSE(LineFile(folder_ + "/no/such.log", 100, 1).append("x").ok());
}

TEST_F(LineFileTest, TwoWritersLoseNoLineWhileFilesAreRotated) {
  constexpr int kLines = 300;
  const auto write = [&](char who) {
    const LineFile file(path_, 2000, 20);
    for (int i = 0; i < kLines; ++i) EXPECT_TRUE(file.append(std::string(1, who) + std::to_string(i)).ok());
  };
  std::thread other([&] { write('b'); });
  write('a');
  other.join();
  EXPECT_EQ(LineFile(path_, 2000, 20).read()->size(), 2u * kLines);
}

}  // namespace
}  // namespace holdfast::io::posix
