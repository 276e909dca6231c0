// Names of collections. The files of a volume are named after its collection (`<collection>_<vid>.dat`), and it travels
// in protobuf texts, so not every text can be one.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace holdfast {

// Bytes; with "_4294967295.idx.cut" behind it the name of a file ends at 255.
inline constexpr std::size_t kCollectionNameMax = 236;

// Code::invalid for what no file can be named after or what would lead out of its folder: a slash, control characters,
// text that is not UTF-8, more than kCollectionNameMax bytes. Asked wherever a volume is made; volumes that exist are
// never held to it.
Status check_collection_name(std::string_view name);

}  // namespace holdfast
