// What a command of `shell` works with: the masters, the volume servers, the admin lock, and the picture of what lies
// where. And what all families of commands share.
//
// Belongs to the thread that runs the commands, but for what stands under "Thread-safe".
#pragma once

#include <fmt/format.h>

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "client/admin_client.h"
#include "client/admin_lock.h"
#include "client/volume_admin.h"
#include "cmd/flags.h"
#include "core/topology/picture.h"

namespace master_pb {
class VolumeListResponse;
}

namespace holdfast::cmd {

class Shell {
 public:
  // `masters` outlives this.
  Shell(client::MasterClient& masters, Duration patience);

  client::MasterClient& master_client;
  client::AdminClient masters;
  client::VolumeAdmin servers;
  client::AdminLock lock;

  // ok while the admin lock is held. To be asked before every step that changes something.
  Status locked() const;

  // What the leader knows now.
  Result<topology::Picture> picture();

  // Until the masters tell that `condition` holds, so that the next command sees what this one did; a few seconds at most.
  // False when they did not.
  bool wait_until(const std::function<bool(const topology::Picture& picture)>& condition);
  // The same for a normal volume at a server, by its id.
  bool wait_for(VolumeId volume, const std::string& server, bool is_there);

  // A line on stdout, at once.
  template <typename... Args>
  static void say(fmt::format_string<Args...> format, Args&&... args) {
    put(fmt::format(format, std::forward<Args>(args)...) + "\n");
  }
  static void put(const std::string& text);

  // Thread-safe: volumes that this shell has marked read-only for a while, to be told of when it is interrupted.
  void note_frozen(const std::string& server, VolumeId volume, bool is_frozen);
  std::string frozen_text() const;

 private:
  mutable Mutex mutex_;  // leaf
  std::set<std::pair<std::string, VolumeId>> frozen_ HOLDFAST_GUARDED_BY(mutex_);
};

// As it came from a master, or an Error that says what cannot be read.
topology::Picture picture_of(const master_pb::VolumeListResponse& list);

// A server of the picture by id or address; Code::not_found names those there are.
Result<const topology::PictureServer*> server_named(const topology::Picture& picture, const std::string& name);
// "host:port[.grpcport]" of a server that may be missing from the picture, as a gRPC address to dial.
Result<std::string> grpc_named(const topology::Picture& picture, const std::string& name);

// A name against a pattern of * and ?.
bool matches(std::string_view pattern, std::string_view name);
// What `-collection` and `-collectionPattern` say: "" is every collection, ALL_COLLECTIONS and EACH_COLLECTION too, `_default`
// the one without a name.
bool is_collection_wanted(const std::string& pattern, const std::string& collection);

// "a, b,c" -> a b c, without blanks and empty parts.
std::vector<std::string> split_list(const std::string& text);
Result<std::vector<VolumeId>> volume_ids(const std::string& list);

// ---- flags that several commands have

// -volumeId, where it must be given.
Result<VolumeId> volume_of(const FlagSet& flags);
void declare_apply(FlagSet& flags);  // -apply and its old name -force
bool applies(const FlagSet& flags);
// -collectionPattern, -fullPercent, -quietFor; and whether a copy of a volume is what they ask for.
void declare_full_and_quiet(FlagSet& flags);
std::function<bool(const VolumeInfo& copy)> full_and_quiet(const FlagSet& flags, std::uint64_t volume_size_limit);

}  // namespace holdfast::cmd
