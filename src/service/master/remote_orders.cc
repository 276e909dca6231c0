#include "service/master/remote_orders.h"

#include <utility>

#include "client/volume_orders.h"

namespace holdfast::master {

namespace {

Fence wire_fence(const OrderFence& fence) {
  return {.cluster = fence.cluster_id, .generation = fence.generation, .term = fence.term, .sequence = fence.sequence};
}

class RemoteOrders final : public VolumeOrders {
 public:
  void allocate_volume(const std::string& grpc_address, const OrderFence& fence, const AllocateOrder& order,
                       Done done) override {
    orders_->allocate(grpc_address,
                      {.volume = order.volume,
                       .collection = order.collection,
                       .replica_placement = order.replica_placement,
                       .ttl = order.ttl,
                       .disk_type = order.disk_type,
                       .preallocate_bytes = order.preallocate,
                       .memory_map_max_size_mb = order.memory_map_max_size_mb,
                       .version = order.version},
                      wire_fence(fence), std::move(done));
  }

  void delete_volume(const std::string& grpc_address, const OrderFence& fence, VolumeId volume, bool only_empty,
                     Done done) override {
    orders_->remove(grpc_address, volume, only_empty, wire_fence(fence), std::move(done));
  }

  void delete_collection(const std::string& grpc_address, const OrderFence& fence, const std::string& collection,
                         Done done) override {
    orders_->delete_collection(grpc_address, collection, wire_fence(fence), std::move(done));
  }

  void heal(const std::string& grpc_address, const OrderFence& fence, const HealOrder& order, Duration time_max,
            HealDone done) override {
    using Step = client::VolumeOrders::Heal::Step;  // the same, in the same order
    orders_->heal(grpc_address,
                  {.step = static_cast<Step>(order.step),
                   .volume = order.volume,
                   .token = order.token,
                   .time = order.time,
                   .source = order.source,
                   .from = order.from,
                   .to = order.to,
                   .frozen = order.frozen},
                  wire_fence(fence), time_max, [done = std::move(done)](const Result<client::VolumeOrders::Healed>& healed) {
                    if (!healed) return done(healed.error());
                    done(Healed{healed->epoch, healed->files, healed->missing, healed->example, healed->bytes});
                  });
  }

  void vacuum_check(const std::string& grpc_address, VolumeId volume, Duration time_max, RatioDone done) override {
    orders_->vacuum_check(grpc_address, volume, time_max, std::move(done));
  }

  void vacuum(const std::string& grpc_address, const OrderFence& fence, VacuumStep step, VolumeId volume,
              Duration time_max, Done done) override {
    switch (step) {
      case VacuumStep::compact:
        return orders_->vacuum_compact(grpc_address, volume, wire_fence(fence), time_max, std::move(done));
      case VacuumStep::commit:
        return orders_->vacuum_commit(grpc_address, volume, wire_fence(fence), time_max, std::move(done));
      case VacuumStep::clean_up:
        return orders_->vacuum_clean_up(grpc_address, volume, wire_fence(fence), time_max, std::move(done));
    }
  }

 private:
  const std::unique_ptr<client::VolumeOrders> orders_ =
      client::make_volume_orders(std::chrono::duration_cast<Duration>(kOrderTimeout));
};

}  // namespace

std::unique_ptr<VolumeOrders> make_remote_orders() { return std::make_unique<RemoteOrders>(); }

}  // namespace holdfast::master
