// LineFile: a file of whole lines that several processes may append to, and that never grows past a bound.
//
// A line is written in one go under a lock on the file, so lines of two processes never mix. A line that would take the
// file past `bytes_max` begins a new one: the old ones become `path`.1, `path`.2 ..., the last of which is dropped. The file is
// opened for each line, so it may be moved or removed at any time. Nothing is synced: what is written here tells people what
// happened, and no promise rests on it.
//
// Threads: any, each with its own or the same object.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::io::posix {

class LineFile {
 public:
  LineFile(std::string path, std::uint64_t bytes_max, int old_files) : path_(std::move(path)), bytes_max_(bytes_max), old_files_(old_files) {}

  // `line` without its end. A line that was left unfinished by a machine that lost its power is ended first.
  Status append(std::string_view line) const;

  // All lines that are there, oldest first; an unfinished last one is left out.
  Result<std::vector<std::string>> read() const;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Status rotate() const;

  const std::string path_;
  const std::uint64_t bytes_max_;
  const int old_files_;
};

}  // namespace holdfast::io::posix
