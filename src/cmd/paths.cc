#include "cmd/paths.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace holdfast::cmd {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

std::string errno_words(int number) {
  std::string words = std::strerror(number);
  if (!words.empty() && words[0] >= 'A' && words[0] <= 'Z') words[0] = static_cast<char>(words[0] + 32);
  return words;
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "localhost";
}

std::string expand_home(std::string_view path) {
  if (!path.starts_with('~')) return std::string(path);
  const auto slash = path.find('/');
  const std::string user(path.substr(1, slash == std::string_view::npos ? slash : slash - 1));
  const std::string rest(slash == std::string_view::npos ? std::string_view() : path.substr(slash));
  if (user.empty()) {
    if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return home + rest;
  }
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> room{};
  const int fault = user.empty() ? ::getpwuid_r(::getuid(), &entry, room.data(), room.size(), &found)
                                 : ::getpwnam_r(user.c_str(), &entry, room.data(), room.size(), &found);
  if (fault != 0 || found == nullptr) return std::string(path);
  return found->pw_dir + rest;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  for (;;) {
    const auto comma = text.find(',');
    items.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::vector<std::string> split_names(std::string_view text) {
  std::vector<std::string> items;
  for (const auto& item : split_list(text)) {
    if (const auto name = trimmed(item); !name.empty()) items.emplace_back(name);
  }
  return items;
}

Status make_last_component(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return Error(errno == ENOENT ? Code::not_found : Code::io, "stat " + path + ": " + errno_words(errno));
}

Status check_writable_folder(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return Error(errno == ENOENT ? Code::not_found : Code::io, "stat " + path + ": " + errno_words(errno));
  }
  if (!S_ISDIR(status.st_mode)) return Error(Code::invalid, path + " is not a folder");
  if ((status.st_mode & S_IWUSR) == 0) return Error(Code::refused, path + " is not writable");
  if (::access(path.c_str(), W_OK | X_OK) != 0) return Error(Code::refused, path + ": " + errno_words(errno));
  return {};
}

}  // namespace holdfast::cmd
