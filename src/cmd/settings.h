// Settings: one of security.toml, master.toml and volume.toml with the environment laid over it (spec/weed-cluster
// appendix B). A key is its dotted path, "master.volume_growth.copy_1"; the environment may set any as "WEED_" + upper
// case with '.' as '_', and wins. A missing file is an empty one.
//
// Read once at start, in cmd/; nothing below looks at files or environment.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cmd/flags.h"

namespace holdfast::cmd {

class Settings {
 public:
  // Searches -config_dir, ".", $HOME/.seaweedfs, /usr/local/etc/seaweedfs and /etc/seaweedfs for <name>.toml; the first
  // found is read. A file that is no TOML is an Error that names it and the line.
  static Result<Settings> load(std::string_view name, const std::string& config_dir, const Environment& environment);

  // From text, for tests.
  static Result<Settings> parse(std::string_view toml, const Environment& environment, const std::string& path = "");

  const std::string& path() const { return path_; }  // "" when there was no file

  // "" and the fallback when not set. A value of the wrong kind counts as not set and is told of once in the log.
  std::string string(const std::string& key, std::string_view fallback = "") const;
  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  double number(const std::string& key, double fallback) const;
  bool boolean(const std::string& key, bool fallback) const;
  Duration duration(const std::string& key, Duration fallback) const;
  bool has(const std::string& key) const { return find(key).has_value(); }
  // The tables right below `table`, "storage.backend" -> "s3": only those of the file, since the environment names none.
  std::vector<std::string> tables_below(const std::string& table) const;

 private:
  std::optional<std::string> find(const std::string& key) const;

  std::string path_;
  std::map<std::string, std::string> values_;  // by dotted key, in lower case; the text a TOML value stands for
  Environment environment_;
};

}  // namespace holdfast::cmd
