// KeyValues: the masters' key-value space (core/kv) as the fronts use it. For users: docs/kv.md.
//
// Writes are the leader's: elsewhere they answer Refusal::Kind::not_leader at once, and the front passes them on. A
// write is acknowledged when it is committed and applied. Reads are answered by every master, after the leader has
// confirmed that nothing acknowledged is missing here; a stale read asks nobody.
//
// Threads: any. Callbacks come exactly once, on a thread of the master's or of the caller's own: they must be short and
// post to a loop.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/time.h"
#include "core/kv/space.h"
#include "model/ids.h"
#include "service/master/refusal.h"

namespace holdfast::master {

struct KvRecord {
  std::optional<kv::Item> item;  // empty: there is no such key
  // Of the space; nothing: a new leader could only tell what this key is (Consensus::KeyRead).
  std::optional<kv::Revision> revision;
  Index applied;                 // the last entry of the log that this answer knows of
};
struct KvList {
  kv::List list;
  Index applied;
};
struct KvWatch {
  kv::Filter filter;
  std::optional<kv::Revision> since;  // changes after this one; empty: after what is there now
  Duration wait{0};                   // for the first change; then the answer comes without one
  std::size_t limit = 1;              // changes
};

class KeyValues {
 public:
  virtual ~KeyValues() = default;

  // Nothing once all masters know the space; waits for that a moment when it is about to be so. Else the words that say
  // which master runs an older build. To be asked before a write, on any master.
  virtual void when_open(std::function<void(std::optional<Refusal>)> done) = 0;

  // At the leader. What the space refused (a comparison, a limit) is an answer; outcome_unknown: it may be done or not,
  // and is safe to repeat under the same request id.
  virtual void write(kv::Command command, std::function<void(OrRefusal<kv::Answer>)> done) = 0;

  virtual void get(std::string key, bool stale, std::function<void(OrRefusal<KvRecord>)> done) = 0;
  virtual void list(kv::ListRequest request, bool stale, std::function<void(OrRefusal<KvList>)> done) = 0;

  // The changes as soon as there are any. Each master has the same history, so a watch may go on at another one.
  virtual void watch(KvWatch watch, std::function<void(OrRefusal<kv::Changes>)> done) = 0;
};

}  // namespace holdfast::master
