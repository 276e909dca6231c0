#include "service/master/raft_host.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "api/pulse.h"
#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "model/address.h"
#include "service/master/priority.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

// A View that differs only in lag is published this often at most.
constexpr Duration kLagInterval = 100ms;
constexpr Duration kLeaseLagInterval = 20ms;  // where it says what is left of a lease
// A leader with nothing under way takes the answers to its beats when it sends the next ones, or after so long: at rest
// it wakes once in an interval, however many members answer. What it may do without asking anyone (assign, serve reads)
// counts from when a beat was sent, so it only learns a little later that it may go on.
constexpr Duration kGatherAnswersMax = 50ms;
// Datagrams taken in one turn: more than all members send in one interval.
constexpr std::size_t kDatagramsPerTurn = 256;
// The applied state is digested this often at most, and a thousand times more seldom than it takes: it is for people.
constexpr Duration kDigestInterval = 1s;
// Answers of entries applied here that their proposal has not claimed yet; they come in one turn or the next few.
constexpr std::size_t kAnswersKeptMax = 8192;

struct Metrics {
  metrics::Gauge& is_leader = metrics::process().gauge("holdfast_raft_is_leader", "1 while this master leads");
  metrics::Gauge& term = metrics::process().gauge("holdfast_raft_term", "term of this master");
  metrics::Gauge& commit = metrics::process().gauge("holdfast_raft_commit_index", "last entry known as committed");
  metrics::Gauge& applied = metrics::process().gauge("holdfast_raft_applied_index", "last entry applied");
  metrics::Gauge& elections = metrics::process().gauge("holdfast_raft_elections_started_total", "elections begun here");
  metrics::Gauge& won = metrics::process().gauge("holdfast_raft_elections_won_total", "elections won here");
  metrics::Gauge& suspicions =
      metrics::process().gauge("holdfast_raft_wrong_suspicions_total", "leaders held for lost that were not");
  metrics::Counter& beats_missed =
      metrics::process().counter("holdfast_raft_beats_missed_total", "beats of the leader that did not arrive here");
  metrics::Gauge& quorum_lost =
      metrics::process().gauge("holdfast_raft_quorum_lost_total", "times this leader stepped down for want of answers");
  metrics::Gauge& snapshots_sent = metrics::process().gauge("holdfast_raft_snapshots_sent_total", "snapshots sent");
  metrics::Gauge& silence =
      metrics::process().gauge("holdfast_raft_silence_timeout_seconds", "silence after which a leader counts as lost");
  metrics::Gauge& lease_held = metrics::process().gauge("holdfast_raft_lease_held", "1 while this leader holds a lease");
  metrics::Gauge& lease_waits = metrics::process().gauge("holdfast_raft_lease_waits_total",
                                                         "elections won here that waited for an earlier lease");
  metrics::Gauge& reads_by_lease =
      metrics::process().gauge("holdfast_raft_reads_by_lease_total", "reads confirmed by the lease");
  metrics::Gauge& reads_by_round =
      metrics::process().gauge("holdfast_raft_reads_by_round_total", "reads confirmed by asking a majority");
  metrics::Histogram& commit_time = metrics::process().histogram(
      "holdfast_raft_commit_seconds", "from proposal to applied, at the leader", {}, metrics::kDiskFirstBound);
};

Metrics& counted() {
  static Metrics metrics;
  return metrics;
}

Role role_of(raft::Role role) {
  switch (role) {
    case raft::Role::learner: return Role::learner;
    case raft::Role::follower: return Role::follower;
    case raft::Role::candidate: return Role::candidate;
    case raft::Role::leader: return Role::leader;
  }
  return Role::follower;
}

Error error_of(const raft::ProposalDone& done) {
  switch (done.outcome) {
    case raft::ProposalOutcome::committed: break;
    case raft::ProposalOutcome::not_leader: return {Code::not_leader, "this master does not lead"};
    case raft::ProposalOutcome::held:
      return {Code::busy, done.text.empty() ? "leadership is being handed over" : done.text};
    case raft::ProposalOutcome::busy:
      return {Code::busy, done.text.empty() ? "too many changes are under way" : done.text};
    case raft::ProposalOutcome::too_large: return {Code::invalid, "too large for one log entry"};
    case raft::ProposalOutcome::disk_full: return {Code::no_space, "the disk of the masters' log is full"};
    case raft::ProposalOutcome::refused: return {Code::refused, done.text};
    case raft::ProposalOutcome::unknown: return {Code::outcome_unknown, "the leader lost its place meanwhile"};
  }
  return {Code::internal, "unexpected outcome"};
}

void put_address(const std::string& address, MemberView* member) {
  const auto parsed = Address::parse(address);
  if (!parsed) return;
  member->http = parsed->http();
  member->grpc = parsed->grpc();
}

}  // namespace

RaftHost::RaftHost(Options options, io::Clock& clock, topology::StateMachine& state)
    : options_(std::move(options)), clock_(clock), state_(state), lease_observer_(options_.self) {
  event_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(event_ >= 0);
  auto first = std::make_shared<View>();
  first->self = options_.self;
  first->incarnation = options_.incarnation;
  first->process = options_.process;
  view_ = std::move(first);
}

RaftHost::~RaftHost() {
  stop();
  ::close(event_);
}

Status RaftHost::begin(ClusterId cluster, std::unique_ptr<storage::RaftStore> store, raft::Start start,
                       Transport& transport, const io::posix::UdpSocket* beats) {
  CHECK(!thread_.joinable());
  cluster_ = cluster;
  transport_ = &transport;
  beats_ = beats;
  if (start.snapshot) {
    auto files = store->snapshots().load(start.snapshot->last);
    if (!files) return files.error();
    const auto& last = start.snapshot->last;
    if (auto done = state_.restore({.applied = last.index, .term = last.term, .files = std::move(*files)}); !done) {
      return done.error().at("snapshot " + text(last.index));
    }
    applied_ = snapshot_at_ = last.index;
    applied_term_ = last.term;
  }
  const auto snapshot = start.snapshot;
  const Index replayed = start.entries.empty() ? applied_ : start.entries.back().index;
  raft::Options core = options_.core;
  core.self = options_.self;
  core.incarnation = options_.incarnation;
  core_.emplace(core, std::move(start), raft::Time(clock_.now(), clock_.raw()));
  log_ = std::make_unique<LogThread>(
      std::move(store), clock_,
      LogThread::Hooks{.send =
                           [this](std::span<const raft::Message> messages) {
                             if (!silent_) transport_->send(messages);
                           },
                       .post = [this](std::vector<raft::Input> inputs) { post(std::move(inputs)); },
                       .fatal = [this](const std::string& why) { fail(why); }});
  if (options_.feed != nullptr) {
    options_.feed->begin(cluster, snapshot, replayed, [this](raft::LogPosition at) { return log_->snapshots().load(at); });
  }
  transport_->configure(core_->configuration());
  {
    Guard guard(mutex_);
    begun_ = true;
    configuration_ = std::make_shared<const raft::Configuration>(core_->configuration());
  }
  status_ = core_->status();
  publish(true);
  thread_ = std::thread([this] { run(); });
  return {};
}

void RaftHost::stop() {
  stopping_ = true;
  wake();
  if (thread_.joinable()) thread_.join();
  if (log_) log_->stop();
  const auto last = lease_observer_.ended(raft::Time(clock_.now(), clock_.raw()), clock_.wall());
  if (last && options_.on_lease_event) options_.on_lease_event(*last);
  if (options_.feed != nullptr) options_.feed->end();
  end_all_proposals();
}

void RaftHost::silence() {
  silent_ = true;
  if (log_) log_->silence();
  assign_until_ = kDistantPast.time_since_epoch().count();
}

// ---------------------------------------------------------------------------------------------------- inbox

void RaftHost::wake() {
  if (woken_.exchange(true)) return;
  const std::uint64_t one = 1;
  (void)!::write(event_, &one, sizeof one);
}

void RaftHost::post(std::vector<raft::Input> inputs) {
  {
    Guard guard(mutex_);
    if (inbox_.empty()) {
      inbox_ = std::move(inputs);
    } else {
      inbox_.insert(inbox_.end(), std::make_move_iterator(inputs.begin()), std::make_move_iterator(inputs.end()));
    }
  }
  wake();
}

void RaftHost::received(std::vector<raft::Message> messages) {
  {
    Guard guard(mutex_);
    if (!begun_ || inbox_.size() > kInputsWaitingMax) return;
    for (auto& message : messages) {
      const NodeId from = message.from;
      inbox_.emplace_back(raft::Received{.from = from, .message = std::move(message)});
    }
  }
  wake();
}

void RaftHost::link_lost(NodeId peer) {
  std::vector<raft::Input> inputs;
  inputs.emplace_back(raft::LinkLost{peer});
  post(std::move(inputs));
}

void RaftHost::propose(std::string command, Done done) {
  std::optional<Error> refusal;
  {
    Guard guard(mutex_);
    if (!begun_ || ended_ || stopping_) {
      refusal = Error{Code::not_leader, "this master takes no part yet, or no more"};
    } else if (command.size() > topology::kCommandBytesMax) {
      refusal = Error{Code::invalid, "command of " + std::to_string(command.size()) + " bytes, at most " +
                                         std::to_string(topology::kCommandBytesMax)};
    } else if (commands_.size() >= kCommandsWaitingMax) {
      refusal = Error{Code::busy, "too many changes wait to be proposed"};
    } else {
      commands_.push_back({std::move(command), std::move(done)});
    }
  }
  if (refusal) {
    done(*refusal);
  } else {
    wake();
  }
}

void RaftHost::transfer(std::optional<NodeId> target, std::function<void(Status)> done, bool or_anew) {
  bool leads = false;
  {
    Guard guard(mutex_);
    leads = begun_ && !ended_ && view_->role == Role::leader;
    if (leads) {
      inbox_.emplace_back(raft::TransferRequested{target, or_anew});
      transfers_.push_back(std::move(done));
    }
  }
  if (leads) {
    wake();
  } else {
    done(Error{Code::not_leader, "this master does not lead"});
  }
}

void RaftHost::change(raft::Change change, std::function<void(Status)> done) {
  bool taken = false;
  {
    Guard guard(mutex_);
    taken = begun_ && !ended_;
    if (taken) changes_.emplace_back(std::move(change), std::move(done));
  }
  if (taken) {
    wake();
  } else {
    done(Error{Code::not_leader, "this master takes no part yet, or no more"});
  }
}

std::vector<raft::Input> RaftHost::take_inputs() {
  std::vector<raft::Input> inputs;
  std::vector<std::pair<raft::Change, std::function<void(Status)>>> changes;
  {
    Guard guard(mutex_);
    inputs = std::move(inbox_);
    inbox_.clear();
    changes = std::move(changes_);
    changes_.clear();
  }
  for (auto& [change, done] : changes) {
    const auto tag = next_tag_++;
    changes_under_way_.emplace(tag, std::move(done));
    inputs.emplace_back(raft::ChangeProposed{.tag = tag, .change = std::move(change)});
  }
  take_commands(&inputs);
  take_reads(&inputs);
  take_datagrams(&inputs);
  return inputs;
}

// Everything that waits becomes as few entries as bounds allow.
void RaftHost::take_commands(std::vector<raft::Input>* inputs) {
  std::vector<Command> commands;
  {
    Guard guard(mutex_);
    commands.swap(commands_);
  }
  const auto lowest = batches_.empty() ? next_sequence_ : batches_.begin()->second.first_sequence;
  for (std::size_t next = 0; next < commands.size();) {
    Batch batch{.first_sequence = next_sequence_, .since = clock_.now()};
    std::vector<topology::Request> requests;
    std::size_t bytes = topology::kBatchHeadBytes;
    for (; next < commands.size() && requests.size() < topology::kRequestsPerBatchMax; ++next) {
      auto& command = commands[next];
      bytes += topology::kRequestHeadBytes + command.command.size();
      if (bytes > topology::kBatchBytesMax) break;  // never for the first: propose() saw to that
      requests.push_back({.id = {.session = options_.process, .sequence = next_sequence_++},
                          .answered_below = lowest,
                          .command = std::move(command.command)});
      batch.dones.push_back(std::move(command.done));
    }
    const auto tag = next_tag_++;
    inputs->emplace_back(raft::Proposed{.tag = tag, .data = topology::encode_batch(requests)});
    batches_.emplace(tag, std::move(batch));
  }
}

void RaftHost::take_datagrams(std::vector<raft::Input>* inputs) {
  if (beats_ == nullptr) return;
  static_assert(io::posix::DatagramBatch::kBytesEach > raft::kBeatBytesMax);
  for (std::size_t taken = 0; taken < kDatagramsPerTurn; taken += io::posix::DatagramBatch::kCount) {
    beats_->receive(&datagrams_);
    for (std::size_t i = 0; i < datagrams_.size(); ++i) take_datagram(datagrams_[i], inputs);
    if (!datagrams_.is_full()) return;
  }
}

void RaftHost::take_datagram(BytesView received, std::vector<raft::Input>* inputs) {
  if (api::is_pulse(received)) {
    if (options_.on_pulse) options_.on_pulse(received);
    return;
  }
  const auto content = transport_->open_datagram(received);
  if (!content) return;
  auto datagram = decode_datagram(cluster_, *content);
  if (!datagram && options_.on_datagram) options_.on_datagram(*content);
  if (!datagram || datagram->message.to != options_.self) return;
  const NodeId from = datagram->message.from;
  if (!transport_->heard_datagram(from, datagram->message.incarnation, datagram->process)) return;
  if (datagram->address_free_in) note_address(*datagram);
  if (datagram->revoked) inputs->emplace_back(*datagram->revoked);
  if (datagram->address_free_in || datagram->revoked) return;
  inputs->emplace_back(raft::Received{.from = from, .message = std::move(datagram->message)});
}

// ---------------------------------------------------------------------------------------------------- the loop

void RaftHost::wait(Instant until) {
  const Instant now = clock_.now();
  const bool gather = now < gather_until_;
  const Duration left = std::clamp<Duration>((gather ? std::min(until, gather_until_) : until) - now, Duration(0), 1h);
  if (left == Duration(0)) return;
  const int datagrams = beats_ != nullptr && !gather ? beats_->descriptor() : -1;
  std::array<pollfd, 2> watched{pollfd{.fd = event_, .events = POLLIN}, pollfd{.fd = datagrams, .events = POLLIN}};
  const timespec timeout{.tv_sec = left / 1s, .tv_nsec = (left % 1s).count()};
  (void)::ppoll(watched.data(), watched.size(), &timeout, nullptr);
  if ((watched[0].revents & POLLIN) != 0) {
    std::uint64_t count = 0;
    (void)!::read(event_, &count, sizeof count);
  }
  // Cleared before the inbox is emptied: what is posted from now on raises the event again.
  woken_ = false;
}

void RaftHost::run() {
  go_before_bulk_work();
  Instant wake_at = clock_.now();
  if (options_.guardian != nullptr) options_.guardian->watch();
  if (options_.vmclock != nullptr) pauses_seen_ = options_.vmclock->marker();
  while (!stopping_) {
    wait(wake_at);
    if (stopping_ || failed_) break;
    if (options_.guardian != nullptr) options_.guardian->turned();
    auto inputs = take_inputs();
    look_at_the_word(&inputs);
    const raft::Time time(clock_.now(), clock_.raw());  // after the inputs: see Core::step
    const Instant now = time.boot;
    note_disk(now, &inputs);
    note_senders(inputs, now);
    auto out = core_->step(time, inputs);
    wake_at = std::min(out.wake_at, now + 1h);
    const bool beat = std::any_of(out.messages_now.begin(), out.messages_now.end(), [](const raft::Message& message) {
      return std::holds_alternative<raft::Beat>(message.body);
    });
    if (!is_at_rest(inputs, now)) {
      gather_until_ = kDistantPast;
    } else if (beat) {
      gather_until_ = std::min(wake_at, now + kGatherAnswersMax);
    }
    handle(std::move(out));
  }
  assign_until_ = kDistantPast.time_since_epoch().count();
  lease_.withdraw();
  if (options_.guardian != nullptr) options_.guardian->follows();
  end_all_proposals();
}

// Whether nobody waits for the answers to beats; a read, here or at a follower, does.
bool RaftHost::is_at_rest(const std::vector<raft::Input>& inputs, Instant now) {
  const bool asked = std::any_of(inputs.begin(), inputs.end(), [](const raft::Input& input) {
    const auto* received = std::get_if<raft::Received>(&input);
    return received != nullptr && std::holds_alternative<raft::ReadQuery>(received->message.body);
  });
  if (asked) asked_until_ = now + kGatherAnswersMax;
  return now >= asked_until_ && batches_.empty() && changes_under_way_.empty() && reads_under_way_.empty() &&
         status_.commit == status_.last && !status_.transferring;
}

void RaftHost::note_disk(Instant now, std::vector<raft::Input>* inputs) {
  const bool slow = log_->busy_for(now) > log_->patience();
  const auto condition = log_->disk_full() ? raft::DiskCondition::full
                         : slow            ? raft::DiskCondition::slow
                                           : raft::DiskCondition::good;
  if (condition == disk_) return;
  if (condition == raft::DiskCondition::slow) {
    LOG_WARNING("the disk of the masters' log has not answered a sync for {} ms", milliseconds(log_->busy_for(now)));
  }
  disk_ = condition;
  inputs->emplace_back(raft::DiskChanged{condition});
}

void RaftHost::note_senders(const std::vector<raft::Input>& inputs, Instant now) {
  for (const auto& input : inputs) {
    const auto* received = std::get_if<raft::Received>(&input);
    if (received == nullptr) continue;
    auto& heard = heard_[received->from];
    heard.at = now;
    if (const auto* beat = std::get_if<raft::Beat>(&received->message.body)) {
      // Beats are numbered within a term; one that was overtaken counts as missed, which is rare.
      const bool same_leader = heard.term == received->message.term && heard.beat != 0;
      if (same_leader && beat->sequence > heard.beat + 1) counted().beats_missed.add(beat->sequence - heard.beat - 1);
      if (!same_leader || beat->sequence > heard.beat) heard.beat = beat->sequence;
    }
    const bool leads = std::holds_alternative<raft::Beat>(received->message.body) || std::holds_alternative<raft::Append>(received->message.body);
    if (leads && options_.on_lease_event) {
      auto event = lease_observer_.spoke(received->from, received->message.term, now, clock_.wall());
      if (event) options_.on_lease_event(std::move(*event));
    }
    // A pre-vote names the term it would stand in, which is nobody's yet.
    const auto* vote = std::get_if<raft::VoteRequest>(&received->message.body);
    if (vote == nullptr || !vote->pre) heard.term = std::max(heard.term, received->message.term);
  }
}

void RaftHost::handle(raft::Output out) {
  if (disk_ == raft::DiskCondition::slow) {
    std::erase_if(out.messages_now,
                  [](const raft::Message& message) { return std::holds_alternative<raft::Beat>(message.body); });
  }
  const auto before = std::exchange(status_, core_->status());
  publish_lease(out.lease);  // before a word of this step leaves
  note_lead(out, before);
  if (!silent_ && !out.messages_now.empty()) transport_->send(out.messages_now);
  assign_until_.store(silent_ ? kDistantPast.time_since_epoch().count() : out.assign_until.time_since_epoch().count(),
                      std::memory_order_release);
  log_->enqueue({.write_sequence = out.write_sequence,
                 .log_reset = std::move(out.log_reset),
                 .hard_state = out.hard_state,
                 .appended = std::move(out.appended),
                 .messages_after_sync = std::move(out.messages_after_sync),
                 .log_reads = std::move(out.log_reads),
                 .snapshot_reads = std::move(out.snapshot_reads),
                 .snapshot_writes = std::move(out.snapshot_writes)});
  apply(out);
  publish_lease(out.lease);
  if (out.leadership) tell(*out.leadership);
  if (status_.counters.waits != before.counters.waits) {
    LOG_INFO("commits nothing for up to {} ms: an earlier leader's lease may still run",
             milliseconds(status_.lease.wait_left) + 1);
  }
  if (status_.lease.clocks_apart && !before.lease.clocks_apart && status_.lease.cap > Duration(0)) {
    LOG_WARNING("the clocks of this machine differ in speed: no reads by lease until they agree");
  }
  note_configuration(out);
  if (status_.snapshot != before.snapshot) {
    snapshot_under_way_ = false;
    if (options_.feed != nullptr) options_.feed->snapshot_stored(status_.snapshot);
  }
  const bool committed = status_.commit >= status_.configuration && before.commit < status_.configuration;
  const bool changed = out.leadership || out.configuration || committed || status_.role != before.role ||
                       status_.term != before.term || status_.leader != before.leader;
  tell_of_leases();
  refresh_digest(clock_.now());
  publish(changed);
  tell_guardian(changed);

  // After the View: whoever gets an answer finds a View that is no older.
  for (const auto& done : out.proposals) answer(done);
  answer_reads(out.reads);
  if (batches_.empty()) answers_.clear();
  while (answers_.size() > kAnswersKeptMax) answers_.erase(answers_.begin());
  if (out.transfer_done || (before.role == raft::Role::leader && status_.role != raft::Role::leader)) {
    std::vector<std::function<void(Status)>> transfers;
    {
      Guard guard(mutex_);
      transfers.swap(transfers_);
    }
    const bool ok = status_.role != raft::Role::leader || (out.transfer_done && out.transfer_done->ok);
    for (const auto& done : transfers) {
      done(ok ? Status() : Error{Code::unavailable, "leadership stays here: " + out.transfer_done->why});
    }
  }
  for (const auto& notice : out.notices) {
    if (notice.kind == raft::NoticeKind::removed && options_.on_removed) options_.on_removed();
    fail("the leader refuses this master: " + notice.text +
         (notice.kind == raft::NoticeKind::removed
              ? ". To bring it back as a new member remove its member folder and start it again"
              : ""));
  }
  if (out.halt) fail(*out.halt);
  consider_snapshot();
}

void RaftHost::apply(const raft::Output& out) {
  if (out.restore) {
    const auto& last = out.restore->last;
    auto files = log_->snapshots().load(last);
    const auto restored =
        files ? state_.restore({.applied = last.index, .term = last.term, .files = std::move(*files)}) : files.error();
    if (!restored) return fail("the leader's snapshot cannot be used: " + restored.error().what());
    LOG_INFO("took the leader's state up to entry {}", text(last.index));
    applied_ = snapshot_at_ = last.index;
    applied_term_ = last.term;
    if (options_.feed != nullptr) options_.feed->restored(*out.restore);
  }
  for (const auto& entry : out.committed) {
    CHECK(entry.index > applied_);
    if (entry.kind == EntryKind::command) {
      auto answers = state_.apply(entry.index, entry.term, bytes_of(entry.data.view()));
      if (!answers) {
        return fail("entry " + text(entry.index) + " cannot be applied: " + answers.error().what() +
                    ". Start a build that understands it");
      }
      if (!batches_.empty()) answers_[entry.index] = std::move(*answers);
    }
    applied_ = entry.index;
    applied_term_ = entry.term;
  }
  if (options_.feed != nullptr) options_.feed->committed(out.committed);
}

void RaftHost::answer(const raft::ProposalDone& done) {
  if (const auto change = changes_under_way_.find(done.tag); change != changes_under_way_.end()) {
    const auto callback = std::move(change->second);
    changes_under_way_.erase(change);
    callback(done.outcome == raft::ProposalOutcome::committed ? Status() : error_of(done));
    return;
  }
  const auto found = batches_.find(done.tag);
  if (found == batches_.end()) return;
  const Batch batch = std::move(found->second);
  batches_.erase(found);
  if (done.outcome != raft::ProposalOutcome::committed) {
    for (const auto& callback : batch.dones) callback(error_of(done));
    return;
  }
  const auto answers = answers_.find(done.index);
  if (answers == answers_.end() || answers->second.size() != batch.dones.size()) {
    // A snapshot from another leader took its place: it is committed, its answers are not known here.
    for (const auto& callback : batch.dones) callback(Error{Code::outcome_unknown, "committed, answer not known"});
    return;
  }
  counted().commit_time.observe(clock_.now() - batch.since);
  for (std::size_t i = 0; i < batch.dones.size(); ++i) batch.dones[i](std::move(answers->second[i]));
  answers_.erase(answers);
}

void RaftHost::consider_snapshot() {
  if (failed_ || applied_ == snapshot_at_ || applied_.value() == 0) return;
  // One that found no room on the disk is tried again when as many entries have come once more.
  if (snapshot_under_way_ && applied_ - snapshot_at_ < options_.snapshot_entries) return;
  const auto bytes = log_->log_bytes();
  const bool many = applied_ - snapshot_at_ >= options_.snapshot_entries;
  const bool long_log = bytes > log_bytes_at_snapshot_ + options_.snapshot_log_bytes;
  if (!many && !long_log) return;
  if (core_->configuration().empty()) return;
  auto checkpoint = state_.checkpoint();
  log_bytes_at_snapshot_ = bytes;
  snapshot_at_ = applied_;
  snapshot_under_way_ = true;
  const auto keep = std::min(options_.entries_kept, applied_.value());
  log_->enqueue({.snapshot = LogThread::Snapshot{
                     .meta = core_->snapshot_meta(applied_, applied_term_),
                     .files = std::move(checkpoint.files),
                     .keep_from = applied_ - keep}});
}

void RaftHost::refresh_digest(Instant now) {
  if (now < digest_due_ || applied_ == digest_at_) return;
  digest_ = state_.digest();
  digest_at_ = applied_;
  digest_due_ = now + std::max(kDigestInterval, 1000 * (clock_.now() - now));
}

void RaftHost::tell_of_leases() {
  if (!options_.on_lease_event) return;
  const raft::Time time(clock_.now(), clock_.raw());
  for (auto& event : lease_observer_.look(status_, time, clock_.wall(), last_change_)) options_.on_lease_event(std::move(event));
}

// ---------------------------------------------------------------------------------------------------- views

void RaftHost::tell(const raft::LeadershipChange& change) {
  if (change.why != last_change_) LOG_INFO("{}", change.why);
  last_change_ = change.why;
  auto history = history_ ? *history_ : std::vector<LeadershipMoment>();
  if (history.size() == kLeadershipMomentsMax) history.erase(history.begin());
  history.push_back({clock_.now(), clock_.wall(), change.term, change.leader, change.why});
  history_ = std::make_shared<const std::vector<LeadershipMoment>>(std::move(history));
  if (change.leader) {
    leader_since_ = clock_.now();
  } else {
    leader_since_.reset();
  }
}

std::shared_ptr<const View> RaftHost::make_view() const {
  const Instant now = clock_.now();
  auto view = std::make_shared<View>();
  view->cluster_id = cluster_;
  view->self = options_.self;
  view->incarnation = options_.incarnation;
  view->process = options_.process;
  view->role = role_of(status_.role);
  view->term = status_.term;
  view->leader = status_.leader;
  view->leader_since = leader_since_;
  view->commit = status_.commit;
  view->applied = applied_;
  view->commit_at_election = status_.commit_at_election;
  view->last = status_.last;
  view->last_term = status_.last_term;
  view->snapshot = status_.snapshot;
  view->snapshot_term = status_.snapshot_term;
  view->configuration = status_.configuration;
  view->last_change = last_change_;
  view->digest = digest_;
  view->digest_at = digest_at_;
  view->barred = barred_text();
  view->lease = make_lease_view(now);
  view->history = history_;
  const auto infos = transport_->peers();
  for (const auto& member : core_->configuration().members()) {
    MemberView one{.id = member.id, .self = member.id == options_.self, .voter = member.voter, .promote = member.promote,
                   .witness = member.witness, .joining = is_joining(member), .term = status_.term};
    put_address(member.address, &one);
    one.role = !member.voter ? Role::learner : status_.leader == member.id ? Role::leader : Role::follower;
    if (one.self) {
      one.connected = true;
      one.incarnation = options_.incarnation;
      one.process = options_.process;
      one.feature_level = options_.feature_level;
      one.role = view->role;
      one.match = status_.durable;
      one.silent_for = Duration(0);
    } else {
      const auto info = std::find_if(infos.begin(), infos.end(), [&](const auto& i) { return i.id == member.id; });
      if (info != infos.end()) {
        one.connected = info->connected;
        one.incarnation = info->incarnation;
        one.process = info->process;
        one.feature_level = info->feature_level;
        if (!info->address.empty()) put_address(info->address, &one);
      }
      const auto heard = heard_.find(member.id);
      one.term = heard == heard_.end() ? Term() : heard->second.term;
      if (heard != heard_.end()) one.silent_for = now - heard->second.at;
      const auto peer = std::find_if(status_.peers.begin(), status_.peers.end(),
                                     [&](const auto& p) { return p.id == member.id; });
      if (peer != status_.peers.end()) one.match = peer->match;
    }
    view->members.push_back(std::move(one));
  }
  if (const auto* before = committed_before()) {
    for (const auto& member : before->members()) {
      if (core_->configuration().find(member.id) != nullptr) continue;
      MemberView one{.id = member.id, .self = member.id == options_.self, .voter = member.voter, .witness = member.witness};
      put_address(member.address, &one);
      view->leaving.push_back(std::move(one));
    }
  }
  return view;
}

// Two masters and a witness: the one that is gone has acknowledged what this one lacks.
std::string RaftHost::barred_text() const {
  const auto& record = status_.in_sync.barred;
  if (!record || status_.leader) return {};
  std::string who;
  for (const auto& id : record->members) {
    const auto* member = core_->configuration().find(id);
    who += (who.empty() ? "" : ", ") + (member != nullptr ? member->address : text(id));
  }
  return "no leader: only " + who + " has everything that was acknowledged, says the witness, and it is not heard. This "
         "master waits for it. If it is gone for good, stop this one and run weed recover: what only the other had is lost then";
}

void RaftHost::tell_barred() {
  const auto& record = status_.in_sync.barred;
  if (record == barred_told_) return;
  barred_told_ = record;
  if (const auto text = barred_text(); !text.empty()) LOG_WARNING("{}", text);
}

void RaftHost::note_configuration(const raft::Output& out) {
  if (out.configuration) {
    transport_->configure(*out.configuration);
    Guard guard(mutex_);
    configuration_ = std::make_shared<const raft::Configuration>(*out.configuration);
  }
  if (status_.commit < status_.configuration || configuration_committed_ == status_.configuration) return;
  configuration_committed_ = status_.configuration;
  Guard guard(mutex_);
  committed_configuration_ = std::make_shared<const raft::Configuration>(core_->configuration());
}

// After a start it is not known what is committed until a leader is: members then stand as the log has them.
const raft::Configuration* RaftHost::committed_before() const {
  if (status_.commit >= status_.configuration || status_.counters.leaders_seen + status_.counters.elections_won == 0) return nullptr;
  const auto& before = core_->configuration_at(status_.commit);
  return before.empty() ? nullptr : &before;  // empty: these are founders
}

bool RaftHost::is_joining(const raft::Member& member) const {
  const auto* before = committed_before();
  if (before == nullptr) return false;
  const auto* known = before->find(member.id);
  return known == nullptr || known->voter != member.voter || known->witness != member.witness;
}

void RaftHost::publish(bool changed) {
  const Instant now = clock_.now();
  const auto interval = status_.lease.asked > Duration(0) ? kLeaseLagInterval : kLagInterval;
  if (!changed && now < published_at_ + interval) return;
  tell_barred();
  if (!changed && now < published_at_ + kLagInterval) return;
  published_at_ = now;
  auto view = make_view();
  {
    Guard guard(mutex_);
    // Links come and go between steps of the core: what peers say of themselves may have changed as well.
    const auto& old = view_->members;
    changed = changed || old.size() != view->members.size() || view_->leaving.size() != view->leaving.size() ||
              !std::equal(old.begin(), old.end(), view->members.begin(), [](const auto& a, const auto& b) {
                return a.id == b.id && a.connected == b.connected && a.process == b.process && a.http == b.http &&
                       a.grpc == b.grpc && a.voter == b.voter && a.witness == b.witness && a.joining == b.joining;
              });
    view_ = std::move(view);
  }
  if (changed && changed_) changed_();
  auto& m = counted();
  m.is_leader.set(status_.role == raft::Role::leader ? 1 : 0);
  m.term.set(static_cast<double>(status_.term.value()));
  m.commit.set(static_cast<double>(status_.commit.value()));
  m.applied.set(static_cast<double>(applied_.value()));
  m.elections.set(static_cast<double>(status_.counters.elections_started));
  m.won.set(static_cast<double>(status_.counters.elections_won));
  m.suspicions.set(static_cast<double>(status_.counters.wrong_suspicions));
  m.quorum_lost.set(static_cast<double>(status_.counters.quorum_lost));
  m.snapshots_sent.set(static_cast<double>(status_.counters.snapshots_sent));
  m.silence.set(seconds(status_.silence_timeout));
  m.lease_held.set(make_lease_view(now).held_until ? 1 : 0);
  m.lease_waits.set(static_cast<double>(status_.counters.waits));
  m.reads_by_lease.set(static_cast<double>(status_.counters.reads_by_lease + status_.counters.reads_in_wait +
                                           answered_by_lease_.load(std::memory_order_relaxed)));
  m.reads_by_round.set(static_cast<double>(status_.counters.reads_by_round));
}

std::shared_ptr<const View> RaftHost::view() const {
  Guard guard(mutex_);
  return view_;
}

std::shared_ptr<const raft::Configuration> RaftHost::configuration() const {
  Guard guard(mutex_);
  return configuration_ && !configuration_->empty() ? configuration_ : nullptr;
}

std::shared_ptr<const raft::Configuration> RaftHost::committed_configuration() const {
  Guard guard(mutex_);
  return committed_configuration_;
}

void RaftHost::on_view_change(std::function<void()> changed) { changed_ = std::move(changed); }

void RaftHost::set_waiting(std::string text) {
  {
    Guard guard(mutex_);
    if (begun_ || view_->waiting_for == text) return;
    auto next = std::make_shared<View>(*view_);
    next->waiting_for = std::move(text);
    view_ = std::move(next);
  }
  if (changed_) changed_();
}

// ---------------------------------------------------------------------------------------------------- the end

void RaftHost::fail(const std::string& why) {
  if (failed_.exchange(true)) return;
  silence();
  if (options_.on_fatal) {
    options_.on_fatal(why);
  } else {
    LOG_ERROR("{}", why);
  }
  wake();
}

void RaftHost::end_all_proposals() {
  std::vector<Command> commands;
  std::vector<WaitingRead> reads;
  std::vector<std::pair<raft::Change, std::function<void(Status)>>> changes;
  std::vector<std::function<void(Status)>> transfers;
  {
    Guard guard(mutex_);
    ended_ = true;
    commands.swap(commands_);
    reads.swap(reads_);
    changes.swap(changes_);
    transfers.swap(transfers_);
  }
  const Error unknown{Code::outcome_unknown, "this master stopped meanwhile"};
  for (auto& [tag, batch] : batches_) {
    for (const auto& done : batch.dones) done(unknown);
  }
  batches_.clear();
  for (auto& [tag, done] : changes_under_way_) done(unknown);
  changes_under_way_.clear();
  for (auto& command : commands) command.done(Error{Code::not_leader, "this master stopped"});
  for (auto& [tag, more] : reads_under_way_) std::move(more.begin(), more.end(), std::back_inserter(reads));
  for (auto& [index, more] : reads_confirmed_) std::move(more.reads.begin(), more.reads.end(), std::back_inserter(reads));
  reads_under_way_.clear();
  reads_confirmed_.clear();
  for (const auto& read : reads) read.done(Error{Code::unavailable, "this master stopped"});
  for (auto& [change, done] : changes) done(Error{Code::not_leader, "this master stopped"});
  for (auto& done : transfers) done(Error{Code::unavailable, "this master stopped"});
}

}  // namespace holdfast::master
