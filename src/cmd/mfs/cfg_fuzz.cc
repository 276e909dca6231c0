// Feeds mfs*.cfg and mfshdd.cfg files to their parsers. What is read must fit the grammar, and say nothing else when it is
// written out and read again.
// Sources: mfs/cfg.cc
#include "cmd/mfs/cfg.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "base/check.h"

namespace {

using namespace holdfast::mfs;

void fuzz_cfg(std::string_view input) {
  const auto cfg = parse_cfg(input);
  std::set<std::string> names;
  std::string again;
  int line = 0;
  for (const auto& setting : cfg.settings) {
    CHECK(names.insert(setting.name).second);
    CHECK(setting.line > line);
    CHECK(!setting.name.empty() && setting.name.find_first_of("= \t\n") == std::string::npos);
    CHECK(setting.value.find('\n') == std::string::npos);
    line = setting.line;
    // A name may begin with '#' behind a blank, but a line may not.
    again += " " + setting.name + " = " + setting.value + "\n";
    const auto integer = read_integer(setting.value);
    CHECK(integer.value || !integer.warning.empty());
    const auto time = read_time(setting.value, 3600);
    CHECK(time.value.has_value() == time.warning.empty());
    const auto size = read_size(setting.value);
    CHECK(size.value || !size.warning.empty());
    const auto offset = read_offset(setting.value);
    CHECK(!offset.value || (offset.value->minutes >= 0 && offset.value->minutes < 1440));
    (void)read_number(setting.value);
  }
  line = 0;
  for (const auto& remark : cfg.remarks) {
    CHECK(remark.line >= line && !remark.text.empty() && remark.text.find('\n') == std::string::npos);
    line = remark.line;
  }
  const auto second = parse_cfg(again);
  CHECK(second.remarks.empty() && second.settings.size() == cfg.settings.size());
  for (std::size_t i = 0; i < cfg.settings.size(); ++i) {
    CHECK(second.settings[i].name == cfg.settings[i].name && second.settings[i].value == cfg.settings[i].value);
  }
}

void fuzz_disks(std::string_view input) {
  for (const auto& disk : parse_disks(input).disks) {
    CHECK(disk.path.starts_with('/') && disk.path.find('\n') == std::string::npos);
    CHECK(disk.percent >= 0 && disk.percent <= 100);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    fuzz_cfg(input);
  } else {
    fuzz_disks(input);
  }
  return 0;
}
