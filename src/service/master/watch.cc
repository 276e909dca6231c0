#include "service/master/watch.h"

#include <algorithm>

#include "base/log.h"

namespace holdfast::master {
namespace {

// Events beyond are dropped: a core that makes so many before the thread turns once is not to be believed.
constexpr std::size_t kWaitingMax = 1000;

}  // namespace

io::posix::LineFile lease_log(const std::string& folder) {
  return {folder + (folder.ends_with('/') ? "" : "/") + "lease.log", kLeaseLogBytesMax, kLeaseLogOldFiles};
}

Watch::Watch(Options options, io::Clock& clock)
    : options_(std::move(options)), clock_(clock), log_(lease_log(options_.folder)), report_(std::make_shared<WatchReport>()) {}

void Watch::start() { thread_ = std::thread([this] { run(); }); }

void Watch::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
  }
  woken_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watch::happened(LeaseEvent event) {
  {
    Guard guard(mutex_);
    if (waiting_.size() >= kWaitingMax) return;
    waiting_.push_back(std::move(event));
  }
  woken_.notify_all();
}

void Watch::received(BytesView datagram) {
  const auto now = clock_.now();
  Guard guard(mutex_);
  if (reach_) (void)reach_->received(datagram, now, clock_.wall());
}

std::shared_ptr<const WatchReport> Watch::report() const {
  Guard guard(mutex_);
  return report_;
}

std::string Watch::name(const View& view, NodeId id) const {
  const auto* member = view.member(id);
  if (member != nullptr && !member->http.empty()) return member->http;
  return id == view.self ? options_.self : text(id);
}

// What this master saw before its start is shown too, where its clock still counts from the same boot.
void Watch::read_back() {
  const auto lines = options_.folder.empty() ? Result<std::vector<std::string>>(std::vector<std::string>()) : log_.read();
  if (!lines) return;
  const auto now = clock_.now();
  const auto wall = clock_.wall();
  for (const auto& line : *lines) {
    auto event = parse_lease_line(line);
    if (!event || event->seen_by != options_.self || event->wall > wall || event->at > now) continue;
    const auto apart = (now - event->at) - (wall - event->wall);
    if (apart > 5min || apart < -5min) continue;  // another boot
    events_.push_back(std::move(*event));
  }
  if (events_.size() > kLeaseEventsKept) events_.erase(events_.begin(), events_.end() - kLeaseEventsKept);
}

void Watch::run() {
  read_back();
  for (;;) {
    turn();
    const Instant until = clock_.now() + kReachInterval;
    std::vector<LeaseEvent> events;
    bool is_last = false;
    for (;;) {
      {
        Guard guard(mutex_);
        const Duration left = until - clock_.now();
        if (waiting_.empty() && !stopping_ && left > Duration(0)) (void)woken_.wait_for(mutex_, left);
        events.swap(waiting_);
        is_last = stopping_;
      }
      write(std::exchange(events, {}));
      if (is_last || clock_.now() >= until) break;
    }
    if (is_last) return;
  }
}

void Watch::write(std::vector<LeaseEvent> events) {
  if (events.empty()) return;
  const auto view = options_.view();
  for (auto& event : events) {
    event.holder_address = name(*view, event.holder);
    event.seen_by = options_.self;
    ++counts_[event.kind];
    alarms_.happened(event);
    if (!options_.folder.empty()) {
      const auto done = log_.append(lease_line(event));
      if (!done && !is_log_broken_) LOG_WARNING("lease.log: {}; the master goes on without it", done.error().what());
      is_log_broken_ = !done.ok();
    }
    events_.push_back(std::move(event));
  }
  if (events_.size() > kLeaseEventsKept) {
    events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(events_.size() - kLeaseEventsKept));
  }
}

void Watch::turn() {
  const auto view = options_.view();
  auto report = std::make_shared<WatchReport>();
  report->discovered = options_.discovered();
  std::vector<std::pair<NodeId, std::string>> datagrams;
  const auto now = clock_.now();
  {
    Guard guard(mutex_);
    if (!view->cluster_id.value().empty() && (!reach_ || cluster_ != view->cluster_id)) {
      cluster_ = view->cluster_id;
      reach_ = std::make_unique<Reach>(cluster_, view->self, view->process);
    }
    if (reach_) {
      std::map<NodeId, bool> linked;
      for (const auto& member : view->members) {
        if (member.witness) continue;  // one that votes alone tells nothing of whom it hears
        // A stream that is cut in one direction looks whole for a long time: only what came through it lately counts, and
        // that it is up where datagrams have never come through at all.
        const bool spoke = member.silent_for && *member.silent_for < kReachedWithin;
        linked[member.id] = spoke || (member.connected && !reach_->has_heard(member.id));
      }
      reach_->members(linked);
      for (const auto& member : view->members) {
        if (!member.self && !member.witness) datagrams.emplace_back(member.id, reach_->datagram_to(member.id, now, clock_.wall()));
        if (auto clock = reach_->clock_of(member.id)) report->clocks[member.id] = *clock;
      }
      report->matrix = reach_->matrix(now);
    }
  }
  for (const auto& [to, datagram] : datagrams) options_.send(to, datagram);

  Alarms::Seen seen{.now = now,
                    .has_leader = view->leader.has_value(),
                    .takes_part = !view->cluster_id.value().empty() && view->waiting_for.empty() && !view->members.empty(),
                    .clocks_apart = view->lease.clocks_apart && view->lease.cap > Duration(0),
                    .last_change = view->last_change,
                    .matrix = &report->matrix,
                    .clocks = report->clocks,
                    .name = [&](NodeId id) { return name(*view, id); }};
  const auto news = alarms_.look(seen);
  for (const auto& alarm : news.begun) {
    ++alarm_counts_[alarm.kind];
    LOG_WARNING("{}", alarm.text);
  }
  for (const auto& alarm : news.passed) {
    if (alarm.kind != AlarmKind::conflict) LOG_INFO("no more so: {}", alarm.text);
  }
  report->made = now;
  report->alarms = alarms_.all();
  report->events = events_;
  report->counts = counts_;
  report->alarm_counts = alarm_counts_;
  Guard guard(mutex_);
  report_ = std::move(report);
}

}  // namespace holdfast::master
