// The Range header as upstream reads it (spec/weed-cluster 3.4). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::front {

struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t length = 0;

  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// The ranges asked for of a body of `total` bytes, cut to it. Nothing: 416. A range that begins exactly at the end is
// accepted and empty; blanks around numbers and empty items are ignored; "bytes=" alone gives no range at all.
std::optional<std::vector<ByteRange>> parse_ranges(std::string_view header, std::uint64_t total);

// The same, ready to be sent: none when the header is empty, and none when they ask for more than all there is, since all
// of it is an answer too (RFC 9110 14.2).
std::optional<std::vector<ByteRange>> ranges_to_send(std::string_view header, std::uint64_t total);

// "bytes 0-9/100"; an empty range shows an end before its beginning, as upstream's does.
std::string content_range(ByteRange range, std::uint64_t total);

// The body of an answer with several ranges: a head before each, a tail behind them all.
class MultiRange {
 public:
  // `type` is what each part says of itself, "" for a value left empty. `boundary` is 60 random hex digits.
  MultiRange(std::vector<ByteRange> ranges, std::uint64_t total, std::string_view type, std::string boundary);

  std::string content_type() const { return "multipart/byteranges; boundary=" + boundary_; }
  std::string head(std::size_t part) const;
  std::string tail() const { return "\r\n--" + boundary_ + "--\r\n"; }
  std::uint64_t length() const;  // of the whole body

 private:
  const std::vector<ByteRange> ranges_;
  const std::uint64_t total_;
  const std::string type_;
  const std::string boundary_;
};

}  // namespace holdfast::front
