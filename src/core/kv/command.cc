#include "core/kv/command.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/utf8.h"

namespace holdfast::kv {
namespace {

constexpr std::uint8_t kVersion = 1;

enum class Kind : std::uint8_t { put = 64, remove = 65, renew = 66, expire = 67 };
constexpr std::uint8_t kKindLast = 67;

std::uint64_t wire(Duration ttl) { return static_cast<std::uint64_t>(milliseconds(ttl)); }
Duration duration(std::uint64_t ms) {
  // What is longer than any allowed time is refused when it is applied; it must not wrap before.
  return std::chrono::milliseconds(std::min<std::uint64_t>(ms, static_cast<std::uint64_t>(milliseconds(kTtlMax)) + 1));
}

void put_compare(Writer& out, const std::optional<Revision>& compare) {
  out.u8(compare ? 1 : 0);
  out.id(compare.value_or(Revision()));
}
std::optional<Revision> get_compare(Reader& in) {
  const bool given = in.u8() != 0;
  const auto revision = in.id<Revision>();
  return given ? std::optional(revision) : std::nullopt;
}

struct Encoder {
  Writer& out;

  void begin(Kind kind) {
    out.u8(static_cast<std::uint8_t>(kind));
    out.u8(kVersion);
  }
  void operator()(const Put& c) {
    begin(Kind::put);
    out.text(c.key);
    out.text(c.value);
    out.u64(wire(c.ttl));
    put_compare(out, c.compare);
    out.text(c.request_id);
  }
  void operator()(const Delete& c) {
    begin(Kind::remove);
    out.text(c.key);
    put_compare(out, c.compare);
    out.text(c.request_id);
  }
  void operator()(const Renew& c) {
    begin(Kind::renew);
    out.text(c.key);
    out.u64(wire(c.ttl));
    put_compare(out, c.compare);
    out.text(c.request_id);
  }
  void operator()(const Expire& c) {
    begin(Kind::expire);
    out.u32(static_cast<std::uint32_t>(c.lives.size()));
    for (const auto& one : c.lives) {
      out.text(one.key);
      out.id(one.life);
    }
  }
};

Command decode_fields(Kind kind, Reader& in) {
  switch (kind) {
    case Kind::put: {
      Put c;
      c.key = in.text();
      c.value = in.text();
      c.ttl = duration(in.u64());
      c.compare = get_compare(in);
      c.request_id = in.text();
      return c;
    }
    case Kind::remove: {
      Delete c;
      c.key = in.text();
      c.compare = get_compare(in);
      c.request_id = in.text();
      return c;
    }
    case Kind::renew: {
      Renew c;
      c.key = in.text();
      c.ttl = duration(in.u64());
      c.compare = get_compare(in);
      c.request_id = in.text();
      return c;
    }
    case Kind::expire: {
      Expire c;
      c.lives.resize(in.count(4 + 8));
      for (auto& one : c.lives) {
        one.key = in.text();
        one.life = in.id<Life>();
      }
      return c;
    }
  }
  check_failed(__FILE__, __LINE__, "kind was looked at by decode_command");
}

std::optional<std::string> fault_of_ttl(Duration ttl) {
  if (ttl == Duration(0)) return std::nullopt;
  if (ttl >= kTtlMin && ttl <= kTtlMax) return std::nullopt;
  return "a time to live of " + std::to_string(milliseconds(ttl)) + " ms: at least " +
         std::to_string(milliseconds(kTtlMin)) + " ms and at most 366 days; without one a key stays for ever";
}

std::optional<std::string> fault_of_id(const std::string& id) {
  if (id.size() <= kRequestIdBytesMax) return std::nullopt;
  return "a request id of " + std::to_string(id.size()) + " bytes: at most " + std::to_string(kRequestIdBytesMax);
}

struct Fault {
  using Words = std::optional<std::string>;

  static Words common(const std::string& key, Duration ttl, const std::string& id) {
    if (auto fault = fault_of_key(key)) return fault;
    if (auto fault = fault_of_ttl(ttl)) return fault;
    return fault_of_id(id);
  }
  Words operator()(const Put& c) const {
    if (c.value.size() > kValueBytesMax) {
      return "a value of " + std::to_string(c.value.size()) + " bytes: at most " + std::to_string(kValueBytesMax) +
             "; larger things belong into files, and a file id into the value";
    }
    return common(c.key, c.ttl, c.request_id);
  }
  Words operator()(const Delete& c) const { return common(c.key, Duration(0), c.request_id); }
  Words operator()(const Renew& c) const { return common(c.key, c.ttl, c.request_id); }
  Words operator()(const Expire& c) const {
    if (c.lives.size() <= kExpiriesPerCommandMax) return std::nullopt;
    return "more than " + std::to_string(kExpiriesPerCommandMax) + " expiries at once";
  }
};

}  // namespace

std::string encode(const Command& command) {
  Writer out;
  std::visit(Encoder{out}, command);
  return out.take();
}

Result<Command> decode_command(BytesView bytes) {
  Reader in(bytes);
  const std::uint8_t kind = in.u8();
  const std::uint8_t version = in.u8();
  if (!in.ok() || !is_kind(kind)) return Error(Code::invalid, "no command of the key-value space");
  if (kind > kKindLast || version > kVersion) {
    return Error(Code::unsupported, "command " + std::to_string(kind) + " version " + std::to_string(version) +
                                        " was written by a newer build than this one");
  }
  Command command = decode_fields(static_cast<Kind>(kind), in);
  if (!in.at_end()) return Error(Code::invalid, "command " + std::to_string(kind) + " does not parse");
  return command;
}

std::optional<std::string> fault_of_key(std::string_view key) {
  if (key.empty()) return "a key has at least one byte";
  if (key.size() > kKeyBytesMax) {
    return "a key of " + std::to_string(key.size()) + " bytes: at most " + std::to_string(kKeyBytesMax);
  }
  for (const char c : key) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return "a key holds no control characters";
  }
  if (!is_utf8(key)) return "a key must be UTF-8";
  return std::nullopt;
}

std::optional<std::string> fault_of(const Command& command) { return std::visit(Fault{}, command); }

const char* text(Outcome outcome) {
  switch (outcome) {
    case Outcome::done: return "done";
    case Outcome::not_found: return "not_found";
    case Outcome::compare_failed: return "compare_failed";
    case Outcome::invalid: return "invalid";
    case Outcome::no_space: return "no_space";
  }
  return "unknown";
}

std::string encode(const Answer& answer) {
  Writer out;
  out.u8(static_cast<std::uint8_t>(answer.outcome));
  out.id(answer.revision);
  out.id(answer.modified);
  out.id(answer.created);
  out.u64(answer.version);
  out.u64(wire(answer.ttl));
  out.text(answer.text);
  return out.take();
}

Result<Answer> decode_answer(std::string_view bytes) {
  Reader in(bytes_of(bytes));
  Answer answer;
  const std::uint8_t outcome = in.u8();
  answer.outcome = static_cast<Outcome>(outcome);
  answer.revision = in.id<Revision>();
  answer.modified = in.id<Revision>();
  answer.created = in.id<Revision>();
  answer.version = in.u64();
  answer.ttl = duration(in.u64());
  answer.text = in.text();
  if (in.at_end() && outcome <= static_cast<std::uint8_t>(Outcome::no_space)) return answer;
  return Error(Code::internal, "answer of the key-value space does not parse");
}

}  // namespace holdfast::kv
