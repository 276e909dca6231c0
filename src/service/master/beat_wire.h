// The bytes of beats and their answers, without a message object in between.
//
// They are most of what an idle master does, thirty times a second and peer, with caches that have gone cold in between:
// building, parsing and dropping a RaftMessage took a quarter of the time of a leader's turn. The bytes are those that
// api/raft.proto says, the same as the library writes, field for field (beat_wire_test.cc holds both against each other).
// Only the plain case is here; whatever is unusual (an unknown field, a repeated message, anything malformed) is left to
// the library.
//
// Pure; thread-safe.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "core/raft/messages.h"

namespace holdfast::master {

// Appends `message` to `out`; false, and nothing appended: it is neither a Beat nor a BeatReply.
bool append_beat(const raft::Message& message, std::string* out);

// Empty: not a plain beat or answer, ask the library.
std::optional<raft::Message> read_beat(BytesView bytes);

}  // namespace holdfast::master
