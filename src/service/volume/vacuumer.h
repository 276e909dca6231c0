// Vacuumer: carries out the orders to vacuum, on threads of its own: a compaction may take hours, and a commit must not
// wait on a thread of the pool that the volumes' writers use.
//
// Thread-safe.
#pragma once

#include <functional>
#include <optional>

#include "service/volume/fence_keeper.h"
#include "service/volume/vacuum_service.h"
#include "storage/volume/vacuums.h"
#include "storage/volume/work_pool.h"

namespace holdfast::volume {

class Vacuumer final : public VacuumService {
 public:
  // More than that many at once would only make a disk seek; they wait for their turn. A master orders one at a time.
  static constexpr int kCompactionsMax = 2;

  // Whether an order may be obeyed now.
  using Admit = std::function<Status(const std::optional<Fence>& fence, VolumeId id)>;

  // All outlive this. `changed` is called when a volume has become another.
  Vacuumer(io::Clock& clock, Store& store, std::uint64_t bytes_per_second, Admit admit, std::function<void()> changed);
  ~Vacuumer() override;

  Result<double> check(VolumeId id) override;
  void compact(VolumeId id, std::uint64_t preallocate_bytes, const std::optional<Fence>& fence, Progress progress,
               std::function<void(Status)> done) override;
  void commit(VolumeId id, const std::optional<Fence>& fence, std::function<void(Result<Vacuumed>)> done) override;
  void clean_up(VolumeId id, const std::optional<Fence>& fence, std::function<void(Status)> done) override;

  // Now and then: drops compactions that nobody committed.
  void tend() { vacuums_.drop_forgotten(); }

  // Calls off what is under way and answers it. Before the store is closed.
  void stop();

 private:
  io::Clock& clock_;
  const Admit admit_;
  const std::function<void()> changed_;
  Vacuums vacuums_;
  WorkPool compactions_{kCompactionsMax};
  WorkPool short_ones_{1};  // commits, and cleaning up, which must overtake the compaction that it calls off
};

}  // namespace holdfast::volume
