#include "service/master/admin_locks.h"

#include <boost/json.hpp>

#include <memory>
#include <optional>
#include <utility>

namespace holdfast::master {

namespace {

constexpr int kTriesMax = 4;  // against others who change the lock at the same moment

std::string key_of(const std::string& name) { return kAdminLocksPrefix + name; }

struct Holder {
  AdminToken now;
  AdminToken before;  // the pair that the last renewal made void; empty: there was none
  std::string client;
  std::string message;

  bool is(const AdminToken& token) const { return !token.empty() && (token == now || token == before); }
};

std::string written(const Holder& holder) {
  boost::json::object object;
  object["client"] = holder.client;
  object["message"] = holder.message;
  object["token"] = holder.now.token;
  object["time_ns"] = holder.now.time_ns;
  object["token_before"] = holder.before.token;
  object["time_ns_before"] = holder.before.time_ns;
  return boost::json::serialize(object);
}

// What somebody else put under the key holds the lock until it goes.
Holder read(const std::string& key, const std::string& value) {
  Holder holder;
  boost::json::error_code failed;
  const auto parsed = boost::json::parse(value, failed);
  const auto* object = failed ? nullptr : parsed.if_object();
  const auto text_at = [&](const char* name) {
    const auto* field = object == nullptr ? nullptr : object->if_contains(name);
    const auto* text = field == nullptr ? nullptr : field->if_string();
    return text == nullptr ? std::string() : std::string(*text);
  };
  const auto number_at = [&](const char* name) -> std::int64_t {
    const auto* field = object == nullptr ? nullptr : object->if_contains(name);
    return field == nullptr || !field->is_int64() ? 0 : field->get_int64();
  };
  holder.client = text_at("client");
  holder.message = text_at("message");
  holder.now = {number_at("token"), number_at("time_ns")};
  holder.before = {number_at("token_before"), number_at("time_ns_before")};
  if (holder.now.empty()) {
    holder.client = "whoever wrote the key " + key;
    holder.message = "it is no lock; delete it to free the lock";
  }
  return holder;
}

Refusal held_by(const Holder& holder) {
  return {Refusal::Kind::failed, "already locked by " + holder.client + ": " + holder.message};
}

// What the space answered instead of doing it.
Refusal refused(const kv::Answer& answer) {
  const bool is_full = answer.outcome == kv::Outcome::no_space;
  return {is_full ? Refusal::Kind::failed : Refusal::Kind::bad_request,
          "the lock cannot be kept: " + (answer.text.empty() ? std::string(kv::text(answer.outcome)) : answer.text)};
}

}  // namespace

std::vector<std::string> admin_lock_holders(const kv::Space& space) {
  static constexpr std::size_t kLocksMax = 100;
  std::vector<std::string> out;
  for (const auto& record : space.list({.prefix = kAdminLocksPrefix, .after = {}, .limit = kLocksMax}).records) {
    out.push_back(read(record.key, *record.item.value).client);
  }
  return out;
}

std::optional<std::string> admin_lock_holder(const kv::Space& space, const std::string& name) {
  const std::string key = key_of(name);
  const kv::Item* item = space.find(key);
  if (item == nullptr) return {};
  return read(key, *item->value).client;
}

kv::Put admin_lock_taking(const std::string& name, AdminToken token, std::string client, std::string message) {
  return {key_of(name), written({token, {}, std::move(client), std::move(message)}), kAdminLockTime, kv::Revision(), {}};
}

kv::Delete admin_lock_giving_back(const std::string& name, kv::Revision taken) { return {key_of(name), taken, {}}; }

struct AdminLocks::Lease {
  std::string key;
  AdminToken previous;
  std::string client;
  std::string message;
  std::function<void(OrRefusal<AdminToken>)> done;
  int tries = 0;
};

AdminLocks::AdminLocks(KeyValues& space, io::Random& random, std::function<std::int64_t()> wall_ns)
    : space_(space), random_(random), wall_ns_(std::move(wall_ns)) {}

void AdminLocks::lease(const std::string& name, AdminToken previous, std::string client, std::string message,
                       std::function<void(OrRefusal<AdminToken>)> done) {
  try_lease(std::make_shared<Lease>(
      Lease{key_of(name), previous, std::move(client), std::move(message), std::move(done), 0}));
}

void AdminLocks::try_lease(const std::shared_ptr<Lease>& lease) {
  space_.get(lease->key, false, [this, lease](const OrRefusal<KvRecord>& found) {
    if (const auto* refusal = std::get_if<Refusal>(&found)) return lease->done(*refusal);
    const auto& item = std::get<KvRecord>(found).item;
    Holder holder;
    if (item) {
      holder = read(lease->key, *item->value);
      if (!holder.is(lease->previous)) return lease->done(held_by(holder));
    }
    const AdminToken token{static_cast<std::int64_t>(random_.next() >> 1 | 1), wall_ns_()};
    const Holder mine{token, item ? lease->previous : AdminToken(), lease->client, lease->message};
    kv::Put put{lease->key, written(mine), kAdminLockTime, item ? item->modified : kv::Revision(), {}};
    space_.write(std::move(put), [this, lease, token](const OrRefusal<kv::Answer>& written) {
      if (const auto* refusal = std::get_if<Refusal>(&written)) return lease->done(*refusal);
      const auto& answer = std::get<kv::Answer>(written);
      if (answer.outcome == kv::Outcome::done) return lease->done(token);
      if (answer.outcome != kv::Outcome::compare_failed) return lease->done(refused(answer));
      if (++lease->tries < kTriesMax) return try_lease(lease);
      lease->done(Refusal{Refusal::Kind::busy, "others take and free this lock all the time: try again", 1s});
    });
  });
}

void AdminLocks::release(const std::string& name, AdminToken previous, std::function<void(OrRefusal<Done>)> done) {
  const std::string key = key_of(name);
  space_.get(key, false, [this, key, previous, done = std::move(done)](const OrRefusal<KvRecord>& found) {
    if (const auto* refusal = std::get_if<Refusal>(&found)) return done(*refusal);
    const auto& item = std::get<KvRecord>(found).item;
    if (!item || !read(key, *item->value).is(previous)) return done(Done{});
    space_.write(kv::Delete{key, item->modified, {}}, [done](const OrRefusal<kv::Answer>& removed) {
      if (const auto* refusal = std::get_if<Refusal>(&removed)) return done(*refusal);
      done(Done{});  // gone, or renewed meanwhile by who still wants it
    });
  });
}

void AdminLocks::status(const std::string& name, std::function<void(OrRefusal<AdminLock>)> done) {
  const std::string key = key_of(name);
  space_.get(key, false, [key, done = std::move(done)](const OrRefusal<KvRecord>& found) {
    if (const auto* refusal = std::get_if<Refusal>(&found)) return done(*refusal);
    const auto& item = std::get<KvRecord>(found).item;
    if (!item) return done(AdminLock{});
    const Holder holder = read(key, *item->value);
    done(AdminLock{true, holder.client, holder.message});
  });
}

}  // namespace holdfast::master
