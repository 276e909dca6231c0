#include "cmd/flags.h"

#include <fmt/format.h>

#include "base/strconv.h"

namespace holdfast::cmd {
namespace {

std::string environment_name(std::string_view prefix, std::string_view flag) {
  std::string name(prefix);
  for (const char c : flag) {
    name += c == '-' || c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  }
  return name;
}

const char* type_word(FlagType type) {
  switch (type) {
    case FlagType::boolean: return "";
    case FlagType::integer: return "int";
    case FlagType::unsigned_integer: return "uint";
    case FlagType::number: return "float";
    case FlagType::duration: return "duration";
    case FlagType::string: return "string";
    case FlagType::decimal:
    case FlagType::value: return "value";
  }
  return "";
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

void FlagSet::add(std::span<const Flag> table, std::string_view prefix) {
  for (const auto& flag : table) add(flag, prefix);
}

void FlagSet::add(const Flag& flag, std::string_view prefix) {
  auto value = read(flag.type, flag.fallback);
  CHECK(value.ok());
  const auto [place, is_new] = values_.emplace(
      std::string(prefix) + std::string(flag.name),
      Slot{flag.type, std::string(flag.fallback), std::string(flag.help), flag.support, std::string(flag.note),
           std::move(*value)});
  CHECK(is_new);
}

Result<FlagSet::Value> FlagSet::read(FlagType type, std::string_view text) {
  const auto wrap = [](auto result) -> Result<Value> {
    if (!result) return result.error();
    return Value(*result);
  };
  switch (type) {
    case FlagType::boolean: return wrap(strconv::parse_bool(text));
    case FlagType::integer: return wrap(strconv::parse_int(text));
    case FlagType::decimal: return wrap(strconv::atoi(text));
    case FlagType::unsigned_integer: return wrap(strconv::parse_uint(text));
    case FlagType::number: return wrap(strconv::parse_float(text));
    case FlagType::duration: return wrap(strconv::parse_duration(text));
    case FlagType::string:
    case FlagType::value: return Value(std::string(text));
  }
  return Error(Code::internal, "flag of unknown type");
}

Result<FlagSet::Parsed> FlagSet::parse(std::span<const std::string> arguments) {
  Parsed parsed;
  std::size_t next = 0;
  while (next < arguments.size()) {
    const std::string& argument = arguments[next];
    if (argument.size() < 2 || argument[0] != '-') break;
    std::string_view name(argument);
    name.remove_prefix(1);
    if (name[0] == '-') {
      name.remove_prefix(1);
      if (name.empty()) {  // "--" itself is taken
        ++next;
        break;
      }
    }
    if (name[0] == '-' || name[0] == '=') return Error(Code::invalid, "bad flag syntax: " + argument);
    if (name.starts_with("test.")) break;
    ++next;

    std::optional<std::string_view> text;
    if (const auto equals = name.find('='); equals != std::string_view::npos) {
      text = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    const auto found = values_.find(name);
    if (found == values_.end()) {
      if (name == "h" || name == "help") {
        parsed.help = true;
        return parsed;
      }
      return Error(Code::invalid, fmt::format("flag provided but not defined: -{}", name));
    }
    Slot& slot = found->second;
    if (slot.type == FlagType::boolean) {
      auto value = read(slot.type, text.value_or("true"));
      if (!value) {
        return Error(Code::invalid, fmt::format("invalid boolean value {} for -{}: {}", strconv::quote(*text), name,
                                                value.error().what()));
      }
      slot.value = *value;
    } else {
      if (!text) {
        if (next == arguments.size()) {
          return Error(Code::invalid, fmt::format("flag needs an argument: -{}", name));
        }
        text = arguments[next++];
      }
      auto value = read(slot.type, *text);
      if (!value) {
        return Error(Code::invalid, fmt::format("invalid value {} for flag -{}: {}", strconv::quote(*text), name,
                                                value.error().what()));
      }
      slot.value = std::move(*value);
    }
    slot.source = Source::command_line;
  }
  parsed.arguments.assign(arguments.begin() + static_cast<std::ptrdiff_t>(next), arguments.end());
  return parsed;
}

Status FlagSet::take_environment(const Environment& environment) {
  Status outcome;
  for (auto& [name, slot] : values_) {
    if (slot.source != Source::fallback) continue;
    const auto text = environment(environment_name(environment_prefix_, name));
    if (!text) continue;
    auto value = read(slot.type, slot.type == FlagType::boolean && text->empty() ? "true" : *text);
    if (!value) {
      if (outcome) {
        outcome = Error(Code::invalid, fmt::format("invalid value {} for environment variable {}: {}",
                                                   strconv::quote(*text), name, value.error().what()));
      }
      continue;
    }
    slot.value = std::move(*value);
    slot.source = Source::environment;
  }
  return outcome;
}

Status FlagSet::take_file(std::string_view text) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line[0] == '#') continue;

    // Split at the first of `=`, `:` and blank: in "port : 1" that is the blank, so its value is ": 1".
    const auto split = line.find_first_of("=: \t");
    std::string_view name = line.substr(0, split);
    const bool has_value = split != std::string_view::npos;
    const std::string_view value_text = has_value ? trimmed(line.substr(split + 1)) : std::string_view();
    if (name.starts_with('-')) name.remove_prefix(1);

    const auto found = values_.find(name);
    if (found == values_.end()) {
      unknown_.push_back(fmt::format("line {} of the -options file is ignored: there is no flag {}", number, strconv::quote(name)));
      continue;
    }
    Slot& slot = found->second;
    if (slot.source != Source::fallback) continue;
    auto value = read(slot.type, slot.type == FlagType::boolean && value_text.empty() ? "true" : value_text);
    if (!value) {
      return Error(Code::invalid, fmt::format("invalid value {} for configuration variable {}: {}",
                                              strconv::quote(value_text), name, value.error().what()));
    }
    slot.value = std::move(*value);
    slot.source = Source::file;
  }
  return {};
}

Status FlagSet::set(std::string_view name, std::string_view text) {
  const auto found = values_.find(name);
  CHECK(found != values_.end());
  auto value = read(found->second.type, text);
  if (!value) {
    return Error(Code::invalid, fmt::format("invalid value {} for flag -{}: {}", strconv::quote(text), name,
                                            value.error().what()));
  }
  found->second.value = std::move(*value);
  found->second.source = Source::command_line;
  return {};
}

const FlagSet::Slot& FlagSet::slot(std::string_view name) const {
  const auto found = values_.find(name);
  CHECK(found != values_.end());
  return found->second;
}

FlagSet::Source FlagSet::source(std::string_view name) const { return slot(name).source; }

bool FlagSet::boolean(std::string_view name) const {
  const auto* value = std::get_if<bool>(&slot(name).value);
  CHECK(value != nullptr);
  return *value;
}

std::int64_t FlagSet::integer(std::string_view name) const {
  const auto* value = std::get_if<std::int64_t>(&slot(name).value);
  CHECK(value != nullptr);
  return *value;
}

std::uint64_t FlagSet::unsigned_integer(std::string_view name) const {
  const auto* value = std::get_if<std::uint64_t>(&slot(name).value);
  CHECK(value != nullptr);
  return *value;
}

double FlagSet::number(std::string_view name) const {
  const auto* value = std::get_if<double>(&slot(name).value);
  CHECK(value != nullptr);
  return *value;
}

Duration FlagSet::duration(std::string_view name) const {
  const auto* value = std::get_if<Duration>(&slot(name).value);
  CHECK(value != nullptr);
  return *value;
}

const std::string& FlagSet::string(std::string_view name) const {
  const auto* value = std::get_if<std::string>(&slot(name).value);
  CHECK(value != nullptr);
  return *value;
}

std::vector<FlagSet::Description> FlagSet::descriptions() const {
  std::vector<Description> out;
  for (const auto& [name, slot] : values_) {
    Description one{.name = name, .type = slot.type, .word = type_word(slot.type), .help = slot.help};
    if (const auto begin = one.help.find('`'); begin != std::string::npos) {
      if (const auto end = one.help.find('`', begin + 1); end != std::string::npos) {
        one.word = one.help.substr(begin + 1, end - begin - 1);
        one.help = one.help.substr(0, begin) + one.word + one.help.substr(end + 1);
      }
    }
    const auto fallback = read(slot.type, slot.fallback);
    CHECK(fallback.ok());
    const bool is_zero = std::visit(
        [](const auto& value) { return value == std::decay_t<decltype(value)>{}; }, *fallback);
    if (!is_zero) {
      one.fallback = slot.type == FlagType::string     ? strconv::quote(slot.fallback)
                     : slot.type == FlagType::duration ? strconv::text(std::get<Duration>(*fallback))
                                                       : slot.fallback;
    }
    out.push_back(std::move(one));
  }
  return out;
}

std::string FlagSet::defaults_text() const {
  std::string out;
  for (const auto& flag : descriptions()) {
    std::string line = "  -" + flag.name;
    if (!flag.word.empty()) line += " " + flag.word;
    // A flag that fits before the first tab stop shares its line with the text, as `-v` of type bool.
    line += line.size() <= 4 ? "\t" : "\n    \t";
    line += flag.help;
    if (!flag.fallback.empty()) line += fmt::format(" (default {})", flag.fallback);
    out += line + "\n";
  }
  return out;
}

std::vector<std::string> FlagSet::notes() const {
  std::vector<std::string> out;
  for (const auto& [name, slot] : values_) {
    if (slot.source == Source::fallback || slot.support != Support::later) continue;
    const auto fallback = read(slot.type, slot.fallback);
    if (fallback.ok() && slot.value == *fallback) continue;  // what was asked for is what happens anyway
    out.push_back(fmt::format("-{} is accepted, but not honoured yet{}{}", name, slot.note.empty() ? "" : ": ",
                              slot.note));
  }
  out.insert(out.end(), unknown_.begin(), unknown_.end());
  return out;
}

}  // namespace holdfast::cmd
