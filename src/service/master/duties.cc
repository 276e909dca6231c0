#include "service/master/duties.h"

#include <algorithm>

#include "base/log.h"

namespace holdfast::master {

namespace {

constexpr Duration kRefusedWait = 1s;         // before a refused proposal is made again
constexpr Duration kLayoutsInterval = 250ms;  // a pulse: sizes do not change sooner

}  // namespace

void Duties::look(Instant now) {
  const auto view = shared_.consensus.load()->view();
  if (!view->is_leader()) return;
  if (term_ != view->term) {
    term_ = view->term;
    proposed_.clear();  // answers of an earlier term say nothing about this one
    not_before_.clear();
    layouts_passed_ = now;
  }
  const auto state = shared_.registry.state();
  if (state->cluster_id == ClusterId()) {
    if (view->cluster_id != ClusterId()) propose("cluster", topology::InitCluster{view->cluster_id});
  }
  look_after_keys(*view, *state);
  look_after_members(*view, *state);
  look_after_folders(*state);
  if (now - layouts_looked_at_ >= kLayoutsInterval) {
    layouts_looked_at_ = now;
    look_after_layouts(now);
  }
}

void Duties::need_keys(std::uint64_t count) { keys_needed_ = std::max(keys_needed_, count); }

void Duties::propose(const std::string& name, const topology::Command& command) {
  const Instant now = shared_.clock.now();
  if (proposed_.contains(name)) return;
  if (const auto it = not_before_.find(name); it != not_before_.end() && now < it->second) return;
  proposed_.insert(name);
  shared_.consensus.load()->propose(
      topology::encode(command), [this, name, term = term_, loop = shared_.loop_owner](Result<std::string> answer) {
        loop->post([this, name, term, answer = std::move(answer)] {
          if (stopped_ || term != term_) return;
          proposed_.erase(name);
          const auto decided = answer.ok() ? topology::decode_answer(*answer)
                                           : Result<topology::Answer>(answer.error());
          if (decided) return;
          not_before_[name] = shared_.clock.now() + kRefusedWait;
          if (answer.ok() && complained_.insert(name + decided.error().what()).second) {
            LOG_WARNING("the masters refuse ({}): {}", name, decided.error().what());
          }
        });
      });
}

void Duties::look_after_keys(const View& view, const topology::RegistryState& state) {
  const std::uint64_t block = std::min(shared_.options.key_block, topology::kKeyBlockMax);
  for (const MemberView& member : view.members) {
    if ((!member.voter && !member.self) || member.witness) continue;
    const Uuid process = member.self ? view.process : member.process;
    const Incarnation incarnation = member.self ? view.incarnation : member.incarnation;
    if (process.empty()) continue;  // has not spoken yet
    std::uint64_t count = 0;
    if (member.self) {
      const std::uint64_t left = shared_.keys.left();
      if (left < block / 2) count = block;
      if (keys_needed_ > block) count = std::min(keys_needed_, topology::kKeyBlockMax);
    } else {
      const auto holder = state.holders.find(member.id);
      if (holder == state.holders.end() || holder->second.process != process || holder->second.blocks.empty()) {
        count = block;
      }
    }
    if (count == 0) continue;
    if (member.self) keys_needed_ = 0;
    propose("keys of " + text(member.id), topology::ReserveKeys{member.id, incarnation, process, count});
  }
}

void Duties::look_after_members(const View& view, const topology::RegistryState& state) {
  std::uint32_t level = ~0u;
  for (const MemberView& member : view.members) {
    const Uuid process = member.self ? view.process : member.process;
    if (member.voter) level = std::min(level, process.empty() ? 0 : member.feature_level);
    if (process.empty() || member.http.empty() || member.witness) continue;
    const topology::MemberRecord record{member.self ? view.incarnation : member.incarnation, process, member.http,
                                        member.grpc, member.http, member.feature_level};
    const auto known = state.members.find(member.id);
    if (known != state.members.end() && known->second == record) continue;
    propose("address of " + text(member.id),
            topology::AnnounceMember{member.id, record.incarnation, process, record.http, record.grpc,
                                     record.public_url, record.feature_level});
  }
  for (const auto& [id, record] : state.members) {
    if (view.member(id) == nullptr) propose("forget " + text(id), topology::ForgetMember{id});
  }
  if (level != ~0u && level > state.feature_level) {
    propose("feature level", topology::RaiseFeatureLevel{std::min(level, shared_.options.feature_level)});
  }
}

void Duties::look_after_folders(const topology::RegistryState& state) {
  if (state.cluster_id == ClusterId()) return;
  std::vector<topology::AdoptDirs> adoptions;
  NeedleId key;
  VolumeId volume;
  shared_.with_topology([&](topology::Topology& topology) {
    adoptions = topology.pending_adoptions(kAdoptionsAtOnceMax);
    key = topology.uncovered_key();
    volume = topology.uncovered_volume_id();
  });
  for (const topology::AdoptDirs& adoption : adoptions) {
    if (adoption.dirs.empty()) continue;
    propose("folder " + text(adoption.dirs.front()), adoption);
  }
  if (key != NeedleId()) propose("file key counter", topology::RaiseKeys{key});
  if (volume != VolumeId()) propose("volume id counter", topology::RaiseVolumeIds{volume});
}

void Duties::look_after_layouts(Instant now) {
  if (shared_.options.growth_disabled) return;
  const bool pass = now - layouts_passed_ >= shared_.options.growth_pass;
  if (pass) layouts_passed_ = now;
  const auto counts =
      shared_.with_topology([](topology::Topology& topology) { return topology.layout_counts(); });
  for (const auto& count : counts) {
    const topology::LayoutKey& key = count.layout->key();
    const std::uint32_t usual = growth_.default_volumes(key.replica_placement);
    if (count.layout->take_pick_count() > 0) used_.insert(key);
    if (!used_.contains(key) || growth_.is_growing(key)) continue;
    // Soon every assign would name a volume about to be full.
    const bool crowded = count.writable > 0 && count.crowded >= count.writable;
    const std::uint32_t asked = growth_.wanted(key);
    const std::uint32_t wanted = asked != 0 ? asked : usual;
    const bool few = pass && count.crowded > 0 && count.writable < 2ull * wanted &&
                     static_cast<double>(count.crowded + 2) >
                         shared_.options.crowded_threshold * static_cast<double>(count.writable);
    const std::uint32_t missing =
        !pass                         ? 0
        : count.writable == 0         ? wanted
        : count.writable < asked      ? asked - static_cast<std::uint32_t>(count.writable)
                                      : 0;
    if (!crowded && !few && missing == 0) {
      if (pass) look_after_places(*count.layout, now);
      continue;
    }
    Selection selection;
    selection.layout = key;
    growth_.join_or_begin(selection, missing != 0 ? missing : std::min(2u, usual), [key](const Growth::Outcome& outcome) {
      if (outcome) {
        LOG_INFO("collection \"{}\": its volumes fill up, {} new replicas made", key.collection, *outcome);
      }
    });
  }
  if (pass) used_.clear();
}

void Duties::look_after_places(const topology::Layout& layout, Instant now) {
  const topology::LayoutKey& key = layout.key();
  const auto servers =
      shared_.with_topology([&](topology::Topology& topology) { return topology.growth_servers(key.disk_type); });
  const bool by_rack = key.replica_placement.other_racks == 0;
  std::set<std::pair<std::string, std::string>> places;
  for (const auto& server : servers) {
    if (server.free > 0) places.emplace(server.data_center, by_rack ? server.rack : std::string());
  }
  std::vector<topology::Wish> wishes;
  for (const auto& [data_center, rack] : places) wishes.push_back({.data_center = data_center, .rack = rack, .server = {}});
  const auto room = static_cast<std::uint64_t>(static_cast<double>(shared_.options.volume_size_limit) *
                                               shared_.options.crowded_threshold);
  const std::uint32_t asked = growth_.wanted(key);
  const auto targets = static_cast<std::uint32_t>(wishes.size());
  const std::uint32_t each =
      asked != 0 ? (asked + targets - 1) / targets : std::min(2u, growth_.default_volumes(key.replica_placement));
  if (each == 0) return;
  for (const std::size_t i : layout.unmet(wishes, room, now)) {
    Selection selection;
    selection.layout = key;
    selection.data_center = wishes[i].data_center;
    selection.rack = wishes[i].rack;
    growth_.join_or_begin(selection, each, [key, place = selection.data_center + (by_rack ? "/" + selection.rack : "")](
                                               const Growth::Outcome& outcome) {
      if (outcome) {
        LOG_INFO("collection \"{}\": none of its volumes in {} had room, {} new replicas made", key.collection, place, *outcome);
      }
    });
  }
}

}  // namespace holdfast::master
