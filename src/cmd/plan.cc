#include "cmd/plan.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/strconv.h"
#include "cmd/paths.h"
#include "cmd/tls.h"
#include "service/master/runtime.h"
#include "service/master/seal.h"

namespace holdfast::cmd {
namespace {

constexpr Duration kGatherServers = 100ms;  // servers started together report within some ten milliseconds
constexpr std::uint64_t kVolumeSizeLimitMbMax = 30720;  // 4-byte offsets of 8 bytes reach 32 GiB; upstream's bound

Error fatal(std::string text) { return Error(Code::invalid, std::move(text)); }

Result<std::uint16_t> port_of(const FlagView& flags, std::string_view name) {
  const auto port = flags.integer(name);
  if (port < 0 || port > 65535) {
    return fatal(fmt::format("-{} is {}, but a port is 0 to 65535", flags.full_name(name), port));
  }
  return static_cast<std::uint16_t>(port);
}

// Whether `host` is one particular address other than 127.0.0.1. Names do not count: they may mean just that.
bool is_particular(const std::string& host) {
  in6_addr address{};
  const bool is_v4 = ::inet_pton(AF_INET, host.c_str(), &address) == 1;
  const bool is_v6 = ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
  return (is_v4 || is_v6) && host != "127.0.0.1";
}

// Whether nobody listens on this port of 127.0.0.1.
bool is_loopback_free(std::uint16_t port) {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const int yes = 1;
  ::setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_free = ::bind(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(probe);
  return is_free;
}

using Ports = std::vector<std::pair<std::string, std::uint16_t>>;  // each with its flag; 0 is none

// All that listen on one address.
Ports ports_of(const FlagView& flags, const ListenPlan& plan) {
  Ports ports = {{flags.full_name("port"), plan.http_port}, {flags.full_name("port.grpc"), plan.grpc_port}};
  if (plan.metrics_address == plan.address) ports.emplace_back(flags.full_name("metricsPort"), plan.metrics_port);
  ports.emplace_back("debug.port", plan.debug_port);
  return ports;
}

Status ports_are_apart(const Ports& ports) {
  for (auto one = ports.begin(); one != ports.end(); ++one) {
    for (auto other = one + 1; other != ports.end(); ++other) {
      if (one->second != 0 && one->second == other->second) {
        return fatal(fmt::format("-{} and -{} are both {}: give each a port of its own", one->first, other->first,
                                 one->second));
      }
    }
  }
  return {};
}

Result<ListenPlan> plan_listen(const FlagView& flags, const std::string& ip) {
  ListenPlan plan;
  const std::string& bind = flags.string("ip.bind");
  plan.address = bind.empty() ? ip : bind;
  if (plan.address == "0.0.0.0" || plan.address == "::" || plan.address == "[::]") {
    // Both families: an IPv6 socket of ours takes IPv4 as well, and who binds all means all.
    plan.address = "";
  }
  if (plan.address.size() > 2 && plan.address.front() == '[' && plan.address.back() == ']') {
    plan.address = plan.address.substr(1, plan.address.size() - 2);
  }
  plan.also_loopback = is_particular(plan.address);

  const auto http = port_of(flags, "port");
  if (!http) return http.error();
  const auto grpc = port_of(flags, "port.grpc");
  if (!grpc) return grpc.error();
  const auto metrics = port_of(flags, "metricsPort");
  if (!metrics) return metrics.error();
  if (*http == 0) return fatal(fmt::format("-{} is 0, but a server needs a port: 1 to 65535", flags.full_name("port")));
  plan.http_port = *http;
  plan.metrics_port = *metrics;
  if (*grpc == 0 && *http > 65535 - kGrpcPortDistance) {
    return fatal(fmt::format("-{} {} leaves no port {} for gRPC: give -{}", flags.full_name("port"), *http,
                             *http + kGrpcPortDistance, flags.full_name("port.grpc")));
  }
  plan.grpc_port = *grpc != 0 ? *grpc : static_cast<std::uint16_t>(*http + kGrpcPortDistance);
  if (flags.is_declared("debug.port") && flags.boolean("debug")) {
    const auto debug = port_of(flags, "debug.port");
    if (!debug) return debug.error();
    plan.debug_port = *debug;
  }
  if (flags.is_declared("accessLog")) plan.access_log = expand_home(flags.string("accessLog"));
  const std::string& metrics_ip = flags.string("metricsIp");
  plan.metrics_address = metrics_ip.empty() ? plan.address : metrics_ip;
  if (auto apart = ports_are_apart(ports_of(flags, plan)); !apart) return apart.error();
  return plan;
}

std::string without_brackets(std::string host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') return host.substr(1, host.size() - 2);
  return host;
}

bool is_server(const FlagView& flags) { return flags.set().is_declared("master.dir"); }

// -ip, and in `server` -master.ip: each names its own role, and one alone names both.
std::string advertised_ip(const FlagView& flags, bool for_master) {
  std::string ip = flags.set().string("ip");
  if (is_server(flags)) {
    const std::string& of_master = flags.set().string("master.ip");
    if (!of_master.empty() && (for_master || ip.empty())) ip = of_master;
  }
  return ip.empty() ? detect_ip() : without_brackets(ip);
}

Duration idle_timeout(const FlagView& flags) {
  return std::chrono::seconds(std::clamp<std::int64_t>(flags.integer("idleTimeout"), 1, 86400));
}

std::string white_list(const FlagView& flags, const SettingsFiles& settings) {
  std::string all = flags.string("whiteList");
  const std::string more = settings.security.string("guard.white_list");
  if (!all.empty() && !more.empty()) all += ",";
  return all + more;
}

Result<std::vector<Address>> parse_peers(const std::string& flag, const std::string& text) {
  auto names = split_names(text);
  if (names.size() == 1) {
    std::string low = names[0];
    for (char& c : low) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (low == "none") names.clear();
  }
  std::vector<Address> peers;
  for (const auto& name : names) {
    auto address = Address::parse(name);
    if (!address) return address.error().at("-" + flag);
    if (std::find(peers.begin(), peers.end(), *address) == peers.end()) peers.push_back(*address);
  }
  return peers;
}

// One value of a list flag for each of `count` folders: one for all, or one each.
Result<std::vector<std::string>> spread(const std::string& text, std::size_t count, const char* what,
                                        const char* flag) {
  auto values = split_list(text);
  if (values.size() == 1) values.assign(count, values[0]);
  if (values.size() != count) {
    return fatal(fmt::format("{} directories by -dir, but only {} {} is set by -{}", count, values.size(), what, flag));
  }
  return values;
}

// -index: what the caches of indexes on disk take; 0: they are kept in memory, which upstream takes any other word for.
std::uint64_t index_cache_bytes(const std::string& kind) {
  if (kind == "leveldb") return 32_MiB;
  if (kind == "leveldbMedium" || kind == "rocksdb") return 64_MiB;
  if (kind == "leveldbLarge") return 128_MiB;
  if (kind != "memory") LOG_WARNING("-index={}: there is no such kind of index: it is kept in memory", kind);
  return 0;
}

Result<std::vector<volume::DirectoryConfig>> plan_directories(const FlagView& flags) {
  std::vector<volume::DirectoryConfig> directories;
  for (const auto& item : split_list(flags.string("dir"))) {
    volume::DirectoryConfig directory;
    directory.path = expand_home(item);
    // The cheat sheet starts with `-dir=./1` in an empty folder; upstream would refuse. Only the last component is
    // made, so a mistyped or unmounted path is still found out.
    if (const auto made = make_last_component(directory.path); !made) {
      return fatal(fmt::format("Check Data Folder(-dir) Writable {} : {}", item, made.error().what()));
    }
    if (const auto writable = check_writable_folder(directory.path); !writable) {
      return fatal(fmt::format("Check Data Folder(-dir) Writable {} : {}", item, writable.error().what()));
    }
    const auto is_same = [&](const volume::DirectoryConfig& other) {
      std::error_code unknown;
      return std::filesystem::equivalent(other.path, directory.path, unknown);
    };
    if (std::any_of(directories.begin(), directories.end(), is_same)) {
      return fatal(fmt::format("-dir names the folder {} twice", item));
    }
    directories.push_back(std::move(directory));
  }

  const auto maxes = spread(flags.string("max"), directories.size(), "max", "max");
  if (!maxes) return maxes.error();
  const auto disks = spread(flags.string("disk"), directories.size(), "disk types", "disk");
  if (!disks) return disks.error();
  const bool is_old_form = flags.string("minFreeSpace").empty();
  const char* space_flag = is_old_form ? "minFreeSpacePercent" : "minFreeSpace";
  const auto spaces = spread(flags.string(space_flag), directories.size(), space_flag, space_flag);
  if (!spaces) return spaces.error();
  const auto tag_groups = flags.string("tags").empty() ? std::vector<std::string>() : split_list(flags.string("tags"));

  for (std::size_t i = 0; i < directories.size(); ++i) {
    auto& directory = directories[i];
    const auto max = strconv::parse_int((*maxes)[i], 10);
    if (!max || *max < 0 || *max > INT32_MAX) {
      return fatal(fmt::format("The max specified in -max not a valid number {}", (*maxes)[i]));
    }
    directory.volumes_max = static_cast<int>(*max);
    directory.disk_type = (*disks)[i] == "hdd" ? "" : (*disks)[i];
    const auto space = parse_free_space((*spaces)[i]);
    if (!space) {
      return fatal(fmt::format("The value specified in -{} not a valid value {}", space_flag, (*spaces)[i]));
    }
    directory.min_free_percent = space->percent;
    directory.min_free_bytes = space->bytes;
    if (!tag_groups.empty()) {
      const auto& group = tag_groups[std::min(i, tag_groups.size() - 1)];
      std::string_view rest = group;
      while (!rest.empty()) {
        const auto colon = rest.find(':');
        if (const auto tag = rest.substr(0, colon); !tag.empty()) directory.tags.emplace_back(tag);
        rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
      }
    }
  }
  return directories;
}

Result<bool> witness_of(const FlagView& flags) {
  const auto& text = flags.string("witness");
  if (text == "auto") return true;
  if (text == "never") return false;
  return fatal(fmt::format("-{}={}: give auto or never", flags.full_name("witness"), text));
}

// master.maintenance of master.toml.
MaintenancePlan plan_maintenance(const SettingsFiles& settings, const master::RuntimeConfig& runtime) {
  MaintenancePlan plan;
  plan.scripts = settings.master.string("master.maintenance.scripts");
  std::vector<std::string> warnings;
  plan.commands = maintenance_commands(plan.scripts, warnings);
  for (const auto& warning : warnings) LOG_WARNING("master.maintenance.scripts: {}", warning);
  constexpr double kDefaultMinutes = 17, kMinutesMax = 60 * 24 * 365;
  auto minutes = settings.master.number("master.maintenance.sleep_minutes", kDefaultMinutes);
  if (!(minutes > 0) || minutes > kMinutesMax) {
    LOG_WARNING("master.maintenance.sleep_minutes is no time to sleep; {} it is", kDefaultMinutes);
    minutes = kDefaultMinutes;
  }
  plan.interval = std::max<Duration>(1s, std::chrono::milliseconds(static_cast<std::int64_t>(minutes * 60'000)));
  plan.config_dir = settings.config_dir;
  plan.masters = text(runtime.self);
  for (const auto& peer : runtime.peers) {
    if (!(peer == runtime.self)) plan.masters += "," + text(peer);
  }
  return plan;
}

}  // namespace

std::vector<std::string> grpc_hosts(const ListenPlan& listen) {
  if (listen.grpc_address) return listen.grpc_address->empty() ? std::vector<std::string>() : std::vector{*listen.grpc_address};
  if (listen.address.empty()) return {};
  if (listen.also_loopback && is_loopback_free(listen.grpc_port)) return {listen.address, "127.0.0.1"};
  return {listen.address};
}

std::string detect_ip() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return "localhost";
  std::string v4;
  std::string v6;
  std::array<char, INET6_ADDRSTRLEN> room{};
  for (const ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0 || (entry->ifa_flags & IFF_LOOPBACK) != 0) {
      continue;
    }
    if (entry->ifa_addr->sa_family == AF_INET && v4.empty()) {
      const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      if (::inet_ntop(AF_INET, &address->sin_addr, room.data(), room.size()) != nullptr) v4 = room.data();
    } else if (entry->ifa_addr->sa_family == AF_INET6 && v6.empty()) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr)) continue;
      if (::inet_ntop(AF_INET6, &address->sin6_addr, room.data(), room.size()) != nullptr) v6 = room.data();
    }
  }
  ::freeifaddrs(all);
  return !v4.empty() ? v4 : !v6.empty() ? v6 : "localhost";
}

Result<FreeSpace> parse_free_space(std::string_view text) {
  const auto bad = [&] { return Error(Code::invalid, "not a percentage or size: " + strconv::quote(text)); };
  const auto digits = text.find_first_not_of("0123456789.");
  const auto number = strconv::parse_float(text.substr(0, digits));
  if (!number || !(*number >= 0)) return bad();
  if (digits == std::string_view::npos) {
    if (*number <= 100) return FreeSpace{*number, 0};
    return FreeSpace{0, static_cast<std::uint64_t>(*number)};
  }
  std::string unit;
  for (const char c : text.substr(digits)) {
    if (c != ' ') unit += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  constexpr std::string_view kLetters = "bkmgtpe";
  const auto power = unit.empty() ? std::string_view::npos : kLetters.find(unit[0]);
  if (power == std::string_view::npos) return bad();
  const std::string rest = unit.substr(1);
  double base = 1000;
  if (rest == "ib" || rest == "i") base = 1024;
  else if (!(rest.empty() || rest == "b") || (power == 0 && !rest.empty())) return bad();
  double bytes = *number;
  for (std::size_t i = 0; i < power; ++i) bytes *= base;
  if (bytes >= 1e19) return bad();
  return FreeSpace{0, static_cast<std::uint64_t>(bytes)};
}

void read_again(const std::shared_ptr<io::TlsContext>& certificates) {
  if (certificates == nullptr) return;
  if (const auto read = certificates->read_again(); !read) LOG_ERROR("HTTPS: {}; the certificates from before stay", read.error().what());
}

// A part's own HTTPS, and a word where others would not reach it.
Result<std::shared_ptr<io::TlsContext>> plan_https(const SettingsFiles& settings, std::string_view part) {
  auto https = https_of_server(settings.security, part);
  if (!https) return https;
  const bool calls = settings.security.boolean("https.client.enabled", false);
  if (*https != nullptr && !calls) {
    LOG_WARNING("security.toml sets https.{}.cert but not https.client.enabled: this process itself calls other servers by plain "
                "HTTP, which servers with HTTPS refuse", part);
  } else if (*https == nullptr && calls) {
    LOG_WARNING("security.toml sets https.client.enabled but not https.{}.cert: this process calls by HTTPS and is itself reached by "
                "plain HTTP only", part);
  }
  return https;
}

Result<SettingsFiles> load_settings(const std::string& config_dir, const Environment& environment) {
  auto security = Settings::load("security", config_dir, environment);
  if (!security) return security.error();
  auto master = Settings::load("master", config_dir, environment);
  if (!master) return master.error();
  auto volume = Settings::load("volume", config_dir, environment);
  if (!volume) return volume.error();

  return SettingsFiles{std::move(*security), std::move(*master), std::move(*volume), config_dir};
}

std::vector<TierBackend> plan_tiers(const Settings& master) {
  std::vector<TierBackend> out;
  for (const auto& type : master.tables_below("storage.backend")) {
    for (const auto& id : master.tables_below("storage.backend." + type)) {
      const std::string table = "storage.backend." + type + "." + id;
      if (!master.boolean(table + ".enabled", false)) continue;
      if (type != "s3") {
        LOG_ERROR("master.toml: {} is left out: s3 is the only type there is", table);
        continue;
      }
      TierBackend backend{.type = type, .id = id, .properties = {}};
      for (const char* key : {"aws_access_key_id", "aws_secret_access_key", "region", "bucket", "endpoint", "storage_class"}) {
        if (auto value = master.string(table + "." + key); !value.empty()) backend.properties[key] = std::move(value);
      }
      if (!backend.properties.contains("bucket")) {
        LOG_ERROR("master.toml: {} is left out: it names no bucket", table);
        continue;
      }
      out.push_back(std::move(backend));
    }
  }
  return out;
}

JwtPlan plan_jwt(const Settings& security) {
  return {.write = {security.string("jwt.signing.key"), security.integer("jwt.signing.expires_after_seconds", 10)},
          .read = {security.string("jwt.signing.read.key"), security.integer("jwt.signing.read.expires_after_seconds", 60)}};
}

void put(const JwtPlan& plan, api::JwtKeys& keys) {
  keys.write.set(plan.write);
  keys.read.set(plan.read);
}

Result<std::string> cluster_secret(const std::string& file, const SettingsFiles& settings) {
  return master::load_cluster_secret(expand_home(file), settings.security.string("cluster.secret"));
}

Result<MasterPlan> plan_master(const FlagView& flags, const SettingsFiles& settings) {
  MasterPlan plan;
  const std::string ip = advertised_ip(flags, /*for_master=*/true);
  auto listen = plan_listen(flags, ip);
  if (!listen) return listen.error();
  plan.listen = *listen;

  // Folder. master.toml wins over the flag.
  std::string folder;
  if (is_server(flags)) {
    folder = flags.string("master.dir");
    if (folder.empty()) folder = split_list(flags.set().string("dir"))[0];
  } else {
    folder = flags.string("mdir");
  }
  folder = settings.master.string("master.mdir", folder);
  const std::string shown = folder;
  folder = expand_home(folder);
  auto usable = make_last_component(folder);
  if (usable) usable = check_writable_folder(folder);
  if (!usable) {
    return fatal(is_server(flags) ? fmt::format("Check Meta Folder (-mdir=\"{}\") Writable: {}", shown, usable.error().what())
                           : fmt::format("Check Meta Folder (-mdir) Writable {} : {}", shown, usable.error().what()));
  }

  auto peers = parse_peers(flags.full_name("peers"), flags.string("peers"));
  if (!peers) return peers.error();

  auto& runtime = plan.runtime;
  runtime.folder = folder;
  runtime.self = Address{ip, plan.listen.http_port, plan.listen.grpc_port};
  runtime.bind_host = plan.listen.address;
  runtime.peers = std::move(*peers);
  runtime.feature_level = feature_level();
  runtime.heartbeat_interval = flags.duration("heartbeatInterval");
  if (flags.duration("electionTimeout") < 0s) {
    return fatal(fmt::format("-{} is negative; 0 adapts it to the network", flags.full_name("electionTimeout")));
  }
  if (flags.duration("electionTimeout") != 0s) {
    runtime.election_timeout = flags.duration("electionTimeout");
    // A short one alone is no contradiction: heartbeats then come often enough for it.
    if (!flags.is_given("heartbeatInterval")) {
      runtime.heartbeat_interval = std::min<Duration>(runtime.heartbeat_interval, *runtime.election_timeout / 3);
    }
  }
  if (const auto lease = flags.string("leaderLease"); lease != "auto") {
    const auto length = strconv::parse_duration(lease);
    if (!length || *length < 0s) {
      return fatal(fmt::format("-{}={}: give \"auto\" or a duration such as 80ms; 0s turns leases off",
                               flags.full_name("leaderLease"), lease));
    }
    runtime.leader_lease = *length;
  }
  const auto witness = witness_of(flags);
  if (!witness) return witness.error();
  plan.witness = *witness;
  const auto lease_reads = master::parse_lease_reads(flags.string("leaseReads"));
  if (!lease_reads) {
    return fatal(fmt::format("-{}: {}", flags.full_name("leaseReads"), lease_reads.error().what()));
  }
  runtime.lease_reads = *lease_reads;
  runtime.read_only = flags.boolean("readOnly");
  plan.guardian = flags.boolean("guardian");
  if (const auto vip = flags.string("vip"); !vip.empty()) {
    const auto address = io::posix::IpPrefix::parse(vip);
    if (!address) return fatal(fmt::format("-{}: {}", flags.full_name("vip"), address.error().what()));
    runtime.vip.address = *address;
    if (!plan.listen.address.empty()) {
      LOG_WARNING("this master listens on {} alone and refuses whoever calls the virtual IP {}: give -{}=0.0.0.0 (:: for IPv6) to "
                  "listen there, too",
                  plan.listen.address, vip, flags.full_name("ip.bind"));
    }
  }
  runtime.vip.interface = flags.string("vip.interface");
  runtime.vip.on_leader = flags.string("onLeader");
  runtime.vip.on_follower = flags.string("onFollower");
  if (const auto valid = master::validate(runtime); !valid) return valid.error();
  plan.options.heartbeat_interval = runtime.heartbeat_interval;

  // These ask for what would lose a cluster's memory; the words come once, at start.
  const std::string state = fmt::format("{}/m{}", folder, plan.listen.http_port);
  if (flags.boolean("raftBootstrap")) {
    LOG_WARNING("-{} deletes nothing here: to start a new cluster, stop all masters and move {} away on each",
                flags.full_name("raftBootstrap"), state);
  }
  if (!flags.boolean("resumeState")) {
    LOG_WARNING("-{}=false deletes nothing here: to let this master join afresh, stop it and move {} away",
                flags.full_name("resumeState"), state);
  }
  if (settings.master.has("master.sequencer.type")) {
    LOG_INFO("master.sequencer.type {} is accepted; keys always come from blocks that the masters have agreed on",
             settings.master.string("master.sequencer.type"));
  }
  plan.maintenance = plan_maintenance(settings, runtime);
  plan.tiers = plan_tiers(settings.master);

  auto& options = plan.options;
  constexpr Duration kLeaderWaitMax = 60s;
  options.gather_servers = kGatherServers;
  options.leader_wait = std::clamp<Duration>(settings.master.duration("master.leader_wait", options.leader_wait), 0s,
                                             kLeaderWaitMax);
  const auto limit_mb = flags.unsigned_integer("volumeSizeLimitMB");
  if (limit_mb == 0) {
    return fatal(fmt::format("-{} is 0: no volume would take a file", flags.full_name("volumeSizeLimitMB")));
  }
  if (limit_mb > kVolumeSizeLimitMbMax) return fatal("volumeSizeLimitMB should not exceed 30720");
  options.volume_size_limit = limit_mb << 20;
  if (const auto& replication = flags.string("defaultReplication"); !replication.empty()) {
    const auto placement = ReplicaPlacement::parse(replication);
    if (!placement) {
      return fatal(fmt::format("-{}: {}; three digits are meant, as 001", flags.full_name("defaultReplication"),
                               placement.error().what()));
    }
    options.default_replication = replication;
  }
  options.preallocate = flags.boolean("volumePreallocate");
  options.garbage_threshold = flags.number("garbageThreshold");
  options.heal_after = flags.duration("healAfter");
  options.vacuums_per_server_max =
      static_cast<int>(std::clamp<std::int64_t>(flags.integer("maxParallelVacuumPerServer"), 1, 1000));
  const auto copies = [&](const char* key, std::uint32_t fallback) {
    const auto value = settings.master.integer(std::string("master.volume_growth.") + key, fallback);
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(value, 0, 1000));
  };
  options.copy_1 = copies("copy_1", options.copy_1);
  options.copy_2 = copies("copy_2", options.copy_2);
  options.copy_3 = copies("copy_3", options.copy_3);
  options.copy_other = copies("copy_other", options.copy_other);
  options.crowded_threshold = settings.master.number("master.volume_growth.threshold", options.crowded_threshold);
  options.growth_disabled = settings.master.boolean("master.volume_growth.disable", options.growth_disabled);
  options.replication_as_minimum =
      settings.master.boolean("master.replication.treat_replication_as_minimums", options.replication_as_minimum);
  options.feature_level = runtime.feature_level;

  auto tls = tls_of_server(settings.security, "master");
  if (!tls) return tls.error();
  plan.tls = std::move(*tls);
  auto https = plan_https(settings, "master");
  if (!https) return https.error();
  plan.https = std::move(*https);
  plan.admin_token = settings.security.string("admin.token");
  auto secret = cluster_secret(flags.string("clusterSecretFile"), settings);
  if (!secret) return secret.error();
  plan.runtime.cluster_secret = std::move(*secret);
  plan.white_list = white_list(flags, settings);
  plan.jwt = plan_jwt(settings.security);
  plan.disable_http = flags.boolean("disableHttp");
  if (flags.is_declared("idleTimeout")) plan.idle_timeout = idle_timeout(flags);  // `server` has one for both
  plan.metrics_push_address = flags.string("metrics.address");
  plan.metrics_push_seconds =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(flags.integer("metrics.intervalSeconds"), 0, 86400));
  return plan;
}

Result<FollowerPlan> plan_follower(const FlagView& flags, const SettingsFiles& settings) {
  FollowerPlan plan;
  const std::string ip = advertised_ip(flags, /*for_master=*/true);
  auto listen = plan_listen(flags, ip);
  if (!listen) return listen.error();
  plan.listen = std::move(*listen);
  plan.self = Address{ip, plan.listen.http_port, plan.listen.grpc_port};
  const std::string& old_name = flags.string("masters");
  auto masters = Address::parse_list(old_name.empty() ? flags.string("master") : old_name);
  if (!masters) return masters.error();
  if (masters->empty()) return fatal("-master names no master to follow: give host:port of one or more");
  plan.masters = std::move(*masters);
  auto tls = tls_of_server(settings.security, "master");
  if (!tls) return tls.error();
  plan.tls = std::move(*tls);
  auto https = plan_https(settings, "master");
  if (!https) return https.error();
  plan.https = std::move(*https);
  plan.white_list = white_list(flags, settings);
  plan.jwt = plan_jwt(settings.security);
  return plan;
}

Result<VolumePlan> plan_volume(const FlagView& flags, const SettingsFiles& settings,
                               const std::vector<Address>& masters) {
  VolumePlan plan;
  const std::string ip = advertised_ip(flags, /*for_master=*/false);
  auto listen = plan_listen(flags, ip);
  if (!listen) return listen.error();
  plan.listen = *listen;
  plan.listen.also_loopback = false;  // only masters open it
  if (is_server(flags)) plan.listen.metrics_port = plan.listen.debug_port = 0;  // the process has one, and the master opens it

  const auto public_port = port_of(flags, "port.public");
  if (!public_port) return public_port.error();
  if (*public_port != plan.listen.http_port) plan.public_port = *public_port;
  Ports ports = ports_of(flags, plan.listen);
  ports.emplace_back(flags.full_name("port.public"), plan.public_port);
  if (is_server(flags) && flags.set().boolean("master")) {
    const FlagView of_master(flags.set(), "master.");
    const auto beside = plan_listen(of_master, advertised_ip(of_master, /*for_master=*/true));
    if (!beside) return beside.error();
    if (beside->address == plan.listen.address) {
      const Ports of_the_master = ports_of(of_master, *beside);
      ports.insert(ports.begin(), of_the_master.begin(), of_the_master.end());
    }
  }
  if (auto apart = ports_are_apart(ports); !apart) return apart.error();

  auto& config = plan.config;
  config.ip = ip;
  config.port = plan.listen.http_port;
  config.grpc_port = plan.listen.grpc_port;
  config.public_url = flags.string("publicUrl");
  if (config.public_url.empty()) {
    config.public_url = host_port(ip, plan.public_port != 0 ? plan.public_port : plan.listen.http_port);
  }
  config.id = flags.string("id");
  config.data_center = flags.string("dataCenter");
  config.rack = flags.string("rack");
  auto directories = plan_directories(flags);
  if (!directories) return directories.error();
  config.directories = std::move(*directories);
  if (const auto& index = flags.string("dir.idx"); !index.empty()) {
    config.index_directory = expand_home(index);
    auto usable = make_last_component(config.index_directory);
    if (usable) usable = check_writable_folder(config.index_directory);
    if (!usable) return fatal(fmt::format("Check Index Folder(-dir.idx) Writable {} : {}", index, usable.error().what()));
  }

  config.index_cache_bytes = index_cache_bytes(flags.string("index"));

  config.masters = masters;
  if (!is_server(flags)) {
    const bool is_old_name = !flags.string("mserver").empty();
    const char* flag = is_old_name ? "mserver" : "master";
    auto seeds = parse_peers(flag, flags.string(flag));
    if (!seeds) return seeds.error();
    if (seeds->empty()) return fatal(fmt::format("-{} names no master", flag));
    config.masters = std::move(*seeds);
  }

  config.fsync = flags.boolean("fsync");
  const auto compaction_mb = flags.integer("compactionMBps");
  if (compaction_mb < 0) return fatal(fmt::format("-{} is negative", flags.full_name("compactionMBps")));
  config.compaction_bytes_per_second = static_cast<std::uint64_t>(compaction_mb) << 20;
  const auto limit_mb = flags.integer("fileSizeLimitMB");
  if (limit_mb < 0) return fatal(fmt::format("-{} is negative", flags.full_name("fileSizeLimitMB")));
  config.file_bytes_max = static_cast<std::uint64_t>(limit_mb) << 20;
  for (const auto* name : {"maintenanceMBps", "concurrentUploadLimitMB", "concurrentDownloadLimitMB"}) {
    if (flags.integer(name) < 0) return fatal(fmt::format("-{} is negative", flags.full_name(name)));
  }
  config.maintenance_bytes_per_second = static_cast<std::uint64_t>(flags.integer("maintenanceMBps")) << 20;
  plan.upload_bytes_max = static_cast<std::uint64_t>(flags.integer("concurrentUploadLimitMB")) << 20;
  plan.upload_patience = std::max(flags.duration("inflightUploadDataTimeout"), Duration(0));
  plan.download_bytes_max = static_cast<std::uint64_t>(flags.integer("concurrentDownloadLimitMB")) << 20;
  plan.download_patience = std::max(flags.duration("inflightDownloadDataTimeout"), Duration(0));
  config.pre_stop = std::chrono::seconds(std::clamp<std::int64_t>(flags.integer("preStopSeconds"), 0, 3600));

  plan.turn_images = flags.boolean("images.fix.orientation");
  if (const auto& folder = flags.string("metalogger"); !folder.empty()) {
    plan.metalogger = metalogger::Options{.masters = config.masters, .folder = expand_home(folder), .name = host_name()};
  }
  const auto witness = witness_of(flags);
  if (!witness) return witness.error();
  plan.witness = *witness;
  auto secret = cluster_secret(flags.string("clusterSecretFile"), settings);
  if (!secret) return secret.error();
  plan.cluster_secret = std::move(*secret);
  auto tls = tls_of_server(settings.security, "volume");
  if (!tls) return tls.error();
  plan.tls = std::move(*tls);
  auto https = plan_https(settings, "volume");
  if (!https) return https.error();
  plan.https = std::move(*https);
  plan.white_list = white_list(flags, settings);
  plan.jwt = plan_jwt(settings.security);
  plan.has_page = settings.security.boolean("access.ui", false);
  plan.read_mode = flags.string("readMode");
  if (plan.read_mode != "local" && plan.read_mode != "proxy" && plan.read_mode != "redirect") {
    LOG_WARNING("-{} {} is none of local, proxy, redirect: taken as proxy", flags.full_name("readMode"), plan.read_mode);
  }
  plan.idle_timeout = idle_timeout(flags);
  return plan;
}

}  // namespace holdfast::cmd
