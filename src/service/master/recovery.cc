#include "service/master/recovery.h"

#include <algorithm>
#include <set>

#include "api/raft.pb.h"
#include "core/topology/registry.h"
#include "service/master/peer_calls.h"
#include "service/master/successor.h"
#include "service/master/raft_wire.h"
#include "storage/raft/identity.h"
#include "storage/raft/raft_store.h"

namespace holdfast::master {
namespace {

constexpr const char* kStaged = "recovery";  // where the new files are made
constexpr const char* kFiles[] = {"vote", "progress", "log", "snapshot"};

std::string masters_of(const raft::Configuration& configuration, NodeId but) {
  std::string out;
  for (const auto& member : configuration.members()) {
    if (!member.witness && member.id != but) out += (out.empty() ? "" : ", ") + member.address;
  }
  return out;
}

class RecoveryOfFolder final : public Recovery {
 public:
  RecoveryOfFolder(RecoveryConfig config, io::Disk& disk, io::Random& random)
      : config_(std::move(config)),
        disk_(disk),
        random_(random),
        folder_(io::join(config_.folder, "m" + std::to_string(config_.port))) {}

  Status open();

  const RecoveryReport& report() const override { return report_; }
  std::vector<OtherMember> ask_others(io::Clock& clock) override;
  Result<std::string> carry_out() override;

 private:
  std::string in(const std::string& name) const { return io::join(folder_, name); }
  storage::RaftStore::Options options(const storage::Identity& identity) const {
    return {.cluster = identity.cluster, .voter = identity.node, .segment_bytes = config_.segment_bytes};
  }
  Error nothing_there() const;
  Status read(storage::RaftStore::Opened opened);
  Result<storage::Identity> stage();
  Status move_into_place(const storage::Identity& fresh);

  const RecoveryConfig config_;
  io::Disk& disk_;
  io::Random& random_;
  const std::string folder_;
  std::unique_ptr<io::FolderLock> lock_;
  storage::Identity identity_;
  topology::Registry registry_{config_.feature_level};
  RecoveryReport report_;
};

// ---------------------------------------------------------------------------------------------------- reading

Error RecoveryOfFolder::nothing_there() const {
  std::string found;
  if (const auto names = disk_.list(config_.folder)) {
    for (const auto& name : *names) {
      if (name.size() < 2 || name[0] != 'm' || name.find_first_not_of("0123456789", 1) != std::string::npos) continue;
      found += (found.empty() ? "" : ", ") + std::string("-port=") + name.substr(1);
    }
  }
  return Error{Code::not_found, folder_ + ": no master was ever started there" +
                                    (found.empty() ? ". -mdir is the folder that the master was started with (of `server` "
                                                     "-master.dir, or the first of -dir)"
                                                   : "; in -mdir there is " + found)};
}

Status RecoveryOfFolder::open() {
  if (!disk_.info(in("identity.json")).ok()) return nothing_there();
  auto lock = disk_.lock(in("lock"));
  if (!lock) {
    if (lock.error().code() != Code::busy) return lock.error();
    return Error{Code::busy, lock.error().what() + ". A master that runs is not recovered: stop it first"};
  }
  lock_ = std::move(*lock);
  auto identity = storage::load_identity(disk_, in("identity.json"));
  if (!identity) return identity.error();
  identity_ = std::move(*identity);
  report_.folder = folder_;
  report_.node = identity_.node;
  report_.cluster = identity_.cluster;
  report_.address = identity_.self;
  if (!identity_.recovering.empty()) {
    report_.interrupted = true;
    return {};
  }
  if (identity_.cluster.value().empty()) {
    return Error{Code::refused, folder_ + ": this master never belonged to a cluster; there is nothing to recover"};
  }
  auto opened = storage::RaftStore::open(disk_, random_, folder_, options(identity_));
  if (!opened) return opened.error();
  return read(std::move(*opened));
}

// As a start would read it, and all entries: any of them may have been committed by those who are gone.
Status RecoveryOfFolder::read(storage::RaftStore::Opened opened) {
  const auto& start = opened.start;
  report_.term = start.hard_state.term;
  report_.commit = start.hard_state.commit;
  report_.damage = start.damage;
  if (start.snapshot) {
    auto files = opened.store->snapshots().load(start.snapshot->last);
    if (!files) return files.error();
    const auto& last = start.snapshot->last;
    if (auto done = registry_.restore({.applied = last.index, .term = last.term, .files = std::move(*files)}); !done) {
      return done.error().at("snapshot " + text(last.index));
    }
    report_.last = last;
    report_.configuration = start.snapshot->configuration;
  }
  for (const auto& entry : start.entries) {
    report_.last = {.term = entry.term, .index = entry.index};
    if (entry.kind == EntryKind::configuration) {
      auto configuration = raft::decode_configuration(entry.data.view());
      if (!configuration) return configuration.error().at("log entry " + text(entry.index));
      report_.configuration = std::move(*configuration);
    } else if (entry.kind == EntryKind::command) {
      if (auto done = registry_.apply(entry.index, entry.term, bytes_of(entry.data.view())); !done) return done.error();
    }
  }
  const auto& state = registry_.state();
  report_.generation = state.generation;
  report_.next_key = state.next_key.value();
  report_.max_volume_id = state.max_volume_id;
  report_.folders = state.dirs->size();
  report_.voter = report_.configuration.is_voter(identity_.node);
  if (report_.voter && report_.configuration.voter_count() == 1) {
    return Error{Code::refused, folder_ + ": this master is the only voter of its cluster; it needs no other one, just "
                                          "start it"};
  }
  // One that was not running then may have been told later.
  const bool is_out = !report_.configuration.empty() && report_.configuration.find(identity_.node) == nullptr;
  if (is_out || identity_.removed) {
    return Error{Code::refused,
                 folder_ + ": this master is no member of its cluster any more, it was removed or replaced; others it knows of are " +
                     masters_of(report_.configuration, identity_.node) +
                     ". Start the members; if a majority of them is gone for good, run weed recover on one of them. If none is left, "
                     "restore what a metalogger or a backup kept (mfsmetarestore)"};
  }
  if (state.cluster_id.value().empty()) {
    return Error{Code::refused, folder_ + ": nothing of the cluster's state has reached this master; recover another one, "
                                          "or remove the folder and begin anew"};
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------- asking

std::vector<OtherMember> RecoveryOfFolder::ask_others(io::Clock& clock) {
  std::vector<OtherMember> others;
  std::set<std::string> places;
  for (const auto& member : report_.configuration.members()) {
    if (member.id == identity_.node) continue;
    others.push_back({.member = member});
    if (!member.address.empty()) places.insert(member.address);
  }
  // Says nothing of itself: a caller that is no master, and belongs to nothing.
  RaftGreeting greeting;
  greeting.set_format(1);
  greeting.set_phase(RAFT_PHASE_UNKNOWN);
  const auto answers = ask_masters(config_.cluster_secret, places, greeting, clock);
  for (auto& other : others) {
    const auto found = answers.find(other.member.address);
    if (other.member.witness) {
      // It has nothing to go on with; whether it would have this master elected, only a start can tell.
      other.answers = found != answers.end();
      other.text = other.answers ? "a witness, answers: it holds no data. Start this master first: if it has everything, it leads"
                                 : "a witness, does not answer";
      continue;
    }
    if (found == answers.end()) {
      other.text = "does not answer";
      continue;
    }
    const auto& answer = found->second;
    other.answers = true;
    if (answer.node().empty() && !answer.refusal().empty()) {  // it may be of this cluster: counted as such
      other.same_cluster = true;
      other.text = "is alive and refuses to answer: " + answer.refusal();
      continue;
    }
    const ClusterId theirs(uuid_of(answer.cluster()));
    other.same_cluster = theirs == identity_.cluster && NodeId(uuid_of(answer.node())) == other.member.id;
    other.succeeded = std::any_of(answer.superseded().begin(), answer.superseded().end(), [&](const auto& id) {
      return ClusterId(uuid_of(id)) == identity_.cluster;
    });
    if (other.same_cluster) {
      other.text = "is alive, term " + std::to_string(answer.term()) +
                   (answer.leader().empty() ? ", without a leader" : ", and knows a leader");
    } else if (other.succeeded) {
      other.text = "belongs to cluster " + text(theirs) + ", which has taken this one's place already";
    } else if (theirs.value().empty()) {
      other.text = "answers, as a new master without state";
    } else {
      other.text = "another master answers there, of " +
                   (theirs == identity_.cluster ? "this cluster" : "cluster " + text(theirs));
    }
  }
  return others;
}

// ---------------------------------------------------------------------------------------------------- doing

// The new files, complete, in a folder of their own.
Result<storage::Identity> RecoveryOfFolder::stage() {
  const std::string staged = in(kStaged);
  if (auto done = disk_.remove_all(staged); !done) return done.error();
  if (auto done = disk_.make_folders(staged); !done) return done.error();
  const Predecessor predecessor{.cluster = identity_.cluster,
                                .last = report_.last,
                                .term = report_.term,
                                .configuration = report_.configuration,
                                .itself = identity_.node,
                                .superseded = identity_.superseded,
                                .former = identity_.former};
  auto fresh = make_successor(disk_, random_, staged, identity_.self, predecessor, registry_, config_.segment_bytes);
  if (!fresh) return fresh.error();
  for (const std::string name : kFiles) {
    if (!disk_.info(io::join(staged, name)).ok()) return Error{Code::internal, io::join(staged, name) + ": was not made"};
  }
  if (auto done = disk_.sync_dir(staged); !done) return done.error();
  return fresh;
}

// From here on the folder belongs to the new member; the steps may be repeated from any point.
Status RecoveryOfFolder::move_into_place(const storage::Identity& fresh) {
  const std::string staged = in(kStaged);
  const std::string aside = in(fresh.recovering);
  for (const std::string name : kFiles) {
    if (!disk_.info(io::join(staged, name)).ok()) continue;  // moved before
    if (disk_.info(in(name)).ok()) {
      if (auto done = disk_.rename(in(name), io::join(aside, name)); !done) return done;
    }
    if (auto done = disk_.sync_dir(aside); !done) return done;
    if (auto done = disk_.rename(io::join(staged, name), in(name)); !done) return done;
    if (auto done = disk_.sync_dir(folder_); !done) return done;
  }
  if (auto done = disk_.remove_all(staged); !done) return done;
  auto settled = fresh;
  settled.recovering.clear();
  return storage::store_identity(disk_, in("identity.json"), settled);
}

Result<std::string> RecoveryOfFolder::carry_out() {
  if (report_.interrupted) {
    const std::string aside = in(identity_.recovering);
    if (auto done = move_into_place(identity_); !done) return done.error();
    return aside;
  }
  auto fresh = stage();
  if (!fresh) return fresh.error();
  fresh->recovering = "recovered-" + std::to_string(identity_.incarnation.value());
  const std::string aside = in(fresh->recovering);
  // Of an attempt that did not come to the point there may be the folder with a copy of the identity.
  const auto there = disk_.list(aside);
  if (there && std::any_of(there->begin(), there->end(), [](const auto& name) { return !name.starts_with("identity."); })) {
    return Error{Code::already_exists, aside + ": is in the way; move it elsewhere and try again"};
  }
  if (auto done = disk_.make_folders(aside); !done) return done.error();
  if (auto done = storage::store_identity(disk_, io::join(aside, "identity.json"), identity_); !done) return done.error();
  if (auto done = storage::store_identity(disk_, in("identity.json"), *fresh); !done) return done.error();
  if (auto done = move_into_place(*fresh); !done) return done.error();
  return aside;
}

}  // namespace

Result<std::unique_ptr<Recovery>> Recovery::open(RecoveryConfig config, io::Disk& disk, io::Random& random) {
  auto recovery = std::make_unique<RecoveryOfFolder>(std::move(config), disk, random);
  if (auto done = recovery->open(); !done) return done.error();
  return std::unique_ptr<Recovery>(std::move(recovery));
}

}  // namespace holdfast::master
