#include "front/http/byte_range.h"

#include <algorithm>
#include <charconv>

namespace holdfast::front {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (value > INT64_MAX) return std::nullopt;
  return value;
}

std::optional<ByteRange> parse_one(std::string_view item, std::uint64_t total) {
  const auto dash = item.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto from = trimmed(item.substr(0, dash));
  const auto to = trimmed(item.substr(dash + 1));
  if (from.empty()) {
    const auto last = number(to);
    if (!last) return std::nullopt;
    const auto length = std::min(*last, total);
    return ByteRange{total - length, length};
  }
  const auto begin = number(from);
  if (!begin || *begin > total) return std::nullopt;
  if (to.empty()) return ByteRange{*begin, total - *begin};
  const auto end = number(to);
  if (!end || *end < *begin) return std::nullopt;
  return ByteRange{*begin, std::min(*end + 1, total) - *begin};
}

}  // namespace

std::optional<std::vector<ByteRange>> parse_ranges(std::string_view header, std::uint64_t total) {
  constexpr std::string_view kUnit = "bytes=";
  if (!header.starts_with(kUnit)) return std::nullopt;
  header.remove_prefix(kUnit.size());
  std::vector<ByteRange> ranges;
  while (!header.empty()) {
    const auto end = std::min(header.find(','), header.size());
    const auto item = trimmed(header.substr(0, end));
    header.remove_prefix(std::min(end + 1, header.size()));
    if (item.empty()) continue;
    const auto range = parse_one(item, total);
    if (!range) return std::nullopt;
    ranges.push_back(*range);
  }
  return ranges;
}

std::optional<std::vector<ByteRange>> ranges_to_send(std::string_view header, std::uint64_t total) {
  if (header.empty()) return std::vector<ByteRange>();
  auto ranges = parse_ranges(header, total);
  if (!ranges) return std::nullopt;
  std::uint64_t sum = 0;
  for (const auto& range : *ranges) {
    sum += range.length;
    if (sum > total) return std::vector<ByteRange>();
  }
  return ranges;
}

std::string content_range(ByteRange range, std::uint64_t total) {
  const auto end = static_cast<std::int64_t>(range.begin + range.length) - 1;
  return "bytes " + std::to_string(range.begin) + "-" + std::to_string(end) + "/" + std::to_string(total);
}

MultiRange::MultiRange(std::vector<ByteRange> ranges, std::uint64_t total, std::string_view type, std::string boundary)
    : ranges_(std::move(ranges)), total_(total), type_(type), boundary_(std::move(boundary)) {}

std::string MultiRange::head(std::size_t part) const {
  return (part == 0 ? "--" : "\r\n--") + boundary_ + "\r\nContent-Range: " + content_range(ranges_[part], total_) +
         "\r\nContent-Type: " + type_ + "\r\n\r\n";
}

std::uint64_t MultiRange::length() const {
  std::uint64_t length = tail().size();
  for (std::size_t i = 0; i < ranges_.size(); ++i) length += head(i).size() + ranges_[i].length;
  return length;
}

}  // namespace holdfast::front
