// `lease`: who holds the leading master's lease, and with -history what happened to it (docs/leases.md).
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>

#include "cmd/client_tools.h"
#include "cmd/command.h"
#include "service/master/watch.h"

namespace holdfast::cmd {
namespace {

namespace json = boost::json;

constexpr int kDone = 0;
constexpr int kError = 1;

void put(FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

int fail(const std::string& why) {
  put(stderr, "lease: " + why + "\n");
  return kError;
}

Result<std::string> get(ClientTools& tools, const std::string& authority, const std::string& target, Duration patience) {
  client::HttpRequest request{.authority = authority, .target = target};
  request.connect_timeout = request.silence_timeout = patience;
  auto answer = tools.http.send_and_wait(request);
  if (!answer) return Error{answer.error().code(), authority + ": " + answer.error().what()};
  if (answer->status == 404) return Error{Code::not_found, authority + " does not know of leases: start this release there too"};
  if (answer->status != 200) return Error{Code::unavailable, authority + ": " + error_of_answer(*answer)};
  return std::move(answer->body);
}

// From the first of the masters that answers.
Result<std::string> get_from_any(ClientTools& tools, const std::string& target, Duration patience, std::string* who) {
  std::string trouble;
  for (const auto& master : tools.masters.found(patience)) {
    auto body = get(tools, master.http(), target, patience);
    if (body) {
      *who = master.http();
      return body;
    }
    trouble += (trouble.empty() ? "" : "; ") + body.error().what();
  }
  return Error{Code::unavailable, "no master answers: " + trouble};
}

std::string event_text(const master::LeaseEvent& event, const std::string& line) {
  const auto wall = line.find("\"wall\":\"");
  return fmt::format("{}  {:<9}  term {:<5} {}{}  {}\n", wall == std::string::npos ? "" : line.substr(wall + 8, 23), text(event.kind),
                     event.term.value(), event.holder_address,
                     event.length > Duration(0) ? fmt::format("  {} ms", milliseconds(event.length)) : "", event.cause);
}

int print_history(std::vector<std::string> lines, const FlagSet& flags) {
  const auto last = flags.unsigned_integer("n");
  std::size_t unreadable = 0;
  if (last != 0 && lines.size() > last) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(last));
  for (const auto& line : lines) {
    const auto event = master::parse_lease_line(line);
    if (!event) {
      ++unreadable;
    } else {
      put(stdout, flags.boolean("json") ? line + "\n" : event_text(*event, line));
    }
  }
  if (unreadable > 0) put(stderr, fmt::format("lease: {} lines could not be read and are left out\n", unreadable));
  return kDone;
}

int history(const Call& call) {
  const auto& folder = call.flags.string("mdir");
  if (!folder.empty()) {
    auto lines = master::lease_log(folder).read();
    if (!lines) return fail(lines.error().what() + ": -mdir is the folder that the master was started with");
    return print_history(std::move(*lines), call.flags);
  }
  const auto patience = call.flags.duration("timeout");
  auto tools = ClientTools::make(call.flags.string("master"), patience);
  if (!tools) return fail("-master: " + tools.error().what());
  std::string who;
  auto body = get_from_any(**tools, "/cluster/lease/history", patience, &who);
  if (!body) return fail(body.error().what());
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < body->size();) {
    const auto end = std::min(body->find('\n', at), body->size());
    lines.push_back(body->substr(at, end - at));
    at = end + 1;
  }
  return print_history(std::move(lines), call.flags);
}

std::string word(const json::value& object, const char* name) {
  const auto* found = object.is_object() ? object.as_object().if_contains(name) : nullptr;
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}
std::optional<std::int64_t> number(const json::value& object, const char* name) {
  const auto* found = object.is_object() ? object.as_object().if_contains(name) : nullptr;
  json::error_code none;
  return found != nullptr && found->is_number() ? std::optional(found->to_number<std::int64_t>(none)) : std::nullopt;
}
const json::array& list(const json::value& object, const char* name) {
  static const json::array kNone;
  const auto* found = object.is_object() ? object.as_object().if_contains(name) : nullptr;
  return found != nullptr && found->is_array() ? found->as_array() : kNone;
}

std::string status_text(const json::value& status, const std::string& who) {
  const auto holder = word(status, "holder");
  std::string out = fmt::format("as {} sees it, term {}\n", who, number(status, "term").value_or(0));
  if (holder.empty()) {
    out += "holder   none: no master leads\n";
  } else if (const auto left = number(status, "leftMs")) {
    out += fmt::format("holder   {}, {} of {} ms left, renewed with every heartbeat\n", holder, *left,
                       number(status, "lengthMs").value_or(0));
  } else if (word(status, "reads") == "majority") {
    out += fmt::format("holder   {} leads without a lease: each read asks a majority\n", holder);
  } else {
    out += fmt::format("holder   {}; what is left of its lease it knows itself, and does not answer\n", holder);
  }
  if (const auto wait = number(status, "commitsInMs")) {
    out += fmt::format("waits    commits nothing for {} ms: an earlier lease may still run\n", *wait);
  }
  for (const auto& master : list(status, "masters")) {
    out += fmt::format("master   {}  {}\n", word(master, "address"), word(master, "why"));
  }
  for (const auto& cell : list(status, "reach")) {
    if (word(cell, "reached") == "no") out += fmt::format("cut      what {} sends does not arrive at {}\n", word(cell, "from"), word(cell, "to"));
  }
  for (const auto& one : list(status, "discovered")) out += fmt::format("named    {}  {}\n", word(one, "address"), word(one, "state"));
  for (const auto& alarm : list(status, "alarms")) out += fmt::format("alarm    {}\n", word(alarm, "text"));
  return out;
}

}  // namespace

int run_lease(const Call& call) {
  if (!call.arguments.empty()) {
    put(stderr, fmt::format("lease: \"{}\" is no flag; -history tells what happened\n", call.arguments[0]));
    return kFailed;
  }
  if (call.flags.boolean("history")) return history(call);
  const auto patience = call.flags.duration("timeout");
  auto tools = ClientTools::make(call.flags.string("master"), patience);
  if (!tools) return fail("-master: " + tools.error().what());
  std::string who;
  auto body = get_from_any(**tools, "/cluster/lease", patience, &who);
  if (!body) return fail(body.error().what());
  json::error_code failed;
  auto status = json::parse(*body, failed);
  if (failed) return fail(who + " answers what is no JSON");
  // What is left of a lease only its holder knows.
  if (const auto holder = word(status, "holder"); !holder.empty() && holder != who) {
    if (auto own = get(**tools, holder, "/cluster/lease", patience); own) {
      auto parsed = json::parse(*own, failed);
      if (!failed && word(parsed, "holder") == holder) {
        status = std::move(parsed);
        body = std::move(own);
        who = holder;
      }
    }
  }
  put(stdout, call.flags.boolean("json") ? *body + "\n" : status_text(status, who));
  return kDone;
}

}  // namespace holdfast::cmd
