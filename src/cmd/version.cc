#include <cstdio>

#include "cmd/command.h"

namespace holdfast::cmd {
namespace {

// Go's names for system and processor, which scripts look for: "linux amd64".
constexpr const char* kPlatform =
#if defined(__x86_64__)
    "linux amd64";
#elif defined(__aarch64__)
    "linux arm64";
#else
    "linux unknown";
#endif

}  // namespace

std::string version_text() { return "30GB " HOLDFAST_VERSION; }

std::string release_text() { return HOLDFAST_VERSION; }

std::string platform_text() { return kPlatform; }

int run_version(const Call& call) {
  if (!call.arguments.empty()) return kFailed;
  std::printf("version %s %s %s\n", version_text().c_str(), HOLDFAST_COMMIT, kPlatform);
  std::fflush(stdout);
  return 0;
}

}  // namespace holdfast::cmd
