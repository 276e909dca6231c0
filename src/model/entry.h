// Entry: one record of the masters' replicated log.
//
// Once committed an entry never changes and stands at the same index on every member. What it means is decided when
// it is applied: `command` entries go to the state machine (batches of requests, decided there), `configuration`
// entries change who the members are and take effect when they are *appended* (core/raft/configuration.h), and the
// first entry of each term, `term_start`, only lets its leader commit what earlier terms left behind (Raft 5.4.2).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "model/ids.h"

namespace holdfast {

// Bytes that never change once made, shared by all who hold them: the log in memory, the messages to each follower,
// the log thread and the state machine. Copying one copies a pointer; it may be handed between threads.
class Payload {
 public:
  Payload() = default;
  Payload(std::string bytes)  // NOLINT: by design, a string is a payload
      : bytes_(bytes.empty() ? nullptr : std::make_shared<const std::string>(std::move(bytes))) {}
  Payload(const char* text) : Payload(std::string(text)) {}  // NOLINT: by design

  std::string_view view() const { return bytes_ ? std::string_view(*bytes_) : std::string_view(); }
  std::size_t size() const { return bytes_ ? bytes_->size() : 0; }
  friend bool operator==(const Payload& a, const Payload& b) {
    return a.bytes_ == b.bytes_ || a.view() == b.view();
  }

 private:
  std::shared_ptr<const std::string> bytes_;  // shared by every copy; null when empty
};

// The numbers are those on disk and on the wire; they never change their meaning.
enum class EntryKind : std::uint8_t {
  command = 1,        // for the state machine
  configuration = 2,  // raft::encode(Configuration)
  term_start = 3,     // a new leader's first entry; no data
};

// The version of how entries are to be read and applied. A member that meets a higher one than it knows stops in
// words rather than apply what it does not understand; the committed feature level keeps that from happening.
inline constexpr std::uint16_t kEntryFormat = 1;

// The longest `data` of one entry. Bounds log segments, messages and inboxes.
inline constexpr std::size_t kEntryBytesMax = 1 << 20;

struct Entry {
  Term term;
  Index index;
  EntryKind kind = EntryKind::command;
  std::uint16_t format = kEntryFormat;
  Payload data;

  friend bool operator==(const Entry&, const Entry&) = default;
};

}  // namespace holdfast
