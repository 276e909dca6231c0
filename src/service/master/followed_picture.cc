#include "service/master/followed_picture.h"

#include <utility>

#include "api/master.pb.h"
#include "base/log.h"
#include "client/timer.h"
#include "model/address.h"

namespace holdfast::master {

namespace {

constexpr std::string_view kWhy = "this process follows the masters and answers lookups only: ask a master";

client::Timer::Time soon() { return std::chrono::steady_clock::now(); }

template <typename Ids>
std::vector<VolumeId> ids_of(const Ids& from) {
  std::vector<VolumeId> ids;
  for (const auto id : from) ids.emplace_back(id);
  return ids;
}

}  // namespace

NoConsensus::NoConsensus(Uuid process) : timer_(std::make_unique<client::Timer>()) {
  auto view = std::make_shared<View>();
  view->self = NodeId(process);
  view->process = process;
  view->waiting_for = kWhy;
  view_ = std::move(view);
}

NoConsensus::~NoConsensus() = default;

void NoConsensus::propose(std::string, Done done) {
  timer_->call_at(soon(), [done = std::move(done)] { done(Error(Code::not_leader, std::string(kWhy))); });
}

void NoConsensus::confirm_read(ReadDone done) {
  timer_->call_at(soon(), [done = std::move(done)] { done(Error(Code::unavailable, std::string(kWhy))); });
}

FollowedPicture::FollowedPicture(Master& master, Duration settling)
    : master_(master), settling_(settling), timer_(std::make_unique<client::Timer>()) {}

FollowedPicture::~FollowedPicture() {
  timer_.reset();
  const Guard guard(mutex_);
  for (auto& [url, server] : servers_) server.session->closed();
}

void FollowedPicture::begin() {
  std::uint64_t picture = 0;
  {
    const Guard guard(mutex_);
    picture = ++picture_;
  }
  timer_->call_at(std::chrono::steady_clock::now() + settling_, [this, picture] { forget_others(picture); });
}

void FollowedPicture::forget_others(std::uint64_t picture) {
  const Guard guard(mutex_);
  if (picture != picture_) return;  // the next one has begun
  for (auto it = servers_.begin(); it != servers_.end();) {
    if (it->second.picture == picture) {
      ++it;
      continue;
    }
    LOG_INFO("volume server {} is not known to the masters any more", it->first);
    it->second.session->closed();
    it = servers_.erase(it);
  }
}

void FollowedPicture::take(const master_pb::VolumeLocation& location) {
  if (location.url().empty()) return;  // tells who leads, and nothing else
  const auto address = Address::parse(location.url());
  if (!address) {
    LOG_WARNING("a volume server is told of that is no address: {}", address.error().what());
    return;
  }
  const Guard guard(mutex_);
  auto& server = servers_[location.url()];
  if (server.session == nullptr) server.session = master_.open_session(location.url(), nullptr);
  topology::Report report;
  report.id = location.url();
  report.ip = address->host;
  report.port = address->port;
  report.grpc_port = location.grpc_port();
  report.public_url = location.public_url();
  report.data_center = location.data_center();
  const auto volumes_of = [](const auto& ids) {
    std::vector<VolumeInfo> volumes;
    for (const auto id : ids) {
      VolumeInfo info;
      info.id = VolumeId(id);
      volumes.push_back(info);
    }
    return volumes;
  };
  const auto shards_of = [](const auto& ids) {
    std::vector<EcShardsInfo> shards;
    for (const auto id : ids) {
      EcShardsInfo info;
      info.id = VolumeId(id);
      info.bits = 1;  // which shards is not told: enough to be found
      shards.push_back(info);
    }
    return shards;
  };
  const bool is_first = std::exchange(server.picture, picture_) != picture_;
  if (is_first) {
    report.full = true;
    report.volumes = volumes_of(location.new_vids());
    report.ec_full = true;
    report.ec_shards = shards_of(location.new_ec_vids());
  } else {
    report.added = volumes_of(location.new_vids());
    report.removed = ids_of(location.deleted_vids());
    report.ec_added = shards_of(location.new_ec_vids());
    report.ec_removed = shards_of(location.deleted_ec_vids());
  }
  (void)server.session->on_report(std::move(report));
}

std::size_t FollowedPicture::servers() const {
  const Guard guard(mutex_);
  return servers_.size();
}

}  // namespace holdfast::master
