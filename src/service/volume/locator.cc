#include "service/volume/locator.h"

namespace holdfast::volume {
namespace {

Error nobody(VolumeId id) { return Error(Code::not_found, "volume id " + text(id) + " not found"); }

}  // namespace

void Locator::locate(VolumeId id, Done done) {
  std::optional<Result<std::vector<Location>>> answer;
  {
    Guard guard(inside_->mutex);
    auto& known = inside_->known[id];
    if (inside_->clock.now() < known.until) {
      answer = known.locations.empty() ? Result<std::vector<Location>>(nobody(id)) : known.locations;
    } else {
      known.waiting.push_back(std::move(done));
      if (known.waiting.size() > 1) return;
    }
  }
  if (answer) return done(std::move(*answer));
  inside_->ask(id, [inside = inside_, id](Result<std::vector<Location>> found) { answered(inside, id, std::move(found)); });
}

void Locator::answered(const std::shared_ptr<Inside>& inside, VolumeId id, Result<std::vector<Location>> answer) {
  std::vector<Done> waiting;
  {
    Guard guard(inside->mutex);
    // A server that asks for a million volumes has no use for the first ones.
    if (inside->known.size() > kKnownMax) {
      std::erase_if(inside->known, [](const auto& entry) { return entry.second.waiting.empty(); });
    }
    auto& known = inside->known[id];
    waiting.swap(known.waiting);
    if (answer.ok()) {
      known.locations = *answer;
      known.until = inside->clock.now() + (answer->empty() ? kAbsentFor : kFreshFor);
    } else if (answer.error().code() == Code::not_found) {
      known.locations.clear();
      known.until = inside->clock.now() + kAbsentFor;
    }
    if (answer.ok() && answer->empty()) answer = nobody(id);
  }
  for (auto& done : waiting) done(answer);
}

void Locator::forget(VolumeId id) {
  Guard guard(inside_->mutex);
  const auto it = inside_->known.find(id);
  if (it != inside_->known.end()) it->second.until = kDistantPast;
}

Locator::Ask ask_masters(client::MasterClient& masters) {
  return [&masters](VolumeId id, Locator::Done done) {
    masters.lookup({text(id)}, "", [id, done = std::move(done)](Result<std::vector<client::VolumeLocations>> answer) {
      if (!answer) return done(answer.error());
      std::vector<Location> out;
      for (const auto& volume : *answer) {
        for (const auto& place : volume.locations) {
          out.push_back({place.url, place.public_url, static_cast<std::uint16_t>(place.grpc_port)});
        }
      }
      if (out.empty()) return done(nobody(id));
      done(std::move(out));
    });
  };
}

}  // namespace holdfast::volume
