// A set of flags of one command, read as Go's flag package reads them.
//
// Each flag is declared once, as a row of a table: name, type, default, help and what this build does with it. From
// the row come parsing, usage text, environment, `-options` file and the note that a flag is not honoured yet.
//
// Rules (spec/weed-cluster 1.2): `-f=v`, `--f=v`, `-f v`, `--f v`; a bool takes a value only with `=`; integers take
// their base from the prefix; parsing ends at the first argument that is no flag, a lone `-`, after `--`, or at a
// name that begins with `test.`; a repeated flag is won by its last value. A value comes from the command line, else
// the environment, else the `-options` file, else the default.
//
// Asking for a flag that was never declared, or by the wrong type, is a mistake of ours and stops the program.
// Not thread-safe: filled by main() before any thread starts, only read afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace holdfast::cmd {

enum class FlagType {
  boolean,
  integer,           // base from the prefix
  unsigned_integer,  // the same, not negative
  decimal,           // Go's Atoi, shown as "value": what the log flags are
  number,            // float64
  duration,
  string,
  value,  // text, shown as "value" and unquoted
};

enum class Support {
  honoured,
  // Accepted for the sake of scripts; there is nothing it could change here, so nothing is said about it.
  inert,
  // Accepted; this build goes on without it and says so once in the log when it is given. `note` says what happens.
  later,
};

struct Flag {
  std::string_view name;
  FlagType type;
  std::string_view fallback;  // the default, as a command line would give it
  std::string_view help;      // a word in `back quotes` names the value in the usage text
  Support support = Support::honoured;
  std::string_view note = {};
};

// Where one variable of the environment comes from; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

class FlagSet {
 public:
  enum class Source { fallback, environment, file, command_line };

  // `environment_prefix` stands before the upper-cased name: "WEED_" for global flags, "" for those of commands.
  explicit FlagSet(std::string environment_prefix = "") : environment_prefix_(std::move(environment_prefix)) {}

  // `prefix` is put before each name ("master." in `server`). A name declared twice stops the program.
  void add(std::span<const Flag> table, std::string_view prefix = "");
  void add(const Flag& flag, std::string_view prefix = "");

  struct Parsed {
    std::vector<std::string> arguments;  // what follows the flags
    bool help = false;                   // -h or -help was met, and no flag of that name is declared
  };
  Result<Parsed> parse(std::span<const std::string> arguments);

  // Fills what the command line did not give. The first bad value is the error; later flags are still filled.
  Status take_environment(const Environment& environment);

  // Fills what neither gave, from the text of an `-options` file: lines `name=value`, `name value`, `name:value`,
  // comments from `#`, one leading `-`; unknown names are ignored (notes() tells of them), the first line of a name wins.
  Status take_file(std::string_view text);

  // Set as if by the command line; for values that one flag implies for another.
  Status set(std::string_view name, std::string_view value);

  bool is_declared(std::string_view name) const { return values_.contains(name); }
  bool is_given(std::string_view name) const { return source(name) != Source::fallback; }
  Source source(std::string_view name) const;

  bool boolean(std::string_view name) const;
  std::int64_t integer(std::string_view name) const;  // also `decimal`
  std::uint64_t unsigned_integer(std::string_view name) const;
  double number(std::string_view name) const;
  Duration duration(std::string_view name) const;
  const std::string& string(std::string_view name) const;  // also `value`

  // Every flag in order of name, for whoever writes of them: usage, man pages, completion of shells.
  struct Description {
    std::string name;
    FlagType type = FlagType::string;
    std::string word;      // what its value is: "int", "folder"; "" for a truth value
    std::string help;
    std::string fallback;  // the default as a text shows it; "" when it is zero or empty
  };
  std::vector<Description> descriptions() const;

  // The list of flags under "Default Usage:", sorted by name, as Go's PrintDefaults writes it.
  std::string defaults_text() const;

  // One sentence for each given flag that is accepted and not honoured yet, in order of name, and one for each line of the
  // -options file that names no flag.
  std::vector<std::string> notes() const;

 private:
  using Value = std::variant<bool, std::int64_t, std::uint64_t, double, Duration, std::string>;
  struct Slot {
    FlagType type;
    std::string fallback;
    std::string help;
    Support support;
    std::string note;
    Value value;
    Source source = Source::fallback;
  };

  static Result<Value> read(FlagType type, std::string_view text);
  const Slot& slot(std::string_view name) const;

  const std::string environment_prefix_;
  std::map<std::string, Slot, std::less<>> values_;
  std::vector<std::string> unknown_;  // a sentence for each such line of the file
};

// The same set seen by the code of one role: `name` means prefix + name where that is declared, else `name` itself.
// So what reads the flags of `master` also reads those of `server`.
class FlagView {
 public:
  FlagView(const FlagSet& set, std::string prefix) : set_(set), prefix_(std::move(prefix)) {}

  std::string full_name(std::string_view name) const {
    std::string full = prefix_ + std::string(name);
    return set_.is_declared(full) ? full : std::string(name);
  }
  const FlagSet& set() const { return set_; }
  bool is_declared(std::string_view name) const { return set_.is_declared(full_name(name)); }
  bool is_given(std::string_view name) const { return set_.is_given(full_name(name)); }
  bool boolean(std::string_view name) const { return set_.boolean(full_name(name)); }
  std::int64_t integer(std::string_view name) const { return set_.integer(full_name(name)); }
  std::uint64_t unsigned_integer(std::string_view name) const { return set_.unsigned_integer(full_name(name)); }
  double number(std::string_view name) const { return set_.number(full_name(name)); }
  Duration duration(std::string_view name) const { return set_.duration(full_name(name)); }
  const std::string& string(std::string_view name) const { return set_.string(full_name(name)); }

 private:
  const FlagSet& set_;
  const std::string prefix_;
};

}  // namespace holdfast::cmd
