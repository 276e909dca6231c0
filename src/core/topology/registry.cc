#include "core/topology/registry.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/codec.h"

namespace holdfast::topology {

namespace {

// 1 had no unsettled volumes, 2 no key-value space, 3 no epochs. What has never seen a key or an epoch is written without:
// a member of an earlier build, which none was written beside, can read it.
constexpr std::uint8_t kStateFormat = 4;
constexpr std::uint8_t kStateFormatWithoutEpochs = 3;
constexpr std::uint8_t kStateFormatWithoutKv = 2;
constexpr const char* kStateFile = "registry";

Error invalid(std::string what) { return Error(Code::invalid, std::move(what)); }

// FNV-1a over the whole state: it is small, and two members compare rarely.
std::uint64_t fnv(std::string_view bytes) {
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (const char c : bytes) h = (h ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ull;
  return h;
}

bool is_of_kv(const Request& request) {
  return !request.command.empty() && kv::is_kind(static_cast<std::uint8_t>(request.command.front()));
}

// In the form that the proposer of this request reads.
std::string refusal(const Request& request, const Error& error) {
  if (!is_of_kv(request)) return encode(Result<Answer>(error));
  kv::Answer answer;
  answer.outcome = kv::Outcome::invalid;
  answer.text = error.what();
  return kv::encode(answer);
}

}  // namespace

bool operator==(const RegistryState& a, const RegistryState& b) {
  return a.cluster_id == b.cluster_id && a.generation == b.generation && a.feature_level == b.feature_level &&
         a.next_key == b.next_key && a.key_floor == b.key_floor && a.max_volume_id == b.max_volume_id &&
         a.holders == b.holders && a.members == b.members && a.adopted_clusters == b.adopted_clusters &&
         *a.dirs == *b.dirs && *a.unsettled == *b.unsettled && *a.epochs == *b.epochs;
}

bool RegistryState::may_adopt(ClusterId cluster) const {
  if (cluster.value().empty() || cluster == cluster_id) return true;
  if (std::find(adopted_clusters.begin(), adopted_clusters.end(), cluster) != adopted_clusters.end()) return true;
  // A new cluster that has no volume of its own may be the successor of a lost one.
  return max_volume_id == VolumeId() && adopted_clusters.size() < kAdoptedClustersMax;
}

// ---- entries -------------------------------------------------------------------------------------------------------

Result<std::vector<std::string>> Registry::apply(Index index, Term term, BytesView entry) {
  CHECK(index > applied_);
  auto requests = decode_batch(entry);
  if (!requests) return requests.error().at("log entry " + text(index));

  // Everything is decoded before anything is applied: a member that must stop has applied nothing of the entry.
  std::vector<Result<Asked>> asked;
  asked.reserve(requests->size());
  for (const Request& request : *requests) {
    asked.push_back(decode_request(request));
    const auto understood = asked.back().ok() ? understands(*asked.back()) : Status(asked.back().error());
    if (!understood && understood.error().code() == Code::unsupported) {
      return understood.error().at("log entry " + text(index));
    }
  }

  applied_ = index;
  applied_term_ = term;
  std::vector<std::string> answers;
  answers.reserve(requests->size());
  for (std::size_t i = 0; i < requests->size(); ++i) {
    const Request& request = (*requests)[i];
    answers.push_back(asked[i].ok() ? apply_request(request, *asked[i]) : refusal(request, asked[i].error()));
  }
  return answers;
}

Result<Registry::Asked> Registry::decode_request(const Request& request) {
  const BytesView bytes = bytes_of(request.command);
  if (is_of_kv(request)) {
    auto command = kv::decode_command(bytes);
    return command ? Result<Asked>(std::move(*command)) : command.error();
  }
  auto command = decode_command(bytes);
  return command ? Result<Asked>(std::move(*command)) : command.error();
}

Status Registry::understands(const Asked& asked) const {
  const auto* command = std::get_if<Command>(&asked);
  const auto* raise = command == nullptr ? nullptr : std::get_if<RaiseFeatureLevel>(command);
  if (raise == nullptr || raise->level <= own_feature_level_) return {};
  return Error(Code::unsupported, "the cluster has gone on to feature level " + std::to_string(raise->level) +
                                      ", this build understands " + std::to_string(own_feature_level_) +
                                      ": start the newer one");
}

std::string Registry::apply_request(const Request& request, const Asked& asked) {
  Session& session = sessions_[request.id.session];
  session.last_used = applied_;
  session.answered_below = std::max(session.answered_below, request.answered_below);
  auto& answers = session.answers;
  answers.erase(answers.begin(), answers.lower_bound(session.answered_below));

  if (const auto known = answers.find(request.id.sequence); known != answers.end()) return known->second;
  if (request.id.sequence < std::max(session.answered_below, session.forgotten_below)) {
    return refusal(request, Error(Code::stale, "request " + std::to_string(request.id.sequence) +
                                                   " was answered long ago and is not done again"));
  }

  std::string answer;
  if (const auto* of_kv = std::get_if<kv::Command>(&asked)) {
    answer = kv::encode(kv_.apply(*of_kv));
  } else {
    answer = encode(std::visit([this](const auto& c) { return apply(c); }, std::get<Command>(asked)));
  }
  answers.emplace(request.id.sequence, answer);
  if (answers.size() > kAnswersPerSessionMax) {
    session.forgotten_below = answers.begin()->first + 1;
    answers.erase(answers.begin());
  }
  if (sessions_.size() > kSessionsMax) forget_oldest_session();
  return answer;
}

void Registry::forget_oldest_session() {
  auto oldest = sessions_.begin();
  for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
    if (it->second.last_used < oldest->second.last_used) oldest = it;
  }
  sessions_.erase(oldest);
}

// ---- commands ------------------------------------------------------------------------------------------------------

Result<Answer> Registry::apply(const InitCluster& command) {
  if (command.cluster_id.value().empty()) return invalid("a cluster needs an id");
  if (state_.cluster_id.value().empty()) state_.cluster_id = command.cluster_id;
  if (state_.cluster_id == command.cluster_id) return Answer{};
  return Error(Code::refused, "this is cluster " + text(state_.cluster_id) + ", not " + text(command.cluster_id));
}

void Registry::give_block(KeyHolder& holder, std::uint64_t count) {
  const NeedleId begin = state_.next_key;
  state_.next_key = begin + count;
  holder.block_size = count;
  holder.blocks.push_back({begin, state_.next_key, applied_});
  if (holder.blocks.size() > kBlocksPerHolderMax) holder.blocks.erase(holder.blocks.begin());
}

Result<Answer> Registry::apply(const ReserveKeys& command) {
  if (command.count == 0 || command.count > kKeyBlockMax) {
    return invalid("a block of " + std::to_string(command.count) + " keys: at most " + std::to_string(kKeyBlockMax));
  }
  if (state_.next_key.value() > kKeyMax - command.count) return Error(Code::no_space, "all file keys are used up");

  const auto known = state_.holders.find(command.node);
  if (known != state_.holders.end() && command.incarnation < known->second.incarnation) {
    return Error(Code::stale, "start " + text(command.incarnation) + " of master " + text(command.node) +
                                  " is over: start " + text(known->second.incarnation) + " was seen");
  }
  if (known == state_.holders.end() && state_.holders.size() >= kHoldersMax) {
    // The one whose newest block is the oldest. Forgetting a holder gives nobody its keys.
    auto oldest = state_.holders.begin();
    for (auto it = state_.holders.begin(); it != state_.holders.end(); ++it) {
      const auto newest = [](const KeyHolder& h) { return h.blocks.empty() ? NeedleId() : h.blocks.back().begin; };
      if (newest(it->second) < newest(oldest->second)) oldest = it;
    }
    state_.holders.erase(oldest);
  }

  KeyHolder& holder = state_.holders[command.node];
  if (holder.process != command.process) holder.blocks.clear();  // another process never goes on with them
  holder.incarnation = command.incarnation;
  holder.process = command.process;
  give_block(holder, command.count);
  return Answer{holder.blocks.back().begin.value(), command.count};
}

Result<Answer> Registry::apply(const AllocateVolumeIds& command) {
  if (command.count == 0 || command.count > kVolumeIdsPerCommandMax) {
    return invalid(std::to_string(command.count) + " volume ids: at most " + std::to_string(kVolumeIdsPerCommandMax));
  }
  if (state_.max_volume_id.value() > kVolumeIdMax - command.count) {
    return Error(Code::no_space, "all volume ids are used up");
  }
  const Answer answer{state_.max_volume_id.value() + 1ull, command.count};
  state_.max_volume_id = state_.max_volume_id + command.count;
  VolumeSet unsettled = *state_.unsettled;
  for (std::uint64_t i = 0; i < answer.count; ++i) {
    unsettled.insert(unsettled.end(), VolumeId(static_cast<std::uint32_t>(answer.first + i)));
  }
  while (unsettled.size() > kUnsettledMax) unsettled.erase(unsettled.begin());
  state_.unsettled = std::make_shared<const VolumeSet>(std::move(unsettled));
  return answer;
}

Result<Answer> Registry::apply(const SettleVolumes& command) {
  VolumeSet unsettled = *state_.unsettled;
  for (const VolumeId volume : command.volumes) unsettled.erase(volume);
  if (unsettled.size() != state_.unsettled->size()) {
    state_.unsettled = std::make_shared<const VolumeSet>(std::move(unsettled));
  }
  return Answer{};
}

Result<Answer> Registry::apply(const SetReplicaEpoch& command) {
  const auto known = state_.epoch(command.volume);
  if (command.epoch <= known) {
    return Error(Code::stale, "epoch " + std::to_string(command.epoch) + " of volume " + text(command.volume) +
                                  ": it has epoch " + std::to_string(known) + " already");
  }
  if (known == 0 && state_.epochs->size() >= kEpochsMax) {
    return Error(Code::no_space, "more than " + std::to_string(kEpochsMax) + " volumes with an epoch");
  }
  EpochMap epochs = *state_.epochs;
  epochs[command.volume] = command.epoch;
  state_.epochs = std::make_shared<const EpochMap>(std::move(epochs));
  return Answer{command.epoch, 0};
}

Result<Answer> Registry::apply(const RaiseVolumeIds& command) {
  if (command.seen.value() > kAdoptedVolumeIdMax) {
    return Error(Code::refused, "volume id " + text(command.seen) + " is taken for corrupt: ids of volumes that come "
                                "from elsewhere may be at most " + std::to_string(kAdoptedVolumeIdMax));
  }
  state_.max_volume_id = std::max(state_.max_volume_id, command.seen);
  return Answer{state_.max_volume_id.value(), 0};
}

void Registry::raise_floor(std::uint64_t floor) {
  state_.next_key = std::max(state_.next_key, NeedleId(floor));
  state_.key_floor = state_.next_key;
  for (auto& [node, holder] : state_.holders) {
    holder.blocks.clear();
    if (holder.block_size != 0 && state_.next_key.value() <= kKeyMax - holder.block_size) {
      give_block(holder, holder.block_size);
    }
  }
}

Result<Answer> Registry::apply(const RaiseKeys& command) {
  if (command.seen.value() > kAdoptedKeyMax) {
    return Error(Code::refused, "file key " + text(command.seen) + " is taken for corrupt: keys of files that come "
                                "from elsewhere may be at most " + std::to_string(kAdoptedKeyMax));
  }
  if (command.seen >= state_.next_key) raise_floor(command.seen.value() + kKeySkip);
  return Answer{state_.next_key.value(), 0};
}

Result<Answer> Registry::apply(const AdoptDirs& command) {
  if (command.dirs.size() > kDirsPerCommandMax) return invalid("too many folders at once");
  // An empty folder brings nothing of its old cluster along: neither keys nor volumes, nor a claim to its generation.
  const bool only_empty = !state_.may_adopt(command.cluster_id) && !command.has_volumes;
  if (!state_.may_adopt(command.cluster_id) && !only_empty) {
    return Error(Code::refused, "its folders belong to cluster " + text(command.cluster_id) + ", this is cluster " +
                                    text(state_.cluster_id));
  }
  DirSet dirs = *state_.dirs;
  dirs.insert(command.dirs.begin(), command.dirs.end());
  if (dirs.size() > kDirsMax) return Error(Code::no_space, "more than " + std::to_string(kDirsMax) + " folders");

  const bool foreign = !only_empty && !command.cluster_id.value().empty() && command.cluster_id != state_.cluster_id;
  const bool first_of_cluster =
      foreign && std::find(state_.adopted_clusters.begin(), state_.adopted_clusters.end(), command.cluster_id) ==
                     state_.adopted_clusters.end();
  // Masters were lost if the volume server has obeyed a generation that these masters never had, or another cluster.
  const bool masters_lost = !only_empty && (first_of_cluster || command.generation > state_.generation ||
                                            (foreign && command.generation == state_.generation));
  const bool has_all = std::includes(state_.dirs->begin(), state_.dirs->end(), dirs.begin(), dirs.end());
  if (!has_all) state_.dirs = std::make_shared<const DirSet>(std::move(dirs));
  if (first_of_cluster) state_.adopted_clusters.push_back(command.cluster_id);

  if (command.has_volumes || masters_lost) {
    if (command.max_volume_id.value() <= kAdoptedVolumeIdMax) {
      state_.max_volume_id = std::max(state_.max_volume_id, command.max_volume_id);
    }
    const std::uint64_t seen = command.max_key.value() <= kAdoptedKeyMax ? command.max_key.value() : 0;
    // Above the floor lie only keys of our own blocks, so a floor that is far enough past theirs may stay.
    if (masters_lost) {
      raise_floor(std::max(state_.next_key.value(), seen) + kKeySkip);
    } else if (!has_all && seen + kKeySkip > state_.key_floor.value()) {
      raise_floor(seen + kKeySkip);
    }
  }
  if (masters_lost) {
    state_.generation = std::max(state_.generation, command.generation).next();
    if (state_.max_volume_id.value() <= kAdoptedVolumeIdMax) state_.max_volume_id = state_.max_volume_id + kVolumeIdSkip;
  }
  return Answer{state_.generation.value(), 0};
}

Result<Answer> Registry::apply(const RaiseFeatureLevel& command) {
  state_.feature_level = std::max(state_.feature_level, command.level);
  return Answer{state_.feature_level, 0};
}

Result<Answer> Registry::apply(const AnnounceMember& command) {
  if (command.http.size() > kAddressBytesMax || command.grpc.size() > kAddressBytesMax ||
      command.public_url.size() > kAddressBytesMax) {
    return invalid("an address of a member is longer than " + std::to_string(kAddressBytesMax) + " bytes");
  }
  const auto known = state_.members.find(command.node);
  if (known != state_.members.end() && command.incarnation < known->second.incarnation) {
    return Error(Code::stale, "start " + text(command.incarnation) + " of master " + text(command.node) + " is over");
  }
  if (known == state_.members.end() && state_.members.size() >= kHoldersMax) {
    return Error(Code::no_space, "more than " + std::to_string(kHoldersMax) + " masters");
  }
  state_.members[command.node] = {command.incarnation, command.process,    command.http,
                                  command.grpc,        command.public_url, command.feature_level};
  return Answer{};
}

Result<Answer> Registry::apply(const ForgetMember& command) {
  state_.members.erase(command.node);
  state_.holders.erase(command.node);
  return Answer{};
}

Result<Answer> Registry::apply(const RaiseGeneration& command) {
  if (command.generation <= state_.generation) return Answer{state_.generation.value(), 0};
  state_.generation = command.generation;
  if (state_.next_key.value() <= kAdoptedKeyMax) raise_floor(state_.next_key.value() + kKeySkip);
  if (state_.max_volume_id.value() <= kAdoptedVolumeIdMax) state_.max_volume_id = state_.max_volume_id + kVolumeIdSkip;
  return Answer{state_.generation.value(), 0};
}

Status Registry::succeed(ClusterId successor) {
  if (state_.cluster_id.value().empty()) return Error(Code::refused, "nothing was ever agreed on in this cluster");
  if (state_.cluster_id == successor) return invalid("a cluster cannot succeed itself");
  const auto known = std::find(state_.adopted_clusters.begin(), state_.adopted_clusters.end(), state_.cluster_id);
  if (known == state_.adopted_clusters.end()) {
    if (state_.adopted_clusters.size() >= kAdoptedClustersMax) {
      return Error(Code::no_space, "the volumes of " + std::to_string(kAdoptedClustersMax) + " clusters were taken over");
    }
    state_.adopted_clusters.push_back(state_.cluster_id);
  }
  state_.cluster_id = successor;
  // Of those that are gone; who goes on is a member that never was before, and reserves keys of its own.
  state_.holders.clear();
  state_.members.clear();
  state_.generation = state_.generation.next();
  if (state_.next_key.value() <= kAdoptedKeyMax) raise_floor(state_.next_key.value() + kKeySkipOfSuccessor);
  if (state_.max_volume_id.value() <= kAdoptedVolumeIdMax) {
    state_.max_volume_id = state_.max_volume_id + kVolumeIdSkipOfSuccessor;
  }
  return {};
}

// ---- checkpoints ---------------------------------------------------------------------------------------------------

std::string Registry::encode_state() const {
  Writer out;
  const bool with_epochs = !state_.epochs->empty();
  out.u8(with_epochs             ? kStateFormat
         : kv_.is_untouched() ? kStateFormatWithoutKv
                              : kStateFormatWithoutEpochs);
  out.id(state_.cluster_id);
  out.id(state_.generation);
  out.u32(state_.feature_level);
  out.id(state_.next_key);
  out.id(state_.key_floor);
  out.id(state_.max_volume_id);
  out.u32(static_cast<std::uint32_t>(state_.holders.size()));
  for (const auto& [node, holder] : state_.holders) {
    out.id(node);
    out.id(holder.incarnation);
    out.uuid(holder.process);
    out.u64(holder.block_size);
    out.u32(static_cast<std::uint32_t>(holder.blocks.size()));
    for (const KeyBlock& block : holder.blocks) {
      out.id(block.begin);
      out.id(block.end);
      out.id(block.index);
    }
  }
  out.u32(static_cast<std::uint32_t>(state_.members.size()));
  for (const auto& [node, member] : state_.members) {
    out.id(node);
    out.id(member.incarnation);
    out.uuid(member.process);
    out.text(member.http);
    out.text(member.grpc);
    out.text(member.public_url);
    out.u32(member.feature_level);
  }
  out.u32(static_cast<std::uint32_t>(state_.adopted_clusters.size()));
  for (const ClusterId& cluster : state_.adopted_clusters) out.id(cluster);
  out.u32(static_cast<std::uint32_t>(state_.dirs->size()));
  for (const Uuid& dir : *state_.dirs) out.uuid(dir);
  out.u32(static_cast<std::uint32_t>(state_.unsettled->size()));
  for (const VolumeId volume : *state_.unsettled) out.id(volume);
  out.u32(static_cast<std::uint32_t>(sessions_.size()));
  for (const auto& [id, session] : sessions_) {
    out.uuid(id);
    out.u64(session.answered_below);
    out.u64(session.forgotten_below);
    out.id(session.last_used);
    out.u32(static_cast<std::uint32_t>(session.answers.size()));
    for (const auto& [sequence, answer] : session.answers) {
      out.u64(sequence);
      out.text(answer);
    }
  }
  if (with_epochs || !kv_.is_untouched()) kv_.encode(out);
  if (!with_epochs) return out.take();
  out.u32(static_cast<std::uint32_t>(state_.epochs->size()));
  for (const auto& [volume, epoch] : *state_.epochs) {
    out.id(volume);
    out.u64(epoch);
  }
  return out.take();
}

std::uint64_t Registry::digest() const { return fnv(encode_state()); }

Checkpoint Registry::checkpoint() const {
  std::string bytes = encode_state();
  append_be(bytes, crc32c(bytes_of(bytes)));
  return {applied_, applied_term_, {{kStateFile, std::move(bytes)}}};
}

Status Registry::restore(const Checkpoint& checkpoint) {
  if (checkpoint.files.size() != 1 || checkpoint.files[0].name != kStateFile) {
    return Error(Code::corrupt, "checkpoint of the registry: its one file is missing");
  }
  const std::string& bytes = checkpoint.files[0].bytes;
  if (bytes.size() < 5) return Error(Code::corrupt, "checkpoint of the registry: too short");
  const BytesView body = bytes_of(bytes).first(bytes.size() - 4);
  if (load_be<std::uint32_t>(bytes.data() + body.size()) != crc32c(body)) {
    return Error(Code::corrupt, "checkpoint of the registry: crc mismatch");
  }

  Reader in(body);
  const std::uint8_t format = in.u8();
  if (format > kStateFormat || format == 0) {
    return Error(Code::unsupported, "checkpoint of the registry: format " + std::to_string(format) +
                                        " was written by a newer build than this one");
  }
  RegistryState state;
  state.cluster_id = in.id<ClusterId>();
  state.generation = in.id<Generation>();
  state.feature_level = in.u32();
  state.next_key = in.id<NeedleId>();
  state.key_floor = in.id<NeedleId>();
  state.max_volume_id = in.id<VolumeId>();
  for (std::uint32_t n = in.count(16 + 8 + 16 + 8 + 4); n > 0; --n) {
    const auto node = in.id<NodeId>();
    KeyHolder& holder = state.holders[node];
    holder.incarnation = in.id<Incarnation>();
    holder.process = in.uuid();
    holder.block_size = in.u64();
    holder.blocks.resize(in.count(24));
    for (KeyBlock& block : holder.blocks) {
      block.begin = in.id<NeedleId>();
      block.end = in.id<NeedleId>();
      block.index = in.id<Index>();
    }
  }
  for (std::uint32_t n = in.count(16 + 8 + 16 + 12 + 4); n > 0; --n) {
    const auto node = in.id<NodeId>();
    MemberRecord& member = state.members[node];
    member.incarnation = in.id<Incarnation>();
    member.process = in.uuid();
    member.http = in.text();
    member.grpc = in.text();
    member.public_url = in.text();
    member.feature_level = in.u32();
  }
  state.adopted_clusters.resize(in.count(16));
  for (ClusterId& cluster : state.adopted_clusters) cluster = in.id<ClusterId>();
  DirSet dirs;
  for (std::uint32_t n = in.count(16); n > 0; --n) dirs.insert(dirs.end(), in.uuid());
  state.dirs = std::make_shared<const DirSet>(std::move(dirs));
  if (format >= 2) {
    VolumeSet unsettled;
    for (std::uint32_t n = in.count(4); n > 0; --n) unsettled.insert(unsettled.end(), in.id<VolumeId>());
    state.unsettled = std::make_shared<const VolumeSet>(std::move(unsettled));
  }
  std::map<Uuid, Session> sessions;
  for (std::uint32_t n = in.count(16 + 24 + 4); n > 0; --n) {
    Session& session = sessions[in.uuid()];
    session.answered_below = in.u64();
    session.forgotten_below = in.u64();
    session.last_used = in.id<Index>();
    for (std::uint32_t m = in.count(12); m > 0; --m) {
      const std::uint64_t sequence = in.u64();
      session.answers[sequence] = in.text();
    }
  }
  kv::Space space = format > kStateFormatWithoutKv ? kv::Space::decode(in) : kv::Space();
  if (format > kStateFormatWithoutEpochs) {
    EpochMap epochs;
    for (std::uint32_t n = in.count(4 + 8); n > 0; --n) {
      const auto volume = in.id<VolumeId>();
      epochs[volume] = in.u64();
    }
    state.epochs = std::make_shared<const EpochMap>(std::move(epochs));
  }
  if (!in.at_end()) return Error(Code::corrupt, "checkpoint of the registry: does not parse");
  if (state.feature_level > own_feature_level_) {
    return Error(Code::unsupported, "the cluster is at feature level " + std::to_string(state.feature_level) +
                                        ", this build understands " + std::to_string(own_feature_level_) +
                                        ": start the newer one");
  }
  state_ = std::move(state);
  kv_ = std::move(space);
  sessions_ = std::move(sessions);
  applied_ = checkpoint.applied;
  applied_term_ = checkpoint.term;
  return {};
}

std::optional<std::vector<std::string>> keys_changed_by(BytesView entry) {
  const auto requests = decode_batch(entry);
  if (!requests) return std::nullopt;
  std::vector<std::string> keys;
  for (const Request& request : *requests) {
    if (!is_of_kv(request)) {
      // A kind that this build does not know may change anything.
      if (!decode_command(bytes_of(request.command))) return std::nullopt;
      continue;
    }
    auto command = kv::decode_command(bytes_of(request.command));
    if (!command) return std::nullopt;
    if (auto* expire = std::get_if<kv::Expire>(&*command)) {
      for (auto& one : expire->lives) keys.push_back(std::move(one.key));
    } else {
      std::visit(
          [&](auto& one) {
            if constexpr (requires { one.key; }) keys.push_back(std::move(one.key));
          },
          *command);
    }
  }
  return keys;
}

}  // namespace holdfast::topology
