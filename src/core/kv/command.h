// What may be asked of the key-value space, as the masters' log carries it, and what is answered. Bytes:
// docs/registry-format.md; what each means to a user: docs/kv.md.
//
// A command is decided when it is applied, on every member alike (space.h). A write may carry a request id: applied
// again under the same id it changes nothing and gets its first answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/strong_id.h"
#include "base/time.h"

namespace holdfast::kv {

// Counts the changes of the whole space: each put, deletion and expiry is one. 0: never.
using Revision = StrongId<struct RevisionTag, std::uint64_t>;
// Names one run of a key's time to live: drawn anew whenever the time begins again. 0: lives for ever.
using Life = StrongId<struct LifeTag, std::uint64_t>;

constexpr std::size_t kKeyBytesMax = 512;
constexpr std::size_t kValueBytesMax = 64 << 10;
constexpr std::size_t kKeysMax = 65'536;
constexpr std::uint64_t kTotalBytesMax = 16 << 20;  // keys and values; a checkpoint of it is copied between two heartbeats
constexpr std::size_t kRequestIdBytesMax = 64;
constexpr std::size_t kRequestsRememberedMax = 32'768;  // of those with an id, the last so many
constexpr std::size_t kHistoryEventsMax = 4096;         // the last so many changes can be watched from
constexpr std::uint64_t kHistoryBytesMax = 4 << 20;     // of keys and values in them
constexpr std::size_t kExpiriesPerCommandMax = 256;
constexpr Duration kTtlMin = std::chrono::milliseconds(100);
constexpr Duration kTtlMax = std::chrono::hours(24 * 366);

// Commands of the space are put into the log only when every member knows this feature level.
constexpr std::uint32_t kFeatureLevel = 2;

// ---- commands ------------------------------------------------------------------------------------------------------

// `compare`: only if the key's last change was at this revision; 0: only if the key does not exist.
struct Put {
  std::string key;
  std::string value;
  Duration ttl{0};  // in whole milliseconds; 0: for ever, also when the key had a time to live before
  std::optional<Revision> compare;
  std::string request_id;
};
struct Delete {
  std::string key;
  std::optional<Revision> compare;
  std::string request_id;
};
// The key's time to live begins again. No change of the key: its revision stays.
struct Renew {
  std::string key;
  Duration ttl{0};  // a new one; 0: as it was
  std::optional<Revision> compare;
  std::string request_id;
};
// The leader found these lives to be over. One that was renewed meanwhile has another life, and stays.
struct Expire {
  struct One {
    std::string key;
    Life life;

    friend bool operator==(const One&, const One&) = default;
  };
  std::vector<One> lives;
};

using Command = std::variant<Put, Delete, Renew, Expire>;

// The first byte of every command of the space lies in this range; those of the registry lie below.
constexpr std::uint8_t kKindFirst = 64;
constexpr std::uint8_t kKindEnd = 96;  // exclusive
inline bool is_kind(std::uint8_t kind) { return kind >= kKindFirst && kind < kKindEnd; }

std::string encode(const Command& command);
// `unsupported`: written by a newer build; `invalid`: does not parse.
Result<Command> decode_command(BytesView bytes);

// What is wrong with the command in itself, in words; nothing when it may be proposed. Applying looks again.
std::optional<std::string> fault_of(const Command& command);
// The same for a key alone: 1 to kKeyBytesMax bytes of UTF-8 without control characters.
std::optional<std::string> fault_of_key(std::string_view key);

// ---- answers -------------------------------------------------------------------------------------------------------

enum class Outcome : std::uint8_t {
  done = 0,
  not_found = 1,
  compare_failed = 2,
  invalid = 3,   // `text` says what is wrong
  no_space = 4,  // a limit of the space; `text` names it
};
const char* text(Outcome outcome);  // "done", "not_found", ... for metrics and clients

struct Answer {
  Outcome outcome = Outcome::done;
  Revision revision;    // of the space, when this was decided
  // The key afterwards (of a deletion: as it was before); zeros while it does not exist. Of an Expire: version counts
  // the keys that went.
  Revision modified;
  Revision created;
  std::uint64_t version = 0;  // puts since it was created
  Duration ttl{0};
  std::string text;

  friend bool operator==(const Answer&, const Answer&) = default;
};

std::string encode(const Answer& answer);
Result<Answer> decode_answer(std::string_view bytes);

}  // namespace holdfast::kv
