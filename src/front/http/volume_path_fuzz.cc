// Feeds paths, queries, ranges, dispositions and multipart bodies to the parsers of the volume server's routes.
// Sources: volume_path.cc url.cc byte_range.cc content_disposition.cc multipart_reader.cc
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "front/http/byte_range.h"
#include "front/http/content_disposition.h"
#include "front/http/multipart_reader.h"
#include "front/http/url.h"
#include "front/http/volume_path.h"
#include "model/file_id.h"

namespace {

using namespace holdfast;
using namespace holdfast::front;

void fuzz_path(std::string_view input) {
  const auto decoded = decode_path(input);
  if (!decoded || decoded->empty() || decoded->front() != '/') return;
  const auto cleaned = clean_path(*decoded);
  CHECK(clean_path(cleaned) == cleaned);
  CHECK(cleaned.front() == '/');
  if (is_plain_path(input)) CHECK(*decoded == input && cleaned == input);
  const auto path = parse_volume_path(cleaned);
  (void)parse_volume_id(path.volume);
  (void)parse_fid_part(path.fid);
  (void)parse_fid_part(fid_of_write(cleaned));
  CHECK(decode_path(escape_path(cleaned)) == cleaned);
}

void fuzz_ranges(std::string_view input) {
  for (std::uint64_t total : {0ull, 1ull, 100ull, 1ull << 40}) {
    const auto ranges = parse_ranges(input, total);
    if (!ranges) continue;
    for (const auto& range : *ranges) CHECK(range.begin <= total && range.length <= total - range.begin);
  }
}

struct Cut {
  std::string text;
  MultipartReader::Kind end;
};

Cut cut(std::string_view body, std::size_t step) {
  MultipartReader reader("B");
  Cut out{.text = {}, .end = MultipartReader::Kind::need_more};
  std::size_t at = 0;
  while (true) {
    const auto event = reader.next();
    out.end = event.kind;
    switch (event.kind) {
      case MultipartReader::Kind::need_more: {
        if (at == body.size()) return out;
        const auto piece = body.substr(at, step);
        reader.feed(piece);
        at += piece.size();
        break;
      }
      case MultipartReader::Kind::part:
        out.text += "[" + std::string(reader.header("a")) + "|";
        break;
      case MultipartReader::Kind::data:
        out.text += event.data;
        break;
      case MultipartReader::Kind::part_end:
        out.text += "]";
        break;
      case MultipartReader::Kind::end:
      case MultipartReader::Kind::malformed:
        return out;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      fuzz_path(input);
      break;
    case 1:
      fuzz_ranges(input);
      (void)query_error(input);
      break;
    case 2: {
      (void)parse_media_type(input);
      (void)name_of_upload(input);
      std::string out;
      write_content_disposition("inline", input, out);
      const auto name = name_of_part(out);
      if (!input.empty() && input.find_first_of("/\\\r\n") == std::string_view::npos) CHECK(name == input);
      break;
    }
    default: {
      const auto whole = cut(input, input.size() + 1);
      for (std::size_t step : {1, 2, 3, 7}) {
        const auto pieces = cut(input, step);
        CHECK(pieces.end == whole.end);
        // A body that breaks off may have given less of its last piece.
        if (whole.end == MultipartReader::Kind::end) CHECK(pieces.text == whole.text);
      }
    }
  }
  return 0;
}
