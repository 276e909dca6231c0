// What the path of a file names on a volume server: volume, file id, name, extension (spec/weed-cluster 3.2).
//
//   /3,01637037d6   /3,01637037d6.jpg   /3/01637037d6[.jpg]   /3/01637037d6/   /3/01637037d6/my.jpg
//
// Pure; views point into the path. Nothing here knows whether the texts are well-formed ids: model/file_id.h does.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace holdfast::front {

struct VolumePath {
  std::string_view volume;
  std::string_view fid;   // "" when the path has none
  std::string_view name;  // "my.jpg"; "" when the URL gives none
  std::string_view ext;   // ".jpg", with its dot
};

// `path` is decoded and begins with "/".
VolumePath parse_volume_path(std::string_view path);

// The file id as a write reads it: what follows the last comma, up to the last dot behind it; without a comma the whole
// path with its slashes, which then is no id and shows in the error's text.
std::string_view fid_of_write(std::string_view path);

// What follows the last slash: the default name of a raw upload.
std::string_view last_element(std::string_view path);

// Go's error for a query that it does not read fully: `invalid URL escape "%zz"`, `invalid semicolon separator in
// query`. Nothing when all is well.
std::optional<std::string> query_error(std::string_view query);

}  // namespace holdfast::front
