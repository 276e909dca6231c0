#include "cmd/mfs/translate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <filesystem>

namespace holdfast::mfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Translate : public testing::Test {
 protected:
  Translate() : folder_(testing::TempDir() + "holdfast-translate-" + std::to_string(::getpid())) {
    std::filesystem::create_directories(folder_ + "/a");
    std::filesystem::create_directories(folder_ + "/b");
  }
  ~Translate() override { std::filesystem::remove_all(folder_); }

  Result<cmd::MasterPlan> master(std::string_view text) {
    remarks_.clear();
    return plan_of_master(Config::make(kMasterRole, text, "mfsmaster.cfg"), folder_, &remarks_);
  }
  Result<cmd::VolumePlan> chunkserver(std::string_view text, const std::string* disks) {
    remarks_.clear();
    return plan_of_chunkserver(Config::make(kChunkserverRole, text, "mfschunkserver.cfg"), folder_, disks, &remarks_);
  }

  const std::string folder_;
  std::vector<std::string> remarks_;
};

using Place = cmd::ListenPlan::Place;

TEST_F(Translate, AMasterListensOnThePortsOfMooseFS) {
  const auto plan = master("");
  ASSERT_TRUE(plan) << plan.error().what();
  EXPECT_EQ(plan->listen.http_port, 9421);
  EXPECT_EQ(plan->listen.grpc_port, 9420);
  EXPECT_EQ(plan->listen.address, "");
  EXPECT_EQ(plan->listen.grpc_address, "");
  EXPECT_THAT(plan->listen.more_grpc, ElementsAre(Place{"", 9419}));
  EXPECT_THAT(plan->listen.more_http, ElementsAre(Place{"", 9425}));
  EXPECT_EQ(plan->runtime.folder, folder_);
  EXPECT_EQ(plan->runtime.self.port, 9421);
  EXPECT_EQ(plan->runtime.self.grpc_port, 9420);
  EXPECT_THAT(plan->runtime.peers, IsEmpty());
  EXPECT_THAT(remarks_, IsEmpty());
}

TEST_F(Translate, AFileOfBeforeNamesThePortByItsOldName) {
  const auto plan = master("MATOCS_LISTEN_PORT = 9520\n");
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->listen.grpc_port, 9520);
  EXPECT_THAT(plan->listen.more_grpc, ElementsAre(Place{"", 9419}));
  const auto both = master("MATOCS_LISTEN_PORT = 9520\nMASTER_PORT = 9530\nMATOML_LISTEN_PORT = 0\n");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->listen.grpc_port, 9530);
  EXPECT_THAT(both->listen.more_grpc, ElementsAre(Place{"", 9520}));
}

TEST_F(Translate, AParticularAddressIsListenedOnAndToldToOthers) {
  const auto plan = master("MATOCS_LISTEN_HOST = 127.0.0.1\nGUISERV_LISTEN_HOST = 127.0.0.2\nGUISERV_LISTEN_PORT = 80\n");
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->runtime.self.host, "127.0.0.1");
  EXPECT_EQ(plan->runtime.bind_host, "127.0.0.1");
  EXPECT_EQ(plan->listen.grpc_address, "127.0.0.1");
  EXPECT_EQ(plan->listen.address, "");
  EXPECT_THAT(plan->listen.more_http, ElementsAre(Place{"127.0.0.2", 80}));
  const auto other = master("MATOCL_LISTEN_HOST = 127.0.0.2\n");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->listen.address, "127.0.0.2");
  EXPECT_FALSE(other->listen.also_loopback);  // 127.0.0.1 may be another master's
}

TEST_F(Translate, HighAvailabilityTakesItsPeersFromTheName) {
  const auto plan = master("HA_ENABLED = 1\nMASTER_HOST = localhost, 127.0.0.1\nDNS_REFRESH_TIME = 7\nMASTER_PORT = 9500\n");
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->runtime.peers, ElementsAre(Address{"localhost", 9421}, Address{"127.0.0.1", 9421}));
  EXPECT_EQ(plan->runtime.peers[0].grpc_port, 9500);
  EXPECT_EQ(plan->runtime.discovery_interval, 7s);
  EXPECT_FALSE(master("HA_ENABLED = 1\nMASTER_HOST =\n"));
  EXPECT_FALSE(master("HA_ENABLED = 1\nMASTER_HOST = a:b:c]\n"));
}

TEST_F(Translate, WithoutItTheNameIsNotUsedAndThatIsSaid) {
  const auto plan = master("MASTER_HOST = elsewhere\n");
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->runtime.peers, IsEmpty());
  EXPECT_THAT(remarks_, ElementsAre(HasSubstr("HA_ENABLED = 1")));
}

TEST_F(Translate, PortsOfTwoKindsMustBeApart) {
  const auto plan = master("MASTER_PORT = 9421\n");
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().what(), HasSubstr("MASTER_PORT and MATOCL_LISTEN_PORT are both 9421"));
  EXPECT_TRUE(master("MATOML_LISTEN_PORT = 9420\nGUISERV_LISTEN_PORT = 9421\n"));  // one listener serves both
}

TEST_F(Translate, AChunkserverServesItsDisks) {
  const std::string disks = folder_ + "/a -10%\n*" + folder_ + "/b\n";
  const auto plan = chunkserver("MASTER_HOST = localhost\nRACK = r1\nHDD_FSYNC_BEFORE_CLOSE = 1\n", &disks);
  ASSERT_TRUE(plan) << plan.error().what();
  ASSERT_THAT(plan->config.directories, SizeIs(2));
  EXPECT_EQ(plan->config.directories[0].path, folder_ + "/a");
  EXPECT_EQ(plan->config.directories[0].min_free_percent, 10);
  EXPECT_EQ(plan->config.directories[0].volumes_max, 0);
  EXPECT_EQ(plan->config.directories[1].min_free_percent, 100);  // nothing new comes
  EXPECT_EQ(plan->config.port, 9422);
  EXPECT_EQ(plan->config.grpc_port, 19422);
  EXPECT_EQ(plan->config.rack, "r1");
  EXPECT_TRUE(plan->config.fsync);
  EXPECT_THAT(plan->config.masters, ElementsAre(Address{"localhost", 9421}));
  EXPECT_EQ(plan->config.masters[0].grpc_port, 9420);
}

TEST_F(Translate, LimitsBecomeSpaceThatIsLeftFree) {
  struct statvfs space {};
  ASSERT_EQ(::statvfs(folder_.c_str(), &space), 0);
  const std::string disks = folder_ + "/a 1MiB\n" + folder_ + "/b 60%\n";
  const auto plan = chunkserver("", &disks);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->config.directories[0].min_free_bytes, space.f_blocks * space.f_frsize - (1u << 20));
  EXPECT_EQ(plan->config.directories[1].min_free_percent, 40);
}

TEST_F(Translate, WithoutAFileOfDisksDataLiesInTheDataPath) {
  const auto plan = chunkserver("HDD_LEAVE_SPACE_DEFAULT = 1GiB\n", nullptr);
  ASSERT_TRUE(plan);
  ASSERT_THAT(plan->config.directories, SizeIs(1));
  EXPECT_EQ(plan->config.directories[0].path, folder_);
  EXPECT_EQ(plan->config.directories[0].min_free_bytes, 1u << 30);
  EXPECT_THAT(remarks_, ElementsAre(HasSubstr("there is no /etc/mfs/mfshdd.cfg")));
  EXPECT_FALSE(chunkserver("HDD_CONF_FILENAME = /no/such/file\n", nullptr));
  const std::string nothing = "# all commented out\n";
  EXPECT_FALSE(chunkserver("", &nothing));
}

}  // namespace
}  // namespace holdfast::mfs
