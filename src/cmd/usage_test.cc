// The -h output of each command against a golden file below src/cmd/golden. After a wanted change, run the test
// program once with HOLDFAST_WRITE_GOLDEN=1 and look at the difference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "cmd/dispatch.h"
#include "cmd/tables.h"

namespace holdfast::cmd {
namespace {

std::string golden_path(const std::string& name) {
  return std::string(HOLDFAST_GOLDEN) + "/" + name + ".txt";
}

// The temporary folder is a default of some flags and differs between machines.
std::string with_plain_folder(std::string text) {
  const std::string& folder = temporary_folder();
  for (auto at = text.find(folder); folder != "/tmp" && at != std::string::npos; at = text.find(folder, at + 4)) {
    text.replace(at, folder.size(), "/tmp");
  }
  return text;
}

void compare(const std::string& name, const std::string& text) {
  if (std::getenv("HOLDFAST_WRITE_GOLDEN") != nullptr) {
    std::ofstream(golden_path(name)) << text;
    return;
  }
  std::ifstream file(golden_path(name));
  ASSERT_TRUE(file) << golden_path(name) << " is missing";
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str());
}

TEST(Usage, OfEachCommandIsTheGoldenOne) {
  for (const auto& command : commands()) {
    SCOPED_TRACE(command.name);
    compare(std::string(command.name), with_plain_folder(usage_text("weed", command)));
  }
}

TEST(Usage, EachActionOfKvHasFlagsThatExplainThemselves) {
  for (const char* name : {"get", "put", "delete", "renew", "list", "watch"}) {
    FlagSet flags;
    ASSERT_TRUE(declare_kv_action(name, flags)) << name;
    EXPECT_TRUE(flags.is_declared("master"));
    EXPECT_THAT(flags.defaults_text(), ::testing::Not(::testing::HasSubstr("\t\n"))) << name;
  }
  FlagSet flags;
  EXPECT_FALSE(declare_kv_action("nosuch", flags));
}

TEST(Usage, TheCommandListIsTheGoldenOne) { compare("help", command_list("weed")); }

TEST(Usage, EveryFlagOfAServerExplainsItself) {
  for (const char* name : {"master", "volume", "upload", "download", "benchmark", "kv", "lease"}) {
    FlagSet flags;
    find_command(name)->declare(flags);
    std::stringstream text(flags.defaults_text());
    for (std::string line; std::getline(text, line);) {
      if (!line.starts_with("    \t")) continue;
      EXPECT_GT(line.size(), std::size_t{10}) << name << ": " << line;
    }
  }
}

// Names and defaults of spec/weed-cluster 1.5 and 1.7, one by one: a flag lost or renamed breaks someone's script.
TEST(Tables, TheMasterHasAllItsFlagsWithUpstreamsDefaults) {
  FlagSet flags;
  declare_master(flags);
  EXPECT_EQ(flags.integer("port"), 9333);
  EXPECT_EQ(flags.integer("port.grpc"), 0);
  EXPECT_EQ(flags.string("ip.bind"), "");
  EXPECT_EQ(flags.string("mdir"), temporary_folder());
  EXPECT_EQ(flags.string("peers"), "");
  EXPECT_EQ(flags.unsigned_integer("volumeSizeLimitMB"), 30720u);
  EXPECT_EQ(flags.string("defaultReplication"), "");
  EXPECT_EQ(flags.duration("electionTimeout"), 0s);      // ours: adaptive
  EXPECT_EQ(flags.duration("heartbeatInterval"), 33ms);  // ours: shorter
  EXPECT_FALSE(flags.boolean("raftHashicorp"));
  EXPECT_FALSE(flags.boolean("raftBootstrap"));
  EXPECT_TRUE(flags.boolean("resumeState"));
  EXPECT_EQ(flags.number("garbageThreshold"), 0.3);
  EXPECT_EQ(flags.string("whiteList"), "");
  EXPECT_FALSE(flags.boolean("volumePreallocate"));
  EXPECT_EQ(flags.integer("maxParallelVacuumPerServer"), 1);
  EXPECT_FALSE(flags.boolean("disableHttp"));
  EXPECT_EQ(flags.string("metrics.address"), "");
  EXPECT_EQ(flags.integer("metrics.intervalSeconds"), 15);
  EXPECT_EQ(flags.integer("metricsPort"), 0);
  EXPECT_EQ(flags.string("metricsIp"), "");
  EXPECT_TRUE(flags.boolean("telemetry"));
  EXPECT_EQ(flags.string("telemetry.url"), "https://telemetry.seaweedfs.com/api/collect");
  EXPECT_FALSE(flags.boolean("debug"));
  EXPECT_EQ(flags.integer("debug.port"), 6060);
  EXPECT_EQ(flags.string("cpuprofile"), "");
  EXPECT_EQ(flags.string("memprofile"), "");
}

TEST(Tables, TheVolumeServerHasAllItsFlagsWithUpstreamsDefaults) {
  FlagSet flags;
  declare_volume(flags);
  for (const auto& [name, value] : std::map<std::string, std::int64_t>{
           {"port", 8080}, {"port.grpc", 0}, {"port.public", 0}, {"fileSizeLimitMB", 256}, {"preStopSeconds", 10},
           {"idleTimeout", 30}, {"compactionMBps", 0}, {"maintenanceMBps", 0}, {"concurrentUploadLimitMB", 0},
           {"concurrentDownloadLimitMB", 0}, {"readBufferSizeMB", 4}, {"index.leveldbTimeout", 0}, {"metricsPort", 0},
           {"debug.port", 6060}}) {
    EXPECT_EQ(flags.integer(name), value) << name;
  }
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"ip", ""}, {"id", ""}, {"publicUrl", ""}, {"ip.bind", ""}, {"master", "localhost:9333"}, {"mserver", ""},
           {"dir", temporary_folder()}, {"max", "8"}, {"dataCenter", ""}, {"rack", ""}, {"index", "memory"},
           {"disk", ""}, {"tags", ""}, {"readMode", "proxy"}, {"minFreeSpace", ""}, {"minFreeSpacePercent", "1"},
           {"whiteList", ""}, {"dir.idx", ""}, {"metricsIp", ""}}) {
    EXPECT_EQ(flags.string(name), value) << name;
  }
  for (const auto& [name, value] : std::map<std::string, bool>{{"hasSlowRead", true},
                                                               {"images.fix.orientation", false},
                                                               {"volume.allowUntrustedRemoteEndpoints", false},
                                                               {"pprof", false},
                                                               {"debug", false}}) {
    EXPECT_EQ(flags.boolean(name), value) << name;
  }
  EXPECT_EQ(flags.duration("inflightUploadDataTimeout"), 60s);
  EXPECT_EQ(flags.duration("inflightDownloadDataTimeout"), 60s);
}

TEST(Tables, TheServerHasTheFlagsOfBothUnderTheirPrefixes) {
  FlagSet server;
  declare_server(server);
  for (const char* name :
       {"ip", "ip.bind", "dir", "dataCenter", "rack", "whiteList", "disableHttp", "idleTimeout", "metricsPort",
        "metricsIp", "iam.config", "debug", "debug.port", "cpuprofile", "memprofile", "master", "volume", "filer", "s3",
        "sftp", "iam", "webdav", "mq.broker", "mq.agent", "master.port", "master.port.grpc", "master.dir",
        "master.peers", "master.volumeSizeLimitMB", "master.volumePreallocate", "master.maxParallelVacuumPerServer",
        "master.defaultReplication", "master.garbageThreshold", "master.metrics.address",
        "master.metrics.intervalSeconds", "master.resumeState", "master.raftHashicorp", "master.raftBootstrap",
        "master.heartbeatInterval", "master.electionTimeout", "master.telemetry", "master.telemetry.url",
        "volume.port", "volume.port.grpc", "volume.port.public", "volume.id", "volume.index", "volume.disk",
        "volume.tags", "volume.max", "volume.minFreeSpace", "volume.minFreeSpacePercent",
        "volume.images.fix.orientation", "volume.readMode", "volume.compactionMBps", "volume.maintenanceMBps",
        "volume.fileSizeLimitMB", "volume.index.leveldbTimeout", "volume.concurrentUploadLimitMB",
        "volume.concurrentDownloadLimitMB", "volume.publicUrl", "volume.preStopSeconds", "volume.pprof",
        "volume.dir.idx", "volume.inflightUploadDataTimeout", "volume.inflightDownloadDataTimeout",
        "volume.hasSlowRead", "volume.readBufferSizeMB", "volume.allowUntrustedRemoteEndpoints", "filer.port",
        "filer.maxMB", "filer.tusSessionExpiry", "s3.port", "s3.port.iceberg", "webdav.port", "sftp.port", "iam.port",
        "mq.agent.port", "mq.broker.port", "options"}) {
    EXPECT_TRUE(server.is_declared(name)) << name;
  }
}

TEST(Commands, EachKnownNameIsThereOrToCome) {
  for (const char* name : {"master", "volume", "server", "upload", "download", "benchmark", "version",
                           "master.follower", "kv"}) {
    EXPECT_NE(find_command(name), nullptr) << name;
    EXPECT_FALSE(is_future_command(name)) << name;
  }
  EXPECT_TRUE(is_future_command("filer"));
  EXPECT_TRUE(is_future_command("mount"));
  EXPECT_FALSE(is_future_command("nosuch"));
}

}  // namespace
}  // namespace holdfast::cmd
