#include "cmd/shell_session.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "api/convert.h"
#include "api/master.pb.h"
#include "core/topology/report.h"

namespace holdfast::cmd {
namespace {

constexpr auto kReportPatience = std::chrono::seconds(15);    // upstream's servers report every five
constexpr auto kReportPause = std::chrono::milliseconds(50);  // ours at once

std::string who() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return fmt::format("{} (pid {})", host, ::getpid());
}

template <typename Infos>  // map of disk type to DiskInfo
void take_disks(const Infos& infos, topology::PictureServer& server) {
  for (const auto& [type, disk] : infos) {
    const auto canonical = topology::canonical_disk_type(type);
    server.disks[canonical] = {.max = disk.max_volume_count(),
                               .free = disk.free_volume_count(),
                               .total_bytes = disk.disk_total_bytes(),
                               .free_bytes = disk.disk_free_bytes()};
    for (const auto& volume : disk.volume_infos()) {
      server.volumes.push_back(api::read(volume));
      server.volumes.back().disk_type = canonical;
    }
    for (const auto& shards : disk.ec_shard_infos()) {
      server.shards.push_back(api::read(shards));
      server.shards.back().disk_type = canonical;
    }
  }
}

}  // namespace

Shell::Shell(client::MasterClient& client, Duration patience)
    : master_client(client),
      masters(client, patience),
      lock(client, {.client = who(),
                    .message = "weed shell",
                    .lost =
                        [](const std::string& why) {
                          std::fprintf(stderr, "the admin lock is lost: %s; what is under way stops at its next step\n",
                                       why.c_str());
                        },
                    .waiting =
                        [](const std::string& holder) {
                          std::fprintf(stderr, "waiting for the admin lock, which %s has\n", holder.c_str());
                        }}) {}

Status Shell::locked() const {
  if (lock.is_held()) return {};
  return Error(Code::refused, "need to run \"lock\" first to continue");
}

Result<topology::Picture> Shell::picture() {
  master_pb::VolumeListResponse list;
  if (const auto listed = masters.volume_list(&list); !listed) return listed.error();
  return picture_of(list);
}

bool Shell::wait_until(const std::function<bool(const topology::Picture&)>& condition) {
  const auto until = std::chrono::steady_clock::now() + kReportPatience;
  for (;;) {
    const auto present = picture();
    if (present && condition(*present)) return true;
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kReportPause);
  }
}

bool Shell::wait_for(VolumeId volume, const std::string& server, bool is_there) {
  return wait_until([&](const topology::Picture& present) {
    const auto* found = present.find(server);
    return (found != nullptr && found->find(volume) != nullptr) == is_there;
  });
}

void Shell::put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void Shell::note_frozen(const std::string& server, VolumeId volume, bool is_frozen) {
  const Guard guard(mutex_);
  if (is_frozen) {
    frozen_.emplace(server, volume);
  } else {
    frozen_.erase({server, volume});
  }
}

std::string Shell::frozen_text() const {
  const Guard guard(mutex_);
  std::string out;
  for (const auto& [server, volume] : frozen_) {
    out += fmt::format("volume {} at {} stays read-only; when it is looked after: volume.mark -volumeId={} -node={} -writable\n",
                       volume.value(), server, volume.value(), server);
  }
  return out;
}

topology::Picture picture_of(const master_pb::VolumeListResponse& list) {
  topology::Picture picture;
  picture.volume_size_limit = list.volume_size_limit_mb() << 20;
  for (const auto& center : list.topology_info().data_center_infos()) {
    for (const auto& rack : center.rack_infos()) {
      for (const auto& node : rack.data_node_infos()) {
        topology::PictureServer server{.id = node.id(), .data_center = center.id(), .rack = rack.id()};
        // Upstream's older masters give no address beside the id.
        const auto address = api::read_address(node.address().empty() ? node.id() : node.address(), node.grpc_port());
        if (!address) continue;  // nobody could dial it
        server.address = *address;
        take_disks(node.diskinfos(), server);
        picture.servers.push_back(std::move(server));
      }
    }
  }
  return picture;
}

Result<const topology::PictureServer*> server_named(const topology::Picture& picture, const std::string& name) {
  if (const auto* server = picture.find(name)) return server;
  std::string known;
  for (const auto& server : picture.servers) known += (known.empty() ? "" : ", ") + server.id;
  return Error(Code::not_found, fmt::format("there is no volume server \"{}\"; there are: {}", name, known.empty() ? "none" : known));
}

Result<std::string> grpc_named(const topology::Picture& picture, const std::string& name) {
  if (const auto* server = picture.find(name)) return server->address.grpc();
  const auto address = Address::parse(name);
  if (!address) return address.error();
  return address->grpc();
}

bool matches(std::string_view pattern, std::string_view name) {
  // Backtracks to the last star only, so a pattern of many stars takes no exponential time.
  std::size_t p = 0, n = 0, star = std::string_view::npos, star_n = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_n = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++star_n;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool is_collection_wanted(const std::string& pattern, const std::string& collection) {
  if (pattern.empty() || pattern == "ALL_COLLECTIONS" || pattern == "EACH_COLLECTION") return true;
  if (pattern == "_default") return collection.empty();
  return matches(pattern, collection);
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> out(1);
  for (const char c : text) {
    if (c == ',') {
      out.emplace_back();
    } else if (c != ' ') {
      out.back() += c;
    }
  }
  std::erase(out, "");
  return out;
}

Result<VolumeId> volume_of(const FlagSet& flags) {
  const auto id = flags.unsigned_integer("volumeId");
  if (id == 0 || id > UINT32_MAX) return Error(Code::invalid, "-volumeId must say which volume");
  return VolumeId(static_cast<std::uint32_t>(id));
}

Result<std::vector<VolumeId>> volume_ids(const std::string& list) {
  std::vector<VolumeId> out;
  for (const auto& part : split_list(list)) {
    std::uint64_t id = 0;
    for (const char c : part) {
      if (c < '0' || c > '9' || id > UINT32_MAX) return Error(Code::invalid, "\"" + part + "\" is no volume id");
      id = id * 10 + static_cast<std::uint64_t>(c - '0');
    }
    if (id == 0 || id > UINT32_MAX) return Error(Code::invalid, "\"" + part + "\" is no volume id");
    out.emplace_back(static_cast<std::uint32_t>(id));
  }
  return out;
}

void declare_apply(FlagSet& flags) {
  flags.add({"apply", FlagType::boolean, "false", "do it; else only what would be done is told"});
  flags.add({"force", FlagType::boolean, "false", "the old name of -apply"});
}

bool applies(const FlagSet& flags) { return flags.boolean("apply") || flags.boolean("force"); }

void declare_full_and_quiet(FlagSet& flags) {
  flags.add({"collectionPattern", FlagType::string, "", "only of collections whose name matches, with * and ?"});
  flags.add({"fullPercent", FlagType::number, "95", "at least so full, in percent of the size limit"});
  flags.add({"quietFor", FlagType::duration, "24h", "not written for so long"});
}

std::function<bool(const VolumeInfo&)> full_and_quiet(const FlagSet& flags, std::uint64_t volume_size_limit) {
  const auto wall = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  const auto quiet = std::chrono::duration_cast<std::chrono::seconds>(flags.duration("quietFor"));
  const double bytes_min = flags.number("fullPercent") / 100 * static_cast<double>(volume_size_limit);
  return [pattern = flags.string("collectionPattern"), bytes_min, before = wall - quiet](const VolumeInfo& volume) {
    return is_collection_wanted(pattern, volume.collection) && static_cast<double>(volume.size) >= bytes_min &&
           volume.modified_at_second < before.count();
  };
}

}  // namespace holdfast::cmd
