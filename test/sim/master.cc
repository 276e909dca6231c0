#include "test/sim/master.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "test/sim/clients.h"
#include "test/sim/disk_store.h"
#include "test/sim/history.h"
#include "test/sim/model_store.h"
#include "test/sim/nemesis.h"

namespace holdfast::sim {
namespace {

constexpr std::size_t kInboxMax = 20'000;
constexpr int kTurnsAtOnceMax = 10'000;

}  // namespace

std::string register_write(std::uint64_t key, std::uint64_t value) {
  std::string out = "K";
  append_be(out, key);
  append_be(out, value);
  return out;
}

Master::Master(World& world, std::size_t slot)
    : world_(world), slot_(slot), local_base_(at(std::chrono::seconds(slot + 1)), at(std::chrono::seconds(5 * slot + 100))), true_base_(world.now()) {}
Master::~Master() = default;

// ---------------------------------------------------------------------------------------------- the machine

void Master::format(bool founder, const raft::Configuration& configuration, NodeId id) {
  id_ = id;
  incarnation_ = Incarnation(0);
  retired_ = lost_ = false;
  condition_ = raft::DiskCondition::good;
  sync_extra_ = Duration(0);
  if (world_.profile().real_disk) {
    store_ = make_disk_store(world_.random().next(), id);
  } else {
    store_ = std::make_unique<ModelStore>(world_.random().next());
  }
  if (founder) {
    store_->found(configuration);
  } else {
    store_->begin();
  }
  world_.moved(id, slot_);
}

raft::Time Master::local_time() const {
  if (clock_stopped_) return local_base_;
  const auto passed = static_cast<double>((world_.now() - true_base_).count());
  const auto counted = [&](double rate) { return Duration(static_cast<std::int64_t>(passed * rate)); };
  return {local_base_.boot + counted(rate_), local_base_.raw + counted(raw_rate_)};
}

void Master::set_rates(double boot, double raw) {
  if (clock_stopped_) return;
  local_base_ = local_time();
  true_base_ = world_.now();
  rate_ = boot;
  raw_rate_ = raw;
}

void Master::draw_rates() {
  auto& random = world_.lease_random();
  const auto drawn = [&](double bound) {
    if (random.chance(500'000)) return random.chance(500'000) ? 1 + bound : 1 - bound;
    return 1 + bound * (static_cast<double>(random.below(2001)) - 1000) / 1000;
  };
  const auto good = drawn(world_.profile().options.clock_drift);
  const auto other = random.chance(500'000) ? good : drawn(0.3);
  const bool first = random.chance(500'000);
  set_rates(first ? good : other, first ? other : good);
}

bool Master::holds_lease() const {
  const auto now = local_time();
  const auto& until = status_.lease.held.until;
  return up() && word_ != status_.term && now.boot < until.boot && now.raw < until.raw;
}

std::optional<raft::ReadBy> Master::would_serve(std::uint64_t key) const {
  if (!up() || word_ == status_.term) return std::nullopt;
  return core_->lease_serves(local_time(), std::to_string(key));
}

void Master::certify() {
  if (status_.role != raft::Role::leader) return;
  const auto term = status_.term;
  if (up() && world_.mutation() != raft::Mutation::lease_word_not_set) word_ = term;
  world_.checker().events.count("certificates");
  world_.check_release({term, raft::kEveryEpoch, id_});
  if (auto* history = world_.history()) history->certified(world_.now(), id_, term);
  for (std::size_t other = 0; other < kSlots; ++other) {
    if (other == slot_ || world_.cut(slot_, other) || world_.lease_random().chance(100'000)) continue;
    world_.after(world_.between(50us, 2ms), [this, other, input = raft::LeaseRevoked{id_, incarnation_, term}] {
      world_.master(other).give(input);
    });
  }
}

bool Master::paused() const { return world_.now() < paused_until_; }

void Master::pause(Duration length, bool clock_stops) {
  if (clock_stopped_) return;
  // With leases a clock that stands still breaks what they rest on: that is a mutant.
  if (world_.profile().leases) clock_stops = world_.mutation() == raft::Mutation::lease_clock_stops;
  paused_until_ = std::max(paused_until_, world_.now() + length);
  world_.checker().events.count(clock_stops ? "clocks stopped" : "processes paused");
  if (!clock_stops) return;
  local_base_ = local_time();
  clock_stopped_ = true;
  world_.after(length, [this] {
    true_base_ = world_.now();
    clock_stopped_ = false;
  });
}

void Master::start() {
  if (up() || retired_ || lost_ || !formatted()) return;
  auto opened = store_->open();
  if (!opened) {
    // The promises of this identity are gone; the machine may only come back as somebody new.
    world_.checker().events.count("identities lost");
    lost_ = true;
    world_.nemesis().identity_lost(*this);
    return;
  }
  incarnation_ = incarnation_.next();
  ++process_number_;
  auto start = *opened;
  world_.checker().started(id_, start);
  if (auto* history = world_.history()) history->started(world_.now(), id_, start);
  damaged_at_start_ = start.damage;
  if (start.damage) {
    world_.checker().events.count("starts with a damaged log");
    world_.nemesis().damaged(*this);
  }
  registry_ = std::make_unique<topology::Registry>();
  values_.clear();
  values_digest_ = 0;
  applied_ = Index(0);
  snapshot_index_ = Index(0);
  block_index_ = Index(0);
  keys_.clear();
  process_ = world_.random().uuid();
  inbox_.clear();
  to_disk_.clear();
  sequence_ = synced_ = 0;
  snapshot_.reset();
  disk_busy_ = turn_pending_ = false;
  wake_at_ = kDistantFuture;
  assign_until_ = kDistantPast;
  order_term_ = Term(0);
  proposals_.clear();
  reads_.clear();
  ready_reads_.clear();
  answers_.clear();
  heard_.clear();
  answered_tags_.clear();
  if (start.snapshot) {
    if (!store_->load_snapshot(start.snapshot->last)) {
      world_.checker().events.count("identities lost");
      lost_ = true;
      store_->crash(false);
      world_.nemesis().identity_lost(*this);
      return;
    }
    restore(*start.snapshot);
  }
  auto options = world_.profile().options;
  options.self = id_;
  options.incarnation = incarnation_;
  options.seed = world_.random().next();
  options.mutation = world_.mutation();
  if (world_.profile().leases) {
    if (lease_length_ == Duration(0)) {
      const auto spread = world_.profile().lease_length_max - world_.profile().lease_length_min;
      lease_length_ = world_.profile().lease_length_min +
                      Duration(static_cast<std::int64_t>(world_.lease_random().below(
                          static_cast<std::uint64_t>(spread.count()) + 1)));
      draw_rates();
    }
    options.lease_length = lease_length_;
    options.touched = [](const Entry& entry) -> std::optional<std::vector<std::string>> {
      const auto key = written_register(entry);
      return std::vector<std::string>{key ? std::to_string(*key) : "registry"};
    };
  }
  word_.reset();
  start.disk_full = condition_ == raft::DiskCondition::full;
  core_ = std::make_unique<raft::Core>(options, std::move(start), local_time());
  status_ = core_->status();
  world_.note(1, slot_ * 1000 + incarnation_.value(), [&] {
    return fmt::format("start n{} incarnation {} term {} last {}{}", id_.value().low, incarnation_.value(),
                       status_.term.value(), status_.last.value(), store_->remarks());
  });
  wake_later(1us);
}

void Master::crash(bool power_loss) {
  if (!up()) return;
  world_.note(2, slot_, [&] { return fmt::format("{} n{}", power_loss ? "power loss" : "kill", id_.value().low); });
  world_.checker().events.count(power_loss ? "power losses" : "kills");
  core_.reset();
  ++process_number_;
  store_->crash(power_loss);
}

void Master::die(bool power_loss) {
  crash(power_loss);
  world_.nemesis().died(*this);
}

void Master::disk_condition(raft::DiskCondition condition) {
  condition_ = condition;
  if (up()) give(raft::DiskChanged{condition});
}

void Master::heard_from(std::size_t slot) { heard_[slot] = local(); }

// Whether a majority of the voters has been heard from within `length`, by this machine's own clock.
bool Master::received_from_majority_within(Duration length) const {
  std::size_t fresh = 0;
  for (const auto& member : core_->configuration().members()) {
    if (!member.voter) continue;
    if (member.id == id_) {
      ++fresh;
      continue;
    }
    const auto slot = world_.slot_of(member.id);
    const auto found = slot ? heard_.find(*slot) : heard_.end();
    if (found != heard_.end() && local() - found->second <= length) ++fresh;
  }
  return fresh >= core_->configuration().majority();
}

// ---------------------------------------------------------------------------------------------- the process

void Master::give(raft::Input input) {
  if (!up() || inbox_.size() >= kInboxMax) return;
  inbox_.push_back(std::move(input));
  if (!turn_pending_) wake_later(world_.between(2us, 40us));
}

void Master::wake_later(Duration delay) {
  turn_pending_ = true;
  world_.after(delay, [this, process = process_number_] {
    if (process != process_number_) return;
    if (paused()) {
      wake_later(paused_until_ - world_.now());
    } else {
      turn();
    }
  });
}

void Master::turn() {
  turn_pending_ = false;
  std::vector<raft::Input> inputs;
  while (!inbox_.empty() && inputs.size() < world_.profile().inputs_max) {
    inputs.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
  }
  // As every read does, the loop looks at the guardian's word.
  if (word_ == status_.term && !status_.lease.revoked && status_.role == raft::Role::leader) {
    inputs.push_back(raft::LeaseRevoked{id_, incarnation_, status_.term});
  }
  const auto process = process_number_;
  handle(core_->step(local_time(), inputs), inputs.empty() ? nullptr : &inputs.front());
  if (process != process_number_) return;
  if (!inbox_.empty()) {
    wake_later(5us);
    return;
  }
}

void Master::handle(raft::Output out, const raft::Input* input) {
  const auto before = status_;
  status_ = core_->status();
  auto* history = world_.history();
  if (history != nullptr) history->stepped(world_.now(), id_, input, before, status_, out);
  world_.checker().stepped(id_, incarnation_, before, status_, core_->configuration(), out);
  auto& events = world_.checker().events;
  if (status_.role == raft::Role::leader && (before.role != raft::Role::leader || before.term != status_.term)) {
    if (status_.lease.wait_left > Duration(0)) events.count("leaders that had to wait");
    events.count("waits ended by a release", status_.counters.waits_released - before.counters.waits_released);
  }
  if (status_.role == raft::Role::leader && status_.commit > before.commit) {
    if (status_.lease.wait_left > Duration(0)) world_.checker().fail("I7: a leader commits before its wait is over");
    world_.check_commit_by(status_.term);
  }
  if (status_.role == raft::Role::leader || !out.committed.empty()) world_.check_leases();
  assign_until_ = out.assign_until;
  for (const auto& message : out.messages_now) send(message);
  if (out.restore) restore(*out.restore);
  answers_.clear();
  for (const auto& entry : out.committed) apply(entry);
  if (!out.committed.empty() || out.restore) take_blocks();

  const auto process = process_number_;
  for (const auto& done : out.proposals) {
    if (!answered_tags_.insert(done.tag).second) world_.checker().fail("I15: a proposal is answered twice");
    auto found = proposals_.extract(done.tag);
    if (found.empty()) continue;
    found.mapped()(done, answers_[done.index]);
  }
  for (const auto& read : out.reads) answered(read);
  if (history != nullptr) history->step_over();
  serve_reads();
  for (const auto& read : out.log_reads) {
    world_.after(world_.between(20us, 200us), [this, process, read] {
      if (process == process_number_) give(store_->fetch(read));
    });
  }
  for (const auto& read : out.snapshot_reads) {
    world_.after(world_.between(20us, 200us), [this, process, read] {
      if (process != process_number_) return;
      if (auto piece = store_->read_piece(read)) give(*piece);
    });
  }
  for (const auto& write : out.snapshot_writes) {
    world_.after(world_.between(20us, 500us), [this, process, write] {
      if (process != process_number_) return;
      give(store_->write_piece(write));
    });
  }
  if (out.leadership) {
    world_.note(3, status_.term.value(), [&] { return fmt::format("n{}: {}", id_.value().low, out.leadership->why); });
  }
  if (out.transfer_done && out.transfer_done->ok) world_.checker().events.count("hand-overs");
  for (const auto& notice : out.notices) {
    world_.note(4, static_cast<std::uint64_t>(notice.kind),
                [&] { return fmt::format("n{} is refused: {}", id_.value().low, notice.text); });
    world_.checker().events.count(notice.kind == raft::NoticeKind::removed ? "members told of their removal"
                                                                           : "members refused");
    retired_ = true;
  }
  if (out.halt) world_.checker().fail("halted: " + *out.halt);
  const auto wake_at = out.wake_at;
  // A step that asks to be followed by another one at once has something left to do, and comes to its end.
  turns_at_once_ = input == nullptr && wake_at <= local() ? turns_at_once_ + 1 : 0;
  if (turns_at_once_ == kTurnsAtOnceMax) {
    world_.checker().fail(fmt::format("I14: n{} asks to be woken at once, again and again", id_.value().low));
  }
  if (out.write_sequence != 0) {
    sequence_ = out.write_sequence;
    to_disk_.push_back(std::move(out));
    log_thread();
  }
  if (process != process_number_) return;
  if (retired_) {
    crash(false);
    return;
  }
  maybe_snapshot();

  // One wake-up is under way at a time; it looks again when it is too early.
  if (wake_at < wake_at_) {
    wake_at_ = wake_at;
    const auto number = ++wake_number_;
    const auto delay = std::max<Duration>(
        Duration(static_cast<std::int64_t>(static_cast<double>((wake_at - local()).count()) / rate_) + 1), 1us);
    world_.after(delay, [this, process, number] {
      if (process != process_number_ || number != wake_number_) return;
      wake_at_ = kDistantFuture;
      if (!turn_pending_) wake_later(1us);
    });
  }
}

void Master::send(const raft::Message& message) {
  world_.checker().sent(message);
  if (auto* history = world_.history()) history->said(world_.now(), message);
  if (world_.profile().leases) {
    if (const auto* order = std::get_if<raft::TimeoutNow>(&message.body); order != nullptr) {
      if (order->release.term != Term(0)) world_.checker().events.count("hand-overs with a release");
      world_.check_release(order->release);
    }
    if (const auto* request = std::get_if<raft::VoteRequest>(&message.body); request != nullptr) {
      for (const auto& release : request->released) world_.check_release(release);
    }
    if (const auto* reply = std::get_if<raft::VoteReply>(&message.body); reply != nullptr) {
      for (const auto& release : reply->released) {
        if (release.holder == id_) world_.checker().events.count("votes that release an own lease");
        world_.check_release(release);
      }
    }
  }
  world_.send(message);
}

void Master::answered(const raft::ReadState& read) {
  if (!answered_tags_.insert(read.tag).second) world_.checker().fail("I15: a read is answered twice");
  auto found = reads_.extract(read.tag);
  if (found.empty()) return;
  auto& asked = found.mapped();
  if (!read.ok) return asked.done(std::nullopt);
  if (read.by != raft::ReadBy::round) {
    if (word_ == status_.term) {  // revoked meanwhile: not by the lease, then
      world_.checker().events.count("reads by lease that were revoked");
      reads_[++tag_] = std::move(asked);
      give(raft::ReadRequested{tag_, std::to_string(reads_[tag_].key), true});
      return;
    }
    if (auto* history = world_.history()) history->read(id_, asked.key, read.index);
    world_.checker().events.count(read.by == raft::ReadBy::lease ? "reads by lease" : "reads by lease in the wait");
    if (read.index < world_.checker().last_write(asked.key)) {
      world_.checker().fail(fmt::format("I8: n{} answers a read of {} by its lease at {}, though {} is committed",
                                        id_.value().low, asked.key, read.index.value(),
                                        world_.checker().last_write(asked.key).value()));
    }
  } else if (read.index < asked.committed) {
    world_.checker().fail(fmt::format("I8: n{} reads at {}, though {} was committed before", id_.value().low,
                                      read.index.value(), asked.committed.value()));
  }
  ready_reads_.emplace(read.index, std::move(asked));
}

void Master::apply(const Entry& entry) {
  applied_ = entry.index;
  applied_term_ = entry.term;
  values_digest_ = mixed(values_digest_, mixed(hash_of(entry.data.view()), entry.index.value()));
  if (entry.kind == EntryKind::command) {
    const auto data = entry.data.view();
    if (data[0] == 'K') {
      values_[load_be<std::uint64_t>(data.data() + 1)] = load_be<std::uint64_t>(data.data() + 9);
    } else {
      auto answers = registry_->apply(entry.index, entry.term, bytes_of(data.substr(1)));
      if (!answers) {
        world_.checker().fail("registry: " + answers.error().what());
      } else if (!answers->empty()) {
        answers_[entry.index] = answers->front();
      }
    }
  }
  if (entry.index.value() % 32 == 0) values_digest_ = mixed(values_digest_, registry_->digest());
  world_.checker().applied(id_, entry.index, values_digest_);
}

std::uint64_t Master::digest() const { return mixed(values_digest_, registry_->digest()); }

std::vector<topology::CheckpointFile> Master::checkpoint() const {
  std::string own;
  append_be(own, values_digest_);
  for (const auto& [key, value] : values_) {
    append_be(own, key);
    append_be(own, value);
  }
  auto of_registry = registry_->checkpoint();
  std::string head;
  append_be(head, of_registry.applied.value());
  append_be(head, of_registry.term.value());
  auto files = std::move(of_registry.files);
  files.push_back({"sim.values", own});
  files.push_back({"sim.head", head});
  return files;
}

void Master::restore(const raft::SnapshotMeta& meta) {
  auto loaded = store_->load_snapshot(meta.last);
  if (!loaded) {
    world_.checker().fail("a stored snapshot cannot be read: " + loaded.error().what());
    return;
  }
  topology::Checkpoint checkpoint;
  values_.clear();
  for (auto& file : *loaded) {
    const auto& bytes = file.bytes;
    if (file.name == "sim.values") {
      values_digest_ = load_be<std::uint64_t>(bytes.data());
      for (std::size_t i = 8; i < bytes.size(); i += 16) {
        values_[load_be<std::uint64_t>(&bytes[i])] = load_be<std::uint64_t>(&bytes[i + 8]);
      }
    } else if (file.name == "sim.head") {
      checkpoint.applied = Index(load_be<std::uint64_t>(bytes.data()));
      checkpoint.term = Term(load_be<std::uint64_t>(bytes.data() + 8));
    } else {
      checkpoint.files.push_back(std::move(file));
    }
  }
  if (const auto status = registry_->restore(checkpoint); !status) {
    world_.checker().fail("registry: " + status.error().what());
  }
  applied_ = snapshot_index_ = meta.last.index;
  applied_term_ = meta.last.term;
  world_.checker().applied(id_, applied_, values_digest_);
}

void Master::maybe_snapshot() {
  if (!up() || applied_ - snapshot_index_ < world_.profile().snapshot_every || applied_ < snapshot_index_) return;
  snapshot_index_ = applied_;
  const auto keep = world_.profile().keep_entries;
  const auto keep_from = applied_.value() > keep ? Index(applied_.value() - keep + 1) : Index(1);
  snapshot_ = Snapshot{sequence_, core_->snapshot_meta(applied_, applied_term_), checkpoint(), keep_from};
  store_snapshot();
}

// In its turn among the writes: what is cut off the log's front must have been written before.
void Master::store_snapshot() {
  if (!snapshot_ || synced_ < snapshot_->after) return;
  const auto snapshot = *std::exchange(snapshot_, std::nullopt);
  auto taken = store_->take_snapshot(snapshot.meta, snapshot.files, snapshot.keep_from);
  if (!taken) {
    die(false);
    return;
  }
  world_.checker().events.count("snapshots taken");
  give(*taken);
}

// Keys come only from blocks that this very process was given by an applied entry.
void Master::take_blocks() {
  const auto& state = registry_->state();
  const auto found = state.holders.find(id_);
  if (found != state.holders.end() && found->second.incarnation == incarnation_ &&
      found->second.process == process_) {
    for (const auto& block : found->second.blocks) {
      if (block.index <= block_index_) continue;
      block_index_ = block.index;
      keys_.push_back({block.begin.value(), block.end.value()});
    }
  }
  std::erase_if(keys_, [&](const Keys& keys) { return keys.next < state.key_floor.value(); });
}

std::uint64_t Master::keys_left() const {
  std::uint64_t left = 0;
  for (const auto& keys : keys_) left += keys.end - keys.next;
  return left;
}

std::optional<std::uint64_t> Master::assign() {
  if (!up() || paused() || status_.role != raft::Role::leader || local() >= assign_until_ || keys_.empty()) {
    return std::nullopt;
  }
  if (!received_from_majority_within(world_.profile().options.silence_max)) {
    world_.checker().fail(fmt::format("n{} assigns though it has not heard a majority for {} ms", id_.value().low,
                                      milliseconds(world_.profile().options.silence_max)));
  }
  auto& keys = keys_.front();
  const auto key = keys.next++;
  if (keys.next == keys.end) keys_.pop_front();
  if (key < registry_->state().key_floor.value() || key >= registry_->state().next_key.value()) {
    world_.checker().fail(fmt::format("key {} lies outside of what may be assigned", key));
  }
  world_.checker().key_assigned(id_, process_number_, key);
  return key;
}

Fence Master::next_fence() {
  if (order_term_ != status_.term) {
    order_term_ = status_.term;
    order_sequence_ = 0;
  }
  return Fence{registry_->state().cluster_id, registry_->state().generation, status_.term, ++order_sequence_};
}

void Master::serve_reads() {
  while (!ready_reads_.empty() && ready_reads_.begin()->first <= applied_) {
    auto read = ready_reads_.extract(ready_reads_.begin());
    const auto found = values_.find(read.mapped().key);
    read.mapped().done(found == values_.end() ? 0 : found->second);
    world_.checker().events.count("reads served");
  }
}

// Writes what the steps have left meanwhile, syncs once for all, then says what was waiting for that.
void Master::log_thread() {
  if (disk_busy_ || to_disk_.empty()) return;
  disk_busy_ = true;
  auto batch = std::make_shared<std::deque<raft::Output>>(std::exchange(to_disk_, {}));
  const auto crash_here = [this] {
    if (!world_.chance(world_.profile().crash_at_sync_ppm)) return false;
    world_.checker().events.count("crashes around a sync");
    die(true);
    return true;
  };
  for (const auto& out : *batch) {
    if (crash_here()) return;
    if (const auto status = store_->write(out); !status) {
      world_.checker().events.count("writes that failed");
      die(world_.chance(500'000));
      return;
    }
  }
  const auto delay = world_.between(world_.profile().sync_min, world_.profile().sync_spread) + sync_extra_;
  world_.after(delay, [this, process = process_number_, batch, crash_here] {
    if (process != process_number_) return;
    if (crash_here()) return;
    if (const auto status = store_->sync(); !status) {
      world_.checker().events.count("syncs that failed");
      die(world_.chance(500'000));
      return;
    }
    for (const auto& out : *batch) world_.checker().synced(id_, out);
    for (const auto& out : *batch) {
      for (const auto& message : out.messages_after_sync) {
        if (crash_here()) return;
        send(message);
      }
    }
    give(raft::Persisted{batch->back().write_sequence});
    synced_ = batch->back().write_sequence;
    store_snapshot();
    if (!up()) return;
    disk_busy_ = false;
    log_thread();
  });
}

// --------------------------------------------------------------------------------------------- calls of clients

void Master::propose(std::string command, std::function<void(const raft::ProposalDone&, const std::string&)> done) {
  if (!up()) return;
  proposals_[++tag_] = std::move(done);
  give(raft::Proposed{tag_, std::move(command)});
}

void Master::change(raft::Change change, std::function<void(const raft::ProposalDone&)> done) {
  if (!up()) return;
  proposals_[++tag_] = [done = std::move(done)](const raft::ProposalDone& outcome, const std::string&) { done(outcome); };
  give(raft::ChangeProposed{tag_, std::move(change)});
}

void Master::read(std::uint64_t key, std::function<void(std::optional<std::uint64_t>)> done) {
  if (!up()) return;
  reads_[++tag_] = Read{key, world_.checker().committed_last(), std::move(done)};
  give(raft::ReadRequested{tag_, std::to_string(key)});
}

}  // namespace holdfast::sim
