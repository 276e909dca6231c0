#include "core/kv/space.h"

#include <algorithm>
#include <iterator>

#include "base/crc32c.h"

namespace holdfast::kv {
namespace {

std::uint64_t size_of(std::string_view key, const ValuePtr& value) { return key.size() + value->size(); }
std::uint64_t size_of(const Change& change) { return size_of(change.key, change.item.value); }

const std::string& id_of(const Command& command) {
  static const std::string kNone;
  return std::visit(
      [](const auto& c) -> const std::string& {
        if constexpr (requires { c.request_id; }) {
          return c.request_id;
        } else {
          return kNone;
        }
      },
      command);
}

// Tells two commands apart that were given one id by mistake.
std::uint64_t fingerprint_of(const Command& command) {
  const std::string bytes = encode(command);
  return static_cast<std::uint64_t>(crc32c(bytes_of(bytes))) << 32 | static_cast<std::uint32_t>(bytes.size());
}

std::uint64_t milliseconds_of(Duration d) { return static_cast<std::uint64_t>(milliseconds(d)); }

void encode_item(Writer& out, const Item& item) {
  out.text(*item.value);
  out.id(item.created);
  out.id(item.modified);
  out.u64(item.version);
  out.u64(milliseconds_of(item.ttl));
  out.id(item.life);
}

constexpr std::size_t kItemBytesMin = 4 + 5 * 8;

Item decode_item(Reader& in) {
  Item item;
  item.value = std::make_shared<const std::string>(in.text());
  item.created = in.id<Revision>();
  item.modified = in.id<Revision>();
  item.version = in.u64();
  item.ttl = std::chrono::milliseconds(std::min<std::uint64_t>(in.u64(), milliseconds_of(kTtlMax)));
  item.life = in.id<Life>();
  return item;
}

}  // namespace

// ---- reading -------------------------------------------------------------------------------------------------------

const Item* Space::find(std::string_view key) const {
  const auto it = items_.find(key);
  return it == items_.end() ? nullptr : &it->second;
}

List Space::list(const ListRequest& request) const {
  List out{revision_, {}, false};
  auto it = items_.lower_bound(request.prefix);
  if (request.after >= request.prefix && !request.after.empty()) it = items_.upper_bound(request.after);
  std::uint64_t bytes = 0;
  for (; it != items_.end() && it->first.starts_with(request.prefix); ++it) {
    bytes += size_of(it->first, it->second.value);
    if (out.records.size() >= request.limit || (!out.records.empty() && bytes > request.bytes_max)) {
      out.more = true;
      break;
    }
    out.records.push_back({it->first, it->second});
  }
  return out;
}

Changes Space::changes(const Filter& filter, Revision since, std::size_t limit, std::uint64_t bytes_max) const {
  Changes out;
  out.until = std::max(since, revision_);
  if (since >= revision_) return out;
  const Revision oldest = history_.empty() ? revision_.next() : history_.front().revision();
  if (since.next() < oldest) {
    out.until = since;
    out.compacted = oldest;
    return out;
  }
  std::uint64_t bytes = 0;
  // Without gaps: the place in the history follows from the revision.
  for (std::size_t i = since.next() - oldest; i < history_.size(); ++i) {
    if (!filter.takes(history_[i].key)) continue;
    out.changes.push_back(history_[i]);
    bytes += size_of(history_[i]);
    if (out.changes.size() < limit && bytes < bytes_max) continue;
    out.until = history_[i].revision();
    break;
  }
  return out;
}

// ---- writing -------------------------------------------------------------------------------------------------------

Answer Space::apply(const Command& command) {
  if (auto fault = fault_of(command)) return answer(Outcome::invalid, nullptr, std::move(*fault));
  const std::string& id = id_of(command);
  std::uint64_t fingerprint = 0;
  if (!id.empty()) {
    fingerprint = fingerprint_of(command);
    if (const auto known = answers_.find(id); known != answers_.end()) {
      if (known->second.fingerprint == fingerprint) return known->second.answer;
      return answer(Outcome::invalid, nullptr,
                    "request id " + id + " was used for another change: each change needs an id of its own");
    }
  }
  Answer decided = std::visit([this](const auto& c) { return decide(c); }, command);
  if (!id.empty()) remember(id, fingerprint, decided);
  return decided;
}

Answer Space::answer(Outcome outcome, const Item* item, std::string text) const {
  Answer out;
  out.outcome = outcome;
  out.revision = revision_;
  if (item != nullptr) {
    out.modified = item->modified;
    out.created = item->created;
    out.version = item->version;
    out.ttl = item->ttl;
  }
  out.text = std::move(text);
  return out;
}

std::optional<Answer> Space::compare(const std::optional<Revision>& wanted, const Item* item) const {
  if (!wanted || *wanted == (item == nullptr ? Revision() : item->modified)) return std::nullopt;
  return answer(Outcome::compare_failed, item);
}

Answer Space::decide(const Put& command) {
  const auto it = items_.find(command.key);
  Item* item = it == items_.end() ? nullptr : &it->second;
  if (auto refusal = compare(command.compare, item)) return std::move(*refusal);
  const std::uint64_t before = item == nullptr ? 0 : size_of(command.key, item->value);
  const std::uint64_t after = bytes_ - before + command.key.size() + command.value.size();
  if (item == nullptr && items_.size() >= kKeysMax) {
    return answer(Outcome::no_space, nullptr,
                  "the key-value space holds its " + std::to_string(kKeysMax) + " keys: delete some first");
  }
  if (after > kTotalBytesMax) {
    return answer(Outcome::no_space, item,
                  "the key-value space holds " + std::to_string(bytes_) + " bytes of at most " +
                      std::to_string(kTotalBytesMax) + ": delete some keys first");
  }

  revision_ = revision_.next();
  if (item == nullptr) {
    item = &items_[command.key];
    item->created = revision_;
    item->version = 0;
  }
  item->value = std::make_shared<const std::string>(command.value);
  item->modified = revision_;
  ++item->version;
  bytes_ = after;
  begin_life(command.key, *item, command.ttl);
  note({Change::Kind::put, command.key, *item});
  return answer(Outcome::done, item);
}

Answer Space::decide(const Delete& command) {
  const auto it = items_.find(command.key);
  const Item* item = it == items_.end() ? nullptr : &it->second;
  if (auto refusal = compare(command.compare, item)) return std::move(*refusal);
  if (item == nullptr) return answer(Outcome::not_found, nullptr);
  Answer out = answer(Outcome::done, item);
  remove(it, Change::Kind::removed);
  out.revision = revision_;
  return out;
}

Answer Space::decide(const Renew& command) {
  const auto it = items_.find(command.key);
  Item* item = it == items_.end() ? nullptr : &it->second;
  if (auto refusal = compare(command.compare, item)) return std::move(*refusal);
  if (item == nullptr) return answer(Outcome::not_found, nullptr);
  const Duration ttl = command.ttl == Duration(0) ? item->ttl : command.ttl;
  if (ttl == Duration(0)) {
    return answer(Outcome::invalid, item, "key \"" + command.key + "\" has no time to live that could be renewed");
  }
  begin_life(command.key, *item, ttl);
  return answer(Outcome::done, item);
}

Answer Space::decide(const Expire& command) {
  std::uint64_t gone = 0;
  for (const auto& one : command.lives) {
    const auto it = items_.find(one.key);
    if (it == items_.end() || it->second.life != one.life || one.life == Life()) continue;
    remove(it, Change::Kind::expired);
    ++gone;
  }
  Answer out = answer(Outcome::done, nullptr);
  out.version = gone;
  return out;
}

void Space::begin_life(const std::string& key, Item& item, Duration ttl) {
  end_life(item);
  item.ttl = ttl;
  item.life = Life();
  if (ttl == Duration(0)) return;
  newest_life_ = newest_life_.next();
  item.life = newest_life_;
  lives_.emplace_hint(lives_.end(), newest_life_, key);
}

void Space::end_life(const Item& item) {
  if (item.life != Life()) lives_.erase(item.life);
}

void Space::remove(Items::iterator it, Change::Kind kind) {
  revision_ = revision_.next();
  end_life(it->second);
  bytes_ -= size_of(it->first, it->second.value);
  Change change{kind, it->first, std::move(it->second)};
  change.item.modified = revision_;
  items_.erase(it);
  note(std::move(change));
}

void Space::note(Change change) {
  history_bytes_ += size_of(change);
  history_.push_back(std::move(change));
  while (history_.size() > kHistoryEventsMax || history_bytes_ > kHistoryBytesMax) {
    history_bytes_ -= size_of(history_.front());
    history_.pop_front();
  }
}

void Space::remember(const std::string& id, std::uint64_t fingerprint, const Answer& answer) {
  const std::uint64_t number = next_number_++;
  answers_[id] = {number, fingerprint, answer};
  answer_order_.emplace_hint(answer_order_.end(), number, id);
  if (answers_.size() <= kRequestsRememberedMax) return;
  answers_.erase(answer_order_.begin()->second);
  answer_order_.erase(answer_order_.begin());
}

// ---- as bytes ------------------------------------------------------------------------------------------------------

void Space::encode(Writer& out) const {
  out.id(revision_);
  out.id(newest_life_);
  out.u64(next_number_);
  out.u32(static_cast<std::uint32_t>(items_.size()));
  for (const auto& [key, item] : items_) {
    out.text(key);
    encode_item(out, item);
  }
  out.u32(static_cast<std::uint32_t>(history_.size()));
  for (const Change& change : history_) {
    out.u8(static_cast<std::uint8_t>(change.kind));
    out.text(change.key);
    encode_item(out, change.item);
  }
  out.u32(static_cast<std::uint32_t>(answers_.size()));
  for (const auto& [number, id] : answer_order_) {
    const Remembered& remembered = answers_.find(id)->second;
    out.u64(number);
    out.text(id);
    out.u64(remembered.fingerprint);
    out.text(kv::encode(remembered.answer));
  }
}

Space Space::decode(Reader& in) {
  Space space;
  space.revision_ = in.id<Revision>();
  space.newest_life_ = in.id<Life>();
  space.next_number_ = in.u64();
  for (std::uint32_t n = in.count(4 + kItemBytesMin); n > 0 && in.ok(); --n) {
    std::string key = in.text();
    Item item = decode_item(in);
    if (item.life != Life()) space.lives_.emplace(item.life, key);
    space.bytes_ += size_of(key, item.value);
    space.items_.insert_or_assign(std::move(key), std::move(item));
  }
  for (std::uint32_t n = in.count(1 + 4 + kItemBytesMin); n > 0 && in.ok(); --n) {
    Change change;
    change.kind = static_cast<Change::Kind>(in.u8());
    change.key = in.text();
    change.item = decode_item(in);
    space.history_bytes_ += size_of(change);
    space.history_.push_back(std::move(change));
  }
  for (std::uint32_t n = in.count(8 + 4 + 8 + 4); n > 0 && in.ok(); --n) {
    const std::uint64_t number = in.u64();
    std::string id = in.text();
    Remembered remembered{number, in.u64(), {}};
    auto answer = decode_answer(in.text());
    if (!answer) {
      in.fail();
      break;
    }
    remembered.answer = std::move(*answer);
    space.answer_order_.emplace(number, id);
    space.answers_.insert_or_assign(std::move(id), std::move(remembered));
  }
  // A checksum over wrong bytes is nothing that happens by chance, but what is derived must fit all the same: a life
  // that two keys share, or a history with gaps, would break what reads it.
  bool sound = space.answers_.size() == space.answer_order_.size();
  std::size_t mortal = 0;
  for (const auto& [key, item] : space.items_) mortal += item.life == Life() ? 0 : 1;
  sound = sound && mortal == space.lives_.size();
  Revision expected = space.revision_ - space.history_.size();
  sound = sound && space.history_.size() <= space.revision_.value();
  for (const Change& change : space.history_) {
    expected = expected.next();
    sound = sound && change.revision() == expected;
  }
  if (!sound) in.fail();
  return space;
}

}  // namespace holdfast::kv
