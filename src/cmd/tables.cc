#include "cmd/tables.h"

#include <algorithm>
#include <cstdlib>

namespace holdfast::cmd {
namespace {

using enum FlagType;
using enum Support;

constexpr std::string_view kNoFiler = "this build has no filer, S3 or other gateway yet; master and volume server start";
constexpr std::string_view kNoProfiles = "use perf or gdb on the process instead";

// What every command has.
constexpr Flag kOptions = {"options", string, "", "a `file` of flags, one name=value a line; it fills what was not given"};

constexpr Flag kGlobal[] = {
    {"v", decimal, "0", "how much is logged: 0 (events an operator cares for) to 4 (everything)"},
    {"vmodule", value, "", "the same for single source files: comma-separated pattern=N, as raft*=2,master_service=1"},
    {"logdir", string, "", "where log files go; empty: the temporary folder"},
    {"logtostderr", boolean, "false", "log to stderr and write no files"},
    {"alsologtostderr", boolean, "true", "log to stderr as well as to files"},
    {"stderrthreshold", value, "ERROR", "without -alsologtostderr, lines of this severity or worse still go to stderr"},
    {"log_max_size_mb", unsigned_integer, "1800", "a log file of this size is followed by a new one"},
    {"log_max_files", integer, "5", "log files kept for each severity"},
    {"log_rotate_hours", integer, "168", "a log file of this age is followed by a new one; 0: never"},
    {"log_json", boolean, "false", "each log line is a JSON object"},
    {"log_compress", boolean, "false", "gzip log files that are no longer written"},
    {"log_backtrace_at", value, "", "print the stack when the line file:N logs"},
    {"config_dir", string, "", "the first folder searched for security.toml, master.toml and volume.toml"},
    kOptions,
};

// Diagnostics that `master`, `volume` and `server` share.
constexpr Flag kDiagnostics[] = {
    {"accessLog", string, "", "append a line for each HTTP request and gRPC call to this `file`, begun anew at SIGHUP once it was moved away; empty: none"},
    {"debug", boolean, "false", "serve a look inside the process on -debug.port, to this machine only"},
    {"debug.port", integer, "6060", "port of -debug, at 127.0.0.1"},
    {"cpuprofile", string, "", "no effect: perf record takes profiles from outside", later, kNoProfiles},
    {"memprofile", string, "", "no effect: /debug/memory of -debug tells what memory is used for", later, kNoProfiles},
};

constexpr Flag kMetrics[] = {
    {"metricsPort", integer, "0", "port that serves Prometheus metrics at /metrics; 0: none besides the main port"},
    {"metricsIp", string, "", "address for -metricsPort to listen on; empty: as -ip.bind, else -ip"},
};

constexpr Flag kPlace[] = {
    {"ip", string, "", "host name or address that others reach this server by; empty: the first address of this "
                       "machine that is up and not loopback"},
    {"ip.bind", string, "", "address to listen on; empty: as -ip"},
};

// Of a master, in `server` under "master.".
constexpr Flag kMaster[] = {
    {"port", integer, "9333", "port for HTTP"},
    {"port.grpc", integer, "0", "port for gRPC; 0: the one for HTTP plus 10000"},
    {"peers", string, "", "all masters of the cluster, comma-separated host:port[.grpcport]; \"none\": this one alone. "
                          "A name with several addresses stands for as many masters. Needed for the first start only: "
                          "later the stored members rule"},
    {"volumeSizeLimitMB", unsigned_integer, "30720", "a volume of this size gets no more files; at most 30720"},
    {"volumePreallocate", boolean, "false", "volume servers reserve the disk space of a volume when they make it"},
    {"healAfter", duration, "5m0s", "a copy of a volume that has been gone for this long is made again on another server; 0s: never"},
    {"maxParallelVacuumPerServer", integer, "1", "volumes vacuumed at once on one volume server"},
    {"defaultReplication", string, "", "replication of files whose upload names none: xyz, further copies in other "
                                       "data centers, in other racks, on other servers; empty: 000"},
    {"garbageThreshold", number, "0.3", "vacuum volumes with this share of deleted bytes"},
    {"metrics.address", string, "", "no effect: scrape /metrics instead", later, "scrape /metrics instead"},
    {"metrics.intervalSeconds", integer, "15", "no effect, as -metrics.address", inert},
    {"electionTimeout", duration, "0s", "a leader not heard of for this long is replaced; 0: adapted to the network, near 100ms on a LAN"},
    {"heartbeatInterval", duration, "33ms", "how often the leader is heard of; at most a third of -electionTimeout"},
    {"leaderLease", string, "auto", "for this long after a heartbeat a leader answers reads of the masters' state without asking; "
                                    "auto: just under the silence timeout, 80ms; 0s: never"},
    {"readOnly", boolean, "false", "take part without a vote: answer reads, with their age in the header Holdfast-Staleness, and "
                                  "refuse what changes anything; -peers names the masters"},
    {"leaseReads", string, "auto", "on, off, or auto: on, but off on a virtual machine, whose clocks may be stopped with it, "
                                   "unless it has a /dev/vmclock0"},
    {"vip", string, "", "an address, as 192.0.2.10/24, that the leading master puts on -vip.interface while it leads"},
    {"vip.interface", string, "", "the network interface for -vip, as eth0"},
    {"onLeader", string, "", "a command for sh -c, run when this master begins to lead"},
    {"onFollower", string, "", "a command for sh -c, run when this master ceases to lead, and at its start"},
    {"guardian", boolean, "true", "a small process beside this one that tells the other masters at once when this one died or hangs"},
    {"witness", string, "auto", "auto: with an even number of masters a volume server votes as well, so that the loss of one stops "
                                "nothing; never: none does"},
    {"clusterSecretFile", string, "", "a `file` whose first line all masters of the cluster share: what they say to each other then "
                                      "carries an HMAC of it. Empty: cluster.secret of security.toml, else none"},
    {"raftHashicorp", boolean, "false", "no effect: there is one implementation of Raft here", inert},
    {"raftBootstrap", boolean, "false", "no effect: state is never deleted at start"},
    {"resumeState", boolean, "true", "no effect: state is never deleted at start"},
    {"telemetry", boolean, "true", "no effect: nothing is ever sent to anyone", inert},
    {"telemetry.url", string, "https://telemetry.seaweedfs.com/api/collect", "no effect, as -telemetry", inert},
};

// Of a volume server, in `server` under "volume.".
constexpr Flag kVolume[] = {
    {"port", integer, "8080", "port for HTTP"},
    {"port.grpc", integer, "0", "port for gRPC; 0: the one for HTTP plus 10000"},
    {"port.public", integer, "0", "a further port that only serves reads; 0: none"},
    {"id", string, "", "name of this server that stays when its address changes; empty: ip:port"},
    {"publicUrl", string, "", "address that lookups give to clients; empty: -ip with -port.public, or with -port when that is 0"},
    {"max", string, "8", "volumes in each folder of -dir, comma-separated or one for all; 0: as many as fit"},
    {"index", string, "memory", "where the index of a volume is kept: memory, which takes about 12 bytes for each file; or on "
                                "disk, with 32 MiB (leveldb), 64 MiB (leveldbMedium, rocksdb) or 128 MiB (leveldbLarge) of "
                                "cache for all volumes together"},
    {"disk", string, "", "kind of disk of each folder of -dir, comma-separated or one for all: hdd, ssd or any tag"},
    {"tags", string, "", "tags of each folder of -dir, as a:b,c"},
    {"readMode", string, "proxy", "a read of a volume that is elsewhere is answered with 404 (local), fetched (proxy) "
                                  "or sent there (redirect)"},
    {"minFreeSpace", string, "", "volumes of a folder are read-only below this much free space: a percentage, or a "
                                 "size as 10GiB; comma-separated or one for all"},
    {"minFreeSpacePercent", string, "1", "the same as a percentage, under its old name"},
    {"witness", string, "auto", "auto: votes beside an even number of masters when they choose it; never: does not"},
    {"clusterSecretFile", string, "", "the masters' `file` with the cluster secret, so that this server can be their witness; in `server` "
                                      "that of -master.clusterSecretFile unless given. Empty: cluster.secret of security.toml, else none"},
    {"fileSizeLimitMB", integer, "256", "the largest file taken"},
    {"preStopSeconds", integer, "10", "seconds between the last report to the masters and the stop"},
    {"compactionMBps", integer, "0", "bound for vacuum and copies; 0: none"},
    {"maintenanceMBps", integer, "0", "MiB a second that a copy of a volume or a scrub moves, unless its order says otherwise; 0: no bound"},
    {"concurrentUploadLimitMB", integer, "0", "MiB of uploads under way; those beyond it wait for room; 0: no limit"},
    {"concurrentDownloadLimitMB", integer, "0", "MiB of large files on their way out; reads beyond it wait for room; 0: no limit"},
    {"inflightUploadDataTimeout", duration, "60s", "how long an upload waits for -concurrentUploadLimitMB before it is refused with 429"},
    {"inflightDownloadDataTimeout", duration, "60s", "how long a download waits for -concurrentDownloadLimitMB before it is refused with 429"},
    {"hasSlowRead", boolean, "true", "no effect: a slow read never holds up others here", inert},
    {"readBufferSizeMB", integer, "4", "no effect: large files are read piece by piece", inert},
    {"dir.idx", string, "", "folder for .idx files; empty: beside the data"},
    {"index.leveldbTimeout", integer, "0", "no effect: an index on disk takes no memory while it is idle", inert},
    {"images.fix.orientation", boolean, "false", "turn JPEG images upright when they are stored"},
    {"pprof", boolean, "false", "no effect: perf record takes profiles from outside", later, kNoProfiles},
    {"metalogger", string, "", "a `folder`: keep copies of the masters' state there too, as `metalogger -dir` does"},
    {"fsync", boolean, "false", "a file is on disk before its upload is acknowledged; else it is in the page cache, "
                                "which outlives the process but no loss of power"},
};
constexpr Flag kUntrusted = {"volume.allowUntrustedRemoteEndpoints", boolean, "false",
                             "no effect: where a store is comes from the masters' master.toml alone", inert};

// What `server` accepts for the parts it does not have yet.
constexpr Flag kGateways[] = {
    {"filer", boolean, "false", "no effect yet: start a filer", later, kNoFiler},
    {"s3", boolean, "false", "no effect yet: start an S3 gateway", later, kNoFiler},
    {"sftp", boolean, "false", "no effect yet: start an SFTP gateway", later, kNoFiler},
    {"iam", boolean, "false", "no effect yet: start an IAM service", later, kNoFiler},
    {"webdav", boolean, "false", "no effect yet: start a WebDAV gateway", later, kNoFiler},
    {"mq.broker", boolean, "false", "no effect yet: start a message broker", later, kNoFiler},
    {"mq.agent", boolean, "false", "no effect yet: start a message agent", later, kNoFiler},
    {"filer.port", integer, "8888", "", inert},
    {"filer.port.grpc", integer, "0", "", inert},
    {"filer.port.public", integer, "0", "", inert},
    {"filer.filerGroup", string, "", "", inert},
    {"filer.collection", string, "", "", inert},
    {"filer.defaultReplicaPlacement", string, "", "", inert},
    {"filer.disableDirListing", boolean, "false", "", inert},
    {"filer.maxMB", integer, "4", "", inert},
    {"filer.dirListLimit", integer, "1000", "", inert},
    {"filer.encryptVolumeData", boolean, "false", "", inert},
    {"filer.saveToFilerLimit", integer, "0", "", inert},
    {"filer.concurrentUploadLimitMB", integer, "0", "", inert},
    {"filer.concurrentFileUploadLimit", integer, "0", "", inert},
    {"filer.localSocket", string, "", "", inert},
    {"filer.ui.deleteDir", boolean, "true", "", inert},
    {"filer.downloadMaxMBps", integer, "0", "", inert},
    {"filer.disk", string, "", "", inert},
    {"filer.allowedOrigins", string, "*", "", inert},
    {"filer.exposeDirectoryData", boolean, "true", "", inert},
    {"filer.tusBasePath", string, "/.tus", "", inert},
    {"filer.tusMaxSizeMB", integer, "5120", "", inert},
    {"filer.tusSessionExpiry", duration, "24h", "", inert},
    {"iam.port", integer, "8111", "", inert},
    {"iam.config", string, "", "", inert},
    {"mq.agent.port", integer, "16777", "", inert},
    {"mq.agent.brokers", string, "localhost:17777", "", inert},
    {"mq.broker.port", integer, "17777", "", inert},
    {"mq.broker.logFlushInterval", integer, "5", "", inert},
    {"webdav.port", integer, "7333", "", inert},
    {"webdav.filer.path", string, "/", "", inert},
    {"webdav.collection", string, "", "", inert},
    {"webdav.disk", string, "", "", inert},
    {"webdav.replication", string, "", "", inert},
    {"webdav.cacheDir", string, "", "", inert},
    {"webdav.cacheCapacityMB", integer, "0", "", inert},
    {"webdav.cert.file", string, "", "", inert},
    {"webdav.key.file", string, "", "", inert},
    {"webdav.maxMB", integer, "4", "", inert},
    {"sftp.port", integer, "2022", "", inert},
    {"sftp.authMethods", string, "", "", inert},
    {"sftp.bannerMessage", string, "", "", inert},
    {"sftp.clientAliveCountMax", integer, "0", "", inert},
    {"sftp.clientAliveInterval", duration, "0s", "", inert},
    {"sftp.hostKeysFolder", string, "", "", inert},
    {"sftp.localSocket", string, "", "", inert},
    {"sftp.loginGraceTime", duration, "0s", "", inert},
    {"sftp.maxAuthTries", integer, "0", "", inert},
    {"sftp.sshPrivateKey", string, "", "", inert},
    {"sftp.trustedUserCAKeysFile", string, "", "", inert},
    {"sftp.userStoreFile", string, "", "", inert},
    {"s3.port", integer, "8333", "", inert},
    {"s3.port.grpc", integer, "0", "", inert},
    {"s3.port.https", integer, "0", "", inert},
    {"s3.port.iceberg", integer, "8181", "", inert},
    {"s3.port.lance", integer, "9101", "", inert},
    {"s3.config", string, "", "", inert},
    {"s3.domainName", string, "", "", inert},
    {"s3.allowDeleteBucketNotEmpty", boolean, "true", "", inert},
    {"s3.allowEmptyFolder", boolean, "true", "", inert},
    {"s3.autoCreateBucket", boolean, "true", "", inert},
    {"s3.iam", boolean, "true", "", inert},
    {"s3.iam.readOnly", boolean, "true", "", inert},
    {"s3.allowedOrigins", string, "*", "", inert},
    {"s3.idleTimeout", integer, "120", "", inert},
    {"s3.iceberg.credentialDurationSeconds", integer, "3600", "", inert},
    {"s3.auditLogConfig", string, "", "", inert},
    {"s3.cacert.file", string, "", "", inert},
    {"s3.cert.file", string, "", "", inert},
    {"s3.key.file", string, "", "", inert},
    {"s3.cacheCapacityMB", integer, "0", "", inert},
    {"s3.concurrentFileUploadLimit", integer, "0", "", inert},
    {"s3.concurrentUploadLimitMB", integer, "0", "", inert},
    {"s3.defaultFileMode", string, "", "", inert},
    {"s3.encryptVolumeData", boolean, "false", "", inert},
    {"s3.externalUrl", string, "", "", inert},
    {"s3.iam.config", string, "", "", inert},
    {"s3.iceberg.credentialRole", string, "", "", inert},
    {"s3.ip.bind", string, "", "", inert},
    {"s3.localSocket", string, "", "", inert},
    {"s3.tlsVerifyClientCert", boolean, "false", "", inert},
};

constexpr Flag kWhiteList = {"whiteList", string, "", "comma-separated addresses and networks (CIDR) that may use "
                                                      "this server; empty: all"};
constexpr Flag kDisableHttp = {"disableHttp", boolean, "false", "serve no HTTP besides pages, status and health"};
constexpr Flag kDataCenter = {"dataCenter", string, "", "data center this volume server stands in"};
constexpr Flag kRack = {"rack", string, "", "rack this volume server stands in"};
constexpr Flag kIdleTimeout = {"idleTimeout", integer, "30", "seconds after which an idle connection is closed"};

constexpr Flag kRecover[] = {
    {"mdir", string, "", "the `folder` that the master was started with; of server its -master.dir, or the first of -dir"},
    {"port", integer, "9333", "the port of the master: its own folder is m<port> below -mdir"},
    {"yes", boolean, "false", "do not ask"},
    {"clusterSecretFile", string, "", "as the master is started with: the others are asked whether they are alive"},
    kOptions,
};

constexpr Flag kMasters = {"master", string, "localhost:9333", "masters, comma-separated host:port[.grpcport]; any surviving one "
                                                             "is enough. A name with several addresses stands for as many masters"};

constexpr Flag kBackup[] = {
    kMasters,
    {"output", string, "metadata.mfs.back", "the `file` for the copy; it takes the place of the one before when it is whole"},
    {"keep", integer, "0", "copies of before that are kept, as <output>.1, .2 and so on"},
    {"timeout", duration, "30s", "how long to go on asking, from master to master"},
    kOptions,
};

constexpr Flag kMetalogger[] = {
    kMasters,
    {"dir", string, "", "the `folder` for the copies; made when missing"},
    {"backLogs", integer, "50", "change logs that are kept; one begins each hour"},
    {"backMetaKeepPrevious", integer, "3", "older images that are kept"},
    {"metaDownloadFreq", duration, "24h", "time between two downloads of the whole state"},
    {"metricsPort", integer, "0", "port that serves Prometheus metrics at /metrics; 0: none"},
    {"metricsIp", string, "", "address for -metricsPort to listen on; empty: all"},
    kOptions,
};

constexpr Flag kMetarestore[] = {
    {"a", boolean, "false", "restore from all that is in a folder: the newest whole image and every change log"},
    {"d", string, "/var/lib/mfs", "with -a: the `folder`, of a metalogger or of what was copied from one"},
    {"m", string, "", "the `image` to begin with; the change logs are the arguments, in any order"},
    {"o", string, "", "the `file` to write; with -a, empty: metadata.mfs in the folder"},
    {"verify", boolean, "false", "write nothing, only say how far the files go and what is missing"},
    {"dump", boolean, "false", "write nothing but JSON lines with what is in the image and in each entry"},
    {"b", boolean, "false", "where entries are missing, take the state before the first that is"},
    {"i", boolean, "false", "the same"},
    {"x", boolean, "false", "accepted: everything that is found is told anyway", inert},
    {"xx", boolean, "false", "the same", inert},
    kOptions,
};

constexpr Flag kShell[] = {
    {"master", string, "", "masters, comma-separated host:port; any one is enough. Empty: as shell.toml says, else "
                           "localhost:9333"},
    {"cluster", string, "", "the cluster of shell.toml whose cluster.<name>.master is meant; empty: cluster.default"},
    {"prompt", string, "", "for programs that give the lines: a `text` that is printed, as a line, whenever the next line is "
                           "waited for; signals end nothing then, the end of the input does"},
    {"filer", string, "", "no effect yet: a filer", later, kNoFiler},
    {"filerGroup", string, "", "no effect yet: the group of filers", later, kNoFiler},
    {"debug", boolean, "false", "no effect", inert},
    kOptions,
};

constexpr Flag kUpload[] = {
    {"master", string, "localhost:9333", "masters, comma-separated host:port; any one is enough"},
    {"dir", string, "", "upload all files below this folder instead of the ones named"},
    {"include", string, "", "with -dir, only files whose name matches this pattern, as *.pdf"},
    {"replication", string, "", "replication xyz of the files; empty: as the master has it"},
    {"collection", string, "", "collection of the files"},
    {"dataCenter", string, "", "data center for the first copy"},
    {"disk", string, "", "kind of disk: hdd, ssd or any tag"},
    {"ttl", string, "", "time the files live, as 3m, 4h, 5d, 6w, 7M, 8y; empty: for ever"},
    {"maxMB", integer, "4", "larger files are cut into chunks of this size; 0: never"},
    {"usePublicUrl", boolean, "false", "upload to the public address of the volume server"},
    {"debug", boolean, "false", "print more on the way"},
    kOptions,
};

constexpr Flag kDownload[] = {
    {"master", string, "localhost:9333", "masters, comma-separated host:port; any one is enough"},
    {"server", string, "", "the same under its old name; wins when given"},
    {"dir", string, ".", "folder for the files"},
    kOptions,
};

constexpr Flag kBenchmark[] = {
    {"master", string, "localhost:9333", "masters, comma-separated host:port; any one is enough"},
    {"c", integer, "16", "requests under way at once"},
    {"size", integer, "1024", "bytes of each file, plus 0 to 63"},
    {"n", integer, "1048576", "files to write, and reads"},
    {"deletePercent", integer, "0", "of the files written, how many in a hundred are deleted again"},
    {"readOnly", boolean, "false", "only read the files of an earlier run"},
    {"writeOnly", boolean, "false", "only write"},
    {"readSequentially", boolean, "false", "read in the order of the list instead of at random"},
    {"collection", string, "benchmark", "collection of the files"},
    {"replication", string, "000", "replication of the files"},
    {"disk", string, "", "kind of disk: hdd, ssd or any tag"},
    {"fsync", boolean, "false", "each write is on disk before it is acknowledged"},
    {"histogram", string, "", "write the latencies to this `file`, one bucket a line"},
    {"cpuprofile", string, "", "no effect: perf record takes profiles from outside", later, kNoProfiles},
    {"maxCpu", integer, "0", "threads to use; 0: one for each processor"},
    {"debug", boolean, "false", "print more on the way"},
    kOptions,
};

constexpr Flag kScaffold[] = {
    {"config", string, "mfsmaster", "which sample: master (master.toml), mfsmaster, mfschunkserver, mfsmetalogger or mfshdd"},
    {"output", string, "", "folder to write <config>.cfg or <config>.toml to; empty: print it"},
    kOptions,
};

constexpr Flag kKv[] = {
    {"master", string, "localhost:9333", "masters, comma-separated host:port; any surviving one is enough"},
    {"timeout", duration, "30s", "how long to go on asking, from master to master"},
};
constexpr Flag kKvJson = {"json", boolean, "false", "print what the master answers, as JSON"};
constexpr Flag kKvStale = {"stale", boolean, "false", "what the asked master knows, without asking the leader; it may be old"};
constexpr Flag kKvCas = {"cas", string, "", "only if the last change of the key is this `revision`; 0: only if there is none"};
constexpr Flag kKvTtl = {"ttl", string, "", "the key goes after this time unless it is put again or renewed: 500ms, 10s, 5m, 24h"};
constexpr Flag kKvId = {"requestId", string, "", "a name of this change, up to 64 bytes: the same again counts once; empty: one is made"};

Flag folder_flag(std::string_view name, std::string_view help) {
  return {name, string, temporary_folder(), help};
}

}  // namespace

const std::string& temporary_folder() {
  static const std::string folder = [] {
    const char* given = std::getenv("TMPDIR");
    return std::string(given != nullptr && *given != '\0' ? given : "/tmp");
  }();
  return folder;
}

void declare_global(FlagSet& flags) { flags.add(kGlobal); }

void declare_master(FlagSet& flags) {
  flags.add(kMaster);
  flags.add(kPlace);
  flags.add(folder_flag("mdir", "folder for what this master must not forget; made when its last part is missing"));
  flags.add(kWhiteList);
  flags.add(kDisableHttp);
  flags.add(kMetrics);
  flags.add(kDiagnostics);
  flags.add(kOptions);
}

void declare_master_follower(FlagSet& flags) {
  flags.add({"port", integer, "9334", "port for HTTP"});
  flags.add({"port.grpc", integer, "0", "port for gRPC; 0: the one for HTTP plus 10000"});
  flags.add(kPlace);
  flags.add({"master", string, "localhost:9333", "masters to follow, comma-separated host:port; a name with several addresses "
                                                 "stands for as many"});
  flags.add({"masters", string, "", "the same under its old name; wins when given"});
  flags.add(kWhiteList);
  flags.add(kMetrics);
  flags.add(kOptions);
}

void declare_volume(FlagSet& flags) {
  flags.add(kVolume);
  flags.add(kUntrusted);
  flags.add(kPlace);
  flags.add({"master", string, "localhost:9333", "masters, comma-separated host:port; one that answers is enough: the "
                                                 "others are learned and remembered. A name with several addresses "
                                                 "stands for as many masters"});
  flags.add({"mserver", string, "", "the same under its old name; wins when given"});
  flags.add(folder_flag("dir", "folders for the files, comma-separated"));
  flags.add(kDataCenter);
  flags.add(kRack);
  flags.add(kWhiteList);
  flags.add(kIdleTimeout);
  flags.add(kMetrics);
  flags.add(kDiagnostics);
  flags.add(kOptions);
}

void declare_server(FlagSet& flags) {
  flags.add({"master", boolean, "true", "start a master"});
  flags.add({"volume", boolean, "true", "start a volume server"});
  flags.add(kMaster, "master.");
  flags.add({"master.dir", string, "", "folder of the master; empty: the first of -dir"});
  flags.add({"master.ip", string, "", "as -ip, for the master; without -ip for both"});
  flags.add(kVolume, "volume.");
  flags.add(kUntrusted);
  flags.add(kPlace);
  flags.add(folder_flag("dir", "folders for the files, comma-separated; one whose last part is missing is made"));
  flags.add(kDataCenter);
  flags.add(kRack);
  flags.add(kWhiteList);
  flags.add(kDisableHttp);
  flags.add(kIdleTimeout);
  flags.add(kMetrics);
  flags.add(kDiagnostics);
  for (Flag flag : kGateways) {
    if (flag.help.empty()) flag.help = "for a part of upstream's server that this build does not have yet";
    flags.add(flag);
  }
  flags.add(kOptions);
}

void declare_recover(FlagSet& flags) { flags.add(kRecover); }
void declare_backup(FlagSet& flags) { flags.add(kBackup); }
void declare_metalogger(FlagSet& flags) { flags.add(kMetalogger); }
void declare_metarestore(FlagSet& flags) { flags.add(kMetarestore); }
void declare_shell(FlagSet& flags) { flags.add(kShell); }
void declare_upload(FlagSet& flags) { flags.add(kUpload); }
void declare_download(FlagSet& flags) { flags.add(kDownload); }

void declare_scaffold(FlagSet& flags) { flags.add(kScaffold); }

void declare_lease(FlagSet& flags) {
  flags.add({"master", string, "localhost:9333", "masters, comma-separated host:port; one that answers is enough"});
  flags.add({"timeout", duration, "5s", "how long to wait for each of them"});
  flags.add({"history", boolean, "false", "what happened to the lease: grants, hand-overs, losses, expiries, conflicts; oldest first"});
  flags.add({"mdir", string, "", "with -history: read lease.log in this `folder`, of a master that may be stopped; empty: ask "
                                 "-master, which knows the last 200 of what it saw since the machine was booted"});
  flags.add({"n", unsigned_integer, "50", "with -history: only the last ones; 0: all"});
  flags.add({"json", boolean, "false", "print JSON; with -history a line for each event, as lease.log has it"});
  flags.add(kOptions);
}

void declare_completion(FlagSet& flags) { flags.add(kOptions); }

void declare_man(FlagSet& flags) {
  flags.add({"output", string, "", "the `folder` to write every page to, as holdfast.1 and so on; empty: print the one that is named"});
  flags.add(kOptions);
}

void declare_testca(FlagSet& flags) {
  flags.add({"dir", string, "", "the `folder` for the files; made when its last part is missing"});
  flags.add({"parts", string, "master,volume,filer,s3,client", "who gets a certificate and a key, comma-separated"});
  flags.add({"hosts", string, "", "names and addresses that the certificates are good for, comma-separated; empty: localhost and this machine's name"});
  flags.add({"days", unsigned_integer, "30", "how long they are valid"});
  flags.add(kOptions);
}

void declare_kv(FlagSet& flags) {
  flags.add(kKv);
  flags.add(kOptions);
}

std::span<const std::string_view> kv_actions() {
  static constexpr std::string_view kNames[] = {"get", "put", "delete", "renew", "list", "watch"};
  return kNames;
}

bool declare_kv_action(std::string_view action, FlagSet& flags) {
  flags.add(kKv);
  flags.add(kKvJson);
  if (action == "get") {
    flags.add(kKvStale);
  } else if (action == "put") {
    flags.add(kKvCas);
    flags.add(kKvTtl);
    flags.add(kKvId);
    flags.add({"file", string, "", "the value is what this `file` holds"});
  } else if (action == "delete") {
    flags.add(kKvCas);
    flags.add(kKvId);
  } else if (action == "renew") {
    flags.add(kKvCas);
    flags.add(kKvTtl);
    flags.add(kKvId);
  } else if (action == "list") {
    flags.add(kKvStale);
    flags.add({"prefix", string, "", "only keys that begin so"});
    flags.add({"after", string, "", "only keys behind this one"});
    flags.add({"limit", unsigned_integer, "0", "at most so many keys; 0: all"});
    flags.add({"long", boolean, "false", "revision, time to live and bytes before each key"});
  } else if (action == "watch") {
    flags.add({"prefix", boolean, "false", "all keys that begin with the text given, instead of that key"});
    flags.add({"since", string, "", "changes after this `revision`; empty: from now on"});
    flags.add({"count", unsigned_integer, "0", "end after so many changes; 0: never"});
  } else {
    return false;
  }
  return true;
}

void declare_benchmark(FlagSet& flags) {
  flags.add(kBenchmark);
  static const std::string list = temporary_folder() + "/benchmark_list.txt";
  flags.add({"list", string, list, "file that keeps the ids of the files written"});
}

}  // namespace holdfast::cmd
