#include "io/posix/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace holdfast::io::posix {
namespace {

TEST(Cores, AThreadPinnedToOneCoreHasOne) {
  std::thread([] {
    cpu_set_t before;
    ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &before)) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
      EXPECT_EQ(usable_cores(), 1u);
      return;
    }
    FAIL() << "no core is allowed";
  }).join();
}

TEST(Cores, AQuotaIsRoundedUpToWholeCores) {
  EXPECT_EQ(quota_cores("100000 100000"), 1u);
  EXPECT_EQ(quota_cores("150000 100000"), 2u);
  EXPECT_EQ(quota_cores("50000 100000"), 1u);
  EXPECT_EQ(quota_cores("800000 100000\n"), 8u);
}

TEST(Cores, WithoutAQuotaThereIsNone) {
  EXPECT_EQ(quota_cores("max 100000"), 0u);
  EXPECT_EQ(quota_cores(""), 0u);
  EXPECT_EQ(quota_cores("100000"), 0u);
  EXPECT_EQ(quota_cores("100000 0"), 0u);
  EXPECT_EQ(quota_cores("0 100000"), 0u);
  EXPECT_EQ(quota_cores("-1 100000"), 0u);
}

}  // namespace
}  // namespace holdfast::io::posix
