// Change logs: the masters' committed entries as lines of plain text, `changelog_ml.0.mfs` and its kin (docs/backups.md).
//
//     HOLDFAST-CHANGELOG 1|cluster=0b7d...|generation=3|after=1049|term=7|1c291ca3
//     1050: 1795248960|7|COMMAND(AQAAAAE...)|e3069283
//
// The head says whose changes these are and which entry they follow. Each line: number, time (Unix seconds, 0: not known),
// term, kind and bytes of the entry (base64), and a checksum that begins from the cluster's id, so that neither a damaged
// line nor one of another cluster passes. Numbers go up by one; the kinds are COMMAND, CONFIGURATION and TERM_START, with
// "/2" behind when an entry has another format than 1.
//
// Only committed entries are written, so every run of lines without a gap, behind an image or the beginning, is a prefix of
// what the cluster agreed on. A reader keeps every whole line: what is damaged or cut off is named, and costs no other line.
//
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/raft/messages.h"
#include "model/entry.h"
#include "model/ids.h"

namespace holdfast::backup {

struct ChangeLogHead {
  ClusterId cluster;
  Generation generation;
  raft::LogPosition after;  // the entry before the first line

  friend bool operator==(const ChangeLogHead&, const ChangeLogHead&) = default;
};

struct Change {
  Entry entry;
  std::int64_t time = 0;  // Unix seconds; when a master saw it committed. 0: not known

  friend bool operator==(const Change&, const Change&) = default;
};

// Tells two entries of one index and term apart, which only a master whose folder was rolled back makes. Never 0.
std::uint32_t check_of(const Entry& entry);

// With the newline.
std::string encode(const ChangeLogHead& head);
std::string encode(ClusterId cluster, const Change& change);

// One line without its newline.
Result<ChangeLogHead> decode_change_log_head(std::string_view line);
Result<Change> decode_change(ClusterId cluster, std::string_view line);

struct Fault {
  std::size_t line = 0;      // from 1
  std::uint64_t offset = 0;  // of its first byte in the file
  Index after;               // the entry of the whole line before it, or the one the file follows
  std::string text;          // what is wrong with it
};

struct ParsedLog {
  std::optional<ChangeLogHead> head;  // empty: the first line is no head
  std::vector<Change> changes;        // all that are whole, in the order of the file
  std::vector<Fault> faults;          // lines with a newline that are none of ours
  std::optional<Fault> torn;          // the last line when it has no newline: it was being written
  std::uint64_t whole = 0;            // bytes up to the end of the last line that has a newline
};

// Lines behind a head that cannot be read are taken for those of `cluster`, if there is one to take: their checksums tell
// whether they are. Otherwise such a file has no changes.
ParsedLog parse_change_log(std::string_view text, std::optional<ClusterId> cluster = std::nullopt);

}  // namespace holdfast::backup
