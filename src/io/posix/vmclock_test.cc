#include "io/posix/vmclock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace holdfast::io::posix {
namespace {

// A file laid out like the device's page.
struct Page {
  Page() {
    file = ::mkstemp(path.data());
    std::memcpy(bytes.data(), "VCLK", 4);
    put<std::uint32_t>(4, 0x68);
    put<std::uint16_t>(8, 1);
    store();
  }
  ~Page() {
    ::close(file);
    std::filesystem::remove(path);
  }
  template <typename T>
  void put(std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  void store() { EXPECT_EQ(::pwrite(file, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size())); }

  std::string path = (std::filesystem::temp_directory_path() / "holdfast-vmclock-XXXXXX").string();
  int file = -1;
  std::array<char, 4096> bytes{};
};

TEST(VmClock, TellsWhenTheMachineWasDisrupted) {
  Page page;
  page.put<std::uint64_t>(16, 5);
  page.store();
  const auto clock = VmClock::open(page.path);
  ASSERT_TRUE(clock.ok());
  EXPECT_EQ((*clock)->marker(), 5u);
  page.put<std::uint64_t>(16, 6);
  page.store();
  EXPECT_EQ((*clock)->marker(), 6u);
}

TEST(VmClock, WhatIsNotItsPageIsRefused) {
  Page page;
  page.put<std::uint16_t>(8, 2);
  page.store();
  EXPECT_FALSE(VmClock::open(page.path).ok());
  EXPECT_FALSE(VmClock::open("/nonexistent/vmclock0").ok());
}

}  // namespace
}  // namespace holdfast::io::posix
