#include "service/volume/vacuumer.h"

#include "base/log.h"
#include "base/metrics.h"

namespace holdfast::volume {
namespace {

const Error kStops(Code::unavailable, "the volume server stops");

// With upstream's names (docs/metrics.md).
struct Counts {
  metrics::Histogram& seconds(const char* type) {
    return metrics::process().histogram("SeaweedFS_volumeServer_vacuuming_seconds", "how long a part of a vacuum took",
                                        {{"type", type}});
  }
  metrics::Histogram& compact_seconds = seconds("compact");
  metrics::Histogram& commit_seconds = seconds("commit");
  metrics::Counter& counter(const char* name, const char* help, bool success) {
    return metrics::process().counter(name, help, {{"success", success ? "true" : "false"}});
  }
  void compacted(bool success) {
    counter("SeaweedFS_volumeServer_vacuuming_compact_count", "compactions of volumes that ended", success).add();
  }
  void committed(bool success) {
    counter("SeaweedFS_volumeServer_vacuuming_commit_count", "compactions of volumes that were put into place", success).add();
  }
};

Counts& counts() {
  static Counts all;
  return all;
}

}  // namespace

Vacuumer::Vacuumer(io::Clock& clock, Store& store, std::uint64_t bytes_per_second, Admit admit, std::function<void()> changed)
    : clock_(clock), admit_(std::move(admit)), changed_(std::move(changed)), vacuums_(clock, store) {
  vacuums_.set_bytes_per_second(bytes_per_second);
}

Vacuumer::~Vacuumer() { stop(); }

Result<double> Vacuumer::check(VolumeId id) { return vacuums_.garbage_ratio(id); }

void Vacuumer::compact(VolumeId id, std::uint64_t preallocate_bytes, const std::optional<Fence>& fence,
                       Progress progress, std::function<void(Status)> done) {
  auto work = [this, id, preallocate_bytes, fence, progress = std::move(progress), done] {
    if (auto admitted = admit_(fence, id); !admitted) return done(admitted);
    const auto begun = clock_.now();
    const auto compacted = vacuums_.compact(id, {.preallocate_bytes = preallocate_bytes, .go_on = progress});
    counts().compact_seconds.observe(clock_.now() - begun);
    counts().compacted(compacted.ok());
    done(compacted.ok() ? Status() : Status(compacted.error()));
  };
  if (!compactions_.post(std::move(work))) done(kStops);
}

void Vacuumer::commit(VolumeId id, const std::optional<Fence>& fence, std::function<void(Result<Vacuumed>)> done) {
  auto work = [this, id, fence, done] {
    if (auto admitted = admit_(fence, id); !admitted) return done(admitted.error());
    const auto begun = clock_.now();
    const auto committed = vacuums_.commit(id);
    counts().commit_seconds.observe(clock_.now() - begun);
    counts().committed(committed.ok());
    if (!committed) return done(committed.error());
    changed_();
    done(Vacuumed{.read_only = (*committed)->is_read_only(), .bytes = (*committed)->dat_bytes()});
  };
  if (!short_ones_.post(std::move(work))) done(kStops);
}

void Vacuumer::clean_up(VolumeId id, const std::optional<Fence>& fence, std::function<void(Status)> done) {
  auto work = [this, id, fence, done] {
    if (auto admitted = admit_(fence, id); !admitted) return done(admitted);
    done(vacuums_.clean_up(id));
  };
  if (!short_ones_.post(std::move(work))) done(kStops);
}

void Vacuumer::stop() {
  vacuums_.stop();
  compactions_.stop();
  short_ones_.stop();
}

}  // namespace holdfast::volume
