// What the flags and settings of `master`, `volume` and `server` mean: plans that the services take as they are.
//
// Nothing is started or listened on here, but folders are looked at (and made, where upstream or the cheat sheet does).
// Every Error is a sentence for an operator; it ends the program with a fatal line and status 255.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/jwt.h"
#include "api/tls.h"
#include "cmd/flags.h"
#include "cmd/maintenance_scripts.h"
#include "cmd/settings.h"
#include "io/tls.h"
#include "model/tier_backend.h"
#include "service/master/config.h"
#include "service/master/image_writer.h"
#include "service/master/master.h"
#include "service/metalogger/metalogger.h"
#include "service/volume/config.h"

namespace holdfast::cmd {

// Where one role listens.
struct ListenPlan {
  std::string address;         // "" = all addresses
  bool also_loopback = false;  // open 127.0.0.1 too, when that works (spec/weed-cluster 1.4)
  std::uint16_t http_port = 0;
  std::uint16_t grpc_port = 0;
  std::uint16_t metrics_port = 0;  // 0: none
  std::string metrics_address;
  std::uint16_t debug_port = 0;  // on the loopback address; 0: none
  std::string access_log;        // a file, "" for none

  // Where gRPC listens, when that is not `address`; "" = all addresses.
  std::optional<std::string> grpc_address;

  // Further places that serve the same; "" = all addresses.
  struct Place {
    std::string address;
    std::uint16_t port = 0;

    friend bool operator==(const Place&, const Place&) = default;
  };
  std::vector<Place> more_http;
  std::vector<Place> more_grpc;
};

// The hosts for gRPC: the address, and loopback when that is wanted as well and free. Empty: all.
std::vector<std::string> grpc_hosts(const ListenPlan& listen);

// What security.toml says of tokens (spec/weed-cluster 3.11); read again at SIGHUP.
struct JwtPlan {
  api::JwtSettings write;
  api::JwtSettings read;
};
JwtPlan plan_jwt(const Settings& security);
void put(const JwtPlan& plan, api::JwtKeys& keys);

// At SIGHUP. What cannot be used is told of in the log, and what was there before stays. May be null.
void read_again(const std::shared_ptr<io::TlsContext>& certificates);

// The stores of master.toml that volumes may go to (storage.backend.<type>.<id>). What cannot be used is told of in the log and
// left out: no master stays away for it.
std::vector<TierBackend> plan_tiers(const Settings& master);

// What SIGHUP brings to a role that runs.
struct Reread {
  std::string white_list;
  JwtPlan jwt;
  std::optional<std::vector<TierBackend>> tiers;  // nullopt: master.toml cannot be read
};

struct MasterPlan {
  master::RuntimeConfig runtime;
  master::Options options;
  ListenPlan listen;
  std::string white_list;  // comma-separated; -whiteList and guard.white_list together
  JwtPlan jwt;
  bool witness = true;  // a volume server is to vote beside an even number of masters
  api::TlsFiles tls;  // of the gRPC server
  std::shared_ptr<io::TlsContext> https;  // of the HTTP ports; null: plain
  std::string admin_token;  // admin.token of security.toml; "": none
  bool disable_http = false;
  bool guardian = true;  // see start_guardian (master_role.h)
  Duration idle_timeout = 30s;
  // metadata.mfs.back, written now and then (service/master/image_writer.h); interval 0: never.
  master::ImageWriter::Options images;
  std::string metrics_push_address;
  std::uint32_t metrics_push_seconds = 15;
  MaintenancePlan maintenance;
  std::vector<TierBackend> tiers;
};

struct VolumePlan {
  volume::VolumeConfig config;
  ListenPlan listen;
  std::uint16_t public_port = 0;  // 0: none of its own
  std::string white_list;
  JwtPlan jwt;
  bool turn_images = false;  // JPEGs are stored upright
  bool has_page = false;  // access.ui: /ui/index.html even while writes need a token
  std::optional<metalogger::Options> metalogger;  // carried along
  api::TlsFiles tls;    // of the gRPC server
  std::shared_ptr<io::TlsContext> https;  // of the HTTP ports; null: plain
  bool witness = true;  // may vote beside an even number of masters
  std::string cluster_secret;  // the masters', for that; "": none
  std::uint64_t upload_bytes_max = 0;  // of uploads under way; 0: no bound
  Duration upload_patience = 60s;
  std::uint64_t download_bytes_max = 0;
  Duration download_patience = 60s;
  std::string read_mode = "proxy";  // what is no known mode is proxy
  Duration idle_timeout = 30s;
};

// `master.follower`.
struct FollowerPlan {
  Address self;
  std::vector<Address> masters;
  ListenPlan listen;
  std::string white_list;
  JwtPlan jwt;
  api::TlsFiles tls;                       // of the gRPC server
  std::shared_ptr<io::TlsContext> https;  // of the HTTP port; null: plain
};

struct SettingsFiles {
  Settings security;
  Settings master;
  Settings volume;
  std::string config_dir;  // where they were looked for first; "": nowhere in particular
};
Result<SettingsFiles> load_settings(const std::string& config_dir, const Environment& environment);

// What -clusterSecretFile names, or else cluster.secret of security.toml (WEED_CLUSTER_SECRET); "": none.
Result<std::string> cluster_secret(const std::string& file, const SettingsFiles& settings);

// `flags` sees the flags of `master` or, under "master.", those of `server`.
Result<MasterPlan> plan_master(const FlagView& flags, const SettingsFiles& settings);

// The same for `volume` and, under "volume.", for `server`; there `masters` are the peers of the master beside it.
Result<VolumePlan> plan_volume(const FlagView& flags, const SettingsFiles& settings,
                               const std::vector<Address>& masters = {});

Result<FollowerPlan> plan_follower(const FlagView& flags, const SettingsFiles& settings);

// What this build understands of what masters replicate; used by the cluster only once every voter understands it.
std::uint32_t feature_level();

// The address of this machine that others are likely to reach: the first IPv4 address that is up and not loopback,
// else the first such IPv6 address that is not link-local, else "localhost".
std::string detect_ip();

// "10GiB", "500MB", "1024" in bytes; "15" up to 100 is a percentage. What -minFreeSpace takes.
struct FreeSpace {
  double percent = 0;
  std::uint64_t bytes = 0;  // 0: `percent` counts
};
Result<FreeSpace> parse_free_space(std::string_view text);

}  // namespace holdfast::cmd
