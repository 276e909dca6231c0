// Numbers and quotes as upstream's clients know them: upstream is written in Go, and its error bodies carry the texts
// of Go's strconv (spec/weed-cluster 3.2). Parsing rules and texts live here once, for ids, flags and queries.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast {

// A Go string literal in double quotes: "a\"b\x00". Invalid UTF-8 becomes \x.., control characters their escapes.
std::string go_quoted(std::string_view text);

// strconv.ParseUint(text, base, bits): digits only (for base 16 in either case), no sign, no blanks, base 10 or 16.
// Errors are Code::invalid with `strconv.ParseUint: parsing "x": invalid syntax` or `...: value out of range`.
Result<std::uint64_t> go_parse_uint(std::string_view text, int base = 10, int bits = 64);

// strconv.Atoi: an optional sign, decimal digits, 64 bits. Errors as above with `strconv.Atoi`.
Result<std::int64_t> go_atoi(std::string_view text);

}  // namespace holdfast
