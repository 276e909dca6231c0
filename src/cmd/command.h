// A subcommand: its names and words, its flags, and what it does. commands() is the table of all that this build has.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/flags.h"

namespace holdfast::cmd {

// What a command is called with.
struct Call {
  const std::string& program;  // argv[0] without its folders: "weed", "holdfast"
  const FlagSet& globals;
  const FlagSet& flags;
  const std::vector<std::string>& arguments;  // after the flags
};

// Answered by run() when the command could not do what was asked: the usage follows, and exit status 2.
inline constexpr int kFailed = -1;

struct Command {
  std::string_view name;
  std::string_view usage;      // after the program's name: "master -port=9333"
  std::string_view summary;    // one line of the command list
  std::string_view long_text;  // some sentences for "Description:"
  void (*declare)(FlagSet& flags);
  int (*run)(const Call& call);  // the exit status, or kFailed
  std::string_view calls_as = "client";  // whose certificate of security.toml it shows (cmd/tls.h); "": it calls nobody by gRPC
};

std::span<const Command> commands();
const Command* find_command(std::string_view name);

// Whether `name` is a command of the existing system that this build does not have yet.
bool is_future_command(std::string_view name);

// One function for each file cmd/<name>.cc.
int run_master(const Call& call);
int run_master_follower(const Call& call);
int run_volume(const Call& call);
int run_server(const Call& call);
int run_recover(const Call& call);
int run_backup(const Call& call);
int run_metalogger(const Call& call);
int run_metarestore(const Call& call);
int run_shell(const Call& call);
int run_upload(const Call& call);
int run_download(const Call& call);
int run_benchmark(const Call& call);
int run_scaffold(const Call& call);
int run_kv(const Call& call);
int run_lease(const Call& call);
int run_version(const Call& call);
int run_completion(const Call& call);
int run_man(const Call& call);
int run_testca(const Call& call);

// What `version` and the first line of `benchmark` say this is: "30GB 0.1.0".
std::string version_text();
std::string release_text();  // "0.1.0"
std::string platform_text();  // "linux amd64"

}  // namespace holdfast::cmd
