// AdminLocks: the locks under which `weed shell` and administrative programs change the cluster (spec/weed-grpc 5.5),
// kept in the masters' key-value space. A lock is therefore replicated: it survives its leader, for its holder alone.
//
// A holder has a token and the time it was given; each renewal gives a new pair and makes the old one void. A lock that
// is not renewed for kAdminLockTime goes, by the leader's clock; after a change of leader the full time runs again. As
// the answer to a renewal may be lost with its leader, the pair before the present one renews too: nobody else ever had
// it.
//
// The lock `shell` is the key "admin-locks/shell", a JSON object that people may read, and delete to break the lock.
//
// Thread-safe; callbacks as KeyValues'.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/kv/space.h"
#include "io/random.h"
#include "service/master/key_values.h"
#include "service/master/master.h"

namespace holdfast::master {

constexpr Duration kAdminLockTime = 10s;  // upstream's shell renews every 4 s
constexpr const char* kAdminLocksPrefix = "admin-locks/";
constexpr const char* kShellLock = "shell";  // of whoever moves or removes volumes

struct AdminToken {
  std::int64_t token = 0;
  std::int64_t time_ns = 0;

  bool empty() const { return token == 0 && time_ns == 0; }
  friend bool operator==(const AdminToken&, const AdminToken&) = default;
};

struct AdminLock {
  bool locked = false;
  std::string client;
  std::string message;
};

// Who holds what lies under kAdminLocksPrefix, as "client" says.
std::vector<std::string> admin_lock_holders(const kv::Space& space);
// Of the lock `name`; nothing: it is free.
std::optional<std::string> admin_lock_holder(const kv::Space& space, const std::string& name);

// The write that takes the lock `name` for kAdminLockTime where it is free (else Outcome::compare_failed): for what the leader does
// by itself, and ends sooner. Everybody else comes through AdminLocks.
kv::Put admin_lock_taking(const std::string& name, AdminToken token, std::string client, std::string message);
// The write that gives back what was taken at `taken`.
kv::Delete admin_lock_giving_back(const std::string& name, kv::Revision taken);

class AdminLocks {
 public:
  // Both outlive this and what it began. `wall_ns`: the time of day.
  AdminLocks(KeyValues& space, io::Random& random, std::function<std::int64_t()> wall_ns);

  // Takes the lock, or renews it for who has `previous`. Held by another: failed, `already locked by <client>: <message>`.
  // At the leader only, like release().
  void lease(const std::string& name, AdminToken previous, std::string client, std::string message,
             std::function<void(OrRefusal<AdminToken>)> done);

  // Nothing happens when `previous` is not the holder's.
  void release(const std::string& name, AdminToken previous, std::function<void(OrRefusal<Done>)> done);

  // At any master.
  void status(const std::string& name, std::function<void(OrRefusal<AdminLock>)> done);

 private:
  struct Lease;
  void try_lease(const std::shared_ptr<Lease>& lease);

  KeyValues& space_;
  io::Random& random_;
  const std::function<std::int64_t()> wall_ns_;
};

}  // namespace holdfast::master
