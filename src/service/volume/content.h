// What is in a copy of a volume, needle by needle, so that copies on two servers can be held against each other without
// their data (docs/self-healing.md).
//
// An entry stands for a word on a key: a live file by its cookie, size and checksum, or that it was deleted. Entries come in
// the order of the .dat. Of a key that is changed meanwhile there is at least one, of what it was or of what it became.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "service/volume/cancel.h"
#include "service/volume/pacer.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {

struct ContentEntry {
  static constexpr std::size_t kBytes = 28;

  NeedleId key;
  Cookie cookie;
  std::int32_t size = 0;  // below 0: deleted
  std::uint32_t crc = 0;
  std::uint64_t append_at_ns = 0;

  bool is_live() const { return size >= 0; }

  // Big-endian, in the order above.
  void append_to(std::string& out) const;
  // From exactly kBytes.
  static ContentEntry parse(const std::uint8_t* bytes);
};

// Calls `visit` until it answers an error.
Status walk_content(const std::shared_ptr<const Volume>& volume, Pacer& pacer, Cancel& cancel,
                    const std::function<Status(const ContentEntry&)>& visit);

// Whether what lies in one copy is all known to another: each live file of it is there with the same cookie, size and
// checksum, or a younger word on its key is. Deletions, where they are asked for: the file is not there, or was written later.
class Coverage {
 public:
  struct Answer {
    std::uint64_t files = 0;    // of the copy: live ones, and deletions where asked for
    std::uint64_t missing = 0;  // that the other one does not know
    NeedleId example;           // one of those
    bool is_covered() const { return missing == 0; }
  };

  // `stands_still`: the copy does not change any more, and then one that does not know its own files is corrupt.
  static Result<Coverage> of(const std::shared_ptr<const Volume>& copy, bool stands_still, bool with_deletions, Pacer& pacer,
                             Cancel& cancel);

  void known(const ContentEntry& entry);  // by the other one
  Answer answer() const;

 private:
  struct File {
    ContentEntry entry;
    bool known = false;
  };
  std::vector<File> files_;  // by key, one each: the last word on it
};

}  // namespace holdfast::volume
