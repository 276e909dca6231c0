// Snapshots: taken here, sent to members that need what is no longer in the log, and received.
//
// Only one piece is under way to a member at a time; whichever side lost its place says where to go on.
#include <algorithm>

#include "core/raft/core_impl.h"

namespace holdfast::raft {

void Core::Impl::on(const SnapshotTaken& input) {
  CHECK(input.index <= handed_out_);
  disk_first_ = std::max(disk_first_, input.disk_first);
  if (snapshot_ && snapshot_->last.index >= input.index) return;
  auto term = input.term;
  if (term == Term(0)) term = log_.term_at(input.index).value_or(Term(0));
  CHECK(term != Term(0) || input.index == Index(0));
  auto meta = snapshot_meta(input.index, term);
  meta.bytes = input.bytes;
  snapshot_ = meta;
  configurations_.erase(configurations_.begin(), configurations_.find(meta.configuration_index));
}

SnapshotMeta Core::Impl::snapshot_meta(Index index, Term term) const {
  SnapshotMeta meta;
  meta.last = {term, index};
  meta.configuration = configuration_at(index);
  meta.configuration_index = std::prev(configurations_.upper_bound(index))->first;
  return meta;
}

// -------------------------------------------------------------------------------------------------- sending

void Core::Impl::begin_snapshot(NodeId id, Peer& peer) {
  if (!snapshot_ || snapshot_->last.index < peer.next) {
    // Nothing that would help is at hand: look at the log again later.
    peer.fetching = true;
    peer.fetch_since = now_;
    return;
  }
  peer.state = PeerState::snapshot;
  peer.snapshot = snapshot_->last;
  peer.snapshot_offset = 0;
  peer.in_flight.clear();
  peer.fetching = false;
  ask_snapshot_piece(id, peer);
}

void Core::Impl::ask_snapshot_piece(NodeId id, Peer& peer) {
  peer.snapshot_since = now_;
  out_.snapshot_reads.push_back({id, peer.snapshot, peer.snapshot_offset, options_.snapshot_piece_bytes});
}

void Core::Impl::on(const SnapshotPieceRead& input) {
  auto* leading = leader();
  if (leading == nullptr) return;
  const auto found = leading->peers.find(input.peer);
  if (found == leading->peers.end() || found->second.state != PeerState::snapshot) return;
  auto& peer = found->second;
  if (input.meta.last != peer.snapshot) {
    if (input.offset != 0 || input.meta.last < peer.snapshot) return;
    peer.snapshot = input.meta.last;
    peer.snapshot_offset = 0;
  }
  if (input.offset != peer.snapshot_offset || (input.data.size() == 0 && !input.last)) return;
  peer.snapshot_since = now_;
  send_now(input.peer, SnapshotPiece{input.meta, input.offset, input.data, input.last, now_});
}

void Core::Impl::receive(const Message& m, const SnapshotReply& reply) {
  auto* peer = answering_peer(m, reply.sent);
  if (peer == nullptr || !peer->vetted || peer->state != PeerState::snapshot || reply.snapshot != peer->snapshot) {
    ++counters_.messages_dropped;
    return;
  }
  if (reply.stored) {
    ++counters_.snapshots_sent;
    acknowledged(*peer, reply.snapshot.index);
  } else if (reply.next_offset != peer->snapshot_offset) {
    peer->snapshot_offset = reply.next_offset;
    ask_snapshot_piece(m.from, *peer);
  }
}

// ------------------------------------------------------------------------------------------------- receiving

void Core::Impl::receive(const Message& m, const SnapshotPiece& piece) {
  if (m.term < term_ || piece.meta.last.term > m.term || disk_ == DiskCondition::full) {
    ++counters_.messages_dropped;
    return;
  }
  CHECK(leader() == nullptr);  // I1
  follow(m.from);
  if (piece.meta.last.index <= commit_) {
    // Here already; what is known to be committed may still be on its way to the disk.
    send_after_sync(m.from, SnapshotReply{.snapshot = piece.meta.last, .stored = true, .sent = piece.sent});
    return;
  }
  const bool same = incoming_ && incoming_->meta.last == piece.meta.last;
  if (piece.offset == 0 && !(same && incoming_->writing)) {
    incoming_ = Incoming{.meta = piece.meta, .from = m.from, .sent = piece.sent};
  } else if (!same || piece.offset != incoming_->next_offset) {
    const auto next = same ? incoming_->next_offset : 0;
    if (!same || !incoming_->writing) {
      send_now(m.from, SnapshotReply{.snapshot = piece.meta.last, .next_offset = next, .sent = piece.sent});
    }
    return;
  }
  if (incoming_->writing) return;  // doubled on the way
  incoming_->writing = true;
  incoming_->from = m.from;
  incoming_->sent = piece.sent;
  out_.snapshot_writes.push_back({piece.meta, piece.offset, piece.data, piece.last});
}

void Core::Impl::on(const SnapshotPieceWritten& input) {
  if (!incoming_ || incoming_->meta.last != input.meta.last || !incoming_->writing) return;
  const auto incoming = *incoming_;
  incoming_->writing = false;
  incoming_->next_offset = input.next_offset;
  SnapshotReply reply{.snapshot = incoming.meta.last, .next_offset = input.next_offset, .sent = incoming.sent};
  if (input.failed) {
    incoming_.reset();
    reply.next_offset = 0;
    send_now(incoming.from, reply);
  } else if (input.complete) {
    incoming_.reset();
    install(incoming.meta);
    reply.stored = true;
    send_after_sync(incoming.from, reply);
  } else {
    send_now(incoming.from, reply);
  }
}

// The stored snapshot takes the place of the state and of the log, unless the log leads up to it and beyond.
void Core::Impl::install(const SnapshotMeta& meta) {
  if (meta.last.index <= commit_) return;
  ++counters_.snapshots_installed;
  snapshot_ = meta;
  if (log_.term_at(meta.last.index) == meta.last.term) {
    matched_ = std::max(matched_, meta.last.index);
    advance_commit(meta.last.index);
    return;
  }
  std::vector<Entry> suffix;
  if (mutated(Mutation::snapshot_keeps_suffix) && log_.last_index() > meta.last.index) {
    suffix = log_.slice(meta.last.index.next(), SIZE_MAX, SIZE_MAX);
  }
  log_.reset(meta.last);
  for (auto& entry : suffix) {
    entry.term = std::max(entry.term, meta.last.term);
    log_.append(std::move(entry));
  }
  configurations_.clear();
  configurations_[meta.configuration_index] = meta.configuration;
  out_.configuration = meta.configuration;
  changed_from_.reset();
  for (auto& write : pending_) write.last = Index(0);
  commit_ = handed_out_ = durable_ = meta.last.index;
  matched_ = std::max(matched_, meta.last.index);
  disk_first_ = meta.last.index.next();
  out_.log_reset = meta;
  out_.restore = meta;
  // What was missing below is covered; what a damaged log held beyond is still unknown.
  if (claimed_ && (log_.last() >= *claimed_ || claimed_->index <= meta.last.index)) {
    claimed_.reset();
    ++counters_.damage_repaired;
  }
}

}  // namespace holdfast::raft
