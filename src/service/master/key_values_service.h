// KeyValueService: KeyValues over the consensus and the published registry, and what the leader does for the space:
// proposing the expiry of keys whose time is over.
#pragma once

#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "core/kv/expiry.h"
#include "service/master/key_values.h"
#include "service/master/shared.h"

namespace holdfast::master {

constexpr std::size_t kKvWritesMax = 1024;  // under way at once at one leader; each holds up to kValueBytesMax
constexpr std::size_t kKvWatchesMax = 4096;  // at one master

class KeyValueService final : public KeyValues {
 public:
  explicit KeyValueService(Shared& shared);

  // ---- any thread
  void when_open(std::function<void(std::optional<Refusal>)> done) override;
  void write(kv::Command command, std::function<void(OrRefusal<kv::Answer>)> done) override;
  void get(std::string key, bool stale, std::function<void(OrRefusal<KvRecord>)> done) override;
  void list(kv::ListRequest request, bool stale, std::function<void(OrRefusal<KvList>)> done) override;
  void watch(KvWatch watch, std::function<void(OrRefusal<kv::Changes>)> done) override;

  // ---- the master's loop
  // After each change and at each turn; cheap when nothing changed.
  void look(Instant now);
  // Answers all that waits.
  void stop();

 private:
  enum class Operation { put, remove, renew, expire, get, list, watch };
  static constexpr std::size_t kOperations = 7;

  struct OpenWait {
    Instant end;
    std::function<void(std::optional<Refusal>)> done;
  };
  struct WatchWait {
    kv::Filter filter;
    kv::Revision since;
    Instant end;
    std::size_t limit = 1;
    std::function<void(OrRefusal<kv::Changes>)> done;
  };

  // What `done` gets: nothing once a read here sees all that was acknowledged before.
  // `whole`: as Consensus::KeyRead says; `key`: only that one is going to be read.
  using Confirmed = std::function<void(std::optional<Refusal>, bool whole)>;
  void confirmed(Confirmed done, std::optional<std::string> key = std::nullopt);
  void ask_for_read(Instant end, std::optional<std::string> key, Confirmed done);
  // Whether what was read from a state up to `applied` is an answer already.
  bool is_answer(Index applied) const;
  kv::Changes changes(const kv::Filter& filter, kv::Revision since, std::size_t limit) const;
  bool is_open() const;
  // Why the space is not open; `temporary`: it is about to be.
  Refusal closed(bool* temporary) const;

  void look_at_open_waits(Instant now);
  void look_at_watches(Instant now, bool changed);
  void look_after_expiry(Instant now);
  static void count(Operation operation, const char* outcome);
  static void count_refusal(Operation operation, const Refusal& refusal);

  // For scrapes.
  struct Locks {
    Mutex mutex;  // leaf
    std::vector<std::string> holders HOLDFAST_GUARDED_BY(mutex);
  };

  Shared& shared_;
  const std::shared_ptr<Locks> locks_ = std::make_shared<Locks>();
  const metrics::Registry::Collector lock_metrics_;
  // Shared with the proposals under way, which may be answered after this has gone.
  const std::shared_ptr<std::atomic<std::size_t>> writes_ = std::make_shared<std::atomic<std::size_t>>(0);

  // The loop's own.
  std::list<OpenWait> open_waits_;
  std::list<WatchWait> watches_;
  kv::Expiry expiry_;
  std::optional<Term> leads_in_;
  kv::Revision seen_;
  bool stopped_ = false;
};

}  // namespace holdfast::master
