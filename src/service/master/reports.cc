#include "service/master/reports.h"

#include "base/log.h"
#include "model/address.h"

namespace holdfast::master {

namespace {

constexpr Duration kReplyInterval = 2s;
constexpr const char* kNotLeader = "raft.Server: Not current leader";
constexpr std::size_t kServersPerPulse = 500;  // above, everybody reports less often

}  // namespace

std::vector<MemberView> members_with_addresses(const View& view, const topology::RegistryState& state) {
  std::vector<MemberView> members = view.members;
  for (MemberView& member : members) {
    const auto known = state.members.find(member.id);
    if (known == state.members.end()) continue;
    if (member.http.empty()) member.http = known->second.http;
    if (member.grpc.empty()) member.grpc = known->second.grpc;
  }
  return members;
}

std::string upstream_name(const MemberView& member) {
  if (member.http.empty()) return {};
  const auto grpc = Address::parse(member.grpc);
  return grpc ? member.http + "." + std::to_string(grpc->port) : member.http;
}

class Reports::Session final : public ReportSession {
 public:
  Session(Reports& reports, topology::SessionId id, std::string peer, Master::Tell tell)
      : reports_(reports), shared_(reports.shared_), id_(id), peer_(std::move(peer)), tell_(std::move(tell)) {}
  ~Session() override { closed(); }

  std::optional<ReportReply> on_report(topology::Report report) override;
  void closed() override;

 private:
  ReportReply make_reply(const View& view, const topology::RegistryState& state) const;
  std::optional<ReportReply::Pulse> terms();
  // What decides whether a reply is new to the server.
  struct Told {
    std::shared_ptr<const View> view;
    RegistryStatePtr state;
    bool accepted = true;
    bool folders_pending = false;
    Duration pulse{0};
    TierBackendsPtr tiers;
  };
  bool is_news(const Told& told) const;

  Reports& reports_;
  Shared& shared_;
  const topology::SessionId id_;
  const std::string peer_;
  const Master::Tell tell_;
  bool closed_ = false;
  bool ours_ = false;
  bool pulses_ = false;  // the server can send datagrams
  std::vector<std::string> folders_;
  Told told_;
  Instant replied_ = kDistantPast;
};

std::optional<ReportReply> Reports::Session::on_report(topology::Report report) {
  if (closed_) return std::nullopt;
  shared_.counters.reports.add();
  const Instant now = shared_.clock.now();
  ours_ = ours_ || report.is_ours();
  pulses_ = pulses_ || report.pulses_by_datagram;
  if (!report.location_uuids.empty()) folders_ = report.location_uuids;

  std::size_t servers = 0;
  const bool first = replied_ == kDistantPast;
  const auto reported = shared_.with_topology([&](topology::Topology& topology) {
    auto out = topology.report(id_, report, now);
    servers = topology.server_count();
    return out;
  });
  if (reported.ignored) return std::nullopt;
  if (first || reported.folders_pending) shared_.loop.wake();

  Consensus* consensus = shared_.consensus.load();
  if (consensus == nullptr) return std::nullopt;
  Told told{consensus->view(), shared_.registry.state(), reported.refusal.empty(), reported.folders_pending,
            shared_.options.pulse * static_cast<std::int64_t>((servers + kServersPerPulse - 1) / kServersPerPulse),
            shared_.tiers.get()};
  if (told.pulse == Duration(0)) told.pulse = shared_.options.pulse;
  const View& view = *told.view;

  ReportReply reply = make_reply(view, *told.state);
  reply.pulse = told.pulse;
  reply.accepted = told.accepted;
  reply.tiers = told.tiers;
  reply.refusal = reported.refusal;
  if (told.accepted) reply.datagrams = terms();
  reply.resend_full = reported.resend_full;
  reply.takes_digests = !ours_;
  if (!told.accepted) {
    if (told_.accepted) LOG_WARNING("{}", reported.refusal);
    if (!ours_) reply.end_with_error = reported.refusal;
  }
  if (!reported.duplicated_uuids.empty()) {
    LOG_WARNING("volume server at {} was turned away: another one is running on its folder {}", peer_,
                reported.duplicated_uuids.front());
    reply.accepted = false;
    reply.duplicated_uuids = reported.duplicated_uuids;
    reply.refusal = "another volume server is running on the same folder (vol_dir.uuid " +
                    reported.duplicated_uuids.front() + ")";
    reply.end_with_error = reply.refusal;
  }
  if (reported.displaced) reply.end_with_error = "a newer stream of this volume server has taken over";

  bool send = first || reply.end_with_error || reply.resend_full || told.tiers != told_.tiers;
  if (ours_) {
    send = send || is_news(told) || now - replied_ >= kReplyInterval;
  } else if (!view.is_leader()) {
    // Upstream's servers report to the leader only: this one is known here too, and told where to go.
    const MemberView* leader = view.leader_member();
    reply.leader_hint = leader != nullptr ? upstream_name(*leader) : std::string();
    if (reply.leader_hint.empty()) reply.end_with_error = kNotLeader;
    send = true;
  }
  if (!send) return std::nullopt;
  told_ = std::move(told);
  replied_ = now;
  return reply;
}

// The terms of the line, which is opened with the first report that the topology has taken.
std::optional<ReportReply::Pulse> Reports::Session::terms() {
  const auto port = reports_.pulse_port_.load();
  if (!pulses_ || !tell_ || port == 0) return std::nullopt;
  const auto life = shared_.with_topology([&](topology::Topology& topology) { return topology.life(id_); });
  if (!life) return std::nullopt;
  const auto terms = reports_.pulses_.open(id_, *life, [tell = tell_](bool heard) {
    ReportReply reply;
    reply.datagrams = ReportReply::Pulse{.heard = heard};
    reply.says_only_pulse = true;
    tell(reply);
  });
  return ReportReply::Pulse{.port = port, .line = terms.line, .key = terms.key, .heard = terms.heard};
}

bool Reports::Session::is_news(const Told& told) const {
  if (told.accepted != told_.accepted || told.folders_pending != told_.folders_pending || told.pulse != told_.pulse) {
    return true;
  }
  if (told.state != told_.state &&
      (told.state->generation != told_.state->generation || told.state->members != told_.state->members ||
       told.state->cluster_id != told_.state->cluster_id)) {
    return true;
  }
  if (told.view == told_.view) return false;
  const View& a = *told.view;
  const View& b = *told_.view;
  if (a.term != b.term || a.leader != b.leader || a.members.size() != b.members.size()) return true;
  for (std::size_t i = 0; i < a.members.size(); ++i) {
    const MemberView& x = a.members[i];
    const MemberView& y = b.members[i];
    if (x.id != y.id || x.http != y.http || x.grpc != y.grpc || x.voter != y.voter) return true;
  }
  return false;
}

ReportReply Reports::Session::make_reply(const View& view, const topology::RegistryState& state) const {
  ReportReply reply;
  reply.volume_size_limit = shared_.options.volume_size_limit;
  reply.preallocate = shared_.options.preallocate;
  reply.cluster_id = state.cluster_id;
  reply.generation = state.generation;
  reply.term = view.term;
  reply.feature_level = state.feature_level;
  reply.self = view.self;
  reply.leader = view.leader;
  reply.masters = members_with_addresses(view, state);
  std::erase_if(reply.masters, [](const MemberView& member) { return member.witness; });
  for (const std::string& folder : folders_) {
    if (state.has_dir(topology::folder_uuid(folder))) reply.adopted_dirs.push_back(folder);
  }
  return reply;
}

void Reports::Session::closed() {
  if (std::exchange(closed_, true)) return;
  reports_.pulses_.close(id_);
  const Instant now = shared_.clock.now();
  shared_.with_topology([&](topology::Topology& topology) { topology.session_ended(id_, now); });
  shared_.loop.wake();
}

std::unique_ptr<ReportSession> Reports::open(std::string peer, Master::Tell tell) {
  return std::make_unique<Session>(*this, topology::SessionId(next_session_.fetch_add(1)), std::move(peer), std::move(tell));
}

void Reports::received_pulse(BytesView datagram) {
  if (pulses_.received(datagram, shared_.clock.now())) shared_.counters.reports.add();
}

Instant Reports::look(Instant now) {
  const auto look = pulses_.look(now);
  const auto [silences, next] = shared_.with_topology([&](topology::Topology& topology) {
    for (const auto& heard : look.heard) topology.heard(heard.session, heard.at);
    const std::uint64_t before = topology.silences();
    const Instant next_silence = topology.sweep(now);
    return std::pair(topology.silences() - before, next_silence);
  });
  shared_.counters.silences.add(silences);
  return std::min(look.next, next);
}

}  // namespace holdfast::master
