#include "service/volume/maintenance.h"

#include "api/volume_server.pb.h"
#include "base/log.h"

namespace holdfast::volume {

Maintenance::Maintenance(io::Disk& disk, const std::string& folder, std::string self)
    : disk_(disk), path_(io::join(folder, "state.pb")), self_(std::move(self)) {
  const auto bytes = disk_.read_file(path_, 64_KiB);
  if (!bytes && bytes.error().code() == Code::not_found) return;
  volume_server_pb::VolumeServerState read;
  if (!bytes || !read.ParseFromString(*bytes)) {
    LOG_WARNING("{}: {}: it counts as empty", path_, bytes ? "is no state of a volume server" : bytes.error().what());
    return;
  }
  const Guard guard(mutex_);
  state_ = {.maintenance = read.maintenance(), .version = read.version()};
  is_on_ = state_.maintenance;
  if (state_.maintenance) LOG_WARNING("{} is in maintenance: it serves reads only, until SetState ends that", self_);
}

MaintenanceState Maintenance::state() const {
  const Guard guard(mutex_);
  return state_;
}

Result<MaintenanceState> Maintenance::set(const MaintenanceState& wanted) {
  const Guard guard(mutex_);
  if (wanted.version != state_.version) {
    return Error(Code::stale, "version mismatch for VolumeServerState (got " + std::to_string(wanted.version) +
                                  ", want " + std::to_string(state_.version) + ")");
  }
  MaintenanceState next{.maintenance = wanted.maintenance, .version = state_.version + 1};
  volume_server_pb::VolumeServerState out;
  out.set_maintenance(next.maintenance);
  out.set_version(next.version);
  if (auto saved = disk_.replace_file(path_, out.SerializeAsString()); !saved) return saved.error();
  if (next.maintenance != state_.maintenance) {
    LOG_INFO("{}: maintenance {}", self_, next.maintenance ? "begins: it serves reads only" : "is over");
  }
  state_ = next;
  is_on_ = next.maintenance;
  return next;
}

Status Maintenance::check() const {
  if (!is_on_.load(std::memory_order_relaxed)) return {};
  return Error(Code::read_only, "volume server " + self_ + " is in maintenance mode");
}

}  // namespace holdfast::volume
