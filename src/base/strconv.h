// Numbers, truth values, durations and quoted text as Go's strconv and time packages read and write them.
//
// Command lines, query strings and configuration files of the existing system are read by Go, and its error texts are
// shown to users and compared by tests, so both the accepted language and the texts are kept to the letter:
//   strconv.ParseInt: parsing "x": invalid syntax
//   strconv.ParseUint: parsing "99999999999": value out of range
//   time: missing unit in duration "5"
// Every Error has Code::invalid and exactly such a text. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace holdfast::strconv {

// `base` 0 takes it from the prefix (0x, 0o, 0, 0b; underscores between digits allowed), as flags do; HTTP parameters
// use 10. `bits` bounds the result as Go's bitSize does.
Result<std::int64_t> parse_int(std::string_view text, int base = 0, int bits = 64);
Result<std::uint64_t> parse_uint(std::string_view text, int base = 0, int bits = 64);

// Decimal; the error names Atoi.
Result<std::int64_t> atoi(std::string_view text);

// Decimal and hexadecimal floats, "inf", "infinity", "nan" in any case.
Result<double> parse_float(std::string_view text);

// 1 0 t f T F true false TRUE FALSE True False.
Result<bool> parse_bool(std::string_view text);

// "300ms", "-1.5h", "1m30s"; a bare number is an error except "0".
Result<Duration> parse_duration(std::string_view text);

// As Go prints a time.Duration: "10s", "1m0s", "1.5ms", "0s".
std::string text(Duration duration);

// As Go prints a float64 with %v: "0.3", "1e+06", "+Inf".
std::string text(double value);

// As Go's %q: in double quotes, with what cannot be printed escaped.
std::string quote(std::string_view text);

}  // namespace holdfast::strconv
