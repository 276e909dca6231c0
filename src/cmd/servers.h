// What the commands that start servers have in common: settings, plans, signals, and how a fatal error is told.
#pragma once

#include <functional>
#include <source_location>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "cmd/plan.h"
#include "cmd/command.h"
#include "cmd/settings.h"

namespace holdfast::cmd {

// This process' environment.
std::optional<std::string> process_environment(const std::string& name);

// The value, or the end of the process with the error as a fatal line, `what` in front of it.
template <typename T>
T or_fatal(Result<T> result, const std::string& what = "",
           std::source_location place = std::source_location::current()) {
  if (!result) log::write_fatal(place.file_name(), static_cast<int>(place.line()), what + result.error().what());
  return std::move(*result);
}

// The first line of a server's log: what this is, and as what it was started. Raises the limit of open files, as below.
void announce(const Call& call, const std::string& command);

// Lets this process have as many open files as the system allows it: each connection and each volume has its own, and a shell's
// limit is often 1,024. As root at least kFilesWanted, whatever is allowed. The Error says that it stays as it was.
inline constexpr std::uint64_t kFilesWanted = 65536;
Status raise_files_limit();

// Waits for a signal to stop and answers its name. SIGHUP reads security.toml and master.toml
// again and gives what may change while a server runs to `reload`; the white list together with the one of -whiteList.
std::string serve_until_stopped(const Call& call, const std::function<void(const Reread&)>& reload);

}  // namespace holdfast::cmd
