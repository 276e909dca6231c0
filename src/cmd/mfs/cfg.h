// The syntax of mfs*.cfg files (spec/moosefs-ha 2): lines of NAME = VALUE, and the values that stand in them.
//
// A line whose first byte is '#' is a comment. A name is printable bytes except '='; blanks around '=' may be missing; a
// value is the rest of the line from its first non-blank, trailing blanks cut, and may hold '#' and '='. Nothing that is
// wrong in a file keeps a daemon from starting: it becomes a Remark with its line, and the line is passed over. Of a
// name that comes twice the last one counts, with a remark.
//
// Values are read as C reads them where they are integers (base by prefix, so that 027 is octal; what follows the number
// is passed over, with a warning), and by their own grammar where they are times or sizes.
//
// Pure: text in, values and remarks out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::mfs {

// Something wrong with one line; lines count from 1.
struct Remark {
  int line = 0;
  std::string text;

  friend bool operator==(const Remark&, const Remark&) = default;
};

struct Setting {
  std::string name;
  std::string value;
  int line = 0;

  friend bool operator==(const Setting&, const Setting&) = default;
};

struct CfgText {
  std::vector<Setting> settings;  // each name once, in order of the lines that count
  std::vector<Remark> remarks;    // in order of lines
};
CfgText parse_cfg(std::string_view text);

// What stands in a file, for messages: bytes that cannot be printed become '?', and long text is cut.
std::string shown(std::string_view text);

// A value that was read, or not; `warning` says in a few words what is wrong with the text, also beside a value.
template <typename T>
struct Read {
  std::optional<T> value;
  std::string warning;
};

// C's strtoll with base 0. Beyond 64 bits the nearest number is taken, with a warning.
Read<std::int64_t> read_integer(std::string_view text);

// A decimal number, as 1.0; what follows it is passed over, with a warning.
Read<double> read_number(std::string_view text);

// A time in seconds. A plain integer counts in `unit` seconds (1, or 3600 for options in hours); "#.#T" with T of
// s m h d w, rounded to whole seconds; "#w#d#h#m#s" in that order, parts may be missing, all but the first within their
// bounds (seconds and minutes to 59, hours to 23, days to 6). 1.03m is 62; 1d36h is no time.
Read<std::uint64_t> read_time(std::string_view text, std::uint64_t unit);

// Bytes: "[0-9]*(.[0-9]*)?([kMGTPE]|[KMGTPE]i)?B?", with at least one digit. k is 1000, Ki is 1024.
Read<std::uint64_t> read_size(std::string_view text);

// Minutes after midnight: "M" or "H:M", taken modulo a day; with "L" behind it of local time, else of UTC.
struct Offset {
  int minutes = 0;
  bool is_local = false;

  friend bool operator==(const Offset&, const Offset&) = default;
};
Read<Offset> read_offset(std::string_view text);

// One line of mfshdd.cfg: "[*<>~]PATH [limit]" (spec/moosefs-ha 3.3).
struct DiskLine {
  enum class Bound { none, at_most, leave_free };

  std::string path;
  bool is_going = false;       // '*': takes no new data
  std::string other_marks;     // of '<', '>' and '~', those that stand there
  Bound bound = Bound::none;   // "5GiB" and "60%": to be used at most; "-5GiB" and "-10%": to be left free
  std::uint64_t bytes = 0;     // 0: `percent` counts
  double percent = 0;
  int line = 0;

  friend bool operator==(const DiskLine&, const DiskLine&) = default;
};
struct DiskText {
  std::vector<DiskLine> disks;
  std::vector<Remark> remarks;
};
DiskText parse_disks(std::string_view text);

}  // namespace holdfast::mfs
