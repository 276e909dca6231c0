#include "service/master/assigner.h"

#include <algorithm>

#include "base/log.h"

namespace holdfast::master {

namespace {

constexpr std::uint64_t kDataSizeDefault = 1_MiB;
constexpr int kGrowthsPerAssignMax = 2;   // that made volumes and left none for this one
constexpr Duration kSettling = 3s;        // after a start: volume servers are about to report

// One per thread: for the choice of volumes.
topology::PickRandom& pick_random(io::Random& seed) {
  thread_local topology::PickRandom random(seed.next());
  return random;
}

// Cookies must not be guessed, so they are the system's random bits; 64 of them serve twice.
Cookie next_cookie(io::Random& random) {
  struct Store {
    const io::Random* source = nullptr;
    std::uint64_t bits = 0;
    bool half = false;
  };
  thread_local Store store;
  if (store.half && store.source == &random) {
    store.half = false;
    return Cookie(static_cast<std::uint32_t>(store.bits >> 32));
  }
  store = {&random, random.next(), true};
  return Cookie(static_cast<std::uint32_t>(store.bits));
}

Refusal not_acceptable(std::string text) { return {Refusal::Kind::not_acceptable, std::move(text)}; }

}  // namespace

Refusal no_leader_refusal(const View& view) {
  std::size_t voters = 0, connected = 0;
  for (const MemberView& member : view.members) {
    if (!member.voter) continue;
    ++voters;
    connected += member.connected || member.self ? 1 : 0;
  }
  std::string what;
  if (!view.waiting_for.empty()) {
    what = "no leader yet: " + view.waiting_for;
  } else if (!view.barred.empty()) {
    what = view.barred;
  } else if (view.is_leader()) {
    what = "the leading master waits to hear from a majority of the masters";
  } else if (const std::size_t majority = voters / 2 + 1; connected < majority) {
    what = "no master can lead: this one is connected to " + std::to_string(connected) + " of " +
           std::to_string(voters) + " masters, itself included, and " + std::to_string(majority) +
           " are needed; start the others, or mend the network between them";
  } else {
    what = "no master leads at the moment: this one is " + std::string(text(view.role)) + " in term " +
           text(view.term) + " and is connected to " + std::to_string(connected) + " of " + std::to_string(voters) +
           " voters, itself included; an election should end this within a second";
  }
  return {Refusal::Kind::unavailable, std::move(what), 1s};
}

Refusal growth_refusal(const Selection& selection, const Error& error) {
  switch (error.code()) {
    case Code::no_space: return no_room(selection);
    case Code::not_leader: return {Refusal::Kind::not_leader, error.what()};
    default: return growth_goes_on(selection, error.what());
  }
}

Assigner::Waiting::Waiting(const AssignRequest& r, Instant arrived_given, Done done_given)
    : request_id(api::RequestScope::current()),
      collection(r.collection),
      replication(r.replication),
      ttl(r.ttl),
      disk_type(r.disk_type),
      data_center(r.data_center),
      rack(r.rack),
      data_node(r.data_node),
      request(r),
      arrived(arrived_given),
      done(std::move(done_given)) {
  request.collection = collection;
  request.replication = replication;
  request.ttl = ttl;
  request.disk_type = disk_type;
  request.data_center = data_center;
  request.rack = rack;
  request.data_node = data_node;
}

Assigner::Assigner(Shared& shared, Growth& growth, Duties& duties)
    : shared_(shared), growth_(growth), duties_(duties), default_replication_([&] {
        const auto parsed = ReplicaPlacement::parse(shared.options.default_replication);
        if (!parsed) LOG_ERROR("default replication: {}; 000 is used", parsed.error().what());
        return parsed ? *parsed : ReplicaPlacement();
      }()) {}

// ---- at once -------------------------------------------------------------------------------------------------------

std::optional<AssignAnswer> Assigner::try_now(const AssignRequest& request) {
  Consensus* consensus = shared_.consensus.load(std::memory_order_acquire);
  if (consensus == nullptr) return std::nullopt;
  const Instant now = shared_.clock.now();
  if (!consensus->may_assign(now)) return std::nullopt;

  topology::LayoutRef ref;
  ref.collection = request.collection;
  ref.replica_placement = default_replication_;
  if (!request.replication.empty()) {
    const auto placement = ReplicaPlacement::parse(request.replication);
    if (!placement) return std::nullopt;
    ref.replica_placement = *placement;
  }
  if (!request.ttl.empty()) {
    const auto ttl = Ttl::parse(request.ttl);
    if (!ttl) return std::nullopt;
    ref.ttl = *ttl;
  }
  std::string disk_type;  // short enough to need no memory
  if (!request.disk_type.empty()) disk_type = topology::canonical_disk_type(request.disk_type);
  ref.disk_type = disk_type;

  const topology::LayoutPtr layout = shared_.layouts().find(ref);
  if (layout == nullptr) return std::nullopt;
  return take(*layout, {request.data_center, request.rack, request.data_node}, request.count, request.data_size, now);
}

std::optional<AssignAnswer> Assigner::take(topology::Layout& layout, const topology::Wish& wish, std::uint64_t count,
                                           std::uint64_t data_size, Instant now) {
  count = std::max<std::uint64_t>(count, 1);
  if (count > kAssignCountMax) return std::nullopt;
  const std::uint64_t each = std::min<std::uint64_t>(data_size == 0 ? kDataSizeDefault : data_size, 1ull << 39);
  AssignAnswer answer;
  answer.locations = layout.pick(now, wish, each * count, pick_random(shared_.random));
  if (answer.locations == nullptr) return std::nullopt;
  const auto key = shared_.keys.take(count);
  if (!key) return std::nullopt;
  answer.fid = {answer.locations->volume, *key, next_cookie(shared_.random)};
  answer.count = count;
  return answer;
}

// ---- waiting -------------------------------------------------------------------------------------------------------

void Assigner::add(std::shared_ptr<Waiting> waiting) {
  if (waiting_.size() >= kAssignsWaitingMax) {
    waiting->done(Refusal{Refusal::Kind::busy, "too many assigns are waiting", 1s});
    return;
  }
  const Instant now = shared_.clock.now();
  if (auto result = advance(waiting, now)) {
    answer(*waiting, std::move(*result));
  } else {
    shared_.counters.assigns_waited.add();
    waiting_.push_back(std::move(waiting));
  }
}

void Assigner::answer(Waiting& waiting, OrRefusal<AssignAnswer> result) {
  const auto* refusal = std::get_if<Refusal>(&result);
  if (refusal != nullptr && refusal->kind != Refusal::Kind::not_leader) shared_.counters.assigns_refused.add();
  waiting.done(std::move(result));
}

void Assigner::look(Instant now) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (auto result = advance(*it, now)) {
      const auto waiting = *it;
      it = waiting_.erase(it);
      answer(*waiting, std::move(*result));
    } else {
      ++it;
    }
  }
}

void Assigner::stop() {
  for (const auto& waiting : std::exchange(waiting_, {})) {
    waiting->done(Refusal{Refusal::Kind::unavailable, "this master stops", 1s});
  }
}

std::optional<OrRefusal<AssignAnswer>> Assigner::advance(const std::shared_ptr<Waiting>& waiting, Instant now) {
  if (!waiting->selection) {
    const AssignRequest& r = waiting->request;
    auto parsed = parse_selection(
        {r.collection, r.replication, r.ttl, r.disk_type, r.data_center, r.rack, r.data_node}, default_replication_);
    if (!parsed) return not_acceptable(parsed.error().what());
    if (r.count > kAssignCountMax) {
      return not_acceptable("count " + std::to_string(r.count) + " is too large: at most " +
                            std::to_string(kAssignCountMax) + " file ids at once");
    }
    parsed->preallocate = r.preallocate;
    parsed->memory_map_max_size_mb = r.memory_map_max_size_mb;
    waiting->selection = std::move(*parsed);
  }

  const bool leader_wait_over = now - waiting->arrived >= shared_.options.leader_wait;
  Consensus* consensus = shared_.consensus.load();
  const auto view = consensus->view();
  if (!view->is_leader()) {
    if (view->leader) return Refusal{Refusal::Kind::not_leader, "this master does not lead"};
    if (leader_wait_over) return no_leader_refusal(*view);
    return std::nullopt;
  }
  if (!consensus->may_assign(now)) {
    if (leader_wait_over) return no_leader_refusal(*view);
    return std::nullopt;
  }

  const Selection& selection = *waiting->selection;
  if (const auto layout = shared_.layouts().find(selection.layout.ref())) {
    const AssignRequest& r = waiting->request;
    if (auto answer = take(*layout, selection.wish(), r.count, r.data_size, now)) return *answer;
    if (layout->can_pick(now, selection.wish())) {
      duties_.need_keys(std::max<std::uint64_t>(r.count, 1));
      duties_.look(now);
      if (leader_wait_over) {
        return Refusal{Refusal::Kind::unavailable, "file keys are being reserved on a majority of the masters", 1s};
      }
      return std::nullopt;
    }
  }
  return advance_growth(waiting, now);
}

bool Assigner::is_settling(Instant now) {
  return now - shared_.started < kSettling || shared_.with_topology([](topology::Topology& topology) {
    return topology.silent_count() > 0 || !topology.pending_adoptions(1).empty();
  });
}

bool Assigner::is_gathering(std::uint64_t room, Instant now) {
  if (room != room_seen_) {
    room_seen_ = room;
    room_since_ = now;
  }
  return now - shared_.started < kSettling && now - room_since_ < shared_.options.gather_servers;
}

std::optional<OrRefusal<AssignAnswer>> Assigner::advance_growth(const std::shared_ptr<Waiting>& waiting, Instant now) {
  const Selection& selection = *waiting->selection;
  const Duration waited = now - waiting->arrived;
  if (waited >= shared_.options.growth_wait) {
    if (shared_.options.growth_disabled) return not_acceptable(no_writable_text(selection));
    return Refusal{Refusal::Kind::timed_out, "request timeout"};
  }
  if (waiting->growing) return std::nullopt;

  bool has_servers = false, has_room = false, has_data_center = true;
  std::uint64_t room = 0;
  shared_.with_topology([&](topology::Topology& topology) {
    has_servers = topology.has_servers();
    has_data_center = selection.data_center.empty() || topology.has_data_center(selection.data_center);
    room = topology.room_version();
    for (const auto& server : topology.growth_servers(selection.layout.disk_type)) has_room |= server.free > 0;
  });
  const auto& failure = waiting->growth_failed;
  const bool for_want_of_servers =
      !has_room || (failure && (failure->code() == Code::no_space || failure->code() == Code::unavailable));
  if (for_want_of_servers && is_settling(now)) {
    if (waited >= shared_.options.leader_wait) {
      // Not "no room": who is not heard may have some.
      return growth_goes_on(selection, failure ? failure->what() : "volume servers that are known are not heard yet");
    }
    // Tried again when there is more room than there was at the last try.
    if (!has_room || room == waiting->room_tried) return std::nullopt;
  } else if (failure) {
    return growth_refusal(selection, *failure);
  }
  if (!has_data_center && (!has_servers || waiting->request.known_data_center_only) && (!has_room || !is_settling(now))) {
    return Refusal{Refusal::Kind::bad_request, "data center " + selection.data_center + " not found in topology"};
  }
  if (!has_room) return no_room(selection);
  if (shared_.options.growth_disabled) return std::nullopt;
  if (waiting->growths == 0 && is_gathering(room, now)) return std::nullopt;
  if (waiting->growths >= kGrowthsPerAssignMax) return growth_goes_on(selection, "");

  ++waiting->growths;
  waiting->growing = true;
  waiting->growth_failed.reset();
  waiting->room_tried = room;
  const std::uint32_t asked = waiting->request.writable_volume_count;
  growth_.remember_wanted(selection.layout, asked);
  const std::uint32_t volumes = asked != 0 ? asked : growth_.default_volumes(selection.layout.replica_placement);
  const api::RequestScope scope(waiting->request_id);
  growth_.join_or_begin(selection, volumes, [this, weak = std::weak_ptr<Waiting>(waiting)](const Growth::Outcome& outcome) {
    const auto w = weak.lock();
    if (w == nullptr) return;
    w->growing = false;
    if (!outcome) {
      w->growth_failed = outcome.error();
      --w->growths;
    }
    shared_.loop.wake();
  });
  return std::nullopt;
}

}  // namespace holdfast::master
