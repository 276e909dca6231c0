// StateMachine: what the masters' log drives. The loop around the Raft core (service/master/raft_host.h) owns one and
// knows nothing of what it means; today it is the Registry (registry.h), the file tree will be another.
//
// An entry of the log is a *batch* of requests. Whether a request succeeds is decided when it is applied, on every
// member alike, and the answer goes back to whoever proposed it. So an implementation is deterministic: it reads no
// clock, no random source and nothing but the entries and checkpoints given to it. A request carries an id
// (session, sequence): applied a second time (its proposer did not learn the outcome and asked again) it changes
// nothing and gets the first answer again.
//
// How the host uses it:
//
//     leader:  collect proposals -> encode_batch(requests) -> raft.propose(bytes)
//     all:     for each committed entry, in order, once: answers = apply(index, term, bytes)
//              the proposer, if it still knows the entry as its own (same index and term), hands out answers[i]
//     now and then: checkpoint() -> written as a snapshot at `applied()`; after a snapshot was received: restore()
//
// Not thread-safe: belongs to the thread that applies. Raft's own entries (no-op, configuration) never come here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "model/entry.h"
#include "model/ids.h"

namespace holdfast::topology {

// The bytes of a whole batch, which is one entry of the log; what is around each command in it; and the longest command:
// with what is around it, it fits into a batch of its own. A proposal beyond is refused before it reaches the log.
constexpr std::uint64_t kBatchBytesMax = kEntryBytesMax;
constexpr std::uint64_t kBatchHeadBytes = 1 + 4;
constexpr std::uint64_t kRequestHeadBytes = 16 + 8 + 8 + 4;
constexpr std::uint64_t kCommandBytesMax = kBatchBytesMax - kBatchHeadBytes - kRequestHeadBytes;
constexpr std::uint32_t kRequestsPerBatchMax = 4096;

// Names one request for ever. A session is a process of a proposer (a random UUID at its start); its sequence numbers
// count from 1. The id stays the same across attempts, so a doubled request is recognised.
struct RequestId {
  Uuid session;
  std::uint64_t sequence = 0;

  friend auto operator<=>(const RequestId&, const RequestId&) = default;
};

struct Request {
  RequestId id;
  // Every sequence of this session below this one has been answered: its answers may be forgotten.
  std::uint64_t answered_below = 0;
  std::string command;  // encoded by the state machine's own header, e.g. registry.h
};

// The form of a batch in the log: docs/registry-format.md. Format version in the first byte.
std::string encode_batch(const std::vector<Request>& requests);
Result<std::vector<Request>> decode_batch(BytesView bytes);

// The state at one index, as a set of named files, so that a large state machine can hand over what lies on its disk
// and a small one a few hundred bytes. Names are plain ([a-z0-9._-]); bytes are the state machine's own business.
struct CheckpointFile {
  std::string name;
  std::string bytes;

  friend bool operator==(const CheckpointFile&, const CheckpointFile&) = default;
};
struct Checkpoint {
  Index applied;
  Term term;  // of the entry at `applied`
  std::vector<CheckpointFile> files;
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Applies the entry at `index`, which is above applied(). One answer for each request of the batch, in its order;
  // a request that was refused has an answer too, that says so. An Error means that this build cannot read the entry
  // (it was written by a newer one): the member must stop with these words, since going on would make it differ.
  virtual Result<std::vector<std::string>> apply(Index index, Term term, BytesView entry) = 0;

  // Index of the last entry applied or restored; 0 at first. Entries of Raft itself (no-op, configuration) do not come
  // here, so the host's own applied index may be above it.
  virtual Index applied() const = 0;

  // Equal states have equal digests on every member; compared by tests, the simulator and the masters among each other.
  virtual std::uint64_t digest() const = 0;

  virtual Checkpoint checkpoint() const = 0;

  // Replaces the whole state. On an Error (damaged or newer than this build) the state is as it was before.
  virtual Status restore(const Checkpoint& checkpoint) = 0;
};

}  // namespace holdfast::topology
