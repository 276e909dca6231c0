#include "cmd/mfs/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "cmd/mfs/cfg.h"

namespace holdfast::mfs {
namespace {

constexpr std::string_view kConfigFolder = "/etc/mfs";

bool is_master(const Role& role) { return &role == &kMasterRole; }

Error wrong(std::string text) { return Error(Code::invalid, std::move(text)); }

struct NamedAction {
  std::string_view name;
  Action action;
};
constexpr NamedAction kActions[] = {
    {"start", Action::start},   {"stop", Action::stop}, {"restart", Action::restart}, {"try-restart", Action::try_restart},
    {"reload", Action::reload}, {"info", Action::info}, {"test", Action::test},       {"status", Action::test},
    {"kill", Action::kill},     {"restore", Action::restore}};

Result<Action> action_of(const Role& role, const std::string& text) {
  std::string name = text;
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  const auto found =
      std::find_if(std::begin(kActions), std::end(kActions), [&](const auto& one) { return one.name == name; });
  const bool is_known = found != std::end(kActions) && (found->action != Action::restore || is_master(role));
  if (!is_known) return wrong(fmt::format("there is no action \"{}\"", shown(text)));
  return found->action;
}

// A switch without a value. False when the role has none of that letter.
bool take_switch(const Role& role, char letter, CommandLine& line) {
  switch (letter) {
    case 'v': line.wants_version = true; return true;
    case 'h':
    case '?': line.wants_help = true; return true;
    case 'f': line.in_foreground = true; return true;
    case 'd': line.allows_dangerous = true; return true;
    case 'u': line.tells_defaults = true; return true;
    case 'n': line.keeps_core_limit = true; return true;
    default: break;
  }
  if (!is_master(role)) return false;
  switch (letter) {
    case 'i': line.ignores_errors = true; return true;
    case 'a': line.restores = true; return true;
    case 'e': line.starts_empty = true; return true;
    case 'x': ++line.verbosity; return true;
    default: return false;
  }
}

}  // namespace

std::string default_config_path(const Role& role) { return fmt::format("{}/{}.cfg", kConfigFolder, role.name); }

Result<CommandLine> parse_command_line(const Role& role, const std::vector<std::string>& arguments) {
  CommandLine line;
  line.config_path = default_config_path(role);
  std::optional<Action> action;
  bool only_words = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (!only_words && word == "--") {
      only_words = true;
    } else if (!only_words && word == "--help") {
      line.wants_help = true;
    } else if (!only_words && word == "--version") {
      line.wants_version = true;
    } else if (only_words || word.size() < 2 || word[0] != '-') {
      if (action) return wrong(fmt::format("one action is meant; \"{}\" is a second one", shown(word)));
      const auto named = action_of(role, word);
      if (!named) return named.error();
      action = *named;
    } else {
      for (std::size_t at = 1; at < word.size(); ++at) {
        const char letter = word[at];
        if (letter != 'c' && letter != 't') {
          if (!take_switch(role, letter, line)) return wrong(fmt::format("there is no option -{}", shown({&letter, 1})));
          continue;
        }
        // Its value is the rest of this word, or the next one.
        std::string value = word.substr(at + 1);
        if (value.empty()) {
          if (++i == arguments.size()) return wrong(fmt::format("-{} needs a value", letter));
          value = arguments[i];
        }
        if (letter == 'c') {
          line.config_path = value;
        } else {
          const auto seconds = read_integer(value);
          constexpr std::int64_t kPatienceMax = 365 * 86400;
          if (!seconds.value || !seconds.warning.empty() || *seconds.value < 0 || *seconds.value > kPatienceMax) {
            return wrong(fmt::format("-t takes seconds, not \"{}\"", shown(value)));
          }
          line.patience = std::chrono::seconds(*seconds.value);
        }
        break;
      }
    }
  }
  line.action = action.value_or(Action::start);
  if (line.config_path.empty()) return wrong("-c names no file");
  return line;
}

std::vector<std::string_view> action_names(const Role& role) {
  std::vector<std::string_view> out;
  for (const auto& one : kActions) {
    if (one.action != Action::restore || is_master(role)) out.push_back(one.name);
  }
  return out;
}

std::string usage_of(const Role& role) {
  const bool master = is_master(role);
  std::string out = fmt::format(
      "usage: {0} [-vhfdun] [-t SECONDS] [-c FILE]{1} [ACTION]\n"
      "\n"
      "{0} runs {2}, as a daemon.\n"
      "\n"
      "  -v          print the version\n"
      "  -h          print this\n"
      "  -c FILE     settings; without it {3}\n"
      "              (`holdfast scaffold -config={0}` prints a sample)\n"
      "  -f          stay in the foreground; messages go to stderr as well as to syslog\n"
      "  -u          tell the settings for which a default is used\n"
      "  -d          allow settings whose names begin with DANGEROUS_\n"
      "  -n          leave the limit of core dumps as it is\n"
      "  -t SECONDS  how long stop, restart and kill wait for the daemon's end (1800)\n",
      role.name, master ? " [-iaex]" : "", role.summary, default_config_path(role));
  if (master) {
    out +=
        "  -a          accepted: every start recovers from its own log by itself, after a crash too\n"
        "  -i          accepted: what is damaged in the log is mended or learned from the other masters\n"
        "  -e          with HA_ENABLED: put this master's state aside and join the others as a new one\n"
        "  -x, -xx     log more\n";
  }
  out += fmt::format(
      "\n"
      "Actions, in any case of letters; without one it is start:\n"
      "  start        start; 0 when it serves, 1 when it cannot, as when it runs already\n"
      "  stop         end it and wait; 0, also when it does not run; 1 when it does not end in time\n"
      "  restart      stop, then start\n"
      "  try-restart  restart if it runs; 1 if not\n"
      "  reload       read the settings again (SIGHUP); 1 if it does not run\n"
      "  info         write DATA_PATH/.{0}_info.txt (SIGUSR1); 1 if it does not run\n"
      "  test, status say whether it runs: 0 \"{0} pid: N\", 1 \"{0} is not running\"\n"
      "  kill         end it at once (SIGKILL) and wait; 0\n",
      role.name);
  if (master) {
    out +=
        "  restore      check and mend what lies in DATA_PATH, without serving; 0 when a start would work\n"
        "\n"
        "Ports, by option: masters and chunkservers MASTER_PORT (9420), metaloggers MATOML_LISTEN_PORT (9419),\n"
        "clients by HTTP MATOCL_LISTEN_PORT (9421), the page GUISERV_LISTEN_PORT (9425).\n";
  } else if (&role == &kChunkserverRole) {
    out +=
        "\n"
        "Files are stored in the folders of mfshdd.cfg (HDD_CONF_FILENAME), without that file in DATA_PATH.\n"
        "Ports, by option: data by HTTP CSSERV_LISTEN_PORT (9422), orders of the masters CSSERV_ORDERS_PORT (19422).\n";
  } else {
    out +=
        "\n"
        "Keeps metadata_ml.mfs.back and changelog_ml.*.mfs in DATA_PATH: mfsmetarestore makes a state of them that a\n"
        "master can start on. MASTER_HOST names the masters, MASTER_PORT their port for metaloggers (9419).\n";
  }
  return out;
}

}  // namespace holdfast::mfs
