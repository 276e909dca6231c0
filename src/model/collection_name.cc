#include "model/collection_name.h"

#include <algorithm>

#include "base/utf8.h"

namespace holdfast {

Status check_collection_name(std::string_view name) {
  if (name.size() > kCollectionNameMax) {
    return Error(Code::invalid, "the collection's name has " + std::to_string(name.size()) + " bytes: at most " +
                                    std::to_string(kCollectionNameMax) + " fit into the names of its files");
  }
  const bool has_bad = std::any_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '/' || byte < 0x20 || byte == 0x7f;
  });
  if (has_bad || !is_utf8(name)) {
    return Error(Code::invalid, "the collection's name must be UTF-8 without slashes and control characters, since files "
                                "are named after it");
  }
  return {};
}

}  // namespace holdfast
