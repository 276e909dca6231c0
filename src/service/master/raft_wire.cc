#include "service/master/raft_wire.h"

#include <algorithm>

#include "api/raft.pb.h"
#include "base/crc32c.h"
#include "service/master/beat_wire.h"

namespace holdfast::master {
namespace {

constexpr std::string_view kDatagramMagic = "HFB1";
constexpr std::size_t kDatagramHeadBytes = 4 + 4 + 16 + 16;
constexpr std::uint64_t kAddressFreeMaxNs = 3'600'000'000'000;

// A field that is added to a message and not carried here would be zero at the other end, which no test of the core
// notices. These sizes (64-bit, libstdc++) make the compiler ask.
static_assert(sizeof(raft::VoteRequest) == 48 && sizeof(raft::VoteReply) == 120);
static_assert(sizeof(raft::Append) == 88 && sizeof(raft::AppendReply) == 80);
static_assert(sizeof(raft::Beat) == 80 && sizeof(raft::BeatReply) == 72);
static_assert(sizeof(raft::SnapshotMeta) == 64 && sizeof(raft::SnapshotPiece) == 104);
static_assert(sizeof(raft::SnapshotReply) == 40 && sizeof(raft::ReadQuery) == 8 && sizeof(raft::ReadAnswer) == 32);
static_assert(sizeof(raft::Lease) == 24 && sizeof(raft::Release) == 32 && sizeof(raft::LeaseReport) == 48);
static_assert(sizeof(raft::TimeoutNow) == 32 && sizeof(raft::InSync) == 40);
static_assert(sizeof(raft::Notice) == 56 && sizeof(Entry) == 40);

std::int64_t ns(raft::Stamp stamp) { return stamp.time_since_epoch().count(); }
raft::Stamp stamp(std::int64_t ns) { return raft::Stamp(Duration(ns)); }

void put(const raft::LogPosition& position, RaftPosition* out) {
  out->set_term(position.term.value());
  out->set_index(position.index.value());
}
raft::LogPosition get(const RaftPosition& in) { return {.term = Term(in.term()), .index = Index(in.index())}; }

void put(const Entry& entry, RaftEntry* out) {
  out->set_term(entry.term.value());
  out->set_index(entry.index.value());
  out->set_kind(static_cast<std::uint32_t>(entry.kind));
  out->set_format(entry.format);
  out->set_data(entry.data.view().data(), entry.data.size());
}
Result<Entry> get(const RaftEntry& in) {
  if (in.kind() < 1 || in.kind() > 3 || in.data().size() > kEntryBytesMax) {
    return Error{Code::invalid, "entry of an unknown kind or too long"};
  }
  return Entry{.term = Term(in.term()),
               .index = Index(in.index()),
               .kind = static_cast<EntryKind>(in.kind()),
               .format = static_cast<std::uint16_t>(in.format()),
               .data = std::string(in.data())};
}

void put(const raft::SnapshotMeta& meta, RaftSnapshotMeta* out) {
  put(meta.last, out->mutable_last());
  out->set_configuration(raft::encode(meta.configuration));
  out->set_configuration_index(meta.configuration_index.value());
  out->set_bytes(meta.bytes);
}
Result<raft::SnapshotMeta> get(const RaftSnapshotMeta& in) {
  auto configuration = raft::decode_configuration(in.configuration());
  if (!configuration) return configuration.error();
  return raft::SnapshotMeta{.last = get(in.last()),
                            .configuration = std::move(*configuration),
                            .configuration_index = Index(in.configuration_index()),
                            .bytes = in.bytes()};
}

void put(const raft::Release& release, RaftRelease* out) {
  out->set_term(release.term.value());
  out->set_epoch(release.epoch);
  out->set_holder(uuid_bytes(release.holder.value()));
}
raft::Release get(const RaftRelease& in) {
  return {.term = Term(in.term()), .epoch = in.epoch(), .holder = NodeId(uuid_of(in.holder()))};
}
template <typename Releases>
Status get(const Releases& in, std::vector<raft::Release>* out) {
  if (static_cast<std::size_t>(in.size()) > raft::kReleasesMax) return Error{Code::invalid, "too many releases"};
  for (const auto& release : in) out->push_back(get(release));
  return {};
}

// Absent when there is none, so that nothing is added to what the first release says.
template <typename Message>
void put(const raft::Lease& lease, Message* out) {
  if (lease.epoch == 0) return;
  auto* to = out->mutable_lease();
  to->set_epoch(lease.epoch);
  to->set_length_ns(static_cast<std::uint64_t>(lease.length.count()));
  to->set_raw(ns(lease.raw));
}
template <typename Message>
raft::Lease lease_of(const Message& in) {
  if (!in.has_lease() || in.lease().length_ns() > static_cast<std::uint64_t>(raft::kLeaseCapMax.count())) return {};
  return {.epoch = in.lease().epoch(),
          .length = Duration(static_cast<std::int64_t>(in.lease().length_ns())),
          .raw = stamp(in.lease().raw())};
}

void put(const raft::InSync& record, RaftInSync* out) {
  out->set_term(record.term.value());
  out->set_number(record.number);
  for (const auto& member : record.members) out->add_members(uuid_bytes(member.value()));
}
Result<raft::InSync> get(const RaftInSync& in) {
  raft::InSync out{.term = Term(in.term()), .number = in.number()};
  if (static_cast<std::size_t>(in.members_size()) > raft::kMembersMax) return Error{Code::invalid, "too many members"};
  for (const auto& member : in.members()) out.members.emplace_back(uuid_of(member));
  if (!std::is_sorted(out.members.begin(), out.members.end())) return Error{Code::invalid, "members out of order"};
  return out;
}

// One overload per body, sender's side.
void put(const raft::VoteRequest& body, RaftMessage* out) {
  auto* to = out->mutable_vote_request();
  to->set_pre(body.pre);
  to->set_transfer(body.transfer);
  to->set_link_lost(body.link_lost);
  put(body.last, to->mutable_last());
  for (const auto& release : body.released) put(release, to->add_released());
}
void put(const raft::VoteReply& body, RaftMessage* out) {
  auto* to = out->mutable_vote_reply();
  to->set_pre(body.pre);
  to->set_granted(body.granted);
  to->set_request_term(body.request_term.value());
  to->set_candidate_incarnation(body.candidate_incarnation.value());
  for (const auto& report : body.reports) {
    auto* lease = to->add_reports();
    lease->set_term(report.term.value());
    lease->set_left_ns(static_cast<std::uint64_t>(report.left.count()));
    lease->set_epoch(report.epoch);
    if (!report.holder.value().empty()) lease->set_holder(uuid_bytes(report.holder.value()));
    lease->set_incarnation(report.incarnation.value());
  }
  for (const auto& release : body.released) put(release, to->add_released());
  if (body.in_sync) put(*body.in_sync, to->mutable_in_sync());
}
void put(const raft::RegisterRequest& body, RaftMessage* out) { put(body.record, out->mutable_register_request()); }
void put(const raft::RegisterReply& body, RaftMessage* out) { put(body.record, out->mutable_register_reply()); }
void put(const raft::Append& body, RaftMessage* out) {
  auto* to = out->mutable_append();
  put(body.previous, to->mutable_previous());
  for (const auto& entry : body.entries) put(entry, to->add_entries());
  to->set_commit(body.commit.value());
  to->set_round(body.round.value());
  to->set_sent(ns(body.sent));
  put(body.lease, to);
}
void put(const raft::AppendReply& body, RaftMessage* out) {
  auto* to = out->mutable_append_reply();
  to->set_result(static_cast<std::uint32_t>(body.result));
  to->set_match(body.match.value());
  to->set_hint_term(body.hint_term.value());
  to->set_hint_index(body.hint_index.value());
  to->set_durable(body.durable.value());
  to->set_round(body.round.value());
  to->set_sent(ns(body.sent));
  put(body.lease, to);
}
void put(const raft::Beat& body, RaftMessage* out) {
  auto* to = out->mutable_beat();
  to->set_commit(body.commit.value());
  to->set_sent(ns(body.sent));
  to->set_sequence(body.sequence);
  to->set_round(body.round.value());
  for (const auto& heir : body.heirs) to->add_heirs(uuid_bytes(heir.value()));
  put(body.lease, to);
}
void put(const raft::BeatReply& body, RaftMessage* out) {
  auto* to = out->mutable_beat_reply();
  to->set_sent(ns(body.sent));
  to->set_sequence(body.sequence);
  to->set_round(body.round.value());
  to->set_last(body.last.value());
  to->set_durable(body.durable.value());
  to->set_disk_full(body.disk_full);
  to->set_damaged(body.damaged);
  put(body.lease, to);
}
void put(const raft::TimeoutNow& body, RaftMessage* out) {
  auto* to = out->mutable_timeout_now();
  if (body.release.term != Term(0)) put(body.release, to->mutable_release());
}
void put(const raft::SnapshotPiece& body, RaftMessage* out) {
  auto* to = out->mutable_snapshot_piece();
  put(body.meta, to->mutable_meta());
  to->set_offset(body.offset);
  to->set_data(body.data.view().data(), body.data.size());
  to->set_last(body.last);
  to->set_sent(ns(body.sent));
}
void put(const raft::SnapshotReply& body, RaftMessage* out) {
  auto* to = out->mutable_snapshot_reply();
  put(body.snapshot, to->mutable_snapshot());
  to->set_next_offset(body.next_offset);
  to->set_stored(body.stored);
  to->set_sent(ns(body.sent));
}
void put(const raft::ReadQuery& body, RaftMessage* out) { out->mutable_read_query()->set_request(body.request); }
void put(const raft::ReadAnswer& body, RaftMessage* out) {
  auto* to = out->mutable_read_answer();
  to->set_request(body.request);
  to->set_asker(body.asker.value());
  to->set_ok(body.ok);
  to->set_index(body.index.value());
}
void put(const raft::Notice& body, RaftMessage* out) {
  auto* to = out->mutable_notice();
  to->set_kind(static_cast<std::uint32_t>(body.kind));
  to->set_text(body.text);
  to->set_as_of(body.as_of.value());
  to->set_incarnation(body.incarnation.value());
}

// Receiver's side.
Result<raft::Body> get(const RaftVoteRequest& in) {
  raft::VoteRequest out{
      .pre = in.pre(), .transfer = in.transfer(), .link_lost = in.link_lost(), .last = get(in.last())};
  if (auto taken = get(in.released(), &out.released); !taken) return taken.error();
  return raft::Body(std::move(out));
}
Result<raft::Body> get(const RaftVoteReply& in) {
  raft::VoteReply out{.pre = in.pre(),
                      .granted = in.granted(),
                      .request_term = Term(in.request_term()),
                      .candidate_incarnation = Incarnation(in.candidate_incarnation())};
  if (static_cast<std::size_t>(in.reports_size()) > raft::kLeaseReportsMax) {
    return Error{Code::invalid, "too many leases reported"};
  }
  for (const auto& report : in.reports()) {
    if (report.left_ns() > static_cast<std::uint64_t>(raft::kLeaseCapMax.count())) {
      return Error{Code::invalid, "a lease reported that is longer than any"};
    }
    out.reports.push_back({.term = Term(report.term()),
                           .epoch = report.epoch(),
                           .left = Duration(static_cast<std::int64_t>(report.left_ns())),
                           .holder = NodeId(uuid_of(report.holder())),
                           .incarnation = Incarnation(report.incarnation())});
  }
  if (auto taken = get(in.released(), &out.released); !taken) return taken.error();
  if (in.has_in_sync()) {
    auto record = get(in.in_sync());
    if (!record) return record.error();
    out.in_sync = std::move(*record);
  }
  return raft::Body(std::move(out));
}
template <typename Message>
Result<raft::Body> record_of(const RaftInSync& in) {
  auto record = get(in);
  if (!record) return record.error();
  return raft::Body(Message{std::move(*record)});
}
Result<raft::Body> get(const RaftAppend& in) {
  raft::Append out{.previous = get(in.previous()),
                   .commit = Index(in.commit()),
                   .round = raft::Round(in.round()),
                   .sent = stamp(in.sent()),
                   .lease = lease_of(in)};
  for (const auto& item : in.entries()) {
    auto entry = get(item);
    if (!entry) return entry.error();
    out.entries.push_back(std::move(*entry));
  }
  return raft::Body(std::move(out));
}
Result<raft::Body> get(const RaftAppendReply& in) {
  if (in.result() < 1 || in.result() > 3) return Error{Code::invalid, "append reply of an unknown kind"};
  return raft::Body(raft::AppendReply{.result = static_cast<raft::AppendResult>(in.result()),
                                      .match = Index(in.match()),
                                      .hint_term = Term(in.hint_term()),
                                      .hint_index = Index(in.hint_index()),
                                      .durable = Index(in.durable()),
                                      .round = raft::Round(in.round()),
                                      .sent = stamp(in.sent()),
                                      .lease = lease_of(in)});
}
Result<raft::Body> get(const RaftBeat& in) {
  raft::Beat out{.commit = Index(in.commit()),
                 .sent = stamp(in.sent()),
                 .sequence = in.sequence(),
                 .round = raft::Round(in.round())};
  if (static_cast<std::size_t>(in.heirs_size()) > raft::kMembersMax) return Error{Code::invalid, "too many heirs"};
  for (const auto& heir : in.heirs()) out.heirs.emplace_back(uuid_of(heir));
  out.lease = lease_of(in);
  return raft::Body(std::move(out));
}
raft::Body get(const RaftBeatReply& in) {
  return raft::BeatReply{.sent = stamp(in.sent()),
                         .sequence = in.sequence(),
                         .round = raft::Round(in.round()),
                         .last = Index(in.last()),
                         .durable = Index(in.durable()),
                         .disk_full = in.disk_full(),
                         .damaged = in.damaged(),
                         .lease = lease_of(in)};
}
Result<raft::Body> get(const RaftSnapshotPiece& in) {
  auto meta = get(in.meta());
  if (!meta) return meta.error();
  return raft::Body(raft::SnapshotPiece{.meta = std::move(*meta),
                                        .offset = in.offset(),
                                        .data = std::string(in.data()),
                                        .last = in.last(),
                                        .sent = stamp(in.sent())});
}
raft::Body get(const RaftSnapshotReply& in) {
  return raft::SnapshotReply{.snapshot = get(in.snapshot()),
                             .next_offset = in.next_offset(),
                             .stored = in.stored(),
                             .sent = stamp(in.sent())};
}
raft::Body get(const RaftReadAnswer& in) {
  return raft::ReadAnswer{
      .request = in.request(), .asker = Incarnation(in.asker()), .ok = in.ok(), .index = Index(in.index())};
}
Result<raft::Body> get(const RaftNotice& in) {
  if (in.kind() < 1 || in.kind() > 3) return Error{Code::invalid, "notice of an unknown kind"};
  return raft::Body(raft::Notice{.kind = static_cast<raft::NoticeKind>(in.kind()),
                                 .as_of = Index(in.as_of()),
                                 .incarnation = Incarnation(in.incarnation()),
                                 .text = in.text()});
}

Result<raft::Body> body_of(const RaftMessage& in) {
  switch (in.body_case()) {
    case RaftMessage::kVoteRequest: return get(in.vote_request());
    case RaftMessage::kVoteReply: return get(in.vote_reply());
    case RaftMessage::kAppend: return get(in.append());
    case RaftMessage::kAppendReply: return get(in.append_reply());
    case RaftMessage::kBeat: return get(in.beat());
    case RaftMessage::kBeatReply: return get(in.beat_reply());
    case RaftMessage::kTimeoutNow: {
      raft::TimeoutNow out;
      if (in.timeout_now().has_release()) out.release = get(in.timeout_now().release());
      return raft::Body(out);
    }
    case RaftMessage::kSnapshotPiece: return get(in.snapshot_piece());
    case RaftMessage::kSnapshotReply: return get(in.snapshot_reply());
    case RaftMessage::kReadQuery: return raft::Body(raft::ReadQuery{.request = in.read_query().request()});
    case RaftMessage::kReadAnswer: return get(in.read_answer());
    case RaftMessage::kNotice: return get(in.notice());
    case RaftMessage::kRegisterRequest: return record_of<raft::RegisterRequest>(in.register_request());
    case RaftMessage::kRegisterReply: return record_of<raft::RegisterReply>(in.register_reply());
    case RaftMessage::kLeaseRevoked:  // no messages of Raft's, see decode_datagram
    case RaftMessage::kAddressFree:
    case RaftMessage::BODY_NOT_SET: break;
  }
  return Error{Code::unsupported, "a message of a kind this build does not know"};
}

}  // namespace

void to_wire(const raft::Message& message, RaftMessage* out) {
  out->set_from(uuid_bytes(message.from.value()));
  out->set_to(uuid_bytes(message.to.value()));
  out->set_term(message.term.value());
  out->set_incarnation(message.incarnation.value());
  std::visit([out](const auto& body) { put(body, out); }, message.body);
}

Result<raft::Message> from_wire(const RaftMessage& in) {
  raft::Message message{.from = NodeId(uuid_of(in.from())),
                        .to = NodeId(uuid_of(in.to())),
                        .term = Term(in.term()),
                        .incarnation = Incarnation(in.incarnation())};
  if (message.from.value().empty() || message.to.value().empty()) return Error{Code::invalid, "no sender or receiver"};
  auto body = body_of(in);
  if (!body) return body.error();
  message.body = std::move(*body);
  return message;
}

namespace {

std::string datagram_head(ClusterId cluster, Uuid process) {
  std::string out;
  out.reserve(256);
  out += kDatagramMagic;
  out.resize(8);
  for (const auto& id : {cluster.value(), process}) {
    append_be(out, id.high);
    append_be(out, id.low);
  }
  return out;
}

std::string finished(std::string datagram) {
  store_be<std::uint32_t>(datagram.data() + 4, crc32c(bytes_of(datagram).subspan(8)));
  return datagram;
}

std::string datagram_of(ClusterId cluster, Uuid process, const RaftMessage& wire) {
  auto out = datagram_head(cluster, process);
  wire.AppendToString(&out);
  return finished(std::move(out));
}

}  // namespace

std::string encode_datagram(ClusterId cluster, Uuid process, const raft::Message& message) {
  if (auto out = datagram_head(cluster, process); append_beat(message, &out)) return finished(std::move(out));
  RaftMessage wire;
  to_wire(message, &wire);
  return datagram_of(cluster, process, wire);
}

namespace {

RaftMessage word_of(const raft::LeaseRevoked& term, NodeId to) {
  RaftMessage wire;
  wire.set_from(uuid_bytes(term.node.value()));
  wire.set_to(uuid_bytes(to.value()));
  wire.set_term(term.term.value());
  wire.set_incarnation(term.incarnation.value());
  return wire;
}

}  // namespace

std::string encode_certificate(ClusterId cluster, Uuid process, const raft::LeaseRevoked& revoked, NodeId to) {
  auto wire = word_of(revoked, to);
  wire.mutable_lease_revoked();
  return datagram_of(cluster, process, wire);
}

std::string encode_address_free(ClusterId cluster, Uuid process, const raft::LeaseRevoked& term, Duration free_in, NodeId to) {
  auto wire = word_of(term, to);
  wire.mutable_address_free()->set_free_in_ns(static_cast<std::uint64_t>(std::max(free_in, Duration(0)).count()));
  return datagram_of(cluster, process, wire);
}

Result<Datagram> decode_datagram(ClusterId cluster, BytesView bytes) {
  if (bytes.size() < kDatagramHeadBytes || text_of(bytes.first(4)) != kDatagramMagic ||
      load_be<std::uint32_t>(bytes.data() + 4) != crc32c(bytes.subspan(8))) {
    return Error{Code::corrupt, "not a datagram of ours"};
  }
  if (ClusterId(uuid_of(text_of(bytes.subspan(8, 16)))) != cluster) {
    return Error{Code::refused, "a datagram of another cluster"};
  }
  const auto rest = bytes.subspan(kDatagramHeadBytes);
  const auto process = uuid_of(text_of(bytes.subspan(24, 16)));
  if (auto beat = read_beat(rest)) {
    return Datagram{.process = process, .message = std::move(*beat), .revoked = {}, .address_free_in = {}};
  }
  RaftMessage wire;
  if (!wire.ParseFromArray(rest.data(), static_cast<int>(rest.size()))) {
    return Error{Code::corrupt, "a datagram that does not parse"};
  }
  Datagram datagram{.process = process, .message = {}, .revoked = {}, .address_free_in = {}};
  if (wire.has_lease_revoked() || wire.has_address_free()) {
    auto& head = datagram.message;
    head = {.from = NodeId(uuid_of(wire.from())),
            .to = NodeId(uuid_of(wire.to())),
            .term = Term(wire.term()),
            .incarnation = Incarnation(wire.incarnation()),
            .body = {}};
    if (head.from.value().empty() || head.to.value().empty()) return Error{Code::invalid, "no sender or receiver"};
    if (wire.has_lease_revoked()) datagram.revoked = raft::LeaseRevoked{head.from, head.incarnation, head.term};
    if (wire.has_address_free()) {
      const auto free_in = wire.address_free().free_in_ns();
      if (free_in > kAddressFreeMaxNs) return Error{Code::invalid, "an address that is free in more than an hour"};
      datagram.address_free_in = Duration(static_cast<std::int64_t>(free_in));
    }
    return datagram;
  }
  auto message = from_wire(wire);
  if (!message) return message.error();
  datagram.message = std::move(*message);
  return datagram;
}

}  // namespace holdfast::master
