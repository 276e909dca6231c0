#include "io/disk.h"

namespace holdfast::io {

std::string folder_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  if (slash == 0) return "/";
  return path.substr(0, slash);
}

std::string join(const std::string& folder, const std::string& name) {
  if (folder.empty()) return name;
  return folder.back() == '/' ? folder + name : folder + "/" + name;
}

Result<std::string> Disk::read_file(const std::string& path, std::uint64_t size_max) {
  auto file = open(path, {});
  if (!file) return file.error();
  const auto size = (*file)->size();
  if (!size) return size.error();
  if (*size > size_max) return Error{Code::invalid, path + ": too large: " + std::to_string(*size) + " bytes"};
  std::string content(*size, '\0');
  const auto count = (*file)->read(0, {reinterpret_cast<std::uint8_t*>(content.data()), content.size()});
  if (!count) return count.error();
  content.resize(*count);
  return content;
}

Status Disk::set_modified(const std::string&, WallTime) { return {}; }

Status Disk::replace_file(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".tmp";
  {
    auto file = open(temporary, {.write = true, .create = true, .truncate = true});
    if (!file) return file.error();
    if (auto done = (*file)->write(0, bytes_of(content)); !done) return done;
    if (auto done = (*file)->sync(); !done) return done;
  }
  if (auto done = rename(temporary, path); !done) return done;
  return sync_dir(folder_of(path));
}

Status Disk::make_folders(const std::string& path) {
  const auto there = info(path);
  if (there) {
    if (!there->is_folder) return Error{Code::already_exists, path + ": is not a folder"};
    return {};
  }
  if (there.error().code() != Code::not_found) return there.error();
  const std::string parent = folder_of(path);
  if (parent != path && parent != "." && parent != "/") {
    if (auto done = make_folders(parent); !done) return done;
  }
  if (auto done = make_folder(path); !done) return done;
  return sync_dir(parent);
}

Status Disk::remove_all(const std::string& path) {
  const auto there = info(path);
  if (!there) {
    if (there.error().code() == Code::not_found) return {};
    return there.error();
  }
  if (there->is_folder) {
    const auto names = list(path);
    if (!names) return names.error();
    for (const auto& name : *names) {
      if (auto done = remove_all(join(path, name)); !done) return done;
    }
  }
  return remove(path);
}

}  // namespace holdfast::io
