#include "service/master/leftovers.h"

#include "base/log.h"

namespace holdfast::master {

namespace {

constexpr Duration kLookInterval = 1s;

}  // namespace

void Leftovers::look(Instant now) {
  if (now - looked_at_ < kLookInterval) return;
  looked_at_ = now;
  const auto view = shared_.consensus.load()->view();
  if (!view->is_leader()) return;
  if (term_ != view->term) {
    term_ = view->term;
    since_.clear();
    settling_ = false;
  }
  for (const VolumeId volume : growth_.take_undone()) undone_.insert(volume);
  const auto unsettled = shared_.registry.state()->unsettled;
  std::erase_if(undone_, [&](VolumeId volume) { return !unsettled->contains(volume); });
  if (unsettled->empty()) return since_.clear();

  auto found = shared_.with_topology([](topology::Topology& topology) { return topology.unsettled(); });
  found.complete.insert(found.complete.end(), undone_.begin(), undone_.end());
  if (!found.complete.empty()) settle(std::move(found.complete));

  std::map<VolumeId, Instant> since;
  std::size_t orders = 0;
  for (const auto& volume : found.half_made) {
    if (growth_.is_making(volume.volume)) continue;
    const auto known = since_.find(volume.volume);
    Instant& first_seen = since[volume.volume] = known == since_.end() ? now : known->second;
    if (now - first_seen < kLeftoverWait || orders >= kLeftoverOrdersPerLook) continue;
    first_seen = now;  // if the servers do not obey, they are asked again after another wait
    orders += volume.servers.size();
    remove(volume, view->term);
  }
  since_ = std::move(since);
}

void Leftovers::remove(const topology::Topology::HalfMade& volume, Term term) {
  const auto state = shared_.registry.state();
  const std::string request_id = shared_.request_id();
  const api::RequestScope scope(request_id);
  for (const std::string& server : volume.servers) {
    const std::string address =
        shared_.with_topology([&](topology::Topology& topology) { return topology.grpc_address(server); });
    if (address.empty()) continue;
    const OrderFence fence{state->cluster_id, state->generation, term, shared_.next_order.fetch_add(1)};
    shared_.orders->delete_volume(
        address, fence, volume.volume, true,
        [this, server, id = volume.volume, loop = shared_.loop_owner](const Status& deleted) {
          loop->post([this, server, id, deleted] {
            if (stopped_) return;
            if (!deleted) {
              LOG_WARNING("volume {}, left half made by an earlier leader, stays on {}: {}", text(id), server,
                          deleted.error().what());
              return;
            }
            LOG_INFO("volume {} was left half made by an earlier leader: its empty copy on {} is deleted", text(id),
                     server);
            const Instant now = shared_.clock.now();
            shared_.with_topology([&](topology::Topology& topology) { topology.removed(id, server, now); });
          });
        });
  }
}

void Leftovers::settle(std::vector<VolumeId> volumes) {
  if (settling_) return;  // those that are not told now turn up again
  settling_ = true;
  shared_.consensus.load()->propose(
      topology::encode(topology::SettleVolumes{std::move(volumes)}),
      [this, term = term_, loop = shared_.loop_owner](const Result<std::string>&) {
        loop->post([this, term] {
          if (!stopped_ && term == term_) settling_ = false;
        });
      });
}

}  // namespace holdfast::master
