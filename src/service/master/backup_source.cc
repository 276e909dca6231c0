#include "service/master/backup_source.h"

#include <algorithm>
#include <atomic>

#include "api/backup.pb.h"
#include "base/log.h"
#include "service/master/assigner.h"

namespace holdfast::master {
namespace {

constexpr std::uint32_t kFormat = 1;
constexpr Duration kWaitMax = 10s;
constexpr std::uint64_t kChangesBytesMax = 4u << 20;    // in one answer, whatever was asked for
constexpr std::size_t kWaitingMax = 4096;
constexpr std::uint64_t kPieceBytes = 1u << 20;
constexpr Duration kImageKept = 60s;                    // after it was last asked for
constexpr std::size_t kImagesMax = 4;
constexpr std::size_t kNameBytesMax = 256;

Error wrong_format(std::uint32_t format) {
  return {Code::unsupported, "speaks format " + std::to_string(format) + " of backups, this master " +
                                 std::to_string(kFormat) + ": bring them to versions that fit"};
}

std::string cut(const std::string& text) { return text.substr(0, kNameBytesMax); }

}  // namespace

struct BackupSource::Waiting {
  BackupRequest request;
  Instant until;
  std::function<void(Result<BackupChanges>)> done;
};

struct BackupSource::Made {
  std::string id;
  std::string bytes;
  Index last;
  std::atomic<std::int64_t> asked_for{0};  // when last, on the clock
};

struct BackupSource::Known {
  std::string name;
  std::string address;
  std::string follows;
  Index position;
  Index image;
  Instant heard;
};

BackupSource::BackupSource(Parts parts) : parts_(std::move(parts)) {
  parts_.feed.on_change([this] {
    Guard guard(mutex_);
    if (waiting_.empty()) return;
    news_ = true;
    changed_.notify_one();
  });
  collector_ = metrics::process().collector([this](std::vector<metrics::Family>& out) { collect(out); });
}

BackupSource::~BackupSource() { stop(); }

void BackupSource::start(Consensus& consensus) {
  consensus_ = &consensus;
  answering_ = std::thread([this] { run(); });
  imaging_ = std::thread([this] { make_images(); });
}

void BackupSource::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  {
    Guard guard(images_mutex_);
    images_stopping_ = true;
    images_changed_.notify_all();
  }
  if (answering_.joinable()) answering_.join();
  if (imaging_.joinable()) imaging_.join();
}

// ---------------------------------------------------------------------------------------------------- changes

void BackupSource::changes(const BackupRequest& request, const std::string& from,
                           std::function<void(Result<BackupChanges>)> done) {
  if (request.format() != kFormat) return done(wrong_format(request.format()));
  note(request, from, parts_.feed.last());
  BackupChanges now;
  const Duration wait = std::min<Duration>(std::chrono::milliseconds(request.wait_ms()), kWaitMax);
  if (answer(request, wait > Duration(0), &now)) return done(std::move(now));
  bool full = false;
  {
    Guard guard(mutex_);
    full = stopping_ || !answering_.joinable() || waiting_.size() >= kWaitingMax;
    if (!full) {
      waiting_.push_back(std::make_unique<Waiting>(Waiting{request, parts_.clock.now() + wait, std::move(done)}));
      news_ = true;  // what came between the look above and now is looked at again
      changed_.notify_one();
    }
  }
  if (full) done(Error{Code::busy, "this master stops, or too many wait here"});
}

// False: there is nothing to tell yet.
bool BackupSource::answer(const BackupRequest& request, bool may_wait, BackupChanges* out) const {
  const auto* consensus = consensus_.load();
  const ClusterId cluster = parts_.feed.cluster();
  if (consensus == nullptr || cluster.value().empty()) {
    if (may_wait) return false;
    out->set_outcome(BACKUP_OUTCOME_NO_CLUSTER);
    return true;
  }
  const auto view = consensus->view();
  const auto about = parts_.about();
  out->set_cluster(uuid_bytes(cluster.value()));
  out->set_generation(about.generation.value());
  for (const auto& id : about.taken_over) out->add_taken_over(uuid_bytes(id.value()));
  out->set_has_leader(view->leader.has_value());
  for (const auto& member : view->members) {
    if (member.http.empty() || member.grpc.empty() || member.witness) continue;
    const auto grpc_port = member.grpc.substr(member.grpc.rfind(':') + 1);
    out->add_masters(member.http + "." + grpc_port);
  }
  const raft::LogPosition after{.term = Term(request.term()), .index = Index(request.index())};
  if (!request.cluster().empty() && ClusterId(uuid_of(request.cluster())) != cluster) {
    out->set_outcome(BACKUP_OUTCOME_FOREIGN);
    out->set_last(parts_.feed.last().index.value());
    return true;
  }
  const auto reading = parts_.feed.read(after, request.check(), std::min<std::uint64_t>(request.bytes_max(), kChangesBytesMax));
  out->set_last(reading.last.index.value());
  using Kind = ChangeFeed::Reading::Kind;
  switch (reading.kind) {
    case Kind::too_old: out->set_outcome(BACKUP_OUTCOME_TOO_OLD); return true;
    case Kind::other_history: out->set_outcome(BACKUP_OUTCOME_OTHER_HISTORY); return true;
    case Kind::ahead: out->set_outcome(BACKUP_OUTCOME_AHEAD); return !may_wait;
    case Kind::changes: break;
  }
  if (request.bytes_max() == 0) return true;
  if (reading.changes.empty() && may_wait) return false;
  for (const auto& change : reading.changes) {
    auto* entry = out->add_entries();
    entry->set_index(change.entry.index.value());
    entry->set_term(change.entry.term.value());
    entry->set_kind(static_cast<std::uint32_t>(change.entry.kind));
    entry->set_format(change.entry.format);
    entry->set_data(std::string(change.entry.data.view()));
    entry->set_time(change.time);
  }
  return true;
}

void BackupSource::run() {
  for (;;) {
    std::list<std::unique_ptr<Waiting>> looked_at;
    bool is_over = false;
    {
      Guard guard(mutex_);
      while (!stopping_ && !news_) {
        Instant next = kDistantFuture;
        for (const auto& one : waiting_) next = std::min(next, one->until);
        if (next == kDistantFuture) {
          changed_.wait(mutex_);
          continue;
        }
        const Duration left = next - parts_.clock.now();
        if (left <= Duration(0)) break;
        (void)changed_.wait_for(mutex_, left);
      }
      is_over = stopping_;
      news_ = false;
      looked_at.swap(waiting_);
    }
    const Instant now = parts_.clock.now();
    for (auto at = looked_at.begin(); at != looked_at.end();) {
      BackupChanges out;
      if (is_over) {
        (*at)->done(Error{Code::unavailable, "this master stops"});
      } else if (answer((*at)->request, now < (*at)->until, &out)) {
        (*at)->done(std::move(out));
      } else {
        ++at;
        continue;
      }
      at = looked_at.erase(at);
    }
    if (is_over) return;
    Guard guard(mutex_);
    waiting_.splice(waiting_.end(), looked_at);
  }
}

// ---------------------------------------------------------------------------------------------------- who is there

void BackupSource::note(const BackupRequest& request, const std::string& from, raft::LogPosition last) {
  const Uuid asker = uuid_of(request.asker());
  if (asker.empty()) return;
  const ClusterId cluster = parts_.feed.cluster();
  if (!request.cluster().empty() && ClusterId(uuid_of(request.cluster())) != cluster) return;
  const Instant now = parts_.clock.now();
  bool is_new = false;
  {
    Guard guard(mutex_);
    std::erase_if(known_, [&](const auto& one) { return now - one.second.heard > kMetaloggerForgotten; });
    const auto found = known_.find(asker);
    is_new = found == known_.end();
    if (is_new && known_.size() >= kMetaloggersMax) return;
    known_[asker] = {cut(request.name()), cut(from), cut(request.follows()), Index(request.index()),
                     Index(request.image_index()), now};
  }
  if (is_new) {
    LOG_INFO("metalogger {} at {} has come, with entries up to {} of {}", cut(request.name()), from, request.index(),
             text(last.index));
  }
}

std::vector<MetaloggerStatus> BackupSource::metaloggers() const {
  const Index last = parts_.feed.last().index;
  const Instant now = parts_.clock.now();
  std::vector<MetaloggerStatus> out;
  {
    Guard guard(mutex_);
    for (const auto& [id, one] : known_) {
      if (now - one.heard > kMetaloggerForgotten) continue;
      out.push_back({.name = one.name,
                     .address = one.address,
                     .follows = one.follows,
                     .position = one.position,
                     .image = one.image,
                     .behind = last > one.position ? last - one.position : 0,
                     .silent_for = now - one.heard});
    }
  }
  for (auto& one : out) one.behind_for = parts_.feed.waiting_behind(one.position).value_or(Duration(0));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return std::tie(a.name, a.address) < std::tie(b.name, b.address); });
  return out;
}

void BackupSource::collect(std::vector<metrics::Family>& out) const {
  using Kind = metrics::Family::Kind;
  metrics::Family count{"holdfast_metaloggers", "metaloggers heard within the last minute", Kind::gauge, {}};
  metrics::Family entries{"holdfast_metalogger_behind_entries", "committed entries that a metalogger lacks", Kind::gauge, {}};
  metrics::Family time{"holdfast_metalogger_behind_seconds", "since when it lacks the first of them", Kind::gauge, {}};
  metrics::Family silent{"holdfast_metalogger_silent_seconds", "since its last call", Kind::gauge, {}};
  const auto all = metaloggers();
  count.samples.push_back({{}, static_cast<double>(all.size()), {}});
  for (const auto& one : all) {
    const metrics::Labels labels{{"name", one.name}, {"address", one.address}};
    // Two on one machine have one name and address, and stand beside each other: the worse value of each kind is told.
    const auto tell = [&](metrics::Family& family, double value) {
      auto& samples = family.samples;
      if (samples.empty() || samples.back().labels != labels) return samples.push_back({labels, value, {}});
      samples.back().value = std::max(samples.back().value, value);
    };
    tell(entries, static_cast<double>(one.behind));
    tell(time, seconds(one.behind_for));
    tell(silent, seconds(one.silent_for));
  }
  for (auto* family : {&count, &entries, &time, &silent}) out.push_back(std::move(*family));
}

// ---------------------------------------------------------------------------------------------------- images

Result<std::string> BackupSource::make_image_file() const {
  const auto image = parts_.feed.make_image();
  if (!image) return image.error();
  return backup::encode(*image);
}

void BackupSource::image(const BackupImageRequest& request, std::function<void(Result<BackupImagePiece>)> done) {
  if (request.format() != kFormat) return done(wrong_format(request.format()));
  const ClusterId cluster = parts_.feed.cluster();
  auto* consensus = consensus_.load();
  if (consensus == nullptr || cluster.value().empty()) {
    return done(Error{Code::unavailable, "this master belongs to no cluster yet"});
  }
  if (!request.cluster().empty() && ClusterId(uuid_of(request.cluster())) != cluster) {
    return done(Error{Code::refused, "this master belongs to cluster " + text(cluster)});
  }
  const auto send = [offset = request.offset(), done](const Made& made) {
    BackupImagePiece piece;
    piece.set_image(made.id);
    piece.set_size(made.bytes.size());
    piece.set_offset(std::min<std::uint64_t>(offset, made.bytes.size()));
    piece.set_data(made.bytes.substr(piece.offset(), kPieceBytes));
    piece.set_index(made.last.value());
    done(std::move(piece));
  };
  if (!request.image().empty()) {
    const auto made = find_image(request.image());
    if (!made) return done(Error{Code::stale, "this image is gone: begin again"});
    return send(*made);
  }
  const auto want = [this, consensus, done, send](Result<Index> confirmed) {
    if (!confirmed) return done(Error{confirmed.error().code(), no_leader_refusal(*consensus->view()).text});
    {
      Guard guard(images_mutex_);
      if (!images_stopping_ && imaging_.joinable()) {
        wanted_.push_back([done, send](Result<std::shared_ptr<const Made>> made) {
          if (!made) return done(made.error());
          send(**made);
        });
        images_changed_.notify_one();
        return;
      }
    }
    done(Error{Code::unavailable, "this master stops"});
  };
  if (request.confirmed()) {
    consensus->confirm_read(want);
  } else {
    want(Index());
  }
}

std::shared_ptr<const BackupSource::Made> BackupSource::find_image(const std::string& id) {
  Guard guard(images_mutex_);
  for (const auto& one : made_) {
    if (one->id != id) continue;
    one->asked_for = parts_.clock.now().time_since_epoch().count();
    return one;
  }
  return nullptr;
}

// One image answers all who asked before it was begun.
void BackupSource::make_images() {
  for (;;) {
    std::vector<std::function<void(Result<std::shared_ptr<const Made>>)>> wanted;
    bool is_over = false;
    {
      Guard guard(images_mutex_);
      while (!images_stopping_ && wanted_.empty() && made_.empty()) images_changed_.wait(images_mutex_);
      if (!images_stopping_ && wanted_.empty()) (void)images_changed_.wait_for(images_mutex_, kImageKept / 4);
      is_over = images_stopping_;
      wanted.swap(wanted_);
      const auto now = parts_.clock.now().time_since_epoch().count();
      std::erase_if(made_, [&](const auto& one) { return now - one->asked_for > kImageKept.count(); });
    }
    if (is_over) {
      for (const auto& done : wanted) done(Error{Code::unavailable, "this master stops"});
      return;
    }
    if (wanted.empty()) continue;
    auto made = std::make_shared<Made>();
    const auto image = parts_.feed.make_image();
    if (!image) {
      LOG_WARNING("an image of the state: {}", image.error().what());
      for (const auto& done : wanted) done(image.error());
      continue;
    }
    made->id = uuid_bytes(parts_.random.uuid());
    made->last = image->head.last.index;
    made->bytes = backup::encode(*image);
    made->asked_for = parts_.clock.now().time_since_epoch().count();
    {
      Guard guard(images_mutex_);
      if (made_.size() >= kImagesMax) made_.erase(made_.begin());
      made_.push_back(made);
    }
    for (const auto& done : wanted) done(std::shared_ptr<const Made>(made));
  }
}

}  // namespace holdfast::master
