#include "cmd/dispatch.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/log.h"
#include "base/strconv.h"
#include "client/http_pool.h"
#include "cmd/paths.h"
#include "cmd/settings.h"
#include "cmd/tables.h"
#include "cmd/tls.h"

namespace holdfast::cmd {
namespace {

constexpr int kWrong = 2;

void put(FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

int global_usage(const std::string& program) {
  FlagSet globals("WEED_");
  declare_global(globals);
  put(stderr, command_list(program) + "\nGlobal flags, before the command:\n" + globals.defaults_text());
  return kWrong;
}

int command_usage(const std::string& program, const Command& command) {
  put(stderr, usage_text(program, command));
  return kWrong;
}

int help(const std::string& program, const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    put(stdout, command_list(program));
    return 0;
  }
  if (arguments.size() > 1) {
    put(stderr, fmt::format("usage: {} help command\n\nToo many arguments given.\n", program));
    return kWrong;
  }
  const Command* command = find_command(arguments[0]);
  if (command == nullptr) {
    if (is_future_command(arguments[0])) {
      put(stderr, fmt::format("`{}` is not in this build yet.\n", arguments[0]));
    } else {
      put(stderr, fmt::format("Unknown help topic `{}`.  Run '{} help'.\n", arguments[0], program));
    }
    return kWrong;
  }
  FlagSet flags;
  command->declare(flags);
  put(stdout, fmt::format("Usage: {} {}\n\n  {}\n", program, command->usage, command->long_text));
  put(stderr, "Default Parameters:\n" + flags.defaults_text());
  return 0;
}

// Environment, then the -options file, for what the command line left open. What is wrong has been told already: of a
// value `usage` should follow, of a file that cannot be read nothing, since no flag is wrong.
enum class Filled { well, usage, nothing };
Filled fill(FlagSet& flags, const Environment& environment) {
  const auto taken = flags.take_environment(environment);
  if (!taken) put(stderr, taken.error().what() + "\n");
  const std::string path = expand_home(flags.string("options"));
  if (!path.empty()) {
    std::ifstream file(path);
    if (!file) {
      // Upstream ends here without a word, which helps nobody.
      put(stderr, fmt::format("open {}: {}\n", path, errno_words(errno)));
      return taken ? Filled::nothing : Filled::usage;
    }
    std::stringstream text;
    text << file.rdbuf();
    const auto read = flags.take_file(text.str());
    if (!read) {
      put(stderr, read.error().what() + "\n");
      return Filled::usage;
    }
  }
  return taken ? Filled::well : Filled::usage;
}

// -v, -logdir and their kin. False when one of them makes no sense; that has been told.
bool configure_log(const std::string& program, const FlagSet& globals) {
  log::Options options;
  options.program = program;
  options.directory = expand_home(globals.string("logdir"));
  options.only_stderr = globals.boolean("logtostderr");
  options.also_stderr = globals.boolean("alsologtostderr");
  options.verbosity = static_cast<int>(globals.integer("v"));
  options.per_file = globals.string("vmodule");
  options.backtrace_at = globals.string("log_backtrace_at");
  options.file_bytes_max = globals.unsigned_integer("log_max_size_mb") << 20;
  options.files_max = static_cast<int>(globals.integer("log_max_files"));
  options.file_age_max = std::chrono::hours(globals.integer("log_rotate_hours"));
  options.json = globals.boolean("log_json");
  options.compress = globals.boolean("log_compress");
  const auto threshold = log::parse_severity(globals.string("stderrthreshold"));
  if (!threshold) {
    put(stderr, fmt::format("invalid value {} for flag -stderrthreshold: {}\n",
                            strconv::quote(globals.string("stderrthreshold")), threshold.error().what()));
    return false;
  }
  options.stderr_threshold = *threshold;
  const auto configured = log::configure(options);
  if (!configured) {
    const char* flag = options.per_file.empty() ? "log_backtrace_at" : "vmodule";
    put(stderr, fmt::format("invalid value {} for flag -{}: {}\n", strconv::quote(globals.string(flag)), flag,
                            configured.error().what()));
    return false;
  }
  return true;
}

// TLS for all that this process calls, by gRPC and by HTTP, where security.toml asks for it.
bool prepare_calls(const Command& command, const FlagSet& globals, const Environment& environment) {
  if (command.calls_as.empty()) return true;
  const auto security = Settings::load("security", globals.string("config_dir"), environment);
  const auto files = security ? tls_of_caller(*security, command.calls_as) : Result<api::TlsFiles>(security.error());
  const auto https = files ? https_of_caller(*security) : Result<std::shared_ptr<io::TlsContext>>(files.error());
  if (!https) {
    put(stderr, https.error().what() + "\n");
    return false;
  }
  if (!files->ca.empty()) api::use_tls_for_channels(*files);
  client::use_tls_for_http(*https);
  return true;
}

int run(const std::string& program, const FlagSet& globals, const Command& command,
        std::span<const std::string> arguments, const Environment& environment) {
  FlagSet flags;
  command.declare(flags);
  const auto parsed = flags.parse(arguments);
  if (!parsed) {
    put(stderr, parsed.error().what() + "\n");
    return command_usage(program, command);
  }
  if (parsed->help) return command_usage(program, command);
  switch (fill(flags, environment)) {
    case Filled::well: break;
    case Filled::usage: return command_usage(program, command);
    case Filled::nothing: return kWrong;
  }

  if (!configure_log(program, globals)) return global_usage(program);
  for (const auto& note : flags.notes()) LOG_WARNING("{}", note);

  if (!prepare_calls(command, globals, environment)) return kWrong;
  const int status = command.run({program, globals, flags, parsed->arguments});
  if (status == kFailed) {
    put(stderr, "\n");
    return command_usage(program, command);
  }
  return status;
}

}  // namespace

std::string usage_text(const std::string& program, const Command& command) {
  FlagSet flags;
  command.declare(flags);
  return fmt::format("Example: {} {}\nDefault Usage:\n{}Description:\n  {}\n", program, command.usage,
                     flags.defaults_text(), command.long_text);
}

std::string command_list(const std::string& program) {
  std::string out = fmt::format(
      "{0}: a distributed file store without a single point of failure\n"
      "\n"
      "Usage:\n"
      "\n"
      "  {0} [global flags] <command> [flags] [arguments]\n"
      "\n"
      "The commands are:\n"
      "\n",
      program);
  for (const auto& command : commands()) out += fmt::format("  {:<16} {}\n", command.name, command.summary);
  return out + fmt::format("\n\"{} help <command>\" tells more of one.\n\n"
                           "Under the names mfsmaster, mfschunkserver and mfsmetalogger (links beside this program) it is\n"
                           "a daemon with the actions, settings and ports of MooseFS; -h of each tells more.\n"
                           "mfsmetarestore is the command metarestore.\n", program);
}

int dispatch(const std::vector<std::string>& argv, const Environment& environment) {
  std::string program = argv.empty() || argv[0].empty() ? "weed" : argv[0];
  program = program.substr(program.rfind('/') + 1);

  FlagSet globals("WEED_");
  declare_global(globals);
  const std::vector<std::string> line(argv.begin() + (argv.empty() ? 0 : 1), argv.end());
  const auto parsed = globals.parse(line);
  if (!parsed) {
    put(stderr, parsed.error().what() + "\n");
    return global_usage(program);
  }
  if (parsed->help) return global_usage(program);
  const Filled filled = fill(globals, environment);
  if (filled == Filled::nothing) return kWrong;
  if (filled == Filled::usage || parsed->arguments.empty()) return global_usage(program);

  const auto& arguments = parsed->arguments;
  const std::span<const std::string> rest(arguments.begin() + 1, arguments.end());
  if (arguments[0] == "help") return help(program, {rest.begin(), rest.end()});
  if (const Command* command = find_command(arguments[0])) return run(program, globals, *command, rest, environment);
  if (is_future_command(arguments[0])) {
    put(stderr, fmt::format("{0}: subcommand {1} is not in this build yet\nRun '{0} help' for usage.\n", program,
                            strconv::quote(arguments[0])));
  } else {
    put(stderr, fmt::format("{0}: unknown subcommand {1}\nRun '{0} help' for usage.\n", program,
                            strconv::quote(arguments[0])));
  }
  return kWrong;
}

}  // namespace holdfast::cmd
