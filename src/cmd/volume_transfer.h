// How the shell copies, moves and compares volumes without losing a write or bringing a deleted file back.
//
// A volume is frozen first: each of its copies is marked read-only, and the mark stands on disk, so that it comes along
// with a copy's files and the copy is read-only from its first moment. So there never are two places that differ and
// that a client could write to. The copy is then held against its source (lengths, files, compactions), and only then
// is anything deleted; what fails before that leaves the source as it was, writable again. When nothing can be told any
// more (the source does not answer after it was told to delete), all copies stay and stay read-only, and that is said.
//
// Belongs to the shell's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/shell_session.h"
#include "core/topology/picture.h"

namespace holdfast::cmd {

using Servers = std::vector<const topology::PictureServer*>;

// Copies of one volume that take no writes while it lives.
class Freeze {
 public:
  // `on_disk`: the mark stands in the copies' files, and so in those of a copy that is made of them.
  Freeze(Shell& shell, VolumeId volume, bool on_disk = true) : shell_(shell), volume_(volume), on_disk_(on_disk) {}
  ~Freeze() { (void)thaw(); }
  Freeze(const Freeze&) = delete;

  // A volume in a remote tier is refused, before anything is marked.
  Status take(const Servers& holders);
  // A copy came to be there, from a frozen one; it is to be writable in the end if the volume was.
  void add(const topology::PictureServer& server);
  // Another copy has taken the place of the one there: what hindered that one from taking writes is gone with it.
  void replaced(const topology::PictureServer& server);
  // The copy there is gone.
  void forget(const topology::PictureServer& server);
  // They stay read-only, whatever happens now.
  void leave() { before_.clear(); }
  // Writable again where they were. The first error; the others are tried all the same.
  Status thaw();

 private:
  enum class Before {
    writable,
    marked,   // by somebody, for good
    hindered  // read-only for another reason: a full disk, I/O errors
  };
  Result<Before> before(const topology::PictureServer& server);

  Shell& shell_;
  const VolumeId volume_;
  const bool on_disk_;
  std::map<std::string, std::pair<std::string, Before>> before_;  // gRPC address -> id, state
};

// A read-only copy that takes writes between open() and close(); close() comes by itself at the end of its life.
class Opened {
 public:
  // All of them outlive this.
  Opened(Shell& shell, VolumeId volume, const topology::PictureServer& server)
      : shell_(shell), volume_(volume), server_(server) {}
  ~Opened() { (void)close(); }
  Opened(const Opened&) = delete;

  Result<bool> is_closed();
  // Nothing happens to a copy that takes writes anyway.
  Status open();
  Status close();

 private:
  Shell& shell_;
  const VolumeId volume_;
  const topology::PictureServer& server_;
  bool is_open_ = false;
  bool was_marked_ = false;  // on disk, for good
};

// A copy takes writes again, unless it is marked on disk, for good.
Status unmark(Shell& shell, VolumeId volume, const topology::PictureServer& server);

struct TransferOptions {
  std::string disk_type;  // "": as at the source
  std::int64_t bytes_per_second = 0;
  bool no_lock = false;
};

// ok while the admin lock is held, or goes without.
Status may_go_on(const Shell& shell, const TransferOptions& options);

// ok when a server has a slot for one more volume of a canonical disk type.
Status may_take(const topology::PictureServer& server, const std::string& disk_type);

// Whether a server has the volume; an Error when it cannot be told.
Result<bool> holds(Shell& shell, VolumeId volume, const topology::PictureServer& server);

// A copy of a frozen volume, checked, in the place of the copy at the target, if there is one: that one goes first.
Status replace_frozen(Shell& shell, VolumeId volume, const topology::PictureServer& source,
                      const topology::PictureServer& target, const TransferOptions& options);

// A copy of a frozen volume, checked. A target that has the volume already is refused.
Status copy_frozen(Shell& shell, VolumeId volume, const topology::PictureServer& source,
                   const topology::PictureServer& target, const TransferOptions& options);

// Both with freezing and thawing of all copies.
Status copy_volume(Shell& shell, const topology::Picture& picture, VolumeId volume,
                   const topology::PictureServer& source, const topology::PictureServer& target,
                   const TransferOptions& options);
Status move_volume(Shell& shell, const topology::Picture& picture, VolumeId volume,
                   const topology::PictureServer& source, const topology::PictureServer& target,
                   const TransferOptions& options);

// Deletes one copy; ok only when it is gone for certain.
Status delete_copy(Shell& shell, VolumeId volume, const topology::PictureServer& server);

// ---- what is in a copy

struct CopyIndex {
  struct Place {
    std::uint64_t offset = 0;  // bytes
    std::int32_t size = 0;     // negative: deleted
    bool is_live() const { return size >= 0; }
  };
  std::map<std::uint64_t, Place> files;  // by key
  std::uint32_t compaction_revision = 0;
};
Result<CopyIndex> read_index(VolumeId volume, const topology::PictureServer& server);

// How two copies differ. Files are the same when key, size, cookie and checksum of the data that is there are.
struct Difference {
  std::vector<std::uint64_t> only_first;   // keys that are live in one only
  std::vector<std::uint64_t> only_second;
  std::vector<std::uint64_t> differing;    // live in both
  bool is_none() const { return only_first.empty() && only_second.empty() && differing.empty(); }
  std::string text() const;
};
// `contents`: read every file, too, not only the indexes.
Result<Difference> compare(Shell& shell, VolumeId volume, const topology::PictureServer& first, const CopyIndex& first_index,
                           const topology::PictureServer& second, const CopyIndex& second_index, bool contents);
Result<Difference> compare(Shell& shell, VolumeId volume, const topology::PictureServer& first,
                           const topology::PictureServer& second);

// The copies among `holders` that hold what the first one holds; an Error that says how they differ when one does not.
Status check_equal(Shell& shell, VolumeId volume, const Servers& holders);

}  // namespace holdfast::cmd
