// The index of an erasure-coded volume: .ecx, rows as in an .idx but sorted by key and of live files only, and .ecj,
// the ids deleted since, 8 bytes each (spec/volume-format 13).
//
// Pure: bytes in, values out; both take bytes from anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "core/volume/index_row.h"
#include "model/ids.h"

namespace holdfast::ec {

inline constexpr std::size_t kJournalRowBytes = 8;
inline constexpr std::uint64_t kJournalBytesMax = 1_GiB;  // a hundred million deletions

// Ids in order of their deletion, doubles included. A part of an id at the end is passed over: its delete was never
// acknowledged.
std::vector<NeedleId> parse_journal(BytesView bytes);

void append_journal(std::string& out, NeedleId key);

// Rows of a whole .ecx. Code::corrupt unless they are whole and their keys rise.
Result<std::vector<volume::IndexRow>> parse_sorted_index(BytesView bytes);

// Where the keys that may equal `key` lie among the rows of one page of an .ecx; nullptr when it is not in there.
const std::uint8_t* find_row(BytesView rows, NeedleId key);

}  // namespace holdfast::ec
