// For tests: a clock that is moved by hand, a group of masters without a network, volume servers that obey.
//
// FakeGroup is consensus as the Master sees it when nothing goes wrong between members: one leads, what it proposes is
// applied by all that are not paused, in order. Who leads is said by the test.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/request_id.h"
#include "base/mutex.h"
#include "io/clock.h"
#include "io/random.h"
#include "service/master/consensus.h"
#include "service/master/master.h"
#include "service/master/volume_orders.h"

namespace holdfast::master {

class FakeClock final : public io::Clock {
 public:
  Instant now() const override { return Instant(Duration(ns_.load())); }
  io::WallTime wall() const override { return io::WallTime(Duration(1'700'000'000'000'000'000 + ns_.load())); }
  void advance(Duration by) { ns_ += by.count(); }

 private:
  std::atomic<std::int64_t> ns_{3'600'000'000'000};
};

class FakeRandom final : public io::Random {
 public:
  explicit FakeRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override {
    std::uint64_t z = state_.fetch_add(0x9e3779b97f4a7c15ull) + 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }

 private:
  std::atomic<std::uint64_t> state_;
};

class FakeGroup {
 public:
  explicit FakeGroup(int members) {
    for (int i = 0; i < members; ++i) members_.push_back(std::make_unique<Member>(*this, i));
    Guard guard(mutex_);
    publish();
  }

  Consensus& consensus(int i) { return *members_[static_cast<std::size_t>(i)]; }
  static NodeId node(int i) { return NodeId(Uuid{100, static_cast<std::uint64_t>(i) + 1}); }
  static Uuid process(int i) { return Uuid{200, static_cast<std::uint64_t>(i) + 1}; }
  static ClusterId cluster() { return ClusterId(Uuid{300, 1}); }

  void attach(int i, topology::StateMachine& state) { members_[static_cast<std::size_t>(i)]->state = &state; }

  // Nobody (-1) or one of them leads from now on. Proposals under way end as outcome_unknown.
  void lead(int i) {
    std::vector<Consensus::Done> lost;
    {
      Guard guard(mutex_);
      leader_ = i;
      if (i >= 0) term_ = term_.next();
      for (auto& [command, done] : held_) lost.push_back(std::move(done));
      held_.clear();
      publish();
    }
    for (const auto& done : lost) done(Error(Code::outcome_unknown, "the leader lost its place"));
    tell();
  }
  // A leader without a quorum: proposals hang, assigns are not allowed.
  void set_quorum(bool has) {
    std::deque<std::pair<std::string, Consensus::Done>> held;
    {
      Guard guard(mutex_);
      quorum_ = has;
      if (has) held.swap(held_);
    }
    for (auto& [command, done] : held) commit(std::move(command), std::move(done));
    tell();
  }
  // A member whose links stand, but that says nothing.
  void set_silent(int i, Duration silent_for) {
    {
      Guard guard(mutex_);
      members_[static_cast<std::size_t>(i)]->silent_for = silent_for;
      publish();
    }
    tell();
  }
  // What the members' builds understand, as each tells the others.
  void set_feature_level(int i, std::uint32_t level) {
    {
      Guard guard(mutex_);
      members_[static_cast<std::size_t>(i)]->feature_level = level;
      publish();
    }
    tell();
  }
  // A member whose links are down and that was last heard long ago.
  void set_lost(int i, bool lost) {
    Guard guard(mutex_);
    members_[static_cast<std::size_t>(i)]->lost = lost;
    publish();
  }

 private:
  struct Member final : Consensus {
    Member(FakeGroup& group_given, int index_given) : group(group_given), index(index_given) {}
    std::shared_ptr<const View> view() const override {
      Guard guard(group.mutex_);
      return published;
    }
    bool may_assign(Instant) const override { return group.leader_ == index && group.quorum_; }
    void propose(std::string command, Done done) override {
      if (group.leader_ != index) return done(Error(Code::not_leader, "not the leader"));
      if (!group.quorum_) {
        Guard guard(group.mutex_);
        group.held_.emplace_back(std::move(command), std::move(done));
        return;
      }
      group.commit(std::move(command), std::move(done));
    }
    void confirm_read(ReadDone done) override {
      Index index;
      {
        Guard guard(group.commit_mutex_);
        index = group.index_;
      }
      if (group.leader_ >= 0 && group.quorum_) return done(index);
      done(Error(Code::unavailable, "no leader could be confirmed"));
    }
    void on_view_change(std::function<void()> changed_given) override {
      Guard guard(group.mutex_);
      changed = std::move(changed_given);
    }

    FakeGroup& group;
    const int index;
    topology::StateMachine* state = nullptr;
    bool lost = false;
    Duration silent_for = 1ms;
    std::uint32_t feature_level = 1;
    std::shared_ptr<const View> published;
    std::function<void()> changed;
  };

  void commit(std::string command, Consensus::Done done) {
    std::string answer;
    {
      Guard guard(commit_mutex_);
      const std::string entry =
          topology::encode_batch({{{Uuid{400, 1}, ++sequence_}, sequence_, std::move(command)}});
      index_ = index_.next();
      for (const auto& member : members_) {
        if (member->state == nullptr) continue;
        auto answers = member->state->apply(index_, term_, bytes_of(entry));
        if (member->index == leader_) answer = answers->front();
      }
    }
    done(std::move(answer));
  }

  void publish() HOLDFAST_REQUIRES(mutex_) {
    for (const auto& member : members_) {
      auto view = std::make_shared<View>();
      view->cluster_id = cluster();
      view->self = node(member->index);
      view->process = process(member->index);
      view->incarnation = Incarnation(1);
      view->role = member->index == leader_ ? Role::leader : Role::follower;
      view->term = term_;
      if (leader_ >= 0) view->leader = node(leader_);
      for (const auto& other : members_) {
        MemberView m;
        m.id = node(other->index);
        m.self = other->index == member->index;
        m.connected = !other->lost;
        m.http = "localhost:" + std::to_string(9333 + other->index);
        m.grpc = "localhost:" + std::to_string(19333 + other->index);
        m.process = process(other->index);
        m.incarnation = Incarnation(1);
        m.feature_level = other->feature_level;
        if (!other->lost) m.silent_for = other->silent_for;
        view->members.push_back(std::move(m));
      }
      member->published = std::move(view);
    }
  }
  void tell() {
    for (const auto& member : members_) {
      std::function<void()> changed;
      {
        Guard guard(mutex_);
        changed = member->changed;
      }
      if (changed) changed();
    }
  }

  mutable Mutex mutex_;
  Mutex commit_mutex_;
  std::vector<std::unique_ptr<Member>> members_;
  std::atomic<int> leader_{-1};
  std::atomic<bool> quorum_{true};
  Term term_;
  Index index_;
  std::uint64_t sequence_ = 0;
  std::deque<std::pair<std::string, Consensus::Done>> held_;
};

// Answers every order at once, unless told otherwise, and keeps what was asked.
class FakeOrders final : public VolumeOrders {
 public:
  struct Order {
    std::string what;  // "allocate", "delete", "delete collection"
    std::string address;
    OrderFence fence;
    VolumeId volume;
    std::string collection;
    bool only_empty = false;
    std::uint32_t memory_map_max_size_mb = 0;
    std::string request_id = std::string(api::RequestScope::current());
  };

  void allocate_volume(const std::string& address, const OrderFence& fence, const AllocateOrder& order,
                       Done done) override {
    take({.what = "allocate",
          .address = address,
          .fence = fence,
          .volume = order.volume,
          .collection = order.collection,
          .memory_map_max_size_mb = order.memory_map_max_size_mb},
         std::move(done));
  }
  void delete_volume(const std::string& address, const OrderFence& fence, VolumeId volume, bool only_empty,
                     Done done) override {
    take({"delete", address, fence, volume, {}, only_empty}, std::move(done));
  }
  void delete_collection(const std::string& address, const OrderFence& fence, const std::string& collection,
                         Done done) override {
    take({"delete collection", address, fence, {}, collection}, std::move(done));
  }

  // Volumes are garbage by what `ratios` says of their server, 0 otherwise.
  void vacuum_check(const std::string& address, VolumeId, Duration, RatioDone done) override {
    std::optional<Error> failure;
    double ratio = 0;
    {
      Guard guard(mutex_);
      if (const auto it = failures_.find(address); it != failures_.end()) failure = it->second;
      if (const auto it = ratios_.find(address); it != ratios_.end()) ratio = it->second;
    }
    failure ? done(*failure) : done(ratio);
  }
  void vacuum(const std::string& address, const OrderFence& fence, VacuumStep step, VolumeId volume, Duration,
              Done done) override {
    const char* const name =
        step == VacuumStep::compact ? "compact" : step == VacuumStep::commit ? "commit" : "clean up";
    std::optional<Error> failure;
    {
      Guard guard(mutex_);
      if (const auto it = step_failures_.find({address, name}); it != step_failures_.end()) failure = it->second;
    }
    if (!failure) return take({name, address, fence, volume}, std::move(done));
    take({name, address, fence, volume}, [done = std::move(done), failure](const Status&) { done(*failure); });
  }
  // Keeps volumes' epochs as volume servers do, by address; a step that is told to fail does.
  void heal(const std::string& address, const OrderFence& fence, const HealOrder& order, Duration,
            HealDone done) override {
    constexpr const char* kNames[] = {"freeze", "extend", "thaw",    "copy",
                                      "adopt",  "outdate", "compare", "discard", "catch_up"};
    const char* const name = kNames[static_cast<std::size_t>(order.step)];
    std::optional<Error> failure;
    Healed healed;
    {
      Guard guard(mutex_);
      if (const auto it = step_failures_.find({address, name}); it != step_failures_.end()) failure = it->second;
      auto& known = epochs_[address];
      if (!failure && order.step == HealOrder::Step::adopt) known = order.to;
      healed.epoch = known;
      if (order.step == HealOrder::Step::compare) {
        healed.files = 10;
        healed.missing = files_missing_;
      }
    }
    take({name, address, fence, order.volume, order.source},
         [done = std::move(done), failure, healed](const Status& status) {
           if (failure) return done(*failure);
           done(status.ok() ? Result<Healed>(healed) : status.error());
         });
  }
  // What a comparison finds from now on.
  void set_files_missing(std::uint64_t files) {
    Guard guard(mutex_);
    files_missing_ = files;
  }
  std::uint64_t epoch(const std::string& address) const {
    Guard guard(mutex_);
    const auto it = epochs_.find(address);
    return it == epochs_.end() ? 0 : it->second;
  }
  void set_ratio(const std::string& address, double ratio) {
    Guard guard(mutex_);
    ratios_[address] = ratio;
  }
  void fail_step(const std::string& address, const std::string& step, const Error& error) {
    Guard guard(mutex_);
    step_failures_.emplace(std::pair(address, step), error);
  }

  // From now on the server at `address` fails; empty: obeys.
  void fail(const std::string& address, std::optional<Error> error) {
    Guard guard(mutex_);
    failures_.erase(address);
    if (error) failures_.emplace(address, *error);
  }
  // Orders to the server at `address` are kept back until answer_held() or release(): it is frozen.
  void freeze(const std::string& address) {
    Guard guard(mutex_);
    frozen_.insert(address);
  }
  // Orders are kept back until release().
  void hold() {
    Guard guard(mutex_);
    holding_ = true;
  }
  // Those that are kept back are never answered: the master that gave them is dead.
  void lose() {
    Guard guard(mutex_);
    holding_ = false;
    held_.clear();
  }
  void release() {
    std::vector<Done> held;
    {
      Guard guard(mutex_);
      holding_ = false;
      frozen_.clear();
      held.swap(held_);
    }
    for (const Done& done : held) done({});
  }
  // Answers what is kept back, and goes on keeping back.
  void answer_held() {
    std::vector<Done> held;
    {
      Guard guard(mutex_);
      held.swap(held_);
    }
    for (const Done& done : held) done({});
  }
  std::vector<Order> orders() const {
    Guard guard(mutex_);
    return orders_;
  }

 private:
  void take(Order order, Done done) {
    Status status;
    {
      Guard guard(mutex_);
      const std::string address = order.address;
      orders_.push_back(std::move(order));
      if (holding_ || frozen_.contains(address)) {
        held_.push_back(std::move(done));
        return;
      }
      if (const auto it = failures_.find(address); it != failures_.end()) status = it->second;
    }
    done(std::move(status));
  }

  mutable Mutex mutex_;
  std::vector<Order> orders_;
  std::vector<Done> held_;
  std::map<std::string, Error> failures_;
  std::map<std::string, double> ratios_;
  std::map<std::string, std::uint64_t> epochs_;
  std::uint64_t files_missing_ = 0;
  std::map<std::pair<std::string, std::string>, Error> step_failures_;
  bool holding_ = false;
  std::set<std::string> frozen_;
};

// The first report of a new, empty volume server of ours at 10.0.0.<n>:8080.
inline topology::Report fake_report(int n, std::uint32_t slots = 10) {
  topology::Report report;
  report.ip = "10.0.0." + std::to_string(n);
  report.port = 8080;
  report.max_volume_counts[""] = slots;
  report.full = true;
  report.process = Uuid{500, static_cast<std::uint64_t>(n)};
  report.pulse = 250ms;
  report.location_uuids = {text(Uuid{600, static_cast<std::uint64_t>(n)})};
  return report;
}

}  // namespace holdfast::master
