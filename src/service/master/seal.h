// Seal: the cluster secret. With one, everything that masters say to each other carries an HMAC-SHA256 of it: calls and their
// answers, the frames of the streams, datagrams (so votes, leases, tokens and certificates too). docs/cluster-secret.md.
//
// What cannot be told from forged is dropped; who calls without the secret, or with another, is refused in words. What was
// recorded cannot be said again:
//  - a call carries a random number and the time of day: it counts once, within kCallAge;
//  - an answer is bound to the random number of its call;
//  - frames of a stream are numbered, under a key of that stream that both ends' random numbers make;
//  - datagrams are numbered, under a key of the two processes, and count once (DatagramGate).
// It does not hide anything.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "api/raft.pb.h"
#include "base/bytes.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/uuid.h"
#include "io/clock.h"

namespace holdfast::master {

inline constexpr std::size_t kClusterSecretBytesMin = 16;
inline constexpr Duration kCallAge = std::chrono::minutes(5);  // as far as calendars of the masters may differ
inline constexpr std::size_t kCallsKept = 20'000;               // seen within that time; the oldest go first
inline constexpr std::size_t kDatagramSealBytes = 4 + 16 + 8 + 16;

class Seal {
 public:
  // "" = there is no secret: everything passes as it is, but what is sealed is refused.
  Seal(std::string_view secret, io::Clock& clock);

  [[nodiscard]] bool is_on() const { return !key_.empty(); }

  // A call: `greeting` becomes what is sent. The answer is opened with what is returned.
  std::string seal_call(std::string_view purpose, RaftGreeting* greeting) const;
  // The other side: `greeting` becomes what was meant. An Error is a sentence for both sides' operators.
  Result<std::string> open_call(std::string_view purpose, RaftGreeting* greeting);

  // `call` as the one above has it. Reply: RaftGreeting or RaftJoinReply. seal_answer returns its own random number, which
  // with `call` makes a stream's key.
  template <typename Reply>
  std::string seal_answer(std::string_view purpose, const std::string& call, Reply* reply) const;
  template <typename Reply>
  Result<std::string> open_answer(std::string_view purpose, const std::string& call, Reply* reply) const;

  // The frames of one stream, in their order; from one thread each.
  class Stream {
   public:
    void seal(RaftFrame* frame);
    // False: not the next frame of this stream.
    bool open(const RaftFrame& sealed, RaftFrame* frame);

   private:
    friend class Seal;
    std::string key_;  // "" = no secret
    std::uint64_t count_ = 0;
  };
  Stream stream(const std::string& call, const std::string& answer) const;

  // The key of what process `from` says to process `to` in datagrams.
  std::string datagram_key(const Uuid& from, const Uuid& to) const;

 private:
  std::string mac(std::string_view purpose, const std::string& call, std::string_view bytes) const;
  Status note_call(const std::string& number, io::WallTime said);

  // Constant after construction.
  std::string key_;
  io::Clock& clock_;

  Mutex mutex_;  // leaf
  std::set<std::string> calls_ HOLDFAST_GUARDED_BY(mutex_);
  std::deque<std::pair<Instant, std::string>> calls_in_order_ HOLDFAST_GUARDED_BY(mutex_);
};

// A datagram is "HFS1", the sender's process, its number, 16 bytes of HMAC over number and content, content. Number 0: one
// that was made beforehand and may be taken twice without harm (a guardian's certificate); whoever opens it is told.
std::string seal_datagram(const std::string& key, const Uuid& from, std::uint64_t number, std::string_view content);

// Who sent it, by its own word; nothing if it is not sealed.
std::optional<Uuid> datagram_sender(BytesView datagram);

// What one process says, each number once, and none that is older than a window of them. Not thread-safe.
class DatagramGate {
 public:
  explicit DatagramGate(std::string key) : key_(std::move(key)) {}

  // The content, within `datagram`; nothing if it is forged, or was here before.
  struct Opened {
    BytesView content;
    bool repeatable = false;  // number 0
  };
  std::optional<Opened> open(BytesView datagram);

 private:
  static constexpr std::uint64_t kWindow = 64;
  const std::string key_;
  std::uint64_t highest_ = 0;
  std::uint64_t seen_ = 0;  // bit i: highest_ - i
};

// The secret as given by a file (the first line, without its end) or else by `given`; "" if neither. An Error says what is
// wrong with it: too short, or a file that others may read.
Result<std::string> load_cluster_secret(const std::string& file, const std::string& given);

}  // namespace holdfast::master
