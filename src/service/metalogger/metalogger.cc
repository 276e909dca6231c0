#include "service/metalogger/metalogger.h"

#include <algorithm>
#include <map>
#include <thread>

#include "base/log.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "client/discovery.h"
#include "client/listening.h"
#include "service/metalogger/master_calls.h"
#include "storage/backup/backup_folder.h"

namespace holdfast::metalogger {
namespace {

constexpr std::uint32_t kFormat = 1;
constexpr Duration kWait = 1s;                // for something new, in one question
constexpr std::uint64_t kChangesBytes = 4u << 20;
constexpr Duration kReportInterval = 3s;      // to the masters that are not followed
constexpr Duration kReportPatience = 1s;
constexpr Duration kImagePatience = 60s;      // for one piece, the making included
constexpr Duration kImageAgain = 1min;        // after a download that failed
constexpr Duration kTellInterval = 1min;      // between two lines about the same trouble
constexpr Duration kWithoutLeader = 2s;       // a master without a leader is followed so long before another is tried
constexpr Duration kProbeFirst = 100ms;       // between looks whether a master is back
constexpr Duration kProbeMax = 1s;
constexpr Duration kProbePatience = 300ms;
constexpr Duration kDeadPause = 1min;         // nobody listens: names may stand for other addresses by then
constexpr Duration kBehindPause = 200ms;      // after a master that is behind this metalogger
constexpr std::size_t kMastersMax = 64;
constexpr const char* kLock = ".metalogger.lock";

std::vector<std::string> grpc_of(const std::vector<Address>& masters) {
  std::vector<std::string> addresses;
  for (const auto& master : masters) addresses.push_back(master.grpc());
  return addresses;
}

struct Gauges {
  metrics::Gauge& position = metrics::process().gauge("holdfast_metalogger_position", "last entry on this metalogger's disk");
  metrics::Gauge& image = metrics::process().gauge("holdfast_metalogger_image", "last entry in its newest image");
  metrics::Gauge& behind =
      metrics::process().gauge("holdfast_metalogger_lag_entries", "entries it lacks, as the master it follows last said");
  metrics::Gauge& following =
      metrics::process().gauge("holdfast_metalogger_following", "1 while a master answers this metalogger");
};
Gauges& gauges() {
  static Gauges gauges;
  return gauges;
}

class Follower final : public Metalogger {
 public:
  Follower(Options options, io::Disk& disk, io::Clock& clock, io::Random& random)
      : options_(std::move(options)), disk_(disk), clock_(clock), process_(random.uuid()) {}
  ~Follower() override { stop(); }

  Status open();
  void start() override;
  void stop() override;
  MetaloggerState status() const override;

 private:
  enum class Turn { followed, next, pause };  // went on; this master does not help; nobody does at the moment

  void run();
  void report();
  Turn follow(const Address& master);
  Turn take(const Address& master, const BackupChanges& reply);
  Turn take_foreign(const Address& master, const BackupChanges& reply);
  Status write(const BackupChanges& reply);
  Status fetch_image(const Address& master);
  Status catch_up(const Address& master, Index until);
  void learn(const BackupChanges& reply);
  std::vector<Address> candidates() const;
  BackupRequest request(Duration wait, std::uint64_t bytes) const;
  void trouble(const std::string& text);
  void publish();
  bool pause(Duration duration);
  bool wait_for_return(const std::vector<Address>& masters);

  const Options options_;
  io::Disk& disk_;
  io::Clock& clock_;
  const Uuid process_;
  MasterCalls calls_;
  MasterCalls reports_;
  std::unique_ptr<client::Discovery> discovery_;
  std::thread thread_;
  std::thread reporter_;

  // The thread's own.
  std::unique_ptr<io::FolderLock> lock_;
  std::unique_ptr<backup::BackupFolder> folder_;
  Instant image_due_ = kDistantPast;
  Instant rotated_at_ = kDistantPast;
  Instant leaderless_since_ = kDistantFuture;
  std::map<std::string, Instant> told_;

  mutable Mutex mutex_;  // leaf
  Condition woken_;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  MetaloggerState state_ HOLDFAST_GUARDED_BY(mutex_);
  raft::LogPosition position_ HOLDFAST_GUARDED_BY(mutex_);
  std::uint32_t check_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  Instant heard_ HOLDFAST_GUARDED_BY(mutex_) = kDistantPast;
  std::vector<Address> learned_ HOLDFAST_GUARDED_BY(mutex_);  // members, as the masters last said
};

Status Follower::open() {
  if (auto done = disk_.make_folders(options_.folder); !done) return done;
  auto lock = disk_.lock(io::join(options_.folder, kLock));
  if (!lock) {
    if (lock.error().code() != Code::busy) return lock.error();
    return Error{Code::busy, lock.error().what() + ". Another metalogger uses the folder: give each one of its own"};
  }
  lock_ = std::move(*lock);
  auto folder = backup::BackupFolder::open(disk_, {.folder = options_.folder,
                                                   .logs_kept = options_.logs_kept,
                                                   .images_kept = options_.images_kept});
  if (!folder) return folder.error();
  folder_ = std::move(*folder);
  for (const auto& remark : folder_->remarks()) LOG_WARNING("{}", remark);
  if (folder_->position().index != Index()) {
    LOG_INFO("keeps copies of cluster {}: entries up to {}, {}", text(folder_->cluster()), text(folder_->position().index),
             folder_->image() ? "the newest image with " + text(folder_->image()->last.index) : "no image");
  }
  Guard guard(mutex_);
  if (folder_->image()) {
    for (const auto& member : folder_->image()->configuration.members()) {
      if (auto address = Address::parse(member.address)) learned_.push_back(std::move(*address));
    }
  }
  return {};
}

void Follower::start() {
  publish();
  discovery_ = std::make_unique<client::Discovery>(
      client::Discovery::Options{.places = options_.masters, .interval = options_.discovery_interval}, [](const auto&) {});
  rotated_at_ = clock_.now();
  thread_ = std::thread([this] { run(); });
  reporter_ = std::thread([this] { report(); });
}

void Follower::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
    woken_.notify_all();
  }
  if (discovery_) discovery_->stop();
  calls_.cancel();
  reports_.cancel();
  if (thread_.joinable()) thread_.join();
  if (reporter_.joinable()) reporter_.join();
}

// After a round in vain: until a master that took no connection takes one; for redial_after at most while one of the others
// does, since it may have come to its senses. False when stopping.
bool Follower::wait_for_return(const std::vector<Address>& masters) {
  const auto addresses = grpc_of(masters);
  const auto listened = client::listening(addresses, kProbePatience);
  const bool any = std::find(listened.begin(), listened.end(), true) != listened.end();
  const Instant until = clock_.now() + (any ? options_.redial_after : std::max(options_.redial_after, kDeadPause));
  Duration wait = kProbeFirst;
  while (pause(std::clamp<Duration>(until - clock_.now(), Duration(0), wait))) {
    if (clock_.now() >= until) return true;
    const auto listen = client::listening(addresses, kProbePatience);
    for (std::size_t i = 0; i < listen.size(); ++i) {
      if (listen[i] && !listened[i]) return true;
    }
    wait = std::min(2 * wait, kProbeMax);
  }
  return false;
}

// False when stopping.
bool Follower::pause(Duration duration) {
  const Instant until = clock_.now() + duration;
  Guard guard(mutex_);
  while (!stopping_) {
    const Duration left = until - clock_.now();
    if (left <= Duration(0)) return true;
    (void)woken_.wait_for(mutex_, left);
  }
  return false;
}

MetaloggerState Follower::status() const {
  Guard guard(mutex_);
  auto state = state_;
  state.heard_ago = heard_ == kDistantPast ? Duration(0) : clock_.now() - heard_;
  return state;
}

void Follower::publish() {
  {
    Guard guard(mutex_);
    state_.cluster = folder_->cluster();
    state_.generation = folder_->generation();
    state_.position = folder_->position().index;
    state_.image = folder_->image() ? folder_->image()->last.index : Index();
    position_ = folder_->position();
    check_ = folder_->check();
  }
  gauges().position.set(static_cast<double>(folder_->position().index.value()));
  gauges().image.set(folder_->image() ? static_cast<double>(folder_->image()->last.index.value()) : 0);
}

void Follower::trouble(const std::string& text) {
  {
    Guard guard(mutex_);
    if (stopping_) return;
    state_.trouble = text;
    state_.follows.clear();
  }
  gauges().following.set(0);
  auto& told = told_.try_emplace(text, kDistantPast).first->second;
  if (told != kDistantPast && clock_.now() < told + kTellInterval) return;
  if (told_.size() > 1000) told_.clear();
  told_[text] = clock_.now();
  LOG_WARNING("{}", text);
}

// Those that the names stand for, then those that masters have told of.
std::vector<Address> Follower::candidates() const {
  auto out = discovery_->found();
  Guard guard(mutex_);
  for (const auto& one : learned_) {
    if (out.size() < kMastersMax && std::none_of(out.begin(), out.end(), [&](const auto& known) { return known.grpc() == one.grpc(); })) {
      out.push_back(one);
    }
  }
  return out;
}

void Follower::learn(const BackupChanges& reply) {
  std::vector<Address> masters;
  for (const auto& text : reply.masters()) {
    if (auto address = Address::parse(text)) masters.push_back(std::move(*address));
  }
  Guard guard(mutex_);
  if (!masters.empty()) learned_ = std::move(masters);
}

BackupRequest Follower::request(Duration wait, std::uint64_t bytes) const {
  BackupRequest request;
  request.set_format(kFormat);
  request.set_asker(uuid_bytes(process_));
  request.set_name(options_.name);
  request.set_wait_ms(static_cast<std::uint32_t>(milliseconds(wait)));
  request.set_bytes_max(bytes);
  Guard guard(mutex_);
  if (!state_.cluster.value().empty()) request.set_cluster(uuid_bytes(state_.cluster.value()));
  request.set_index(position_.index.value());
  request.set_term(position_.term.value());
  request.set_check(check_);
  request.set_image_index(state_.image.value());
  request.set_follows(state_.follows);
  return request;
}

// ---------------------------------------------------------------------------------------------------- following

void Follower::run() {
  discovery_->wait_until_known(1s);
  std::size_t turn = 0;
  std::size_t in_vain = 0;
  for (;;) {
    const auto masters = candidates();
    if (masters.empty()) {
      trouble("no master is known: the names given have no address yet");
      if (!pause(1s)) return;
      continue;
    }
    switch (follow(masters[turn % masters.size()])) {
      case Turn::followed:
        in_vain = 0;
        if (!pause(Duration(0))) return;
        break;
      case Turn::pause:
        ++turn;
        if (!pause(kBehindPause)) return;
        break;
      case Turn::next:
        ++turn;
        if (++in_vain % masters.size() == 0 && !wait_for_return(masters)) return;
        if (!pause(Duration(0))) return;
        break;
    }
  }
}

Follower::Turn Follower::follow(const Address& master) {
  auto reply = calls_.changes(master, request(kWait, kChangesBytes), options_.silence_max + kWait);
  if (!reply) {
    trouble(reply.error().what());
    return Turn::next;
  }
  learn(*reply);
  const auto turn = take(master, *reply);
  if (turn != Turn::followed) return turn;
  bool is_news = false;
  const std::uint64_t position = folder_->position().index.value();
  const std::uint64_t behind = reply->last() > position ? reply->last() - position : 0;
  {
    Guard guard(mutex_);
    heard_ = clock_.now();
    is_news = state_.follows != text(master);
    state_.follows = text(master);
    state_.behind = behind;
    state_.trouble.clear();
  }
  gauges().following.set(1);
  gauges().behind.set(static_cast<double>(behind));
  if (is_news) LOG_INFO("follows the master at {}, from entry {} on", text(master), text(folder_->position().index));
  if (clock_.now() >= rotated_at_ + options_.log_interval) {
    rotated_at_ = clock_.now();
    if (auto done = folder_->rotate(); !done) LOG_WARNING("a new change log: {}", done.error().what());
  }
  if (clock_.now() >= image_due_ && folder_->position().index != Index()) {
    image_due_ = clock_.now() + options_.image_interval;
    if (auto done = fetch_image(master); !done) {
      trouble("an image of the state: " + done.error().what());
      image_due_ = clock_.now() + kImageAgain;
    }
  }
  // A master that hears no leader may be cut off from the others.
  if (reply->has_leader()) {
    leaderless_since_ = kDistantFuture;
  } else if (leaderless_since_ == kDistantFuture) {
    leaderless_since_ = clock_.now();
  } else if (clock_.now() > leaderless_since_ + kWithoutLeader) {
    leaderless_since_ = kDistantFuture;
    return Turn::next;
  }
  return Turn::followed;
}

Follower::Turn Follower::take(const Address& master, const BackupChanges& reply) {
  switch (reply.outcome()) {
    case BACKUP_OUTCOME_CHANGES: {
      // Nothing at all is here: the state first, and what follows behind it.
      if (!folder_->image() && folder_->position().index == Index()) break;
      if (auto done = write(reply); !done) {
        trouble(done.error().what());
        (void)pause(options_.redial_after);
        return Turn::followed;  // no other master would help
      }
      publish();
      return Turn::followed;
    }
    case BACKUP_OUTCOME_TOO_OLD: break;
    case BACKUP_OUTCOME_AHEAD:
      trouble("the master at " + text(master) + " has entries up to " + std::to_string(reply.last()) + " only, here are " +
              text(folder_->position().index) + ": another one is asked, nothing here is given up");
      return Turn::pause;
    case BACKUP_OUTCOME_OTHER_HISTORY:
      trouble("the master at " + text(master) + " has another entry " + text(folder_->position().index) +
              " than the one here: its folder was rolled back, or this one is from somewhere else. It is not followed, and "
              "nothing here is given up. To begin anew move the files of " + options_.folder + " elsewhere");
      return Turn::next;
    case BACKUP_OUTCOME_FOREIGN: return take_foreign(master, reply);
    case BACKUP_OUTCOME_NO_CLUSTER:
      trouble("the master at " + text(master) + " belongs to no cluster yet");
      return Turn::pause;
    default: trouble("the master at " + text(master) + " answers what this release does not understand"); return Turn::next;
  }
  if (folder_->position().index != Index()) {
    LOG_INFO("the master at {} has the changes behind entry {} no more: takes its state as a whole", text(master),
             text(folder_->position().index));
  }
  if (auto done = fetch_image(master); !done) {
    trouble("an image of the state: " + done.error().what());
    return Turn::next;
  }
  image_due_ = clock_.now() + options_.image_interval;
  return Turn::followed;
}

// Another cluster: refused, unless it has taken the place of ours.
Follower::Turn Follower::take_foreign(const Address& master, const BackupChanges& reply) {
  const ClusterId theirs(uuid_of(reply.cluster()));
  const auto ours = uuid_bytes(folder_->cluster().value());
  if (std::find(reply.taken_over().begin(), reply.taken_over().end(), ours) == reply.taken_over().end()) {
    trouble("the master at " + text(master) + " belongs to cluster " + text(theirs) + ", and the copies here are of " +
            text(folder_->cluster()) + ": it is not followed. To keep copies of that cluster move the files of " +
            options_.folder + " elsewhere");
    return Turn::next;
  }
  const auto before = folder_->cluster();
  const auto aside = folder_->set_aside();
  if (!aside) {
    trouble(aside.error().what());
    return Turn::next;
  }
  LOG_WARNING("cluster {} has taken the place of {}: its copies begin anew here, those of before are kept in {}/{}",
              text(theirs), text(before), options_.folder, *aside);
  publish();
  return Turn::followed;
}

Status Follower::write(const BackupChanges& reply) {
  std::vector<backup::Change> changes;
  auto end = folder_->position();
  for (const auto& one : reply.entries()) {
    backup::Change change{.entry = {.term = Term(one.term()),
                                    .index = Index(one.index()),
                                    .kind = static_cast<EntryKind>(one.kind()),
                                    .format = static_cast<std::uint16_t>(one.format()),
                                    .data = Payload(one.data())},
                          .time = std::max<std::int64_t>(one.time(), 0)};
    const auto& entry = change.entry;
    const bool is_known = entry.kind == EntryKind::command || entry.kind == EntryKind::configuration || entry.kind == EntryKind::term_start;
    if (entry.index != end.index.next() || entry.term < end.term || !is_known || one.format() > 0xffff ||
        entry.data.size() > kEntryBytesMax) {
      return Error{Code::corrupt, "entry " + text(entry.index) + " from the master does not follow " + text(end.index) +
                                      ", or is of a newer release"};
    }
    end = {.term = entry.term, .index = entry.index};
    changes.push_back(std::move(change));
  }
  return folder_->append(changes, Generation(reply.generation()));
}

// ---------------------------------------------------------------------------------------------------- images

Status Follower::fetch_image(const Address& master) {
  BackupImageRequest request;
  request.set_format(kFormat);
  if (!folder_->cluster().value().empty()) request.set_cluster(uuid_bytes(folder_->cluster().value()));
  const auto bytes = calls_.whole_image(master, request, kImagePatience);
  if (!bytes) return bytes.error();
  const auto image = backup::decode_image(bytes_of(*bytes));
  if (!image) return image.error();
  const auto& head = image->head;
  if (folder_->image() && folder_->image()->last == head.last) return {};  // there is this one
  // The change logs go on up to it without a gap, so that an older image goes on by them as well.
  if (folder_->position().index != Index() && folder_->position().index < head.last.index) {
    if (auto done = catch_up(master, head.last.index); !done) LOG_V(1, "up to the image: {}", done.error().what());
  }
  if (auto done = folder_->take_image(*bytes); !done) return done;
  LOG_INFO("has an image with entries up to {}, {} bytes", text(head.last.index), bytes->size());
  publish();
  return {};
}

Status Follower::catch_up(const Address& master, Index until) {
  while (folder_->position().index < until) {
    const auto reply = calls_.changes(master, request(Duration(0), kChangesBytes), options_.silence_max);
    if (!reply) return reply.error();
    if (reply->outcome() != BACKUP_OUTCOME_CHANGES || reply->entries().empty()) return Error{Code::stale, "no changes"};
    if (auto done = write(*reply); !done) return done;
    publish();
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------- telling the others

void Follower::report() {
  while (pause(kReportInterval)) {
    std::string followed;
    {
      Guard guard(mutex_);
      if (state_.cluster.value().empty()) continue;
      followed = state_.follows;
    }
    auto masters = candidates();
    std::erase_if(masters, [&](const Address& master) { return text(master) == followed; });
    const auto listened = client::listening(grpc_of(masters), kProbePatience);
    for (std::size_t i = 0; i < masters.size(); ++i) {
      if (listened[i]) (void)reports_.changes(masters[i], request(Duration(0), 0), kReportPatience);
    }
  }
}

}  // namespace

Result<std::unique_ptr<Metalogger>> Metalogger::open(Options options, io::Disk& disk, io::Clock& clock, io::Random& random) {
  auto follower = std::make_unique<Follower>(std::move(options), disk, clock, random);
  if (auto done = follower->open(); !done) return done.error();
  return std::unique_ptr<Metalogger>(std::move(follower));
}

Result<std::string> fetch_image(const std::vector<Address>& masters, Duration patience, io::Clock& clock) {
  MasterCalls calls;
  BackupImageRequest request;
  request.set_format(kFormat);
  request.set_confirmed(true);
  const Instant until = clock.now() + patience;
  Error last{Code::unavailable, "no master is named"};
  for (std::size_t turn = 0; !masters.empty(); ++turn) {
    const Duration left = until - clock.now();
    if (left <= Duration(0)) return last;
    auto bytes = calls.whole_image(masters[turn % masters.size()], request, std::min(left, kImagePatience));
    if (bytes) return bytes;
    // The end of our own patience says less than what was heard before.
    if (turn == 0 || clock.now() < until) last = bytes.error();
    if (turn % masters.size() + 1 == masters.size()) {
      std::this_thread::sleep_for(std::min<Duration>(200ms, until - clock.now()));
    }
  }
  return last;
}

}  // namespace holdfast::metalogger
