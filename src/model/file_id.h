// FileId: where a file lies, "<volume>,<key hex><cookie 8 hex>", e.g. "3,01637037d6" (spec/weed-cluster 3.2, 4.1,
// spec/volume-format 11).
//
// The key is printed without its leading zero bytes, so always with an even number of digits, and as nothing at all
// when it is 0. The cookie is random: who was not given the id cannot guess it. Digits are read in either case.
//
// Every parser answers Code::invalid with upstream's text, ready for the {"error": ...} body.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/ids.h"

namespace holdfast {

struct FileId {
  VolumeId volume;
  NeedleId key;
  Cookie cookie;

  friend constexpr auto operator<=>(const FileId&, const FileId&) = default;
};

// "3,01637037d6".
std::string text(const FileId& id);

// The part after the comma: "01637037d6".
std::string key_cookie_text(NeedleId key, Cookie cookie);

struct KeyCookie {
  NeedleId key;
  Cookie cookie;

  friend constexpr auto operator<=>(const KeyCookie&, const KeyCookie&) = default;
};

// Parses "01637037d6" or "01637037d6_2" (adds 2 to the key; an underscore with nothing after it adds nothing).
// Does not know the rule about eight characters or fewer of the whole ("Invalid fid: zz"): parse_fid_part does.
Result<KeyCookie> parse_key_cookie(std::string_view text);

// As the volume server's paths need it: `Invalid fid: <text>` when text has 8 characters or fewer, else as above.
Result<KeyCookie> parse_fid_part(std::string_view text);

// Decimal digits, parsed as 64 bits and kept as 32: "4294967297" is volume 1, as upstream has it.
Result<VolumeId> parse_volume_id(std::string_view text);

// The whole id; the comma searched from the front. Texts beyond those above: `wrong fid format: <text>` without comma.
Result<FileId> parse_file_id(std::string_view text);

}  // namespace holdfast
