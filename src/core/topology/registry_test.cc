#include "core/topology/registry.h"

#include <gtest/gtest.h>

#include <random>

#include "base/crc32c.h"

namespace holdfast::topology {
namespace {

const NodeId kA(Uuid{1, 1}), kB(Uuid{1, 2}), kC(Uuid{1, 3});
const ClusterId kOurs(Uuid{7, 7}), kTheirs(Uuid{8, 8}), kOthers(Uuid{9, 9});

// A log of one registry: each command in an entry of its own, each with a new request id unless told otherwise.
class Log {
 public:
  Result<Answer> apply(const Command& command) { return apply(command, {Uuid{5, 5}, ++sequence_}); }
  Result<Answer> apply(const Command& command, RequestId id, std::uint64_t answered_below = 0) {
    auto answers = registry.apply(next_, Term(1), bytes_of(encode_batch({{id, answered_below, encode(command)}})));
    next_ = next_.next();
    EXPECT_TRUE(answers.ok());
    EXPECT_EQ(answers->size(), 1u);
    return decode_answer(answers->front());
  }
  const RegistryState& state() const { return registry.state(); }

  Registry registry;

 private:
  Index next_ = Index(1);
  std::uint64_t sequence_ = 0;
};

ReserveKeys reserve(NodeId node, std::uint64_t incarnation, std::uint64_t count) {
  return {node, Incarnation(incarnation), Uuid{node.value().low, incarnation}, count};
}
AdoptDirs adopt(ClusterId cluster, std::uint64_t dir, std::uint64_t max_key, std::uint32_t max_volume,
                std::uint64_t generation = 0) {
  return {cluster, Generation(generation), max_volume != 0, NeedleId(max_key), VolumeId(max_volume), {Uuid{3, dir}}};
}

TEST(Registry, BlocksFollowEachOtherAndBelongToOneProcess) {
  Log log;
  EXPECT_EQ(log.apply(reserve(kA, 1, 100))->first, 1u);
  EXPECT_EQ(log.apply(reserve(kB, 1, 50))->first, 101u);
  EXPECT_EQ(log.apply(reserve(kA, 1, 100))->first, 151u);
  EXPECT_EQ(log.state().next_key, NeedleId(251));
  ASSERT_EQ(log.state().holders.at(kA).blocks.size(), 2u);
  EXPECT_EQ(log.state().holders.at(kA).blocks[1], (KeyBlock{NeedleId(151), NeedleId(251), Index(3)}));
}

TEST(Registry, ARestartedMasterDoesNotFindItsOldBlocks) {
  Log log;
  ASSERT_TRUE(log.apply(reserve(kA, 1, 100)).ok());
  ASSERT_TRUE(log.apply(reserve(kA, 2, 100)).ok());
  ASSERT_EQ(log.state().holders.at(kA).blocks.size(), 1u);
  EXPECT_EQ(log.state().holders.at(kA).blocks[0].begin, NeedleId(101));
}

TEST(Registry, AnEarlierIncarnationIsRefusedAndTakesNoKeys) {
  Log log;
  ASSERT_TRUE(log.apply(reserve(kA, 2, 100)).ok());
  const auto late = log.apply(reserve(kA, 1, 100));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code(), Code::stale);
  EXPECT_EQ(log.state().next_key, NeedleId(101));
}

TEST(Registry, ARequestAppliedTwiceChangesNothingAndGetsItsFirstAnswer) {
  Log log;
  const RequestId id{Uuid{6, 6}, 1};
  EXPECT_EQ(log.apply(AllocateVolumeIds{3}, id)->first, 1u);
  EXPECT_EQ(log.apply(AllocateVolumeIds{3}, id)->first, 1u);
  EXPECT_EQ(log.state().max_volume_id, VolumeId(3));
  EXPECT_EQ(log.apply(AllocateVolumeIds{1}, {Uuid{6, 6}, 2})->first, 4u);
}

TEST(Registry, ARequestWhoseAnswerWasForgottenIsRefusedRatherThanDoneAgain) {
  Log log;
  const Uuid session{6, 6};
  ASSERT_TRUE(log.apply(AllocateVolumeIds{1}, {session, 1}).ok());
  ASSERT_TRUE(log.apply(AllocateVolumeIds{1}, {session, 2}, 2).ok());
  EXPECT_EQ(log.apply(AllocateVolumeIds{1}, {session, 1}).error().code(), Code::stale);
  for (std::uint64_t i = 3; i < 3 + kAnswersPerSessionMax; ++i) {
    ASSERT_TRUE(log.apply(AllocateVolumeIds{1}, {session, i}).ok());
  }
  EXPECT_EQ(log.apply(AllocateVolumeIds{1}, {session, 2}).error().code(), Code::stale);
  EXPECT_EQ(log.state().max_volume_id.value(), 2 + kAnswersPerSessionMax);
}

TEST(Registry, IdsOfAGrowthAreUnsettledUntilItsEndIsKnown) {
  Log log;
  ASSERT_TRUE(log.apply(AllocateVolumeIds{3}).ok());
  EXPECT_EQ(*log.state().unsettled, (VolumeSet{VolumeId(1), VolumeId(2), VolumeId(3)}));
  ASSERT_TRUE(log.apply(SettleVolumes{{VolumeId(3), VolumeId(1), VolumeId(77)}}).ok());
  EXPECT_EQ(*log.state().unsettled, VolumeSet{VolumeId(2)});
  ASSERT_TRUE(log.apply(RaiseVolumeIds{VolumeId(500)}).ok());  // a volume from elsewhere is no growth of ours
  EXPECT_EQ(*log.state().unsettled, VolumeSet{VolumeId(2)});
  // The bound: old ones go.
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(log.apply(AllocateVolumeIds{kVolumeIdsPerCommandMax}).ok());
  EXPECT_EQ(log.state().unsettled->size(), kUnsettledMax);
  EXPECT_FALSE(log.state().unsettled->contains(VolumeId(2)));
}

TEST(Registry, ACheckpointOfTheFirstFormatIsRead) {
  Log log;
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  ASSERT_TRUE(log.apply(adopt({}, 1, 5'000'000, 9)).ok());
  Checkpoint old = log.registry.checkpoint();
  std::string& bytes = old.files[0].bytes;
  bytes.resize(bytes.size() - 4);
  ASSERT_EQ(bytes[0], 2);
  bytes[0] = 1;
  // Before it: the head of 49 bytes, no holders, no members, no adopted clusters, one folder.
  const std::size_t at = 49 + 4 + 4 + 4 + 4 + 16;
  ASSERT_EQ(bytes.substr(at, 4), std::string(4, '\0'));
  bytes.erase(at, 4);
  append_be(bytes, crc32c(bytes_of(bytes)));
  Registry read;
  ASSERT_TRUE(read.restore(old).ok());
  EXPECT_EQ(read.state(), log.state());
}

// docs/registry-format.md
TEST(Registry, TheWorkedExampleOfTheDocumentIsExact) {
  const RequestId id{Uuid{0x1122334455667788, 0x99aabbccddeeff00}, 7};
  const auto batch = encode_batch({{id, 5, encode(Command(AllocateVolumeIds{7}))}});
  EXPECT_EQ(hex(bytes_of(batch)),
            "01" "00000001" "112233445566778899aabbccddeeff00" "0000000000000007" "0000000000000005" "00000006" "03" "01" "00000007");
  Registry registry;
  const auto answers = registry.apply(Index(1), Term(1), bytes_of(batch));
  ASSERT_TRUE(answers.ok());
  EXPECT_EQ(hex(bytes_of(answers->front())), "00" "0000000000000001" "0000000000000007");
  EXPECT_EQ(hex(bytes_of(registry.checkpoint().files[0].bytes)),
            "02" "00000000000000000000000000000000" "0000000000000001" "00000000"
            "0000000000000001" "0000000000000001" "00000007" "00000000" "00000000" "00000000" "00000000"
            "00000007" "00000001" "00000002" "00000003" "00000004" "00000005" "00000006" "00000007"
            "00000001" "112233445566778899aabbccddeeff00" "0000000000000005" "0000000000000000" "0000000000000001"
            "00000001" "0000000000000007" "00000011" "00" "0000000000000001" "0000000000000007" "422c5c1a");
}

TEST(Registry, AnEmptyFolderIsAdoptedWithoutSkippingKeys) {
  Log log;
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  ASSERT_TRUE(log.apply(reserve(kA, 1, 100)).ok());
  ASSERT_TRUE(log.apply(adopt({}, 1, 0, 0)).ok());
  EXPECT_TRUE(log.state().has_dir(Uuid{3, 1}));
  EXPECT_EQ(log.state().next_key, NeedleId(101));
  EXPECT_EQ(log.state().key_floor, NeedleId(1));
}

// No build proposes it (docs/registry-format.md); who meets one in a log must do as all others.
TEST(Registry, AHigherGenerationSkipsKeysAndVolumeIdsAndALowerOneDoesNothing) {
  Log log;
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  ASSERT_TRUE(log.apply(reserve(kA, 1, 100)).ok());
  ASSERT_TRUE(log.apply(AllocateVolumeIds{7}).ok());
  const RegistryState before = log.state();
  ASSERT_TRUE(log.apply(RaiseGeneration{before.generation}).ok());
  EXPECT_EQ(log.state(), before);
  const auto raised = log.apply(RaiseGeneration{Generation(5)});
  ASSERT_TRUE(raised.ok());
  EXPECT_EQ(raised->first, 5u);
  EXPECT_EQ(log.state().generation, Generation(5));
  EXPECT_EQ(log.state().key_floor.value(), before.next_key.value() + (1ull << 32));
  EXPECT_EQ(log.state().max_volume_id.value(), before.max_volume_id.value() + 128);
  // Keys of before the loss may be on a disk that nobody sees: those blocks are taken back, for new ones above the floor.
  const auto& blocks = log.state().holders.at(kA).blocks;
  ASSERT_EQ(blocks.size(), 1u);
  EXPECT_GE(blocks.front().begin, log.state().key_floor);
}

TEST(Registry, FoldersWithFilesRaiseTheFloorAndReplaceEveryBlockBelowIt) {
  Log log;
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  ASSERT_TRUE(log.apply(reserve(kA, 1, 100)).ok());
  ASSERT_TRUE(log.apply(reserve(kB, 1, 50)).ok());
  ASSERT_TRUE(log.apply(adopt({}, 1, 5'000'000, 9)).ok());
  const std::uint64_t floor = 5'000'000 + kKeySkip;
  EXPECT_EQ(log.state().key_floor, NeedleId(floor));
  EXPECT_EQ(log.state().holders.at(kA).blocks.front().begin, NeedleId(floor));
  EXPECT_EQ(log.state().holders.at(kB).blocks.front().begin, NeedleId(floor + 100));
  EXPECT_EQ(log.state().next_key, NeedleId(floor + 150));
  EXPECT_EQ(log.state().max_volume_id, VolumeId(9));
  EXPECT_EQ(log.state().generation, Generation(1));

  // A folder that an old cluster wrote keys below ours is as dangerous as one with keys above the counter.
  ASSERT_TRUE(log.apply(adopt({}, 2, floor + 20, 3)).ok());
  EXPECT_EQ(log.state().key_floor, NeedleId(floor + 20 + kKeySkip));
  // One far below the floor is not.
  const NeedleId next = log.state().next_key;
  ASSERT_TRUE(log.apply(adopt({}, 3, 77, 3)).ok());
  EXPECT_EQ(log.state().next_key, next);
}

TEST(Registry, ACorruptKeyDoesNotUseUpTheSpace) {
  Log log;
  ASSERT_TRUE(log.apply(adopt({}, 1, ~0ull, 9)).ok());
  EXPECT_EQ(log.state().next_key, NeedleId(1 + kKeySkip - 1));
  EXPECT_EQ(log.apply(RaiseKeys{NeedleId(~0ull)}).error().code(), Code::refused);
  EXPECT_EQ(log.apply(RaiseVolumeIds{VolumeId(0xffffffff)}).error().code(), Code::refused);
  ASSERT_TRUE(log.apply(RaiseKeys{NeedleId(kAdoptedKeyMax)}).ok());
  EXPECT_TRUE(log.apply(reserve(kA, 1, kKeyBlockMax)).ok());
}

TEST(Registry, NewMastersTakeOverTheVolumesOfALostClusterUnderANewGeneration) {
  Log log;
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  EXPECT_EQ(log.apply(adopt(kTheirs, 1, 1000, 9, 4))->first, 5u);
  EXPECT_EQ(log.state().max_volume_id, VolumeId(9 + kVolumeIdSkip));
  EXPECT_GE(log.state().key_floor.value(), 1000 + kKeySkip);
  // The second server of the same lost cluster comes under the same generation.
  EXPECT_EQ(log.apply(adopt(kTheirs, 2, 900, 8, 4))->first, 5u);
  // A cluster with volumes of its own takes over nobody else's.
  EXPECT_EQ(log.apply(adopt(kOthers, 3, 1, 1, 1)).error().code(), Code::refused);
  EXPECT_FALSE(log.state().has_dir(Uuid{3, 3}));
}

TEST(Registry, AnEmptyFolderOfAnotherClusterIsTakenAndBringsNothingAlong) {
  Log log;
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  ASSERT_TRUE(log.apply(AllocateVolumeIds{3}).ok());
  const auto before = log.state();
  ASSERT_TRUE(log.apply(adopt(kTheirs, 1, 0, 0, 9)).ok());
  EXPECT_TRUE(log.state().has_dir(Uuid{3, 1}));
  EXPECT_EQ(log.state().generation, before.generation);
  EXPECT_EQ(log.state().next_key, before.next_key);
  EXPECT_EQ(log.state().max_volume_id, before.max_volume_id);
  EXPECT_TRUE(log.state().adopted_clusters.empty());
  EXPECT_EQ(log.apply(adopt(kTheirs, 2, 7, 1, 9)).error().code(), Code::refused);  // with files as ever
}

TEST(Registry, AVolumeServerThatObeyedALaterGenerationShowsThatStateWasLost) {
  Log log;
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  ASSERT_TRUE(log.apply(reserve(kA, 1, 100)).ok());
  ASSERT_TRUE(log.apply(adopt(kOurs, 1, 0, 0, 1)).ok());
  EXPECT_EQ(log.state().generation, Generation(1));
  EXPECT_EQ(log.apply(adopt(kOurs, 1, 50, 2, 3))->first, 4u);
  EXPECT_GE(log.state().key_floor.value(), 101 + kKeySkip);
}

TEST(Registry, ASuccessorOfALostMajorityTakesOverItsVolumesAndGivesNothingTwice) {
  Log log;
  EXPECT_EQ(log.registry.succeed(kTheirs).error().code(), Code::refused);  // there is nothing to succeed yet
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  ASSERT_TRUE(log.apply(reserve(kA, 1, 100)).ok());
  ASSERT_TRUE(log.apply(AllocateVolumeIds{7}).ok());
  ASSERT_TRUE(log.apply(adopt(kOurs, 1, 50, 3, 1)).ok());
  ASSERT_TRUE(log.apply(AnnounceMember{kA, Incarnation(1), Uuid{1, 1}, "a:1", "a:2", "a:1", 1}).ok());
  const RegistryState before = log.state();

  EXPECT_EQ(log.registry.succeed(kOurs).error().code(), Code::invalid);
  EXPECT_EQ(log.state(), before);
  ASSERT_TRUE(log.registry.succeed(kTheirs).ok());
  const auto& after = log.state();
  EXPECT_EQ(after.cluster_id, kTheirs);
  EXPECT_EQ(after.generation, before.generation.next());
  EXPECT_EQ(after.next_key.value(), before.next_key.value() + kKeySkipOfSuccessor);
  EXPECT_EQ(after.key_floor, after.next_key);
  EXPECT_EQ(after.max_volume_id.value(), before.max_volume_id.value() + kVolumeIdSkipOfSuccessor);
  EXPECT_TRUE(after.holders.empty());
  EXPECT_TRUE(after.members.empty());
  EXPECT_EQ(*after.dirs, *before.dirs);
  EXPECT_EQ(*after.unsettled, *before.unsettled);
  EXPECT_TRUE(after.may_adopt(kOurs));
  EXPECT_FALSE(after.may_adopt(kOthers));

  // It goes on as any state does: through a checkpoint, and with the first entries of the new leader.
  Registry again;
  ASSERT_TRUE(again.restore(log.registry.checkpoint()).ok());
  EXPECT_EQ(again.state(), after);
  EXPECT_TRUE(log.apply(InitCluster{kTheirs}).ok());
  EXPECT_FALSE(log.apply(InitCluster{kOurs}).ok());
  EXPECT_GE(log.apply(reserve(kB, 1, 10))->first, before.next_key.value() + kKeySkipOfSuccessor);
}

TEST(Registry, AnotherClusterIdIsRefusedForEver) {
  Log log;
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  EXPECT_TRUE(log.apply(InitCluster{kOurs}).ok());
  EXPECT_EQ(log.apply(InitCluster{kTheirs}).error().code(), Code::refused);
  EXPECT_EQ(log.state().cluster_id, kOurs);
}

TEST(Registry, AnEntryOfANewerBuildStopsTheMemberAndChangesNothing) {
  Registry registry(1);
  const auto before = registry.digest();
  std::string unknown = encode(AllocateVolumeIds{1});
  unknown[0] = 99;
  const auto batch = encode_batch({{{Uuid{1, 1}, 1}, 0, encode(AllocateVolumeIds{1})}, {{Uuid{1, 1}, 2}, 0, unknown}});
  EXPECT_EQ(registry.apply(Index(1), Term(1), bytes_of(batch)).error().code(), Code::unsupported);
  const auto raise = encode_batch({{{Uuid{1, 1}, 1}, 0, encode(RaiseFeatureLevel{2})}});
  EXPECT_EQ(registry.apply(Index(1), Term(1), bytes_of(raise)).error().code(), Code::unsupported);
  EXPECT_EQ(registry.digest(), before);
  EXPECT_EQ(registry.applied(), Index(0));
}

TEST(Registry, ACommandThatDoesNotParseIsAnsweredAndTheRestGoesOn) {
  Registry registry;
  std::string broken = encode(AllocateVolumeIds{1});
  broken.pop_back();
  const auto batch = encode_batch({{{Uuid{1, 1}, 1}, 0, broken}, {{Uuid{1, 1}, 2}, 0, encode(AllocateVolumeIds{1})}});
  const auto answers = registry.apply(Index(1), Term(1), bytes_of(batch));
  ASSERT_TRUE(answers.ok());
  EXPECT_EQ(decode_answer((*answers)[0]).error().code(), Code::invalid);
  EXPECT_EQ(decode_answer((*answers)[1])->first, 1u);
}

// ---- the key-value space -------------------------------------------------------------------------------------------

std::string one_request(RequestId id, const std::string& command) { return encode_batch({{id, 0, command}}); }

kv::Answer apply_kv(Registry& registry, std::uint64_t index, RequestId id, const kv::Command& command) {
  const auto answers = registry.apply(Index(index), Term(1), bytes_of(one_request(id, kv::encode(command))));
  EXPECT_TRUE(answers.ok());
  const auto answer = kv::decode_answer(answers->front());
  EXPECT_TRUE(answer.ok());
  return *answer;
}

TEST(Registry, KeysAndValuesAreAPartOfItsStateAndOfItsCheckpoint) {
  Registry a(kv::kFeatureLevel);
  const auto before = a.digest();
  EXPECT_EQ(apply_kv(a, 1, {Uuid{1, 1}, 1}, kv::Put{"k", "v", {}, {}, "id"}).revision, kv::Revision(1));
  EXPECT_NE(a.digest(), before);
  Registry b(kv::kFeatureLevel);
  ASSERT_TRUE(b.restore(a.checkpoint()).ok());
  EXPECT_EQ(b.digest(), a.digest());
  EXPECT_EQ(*b.kv().find("k")->value, "v");
  // The client's id and the proposer's: each makes a second try count once.
  EXPECT_EQ(apply_kv(b, 2, {Uuid{1, 2}, 1}, kv::Put{"k", "v", {}, {}, "id"}).revision, kv::Revision(1));
  EXPECT_EQ(apply_kv(b, 3, {Uuid{1, 1}, 1}, kv::Put{"k", "v", {}, {}, {}}).revision, kv::Revision(1));
  EXPECT_EQ(b.kv().revision(), kv::Revision(1));
}

TEST(Registry, WithoutAnyKeyItsCheckpointIsTheOneOfTheLevelBefore) {
  Registry registry(kv::kFeatureLevel);
  EXPECT_EQ(registry.checkpoint().files[0].bytes[0], 2);
  (void)apply_kv(registry, 1, {Uuid{1, 1}, 1}, kv::Delete{"none", {}, {}});
  EXPECT_EQ(registry.checkpoint().files[0].bytes[0], 2);
  (void)apply_kv(registry, 2, {Uuid{1, 1}, 2}, kv::Put{"k", "v", {}, {}, {}});
  EXPECT_EQ(registry.checkpoint().files[0].bytes[0], 3);
}

TEST(Registry, AnEpochOnlyRisesAndIsKeptInItsCheckpoint) {
  Log log;
  EXPECT_EQ(log.registry.checkpoint().files[0].bytes[0], 2);
  EXPECT_EQ(log.state().epoch(VolumeId(7)), 0u);
  EXPECT_EQ(log.apply(SetReplicaEpoch{VolumeId(7), 2})->first, 2u);
  EXPECT_EQ(log.apply(SetReplicaEpoch{VolumeId(7), 2}).error().code(), Code::stale);
  EXPECT_EQ(log.apply(SetReplicaEpoch{VolumeId(7), 1}).error().code(), Code::stale);
  EXPECT_EQ(log.apply(SetReplicaEpoch{VolumeId(9), 0}).error().code(), Code::stale);
  EXPECT_EQ(log.apply(SetReplicaEpoch{VolumeId(7), 3})->first, 3u);
  EXPECT_EQ(log.state().epoch(VolumeId(7)), 3u);
  EXPECT_EQ(log.registry.checkpoint().files[0].bytes[0], 4);
  Registry copy;
  ASSERT_TRUE(copy.restore(log.registry.checkpoint()).ok());
  EXPECT_EQ(copy.state(), log.state());
  EXPECT_EQ(copy.digest(), log.registry.digest());
  // It survives those who are gone: their copies are not newer because of that.
  ASSERT_TRUE(log.apply(InitCluster{kOurs}).ok());
  ASSERT_TRUE(log.registry.succeed(kTheirs).ok());
  EXPECT_EQ(log.state().epoch(VolumeId(7)), 3u);
}

TEST(Registry, ACommandOfTheSpaceThatIsNewerThanThisBuildStopsItInWords) {
  Registry registry(kv::kFeatureLevel);
  const auto answers =
      registry.apply(Index(1), Term(1), bytes_of(one_request({Uuid{1, 1}, 1}, std::string("\x50\x01", 2))));
  ASSERT_FALSE(answers.ok());
  EXPECT_EQ(answers.error().code(), Code::unsupported);
  EXPECT_NE(answers.error().what().find("newer build"), std::string::npos);
}

TEST(Registry, ACommandOfTheSpaceThatDoesNotParseIsAnsweredAsOne) {
  Registry registry(kv::kFeatureLevel);
  const auto answers =
      registry.apply(Index(1), Term(1), bytes_of(one_request({Uuid{1, 1}, 1}, std::string("\x40\x01", 2))));
  ASSERT_TRUE(answers.ok());
  EXPECT_EQ(kv::decode_answer(answers->front())->outcome, kv::Outcome::invalid);
}

TEST(Registry, AFullBatchIsOneEntryOfTheLog) {
  const Request largest{{Uuid{1, 1}, 1}, 0, std::string(kCommandBytesMax, 'c')};
  const auto batch = encode_batch({largest});
  EXPECT_EQ(batch.size(), kEntryBytesMax);
  const auto read = decode_batch(bytes_of(batch));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->front().command, largest.command);
}

TEST(Registry, EveryCutAndEveryFlippedBitOfABatchIsAnsweredInWords) {
  std::string batch = encode_batch({{{Uuid{1, 1}, 1}, 0, encode(adopt(kTheirs, 1, 2, 3, 4))},
                                    {{Uuid{1, 1}, 2}, 0, encode(AnnounceMember{kA, Incarnation(1), {}, "a:1", "a:2"})}});
  for (std::size_t length = 0; length < batch.size(); ++length) {
    EXPECT_FALSE(decode_batch(bytes_of(batch).first(length)).ok());
  }
  for (std::size_t bit = 0; bit < batch.size() * 8; ++bit) {
    std::string flipped = batch;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    Registry registry;
    (void)registry.apply(Index(1), Term(1), bytes_of(flipped));
  }
}

// A random walk over all commands on two members, one of which is replaced from a checkpoint now and then.
TEST(Registry, MembersAgreeAfterRandomEntriesAndCheckpoints) {
  for (int seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    Registry a;
    auto b = std::make_unique<Registry>();
    std::uint64_t sequence = 0;
    for (std::uint64_t index = 1; index < 300; ++index) {
      std::vector<Request> requests;
      for (std::uint64_t n = random() % 4; n > 0; --n) {
        const NodeId node(Uuid{1, random() % 3});
        const std::uint64_t i = random() % 5;
        Command command = AllocateVolumeIds{static_cast<std::uint32_t>(random() % 3)};
        switch (random() % 10) {
          case 0: command = InitCluster{random() % 8 == 0 ? kTheirs : kOurs}; break;
          case 1:
          case 2: command = ReserveKeys{node, Incarnation(i), Uuid{node.value().low, i}, random() % 100}; break;
          case 3: command = RaiseVolumeIds{VolumeId(static_cast<std::uint32_t>(random() % 100))}; break;
          case 4: command = RaiseKeys{NeedleId(random() >> (random() % 64))}; break;
          case 5: command = adopt(random() % 2 ? kTheirs : kOurs, random() % 9, random() >> (random() % 64),
                                  static_cast<std::uint32_t>(random() % 9), random() % 4); break;
          case 6: command = AnnounceMember{node, Incarnation(i), {}, "h", "g", "p", 1}; break;
          case 7: command = random() % 2 ? Command(ForgetMember{node}) : Command(RaiseFeatureLevel{1}); break;
          case 8: command = SettleVolumes{{VolumeId(static_cast<std::uint32_t>(1 + random() % 100))}}; break;
          case 9: command = SetReplicaEpoch{VolumeId(static_cast<std::uint32_t>(random() % 9)), random() % 9}; break;
          default: break;
        }
        std::string bytes = encode(command);
        if (random() % 4 == 0) {
          const std::string key(1, static_cast<char>('a' + random() % 3));
          bytes = kv::encode(random() % 3 == 0 ? kv::Command(kv::Delete{key, {}, {}})
                                               : kv::Command(kv::Put{key, "v", random() % 2 * 1s, {}, {}}));
        }
        const std::uint64_t id = random() % 10 == 0 && sequence > 0 ? 1 + random() % sequence : ++sequence;
        requests.push_back({{Uuid{2, random() % 3}, id}, sequence > 20 ? sequence - 20 : 0, bytes});
      }
      const auto entry = encode_batch(requests);
      const auto answers_a = a.apply(Index(index), Term(1), bytes_of(entry));
      const auto answers_b = b->apply(Index(index), Term(1), bytes_of(entry));
      ASSERT_TRUE(answers_a.ok() && answers_b.ok());
      ASSERT_EQ(*answers_a, *answers_b);
      ASSERT_EQ(a.digest(), b->digest()) << "seed " << seed;
      if (random() % 20 == 0) {
        b = std::make_unique<Registry>();
        ASSERT_TRUE(b->restore(a.checkpoint()).ok());
        ASSERT_EQ(a.state(), b->state());
        ASSERT_EQ(a.applied(), b->applied());
      }
    }
  }
}

TEST(Registry, ADamagedCheckpointIsRefusedAndLeavesTheStateAsItWas) {
  Log log;
  ASSERT_TRUE(log.apply(adopt(kTheirs, 1, 2, 3, 4)).ok());
  (void)apply_kv(log.registry, 2, {Uuid{1, 1}, 1}, kv::Put{"k", "v", 5s, {}, "id"});
  const Checkpoint good = log.registry.checkpoint();
  const auto before = log.registry.digest();
  for (std::size_t i = 0; i < good.files[0].bytes.size(); ++i) {
    Checkpoint bad = good;
    bad.files[0].bytes[i] = static_cast<char>(bad.files[0].bytes[i] ^ 0x10);
    EXPECT_FALSE(log.registry.restore(bad).ok());
    bad.files[0].bytes.resize(i);
    EXPECT_FALSE(log.registry.restore(bad).ok());
  }
  EXPECT_EQ(log.registry.digest(), before);
  EXPECT_TRUE(log.registry.restore(good).ok());
}

TEST(Registry, NamesTheKeysThatAnEntryMayChange) {
  const auto entry = [](const std::vector<std::string>& commands) {
    std::vector<Request> requests;
    for (const auto& command : commands) requests.push_back({{Uuid{1, 1}, requests.size() + 1}, 0, command});
    return encode_batch(requests);
  };
  const auto changed = [&](const std::vector<std::string>& commands) {
    return keys_changed_by(bytes_of(entry(commands)));
  };
  using Keys = std::vector<std::string>;
  EXPECT_EQ(changed({encode(AllocateVolumeIds{1}), encode(RaiseFeatureLevel{2})}), Keys());
  EXPECT_EQ(changed({kv::encode(kv::Put{.key = "a", .value = "1"}), encode(AllocateVolumeIds{1}),
                     kv::encode(kv::Delete{.key = "b"}), kv::encode(kv::Renew{.key = "c"}),
                     kv::encode(kv::Expire{.lives = {{"d", kv::Life(1)}, {"e", kv::Life(2)}}})}),
            (Keys{"a", "b", "c", "d", "e"}));
  const std::string unknown(1, static_cast<char>(63));
  EXPECT_EQ(changed({unknown}), std::nullopt) << "of a newer build: it may change anything";
  EXPECT_EQ(keys_changed_by(bytes_of(std::string("no batch"))), std::nullopt);
}

}  // namespace
}  // namespace holdfast::topology
