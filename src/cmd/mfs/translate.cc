#include "cmd/mfs/translate.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "base/check.h"
#include "client/discovery.h"
#include "cmd/paths.h"
#include "cmd/tables.h"

namespace holdfast::mfs {
namespace {

constexpr std::uint16_t kMasterHttpPort = 9421;  // what a chunkserver takes the masters' HTTP port for until they say it
constexpr std::uint64_t kBytesMin = 101;         // -minFreeSpace takes smaller numbers for percentages

Error wrong(std::string text) { return Error(Code::invalid, std::move(text)); }

std::uint16_t port(const Config& config, std::string_view name) {
  return static_cast<std::uint16_t>(config.integer(name));
}

bool is_all(const std::string& host) { return host.empty() || host == "*" || host == "0.0.0.0" || host == "::"; }

// As ListenPlan has it: empty is all addresses.
std::string bound(const std::string& host) { return is_all(host) ? "" : host; }

// How -ip.bind says it.
std::string bind_flag(const std::string& host) { return is_all(host) ? "0.0.0.0" : host; }

// Names in front of values that the flags of `weed` are given; ours are checked before.
void give(cmd::FlagSet& flags, std::string_view name, const std::string& value) {
  const auto done = flags.set(name, value);
  CHECK(done.ok());
}

cmd::SettingsFiles no_settings() {
  const auto none = [] { return *cmd::Settings::parse("", nullptr); };
  return {.security = none(), .master = none(), .volume = none(), .config_dir = ""};
}

// Those that listen on one address, with their options; two of one kind may share a port, of two kinds they may not.
struct Use {
  std::string_view option;
  std::uint16_t port;
  bool is_http;
};
Status check_ports(const std::vector<Use>& uses) {
  for (auto one = uses.begin(); one != uses.end(); ++one) {
    for (auto other = one + 1; other != uses.end(); ++other) {
      if (one->port != 0 && one->port == other->port && one->is_http != other->is_http) {
        return wrong(fmt::format("{} and {} are both {}: give each a port of its own", one->option, other->option,
                                 one->port));
      }
    }
  }
  return {};
}

// The smallest bound of free space that keeps `disk` within its limit, as -minFreeSpace takes it.
std::string free_space_of(const DiskLine& disk, std::uint64_t default_bytes, std::vector<std::string>* remarks) {
  if (disk.is_going) return "100";  // nothing new comes
  switch (disk.bound) {
    case DiskLine::Bound::none: return fmt::format("{}", std::max(default_bytes, kBytesMin));
    case DiskLine::Bound::leave_free:
      return disk.bytes != 0 ? fmt::format("{}", std::max(disk.bytes, kBytesMin)) : fmt::format("{}", disk.percent);
    case DiskLine::Bound::at_most: break;
  }
  if (disk.bytes == 0) return fmt::format("{}", 100 - disk.percent);
  struct statvfs space {};
  if (::statvfs(disk.path.c_str(), &space) != 0) return fmt::format("{}", std::max(default_bytes, kBytesMin));
  const std::uint64_t total = space.f_blocks * space.f_frsize;
  if (disk.bytes >= total) {
    remarks->push_back(fmt::format("{} is smaller than its limit", disk.path));
    return fmt::format("{}", std::max(default_bytes, kBytesMin));
  }
  return fmt::format("{}", std::max(total - disk.bytes, kBytesMin));
}

}  // namespace

Result<std::vector<Address>> masters_of(const Config& config, std::uint16_t http_port) {
  std::vector<Address> masters;
  for (auto host : cmd::split_names(config.string("MASTER_HOST"))) {
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    const Address address{host, http_port, port(config, "MASTER_PORT")};
    if (const auto valid = Address::parse(text(address)); !valid) {
      return wrong(fmt::format("MASTER_HOST: \"{}\" is no name and no address: {}", shown(host), valid.error().what()));
    }
    if (std::find(masters.begin(), masters.end(), address) == masters.end()) masters.push_back(address);
  }
  if (masters.empty()) return wrong("MASTER_HOST is empty: name the masters");
  return masters;
}

Result<cmd::MasterPlan> plan_of_master(const Config& config, const std::string& data_path,
                                       std::vector<std::string>* remarks) {
  const auto& cs_host = config.string("MATOCS_LISTEN_HOST");
  const auto& cl_host = config.string("MATOCL_LISTEN_HOST");
  const std::uint16_t http = port(config, "MATOCL_LISTEN_PORT");
  // Of two names for one thing the one that is set counts: a file of before has MATOCS_LISTEN_PORT only.
  const std::uint16_t chunkservers = config.is_given("MATOCS_LISTEN_PORT") ? port(config, "MATOCS_LISTEN_PORT") : 0;
  const bool takes_old = !config.is_given("MASTER_PORT") && chunkservers != 0;
  const std::uint16_t grpc = takes_old ? chunkservers : port(config, "MASTER_PORT");
  const std::uint16_t metaloggers = port(config, "MATOML_LISTEN_PORT");
  const std::uint16_t page = port(config, "GUISERV_LISTEN_PORT");
  if (auto apart = check_ports({{takes_old ? "MATOCS_LISTEN_PORT" : "MASTER_PORT", grpc, false},
                                {"MATOCS_LISTEN_PORT", chunkservers, false},
                                {"MATOML_LISTEN_PORT", metaloggers, false},
                                {"MATOCL_LISTEN_PORT", http, true},
                                {"GUISERV_LISTEN_PORT", page, true}});
      !apart) {
    return apart.error();
  }

  const bool has_cluster = config.boolean("HA_ENABLED");
  std::vector<Address> peers;
  if (has_cluster) {
    auto masters = masters_of(config, http);
    if (!masters) return masters.error();
    peers = std::move(*masters);
  } else if (config.is_given("MASTER_HOST")) {
    remarks->push_back("MASTER_HOST is not used without HA_ENABLED = 1: this master is a cluster of one, which others can "
                       "join");
  }

  cmd::FlagSet flags;
  cmd::declare_master(flags);
  give(flags, "port", fmt::format("{}", http));
  give(flags, "port.grpc", fmt::format("{}", grpc));
  give(flags, "mdir", data_path);
  give(flags, "ip.bind", bind_flag(cl_host));
  if (!is_all(cs_host)) {
    give(flags, "ip", cs_host);
  } else if (const auto own = client::own_address_among(peers, 1s); !own.empty()) {
    give(flags, "ip", own);
  }
  if (flags.is_declared("leaderLease")) {
    give(flags, "leaderLease", fmt::format("{}s", config.time("LEADER_LEASE_DURATION").count()));
  }
  give(flags, "clusterSecretFile", config.string("CLUSTER_SECRET_FILE"));
  auto plan = cmd::plan_master(cmd::FlagView(flags, ""), no_settings());
  if (!plan) return plan.error();

  plan->runtime.peers = std::move(peers);
  plan->runtime.discovery_interval = config.time("DNS_REFRESH_TIME");
  plan->runtime.bind_host = bound(cs_host);
  plan->listen.grpc_address = bound(cs_host);
  plan->listen.also_loopback = false;  // a host that is named is the only one: 127.0.0.1 may be another master's
  const auto more = [](std::vector<cmd::ListenPlan::Place>& places, const std::string& host, std::uint16_t number,
                       std::uint16_t main) {
    const bool is_there = std::any_of(places.begin(), places.end(), [&](const auto& one) { return one.port == number; });
    if (number != 0 && number != main && !is_there) places.push_back({bound(host), number});
  };
  plan->images = {.folder = data_path,
                  .interval = config.time("METADATA_SAVE_FREQ"),
                  .keep = static_cast<std::size_t>(config.integer("BACK_META_KEEP_PREVIOUS"))};
  more(plan->listen.more_grpc, cs_host, chunkservers, grpc);
  more(plan->listen.more_grpc, config.string("MATOML_LISTEN_HOST"), metaloggers, grpc);
  more(plan->listen.more_http, config.string("GUISERV_LISTEN_HOST"), page, http);
  return plan;
}

Result<cmd::VolumePlan> plan_of_chunkserver(const Config& config, const std::string& data_path,
                                            const std::string* disks_text, std::vector<std::string>* remarks) {
  const auto default_bytes = config.bytes("HDD_LEAVE_SPACE_DEFAULT");
  std::string folders;
  std::string spaces;
  const auto add = [&](const std::string& path, const std::string& space) {
    folders += (folders.empty() ? "" : ",") + path;
    spaces += (spaces.empty() ? "" : ",") + space;
  };
  const auto& hdd_path = config.string("HDD_CONF_FILENAME");
  if (disks_text == nullptr) {
    if (config.is_given("HDD_CONF_FILENAME")) {
      return wrong(fmt::format("HDD_CONF_FILENAME: there is no {}", hdd_path));
    }
    remarks->push_back(fmt::format("there is no {}: files are stored in {}", hdd_path, data_path));
    add(data_path, fmt::format("{}", std::max(default_bytes, kBytesMin)));
  } else {
    const auto disks = parse_disks(*disks_text);
    for (const auto& remark : disks.remarks) remarks->push_back(fmt::format("{}:{}: {}", hdd_path, remark.line, remark.text));
    for (const auto& disk : disks.disks) {
      if (disk.path.find(',') != std::string::npos) {
        return wrong(fmt::format("{}:{}: {}: a path with a comma cannot be used", hdd_path, disk.line, shown(disk.path)));
      }
      if (!disk.other_marks.empty()) {
        remarks->push_back(fmt::format("{}:{}: {} before {} is accepted without effect: disks are not balanced yet",
                                       hdd_path, disk.line, disk.other_marks, disk.path));
      }
      add(disk.path, free_space_of(disk, default_bytes, remarks));
    }
    if (folders.empty()) {
      return wrong(fmt::format("{} names no folder: write the path of one, as /mnt/disk1, on a line of its own", hdd_path));
    }
  }

  auto masters = masters_of(config, kMasterHttpPort);
  if (!masters) return masters.error();
  std::string seeds;
  for (const auto& master : *masters) seeds += (seeds.empty() ? "" : ",") + text(master);

  const auto& host = config.string("CSSERV_LISTEN_HOST");
  const std::uint16_t http = port(config, "CSSERV_LISTEN_PORT");
  const std::uint16_t orders = port(config, "CSSERV_ORDERS_PORT");
  if (orders == 0 && http > 65535 - kGrpcPortDistance) {
    return wrong(fmt::format("CSSERV_LISTEN_PORT {} leaves no port {} for orders: set CSSERV_ORDERS_PORT", http,
                             http + kGrpcPortDistance));
  }
  if (auto apart = check_ports({{"CSSERV_LISTEN_PORT", http, true}, {"CSSERV_ORDERS_PORT", orders, false}}); !apart) {
    return apart.error();
  }

  cmd::FlagSet flags;
  cmd::declare_volume(flags);
  give(flags, "port", fmt::format("{}", http));
  give(flags, "port.grpc", fmt::format("{}", orders));
  give(flags, "dir", folders);
  give(flags, "max", "0");  // as many volumes as fit
  give(flags, "minFreeSpace", spaces);
  give(flags, "mserver", seeds);
  give(flags, "ip.bind", bind_flag(host));
  if (!is_all(host)) give(flags, "ip", host);
  give(flags, "dataCenter", config.string("DATA_CENTER"));
  give(flags, "rack", config.string("RACK"));
  give(flags, "fsync", config.boolean("HDD_FSYNC_BEFORE_CLOSE") ? "true" : "false");
  give(flags, "preStopSeconds", "1");  // readers hear within a second that this server goes
  give(flags, "clusterSecretFile", config.string("CLUSTER_SECRET_FILE"));
  auto plan = cmd::plan_volume(cmd::FlagView(flags, ""), no_settings());
  if (!plan) return plan.error();
  plan->config.discovery_interval = config.time("DNS_REFRESH_TIME");
  if (const auto& copies = config.string("METALOGGER_PATH"); !copies.empty()) {
    plan->metalogger = metalogger::Options{.masters = plan->config.masters,
                                           .discovery_interval = plan->config.discovery_interval,
                                           .folder = copies,
                                           .name = cmd::host_name()};
  }
  return plan;
}

Result<metalogger::Options> plan_of_metalogger(const Config& config, const std::string& data_path,
                                               std::vector<std::string>* remarks) {
  auto masters = masters_of(config, kMasterHttpPort);
  if (!masters) return masters.error();
  metalogger::Options options;
  options.masters = std::move(*masters);
  options.discovery_interval = config.time("DNS_REFRESH_TIME");
  options.silence_max = config.time("MASTER_TIMEOUT");
  options.redial_after = config.time("MASTER_RECONNECTION_DELAY");
  options.folder = data_path;
  options.logs_kept = static_cast<std::size_t>(config.integer("BACK_LOGS"));
  options.images_kept = static_cast<std::size_t>(config.integer("BACK_META_KEEP_PREVIOUS"));
  options.image_interval = config.time("META_DOWNLOAD_FREQ");
  options.name = cmd::host_name();
  // The logs must reach back to an image.
  const Duration most = std::chrono::hours(config.integer("BACK_LOGS") / 2);
  if (options.image_interval > most) {
    remarks->push_back(fmt::format("META_DOWNLOAD_FREQ is more than half of BACK_LOGS: {} hours are taken",
                                   config.integer("BACK_LOGS") / 2));
    options.image_interval = most;
  }
  return options;
}

}  // namespace holdfast::mfs
