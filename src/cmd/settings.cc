#include "cmd/settings.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <fmt/format.h>
#include <toml++/toml.h>

#include <fstream>
#include <sstream>

#include "base/log.h"
#include "base/strconv.h"
#include "cmd/paths.h"

namespace holdfast::cmd {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// Upstream's reader knows no case in keys.
void flatten(const toml::table& table, const std::string& prefix, std::map<std::string, std::string>& out) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + lower(key.str());
    if (const auto* inner = node.as_table()) {
      flatten(*inner, name + ".", out);
    } else if (const auto* text = node.as_string()) {
      out[name] = text->get();
    } else if (const auto* integer = node.as_integer()) {
      out[name] = fmt::format("{}", integer->get());
    } else if (const auto* number = node.as_floating_point()) {
      out[name] = strconv::text(number->get());
    } else if (const auto* truth = node.as_boolean()) {
      out[name] = truth->get() ? "true" : "false";
    } else if (const auto* list = node.as_array()) {
      // Lists of texts are read as one comma-separated text, as flags have them.
      std::string joined;
      for (const auto& item : *list) {
        if (const auto* text_item = item.as_string()) joined += (joined.empty() ? "" : ",") + text_item->get();
      }
      out[name] = joined;
    }
  }
}

std::string environment_name(std::string_view key) {
  std::string name = "WEED_";
  for (const char c : key) name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return name;
}

void tell_wrong(const std::string& key, const std::string& text) {
  LOG_WARNING("setting {}: {} makes no sense there and is ignored", key, strconv::quote(text));
}

}  // namespace

Result<Settings> Settings::parse(std::string_view text, const Environment& environment, const std::string& path) {
  Settings settings;
  settings.path_ = path;
  settings.environment_ = environment;
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const auto& error = parsed.error();
    return Error(Code::invalid, fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
  flatten(parsed.table(), "", settings.values_);
  return settings;
}

Result<Settings> Settings::load(std::string_view name, const std::string& config_dir, const Environment& environment) {
  std::vector<std::string> folders;
  if (!config_dir.empty()) folders.push_back(expand_home(config_dir));
  folders.emplace_back(".");
  if (const auto home = environment("HOME"); home && !home->empty()) folders.push_back(*home + "/.seaweedfs");
  folders.emplace_back("/usr/local/etc/seaweedfs");
  folders.emplace_back("/etc/seaweedfs");
  for (const auto& folder : folders) {
    const std::string path = fmt::format("{}/{}.toml", folder, name);
    std::ifstream file(path);
    if (!file) continue;
    std::stringstream text;
    text << file.rdbuf();
    return parse(text.str(), environment, path);
  }
  return parse("", environment);
}

std::optional<std::string> Settings::find(const std::string& key) const {
  if (environment_) {
    if (auto text = environment_(environment_name(key)); text && !text->empty()) return text;
  }
  const auto found = values_.find(lower(key));
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

std::string Settings::string(const std::string& key, std::string_view fallback) const {
  return find(key).value_or(std::string(fallback));
}

std::int64_t Settings::integer(const std::string& key, std::int64_t fallback) const {
  const auto text = find(key);
  if (!text) return fallback;
  const auto value = strconv::parse_int(*text);
  if (!value) tell_wrong(key, *text);
  return value ? *value : fallback;
}

double Settings::number(const std::string& key, double fallback) const {
  const auto text = find(key);
  if (!text) return fallback;
  const auto value = strconv::parse_float(*text);
  if (!value) tell_wrong(key, *text);
  return value ? *value : fallback;
}

bool Settings::boolean(const std::string& key, bool fallback) const {
  const auto text = find(key);
  if (!text) return fallback;
  const auto value = strconv::parse_bool(*text);
  if (!value) tell_wrong(key, *text);
  return value ? *value : fallback;
}

std::vector<std::string> Settings::tables_below(const std::string& table) const {
  const std::string prefix = lower(table) + ".";
  std::vector<std::string> out;
  for (auto at = values_.lower_bound(prefix); at != values_.end() && at->first.starts_with(prefix); ++at) {
    const auto end = at->first.find('.', prefix.size());
    if (end == std::string::npos) continue;  // a key of `table` itself
    const auto name = at->first.substr(prefix.size(), end - prefix.size());
    if (out.empty() || out.back() != name) out.push_back(name);
  }
  return out;
}

Duration Settings::duration(const std::string& key, Duration fallback) const {
  const auto text = find(key);
  if (!text) return fallback;
  const auto value = strconv::parse_duration(*text);
  if (!value) tell_wrong(key, *text);
  return value ? *value : fallback;
}

}  // namespace holdfast::cmd
