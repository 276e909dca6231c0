// Base64 with padding (RFC 4648, section 4): bytes as text for JSON and for lines that people read.
#pragma once

#include <string>
#include <string_view>

namespace holdfast {

std::string base64(std::string_view bytes);

// False when `text` is not exactly what base64() makes of some bytes; `out` is then empty.
bool unbase64(std::string_view text, std::string& out);

// The other alphabet, without padding (RFC 4648, section 5): what stands in tokens.
std::string base64url(std::string_view bytes);

// False when `text` is not exactly what base64url() makes of some bytes; `out` is then empty.
bool unbase64url(std::string_view text, std::string& out);

}  // namespace holdfast
