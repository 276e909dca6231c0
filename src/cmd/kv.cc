// `kv`: the masters' key-value space from a command line (docs/kv.md).
#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/strconv.h"
#include "client/kv_client.h"
#include "cmd/client_tools.h"
#include "cmd/command.h"
#include "cmd/paths.h"
#include "cmd/tables.h"

namespace holdfast::cmd {
namespace {

namespace json = boost::json;
using client::HttpAnswer;
using client::KvClient;

constexpr int kDone = 0;
constexpr int kNo = 1;     // not found, comparison failed
constexpr int kWrong = 2;  // of usage
constexpr int kError = 3;  // refused, or nobody answers

constexpr Duration kWatchTurn = 3s;  // a watch asks anew this often, so that a frozen master does not keep it for long
constexpr Duration kLookUpMax = 1s;  // for the names of masters, while they are not known
constexpr std::size_t kPage = 1000;

struct Action {
  std::string_view name;
  std::string_view usage;
  std::string_view summary;
  std::size_t arguments_min;
  std::size_t arguments_max;
  int (*run)(KvClient& client, ClientTools& tools, const FlagSet& flags, const std::vector<std::string>& arguments);
};

void put(FILE* stream, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

int fail(std::string_view text) {
  put(stderr, fmt::format("{}\n", text));
  return kError;
}

// The exit status of an answer that is no success; its words go to stderr.
int refused(const HttpAnswer& answer) {
  put(stderr, error_of_answer(answer) + "\n");
  return answer.status == 404 || answer.status == 412 ? kNo : answer.status == 400 || answer.status == 413 ? kWrong : kError;
}

json::value parsed(const HttpAnswer& answer) {
  json::error_code fault;
  auto value = json::parse(answer.body, fault);
  return fault || !value.is_object() ? json::value(json::object()) : value;
}
std::uint64_t number(const json::value& object, const char* name) {
  const auto* found = object.as_object().if_contains(name);
  return found != nullptr && found->is_number() ? found->to_number<std::uint64_t>() : 0;
}
std::string word(const json::value& object, const char* name) {
  const auto* found = object.as_object().if_contains(name);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}
// A value that is no UTF-8 stays as it came: base64.
std::string value_of(const json::value& object) {
  return object.as_object().contains("value") ? word(object, "value") : word(object, "valueBase64");
}

std::size_t bytes_of_value(const json::value& object) {
  const std::string value = value_of(object);
  if (object.as_object().contains("value")) return value.size();
  return value.size() / 4 * 3 - static_cast<std::size_t>(std::count(value.begin(), value.end(), '='));
}

// A number given as text, so that "" can mean that it was not given. False: it is none, and that was told.
bool read_revision(const FlagSet& flags, std::string_view name, std::optional<std::uint64_t>* out) {
  const std::string& given = flags.string(name);
  if (given.empty()) return true;
  const auto revision = strconv::parse_uint(given, 10);
  if (!revision) {
    put(stderr, fmt::format("invalid value {} for flag -{}: {}\n", strconv::quote(given), name, revision.error().what()));
    return false;
  }
  *out = *revision;
  return true;
}

int done(const FlagSet& flags, const Result<HttpAnswer>& answer, std::string_view what) {
  if (!answer) return fail(answer.error().what());
  if (answer->status != 200) return refused(*answer);
  if (flags.boolean("json")) {
    put(stdout, answer->body + "\n");
  } else {
    put(stdout, fmt::format("{} {}\n", what, number(parsed(*answer), "revision")));
  }
  return kDone;
}

// ---- the actions ---------------------------------------------------------------------------------------------------

int get(KvClient& client, ClientTools&, const FlagSet& flags, const std::vector<std::string>& arguments) {
  const bool as_json = flags.boolean("json");
  const auto answer = client.read(KvClient::escape(arguments[0]) + "?json=" + (as_json ? "true" : "false") +
                                  (flags.boolean("stale") ? "&stale=true" : ""));
  if (!answer) return fail(answer.error().what());
  if (answer->status != 200) return refused(*answer);
  put(stdout, answer->body);
  const bool ends_line = !answer->body.empty() && answer->body.back() == '\n';
  if (as_json || (!ends_line && ::isatty(STDOUT_FILENO) == 1)) put(stdout, "\n");
  return kDone;
}

int put_value(KvClient& client, ClientTools&, const FlagSet& flags, const std::vector<std::string>& arguments) {
  const std::string& path = flags.string("file");
  if (path.empty() == (arguments.size() < 2)) {
    put(stderr, "a value is given as the second argument, as - for stdin, or by -file: exactly one of them\n");
    return kWrong;
  }
  KvClient::Write write{.key = arguments[0], .ttl = flags.string("ttl"), .request_id = flags.string("requestId")};
  if (!path.empty()) {
    std::ifstream file(expand_home(path), std::ios::binary);
    if (file) write.value.assign(std::istreambuf_iterator<char>(file), {});
    if (!file) return fail(fmt::format("open {}: {}", path, errno_words(errno)));
  } else if (arguments[1] == "-") {
    write.value.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    write.value = arguments[1];
  }
  if (!read_revision(flags, "cas", &write.compare)) return kWrong;
  return done(flags, client.write(write), "revision");
}

int remove(KvClient& client, ClientTools&, const FlagSet& flags, const std::vector<std::string>& arguments) {
  KvClient::Write write{.method = "DELETE", .key = arguments[0], .request_id = flags.string("requestId")};
  if (!read_revision(flags, "cas", &write.compare)) return kWrong;
  return done(flags, client.write(write), "deleted at revision");
}

int renew(KvClient& client, ClientTools&, const FlagSet& flags, const std::vector<std::string>& arguments) {
  KvClient::Write write{.method = "POST", .key = arguments[0], .ttl = flags.string("ttl"), .renew = true,
                        .request_id = flags.string("requestId")};
  if (!read_revision(flags, "cas", &write.compare)) return kWrong;
  return done(flags, client.write(write), "renewed, revision");
}

int list(KvClient& client, ClientTools&, const FlagSet& flags, const std::vector<std::string>& arguments) {
  std::string after = flags.string("after");
  const std::uint64_t limit = flags.unsigned_integer("limit");
  const bool as_json = flags.boolean("json");
  const std::string prefix = arguments.empty() ? flags.string("prefix") : arguments[0];
  for (std::uint64_t told = 0;;) {
    const std::uint64_t wanted = limit == 0 ? kPage : std::min<std::uint64_t>(kPage, limit - told);
    const auto answer = client.read(fmt::format("?prefix={}&after={}&limit={}{}{}", query_escape(prefix), query_escape(after),
                                                wanted, flags.boolean("stale") ? "&stale=true" : "",
                                                as_json || flags.boolean("long") ? "" : "&keysOnly=true"));
    if (!answer) return fail(answer.error().what());
    if (answer->status != 200) return refused(*answer);
    const auto page = parsed(*answer);
    const auto* keys = page.as_object().if_contains("keys");
    if (keys == nullptr || !keys->is_array()) return fail("the master's answer is not understood: " + answer->body);
    std::string out;
    for (const auto& key : keys->as_array()) {
      if (as_json) {
        out += json::serialize(key) + "\n";
      } else if (flags.boolean("long")) {
        const std::string ttl = word(key, "ttl");
        out += fmt::format("{}\t{}\t{}\t{}\n", number(key, "revision"), ttl.empty() ? "-" : ttl, bytes_of_value(key),
                           word(key, "key"));
      } else {
        out += word(key, "key") + "\n";
      }
    }
    put(stdout, out);
    told += keys->as_array().size();
    after = word(page, "after");
    if (after.empty() || (limit != 0 && told >= limit)) return kDone;
  }
}

int watch(KvClient& client, ClientTools& tools, const FlagSet& flags, const std::vector<std::string>& arguments) {
  std::optional<std::uint64_t> since;
  if (!read_revision(flags, "since", &since)) return kWrong;
  // The masters named may be gone before the watch ends; their fellows go on.
  (void)tools.masters.configuration();
  if (!since) {
    // Asked for once: a watch that begins anew at another master must not begin later.
    const auto answer = client.read("?limit=1&keysOnly=true");
    if (!answer) return fail(answer.error().what());
    if (answer->status != 200) return refused(*answer);
    since = number(parsed(*answer), "spaceRevision");
  }
  const std::string key = arguments.empty() ? "" : arguments[0];
  const bool all = key.empty() || flags.boolean("prefix");
  const std::string target = all ? "?prefix=" + query_escape(key) + "&" : KvClient::escape(key) + "?";
  const std::uint64_t count = flags.unsigned_integer("count");
  for (std::uint64_t told = 0;;) {
    const auto answer = client.read(
        fmt::format("{}watch=true&since={}&timeout={}s{}", target, *since, kWatchTurn / 1s,
                    count == 0 ? "" : fmt::format("&limit={}", std::min<std::uint64_t>(count - told, 1000))),
        kWatchTurn);
    if (!answer) return fail(answer.error().what());
    if (answer->status != 200) return refused(*answer);
    const auto page = parsed(*answer);
    const auto* changes = page.as_object().if_contains("changes");
    if (changes == nullptr || !changes->is_array()) return fail("the master's answer is not understood: " + answer->body);
    std::string out;
    for (const auto& change : changes->as_array()) {
      if (flags.boolean("json")) {
        out += json::serialize(change) + "\n";
      } else {
        const std::string value = value_of(change);
        out += fmt::format("{}\t{}\t{}{}{}\n", word(change, "type"), number(change, "revision"), word(change, "key"),
                           word(change, "type") == "put" ? "\t" : "", value);
      }
    }
    put(stdout, out);
    told += changes->as_array().size();
    if (count != 0 && told >= count) return kDone;
    since = std::max(*since, number(page, "spaceRevision"));
  }
}

constexpr Action kActions[] = {
    {"get", "kv get [flags] <key>", "print the value of a key", 1, 1, get},
    {"put", "kv put [flags] <key> <value>|-", "set a key; - reads the value from stdin", 1, 2, put_value},
    {"delete", "kv delete [flags] <key>", "remove a key", 1, 1, remove},
    {"renew", "kv renew [flags] <key>", "let the time to live of a key begin again", 1, 1, renew},
    {"list", "kv list [flags] [<prefix>]", "print the keys there are, in their order", 0, 1, list},
    {"watch", "kv watch [flags] [<key>]", "print changes as they come; without a key all", 0, 1, watch},
};

std::string usage(const std::string& program, const Action& action, const FlagSet& flags) {
  return fmt::format("Usage: {} {}\n  {}\n\nFlags, before the key:\n{}", program, action.usage, action.summary,
                     flags.defaults_text());
}

int run_action(const Call& call, const Action& action) {
  FlagSet flags;
  declare_kv_action(action.name, flags);
  const std::vector<std::string> rest(call.arguments.begin() + 1, call.arguments.end());
  const auto parsed = flags.parse(rest);
  if (!parsed) {
    put(stderr, fmt::format("{}\n{}", parsed.error().what(), usage(call.program, action, flags)));
    return kWrong;
  }
  if (parsed->help) {
    put(stdout, usage(call.program, action, flags));
    return kDone;
  }
  const auto& arguments = parsed->arguments;
  if (arguments.size() < action.arguments_min || arguments.size() > action.arguments_max) {
    const char* why = arguments.size() < action.arguments_min ? "a key is missing" : "too many arguments: flags stand before the key";
    put(stderr, fmt::format("{}\n{}", why, usage(call.program, action, flags)));
    return kWrong;
  }
  // Given before the action they count too.
  for (const char* name : {"master", "timeout"}) {
    if (!flags.is_given(name) && call.flags.is_given(name)) {
      const auto text = std::string(name) == "timeout" ? strconv::text(call.flags.duration(name)) : call.flags.string(name);
      (void)flags.set(name, text);
    }
  }
  const Duration patience = flags.duration("timeout");
  auto tools = ClientTools::make(flags.string("master"), patience);
  if (!tools) {
    put(stderr, fmt::format("-master: {}\n", tools.error().what()));
    return kWrong;
  }
  const auto masters = [&masters = (*tools)->masters] { return masters.found(kLookUpMax); };
  KvClient client((*tools)->http, {.masters = masters, .patience = patience});
  return action.run(client, **tools, flags, arguments);
}

}  // namespace

int run_kv(const Call& call) {
  if (call.arguments.empty()) {
    put(stderr, "kv: what is to be done is missing: get, put, delete, renew, list or watch\n");
    return kFailed;
  }
  for (const auto& action : kActions) {
    if (action.name == call.arguments[0]) return run_action(call, action);
  }
  put(stderr, fmt::format("kv: there is no {}: get, put, delete, renew, list or watch\n", strconv::quote(call.arguments[0])));
  return kFailed;
}

}  // namespace holdfast::cmd
