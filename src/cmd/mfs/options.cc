#include "cmd/mfs/options.h"

#include <algorithm>

namespace holdfast::mfs {
namespace {

using enum Kind;
using enum Effect;

constexpr double kPortMax = 65535;
constexpr double kHour = 3600;
constexpr double kDay = 24 * kHour;

// Why an option that is accepted changes nothing here.
constexpr std::string_view kNoTree = "this release has no file tree yet";
constexpr std::string_view kSaveTimes = "images are written at the start and every METADATA_SAVE_FREQ from then on";
constexpr std::string_view kNoChangeLogs = "a master keeps its changes in its own log; change logs as plain files are what a metalogger keeps";
constexpr std::string_view kRecentChanges = "what is behind the newest snapshot is kept, and some more; a metalogger that is later takes an image";
constexpr std::string_view kNoChunks = "volumes take the place of chunks here, and copies are placed by the master's rules for volumes";
constexpr std::string_view kNoRemap = "addresses are not rewritten: give each server the address that others reach it by, with the LISTEN_HOST options";
constexpr std::string_view kOwnTimers = "how long a peer may be silent follows the network by itself";
constexpr std::string_view kOwnRedial = "lost connections are dialled again after 20 ms to 1 s";
constexpr std::string_view kNoAuth = "chunkservers are not asked for a secret yet: keep strangers off the ports";
constexpr std::string_view kNoSource = "connections leave from the address that the system chooses";
constexpr std::string_view kOtherEdition = "members of the cluster agree among themselves (HA_ENABLED)";
constexpr std::string_view kNoDiskTests = "volumes are checked when they are loaded and read, not in the background";

// What every daemon has at start; identities and priorities differ.
#define HOLDFAST_MFS_STARTUP(ident, nice)                                                                              \
  {"WORKING_USER", text, "mfs", "user the daemon runs as; #1000 is a number; only root can switch", at_start},         \
  {"WORKING_GROUP", text, "", "group the daemon runs as; empty: the first group of WORKING_USER", at_start},           \
  {"SYSLOG_IDENT", text, ident, "name of the daemon's lines in the system's log", at_start},                           \
  {"SYSLOG_MIN_LEVEL", level, "INFO", "lines below this level are not logged", on_reload},                             \
  {"SYSLOG_ELEVATE_TO", level, "NOTICE", "lines below this level are logged to syslog as if they had it", on_reload},  \
  {"LOCK_MEMORY", truth, "0", "1: keep the daemon's memory from being swapped out", at_start, {}, 0, 1},               \
  {"LIMIT_GLIBC_MALLOC_ARENAS", integer, "2", "heaps that threads of the daemon share; 0: as many as the C library "   \
   "wants", at_start, {}, 0, 1024},                                                                                    \
  {"DISABLE_OOM_KILLER", truth, "1", "1: ask the kernel to spare the daemon when memory is short", at_start, {}, 0, 1},\
  {"NICE_LEVEL", integer, nice, "priority of the daemon, -20 (first) to 19", at_start, {}, -20, 19},                   \
  {"FILE_UMASK", octal, "027", "permissions that files of the daemon do not get", at_start, {}, 0, 0777},              \
  {"DATA_PATH", text, "/var/lib/mfs", "folder of what the daemon must not forget, and of its lock file", at_start}

constexpr Option kMaster[] = {
    HOLDFAST_MFS_STARTUP("mfsmaster", "-19"),

    {"HA_ENABLED", truth, "0", "1: the masters behind MASTER_HOST form a cluster, and any may die; 0: a cluster of one, "
     "which others can join later", at_start, {}, 0, 1},
    {"MASTER_HOST", text, "mfsmaster", "with HA_ENABLED: the name whose address records are all masters; also names or "
     "addresses, comma-separated", at_start},
    {"MASTER_PORT", integer, "9420", "port where masters find each other and chunkservers come to; with HA_ENABLED the "
     "same one on all masters", at_start, {}, 1, kPortMax},
    {"LEADER_LEASE_DURATION", seconds, "2", "how long a leader may answer reads by itself after a majority was last heard",
     at_start, {}, 1, 10},
    {"CLUSTER_SECRET_FILE", text, "", "file whose first line all masters of the cluster share: what they say to each other carries an "
     "HMAC of it; empty: none", at_start},
    {"DNS_REFRESH_TIME", seconds, "5", "how often MASTER_HOST is resolved again; when that fails the last answer stays",
     at_start, {}, 1, kDay},

    {"MATOML_LISTEN_HOST", text, "*", "address to listen on for metaloggers; *: all", at_start},
    {"MATOML_LISTEN_PORT", integer, "9419", "port for metaloggers", at_start, {}, 0, kPortMax},
    {"MATOCS_LISTEN_HOST", text, "*", "address to listen on for masters and chunkservers; *: all. One particular "
     "address is also the one that others are told", at_start},
    {"MATOCS_LISTEN_PORT", integer, "9420", "port for chunkservers; MASTER_PORT serves them too, so this is needed only "
     "where both differ", at_start, {}, 0, kPortMax},
    {"MATOCL_LISTEN_HOST", text, "*", "address to listen on for clients (HTTP); *: all", at_start},
    {"MATOCL_LISTEN_PORT", integer, "9421", "port for clients: the HTTP API", at_start, {}, 1, kPortMax},
    {"GUISERV_LISTEN_HOST", text, "*", "address to listen on for browsers; *: all", at_start},
    {"GUISERV_LISTEN_PORT", integer, "9425", "port for browsers: the page of the masters; 0: none besides "
     "MATOCL_LISTEN_PORT", at_start, {}, 0, kPortMax},

    {"METADATA_SAVE_FREQ", hours, "1", "hours between two images of the state, metadata.mfs.back in DATA_PATH; the first is "
     "written at the start", at_start, {}, kHour, 500 * kHour},
    {"BACK_META_KEEP_PREVIOUS", integer, "1", "older images that are kept", at_start, {}, 0, 99},

    {"INSTANCE_NAME", text, "", "name of the cluster for people", none, "the page shows the cluster's own id"},
    {"EXPORTS_FILENAME", text, "/etc/mfs/mfsexports.cfg", "file of who may mount what", none, kNoTree},
    {"TOPOLOGY_FILENAME", text, "/etc/mfs/mfstopology.cfg", "file of racks", none, "give chunkservers their rack with RACK in "
     "mfschunkserver.cfg"},
    {"MULTILAN_IPMAP_FILENAME", text, "/etc/mfs/mfsipmap.cfg", "file of addresses to rewrite", none, kNoRemap},
    {"METADATA_SAVE_OFFSET", offset, "0", "time of day of the images", none, kSaveTimes},
    {"BACK_LOGS", integer, "50", "change logs that are kept", none, kNoChangeLogs, 0, 1000},
    {"CHANGELOG_PRESERVE_SECONDS", seconds, "5000", "time of changes kept in memory for metaloggers", none, kRecentChanges, 0, 100000},
    {"CHANGELOG_PRESERVE_MB", integer, "500", "changes kept in memory for metaloggers", none, kRecentChanges, 100, 10000},
    {"CHANGELOG_SAVE_MODE", integer, "0", "how change logs are written", none, "every change is on disk at a majority before it is acknowledged", 0, 2},
    {"MISSING_LOG_CAPACITY", integer, "100000", "chunks in the log of missing ones", none, kNoChunks, 0, 4294967295.0},
    {"MATOML_TIMEOUT", seconds, "10", "silence after which a metalogger is dropped", none, kOwnTimers, 10, 65535},
    {"MATOML_FORCE_TIMEOUT", seconds, "0", "the same, told to metaloggers; 0: not", none, kOwnTimers, 0, 65535},
    {"MATOCS_TIMEOUT", seconds, "10", "silence after which a chunkserver is dropped", none, kOwnTimers, 10, 65535},
    {"MATOCS_FORCE_TIMEOUT", seconds, "0", "the same, told to chunkservers; 0: not", none, kOwnTimers, 0, 65535},
    {"MATOCL_TIMEOUT", seconds, "10", "silence after which a client is dropped", none, kOwnTimers, 10, 65535},
    {"MATOCL_FORCE_TIMEOUT", seconds, "0", "the same, told to clients; 0: not", none, kOwnTimers, 0, 65535},
    {"AUTH_CODE", text, "", "secret that chunkservers must know", none, kNoAuth},
    {"REMAP_BITS", integer, "0", "network bits of rewritten addresses", none, kNoRemap, 0, 32},
    {"REMAP_SOURCE_IP_CLASS", text, "", "network whose clients see other addresses", none, kNoRemap},
    {"REMAP_DESTINATION_IP_CLASS", text, "", "network that they see", none, kNoRemap},
    {"MULTILAN_BITS", integer, "0", "network bits of parallel networks", none, kNoRemap, 0, 32},
    {"MULTILAN_CLASSES", text, "", "parallel networks", none, kNoRemap},
    {"REPLICATIONS_DELAY_INIT", seconds, "60", "pause after a start before chunks are copied", none, kNoChunks},
    {"REPLICATIONS_RESPECT_TOPOLOGY", integer, "0", "copy within racks", none, kNoChunks, 0, 2},
    {"CREATIONS_RESPECT_TOPOLOGY", integer, "0", "create near the client", none, kNoChunks, 0, 255},
    {"CHUNKS_UNIQUE_MODE", integer, "0", "keep copies on different addresses or racks", none, kNoChunks, 0, 2},
    {"CHUNKS_LOOP_MAX_CPS", integer, "100000", "chunks looked at in a second", none, kNoChunks},
    {"CHUNKS_LOOP_MIN_TIME", seconds, "300", "least time of a look at all chunks", none, kNoChunks},
    {"CHUNKS_SOFT_DEL_LIMIT", integer, "10", "deletions at once on a chunkserver", none, kNoChunks},
    {"CHUNKS_HARD_DEL_LIMIT", integer, "25", "the same when very many wait", none, kNoChunks},
    {"CHUNKS_WRITE_REP_LIMIT", text, "2,1,1,4,4", "copies at once to a chunkserver", none, kNoChunks},
    {"CHUNKS_READ_REP_LIMIT", text, "10,5,2,5,10", "copies at once from a chunkserver", none, kNoChunks},
    {"CS_HEAVY_LOAD_THRESHOLD", integer, "150", "operations that are heavy load", none, kNoChunks},
    {"CS_HEAVY_LOAD_RATIO_THRESHOLD", number, "3.0", "times the average that are heavy load", none, kNoChunks},
    {"CS_HEAVY_LOAD_GRACE_PERIOD", seconds, "900", "pause of a chunkserver after heavy load", none, kNoChunks},
    {"ACCEPTABLE_PERCENTAGE_DIFFERENCE", number, "1.0", "difference of use that is not balanced", none, kNoChunks},
    {"ACCEPTABLE_DIFFERENCE", number, "1.0", "the same under its old name", none, kNoChunks},
    {"PRIORITY_QUEUES_LENGTH", integer, "1000000", "chunks in a queue of endangered ones", none, kNoChunks},
    {"CS_MAINTENANCE_MODE_TIMEOUT", seconds, "0", "end of maintenance mode; 0: never", none, kNoChunks},
    {"CS_TEMP_MAINTENANCE_MODE_TIMEOUT", seconds, "30m", "end of temporary maintenance mode", none, kNoChunks},
    {"CS_DAYS_TO_REMOVE_UNUSED", integer, "7", "days after which an absent chunkserver is forgotten", none, kNoChunks},
    {"RESTRICT_INCOMPATIBLE_CLIENT_VERSIONS", truth, "1", "keep old clients from what they do not know", none, kNoTree, 0, 1},
    {"SESSION_SUSTAIN_TIME", seconds, "1d", "time a client's session outlives its connection", none, kNoTree},
    {"QUOTA_DEFAULT_GRACE_PERIOD", seconds, "1w", "time a soft quota may be exceeded", none, kNoTree},
    {"ATIME_MODE", integer, "2", "when access times change", none, kNoTree, 0, 4},
    {"KEEP_EMPTY_FILES_IN_TRASH", truth, "0", "keep empty files in the trash", none, kNoTree, 0, 1},
    {"RESERVE_SPACE", room, "0", "space kept free", none, "chunkservers keep space free by HDD_LEAVE_SPACE_DEFAULT"},
    {"MAX_ALLOWED_HARD_LINKS", integer, "32767", "links to one file", none, kNoTree, 8, 65000},
    {"INODE_REUSE_DELAY", seconds, "1d", "time before an inode is used again", none, kNoTree, 300, 3000000},
    {"DEFAULT_EC_DATA_PARTS", integer, "8", "data parts of erasure codes, 4 or 8", none, kNoTree, 4, 8},
    {"LICENCE_FILENAME", text, "", "file of a licence", none, "there is nothing to license"},
    {"METADATA_DOWNLOAD_FREQ", hours, "0", "hours between two downloads by followers", none, kOtherEdition},
    {"METADATA_CRCCHECK_FREQ", hours, "24", "hours between two comparisons of followers", none, kOtherEdition},
    {"METADATA_DOWNLOAD_LIMIT", size, "50MiB", "bytes a second of such downloads", none, kOtherEdition},
    {"DEPUTY_ELECTION_TIME", seconds, "0", "time after which a master without a majority serves reads", none, kOtherEdition},
    {"KEEP_LEADERSHIP", truth, "0", "this master is preferred as the leader", none, kOtherEdition, 0, 1},
    {"CONFIGURATION_TEST_PERIOD", hours, "24", "hours between two comparisons of settings", none, kOtherEdition, 0, 168 * kHour},
    {"MASTER_RECONNECTION_DELAY", seconds, "5", "pause before a lost master is dialled again", none, kOwnRedial},
    {"MATOMA_TIMEOUT", seconds, "10", "silence after which a master is dropped", none, kOwnTimers},
    {"BIND_HOST", text, "*", "address that connections to others leave from", none, kNoSource},
};

constexpr Option kChunkserver[] = {
    HOLDFAST_MFS_STARTUP("mfschunkserver", "-19"),

    {"MASTER_HOST", text, "mfsmaster", "the name whose address records are all masters; also names or addresses, "
     "comma-separated", at_start},
    {"MASTER_PORT", integer, "9420", "port of the masters", at_start, {}, 1, kPortMax},
    {"DNS_REFRESH_TIME", seconds, "5", "how often MASTER_HOST is resolved again; when that fails the last answer stays",
     at_start, {}, 1, kDay},
    {"CSSERV_LISTEN_HOST", text, "*", "address to listen on; *: all. One particular address is also the one that others "
     "are told", at_start},
    {"CSSERV_LISTEN_PORT", integer, "9422", "port for data (HTTP)", at_start, {}, 1, kPortMax},
    {"CSSERV_ORDERS_PORT", integer, "0", "port for orders of the masters (gRPC); 0: CSSERV_LISTEN_PORT plus 10000",
     at_start, {}, 0, kPortMax},
    {"HDD_CONF_FILENAME", text, "/etc/mfs/mfshdd.cfg", "file of the folders for data, one a line; without one the data "
     "lies in DATA_PATH", at_start},
    {"HDD_LEAVE_SPACE_DEFAULT", size, "256MiB", "space that is left free on disks without a limit of their own", at_start},
    {"HDD_FSYNC_BEFORE_CLOSE", truth, "0", "1: a file is on disk before its upload is acknowledged", at_start, {}, 0, 1},
    {"CLUSTER_SECRET_FILE", text, "", "the masters' file with the cluster secret, if they have one: without it this chunkserver cannot "
     "vote as a witness beside an even number of them", at_start},
    {"DATA_CENTER", text, "", "data center this chunkserver stands in", at_start},
    {"RACK", text, "", "rack this chunkserver stands in", at_start},

    {"METALOGGER_PATH", text, "", "a folder: this chunkserver keeps copies of the masters' state there, as mfsmetalogger does; "
     "empty: none", at_start},

    {"LABELS", text, "", "labels of this chunkserver", none, kNoChunks},
    {"BIND_HOST", text, "*", "address that connections to others leave from", none, kNoSource},
    {"MASTER_TIMEOUT", seconds, "0", "silence after which a master is dropped", none, kOwnTimers, 0, 65535},
    {"MASTER_RECONNECTION_DELAY", seconds, "5", "pause before a lost master is dialled again", none, kOwnRedial},
    {"AUTH_CODE", text, "", "secret for the masters", none, kNoAuth},
    {"CHUNKS_PER_REGISTER_PACKET", integer, "1000", "chunks in one report", none, kNoChunks, 100, 10000},
    {"ALLOW_STARTING_WITH_INVALID_DISKS", truth, "0", "start although a folder cannot be used", none, "a folder that cannot be used "
     "keeps the chunkserver from starting", 0, 1},
    {"CAN_USE_MMAP", truth, "0", "map files into memory", none, kNoChunks, 0, 1},
    {"HDD_TEST_SPEED", number, "1.0", "megabytes a second that are tested", none, kNoDiskTests},
    {"HDD_TEST_FREQ", integer, "10", "the same under its old name", none, kNoDiskTests},
    {"HDD_MIN_TEST_INTERVAL", seconds, "1d", "least time between two tests of a chunk", none, kNoDiskTests},
    {"HDD_FADVISE_MIN_TIME", seconds, "1d", "age after which data leaves the page cache", none, kNoDiskTests},
    {"HDD_REBALANCE_UTILIZATION", integer, "20", "share of time for balancing disks", none, kNoChunks, 0, 100},
    {"HDD_HIGH_SPEED_REBALANCE_LIMIT", integer, "0", "disks balanced at once", none, kNoChunks, 0, 10},
    {"HDD_ERROR_TOLERANCE_COUNT", integer, "2", "errors after which a disk is left", none, "a volume with an error becomes read-only by itself", 1, 10},
    {"HDD_ERROR_TOLERANCE_PERIOD", seconds, "600", "time in which they are counted", none, "a volume with an error becomes read-only by itself"},
    {"HDD_SPARSIFY_ON_WRITE", truth, "1", "write no blocks of zeros", none, kNoChunks, 0, 1},
    {"HDD_RR_CHUNK_COUNT", integer, "10000", "chunks before the next disk's turn", none, kNoChunks},
    {"HDD_KEEP_DUPLICATES_HOURS", hours, "1w", "time a double chunk is kept", none, kNoChunks},
    {"WORKERS_MAX", integer, "250", "threads for data", none, "one loop for each processor serves all connections", 2, 5000},
    {"WORKERS_MAX_IDLE", integer, "40", "idle threads kept", none, "one loop for each processor serves all connections", 2, 5000},
};

constexpr Option kMetalogger[] = {
    HOLDFAST_MFS_STARTUP("mfsmetalogger", "-19"),
    {"MASTER_HOST", text, "mfsmaster", "the name whose address records are all masters; also names or addresses, "
     "comma-separated", at_start},
    {"MASTER_PORT", integer, "9419", "port of the masters for metaloggers (MATOML_LISTEN_PORT there)", at_start, {}, 1, kPortMax},
    {"DNS_REFRESH_TIME", seconds, "5", "how often MASTER_HOST is resolved again; when that fails the last answer stays",
     at_start, {}, 1, kDay},
    {"MASTER_TIMEOUT", seconds, "10", "silence after which a master is left for the next one", at_start, {}, 10, 65535},
    {"MASTER_RECONNECTION_DELAY", seconds, "5", "pause when none of the masters has answered", at_start, {}, 1, 3600},
    {"BACK_LOGS", integer, "50", "change logs that are kept; one begins each hour", at_start, {}, 5, 10000},
    {"BACK_META_KEEP_PREVIOUS", integer, "3", "older images that are kept", at_start, {}, 0, 99},
    {"META_DOWNLOAD_FREQ", hours, "24", "hours between two downloads of the whole state; at most half of BACK_LOGS", at_start,
     {}, kHour, 5000 * kHour},
    {"BIND_HOST", text, "*", "address that connections leave from", none, kNoSource},
};
#undef HOLDFAST_MFS_STARTUP

}  // namespace

constexpr Role kMasterRole = {"mfsmaster", "a master, which knows where files are and gives out their ids", kMaster};
constexpr Role kChunkserverRole = {"mfschunkserver", "a chunkserver, which stores files in volumes", kChunkserver};
constexpr Role kMetaloggerRole = {"mfsmetalogger", "a metalogger, which keeps copies of the metadata", kMetalogger};

const Option* Role::find(std::string_view option) const {
  const auto found = std::find_if(options.begin(), options.end(), [&](const Option& one) { return one.name == option; });
  return found == options.end() ? nullptr : &*found;
}

const Role* find_role(std::string_view name) {
  for (const Role* role : {&kMasterRole, &kChunkserverRole, &kMetaloggerRole}) {
    if (role->name == name) return role;
  }
  return nullptr;
}

}  // namespace holdfast::mfs
