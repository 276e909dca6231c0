// Space: the masters' small key-value space, a part of their replicated state (core/topology/registry.h drives it).
//
// Keys are ordered by their bytes. Every change draws the next revision of the space; a key remembers the revision that
// made it, that of its last change, and how often it was put. The last changes are kept in order, so that a watcher can
// ask for all since a revision; they are part of the state like everything here, so every master has the same.
//
// Time. The state knows how long a key may live, not since when: no clock is read here. The leader counts, by its own
// clock (expiry.h), and proposes an Expire that names the *life* it saw run out. Each put and renewal begins a new life,
// so an Expire that was overtaken by a renewal does nothing.
//
// Request ids. The answers of the last kRequestsRememberedMax writes that carried an id are kept, refusals too. The same
// id again gets that answer; with another command it is refused as invalid.
//
// Limits (command.h) are looked at when a command is applied; what does not fit changes nothing.
//
// Pure and deterministic; not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/codec.h"
#include "core/kv/command.h"

namespace holdfast::kv {

// Values never change once made; shared by the state, its history and whoever reads.
using ValuePtr = std::shared_ptr<const std::string>;

struct Item {
  ValuePtr value;
  Revision created;
  Revision modified;
  std::uint64_t version = 1;
  Duration ttl{0};  // 0: for ever
  Life life;        // 0 likewise
};

// One key as a reader gets it: free of the state.
struct Record {
  std::string key;
  Item item;
};

struct Change {
  enum class Kind : std::uint8_t { put = 0, removed = 1, expired = 2 };
  Kind kind = Kind::put;
  std::string key;
  Item item;  // of a removal: as it was, but `modified` is the revision of the removal

  Revision revision() const { return item.modified; }
};

struct ListRequest {
  std::string prefix;
  std::string after;       // keys up to and with this one are left out
  std::size_t limit = 1;   // keys
  std::uint64_t bytes_max = 1 << 20;  // of keys and values; at least one key is given
};
struct List {
  Revision revision;  // of the space at this moment
  std::vector<Record> records;
  bool more = false;  // there are further keys: ask again with `after` = the last one
};

// What a watcher wants: one key, or all that begin with a prefix.
struct Filter {
  std::string text;
  bool prefix = false;

  bool takes(std::string_view key) const { return prefix ? key.starts_with(text) : key == text; }
};
struct Changes {
  // Everything up to here was looked at: the next question is for what comes after it.
  Revision until;
  std::vector<Change> changes;
  // Not empty: changes after the revision asked for were forgotten. The oldest that is kept.
  std::optional<Revision> compacted;
};

class Space {
 public:
  // Decides the command and carries it out.
  Answer apply(const Command& command);

  Revision revision() const { return revision_; }
  std::size_t keys() const { return items_.size(); }
  std::uint64_t bytes() const { return bytes_; }
  const Item* find(std::string_view key) const;
  List list(const ListRequest& request) const;

  // At most `limit` matching changes after `since`, oldest first; fewer when their keys and values pass `bytes_max`.
  Changes changes(const Filter& filter, Revision since, std::size_t limit, std::uint64_t bytes_max = 1 << 20) const;

  // Lives that began after `seen`, in order of their beginning, and the newest drawn.
  const std::map<Life, std::string>& lives() const { return lives_; }
  Life newest_life() const { return newest_life_; }

  // Never written to: a member without this feature has the same state.
  bool is_untouched() const { return revision_ == Revision() && newest_life_ == Life() && answers_.empty(); }

  // docs/registry-format.md. decode() reads what encode() wrote; whether the reader is still ok() says if it could.
  void encode(Writer& out) const;
  static Space decode(Reader& in);

 private:
  struct Remembered {
    std::uint64_t number = 0;       // in order of arrival
    std::uint64_t fingerprint = 0;  // of the command
    Answer answer;
  };
  using Items = std::map<std::string, Item, std::less<>>;

  Answer decide(const Put& command);
  Answer decide(const Delete& command);
  Answer decide(const Renew& command);
  Answer decide(const Expire& command);
  // The refusal of a comparison that fails; nothing when it holds or was not asked for.
  std::optional<Answer> compare(const std::optional<Revision>& wanted, const Item* item) const;
  Answer answer(Outcome outcome, const Item* item, std::string text = {}) const;

  void begin_life(const std::string& key, Item& item, Duration ttl);
  void end_life(const Item& item);
  void remove(Items::iterator it, Change::Kind kind);
  void note(Change change);
  void remember(const std::string& id, std::uint64_t fingerprint, const Answer& answer);

  Revision revision_;
  Life newest_life_;
  Items items_;
  std::uint64_t bytes_ = 0;
  std::map<Life, std::string> lives_;  // follows from items_
  std::deque<Change> history_;         // one for each of the last revisions, without a gap
  std::uint64_t history_bytes_ = 0;
  std::uint64_t next_number_ = 1;
  std::map<std::string, Remembered, std::less<>> answers_;  // by request id
  std::map<std::uint64_t, std::string> answer_order_;       // follows from answers_
};

}  // namespace holdfast::kv
