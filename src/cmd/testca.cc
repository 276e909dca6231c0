// `testca`: an authority for trials of mutual TLS, certificates and keys for each part, and a security.toml that uses them.
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>

#include "api/test_authority.h"
#include "cmd/command.h"
#include "cmd/paths.h"

namespace holdfast::cmd {
namespace {

constexpr int kNotDone = 1;
constexpr mode_t kForOwner = 0600;
constexpr mode_t kForAll = 0644;

int fail(const std::string& text) {
  std::fprintf(stderr, "testca: %s\n", text.c_str());
  return kNotDone;
}

// As security.toml quotes: a folder may have any name.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string settings(const std::string& folder, const std::vector<std::string>& parts) {
  std::string names;
  for (const auto& part : parts) names += (names.empty() ? "" : ",") + part;
  std::string out = fmt::format(
      "# gRPC by mutual TLS with a test authority, made by `holdfast testca`. Who reads this file as security.toml (-config_dir, ., \n"
      "# $HOME/.seaweedfs, /usr/local/etc/seaweedfs, /etc/seaweedfs) speaks TLS to the others, and to nobody without a certificate.\n"
      "# On other machines: copy ca.crt and the part's own two files, never ca.key, and change the paths.\n"
      "[grpc]\nca = {}\n",
      quoted(folder + "/ca.crt"));
  for (const auto& part : parts) {
    out += fmt::format("\n[grpc.{0}]\ncert = {1}\nkey = {2}\n# allowed_commonNames = \"{3}\"   # whom it answers; absent: everybody with a certificate\n",
                       part, quoted(folder + "/" + part + ".crt"), quoted(folder + "/" + part + ".key"), names);
  }
  return out;
}

// Each file is new; with one that cannot be written, those before it go again.
Status write_all(const std::string& folder, const std::vector<api::PemFile>& files) {
  std::vector<std::string> written;
  for (const auto& file : files) {
    const auto path = folder + "/" + file.name;
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, file.is_secret ? kForOwner : kForAll);
    int error = descriptor < 0 ? errno : 0;
    if (descriptor >= 0) {
      written.push_back(path);
      if (::write(descriptor, file.text.data(), file.text.size()) != static_cast<ssize_t>(file.text.size())) error = errno != 0 ? errno : ENOSPC;
      if (::fsync(descriptor) != 0 && error == 0) error = errno;
      ::close(descriptor);
    }
    if (error != 0) {
      for (const auto& one : written) ::unlink(one.c_str());
      return Error{Code::unavailable, fmt::format("write {}: {}", path, errno_words(error))};
    }
  }
  return {};
}

}  // namespace

int run_testca(const Call& call) {
  const auto given = expand_home(call.flags.string("dir"));
  if (given.empty()) {
    std::fputs("testca: -dir names the folder for the files\n", stderr);
    return kFailed;
  }
  const auto parts = split_names(call.flags.string("parts"));
  auto hosts = split_names(call.flags.string("hosts"));
  if (hosts.empty()) hosts = {"localhost", "127.0.0.1", "::1", host_name()};
  const auto days = call.flags.unsigned_integer("days");
  auto files = api::make_test_authority({.parts = parts, .hosts = hosts, .days = days > INT_MAX ? INT_MAX : static_cast<int>(days)});
  if (!files) return fail(files.error().what());

  if (::mkdir(given.c_str(), 0700) != 0 && errno != EEXIST) return fail(fmt::format("mkdir {}: {}", given, errno_words(errno)));
  char resolved[PATH_MAX];
  if (::realpath(given.c_str(), resolved) == nullptr) return fail(fmt::format("stat {}: {}", given, errno_words(errno)));
  const std::string folder = resolved;
  files->push_back({"security.toml", settings(folder, parts), false});
  for (const auto& file : *files) {
    struct stat found;
    if (::lstat((folder + "/" + file.name).c_str(), &found) == 0) {
      return fail(fmt::format("{}/{} is there already and is not overwritten: name another folder, or remove it", folder, file.name));
    }
  }
  if (auto written = write_all(folder, *files); !written) return fail(written.error().what());
  for (const auto& file : *files) std::printf("%s/%s\n", folder.c_str(), file.name.c_str());
  std::fflush(stdout);
  return 0;
}

}  // namespace holdfast::cmd
