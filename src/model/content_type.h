// What kind of file a name or its first bytes tell of, and whether compressing it pays (spec/volume-format 11,
// spec/weed-cluster 3.3, 3.5). Pure; a ContentTypes may be shared by threads once it is filled.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace holdfast {

// Mime types by extension: a table of our own, extended by the host's files as upstream does.
class ContentTypes {
 public:
  ContentTypes();  // the table alone

  // `ext` with its dot: ".jpg". First as written, then in lower case; "" when unknown or empty.
  std::string_view of_extension(std::string_view ext) const;

  // By the part of `name` from its last dot on; "" without one.
  std::string_view of_name(std::string_view name) const;

  // Adds the lines of a shared-mime-info globs2 file (weight:type:*.ext) or of a mime.types file (type ext ext).
  // A text/* type without a charset gets "; charset=utf-8". In globs2 the first line of an extension wins, in
  // mime.types the last.
  void add_globs2(std::string_view content);
  void add_mime_types(std::string_view content);

 private:
  void set(std::string ext, std::string type);

  std::map<std::string, std::string, std::less<>> by_ext_;
  std::map<std::string, std::string, std::less<>> by_lower_ext_;
};

// Go's http.DetectContentType: by the first 512 bytes; never empty, "application/octet-stream" at worst.
std::string_view sniffed_type(BytesView first_bytes);

// Whether a file of this mime type, or of this base name (upstream tests the whole name where it means the extension,
// so only names such as ".txt" count), is compressed by the server when nobody has done so yet.
bool is_surely_compressible(std::string_view base_name, std::string_view mime);

// Compressing paid: below 90 %.
constexpr bool is_worth_compressing(std::uint64_t plain, std::uint64_t compressed) {
  return compressed * 10 < plain * 9;
}

}  // namespace holdfast
