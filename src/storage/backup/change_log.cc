#include "storage/backup/change_log.h"

#include <charconv>

#include "base/base64.h"
#include "base/crc32c.h"

namespace holdfast::backup {
namespace {

constexpr std::string_view kHead = "HOLDFAST-CHANGELOG ";
constexpr std::string_view kFormat = "1";
constexpr std::size_t kCheckBytes = 8;

struct KindName {
  EntryKind kind;
  std::string_view name;
};
constexpr KindName kKinds[] = {{EntryKind::command, "COMMAND"},
                               {EntryKind::configuration, "CONFIGURATION"},
                               {EntryKind::term_start, "TERM_START"}};

std::string check_text(std::string_view text, std::uint32_t seed) {
  std::string bytes;
  append_be(bytes, crc32c(bytes_of(text), seed));
  return hex(bytes_of(bytes));
}

std::uint32_t seed_of(ClusterId cluster) {
  std::string bytes;
  append_be(bytes, cluster.value().high);
  append_be(bytes, cluster.value().low);
  return crc32c(bytes_of(bytes));
}

// "text|check" -> text; not ours otherwise.
bool take_check(std::string_view& line, std::uint32_t seed) {
  if (line.size() < kCheckBytes + 1 || line[line.size() - kCheckBytes - 1] != '|') return false;
  const auto text = line.substr(0, line.size() - kCheckBytes - 1);
  if (check_text(text, seed) != line.substr(line.size() - kCheckBytes)) return false;
  line = text;
  return true;
}

// Cuts `rest` at the next `mark`; the whole of it when there is none.
std::string_view until(std::string_view& rest, std::string_view mark) {
  const auto at = rest.find(mark);
  const auto part = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + mark.size());
  return part;
}

// Decimal without sign, blanks and leading zeros: exactly one text for each number.
bool number(std::string_view text, std::uint64_t& out) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

bool field(std::string_view& rest, std::string_view name, std::string_view& out) {
  auto part = until(rest, "|");
  if (!part.starts_with(name)) return false;
  out = part.substr(name.size());
  return true;
}

Error not_ours(const std::string& what) { return Error{Code::corrupt, what}; }

}  // namespace

std::uint32_t check_of(const Entry& entry) {
  std::string head(1, static_cast<char>(entry.kind));
  append_be(head, entry.format);
  const auto check = crc32c(bytes_of(entry.data.view()), crc32c(bytes_of(head)));
  return check == 0 ? 1 : check;
}

std::string encode(const ChangeLogHead& head) {
  const std::string text = std::string(kHead) + std::string(kFormat) + "|cluster=" + holdfast::text(head.cluster) +
                           "|generation=" + holdfast::text(head.generation) + "|after=" + holdfast::text(head.after.index) +
                           "|term=" + holdfast::text(head.after.term);
  return text + "|" + check_text(text, 0) + "\n";
}

std::string encode(ClusterId cluster, const Change& change) {
  const auto& entry = change.entry;
  std::string line = text(entry.index) + ": " + std::to_string(change.time) + "|" + text(entry.term) + "|";
  for (const auto& one : kKinds) {
    if (one.kind == entry.kind) line += one.name;
  }
  if (entry.format != 1) line += "/" + std::to_string(entry.format);
  line += "(" + base64(entry.data.view()) + ")";
  return line + "|" + check_text(line, seed_of(cluster)) + "\n";
}

Result<ChangeLogHead> decode_change_log_head(std::string_view line) {
  if (!line.starts_with(kHead)) return not_ours("it does not begin as a change log does");
  auto format = line.substr(kHead.size());
  format = until(format, "|");
  if (format != kFormat) {
    return Error{Code::unsupported, "a change log of format " + std::string(format.substr(0, 20)) + ", this build reads " +
                                        std::string(kFormat)};
  }
  if (!take_check(line, 0)) return not_ours("the checksum of its first line is another");
  (void)until(line, "|");
  std::string_view cluster, generation, after, term;
  std::uint64_t generation_number = 0, index_number = 0, term_number = 0;
  const bool ok = field(line, "cluster=", cluster) && field(line, "generation=", generation) && field(line, "after=", after) &&
                  field(line, "term=", term) && line.empty() && number(generation, generation_number) &&
                  number(after, index_number) && number(term, term_number);
  const auto uuid = Uuid::parse(cluster);
  if (!ok || !uuid) return not_ours("its first line does not parse");
  return ChangeLogHead{ClusterId(*uuid), Generation(generation_number), {.term = Term(term_number), .index = Index(index_number)}};
}

Result<Change> decode_change(ClusterId cluster, std::string_view line) {
  if (!take_check(line, seed_of(cluster))) return not_ours("the checksum is another: damaged, or of another cluster");
  std::uint64_t index = 0, time = 0, term = 0, format = 1;
  if (!number(until(line, ": "), index) || !number(until(line, "|"), time) || !number(until(line, "|"), term)) {
    return not_ours("the numbers do not parse");
  }
  auto kind = until(line, "(");
  if (const auto slash = kind.find('/'); slash != std::string_view::npos) {
    if (!number(kind.substr(slash + 1), format) || format > 0xffff || format == 1) return not_ours("the format does not parse");
    kind = kind.substr(0, slash);
  }
  Change change{.entry = {.term = Term(term), .index = Index(index), .format = static_cast<std::uint16_t>(format)},
                .time = static_cast<std::int64_t>(time)};
  bool known = false;
  for (const auto& one : kKinds) {
    if (one.name != kind) continue;
    change.entry.kind = one.kind;
    known = true;
  }
  if (!known) return Error{Code::unsupported, "an entry of a kind that this build does not know"};
  std::string data;
  if (!line.ends_with(")") || !unbase64(line.substr(0, line.size() - 1), data)) return not_ours("the bytes do not parse");
  change.entry.data = Payload(std::move(data));
  return change;
}

ParsedLog parse_change_log(std::string_view text, std::optional<ClusterId> cluster) {
  ParsedLog log;
  std::size_t number = 0;
  Index last;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    ++number;
    if (end == std::string_view::npos) {
      log.torn = Fault{number, at, last, "the last line has no end: it was being written"};
      break;
    }
    const auto line = text.substr(at, end - at);
    const auto fault = [&](const Error& error) { log.faults.push_back({number, at, last, error.what()}); };
    if (number == 1) {
      if (auto head = decode_change_log_head(line)) {
        log.head = *head;
        cluster = head->cluster;
        last = head->after.index;
      } else {
        fault(head.error());
        if (!cluster || head.error().code() == Code::unsupported) return log;
      }
    } else if (auto change = decode_change(*cluster, line)) {
      last = change->entry.index;
      log.changes.push_back(std::move(*change));
    } else {
      fault(change.error());
    }
    at = end + 1;
    log.whole = at;
  }
  return log;
}

}  // namespace holdfast::backup
