// Story: a few cores, a virtual clock, a network of one millisecond and disks of a quarter, for tests of core/raft.
//
// Nothing here is random. What happened is written down one event a line; a test compares the lines it cares about.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/raft/core.h"

namespace holdfast::raft::story {

inline NodeId node(std::uint64_t n) { return NodeId(Uuid{0, n}); }
inline std::uint64_t number(NodeId id) { return id.value().low; }

inline Configuration voters(std::uint64_t count) {
  std::vector<Member> members;
  for (std::uint64_t n = 1; n <= count; ++n) {
    members.push_back({.id = node(n), .address = fmt::format("m{}", n), .voter = true});
  }
  return Configuration(members);
}

// What one member has on disk, and what is on its way there.
struct Disk {
  HardState hard_state;
  std::optional<SnapshotMeta> snapshot;
  std::vector<Entry> entries;  // after the snapshot
  Index disk_first{1};

  void write(const Output& out) {
    if (out.log_reset) {
      snapshot = out.log_reset;
      entries.clear();
      disk_first = out.log_reset->last.index.next();
    }
    if (out.hard_state) hard_state = *out.hard_state;
    if (!out.appended.empty()) {
      std::erase_if(entries, [&](const Entry& e) { return e.index >= out.appended.front().index; });
      entries.insert(entries.end(), out.appended.begin(), out.appended.end());
    }
  }
};

struct MemberOf {
  std::optional<Core> core;  // none: dead
  Incarnation incarnation{0};
  Disk disk;
  std::deque<Output> unwritten;
  bool disk_stuck = false;
  bool disk_busy = false;
  double sync_factor = 1;  // how much slower its disk is than Cluster::sync
  std::vector<Entry> applied;  // commands only
  Index applied_index;
  std::map<Tag, ProposalDone> proposals;
  std::map<Tag, ReadState> reads;
  std::vector<std::string> leaderships;
  std::vector<Notice> notices;
  std::optional<std::string> halted;
  std::optional<TransferDone> transfer_done;
  Instant wake_at{};
  int woken_at_once = 0;  // in a row
  Instant assign_until = kDistantPast;
};

// A step that asks to be followed by another one at once has something left to do, and comes to its end.
inline constexpr int kWokenAtOnceMax = 1000;

class Cluster {
 public:
  explicit Cluster(std::uint64_t count, std::function<void(Options&)> adjust = {}, Duration lease_cap = {})
      : adjust_(std::move(adjust)) {
    for (std::uint64_t n = 1; n <= count; ++n) {
      auto& m = members_[node(n)];
      m.disk.entries = {bootstrap_entry(voters(count).with_lease_cap(lease_cap))};
      m.disk.hard_state = {Term(1), NodeId(), Index(1)};
    }
    for (std::uint64_t n = 1; n <= count; ++n) start(n);
  }

  // A member with an empty folder: waits to be added.
  void start_empty(std::uint64_t n) {
    members_[node(n)] = MemberOf();
    start(n);
  }

  void start(std::uint64_t n, std::optional<Damage> damage = std::nullopt) {
    auto& m = members_[node(n)];
    m.incarnation = m.incarnation.next();
    m.unwritten.clear();
    m.disk_busy = false;
    m.applied.clear();
    m.applied_index = m.disk.snapshot ? m.disk.snapshot->last.index : Index(0);
    Options options;
    options.self = node(n);
    options.incarnation = m.incarnation;
    options.seed = n;
    if (adjust_) adjust_(options);
    Start start;
    start.hard_state = m.disk.hard_state;
    start.snapshot = m.disk.snapshot;
    start.entries = m.disk.entries;
    start.disk_first = m.disk.disk_first;
    start.damage = damage;
    m.core.emplace(options, start, now);
    m.wake_at = now;
  }

  void kill(std::uint64_t n) {
    auto& m = members_[node(n)];
    m.core.reset();
    m.unwritten.clear();
  }

  // The connection of everyone to `n` breaks, as when its process dies.
  void kill_and_break_links(std::uint64_t n) {
    kill(n);
    for (auto& [id, m] : members_) {
      if (m.core) give(number(id), LinkLost{node(n)});
    }
  }

  void cut(std::uint64_t a, std::uint64_t b) {
    cut_.insert({node(a), node(b)});
    cut_.insert({node(b), node(a)});
  }
  void cut_one_way(std::uint64_t from, std::uint64_t to) { cut_.insert({node(from), node(to)}); }
  void isolate(std::uint64_t n) {
    for (auto& [id, m] : members_) {
      if (id != node(n)) cut(n, number(id));
    }
  }
  void heal() { cut_.clear(); }

  MemberOf& member(std::uint64_t n) { return members_[node(n)]; }
  CoreStatus status(std::uint64_t n) { return members_[node(n)].core->status(); }
  Core& core(std::uint64_t n) { return *members_[node(n)].core; }

  void give(std::uint64_t n, Input input) { step(node(n), {std::move(input)}); }

  // Puts a message made up by the test on the wire.
  void deliver(std::uint64_t from, std::uint64_t to, Message message) {
    message.from = node(from);
    message.to = node(to);
    give(to, Received{node(from), std::move(message)});
  }

  Tag propose(std::uint64_t n, std::string data) {
    give(n, Proposed{++tag_, std::move(data)});
    return tag_;
  }
  Tag change(std::uint64_t n, Change c) {
    give(n, ChangeProposed{++tag_, std::move(c)});
    return tag_;
  }
  Tag read(std::uint64_t n, std::optional<std::string> key = std::nullopt) {
    give(n, ReadRequested{++tag_, std::move(key)});
    return tag_;
  }

  void run(Duration length) {
    const auto end = now + length;
    while (next_event() <= end) advance(next_event());
    now = end;
  }

  // Runs until `done` or for ten seconds; says whether it was done.
  bool run_until(const std::function<bool()>& done) {
    const auto end = now + 10s;
    while (!done()) {
      if (next_event() > end) return false;
      advance(next_event());
    }
    return true;
  }

  std::optional<std::uint64_t> leader() {
    std::optional<std::uint64_t> found;
    Term newest;
    for (auto& [id, m] : members_) {
      if (m.core && m.core->status().role == Role::leader && m.core->status().term > newest) {
        found = number(id);
        newest = m.core->status().term;
      }
    }
    return found;
  }

  std::uint64_t elect() {
    EXPECT_TRUE(run_until([&] {
      const auto l = leader();
      if (!l) return false;
      const auto s = status(*l);
      return s.commit >= s.last;
    }));
    run(50ms);
    return leader().value_or(0);
  }

  std::vector<std::string> commands(std::uint64_t n) {
    std::vector<std::string> found;
    for (const auto& e : members_[node(n)].applied) found.emplace_back(e.data.view());
    return found;
  }

  Instant now = at(1s);
  std::vector<std::string> trace;  // all messages but beats, when `tracing`
  bool tracing = false;
  Instant trace_start{};
  void start_trace() {
    tracing = true;
    trace_start = now;
  }
  Duration latency = 1ms;
  Duration sync = 250us;
  std::function<bool(const Message&)> drop;  // true: lost
  bool slow_fetches = false;  // entries read from disk are not there before release_fetches()
  std::size_t fetches_held() const { return held_fetches_.size(); }
  void release_fetches() {
    for (auto& [id, answer] : std::exchange(held_fetches_, {})) step(id, {std::move(answer)});
  }

 private:
  struct InTransit {
    Instant at;
    Message message;
  };

  Instant next_event() {
    auto next = kDistantFuture;
    for (auto& [id, m] : members_) {
      if (m.core) next = std::min(next, m.wake_at);
    }
    for (const auto& t : transit_) next = std::min(next, t.at);
    for (const auto& [when, id] : syncs_) next = std::min(next, when);
    return next;
  }

  void advance(Instant to) {
    now = std::max(now, to);
    std::vector<Message> due;
    std::erase_if(transit_, [&](const InTransit& t) {
      if (t.at > now) return false;
      due.push_back(t.message);
      return true;
    });
    for (auto& message : due) {
      auto& m = members_[message.to];
      if (!m.core) continue;
      if (tracing && !is_beat(message)) {
        trace.push_back(fmt::format("{} {}", milliseconds(now - trace_start), text(message)));
      }
      step(message.to, {Received{message.from, message}});
    }
    for (auto it = syncs_.begin(); it != syncs_.end();) {
      if (it->first > now) {
        ++it;
        continue;
      }
      const auto id = it->second;
      it = syncs_.erase(it);
      synced(id);
    }
    for (auto& [id, m] : members_) {
      if (!m.core || m.wake_at > now) continue;
      step(id, {Woken{}});
      m.woken_at_once = m.wake_at <= now ? m.woken_at_once + 1 : 0;
      if (m.woken_at_once < kWokenAtOnceMax) continue;
      ADD_FAILURE() << "member " << number(id) << " asks to be woken at once, again and again";
      m.wake_at = kDistantFuture;
    }
  }

  void synced(NodeId id) {
    auto& m = members_[id];
    m.disk_busy = false;
    if (!m.core || m.unwritten.empty() || m.disk_stuck) return;
    const auto sequence = m.unwritten.back().write_sequence;
    std::vector<Message> messages;
    for (auto& out : m.unwritten) {
      m.disk.write(out);
      messages.insert(messages.end(), out.messages_after_sync.begin(), out.messages_after_sync.end());
    }
    m.unwritten.clear();
    for (auto& message : messages) send(message);
    step(id, {Persisted{sequence}});
  }

  void send(const Message& message) {
    if (cut_.contains({message.from, message.to}) || (drop && drop(message))) return;
    transit_.push_back({now + latency, message});
  }

 public:
  // Lets a stuck disk go on.
  void unstick(std::uint64_t n) {
    members_[node(n)].disk_stuck = false;
    synced(node(n));
  }

 private:
  void step(NodeId id, std::vector<Input> inputs) {
    auto& m = members_[id];
    if (!m.core) return;
    auto out = m.core->step(now, inputs);
    m.wake_at = out.wake_at;
    m.assign_until = out.assign_until;
    for (const auto& message : out.messages_now) send(message);
    if (out.restore) {
      m.applied_index = out.restore->last.index;
      m.applied.clear();
    }
    for (const auto& entry : out.committed) {
      EXPECT_EQ(entry.index, m.applied_index.next());
      m.applied_index = entry.index;
      if (entry.kind == EntryKind::command) m.applied.push_back(entry);
    }
    for (const auto& p : out.proposals) {
      EXPECT_FALSE(m.proposals.contains(p.tag)) << "answered twice";
      m.proposals[p.tag] = p;
    }
    for (const auto& r : out.reads) {
      EXPECT_FALSE(m.reads.contains(r.tag)) << "answered twice";
      m.reads[r.tag] = r;
    }
    if (out.leadership) m.leaderships.push_back(out.leadership->why);
    if (out.transfer_done) m.transfer_done = out.transfer_done;
    for (const auto& n : out.notices) m.notices.push_back(n);
    if (out.halt) m.halted = out.halt;
    std::vector<Input> answers;
    for (const auto& read : out.log_reads) {
      if (slow_fetches) {
        held_fetches_.emplace_back(id, fetched(m, read));
      } else {
        answers.push_back(fetched(m, read));
      }
    }
    for (const auto& read : out.snapshot_reads) answers.push_back(piece(m, read));
    for (const auto& write : out.snapshot_writes) {
      answers.push_back(SnapshotPieceWritten{write.meta, write.offset + write.data.size(), write.last, false});
    }
    if (out.write_sequence != 0) {
      m.unwritten.push_back(std::move(out));
      if (!m.disk_busy) {
        m.disk_busy = true;
        syncs_.emplace(now + std::chrono::duration_cast<Duration>(sync * m.sync_factor), id);
      }
    }
    if (!answers.empty()) step(id, std::move(answers));
  }

  static Input fetched(const MemberOf& m, const LogRead& read) {
    EntriesFetched answer{read.peer, read.from, Term(0), {}};
    std::size_t bytes = 0;
    if (m.disk.snapshot && m.disk.snapshot->last.index.next() == read.from) {
      answer.previous_term = m.disk.snapshot->last.term;
    }
    for (const auto& e : m.disk.entries) {
      if (e.index.next() == read.from) answer.previous_term = e.term;
      if (e.index < read.from) continue;
      bytes += e.data.size();
      if (bytes > read.bytes_max && !answer.entries.empty()) break;
      answer.entries.push_back(e);
    }
    return answer;
  }

  // Snapshots of a story have no content: three pieces of ten bytes.
  static Input piece(const MemberOf& m, const SnapshotRead& read) {
    return SnapshotPieceRead{read.peer, *m.disk.snapshot, read.offset, "0123456789", read.offset >= 20};
  }

  std::function<void(Options&)> adjust_;
  std::map<NodeId, MemberOf> members_;
  std::deque<InTransit> transit_;
  std::vector<std::pair<NodeId, Input>> held_fetches_;
  std::multimap<Instant, NodeId> syncs_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  Tag tag_ = 0;
};

}  // namespace holdfast::raft::story
