// The flags of every command, each declared once: name, type, default, help, and what this build does with it.
//
// Names, types and defaults are those of spec/weed-cluster 1.3-1.9, except for what failover would suffer from
// (docs/compatibility.md lists each) and for flags of our own. `server` takes the tables of `master` and `volume`
// under the prefixes "master." and "volume.", without what it declares once for both.
#pragma once

#include <span>
#include <string_view>

#include "cmd/flags.h"

namespace holdfast::cmd {

void declare_global(FlagSet& flags);
void declare_master(FlagSet& flags);
void declare_master_follower(FlagSet& flags);
void declare_volume(FlagSet& flags);
void declare_server(FlagSet& flags);
void declare_recover(FlagSet& flags);
void declare_backup(FlagSet& flags);
void declare_metalogger(FlagSet& flags);
void declare_metarestore(FlagSet& flags);
void declare_shell(FlagSet& flags);
void declare_upload(FlagSet& flags);
void declare_download(FlagSet& flags);
void declare_benchmark(FlagSet& flags);
void declare_scaffold(FlagSet& flags);
void declare_lease(FlagSet& flags);
void declare_completion(FlagSet& flags);
void declare_man(FlagSet& flags);
void declare_testca(FlagSet& flags);

// Of `kv`, and of what stands behind it ("get", "put", ...); false: there is no such thing.
void declare_kv(FlagSet& flags);
bool declare_kv_action(std::string_view action, FlagSet& flags);
std::span<const std::string_view> kv_actions();

// $TMPDIR, else /tmp: the default of -dir, -mdir, -logdir.
const std::string& temporary_folder();

}  // namespace holdfast::cmd
