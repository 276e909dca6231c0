#include <fmt/format.h>

#include <cerrno>
#include <cstdio>

#include "cmd/command.h"
#include "cmd/mfs/config.h"
#include "cmd/paths.h"
#include "cmd/toml_samples.h"

namespace holdfast::cmd {
namespace {

// Made from the tables that the daemons read their settings by.
std::string sample(const std::string& name) {
  if (name == "mfshdd") return mfs::sample_of_disks();
  const auto* role = mfs::find_role(name);
  return role != nullptr ? mfs::sample_of(*role) : "";
}

}  // namespace

int run_scaffold(const Call& call) {
  const auto& name = call.flags.string("config");
  const auto toml = toml_sample(name);
  const auto text = toml.empty() ? sample(name) : toml;
  if (text.empty()) {
    std::fprintf(stderr,
                 "there is no sample of \"%s\": -config is one of master, mfsmaster, mfschunkserver, mfsmetalogger, mfshdd\n",
                 name.c_str());
    return kFailed;
  }
  const auto folder = expand_home(call.flags.string("output"));
  if (folder.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    return 0;
  }
  const auto path = fmt::format("{}/{}.{}", folder, name, toml.empty() ? "cfg" : "toml");
  // A file that is there may be someone's settings.
  std::FILE* file = std::fopen(path.c_str(), "wx");
  bool is_written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const int error = errno;
  if (file != nullptr) is_written = std::fclose(file) == 0 && is_written;
  if (!is_written) {
    std::fprintf(stderr, "write %s: %s\n", path.c_str(), errno_words(error).c_str());
    return 2;
  }
  std::printf("%s\n", path.c_str());
  return 0;
}

}  // namespace holdfast::cmd
