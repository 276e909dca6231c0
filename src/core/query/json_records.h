// Fields of one JSON value, found while it is read once, without making a tree of it. Numbers keep their digits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/query/value.h"

namespace holdfast::query {

inline constexpr std::size_t kJsonDepthMax = 512;

// "a.b.0": names and places in arrays, from the outside in; a dot that belongs to a name is written "\.".
std::vector<std::string> parse_path(std::string_view text);

class JsonFields {
 public:
  // `paths` by number; an empty one is the value itself.
  explicit JsonFields(std::vector<std::vector<std::string>> paths) : paths_(std::move(paths)) {}

  // The values at these paths. Reads one value and what is blank behind it; `used` gets how many bytes that is.
  // Code::invalid says what is wrong and where. With `all` a path is not looked for, but the members of an object, or
  // the elements of an array, are given, with their names.
  Result<std::vector<Value>> read(std::string_view json, std::size_t* used) const;
  static Result<std::vector<Column>> members(std::string_view json, std::size_t* used);

 private:
  const std::vector<std::vector<std::string>> paths_;
};

}  // namespace holdfast::query
