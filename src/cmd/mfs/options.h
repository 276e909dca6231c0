// The options of mfsmaster.cfg, mfschunkserver.cfg and mfsmetalogger.cfg, each declared once (spec/moosefs-ha 3.1-3.3):
// name, kind, default, range, what this build does with it, and its words. From the row come the check of a value, the
// sample that `scaffold` prints, the lines of -u and the text that `info` writes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace holdfast::mfs {

enum class Kind {
  text,
  truth,    // an integer, 0 or 1
  integer,  // base by prefix
  octal,    // the same, shown in octal
  number,
  seconds,  // a time; a plain integer counts seconds
  hours,    // a time; a plain integer counts hours
  size,
  room,     // a size, or a number with % U or C behind it
  offset,   // a time of day
  level,    // ERROR WARNING NOTICE INFO DEBUG
};

enum class Effect {
  at_start,   // honoured; a change needs a restart
  on_reload,  // honoured; reload takes a change
  none,       // accepted; said once in the log when it is given. `note` tells why
};

struct Option {
  std::string_view name;
  Kind kind;
  std::string_view fallback;
  std::string_view help;
  Effect effect = Effect::none;
  std::string_view note = {};
  double min = 0;
  double max = 0;  // with min 0: no range; for times in seconds
};

struct Role {
  std::string_view name;     // "mfsmaster": also the program and the stem of its files
  std::string_view summary;
  std::span<const Option> options;

  const Option* find(std::string_view option) const;
};

extern const Role kMasterRole;
extern const Role kChunkserverRole;
extern const Role kMetaloggerRole;

// Null when there is no role of that name.
const Role* find_role(std::string_view name);

}  // namespace holdfast::mfs
