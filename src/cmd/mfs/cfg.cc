#include "cmd/mfs/cfg.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace holdfast::mfs {
namespace {

constexpr std::size_t kShownMax = 60;                // bytes of a file's text in one message
constexpr std::uint64_t kSecondsMax = 1ull << 40;    // 34,000 years: no time of a daemon is longer
constexpr double kBytesMax = 18446744073709549568.0; // the largest double below 2^64

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// The lines of a text, without their ends; CR before LF goes too.
template <typename Each>
void each_line(std::string_view text, Each each) {
  for (int number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    each(number, line);
  }
}

// The leading digits of `text`, taken away from it. Empty: there are none; more than any bound: kSecondsMax.
std::optional<std::uint64_t> take_digits(std::string_view& text) {
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  std::uint64_t value = 0;
  while (!text.empty() && is_digit(text.front())) {
    value = std::min(value * 10 + static_cast<std::uint64_t>(text.front() - '0'), kSecondsMax);
    text.remove_prefix(1);
  }
  return value;
}

struct Decimal {
  double value = 0;
  std::size_t digits = 0;
};
// "[0-9]*(.[0-9]*)?", taken away from `text`.
Decimal take_decimal(std::string_view& text) {
  Decimal out;
  const auto take = [&](auto each) {
    while (!text.empty() && is_digit(text.front())) {
      each(text.front() - '0');
      ++out.digits;
      text.remove_prefix(1);
    }
  };
  take([&](int digit) { out.value = out.value * 10 + digit; });
  if (text.empty() || text.front() != '.') return out;
  text.remove_prefix(1);
  double scale = 1;
  take([&](int digit) { out.value += digit * (scale /= 10); });
  return out;
}

struct Part {
  char letter;
  std::uint64_t seconds;
  std::uint64_t later_max;  // when it is not the first one
};
constexpr Part kParts[] = {{'w', 604800, kSecondsMax}, {'d', 86400, 6}, {'h', 3600, 23}, {'m', 60, 59}, {'s', 1, 59}};

std::uint64_t times(std::uint64_t count, std::uint64_t unit) {
  return count > kSecondsMax / unit ? kSecondsMax : count * unit;
}

std::optional<std::uint64_t> fraction_of_time(std::string_view text) {
  if (text.find('.') == std::string_view::npos) return std::nullopt;
  const auto number = take_decimal(text);
  if (number.digits == 0 || text.size() != 1) return std::nullopt;
  for (const auto& part : kParts) {
    if (part.letter != text.front()) continue;
    return static_cast<std::uint64_t>(
        std::min(std::round(number.value * static_cast<double>(part.seconds)), static_cast<double>(kSecondsMax)));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parts_of_time(std::string_view text) {
  std::uint64_t sum = 0;
  const Part* next = std::begin(kParts);
  bool is_first = true;
  while (!text.empty()) {
    const auto count = take_digits(text);
    if (!count || text.empty()) return std::nullopt;
    next = std::find_if(next, std::end(kParts), [&](const Part& part) { return part.letter == text.front(); });
    if (next == std::end(kParts) || (!is_first && *count > next->later_max)) return std::nullopt;
    sum = std::min(sum + times(*count, next->seconds), kSecondsMax);
    text.remove_prefix(1);
    ++next;
    is_first = false;
  }
  if (is_first) return std::nullopt;
  return sum;
}

void read_limit(std::string_view text, int number, DiskLine& disk, std::vector<Remark>& remarks) {
  const auto bad = [&] {
    remarks.push_back({number, "\"" + shown(text) + "\" is no limit, as 5GiB, -5GiB, 60% or -10%: the disk has none"});
    disk.bound = DiskLine::Bound::none;
  };
  auto rest = text;
  if (!rest.empty() && rest.front() == '=') rest.remove_prefix(1);
  if (rest.empty()) return;  // "=": evenly, without a limit
  disk.bound = DiskLine::Bound::at_most;
  if (rest.front() == '-') {
    disk.bound = DiskLine::Bound::leave_free;
    rest.remove_prefix(1);
  }
  if (rest.ends_with('%')) {
    rest.remove_suffix(1);
    const auto share = take_decimal(rest);
    if (share.digits == 0 || !rest.empty() || share.value > 100) return bad();
    disk.percent = share.value;
    return;
  }
  const auto size = read_size(rest);
  if (!size.value) return bad();
  disk.bytes = *size.value;
}

}  // namespace

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kShownMax)) out += c < 0x20 || c == 0x7f ? '?' : c;
  return text.size() > kShownMax ? out + "..." : out;
}

CfgText parse_cfg(std::string_view text) {
  CfgText out;
  each_line(text, [&](int number, std::string_view line) {
    if (line.starts_with('#') || without_blanks(line).empty()) return;
    const auto bad = [&](const std::string& why) {
      out.remarks.push_back({number, "bad definition \"" + shown(line) + "\": " + why + "; the line is passed over"});
    };
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) return bad("NAME = VALUE is meant");
    const auto name = without_blanks(line.substr(0, equals));
    if (name.empty()) return bad("there is no name before '='");
    if (std::any_of(name.begin(), name.end(), [](char c) { return c <= 0x20 || c >= 0x7f; })) {
      return bad("a name has no blanks and only printable characters");
    }
    const auto value = without_blanks(line.substr(equals + 1));
    if (std::any_of(value.begin(), value.end(), [](char c) { return c >= 0 && c < 0x20 && c != '\t'; })) {
      return bad("the value holds control characters");
    }
    const auto before = std::find_if(out.settings.begin(), out.settings.end(),
                                     [&](const Setting& setting) { return setting.name == name; });
    if (before != out.settings.end()) {
      out.remarks.push_back({number, shown(name) + " is set again, after line " + std::to_string(before->line) +
                                         ": the last one counts"});
      out.settings.erase(before);
    }
    out.settings.push_back({std::string(name), std::string(value), number});
  });
  return out;
}

Read<std::int64_t> read_integer(std::string_view text) {
  const auto whole = text;
  text = without_blanks(text);
  bool is_negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    is_negative = text.front() == '-';
    text.remove_prefix(1);
  }
  const auto digit_of = [](char c) -> unsigned {
    if (is_digit(c)) return static_cast<unsigned>(c - '0');
    const char low = static_cast<char>(c | 0x20);
    return low >= 'a' && low <= 'f' ? static_cast<unsigned>(low - 'a' + 10) : 99;
  };
  unsigned base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == 'x' && digit_of(text[2]) < 16) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::uint64_t value = 0;
  std::size_t count = 0;
  bool is_beyond = false;
  for (; count < text.size() && digit_of(text[count]) < base; ++count) {
    const unsigned digit = digit_of(text[count]);
    is_beyond = is_beyond || value > (kMax - digit) / base;
    value = is_beyond ? kMax : value * base + digit;
  }
  if (count == 0) return {std::nullopt, "\"" + shown(whole) + "\" is no integer"};
  const auto number = is_negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
  if (is_beyond) return {number, "\"" + shown(whole) + "\" is beyond 64 bits"};
  if (const auto rest = text.substr(count); !rest.empty()) {
    return {number, "\"" + shown(rest) + "\" behind the number is passed over"};
  }
  return {number, ""};
}

Read<double> read_number(std::string_view text) {
  const auto whole = text;
  text = without_blanks(text);
  bool is_negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    is_negative = text.front() == '-';
    text.remove_prefix(1);
  }
  const auto number = take_decimal(text);
  if (number.digits == 0) return {std::nullopt, "\"" + shown(whole) + "\" is no number"};
  const double value = is_negative ? -number.value : number.value;
  if (!text.empty()) return {value, "\"" + shown(text) + "\" behind the number is passed over"};
  return {value, ""};
}

Read<std::uint64_t> read_time(std::string_view text, std::uint64_t unit) {
  const auto trimmed = without_blanks(text);
  auto rest = trimmed;
  if (const auto plain = take_digits(rest); plain && rest.empty()) return {times(*plain, unit), ""};
  if (const auto seconds = fraction_of_time(trimmed)) return {*seconds, ""};
  if (const auto seconds = parts_of_time(trimmed)) return {*seconds, ""};
  return {std::nullopt, "\"" + shown(text) + "\" is no time, as 90, 1.5m or 1d12h"};
}

Read<std::uint64_t> read_size(std::string_view text) {
  auto rest = without_blanks(text);
  const auto number = take_decimal(rest);
  double factor = 1;
  if (!rest.empty()) {
    constexpr std::string_view kLetters = "KMGTPE";
    const bool is_small = rest.front() == 'k';
    const auto power = is_small ? 0 : kLetters.find(rest.front());
    if (power != std::string_view::npos) {
      rest.remove_prefix(1);
      const bool is_binary = !is_small && !rest.empty() && rest.front() == 'i';
      if (is_binary) rest.remove_prefix(1);
      if (power == 0 && !is_small && !is_binary) rest = "?";  // "K" stands before "i" only
      factor = std::pow(is_binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
    }
  }
  if (rest == "B") rest = {};
  if (number.digits == 0 || !rest.empty()) {
    return {std::nullopt, "\"" + shown(text) + "\" is no size, as 256MiB or 1.5GB"};
  }
  const double bytes = number.value * factor;
  if (!(bytes < kBytesMax)) return {static_cast<std::uint64_t>(kBytesMax), "\"" + shown(text) + "\" is beyond 64 bits"};
  return {static_cast<std::uint64_t>(bytes), ""};
}

Read<Offset> read_offset(std::string_view text) {
  auto rest = without_blanks(text);
  Offset offset;
  if (rest.ends_with('L')) {
    offset.is_local = true;
    rest.remove_suffix(1);
  }
  const bool is_negative = rest.starts_with('-');
  if (is_negative) rest.remove_prefix(1);
  auto first = take_digits(rest);
  std::optional<std::uint64_t> minutes = first;
  if (first && rest.starts_with(':')) {
    rest.remove_prefix(1);
    minutes = take_digits(rest);
    if (minutes) minutes = *first % 24 * 60 + *minutes;
  }
  if (!minutes || !rest.empty()) return {std::nullopt, "\"" + shown(text) + "\" is no time of day, as 30, 2:15 or 2:15L"};
  const int of_day = static_cast<int>(*minutes % 1440);
  offset.minutes = is_negative ? (1440 - of_day) % 1440 : of_day;
  return {offset, ""};
}

DiskText parse_disks(std::string_view text) {
  DiskText out;
  each_line(text, [&](int number, std::string_view line) {
    line = without_blanks(line);
    if (line.empty() || line.starts_with('#')) return;
    DiskLine disk;
    disk.line = number;
    while (!line.empty() && std::string_view("*<>~").find(line.front()) != std::string_view::npos) {
      if (line.front() == '*') disk.is_going = true;
      else if (disk.other_marks.find(line.front()) == std::string::npos) disk.other_marks += line.front();
      line.remove_prefix(1);
    }
    // A limit is the last word behind a blank; without one the path goes to the end, blanks and all.
    const auto blank = line.find_last_of(" \t");
    auto path = line;
    if (blank != std::string_view::npos) {
      const auto last = line.substr(blank + 1);
      if (last.front() == '=' || last.front() == '-' || last.front() == '.' || is_digit(last.front())) {
        path = without_blanks(line.substr(0, blank));
        read_limit(last, number, disk, out.remarks);
      }
    }
    if (!path.starts_with('/') || path.find('\0') != std::string_view::npos) {
      out.remarks.push_back({number, "\"" + shown(path) + "\" is no path from the root on: the line is passed over"});
      return;
    }
    disk.path = path;
    out.disks.push_back(std::move(disk));
  });
  return out;
}

}  // namespace holdfast::mfs
