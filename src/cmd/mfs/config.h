// Config: what an mfs*.cfg file comes to: each option of a role with its value, checked, and what there is to say about
// the file. Nothing wrong in a file keeps a daemon from starting, but DANGEROUS_ options that were not allowed.
//
// A value that cannot be read leaves the default; one beyond its range becomes the nearest bound; a name that the role
// does not have is passed over. All of that is named with file and line in remarks().
//
// Asking for an option that the role does not have, or by the wrong kind, is a mistake of ours and stops the program.
// Pure but for read_config_file(). Not thread-safe; constant after it was made.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cmd/mfs/cfg.h"
#include "cmd/mfs/options.h"

namespace holdfast::mfs {

class Config {
 public:
  // `path` is for messages.
  static Config make(const Role& role, std::string_view text, const std::string& path);

  const Role& role() const { return *role_; }
  const std::string& path() const { return path_; }

  // "/etc/mfs/mfsmaster.cfg:12: ..." in order of lines.
  const std::vector<std::string>& remarks() const { return remarks_; }

  // Options whose names begin with DANGEROUS_, each with file and line: a start needs -d for them.
  const std::vector<std::string>& dangerous() const { return dangerous_; }

  // One sentence for the options that are set and change nothing here; empty when there are none.
  std::vector<std::string> without_effect() const;

  // "MASTER_PORT is not set: 9420" for each option that is honoured and not set (-u).
  std::vector<std::string> defaults_used() const;

  // Every honoured option as NAME = VALUE with where it comes from, for `info`.
  std::string report() const;

  // Names of the options that differ from `before`, and of those the ones that only a restart takes.
  struct Change {
    std::vector<std::string> taken;
    std::vector<std::string> need_restart;
  };
  Change since(const Config& before) const;

  bool is_given(std::string_view name) const { return slot(name).line != 0; }
  const std::string& string(std::string_view name) const;  // text, level
  std::int64_t integer(std::string_view name) const;       // also truth, octal
  bool boolean(std::string_view name) const { return integer(name) != 0; }
  double number(std::string_view name) const;
  std::chrono::seconds time(std::string_view name) const;
  std::uint64_t bytes(std::string_view name) const;

 private:
  struct Slot {
    const Option* option = nullptr;
    std::string text;  // as in the file, else the default
    std::int64_t integer = 0;
    std::uint64_t count = 0;  // seconds or bytes
    double number = 0;
    int line = 0;  // 0: the default
  };

  static std::string read(const Option& option, std::string_view text, Slot& slot);
  const Slot& slot(std::string_view name) const;
  std::string at(int line) const { return path_ + ":" + std::to_string(line) + ": "; }

  const Role* role_ = nullptr;
  std::string path_;
  std::map<std::string, Slot, std::less<>> slots_;
  std::vector<std::string> remarks_;
  std::vector<std::string> dangerous_;
};

// The text of a file of settings; empty when there is none. Other troubles are the Error.
Result<std::string> read_config_file(const std::string& path, bool* is_missing);

// A commented sample of the role's file: every option with its default, all of it commented out (scaffold).
std::string sample_of(const Role& role);

// The same for mfshdd.cfg.
std::string sample_of_disks();

}  // namespace holdfast::mfs
