// Locator: who holds a volume, by the word of any master.
//
// An answer is kept for kFreshFor and then asked for again; forget() drops it at once, when a copy could not be sent
// there. Several that ask for the same volume meanwhile share one question. So a server that the masters have dropped
// costs at most one failed write (upstream keeps such an answer for ten minutes and fails all of them).
//
// Thread-safe; nothing here waits.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "client/master_client.h"
#include "io/clock.h"
#include "service/volume/volume_service.h"

namespace holdfast::volume {

class Locator {
 public:
  using Done = VolumeService::Done<std::vector<Location>>;
  // Asks the masters for a volume; a stub in tests. not_found: nobody holds it.
  using Ask = std::function<void(VolumeId, Done)>;

  static constexpr Duration kFreshFor = 5s;
  static constexpr Duration kAbsentFor = 200ms;  // that nobody holds a volume changes soon, when it is just being made
  static constexpr std::size_t kKnownMax = 1u << 20;

  Locator(io::Clock& clock, Ask ask) : inside_(std::make_shared<Inside>(clock, std::move(ask))) {}

  void locate(VolumeId id, Done done);
  void forget(VolumeId id);

 private:
  struct Known {
    Instant until = kDistantPast;
    std::vector<Location> locations;  // empty: nobody
    std::vector<Done> waiting;        // not empty: a question is under way
  };
  struct Inside {
    Inside(io::Clock& c, Ask a) : clock(c), ask(std::move(a)) {}
    io::Clock& clock;
    const Ask ask;
    Mutex mutex;  // leaf
    std::unordered_map<VolumeId, Known> known HOLDFAST_GUARDED_BY(mutex);
  };
  static void answered(const std::shared_ptr<Inside>& inside, VolumeId id, Result<std::vector<Location>> answer);

  std::shared_ptr<Inside> inside_;  // shared with questions under way
};

// The Ask of production.
Locator::Ask ask_masters(client::MasterClient& masters);

}  // namespace holdfast::volume
