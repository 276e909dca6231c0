#include "front/grpc/keep_connected_call.h"

#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "api/convert.h"
#include "base/metrics.h"
#include "front/grpc/server_stream.h"
#include "front/grpc/status.h"
#include "model/address.h"

namespace holdfast::front {

namespace {

// A client that leaves so many messages unread is cut off and begins anew with the whole picture; upstream drops the
// overflow and leaves the client with a picture that is wrong.
constexpr std::size_t kMessagesMax = 10'000;

metrics::Counter& overflow_counter() {
  static auto& counter = metrics::process().counter("SeaweedFS_master_broadcast_to_full",
                                                    "Clients of KeepConnected that were cut off because they read too slowly.");
  return counter;
}

master_pb::KeepConnectedResponse message_of(const master::LocationChange& change) {
  master_pb::KeepConnectedResponse message;
  auto* location = message.mutable_volume_location();
  location->set_url(api::utf8(change.url));
  location->set_public_url(api::utf8(change.public_url));
  location->set_data_center(api::utf8(change.data_center));
  location->set_grpc_port(change.grpc_port);
  location->set_leader(api::utf8(change.leader));
  for (const VolumeId id : change.added) location->add_new_vids(id.value());
  for (const VolumeId id : change.removed) location->add_deleted_vids(id.value());
  for (const VolumeId id : change.ec_added) location->add_new_ec_vids(id.value());
  for (const VolumeId id : change.ec_removed) location->add_deleted_ec_vids(id.value());
  return message;
}

master_pb::KeepConnectedResponse message_of(const ClusterNode& node, bool is_added) {
  master_pb::KeepConnectedResponse message;
  auto* update = message.mutable_cluster_node_update();
  update->set_node_type(node.type);
  update->set_address(node.address);
  update->set_filer_group(node.group);
  update->set_is_add(is_added);
  update->set_created_at_ns(node.created_at_ns);
  return message;
}

master_pb::KeepConnectedResponse message_of(const LockRing& ring) {
  master_pb::KeepConnectedResponse message;
  auto* update = message.mutable_lock_ring_update();
  update->set_filer_group(ring.group);
  for (const std::string& server : ring.servers) update->add_servers(server);
  update->set_version(ring.version);
  return message;
}

class KeepConnectedCall final
    : public ServerStream<master_pb::KeepConnectedRequest, master_pb::KeepConnectedResponse> {
 public:
  KeepConnectedCall(master::Master& master, ClusterNodes& nodes, LockRings& rings, std::string peer)
      : ServerStream(kMessagesMax), master_(master), nodes_(nodes), rings_(rings), peer_(std::move(peer)) {}

 protected:
  // Only the first message counts; clients send no other.
  void received(const master_pb::KeepConnectedRequest& request) override {
    if (std::exchange(greeted_, true)) return;
    node_.type = request.client_type();
    node_.group = request.filer_group();
    node_.address = request.client_address().empty() ? peer_ : request.client_address();
    node_.version = request.version();
    node_.data_center = request.data_center();
    node_.rack = request.rack();
    node_.created_at_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
    if (const auto leader = master_.leader()) {
      begin(*leader);
      return;
    }
    const std::weak_ptr<ServerStream> weak = weak_from_this();
    master_.wait_for_leader([weak](master::OrRefusal<master::Leader> answer) {
      const auto self = std::static_pointer_cast<KeepConnectedCall>(weak.lock());
      if (!self) return;
      if (const auto* leader = std::get_if<master::Leader>(&answer)) {
        self->begin(*leader);
      } else {
        self->end(grpc::Status(grpc::StatusCode::UNKNOWN, kNotLeader));
      }
    });
  }

  void overflowed() override { overflow_counter().add(); }

  void over() override {
    std::unique_ptr<master::Subscription> subscription;
    Watches watches;
    {
      const Guard guard(mutex_);
      over_ = true;
      subscription = std::move(subscription_);
      watches = std::exchange(watches_, {});
    }
    subscription.reset();
    leave(watches);
  }

 private:
  void begin(const master::Leader& leader) {
    if (!leader.self) {
      redirect(hint_of(leader));
      return;
    }
    const std::string self_hint = hint_of(leader);
    const std::weak_ptr<ServerStream> weak = weak_from_this();
    std::vector<master::LocationChange> initial;
    auto subscription = master_.subscribe(
        [weak, self_hint](const master::LocationChange& change) {
          if (const auto self = std::static_pointer_cast<KeepConnectedCall>(weak.lock())) {
            self->changed(change, self_hint);
          }
        },
        &initial);
    {
      const Guard guard(mutex_);
      if (over_) return;  // and with it the subscription
      subscription_ = std::move(subscription);
    }
    if (initial.empty()) initial.emplace_back();
    initial.front().leader = self_hint;
    for (auto& change : initial) {
      if (&change != &initial.front()) change.leader.clear();
      post(message_of(change));
    }
    std::vector<master::LocationChange> early;
    {
      const Guard guard(mutex_);
      initial_sent_ = true;
      early.swap(early_);
      for (const auto& change : early) forward(change, self_hint);
    }
    begin_nodes();
  }

  struct Watches {
    std::uint64_t nodes = 0;  // 0: never begun
    std::uint64_t rings = 0;  // only of filers and S3 gateways
  };

  void begin_nodes() {
    if (ClusterNodes::is_node_type(node_.type)) nodes_.join(node_);
    if (node_.type == "filer") rings_.changed(node_.group);
    const std::weak_ptr<ServerStream> weak = weak_from_this();
    Watches watches;
    watches.nodes = nodes_.watch(node_.group, [weak](const ClusterNode& node, bool is_added) {
      if (const auto self = weak.lock()) self->post(message_of(node, is_added));
    });
    if (node_.type == "filer" || node_.type == "s3") {
      watches.rings = rings_.watch(node_.group, [weak](const LockRing& ring) {
        if (const auto self = weak.lock()) self->post(message_of(ring));
      });
    }
    bool late = false;
    {
      const Guard guard(mutex_);
      late = over_;
      if (!late) watches_ = watches;
    }
    if (late) leave(watches);
  }

  void leave(const Watches& watches) {
    if (watches.nodes == 0) return;
    nodes_.unwatch(watches.nodes);
    if (watches.rings != 0) rings_.unwatch(watches.rings);
    if (ClusterNodes::is_node_type(node_.type)) nodes_.leave(node_);
    if (node_.type == "filer") rings_.changed(node_.group);
  }

  void changed(const master::LocationChange& change, const std::string& self_hint) {
    const Guard guard(mutex_);
    if (initial_sent_) {
      forward(change, self_hint);
    } else {
      early_.push_back(change);
    }
  }

  // Under the lock, so that messages keep their order.
  void forward(const master::LocationChange& change, const std::string& self_hint) HOLDFAST_REQUIRES(mutex_) {
    if (!change.leader.empty() && change.leader != self_hint) {
      redirect(change.leader);
    } else if (!change.url.empty()) {
      auto message = message_of(change);
      message.mutable_volume_location()->clear_leader();  // in a delta it would send the client away
      post(std::move(message));
    }
  }

  void redirect(const std::string& leader) {
    master::LocationChange hint;
    hint.leader = leader;
    post(message_of(hint));
    end(grpc::Status::OK);
  }

  master::Master& master_;
  ClusterNodes& nodes_;
  LockRings& rings_;
  const std::string peer_;

  // Of the first message; constant after it.
  bool greeted_ = false;
  ClusterNode node_;

  Mutex mutex_;  // held over post() and end(), which take the base's leaf lock
  bool over_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool initial_sent_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::vector<master::LocationChange> early_ HOLDFAST_GUARDED_BY(mutex_);  // changes before the picture was sent
  std::unique_ptr<master::Subscription> subscription_ HOLDFAST_GUARDED_BY(mutex_);
  Watches watches_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace

std::string hint_of(const master::Leader& leader) {
  auto address = Address::parse(leader.http);
  const auto grpc = Address::parse(leader.grpc);
  if (!address || !grpc) return leader.http;
  if (grpc->port != address->grpc_port_or_default()) address->grpc_port = grpc->port;
  return text(*address);
}

grpc::ServerBidiReactor<master_pb::KeepConnectedRequest, master_pb::KeepConnectedResponse>* keep_connected(
    master::Master& master, ClusterNodes& nodes, LockRings& rings, grpc::CallbackServerContext* context) {
  (void)overflow_counter();  // shown from the first client on, also while it is 0
  return KeepConnectedCall::run(std::make_shared<KeepConnectedCall>(master, nodes, rings, context->peer()));
}

}  // namespace holdfast::front
