// Content-Disposition: the names of files in requests and answers, as Go reads and writes them (spec/weed-cluster 3.3,
// 3.5). Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::front {

struct MediaType {
  std::string type;  // lower case: "form-data", "multipart/form-data"
  std::map<std::string, std::string, std::less<>> parameters;  // names in lower case; name*=utf-8''x decoded

  std::string_view parameter(std::string_view name) const {
    const auto found = parameters.find(name);
    return found == parameters.end() ? std::string_view() : std::string_view(found->second);
  }
};

// Nothing when Go would not parse it: a parameter without a value, a bad token, an unfinished quotation, one twice.
std::optional<MediaType> parse_media_type(std::string_view text);

// The name of a raw upload: `filename`, else `name`, of "attachment; ..", "inline; .." or a bare list; without its
// directories. "" when there is none or the header does not parse.
std::string name_of_upload(std::string_view content_disposition);

// The file name of a part of a form; nothing when it has none or a malformed one.
std::optional<std::string> name_of_part(std::string_view content_disposition);

// The value of an answer's header: `inline; filename="my photo.txt"`.
void write_content_disposition(std::string_view kind, std::string_view name, std::string& out);

// Without directories, either kind of slash.
std::string_view base_name(std::string_view path);

}  // namespace holdfast::front
