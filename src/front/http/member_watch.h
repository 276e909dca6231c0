// MemberWatch: what the other masters say of themselves, for the page. A master hears little of the others while all is
// well, so it asks each of them (GET /cluster/member) while somebody looks at its page, and only then.
//
// look() returns what is known and sends the next questions, at most one to a member in kInterval, and none while one is
// under way. So the first page shows little, and the one a second later all.
//
// Threads: any.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "client/http_pool.h"
#include "io/clock.h"
#include "service/master/status.h"

namespace holdfast::front {

// A member's place in the log, by its own account: its version vector is that of all members together.
struct MemberFacts {
  NodeId id;
  std::string state;  // as text(master::Role)
  Term term;
  Index last;       // durable in its log
  Index committed;
  Index applied;
  std::uint32_t feature_level = 0;
  std::uint64_t digest = 0;  // of the applied state at `digest_at`; 0 there: none yet
  Index digest_at;
  // Of a leader: what is left of its lease, how long one is, and until when it commits nothing.
  std::optional<Duration> lease_left = {};
  Duration lease_length{};
  std::optional<Duration> commits_in = {};
};

// Of this member, as /cluster/member has it; and read back. Nothing if it is no such answer.
void append_member_facts(std::string& out, const MemberFacts& facts, bool pretty);
MemberFacts facts_of(const master::ClusterStatus& status, Instant now);
std::optional<MemberFacts> parse_member_facts(std::string_view json);

struct MemberSeen {
  std::optional<MemberFacts> facts;  // of the last answer
  Duration round_trip{0};            // of that one, with the other's work on it
  Instant answered = kDistantPast;
  std::string trouble;               // of the last question, "" when it was answered
};

class MemberWatch {
 public:
  static constexpr Duration kInterval = 800ms;
  static constexpr Duration kAnswerMax = 2s;

  MemberWatch(client::HttpPool& pool, io::Clock& clock) : pool_(pool), clock_(clock) {}

  std::map<NodeId, MemberSeen> look(const master::View& view);

 private:
  struct Shared {
    struct One {
      MemberSeen seen;
      Instant asked = kDistantPast;
      bool under_way = false;
      bool answered_or_failed() const { return seen.facts || !seen.trouble.empty(); }
    };
    Mutex mutex;  // leaf
    std::map<NodeId, One> members HOLDFAST_GUARDED_BY(mutex);
  };
  void ask(NodeId id, const std::string& authority);

  client::HttpPool& pool_;
  io::Clock& clock_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();  // answers may outlive this
};

}  // namespace holdfast::front
