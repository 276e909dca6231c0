// `shell`: commands for the masters, line by line (spec/weed-cluster 1.9).
//
// On a terminal it prompts; else it reads stdin to its end. `;` separates commands on a line. A command that fails is
// told of on stderr and the next one runs; the exit status is 0 whatever happened, as upstream's scripts rely on.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>

#include "cmd/client_tools.h"
#include "cmd/command.h"
#include "cmd/servers.h"
#include "cmd/settings.h"
#include "cmd/shell_commands.h"
#include "cmd/shell_words.h"
#include "cmd/signals.h"

namespace holdfast::cmd {
namespace {

constexpr Duration kPatience = 10s;  // for one command, elections included

void put(FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

std::string first_sentence(std::string_view help) { return std::string(help.substr(0, help.find('.') + 1)); }

std::string command_names() {
  std::string out = "help, exit";
  for (const auto& command : shell_commands()) out += fmt::format(", {}", command.name);
  return out;
}

void help(const std::vector<std::string>& words) {
  if (words.size() < 2) {
    std::string text = "Type \"help <command>\" for more about one of these:\n";
    for (const auto& command : shell_commands()) {
      text += fmt::format("  {:<28} # {}\n", command.name, first_sentence(command.help));
    }
    return put(stdout, text + fmt::format("  {:<28} # ends this shell; so do quit and the end of the input.\n", "exit"));
  }
  const ShellCommand* command = find_shell_command(words[1]);
  if (command == nullptr) return;  // as upstream
  FlagSet flags;
  command->declare(flags);
  put(stdout, fmt::format("  {}\t# {}\n{}", command->name, command->help, flags.defaults_text()));
}

void run(Shell& shell, const std::vector<std::string>& words) {
  const ShellCommand* command = find_shell_command(words[0]);
  if (command == nullptr) {
    put(stderr, fmt::format("unknown command: {}\n{}", words[0],
                            is_future_shell_command(words[0])
                                ? fmt::format("  it comes with a later release; this one has: {}\n", command_names())
                                : fmt::format("  there are: {}\n", command_names())));
    return;
  }
  FlagSet flags;
  command->declare(flags);
  const auto parsed = flags.parse(std::span(words).subspan(1));
  if (!parsed || parsed->help) {
    put(stderr, (parsed ? "" : parsed.error().what() + "\n") +
                    fmt::format("Usage of {}:\n{}", command->name, flags.defaults_text()));
    return;
  }
  for (const auto& note : flags.notes()) put(stderr, note + "\n");
  if (flags.is_declared("apply") && !applies(flags)) {
    put(stdout, "Running in simulation mode. Use \"-apply\" option to apply the changes.\n");
  }
  const auto locked = command->needs_lock ? shell.locked() : Status();
  const Status status = locked ? command->run(shell, flags) : locked;
  std::fflush(stdout);
  if (!status) put(stderr, fmt::format("error: {}\n", status.error().what()));
}

// False when the shell is to end.
bool run_line(Shell& shell, const std::string& line) {
  const auto commands = shell_words(line);
  if (!commands) {
    put(stderr, fmt::format("error: {}\n", commands.error().what()));
    return true;
  }
  for (const auto& words : *commands) {
    if (words[0] == "exit" || words[0] == "quit") return false;
    if (words[0] == "help" || words[0] == "?") {
      help(words);
    } else {
      run(shell, words);
    }
  }
  return true;
}

// -master, else what shell.toml says, else this machine.
Result<std::string> masters_of(const Call& call) {
  if (!call.flags.string("master").empty()) return call.flags.string("master");
  const auto settings = Settings::load("shell", call.globals.string("config_dir"), process_environment);
  if (!settings) return settings.error();
  std::string cluster = call.flags.string("cluster");
  if (cluster.empty()) cluster = settings->string("cluster.default");
  if (cluster.empty()) return std::string("localhost:9333");
  const std::string found = settings->string("cluster." + cluster + ".master");
  if (found.empty()) return Error(Code::not_found, fmt::format("shell.toml has no cluster.{}.master", cluster));
  return found;
}

}  // namespace

int run_shell(const Call& call) {
  const bool prompts = ::isatty(STDIN_FILENO) == 1;
  const auto named = masters_of(call);
  auto tools = named ? ClientTools::make(*named, kPatience) : named.error();
  if (!tools) {
    put(stderr, fmt::format("error: {}\n", tools.error().what()));
    return kFailed;
  }
  Shell shell((*tools)->masters, kPatience);
  // A program that gives the lines ends this by ending them; a signal to its whole group stops no command halfway.
  const std::string& prompt = call.flags.string("prompt");
  std::optional<Interruption> interruption;
  if (prompt.empty()) interruption.emplace([&shell] { put(stderr, shell.frozen_text()); });
  if (prompts) put(stdout, fmt::format("masters: {}; \"help\" lists the commands\n", *named));
  std::string line;
  for (;;) {
    if (!prompt.empty()) put(stdout, prompt + "\n");
    else if (prompts) put(stdout, "> ");
    if (!std::getline(std::cin, line)) break;
    if (!run_line(shell, line)) return 0;
  }
  if (prompts) put(stdout, "\n");
  return 0;
}

}  // namespace holdfast::cmd
