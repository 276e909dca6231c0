#include "service/volume/reporter.h"

#include <algorithm>

#include "api/convert.h"
#include "api/master.pb.h"
#include "api/pulse.h"
#include "base/log.h"
#include "base/metrics.h"
#include "model/master_member.h"

namespace holdfast::volume {
namespace {

constexpr Duration kStockFor = 100ms;       // holdings younger than this are told again as they are
constexpr int kPulsesPerRoom = 20;          // every so many pulses the room on the disks is told anew
constexpr Duration kClusterSettles = 3s;    // after a start, before masters of another cluster may take over
constexpr Duration kForeignPause = 5s;

bool same_for_masters(const VolumeInfo& a, const VolumeInfo& b) {
  // The time of the last write alone is no news: sizes tell of writes, and one a minute tells of idle volumes.
  auto c = b;
  if (a.modified_at_second / 60 == b.modified_at_second / 60) c.modified_at_second = a.modified_at_second;
  return a == c;
}

}  // namespace

// One master.
struct Reporter::Link {
  Address address;
  bool seed = false;   // stays, whatever the masters say of one another
  bool named = false;  // by the configuration
  NodeId member;  // empty until known
  std::vector<TierBackend> tiers;  // as it told last

  std::unique_ptr<client::HeartbeatStream> stream;
  std::uint64_t number = 0;  // of the stream; events of earlier ones are dropped
  Instant dial_at = kDistantPast;
  Duration backoff = kBackoffMin;
  Duration patience{0};  // for the first answer; 0: what it is at first

  // Of the present stream.
  Instant opened = kDistantPast;
  bool answered = false;
  bool accepted = false;
  bool upstream = false;
  bool full_wanted = false;
  ClusterId cluster;
  std::uint64_t sent_version = 0;
  Instant sent = kDistantPast;
  Instant room_told = kDistantPast;

  // Pulses by datagram, as this stream's master wants them.
  io::posix::UdpPeer to;  // of length 0: none
  std::uint64_t line = 0;
  std::string key;
  std::uint64_t datagrams = 0;
  bool heard = false;
  std::string ours_told;       // what of ourselves the stream said last
  Instant streamed = kDistantPast;

  std::string last_trouble;  // as logged, so that each is told once
};

Reporter::Reporter(const VolumeConfig& config, World world) : config_(config), world_(std::move(world)) {
  if (auto socket = io::posix::UdpSocket::bind("", 0)) {
    datagrams_.emplace(std::move(*socket));
  } else {
    LOG_V(1, "pulses go by streams only: {}", socket.error().what());
  }
  discovery_ = std::make_unique<client::Discovery>(
      client::Discovery::Options{.places = config_.masters, .interval = config_.discovery_interval},
      [this](const auto&) {
        {
          Guard guard(mutex_);
          rediscovered_ = true;
        }
        wake_.notify_all();
      });
  take_discovered();
}

Reporter::~Reporter() {
  discovery_->stop();
  leave(0s);
  links_.clear();
}

void Reporter::start() { thread_ = std::thread([this] { run(); }); }

void Reporter::changed() {
  {
    Guard guard(mutex_);
    changed_ = true;
  }
  wake_.notify_all();
}

void Reporter::leave(Duration patience) {
  {
    Guard guard(mutex_);
    leaving_ = true;
    leave_patience_ = patience;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  left_ = true;
}

std::vector<Address> Reporter::masters() const {
  Guard guard(mutex_);
  return masters_;
}

void Reporter::publish_masters() {
  std::vector<Address> all;
  for (const auto& link : links_) {
    const bool leads = !link->member.value().empty() && link->member == leader_;
    if (std::find(all.begin(), all.end(), link->address) != all.end()) continue;
    all.insert(leads ? all.begin() : all.end(), link->address);
  }
  Guard guard(mutex_);
  masters_ = std::move(all);
}

// --- the thread ---

void Reporter::run() {
  while (true) {
    Instant next = world_.clock.now() + kUpstreamPulse;
    for (const auto& link : links_) {
      auto due = link->stream ? link->sent + pulse_of(*link) : link->dial_at;
      if (link->stream && !link->answered) due = std::min(due, link->opened + link->patience);
      next = std::min(next, due);
    }
    std::vector<Event> events;
    bool changed = false;
    bool rediscovered = false;
    {
      Guard guard(mutex_);
      const auto wait = next - world_.clock.now();
      if (wait > 0ns && !leaving_ && !changed_ && !rediscovered_ && events_.empty()) wake_.wait_for(mutex_, wait);
      if (leaving_) break;
      events.swap(events_);
      changed = std::exchange(changed_, false);
      rediscovered = std::exchange(rediscovered_, false);
    }
    if (rediscovered) take_discovered();
    for (auto& event : events) handle(event);
    if (changed) stock_taken_ = kDistantPast;

    const auto now = world_.clock.now();
    // By index: an answer may have added links.
    for (std::size_t i = 0; i < links_.size(); i++) {
      auto& link = *links_[i];
      if (!link.stream) {
        if (now >= link.dial_at) dial(link, now);
      } else if (!link.answered && now >= link.opened + link.patience) {
        link.patience = std::min(link.patience * 2, kFirstAnswerLongest);
        on_closed(link, "connected, but it says nothing");
      } else if (changed || link.full_wanted || now >= link.sent + pulse_of(link) * 9 / 10) {
        pulse(link, now);
      }
    }
  }
  say_goodbye();
}

Duration Reporter::pulse_of(const Link& link) const { return link.upstream ? kUpstreamPulse : pulse_; }

Reporter::Link* Reporter::find(std::uint64_t number) {
  for (const auto& link : links_) {
    if (link->stream && link->number == number) return link.get();
  }
  return nullptr;
}

void Reporter::handle(Event& event) {
  Link* link = find(event.link);
  if (link == nullptr) return;  // of a stream that is no more
  if (event.response) {
    on_response(*link, *event.response);
  } else {
    on_closed(*link, event.error);
  }
}

// --- streams ---

void Reporter::dial(Link& link, Instant now) {
  for (const auto& other : links_) {
    // One stream per master: a second one would push the first aside.
    if (other.get() != &link && other->stream && !link.member.value().empty() && other->member == link.member) {
      link.dial_at = now + kPulse;
      return;
    }
  }
  link.number = ++last_link_;
  link.opened = now;
  if (link.patience == Duration(0)) link.patience = world_.first_answer_max;
  link.answered = link.accepted = link.upstream = link.full_wanted = false;
  link.cluster = ClusterId();
  link.to = {};
  link.heard = false;
  link.ours_told.clear();
  const auto post = [this, number = link.number](std::unique_ptr<master_pb::HeartbeatResponse> response,
                                                 std::string error) {
    {
      Guard guard(mutex_);
      events_.push_back({number, std::move(response), std::move(error)});
    }
    wake_.notify_all();
  };
  link.stream = std::make_unique<client::HeartbeatStream>(
      link.address,
      client::HeartbeatStream::Events{
          .on_response = [post](const master_pb::HeartbeatResponse& r) {
            post(std::make_unique<master_pb::HeartbeatResponse>(r), "");
          },
          .on_closed = [post](const Error& error) { post(nullptr, error.what()); }});
  master_pb::Heartbeat report;
  take_stock();
  fill_full(report);
  fill_masters(report, link.address);
  report.set_pulses_by_datagram(datagrams_.has_value());
  link.stream->send(report);
  link.sent = link.streamed = link.room_told = now;
  link.sent_version = version_;
}

void Reporter::on_closed(Link& link, const std::string& error) {
  const auto now = world_.clock.now();
  if (link.accepted) {
    connected_--;
    link.backoff = kBackoffMin;
    metrics::process()
        .counter("SeaweedFS_volumeServer_master_disconnections", "Times that reports to a master were broken off.",
                 {{"address", text(link.address)}})
        .add();
    LOG_INFO("master {}: reports are broken off: {}", text(link.address), error);
  } else {
    if (error != link.last_trouble) LOG_V(1, "master {}: not reached: {}", text(link.address), error);
  }
  link.last_trouble = error;
  link.accepted = false;
  link.stream.reset();
  link.dial_at = now + link.backoff;
  link.backoff = std::min(link.backoff * 2, kBackoffMax);
  // Another name of the same master may still be good.
  for (const auto& other : links_) {
    if (other.get() != &link && !other->stream && !link.member.value().empty() && other->member == link.member) {
      other->dial_at = now;
    }
  }
}

void Reporter::on_response(Link& link, const master_pb::HeartbeatResponse& response) {
  take_terms(link, response);
  if (response.pulse().alone()) return;
  const auto now = world_.clock.now();
  const auto turn_away = [&](const std::string& why, Duration pause) {
    if (why != link.last_trouble) LOG_WARNING("master {}: {}", text(link.address), why);
    const auto told = why;
    on_closed(link, told);
    link.last_trouble = told;
    link.dial_at = now + pause;
  };
  link.answered = true;
  link.patience = Duration(0);
  if (response.volume_size_limit() > 0) world_.settings(response.volume_size_limit());
  if (response.duplicated_uuids_size() > 0) {
    return turn_away(response.refusal().empty() ? "another volume server reports the folder " + response.duplicated_uuids(0)
                                                : response.refusal(),
                     kRefusedPause);
  }
  link.upstream = response.master_uuid().empty();
  if (link.upstream) {
    if (const auto leader = Address::parse(response.leader()); leader && *leader != link.address) {
      const bool known = std::any_of(links_.begin(), links_.end(), [&](const auto& l) { return l->address == *leader; });
      // Upstream's servers report to the leader alone. This one is asked again later, should it lead one day.
      on_closed(link, "it follows " + response.leader());
      link.dial_at = now + kUpstreamPulse;
      if (!known) {
        auto added = std::make_unique<Link>();
        added->address = *leader;
        added->seed = true;
        links_.push_back(std::move(added));
        publish_masters();
      }
      return;
    }
  } else {
    if (const auto id = Uuid::parse(response.master_uuid())) link.member = NodeId(*id);
    if (!response.accepted()) {
      return turn_away(response.refusal().empty() ? "it does not take reports" : response.refusal(), kRefusedPause);
    }
    drop_doubles(link);
    if (!settle_cluster(link, response)) {
      return turn_away("it belongs to cluster " + response.cluster_id() + ", this volume server to " +
                           text(world_.fences.state().cluster_id) + ", whose masters answer: left alone",
                       kForeignPause);
    }
    if (response.pulse_ms() > 0) pulse_ = std::chrono::milliseconds(response.pulse_ms());
  }
  if (!link.accepted) {
    link.accepted = true;
    connected_++;
    link.backoff = kBackoffMin;
    link.last_trouble.clear();
    LOG_INFO("master {}: takes reports", text(link.address));
  }
  // Each answer of ours has them all; of an upstream's master silence says nothing.
  if (!link.upstream || response.storage_backends_size() > 0) {
    link.tiers.clear();
    for (const auto& backend : response.storage_backends()) link.tiers.push_back(api::read(backend));
  }
  if (response.resend_full_volume_list()) link.full_wanted = true;
  if (!link.upstream && link.cluster == world_.fences.state().cluster_id) learn_masters(response);  // links may go
  hand_on_tiers();
}

void Reporter::hand_on_tiers() {
  std::map<std::string, TierBackend> named;
  const auto add = [&](bool leads) {
    for (const auto& other : links_) {
      if ((!leader_.value().empty() && other->member == leader_) != leads) continue;
      for (const auto& tier : other->tiers) named.try_emplace(tier.name(), tier);
    }
  };
  add(true);
  add(false);
  std::vector<TierBackend> all;
  for (auto& [name, tier] : named) all.push_back(std::move(tier));
  if (tiers_ == all) return;
  tiers_ = all;
  if (world_.tiers) world_.tiers(std::move(all));
}

void Reporter::take_terms(Link& link, const master_pb::HeartbeatResponse& response) {
  if (!response.has_pulse()) return;
  const auto& terms = response.pulse();
  if (std::exchange(link.heard, terms.heard()) && !terms.heard()) {
    LOG_V(1, "master {}: datagrams do not arrive", text(link.address));
    link.sent = kDistantPast;  // it is about to take this server for silent
  }
  if (terms.port() == 0 || terms.port() > 65535 || link.to.length != 0) return;
  const auto ip = link.stream->peer_ip();
  if (ip.empty()) return;
  // Numbers only: nothing is asked of a resolver.
  const auto to = io::posix::resolve_udp(ip, static_cast<std::uint16_t>(terms.port()));
  if (!to) return;
  link.to = *to;
  link.line = terms.line();
  link.key = terms.key();
  link.datagrams = 0;
  link.sent = kDistantPast;  // the first one at once
}

// Whether a datagram says all there is to say; sent in any case.
bool Reporter::pulse_by_datagram(Link& link, const std::string& ours, Instant now) {
  if (link.to.length == 0 || !datagrams_) return false;
  (void)datagrams_->send(link.to, bytes_of(api::encode_pulse({.line = link.line, .number = ++link.datagrams}, link.key)));
  return link.heard && !link.full_wanted && link.sent_version == version_ && link.ours_told == ours &&
         now < link.streamed + pulse_ * kStreamPulses - pulse_ / 2;
}

// Whether this master is one of ours, or may be. A cluster is changed only when none of its masters is left.
bool Reporter::settle_cluster(Link& link, const master_pb::HeartbeatResponse& response) {
  const auto id = Uuid::parse(response.cluster_id());
  if (!id) return true;  // not bootstrapped yet
  link.cluster = ClusterId(*id);
  const auto ours = world_.fences.state().cluster_id;
  if (ours == link.cluster) return true;
  const auto& uuids = world_.folder_uuids;
  const bool adopted = std::all_of(uuids.begin(), uuids.end(), [&](const std::string& uuid) {
    return std::find(response.adopted_dirs().begin(), response.adopted_dirs().end(), uuid) !=
           response.adopted_dirs().end();
  });
  if (ours.value().empty()) {
    LOG_INFO("this volume server belongs to cluster {} from now on", text(link.cluster));
    world_.fences.join(link.cluster);
    return true;
  }
  const bool ours_lives = std::any_of(links_.begin(), links_.end(), [&](const auto& other) {
    return other->stream && other->accepted && other->cluster == ours;
  });
  if (ours_lives) return false;
  if (!adopted || world_.clock.now() - link.opened < kClusterSettles) return true;
  LOG_WARNING("cluster {} has taken over the volumes of cluster {}, none of whose masters answers", text(link.cluster),
              text(ours));
  world_.fences.join(link.cluster);
  link.seed = true;  // stays, though the list it was learned from is forgotten
  refresh_links();
  return true;
}

void Reporter::drop_doubles(Link& link) {
  for (const auto& other : links_) {
    if (other.get() == &link || !other->stream || other->member != link.member) continue;
    // The newer stream has taken the older one's place at the master.
    if (other->accepted) connected_--;
    other->accepted = false;
    other->stream.reset();
    other->dial_at = world_.clock.now() + kPulse;
  }
}

void Reporter::learn_masters(const master_pb::HeartbeatResponse& response) {
  const bool is_leader = !response.leader_uuid().empty() && response.leader_uuid() == response.master_uuid();
  auto members = api::read_members(response.masters());
  const auto known = world_.fences.state().masters;
  if (!is_leader) {
    // A follower may lag behind: it can add masters, only the leader can take some away.
    auto all = known;
    for (const auto& member : members) {
      if (std::none_of(all.begin(), all.end(), [&](const auto& m) { return m.id == member.id; })) all.push_back(member);
    }
    members = std::move(all);
  }
  world_.fences.learn(Generation(response.generation()), Term(response.term()), is_leader, members);
  if (const auto leader = Uuid::parse(response.leader_uuid())) leader_ = NodeId(*leader);
  const auto& uuids = world_.folder_uuids;
  world_.fences.set_adopted(std::all_of(uuids.begin(), uuids.end(), [&](const std::string& uuid) {
    return std::find(response.adopted_dirs().begin(), response.adopted_dirs().end(), uuid) !=
           response.adopted_dirs().end();
  }));
  refresh_links();
}

// Seeds are what the configuration stands for at present. A name without an address yet stands for nobody: to dial it
// would find one of several at random.
void Reporter::take_discovered() {
  const auto found = discovery_->found();
  for (const auto& link : links_) {
    if (link->named) link->seed = false;
  }
  for (const auto& address : found) {
    const auto known =
        std::find_if(links_.begin(), links_.end(), [&](const auto& link) { return link->address == address; });
    auto& link = known != links_.end() ? *known : links_.emplace_back(std::make_unique<Link>());
    link->address = address;
    link->seed = true;
    link->named = true;
  }
  refresh_links();
}

// Links to the seeds and to all masters learned, and to nobody else.
void Reporter::refresh_links() {
  const auto masters = world_.fences.state().masters;
  for (const auto& master : masters) {
    const auto it = std::find_if(links_.begin(), links_.end(), [&](const auto& l) { return l->address == master.address; });
    if (it == links_.end()) {
      auto link = std::make_unique<Link>();
      link->address = master.address;
      link->member = master.id;
      links_.push_back(std::move(link));
    } else if (!(*it)->stream) {
      (*it)->member = master.id;
    }
  }
  for (const auto& link : links_) {
    const bool wanted = link->seed || std::any_of(masters.begin(), masters.end(), [&](const auto& m) {
                          return m.address == link->address;
                        });
    if (wanted) continue;
    LOG_INFO("master {}: is no longer one of the cluster's", text(link->address));
    if (link->accepted) connected_--;
    link->stream.reset();
    link->number = 0;
    link->address = Address();
  }
  std::erase_if(links_, [](const auto& link) { return link->address.empty(); });
  publish_masters();
}

// --- what is told ---

void Reporter::take_stock() {
  const auto now = world_.clock.now();
  if (now - stock_taken_ < kStockFor) return;
  auto stock = world_.holdings();
  stock_taken_ = now;
  const auto version = version_ + 1;
  if (stock.slots != stock_.slots) version_ = version;  // room is told with the next pulse
  if (stock.state != stock_.state) version_ = state_version_ = version;
  if (stock.ec_shards != stock_.ec_shards) note_ec_changes(stock.ec_shards, version);
  stock_ = std::move(stock);
  for (const auto& info : stock_.volumes) {
    const auto it = told_.find(info.id);
    if (it == told_.end()) {
      told_.emplace(info.id, Told{info, version, version});
      gone_.erase(info.id);
      version_ = version;
    } else if (!same_for_masters(it->second.info, info)) {
      it->second.info = info;
      it->second.version = version_ = version;
    }
  }
  if (told_.size() == stock_.volumes.size()) return;
  std::set<VolumeId> here;
  for (const auto& info : stock_.volumes) here.insert(info.id);
  for (auto it = told_.begin(); it != told_.end();) {
    if (here.contains(it->first)) {
      ++it;
      continue;
    }
    it->second.version = version_ = version;
    gone_[it->first] = it->second;
    it = told_.erase(it);
  }
}

void Reporter::note_ec_changes(const std::vector<EcShardsInfo>& now, std::uint64_t version) {
  using Key = std::pair<VolumeId, std::uint32_t>;
  std::map<Key, const EcShardsInfo*> before, after;
  for (const auto& info : stock_.ec_shards) before[{info.id, info.disk_id}] = &info;
  for (const auto& info : now) after[{info.id, info.disk_id}] = &info;
  const auto note = [&](const auto& from, const auto& to, bool is_new) {
    for (const auto& [key, info] : to) {
      const auto other = from.find(key);
      EcChange change{*info, is_new, version};
      change.info.bits &= other == from.end() ? ~0u : ~other->second->bits;
      if (change.info.bits == 0) continue;
      // Sizes stand in the order of the bits, so those of the other bits are left out.
      change.info.shard_sizes.clear();
      std::size_t at = 0;
      for (unsigned bit = 0; bit < 32; bit++) {
        if ((info->bits >> bit & 1) == 0) continue;
        if ((change.info.bits >> bit & 1) != 0 && at < info->shard_sizes.size()) {
          change.info.shard_sizes.push_back(info->shard_sizes[at]);
        }
        at++;
      }
      ec_changes_.push_back(std::move(change));
    }
  };
  note(before, after, true);
  note(after, before, false);
  if (ec_changes_.size() > kEcChangesMax) {
    ec_changes_.erase(ec_changes_.begin(), ec_changes_.end() - static_cast<std::ptrdiff_t>(kEcChangesMax));
  }
  version_ = ec_version_ = version;
}

void Reporter::fill_head(master_pb::Heartbeat& report) const {
  report.set_ip(config_.ip);
  report.set_port(config_.port);
  report.set_public_url(config_.public_url.empty() ? host_port(config_.ip, config_.port) : config_.public_url);
  report.set_grpc_port(config_.grpc_port != 0 ? config_.grpc_port : config_.port + kGrpcPortDistance);
  report.set_id(config_.id);
  report.set_data_center(config_.data_center);
  report.set_rack(config_.rack);
}

void Reporter::fill_room(master_pb::Heartbeat& report) const {
  for (const auto& [type, n] : stock_.slots) (*report.mutable_max_volume_counts())[type] = n;
  for (const auto& [type, n] : stock_.total_bytes) (*report.mutable_disk_total_bytes())[type] = n;
  for (const auto& [type, n] : stock_.free_bytes) (*report.mutable_disk_free_bytes())[type] = n;
}

void Reporter::fill_ours(master_pb::Heartbeat& report) const {
  const auto state = world_.fences.state();
  if (!state.cluster_id.value().empty()) report.set_cluster_id(text(state.cluster_id));
  report.set_generation(state.generation.value());
  report.set_process_uuid(text(world_.process));
  report.set_feature_level(kFeatureLevel);
  report.set_pulse_ms(static_cast<std::uint32_t>(milliseconds(pulse_)));
  if (state.term != Term()) {
    api::fill(Fence{state.cluster_id, state.generation, state.term, state.sequence}, report.mutable_fence());
  }
  if (state.adopted) {
    for (const auto& uuid : world_.folder_uuids) report.add_adopted_dirs(uuid);
  }
}

void Reporter::fill_full(master_pb::Heartbeat& report) const {
  fill_head(report);
  fill_room(report);
  fill_ours(report);
  for (const auto& uuid : world_.folder_uuids) report.add_location_uuids(uuid);
  NeedleId max_key;
  for (const auto& [id, told] : told_) {
    api::fill(told.info, report.add_volumes());
    max_key = std::max(max_key, told.info.max_key);
  }
  report.set_max_file_key(max_key.value());
  report.set_has_no_volumes(told_.empty());
  fill_state(report);
  fill_ec(report);
}

void Reporter::fill_state(master_pb::Heartbeat& report) const {
  report.mutable_state()->set_maintenance(stock_.state.maintenance);
  report.mutable_state()->set_version(stock_.state.version);
}

void Reporter::fill_ec(master_pb::Heartbeat& report) const {
  for (const auto& info : stock_.ec_shards) api::fill(info, report.add_ec_shards());
  report.set_has_no_ec_shards(stock_.ec_shards.empty());
}

void Reporter::fill_masters(master_pb::Heartbeat& report, const Address& called) const {
  for (const auto& master : world_.fences.state().masters) api::fill(master, report.add_known_masters());
  report.set_called_as(text(called));
}

void Reporter::fill_changes(master_pb::Heartbeat& report, const Link& link) const {
  NeedleId max_key;
  for (const auto& [id, told] : told_) {
    max_key = std::max(max_key, told.info.max_key);
    if (told.version <= link.sent_version) continue;
    if (told.born > link.sent_version) api::fill(told.info, report.add_new_volumes());
    api::fill(told.info, report.add_changed_volumes());
  }
  for (const auto& [id, told] : gone_) {
    if (told.version > link.sent_version) api::fill(told.info, report.add_deleted_volumes());
  }
  for (const auto& change : ec_changes_) {
    if (change.version <= link.sent_version) continue;
    api::fill(change.info, change.is_new ? report.add_new_ec_shards() : report.add_deleted_ec_shards());
  }
  if (ec_version_ > link.sent_version) fill_ec(report);
  if (state_version_ > link.sent_version) fill_state(report);
  report.set_max_file_key(max_key.value());
}

void Reporter::pulse(Link& link, Instant now) {
  // While earlier reports wait for a slow link another one adds nothing.
  if (link.stream->waiting() > 0) {
    link.sent = now;
    return;
  }
  take_stock();
  std::string ours;
  if (!link.upstream) {
    master_pb::Heartbeat about;
    fill_ours(about);
    ours = about.SerializeAsString();
    if (pulse_by_datagram(link, ours, now)) {
      link.sent = now;
      return;
    }
  }
  link.ours_told = std::move(ours);
  link.streamed = now;
  master_pb::Heartbeat report;
  if (link.full_wanted || (link.upstream && link.sent_version == version_)) {
    fill_full(report);
    link.room_told = now;
  } else {
    if (link.upstream) fill_head(report);
    if (version_ != link.sent_version || now >= link.room_told + pulse_ * kPulsesPerRoom - pulse_ / 2) {
      fill_room(report);
      link.room_told = now;
    }
    fill_ours(report);
    fill_changes(report, link);
  }
  if (link.upstream) report.clear_changed_volumes();
  link.full_wanted = false;
  link.sent = now;
  link.sent_version = version_;
  link.stream->send(report);
}

void Reporter::say_goodbye() {
  Duration patience;
  {
    Guard guard(mutex_);
    patience = leave_patience_;
  }
  for (const auto& link : links_) {
    if (!link->stream || !link->accepted) continue;
    master_pb::Heartbeat report;
    fill_head(report);
    if (link->upstream) {
      report.set_has_no_volumes(true);
    } else {
      fill_ours(report);
      report.set_leaving(true);
    }
    link->stream->send(report);
  }
  const auto until = world_.clock.now() + patience;
  const auto waiting = [&] {
    return std::any_of(links_.begin(), links_.end(), [](const auto& link) {
      return link->stream && link->accepted && link->stream->waiting() > 0;
    });
  };
  while (waiting() && world_.clock.now() < until) std::this_thread::sleep_for(1ms);
}

}  // namespace holdfast::volume
