#include "cmd/plan.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "cmd/tables.h"
#include "cmd/toml_samples.h"

namespace holdfast::cmd {
namespace {

class Plans : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holdfast_plan_test_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  FlagSet parsed(void (*declare)(FlagSet&), std::vector<std::string> line) {
    FlagSet flags;
    declare(flags);
    const auto outcome = flags.parse(line);
    EXPECT_TRUE(outcome.ok()) << (outcome.ok() ? "" : outcome.error().what());
    return flags;
  }
  Result<MasterPlan> master(std::vector<std::string> line) {
    line.push_back("-mdir=" + folder_);
    return plan_master(FlagView(parsed(declare_master, line), ""), settings_);
  }
  Result<VolumePlan> volume(std::vector<std::string> line) {
    line.insert(line.begin(), "-dir=" + folder_);
    return plan_volume(FlagView(parsed(declare_volume, line), ""), settings_);
  }
  static std::string fault(const auto& result) { return result.ok() ? "no error" : result.error().what(); }

  std::string folder_;
  SettingsFiles settings_;
};

TEST_F(Plans, OfTheCheatSheetNameBothRolesByMasterIp) {
  const auto flags = parsed(declare_server, {"-master.ip=localhost", "-master.port=9333", "-dir=" + folder_ + "/1",
                                             "-volume.port=8080",
                                             "-master.peers=localhost:9333,localhost:9334,localhost:9335"});
  const auto master = plan_master(FlagView(flags, "master."), settings_);
  ASSERT_TRUE(master.ok()) << fault(master);
  EXPECT_EQ(master->runtime.folder, folder_ + "/1");
  EXPECT_EQ(text(master->runtime.self), "localhost:9333");
  EXPECT_EQ(master->runtime.bind_host, "localhost");
  EXPECT_EQ(master->runtime.peers.size(), 3u);
  EXPECT_EQ(master->listen.grpc_port, 19333);
  EXPECT_FALSE(master->listen.also_loopback);
  const auto volume = plan_volume(FlagView(flags, "volume."), settings_, master->runtime.peers);
  ASSERT_TRUE(volume.ok()) << fault(volume);
  EXPECT_EQ(volume->config.ip, "localhost");
  EXPECT_EQ(volume->config.public_url, "localhost:8080");
  EXPECT_EQ(volume->config.masters.size(), 3u);
  EXPECT_EQ(volume->config.directories.at(0).path, folder_ + "/1");
}

TEST_F(Plans, IpAndMasterIpEachNameTheirOwnRole) {
  const auto flags = parsed(declare_server, {"-master.ip=m", "-ip=v", "-ip.bind=127.0.0.2", "-dir=" + folder_});
  const auto master = plan_master(FlagView(flags, "master."), settings_);
  const auto volume = plan_volume(FlagView(flags, "volume."), settings_, {});
  ASSERT_TRUE(master.ok() && volume.ok());
  EXPECT_EQ(master->runtime.self.host, "m");
  EXPECT_EQ(volume->config.ip, "v");
  EXPECT_EQ(master->listen.address, "127.0.0.2");
  EXPECT_TRUE(master->listen.also_loopback);
  EXPECT_FALSE(volume->listen.also_loopback);
}

TEST_F(Plans, PeersMayBeNoneInAnyCase) {
  for (const char* none : {"none", "NONE", " None ", ""}) {
    const auto plan = master({std::string("-peers=") + none});
    ASSERT_TRUE(plan.ok()) << fault(plan);
    EXPECT_TRUE(plan->runtime.peers.empty());
  }
  EXPECT_EQ(master({"-peers=a:1, a:1,,b:2"})->runtime.peers.size(), 2u);
  EXPECT_NE(fault(master({"-peers=nonsense"})).find("-peers"), std::string::npos);
}

TEST_F(Plans, AllAddressesAreBoundAsNone) {
  EXPECT_EQ(master({"-ip=h", "-ip.bind=0.0.0.0"})->listen.address, "");
  EXPECT_EQ(master({"-ip=h", "-ip.bind=::"})->listen.address, "");
  EXPECT_EQ(master({"-ip=::1"})->listen.address, "::1");
  EXPECT_EQ(text(master({"-ip=[::1]"})->runtime.self), "[::1]:9333");
}

TEST_F(Plans, OneValueOfAListIsForAllFolders) {
  ::mkdir((folder_ + "/a").c_str(), 0755);
  const auto plan = volume({"-dir=" + folder_ + "/a," + folder_ + "/b", "-max=3", "-disk=ssd,hdd",
                            "-minFreeSpace=10GiB,15", "-tags=x:y,z"});
  ASSERT_TRUE(plan.ok()) << fault(plan);
  const auto& [one, two] = std::tie(plan->config.directories.at(0), plan->config.directories.at(1));
  EXPECT_EQ(one.volumes_max, 3);
  EXPECT_EQ(two.volumes_max, 3);
  EXPECT_EQ(one.disk_type, "ssd");
  EXPECT_EQ(two.disk_type, "");
  EXPECT_EQ(one.min_free_bytes, 10ull << 30);
  EXPECT_EQ(two.min_free_percent, 15);
  EXPECT_EQ(one.tags, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(two.tags, (std::vector<std::string>{"z"}));
}

TEST_F(Plans, ListsOfAnotherLengthAreRefusedInUpstreamsWords) {
  EXPECT_EQ(fault(volume({"-max=1,2"})), "1 directories by -dir, but only 2 max is set by -max");
  EXPECT_EQ(fault(volume({"-disk=a,b"})), "1 directories by -dir, but only 2 disk types is set by -disk");
  EXPECT_EQ(fault(volume({"-max=x"})), "The max specified in -max not a valid number x");
  EXPECT_EQ(fault(volume({"-minFreeSpace=abc"})), "The value specified in -minFreeSpace not a valid value abc");
}

TEST_F(Plans, OnlyTheLastComponentOfAFolderIsMade) {
  const std::string deep = folder_ + "/no/where";
  EXPECT_EQ(fault(volume({"-dir=" + deep})),
            "Check Data Folder(-dir) Writable " + deep + " : stat " + deep + ": no such file or directory");
  const auto flags = parsed(declare_server, {"-dir=" + deep});
  EXPECT_EQ(fault(plan_master(FlagView(flags, "master."), settings_)),
            "Check Meta Folder (-mdir=\"" + deep + "\") Writable: stat " + deep + ": no such file or directory");
  EXPECT_TRUE(volume({"-dir=" + folder_ + "/new"}).ok());
  EXPECT_TRUE(std::filesystem::is_directory(folder_ + "/new"));
}

TEST_F(Plans, TheOldNameOfTheMastersFlagWins) {
  EXPECT_EQ(text(volume({"-master=a:1"})->config.masters.at(0)), "a:1");
  EXPECT_EQ(text(volume({"-master=a:1", "-mserver=b:2,c:3"})->config.masters.at(1)), "c:3");
  EXPECT_EQ(text(volume({})->config.masters.at(0)), "localhost:9333");
}

TEST_F(Plans, ThePublicPortMakesThePublicUrl) {
  const auto plan = volume({"-ip=h", "-port=8080", "-port.public=8090"});
  EXPECT_EQ(plan->public_port, 8090);
  EXPECT_EQ(plan->config.public_url, "h:8090");
  EXPECT_EQ(volume({"-ip=h", "-port.public=8080"})->public_port, 0);
  EXPECT_EQ(volume({"-ip=h", "-publicUrl=files.example:80"})->config.public_url, "files.example:80");
}

TEST_F(Plans, SettingsLieUnderFlags) {
  auto settings = Settings::parse(
      "[master]\nmdir = \"" + folder_ + "/toml\"\n[master.volume_growth]\ncopy_1 = 3\nthreshold = 0.5\n", nullptr);
  ASSERT_TRUE(settings.ok());
  settings_.master = *settings;
  settings_.security = *Settings::parse("[guard]\nwhite_list = \"10.0.0.1\"\n", nullptr);
  const auto plan = master({"-whiteList=::1"});
  ASSERT_TRUE(plan.ok()) << fault(plan);
  EXPECT_EQ(plan->runtime.folder, folder_ + "/toml");
  EXPECT_EQ(plan->options.copy_1, 3u);
  EXPECT_EQ(plan->options.crowded_threshold, 0.5);
  EXPECT_EQ(plan->white_list, "::1,10.0.0.1");
}

TEST_F(Plans, TheSampleOfMasterTomlParsesAndChangesNothing) {
  const auto before = master({});
  auto sample = Settings::parse(toml_sample("master"), nullptr);
  ASSERT_TRUE(sample.ok()) << sample.error().what();
  EXPECT_EQ(sample->integer("master.volume_growth.copy_2", 0), 6);  // it is read at all
  settings_.master = *sample;
  const auto plan = master({});
  ASSERT_TRUE(plan.ok()) << fault(plan);
  EXPECT_EQ(plan->options.leader_wait, before->options.leader_wait);
  EXPECT_EQ(plan->options.copy_1, before->options.copy_1);
  EXPECT_EQ(plan->options.copy_3, before->options.copy_3);
  EXPECT_EQ(plan->options.copy_other, before->options.copy_other);
  EXPECT_EQ(plan->options.crowded_threshold, before->options.crowded_threshold);
  EXPECT_EQ(plan->options.growth_disabled, before->options.growth_disabled);
  EXPECT_EQ(plan->options.replication_as_minimum, before->options.replication_as_minimum);
  EXPECT_EQ(plan->runtime.folder, before->runtime.folder);
  EXPECT_EQ(sample->tables_below("storage.backend.s3"), std::vector<std::string>{"default"});
  EXPECT_TRUE(plan->tiers.empty());
  EXPECT_EQ(toml_sample("nobody"), "");
}

TEST_F(Plans, StoresForVolumesAreThoseOfMasterToml) {
  settings_.master = *Settings::parse(R"(
[storage.backend.s3.default]
enabled = true
aws_access_key_id = "id"
bucket = "volumes"
endpoint = "http://localhost:1"
[storage.backend.s3.cold]
enabled = true
bucket = "cold"
[storage.backend.s3.off]
enabled = false
bucket = "off"
[storage.backend.s3.nameless]
enabled = true
[storage.backend.rclone.x]
enabled = true
bucket = "x"
)",
                                      [](const std::string& name) -> std::optional<std::string> {
                                        if (name == "WEED_STORAGE_BACKEND_S3_DEFAULT_AWS_SECRET_ACCESS_KEY") return "secret";
                                        return std::nullopt;
                                      });
  const auto plan = master({});
  ASSERT_TRUE(plan.ok()) << fault(plan);
  ASSERT_EQ(plan->tiers.size(), 2u);
  EXPECT_EQ(plan->tiers[0].name(), "s3.cold");
  EXPECT_EQ(plan->tiers[0].properties, (std::map<std::string, std::string>{{"bucket", "cold"}}));
  EXPECT_EQ(plan->tiers[1].name(), "s3");
  EXPECT_EQ(plan->tiers[1].properties, (std::map<std::string, std::string>{{"aws_access_key_id", "id"},
                                                                           {"aws_secret_access_key", "secret"},
                                                                           {"bucket", "volumes"},
                                                                           {"endpoint", "http://localhost:1"}}));
}

TEST_F(Plans, HowLongRequestsWaitForALeaderIsASetting) {
  EXPECT_EQ(master({})->options.leader_wait, 2s);
  settings_.master = *Settings::parse("[master]\nleader_wait = \"700ms\"\n", nullptr);
  EXPECT_EQ(master({})->options.leader_wait, 700ms);
  settings_.master = *Settings::parse("[master]\nleader_wait = 5\n", nullptr);
  EXPECT_EQ(master({})->options.leader_wait, 2s);
}

TEST_F(Plans, PortsThatCannotWorkAreRefusedWithTheirFlag) {
  EXPECT_EQ(fault(master({"-port=0"})), "-port is 0, but a server needs a port: 1 to 65535");
  EXPECT_EQ(fault(master({"-port=70000"})), "-port is 70000, but a port is 0 to 65535");
  EXPECT_EQ(fault(master({"-port=9333", "-port.grpc=9333"})),
            "-port and -port.grpc are both 9333: give each a port of its own");
  EXPECT_EQ(fault(master({"-port=9333", "-metricsPort=19333"})),
            "-port.grpc and -metricsPort are both 19333: give each a port of its own");
  EXPECT_EQ(fault(volume({"-port=8080", "-port.public=18080"})),
            "-port.grpc and -port.public are both 18080: give each a port of its own");
  const auto server = parsed(declare_server, {"-volume.port=9333", "-dir=" + folder_});
  EXPECT_EQ(fault(plan_volume(FlagView(server, "volume."), settings_, {})),
            "-master.port and -volume.port are both 9333: give each a port of its own");
}

TEST_F(Plans, WrongValuesAreRefusedWithWhatToWrite) {
  EXPECT_EQ(fault(master({"-peers=xx"})),
            "-peers: address \"xx\": no port: write host:port, as localhost:9333");
  EXPECT_EQ(fault(master({"-defaultReplication=xyz"})),
            "-defaultReplication: unexpected replication type: xyz; three digits are meant, as 001");
  EXPECT_EQ(fault(master({"-electionTimeout=-1s"})), "-electionTimeout is negative; 0 adapts it to the network");
  EXPECT_EQ(fault(volume({"-dir=" + folder_ + "," + folder_ + "/."})),
            "-dir names the folder " + folder_ + "/. twice");
}

TEST_F(Plans, TheSizeOfAVolumeIsBounded) {
  EXPECT_EQ(fault(master({"-volumeSizeLimitMB=0"})), "-volumeSizeLimitMB is 0: no volume would take a file");
  EXPECT_EQ(master({"-volumeSizeLimitMB=30720"})->options.volume_size_limit, 30720ull << 20);
  EXPECT_EQ(fault(master({"-volumeSizeLimitMB=30721"})), "volumeSizeLimitMB should not exceed 30720");
}

TEST_F(Plans, AHeartbeatAboveAThirdOfTheElectionTimeoutIsRefused) {
  EXPECT_TRUE(master({"-electionTimeout=300ms", "-heartbeatInterval=100ms"}).ok());
  EXPECT_TRUE(master({"-electionTimeout=60ms"}).ok());  // heartbeats come more often then
  EXPECT_FALSE(master({"-electionTimeout=300ms", "-heartbeatInterval=101ms"}).ok());
  EXPECT_FALSE(master({})->runtime.election_timeout.has_value());
}

TEST_F(Plans, LeasesOfTheLeaderAreAutoUnlessTold) {
  EXPECT_FALSE(master({})->runtime.leader_lease);
  EXPECT_EQ(master({})->runtime.lease_reads, master::LeaseReads::automatic);
  EXPECT_EQ(master({"-leaderLease=2s", "-leaseReads=on"})->runtime.leader_lease, 2s);
  EXPECT_EQ(master({"-leaderLease=2s", "-leaseReads=on"})->runtime.lease_reads, master::LeaseReads::on);
  EXPECT_EQ(master({"-leaderLease=0s"})->runtime.leader_lease, 0s);
  EXPECT_EQ(fault(master({"-leaderLease=soon"})),
            "-leaderLease=soon: give \"auto\" or a duration such as 80ms; 0s turns leases off");
  EXPECT_EQ(fault(master({"-leaseReads=yes"})), "-leaseReads: \"yes\" is none of auto, on, off");
  EXPECT_FALSE(master({"-leaderLease=50ms"}).ok());  // two heartbeats take longer
  EXPECT_TRUE(master({"-leaderLease=50ms", "-heartbeatInterval=25ms"}).ok());
}

TEST(FreeSpaceText, IsAPercentageUpTo100AndBytesBeyond) {
  EXPECT_EQ(parse_free_space("15")->percent, 15);
  EXPECT_EQ(parse_free_space("0.5")->percent, 0.5);
  EXPECT_EQ(parse_free_space("10GiB")->bytes, 10ull << 30);
  EXPECT_EQ(parse_free_space("10gb")->bytes, 10'000'000'000ull);
  EXPECT_EQ(parse_free_space("5 MiB")->bytes, 5ull << 20);
  EXPECT_EQ(parse_free_space("2048")->bytes, 2048u);
  for (const char* bad : {"", "abc", "-1", "10XB", "1.2.3", "GiB", "10GiBx"}) {
    EXPECT_FALSE(parse_free_space(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace holdfast::cmd
