#include "service/master/key_values_service.h"

#include <algorithm>

#include "base/metrics.h"
#include "service/master/admin_locks.h"
#include "service/master/assigner.h"

namespace holdfast::master {
namespace {

constexpr std::size_t kOpenWaitsMax = 10'000;

struct Gauges {
  metrics::Gauge& keys = metrics::process().gauge("holdfast_kv_keys", "keys in the masters' key-value space");
  metrics::Gauge& bytes = metrics::process().gauge("holdfast_kv_bytes", "bytes of keys and values in it");
  metrics::Gauge& mortal = metrics::process().gauge("holdfast_kv_keys_with_ttl", "keys in it that have a time to live");
  metrics::Gauge& revision = metrics::process().gauge("holdfast_kv_revision", "its last change");
  metrics::Gauge& watches = metrics::process().gauge("holdfast_kv_watches", "watches that wait at this master");
};
Gauges& gauges() {
  static Gauges gauges;
  return gauges;
}

Refusal stopping() { return {Refusal::Kind::unavailable, "this master stops", 1s}; }

Refusal refusal_of(const Error& error) {
  switch (error.code()) {
    case Code::not_leader: return {Refusal::Kind::not_leader, "this master does not lead"};
    case Code::busy: return {Refusal::Kind::busy, error.what(), 1s};
    case Code::unavailable: return {Refusal::Kind::unavailable, error.what(), 1s};
    case Code::outcome_unknown:
      return {Refusal::Kind::outcome_unknown,
              "the leader lost its place meanwhile: it may have been done or not; look before asking again, or ask "
              "again under the same request id"};
    case Code::invalid: return {Refusal::Kind::bad_request, error.what()};
    default: return {Refusal::Kind::failed, error.what()};
  }
}

}  // namespace

// ---- whether all masters know the space ----------------------------------------------------------------------------

bool KeyValueService::is_open() const { return shared_.registry.state()->feature_level >= kv::kFeatureLevel; }

Refusal KeyValueService::closed(bool* temporary) const {
  const auto state = shared_.registry.state();
  const auto view = shared_.consensus.load()->view();
  *temporary = true;
  std::string away;
  for (const MemberView& member : view->members) {
    if (!member.voter) continue;
    const bool here = member.self || (member.connected && !member.process.empty());
    // Of one that is not connected what it said last: it may be about to come back as a newer build.
    std::uint32_t level = here ? member.feature_level : 0;
    std::string name = member.http;
    if (const auto known = state->members.find(member.id); known != state->members.end()) {
      if (!here) level = known->second.feature_level;
      if (name.empty()) name = known->second.http;
    }
    if (name.empty()) name = text(member.id);
    if (level >= kv::kFeatureLevel) continue;
    if (here) {
      *temporary = false;
      return {Refusal::Kind::unsupported,
              "not all masters know the key-value space yet: master " + name + " runs feature level " +
                  std::to_string(level) + ", it needs " + std::to_string(kv::kFeatureLevel) +
                  ": start this release there too"};
    }
    away += (away.empty() ? "" : ", ") + name;
  }
  if (!away.empty()) {
    return {Refusal::Kind::unavailable,
            "not all masters are known to know the key-value space yet: not connected, and not of this release when last "
            "heard: " + away,
            1s};
  }
  return {Refusal::Kind::unavailable, "the key-value space is about to open: the masters agree on their feature level",
          1s};
}

void KeyValueService::when_open(std::function<void(std::optional<Refusal>)> done) {
  if (is_open()) return done(std::nullopt);
  if (shared_.consensus.load() == nullptr) {
    return done(Refusal{Refusal::Kind::unavailable, "this master is starting", 1s});
  }
  const Instant end = shared_.clock.now() + shared_.options.leader_wait;
  const bool posted = shared_.loop.post([this, end, done] {
    if (stopped_ || open_waits_.size() >= kOpenWaitsMax) return done(stopping());
    open_waits_.push_back({end, done});
    look_at_open_waits(shared_.clock.now());
  });
  if (!posted) done(stopping());
}

void KeyValueService::look_at_open_waits(Instant now) {
  if (open_waits_.empty()) return;
  const bool open = is_open();
  bool temporary = true;
  const auto refusal = open ? std::optional<Refusal>() : closed(&temporary);
  for (auto it = open_waits_.begin(); it != open_waits_.end();) {
    if (!open && temporary && now < it->end) {
      ++it;
      continue;
    }
    const auto done = std::move(it->done);
    it = open_waits_.erase(it);
    done(refusal);
  }
}

// ---- writes --------------------------------------------------------------------------------------------------------

void KeyValueService::write(kv::Command command, std::function<void(OrRefusal<kv::Answer>)> done) {
  const Operation operation = std::holds_alternative<kv::Put>(command)      ? Operation::put
                              : std::holds_alternative<kv::Delete>(command) ? Operation::remove
                                                                            : Operation::renew;
  const auto refuse = [&](const Refusal& refusal) {
    count_refusal(operation, refusal);
    done(refusal);
  };
  Consensus* consensus = shared_.consensus.load();
  if (consensus == nullptr) return refuse({Refusal::Kind::unavailable, "this master is starting", 1s});
  if (!consensus->view()->is_leader()) return refuse({Refusal::Kind::not_leader, "this master does not lead"});
  bool temporary = false;
  if (!is_open()) return refuse(closed(&temporary));
  if (auto fault = kv::fault_of(command)) return refuse({Refusal::Kind::bad_request, std::move(*fault)});
  if (writes_->fetch_add(1) >= kKvWritesMax) {
    writes_->fetch_sub(1);
    return refuse({Refusal::Kind::busy, "more than " + std::to_string(kKvWritesMax) + " writes are under way", 1s});
  }
  consensus->propose(kv::encode(command), [operation, writes = writes_, done = std::move(done)](Result<std::string> bytes) {
    writes->fetch_sub(1);
    auto answer = bytes.ok() ? kv::decode_answer(*bytes) : Result<kv::Answer>(bytes.error());
    if (!answer) {
      const Refusal refusal = refusal_of(answer.error());
      count_refusal(operation, refusal);
      return done(refusal);
    }
    count(operation, kv::text(answer->outcome));
    done(std::move(*answer));
  });
}

// ---- reads ---------------------------------------------------------------------------------------------------------

bool KeyValueService::is_answer(Index applied) const {
  const Consensus* consensus = shared_.consensus.load();
  return consensus != nullptr && consensus->may_answer(applied);
}

void KeyValueService::confirmed(Confirmed done, std::optional<std::string> key) {
  if (shared_.consensus.load() == nullptr) {
    return done(Refusal{Refusal::Kind::unavailable, "this master is starting", 1s}, false);
  }
  ask_for_read(shared_.clock.now() + shared_.options.leader_wait, std::move(key), std::move(done));
}

// A leader that dies with the question costs another one: asking twice does no harm.
void KeyValueService::ask_for_read(Instant end, std::optional<std::string> key, Confirmed done) {
  Consensus* consensus = shared_.consensus.load();
  const auto heard = [this, consensus, end, key, done = std::move(done),
                      asked = shared_.clock.now()](const Result<Consensus::KeyRead>& read) {
    if (read) return done(std::nullopt, read->whole);
    // One that was refused at once (this master stops) would be so again.
    const Instant now = shared_.clock.now();
    if (read.error().code() == Code::unavailable && now < end && now - asked > 100ms) return ask_for_read(end, key, done);
    Refusal refusal = no_leader_refusal(*consensus->view());
    refusal.text = "no leading master could confirm this read (?stale=true asks none): " + refusal.text;
    done(std::move(refusal), false);
  };
  if (key) return consensus->confirm_read_of(*key, heard);
  consensus->confirm_read([heard](const Result<Index>& index) {
    heard(index ? Result<Consensus::KeyRead>({*index}) : Result<Consensus::KeyRead>(index.error()));
  });
}

void KeyValueService::get(std::string key, bool stale, std::function<void(OrRefusal<KvRecord>)> done) {
  const auto look = [this](const std::string& name) {
    return shared_.registry.with_kv([&](const kv::Space& space, Index applied) {
      const kv::Item* item = space.find(name);
      return KvRecord{item == nullptr ? std::nullopt : std::optional(*item), space.revision(), applied};
    });
  };
  const auto tell = [done](KvRecord record) {
    count(Operation::get, record.item ? "done" : "not_found");
    done(std::move(record));
  };
  auto record = look(key);
  if (stale || is_answer(record.applied)) return tell(std::move(record));
  confirmed(
      [key, look, tell, done](std::optional<Refusal> refusal, bool whole) {
        if (refusal) {
          count_refusal(Operation::get, *refusal);
          return done(std::move(*refusal));
        }
        auto record = look(key);
        if (!whole) record.revision.reset();
        tell(std::move(record));
      },
      key);
}

void KeyValueService::list(kv::ListRequest request, bool stale, std::function<void(OrRefusal<KvList>)> done) {
  const auto look = [this](const kv::ListRequest& wanted) {
    return shared_.registry.with_kv(
        [&](const kv::Space& space, Index applied) { return KvList{space.list(wanted), applied}; });
  };
  const auto tell = [done](KvList list) {
    count(Operation::list, "done");
    done(std::move(list));
  };
  auto list = look(request);
  if (stale || is_answer(list.applied)) return tell(std::move(list));
  confirmed([request = std::move(request), look, tell, done](std::optional<Refusal> refusal, bool) {
    if (!refusal) return tell(look(request));
    count_refusal(Operation::list, *refusal);
    done(std::move(*refusal));
  });
}

// ---- watches -------------------------------------------------------------------------------------------------------

kv::Changes KeyValueService::changes(const kv::Filter& filter, kv::Revision since, std::size_t limit) const {
  return shared_.registry.with_kv(
      [&](const kv::Space& space, Index) { return space.changes(filter, since, limit); });
}

void KeyValueService::watch(KvWatch watch, std::function<void(OrRefusal<kv::Changes>)> done) {
  const Instant end = shared_.clock.now() + watch.wait;
  const auto wait = [this, watch, end, done](kv::Revision since) {
    const bool posted = shared_.loop.post([this, watch, end, since, done] {
      if (stopped_) return done(stopping());
      if (watches_.size() >= kKvWatchesMax) {
        return done(Refusal{Refusal::Kind::busy,
                            "more than " + std::to_string(kKvWatchesMax) + " watches wait at this master: try another", 1s});
      }
      watches_.push_back({watch.filter, since, end, watch.limit, done});
      look_at_watches(shared_.clock.now(), true);
    });
    if (!posted) done(stopping());
  };
  if (watch.since) return wait(*watch.since);
  confirmed([this, wait, done](std::optional<Refusal> refusal, bool) {
    if (refusal) return done(std::move(*refusal));
    wait(shared_.registry.with_kv([](const kv::Space& space, Index) { return space.revision(); }));
  });
}

void KeyValueService::look_at_watches(Instant now, bool changed) {
  for (auto it = watches_.begin(); it != watches_.end();) {
    kv::Changes found;
    found.until = it->since;
    if (changed) found = changes(it->filter, it->since, it->limit);
    it->since = found.compacted ? it->since : found.until;
    if (found.changes.empty() && !found.compacted && now < it->end) {
      ++it;
      continue;
    }
    const auto done = std::move(it->done);
    it = watches_.erase(it);
    count(Operation::watch, found.compacted ? "compacted" : found.changes.empty() ? "nothing" : "done");
    done(std::move(found));
  }
}

// ---- the loop ------------------------------------------------------------------------------------------------------

void KeyValueService::look(Instant now) {
  if (stopped_) return;
  look_at_open_waits(now);
  auto& g = gauges();
  const auto revision = shared_.registry.with_kv([&](const kv::Space& space, Index) {
    g.keys.set(static_cast<double>(space.keys()));
    g.bytes.set(static_cast<double>(space.bytes()));
    g.mortal.set(static_cast<double>(space.lives().size()));
    if (space.revision() != seen_) {
      auto holders = admin_lock_holders(space);
      const Guard guard(locks_->mutex);
      locks_->holders = std::move(holders);
    }
    return space.revision();
  });
  g.revision.set(static_cast<double>(revision.value()));
  look_at_watches(now, std::exchange(seen_, revision) != revision);
  g.watches.set(static_cast<double>(watches_.size()));
  look_after_expiry(now);
}

void KeyValueService::look_after_expiry(Instant now) {
  Consensus* consensus = shared_.consensus.load();
  const auto view = consensus->view();
  if (!view->is_leader()) {
    leads_in_.reset();
    return;
  }
  if (leads_in_ != view->term) {
    leads_in_ = view->term;
    expiry_.begin();
  }
  auto over = shared_.registry.with_kv([&](const kv::Space& space, Index) { return expiry_.look(space, now); });
  if (over.empty()) return;
  consensus->propose(kv::encode(kv::Expire{std::move(over)}), [](Result<std::string> bytes) {
    const auto answer = bytes.ok() ? kv::decode_answer(*bytes) : Result<kv::Answer>(bytes.error());
    if (!answer) return count_refusal(Operation::expire, refusal_of(answer.error()));
    for (std::uint64_t i = 0; i < answer->version; ++i) count(Operation::expire, "done");
  });
}

void KeyValueService::stop() {
  stopped_ = true;
  for (const auto& wait : std::exchange(open_waits_, {})) wait.done(stopping());
  for (const auto& wait : std::exchange(watches_, {})) wait.done(stopping());
}

// ---- metrics -------------------------------------------------------------------------------------------------------

KeyValueService::KeyValueService(Shared& shared)
    : shared_(shared), lock_metrics_(metrics::process().collector([locks = locks_](std::vector<metrics::Family>& out) {
        metrics::Family family{"SeaweedFS_master_admin_lock", "1 for who holds an administrator's lock.",
                               metrics::Family::Kind::gauge, {}};
        const Guard guard(locks->mutex);
        for (const auto& holder : locks->holders) family.samples.push_back({{{"client", holder}}, 1, {}});
        if (!family.samples.empty()) out.push_back(std::move(family));
      })) {}

void KeyValueService::count(Operation operation, const char* outcome) {
  static constexpr std::array<const char*, kOperations> kNames = {"put",  "delete", "renew", "expire",
                                                                  "get",  "list",   "watch"};
  metrics::process()
      .counter("holdfast_kv_operations_total", "operations on the masters' key-value space that were decided here",
               {{"operation", kNames[static_cast<std::size_t>(operation)]}, {"outcome", outcome}})
      .add();
}

void KeyValueService::count_refusal(Operation operation, const Refusal& refusal) {
  switch (refusal.kind) {
    case Refusal::Kind::outcome_unknown: return count(operation, "unknown");
    case Refusal::Kind::bad_request: return count(operation, "invalid");
    case Refusal::Kind::not_leader: return;  // passed on, and counted there
    default: return count(operation, "refused");
  }
}

}  // namespace holdfast::master
