#include "cmd/servers.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "client/http_pool.h"
#include "cmd/paths.h"
#include "cmd/plan.h"
#include "cmd/signals.h"

namespace holdfast::cmd {

std::optional<std::string> process_environment(const std::string& name) {
  const char* text = std::getenv(name.c_str());
  if (text == nullptr) return std::nullopt;
  return std::string(text);
}

void announce(const Call& call, const std::string& command) {
  if (const auto raised = raise_files_limit(); !raised) LOG_WARNING("{}", raised.error().what());
  LOG_INFO("{} {} {}, feature level {}, process {}", call.program, command, version_text(), feature_level(), ::getpid());
}

Status raise_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  if (::geteuid() == 0 && limit.rlim_max < kFilesWanted) {
    const rlimit wanted{kFilesWanted, kFilesWanted};
    if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return {};
  }
  const auto before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) return {};
  return Error{Code::refused, fmt::format("the limit of open files stays {}: {}", before, errno_words(errno))};
}

std::string serve_until_stopped(const Call& call, const std::function<void(const Reread&)>& reload) {
  return wait_for_stop([&] {
    const auto security = Settings::load("security", call.globals.string("config_dir"), process_environment);
    if (!security) {
      LOG_ERROR("SIGHUP: {}; nothing is changed", security.error().what());
      return;
    }
    std::string list = call.flags.string("whiteList");
    const std::string more = security->string("guard.white_list");
    if (!list.empty() && !more.empty()) list += ",";
    Reread news{.white_list = list + more, .jwt = plan_jwt(*security), .tiers = {}};
    const auto master = Settings::load("master", call.globals.string("config_dir"), process_environment);
    if (master) {
      news.tiers = plan_tiers(*master);
    } else {
      LOG_ERROR("SIGHUP: {}; its stores for volumes stay as they were", master.error().what());
    }
    reload(news);
    read_again(client::tls_for_http());
    LOG_INFO("SIGHUP: read the white list, the keys of tokens, the certificates of HTTPS and the stores for volumes again");
  });
}

}  // namespace holdfast::cmd
