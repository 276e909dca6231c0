#include "cmd/mfs/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/check.h"

namespace holdfast::mfs {
namespace {

constexpr std::string_view kLevels[] = {"ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"};
constexpr std::uintmax_t kFileBytesMax = 1 << 20;  // what is larger is no file of settings
constexpr std::size_t kSampleWidth = 96;

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return out;
}

std::string plain(double value) {
  return value == std::floor(value) ? fmt::format("{:.0f}", value) : fmt::format("{}", value);
}

bool has_range(const Option& option) { return option.min != 0 || option.max != 0; }

// Keeps `value` in the option's range; a sentence when it was not.
template <typename T>
std::string keep_in_range(const Option& option, T& value) {
  if (!has_range(option)) return "";
  const auto number = static_cast<double>(value);
  if (number >= option.min && number <= option.max) return "";
  const double bound = number < option.min ? option.min : option.max;
  value = static_cast<T>(bound);
  const char* unit = option.kind == Kind::seconds || option.kind == Kind::hours ? " seconds" : "";
  return fmt::format("{} is beyond {} to {}{}: {} is used", plain(number), plain(option.min), plain(option.max), unit,
                     plain(bound));
}

// What is near a name that does not exist: a slip of the finger, or the other role's.
std::string near_to(const Role& role, const std::string& name) {
  for (const auto& option : role.options) {
    if (upper(name) == option.name) return fmt::format("; {} is meant? names are in capitals", option.name);
  }
  for (const Role* other : {&kMasterRole, &kChunkserverRole, &kMetaloggerRole}) {
    if (other->find(name) != nullptr) return fmt::format("; it is one of {}.cfg", other->name);
  }
  return "";
}

// Words of `text` on lines of at most kSampleWidth, each behind "# ".
std::string as_comment(std::string_view text) {
  std::string out;
  std::string line = "#";
  while (!text.empty()) {
    const auto blank = text.find(' ');
    const auto word = text.substr(0, blank);
    if (line.size() > 1 && line.size() + 1 + word.size() > kSampleWidth) {
      out += line + "\n";
      line = "#";
    }
    line += " " + std::string(word);
    text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
  }
  return out + line + "\n";
}

const char* kind_words(Kind kind) {
  switch (kind) {
    case Kind::truth: return "0 or 1";
    case Kind::octal: return "an octal number behind a 0";
    case Kind::seconds: return "a time: seconds, or as 1.5m, 1d12h";
    case Kind::hours: return "a time: hours, or as 90m, 1d12h";
    case Kind::size: return "a size, as 256MiB or 1.5GB";
    case Kind::offset: return "a time of day, as 30, 2:15 or 2:15L";
    case Kind::level: return "ERROR, WARNING, NOTICE, INFO or DEBUG";
    default: return "";
  }
}

std::string range_words(const Option& option) {
  if (!has_range(option) || option.kind == Kind::truth || option.kind == Kind::octal) return "";
  const bool is_hours = option.kind == Kind::hours;
  const double unit = is_hours ? 3600 : 1;
  return fmt::format("{} to {}{}", plain(option.min / unit), plain(option.max / unit), is_hours ? " hours" : "");
}

}  // namespace

// Fills the slot from `text`; a sentence about what is wrong with it. A value that cannot be read leaves the slot.
std::string Config::read(const Option& option, std::string_view text, Slot& slot) {
  const auto numeric = [&](auto read, auto& target) {
    if (!read.value) return read.warning + fmt::format(": {} stays", slot.text);
    target = static_cast<std::remove_reference_t<decltype(target)>>(*read.value);
    slot.text = std::string(text);
    const auto range = keep_in_range(option, target);
    return !range.empty() ? range : read.warning;
  };
  switch (option.kind) {
    case Kind::text: slot.text = std::string(text); return "";
    case Kind::truth:
    case Kind::integer:
    case Kind::octal: return numeric(read_integer(text), slot.integer);
    case Kind::number: return numeric(read_number(text), slot.number);
    case Kind::seconds: return numeric(read_time(text, 1), slot.count);
    case Kind::hours: return numeric(read_time(text, 3600), slot.count);
    case Kind::size: return numeric(read_size(text), slot.count);
    case Kind::room: {
      const bool has_suffix = !text.empty() && std::string_view("%UC").find(text.back()) != std::string_view::npos;
      if (has_suffix) return numeric(read_number(text.substr(0, text.size() - 1)), slot.number);
      return numeric(read_size(text), slot.count);
    }
    case Kind::offset: {
      const auto value = read_offset(text);
      if (!value.value) return value.warning + fmt::format(": {} stays", slot.text);
      slot.text = std::string(text);
      slot.integer = value.value->minutes;
      return "";
    }
    case Kind::level: {
      const auto name = upper(text);
      if (std::find(std::begin(kLevels), std::end(kLevels), name) == std::end(kLevels)) {
        return fmt::format("\"{}\" is none of ERROR, WARNING, NOTICE, INFO, DEBUG: {} stays", shown(text), slot.text);
      }
      slot.text = name;
      return "";
    }
  }
  return "";
}

Config Config::make(const Role& role, std::string_view text, const std::string& path) {
  Config config;
  config.role_ = &role;
  config.path_ = path;
  for (const auto& option : role.options) {
    auto& slot = config.slots_[std::string(option.name)];
    slot.option = &option;
    slot.text = option.fallback;
    CHECK(read(option, option.fallback, slot).empty());
  }
  auto cfg = parse_cfg(text);
  auto& remarks = cfg.remarks;
  for (const auto& setting : cfg.settings) {
    if (setting.name.starts_with("DANGEROUS_")) {
      config.dangerous_.push_back(config.at(setting.line) + shown(setting.name));
      continue;
    }
    const auto found = config.slots_.find(setting.name);
    if (found == config.slots_.end()) {
      remarks.push_back({setting.line, fmt::format("{} is no option of {}{}: it is passed over", shown(setting.name),
                                                   role.name, near_to(role, setting.name))});
      continue;
    }
    found->second.line = setting.line;
    const auto wrong = read(*found->second.option, setting.value, found->second);
    if (!wrong.empty()) remarks.push_back({setting.line, setting.name + ": " + wrong});
  }
  std::stable_sort(remarks.begin(), remarks.end(), [](const auto& a, const auto& b) { return a.line < b.line; });
  for (const auto& remark : remarks) config.remarks_.push_back(config.at(remark.line) + remark.text);
  return config;
}

const Config::Slot& Config::slot(std::string_view name) const {
  const auto found = slots_.find(name);
  CHECK(found != slots_.end());
  return found->second;
}

const std::string& Config::string(std::string_view name) const {
  const auto& one = slot(name);
  CHECK(one.option->kind == Kind::text || one.option->kind == Kind::level);
  return one.text;
}

std::int64_t Config::integer(std::string_view name) const {
  const auto& one = slot(name);
  CHECK(one.option->kind == Kind::integer || one.option->kind == Kind::truth || one.option->kind == Kind::octal);
  return one.integer;
}

double Config::number(std::string_view name) const {
  const auto& one = slot(name);
  CHECK(one.option->kind == Kind::number);
  return one.number;
}

std::chrono::seconds Config::time(std::string_view name) const {
  const auto& one = slot(name);
  CHECK(one.option->kind == Kind::seconds || one.option->kind == Kind::hours);
  return std::chrono::seconds(one.count);
}

std::uint64_t Config::bytes(std::string_view name) const {
  const auto& one = slot(name);
  CHECK(one.option->kind == Kind::size);
  return one.count;
}

std::vector<std::string> Config::without_effect() const {
  std::map<std::string_view, std::string> by_note;  // names that have one reason share a sentence
  for (const auto& option : role_->options) {
    if (option.effect != Effect::none || !is_given(option.name)) continue;
    auto& names = by_note[option.note];
    names += fmt::format("{}{} (line {})", names.empty() ? "" : ", ", option.name, slot(option.name).line);
  }
  std::vector<std::string> out;
  for (const auto& [note, names] : by_note) {
    out.push_back(fmt::format("{}: accepted without effect: {}: {}", path_, names, note));
  }
  return out;
}

std::vector<std::string> Config::defaults_used() const {
  std::vector<std::string> out;
  for (const auto& option : role_->options) {
    if (option.effect == Effect::none || is_given(option.name)) continue;
    out.push_back(fmt::format("{} is not set: {}", option.name, option.fallback.empty() ? "empty" : option.fallback));
  }
  return out;
}

std::string Config::report() const {
  std::string out;
  for (const auto& option : role_->options) {
    if (option.effect == Effect::none) continue;
    const auto& one = slot(option.name);
    // What opens doors is nobody's business.
    const std::string value = option.name == "AUTH_CODE" ? "(hidden)" : one.text;
    out += fmt::format("{} = {}  # {}\n", option.name, value,
                       one.line == 0 ? "default" : fmt::format("line {}", one.line));
  }
  return out;
}

Config::Change Config::since(const Config& before) const {
  Change change;
  for (const auto& option : role_->options) {
    if (option.effect == Effect::none || slot(option.name).text == before.slot(option.name).text) continue;
    (option.effect == Effect::on_reload ? change.taken : change.need_restart).emplace_back(option.name);
  }
  return change;
}

Result<std::string> read_config_file(const std::string& path, bool* is_missing) {
  *is_missing = false;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) {
      *is_missing = true;
      return std::string();
    }
    return errno_error(errno, "open " + path);
  }
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return Error(Code::io, path + ": cannot be read; is it a folder?");
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kFileBytesMax) return Error(Code::invalid, path + ": is larger than 1 MiB, which is no file of settings");
  return text;
}

std::string sample_of(const Role& role) {
  std::string out = fmt::format(
      "# {0}.cfg: settings of {0}, {1}.\n"
      "# Every option stands here with its default. Take away the # before a name to set it.\n",
      role.name, role.summary);
  const auto add = [&](const Option& option) {
    std::string words(option.help);
    for (const auto& more : {std::string(kind_words(option.kind)), range_words(option)}) {
      if (!more.empty()) words += "; " + more;
    }
    if (option.effect == Effect::on_reload) words += "; reload takes a change";
    if (option.effect == Effect::none) words += fmt::format(". No effect: {}", option.note);
    out += "\n" + as_comment(words + ".");
    out += fmt::format("#{} ={}{}\n", option.name, option.fallback.empty() ? "" : " ", option.fallback);
  };
  for (const auto& option : role.options) {
    if (option.effect != Effect::none) add(option);
  }
  out += "\n# --- Accepted, so that files of before can stay as they are, and without effect in this release ---\n";
  for (const auto& option : role.options) {
    if (option.effect == Effect::none) add(option);
  }
  return out;
}

std::string sample_of_disks() {
  return
      "# mfshdd.cfg: the folders in which mfschunkserver stores files, one a line, from the root on.\n"
      "#\n"
      "# Behind the path may stand a limit:\n"
      "#   -5GiB or -10%   leave that much of the disk free\n"
      "#   5GiB or 60%     use at most that much of the disk\n"
      "# Without one, HDD_LEAVE_SPACE_DEFAULT of mfschunkserver.cfg is left free.\n"
      "# A * before the path: its files are read, and no new ones come.\n"
      "#\n"
      "#/mnt/disk1\n"
      "#/mnt/disk2 -10%\n"
      "#*/mnt/disk3\n";
}

}  // namespace holdfast::mfs
