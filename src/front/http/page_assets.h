// The style and the script of the master's page, and the pictures; compiled in, so the program needs no files.
#pragma once

#include <span>
#include <string_view>

namespace holdfast::front {

extern const std::string_view kPageStyle;
extern const std::string_view kPageScript;
extern const std::string_view kLogoSvg;   // the mark, in the page's own colour

struct StaticFile {
  std::string_view path;  // below /seaweedfsstatic/, e.g. "seaweed50x50.png"
  std::string_view content_type;
  std::string_view bytes;
};

// Null when there is no such file. "favicon.ico" is among them.
const StaticFile* static_file(std::string_view path);

// All of them, by name.
std::span<const StaticFile> static_files();

}  // namespace holdfast::front
