#include "cmd/completion.h"

#include <fmt/format.h>

#include <cstdio>

#include "cmd/command.h"
#include "cmd/mfs/command_line.h"
#include "cmd/tables.h"

namespace holdfast::cmd {
namespace {

constexpr std::string_view kShells[] = {"bash", "zsh", "fish"};
const mfs::Role* const kRoles[] = {&mfs::kMasterRole, &mfs::kChunkserverRole, &mfs::kMetaloggerRole};

// A command, or an action of one, and its flags; the first of all is "": the global ones.
struct Words {
  std::string line;  // "", "master", "kv get"
  std::vector<FlagSet::Description> flags;
};

std::vector<Words> all_words() {
  std::vector<Words> out;
  const auto add = [&](std::string line, const auto& declare) {
    FlagSet flags;
    declare(flags);
    out.push_back({std::move(line), flags.descriptions()});
  };
  add("", declare_global);
  for (const auto& command : commands()) add(std::string(command.name), command.declare);
  for (const auto action : kv_actions()) {
    add("kv " + std::string(action), [&](FlagSet& flags) { CHECK(declare_kv_action(action, flags)); });
  }
  return out;
}

// What may follow a command, as a list of words; "" where that is files.
std::string arguments_of(std::string_view command) {
  std::string out;
  const auto add = [&](std::string_view word) { out += (out.empty() ? "" : " ") + std::string(word); };
  if (command == "help" || command == "man") {
    for (const auto& one : commands()) add(one.name);
  } else if (command == "kv") {
    for (const auto one : kv_actions()) add(one);
  } else if (command == "completion") {
    for (const auto one : kShells) add(one);
  }
  return out;
}

bool is_number(FlagType type) {
  return type == FlagType::integer || type == FlagType::unsigned_integer || type == FlagType::decimal ||
         type == FlagType::number || type == FlagType::duration;
}

std::string command_names() {
  std::string out = arguments_of("help");
  return out + " help";
}

// ---- bash ----------------------------------------------------------------------------------------------------------

std::string bash_table() {
  std::string out;
  for (const auto& one : all_words()) {
    std::string switches, texts, numbers;
    for (const auto& flag : one.flags) {
      auto& list = flag.type == FlagType::boolean ? switches : is_number(flag.type) ? numbers : texts;
      list += (list.empty() ? "" : " ") + flag.name;
    }
    out += fmt::format("    \"{}\") switches=\"{}\" texts=\"{}\" numbers=\"{}\" ;;\n", one.line, switches, texts, numbers);
  }
  return out;
}

std::string bash_arguments() {
  std::string out;
  for (const auto& command : commands()) {
    const auto words = arguments_of(command.name);
    if (!words.empty()) out += fmt::format("    {}) words=\"{}\" ;;\n", command.name, words);
  }
  return out;
}

std::string bash_daemons() {
  std::string out;
  for (const auto* role : kRoles) {
    std::string names;
    for (const auto name : mfs::action_names(*role)) names += (names.empty() ? "" : " ") + std::string(name);
    out += fmt::format("complete -W \"{}\" {}\n", names, role->name);
  }
  return out;
}

// Bash makes words of "-flag", "=" and "value", and of what stands around a ":"; zsh's imitation of it does neither.
constexpr std::string_view kBash = R"(# Made by `holdfast completion {shell}` from the tables of its flags.
_holdfast_flags() {{
  switches="" texts="" numbers=""
  case "$1" in
{table}  esac
}}

_holdfast_has() {{
  case " $1 " in *" $2 "*) return 0 ;; esac
  return 1
}}

_holdfast() {{
  local switches texts numbers words word name flag="" front="" command="" action="" dashes candidates="" i
  local current="${{COMP_WORDS[COMP_CWORD]}}"
  COMPREPLY=()

  # The command, among what stands before the word under the cursor.
  _holdfast_flags ""
  i=1
  while [ "$i" -lt "$COMP_CWORD" ]; do
    word="${{COMP_WORDS[i]}}"
    case "$word" in
      -*=*) ;;
      -*)
        name="${{word#-}}" name="${{name#-}}"
        if [ "${{COMP_WORDS[i+1]}}" = "=" ]; then
          i=$((i + 2))
        elif _holdfast_has "$texts $numbers" "$name"; then
          i=$((i + 1))
        fi
        ;;
      :) i=$((i + 1)) ;;
      *)
        if [ -z "$command" ]; then
          command="$word"
          _holdfast_flags "$command"
        elif [ -z "$action" ] && [ "$command" = kv ]; then
          action="$word"
          _holdfast_flags "$command $action"
        fi
        ;;
    esac
    i=$((i + 1))
  done

  # The value of a flag.
  local before="${{COMP_WORDS[COMP_CWORD-1]}}" is_assigned=""
  if [ "$current" = "=" ]; then
    flag="$before" current="" is_assigned=1
  elif [ "$before" = "=" ]; then
    flag="${{COMP_WORDS[COMP_CWORD-2]}}" is_assigned=1
  else
    case "$current" in
      -*=*) flag="${{current%%=*}}" front="${{current%%=*}}=" current="${{current#*=}}" is_assigned=1 ;;
      -*) ;;
      *) case "$before" in -*) flag="$before" ;; esac ;;
    esac
  fi
  if [ -n "$flag" ]; then
    name="${{flag#-}}" name="${{name#-}}"
    if _holdfast_has "$switches" "$name"; then
      if [ -n "$is_assigned" ]; then
        COMPREPLY=($(compgen -P "$front" -W "true false" -- "$current"))
        return
      fi
    else
      if _holdfast_has "$texts" "$name"; then
        type compopt >/dev/null 2>&1 && compopt -o filenames 2>/dev/null
        local IFS=$'\n'
        COMPREPLY=($(compgen -P "$front" -f -- "$current"))
      fi
      return
    fi
  fi

  case "$current" in
    -*)
      dashes="-"
      case "$current" in --*) dashes="--" ;; esac
      for word in $switches; do candidates="$candidates $dashes$word"; done
      for word in $texts $numbers; do candidates="$candidates $dashes$word="; done
      COMPREPLY=($(compgen -W "$candidates" -- "$current"))
      case "${{COMPREPLY[*]}}" in *=) type compopt >/dev/null 2>&1 && compopt -o nospace 2>/dev/null ;; esac
      return
      ;;
  esac
  words=""
  case "$command" in
    "") words="{commands}" ;;
    help) words="{help}" ;;
{arguments}  esac
  if [ -n "$words" ] && [ -z "$action" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    type compopt >/dev/null 2>&1 && compopt -o filenames 2>/dev/null
    local IFS=$'\n'
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}}

complete -F _holdfast holdfast weed
{daemons})";

std::string bash(std::string_view shell) {
  return fmt::format(kBash, fmt::arg("shell", shell), fmt::arg("table", bash_table()), fmt::arg("commands", command_names()),
                     fmt::arg("help", arguments_of("help")), fmt::arg("arguments", bash_arguments()),
                     fmt::arg("daemons", bash_daemons()));
}

std::string zsh() {
  return "#compdef holdfast weed mfsmaster mfschunkserver mfsmetalogger\n"
         "autoload -U +X compinit && [ -n \"$_comps\" ] || compinit\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash("zsh");
}

// ---- fish ----------------------------------------------------------------------------------------------------------

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_condition(const std::string& line) {
  if (line.empty()) return "not __holdfast_has_command";
  const auto blank = line.find(' ');
  if (blank == std::string::npos) return "__fish_seen_subcommand_from " + line;
  return fmt::format("__fish_seen_subcommand_from {}; and __fish_seen_subcommand_from {}", line.substr(0, blank),
                     line.substr(blank + 1));
}

std::string fish() {
  std::string out = fmt::format(
      "# Made by `holdfast completion fish` from the tables of its flags.\n"
      "function __holdfast_has_command\n"
      "  __fish_seen_subcommand_from {}\n"
      "end\n\n",
      command_names());
  for (const std::string_view program : {"holdfast", "weed"}) {
    for (const auto& command : commands()) {
      out += fmt::format("complete -c {} -f -n 'not __holdfast_has_command' -a {} -d {}\n", program, command.name,
                         quoted(command.summary));
      const auto words = arguments_of(command.name);
      if (!words.empty()) {
        out += fmt::format("complete -c {} -f -n '__fish_seen_subcommand_from {}' -a {}\n", program, command.name, quoted(words));
      }
    }
    out += fmt::format("complete -c {} -f -n '__fish_seen_subcommand_from help' -a {}\n", program, quoted(arguments_of("help")));
    for (const auto& one : all_words()) {
      for (const auto& flag : one.flags) {
        const char* value = flag.type == FlagType::boolean ? "" : is_number(flag.type) ? " -x" : " -r -F";
        out += fmt::format("complete -c {} -n {} -o {}{} -d {}\n", program, quoted(fish_condition(one.line)), flag.name, value,
                           quoted(flag.help));
      }
    }
  }
  for (const auto* role : kRoles) {
    for (const auto name : mfs::action_names(*role)) out += fmt::format("complete -c {} -f -a {}\n", role->name, name);
  }
  return out;
}

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "bash") return bash(shell);
  if (shell == "zsh") return zsh();
  if (shell == "fish") return fish();
  return "";
}

int run_completion(const Call& call) {
  const auto script = call.arguments.size() == 1 ? completion_script(call.arguments[0]) : "";
  if (script.empty()) {
    std::fputs(call.arguments.empty() ? "which shell? bash, zsh or fish\n" : "there is completion for one of bash, zsh and fish\n",
               stderr);
    return kFailed;
  }
  std::fwrite(script.data(), 1, script.size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 2;
}

}  // namespace holdfast::cmd
