// Any .idx replays into a map that agrees with an ordinary one.
#include <cstdlib>
#include <map>

#include "core/volume/needle_map.h"

using namespace holdfast;
using namespace holdfast::volume;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  NeedleMap map;
  std::map<NeedleId, Slot> model;
  std::uint64_t puts = 0;
  for (std::size_t at = 0; at + kIndexRowBytes <= size; at += kIndexRowBytes) {
    const auto row = parse_row(data + at);
    map.apply(row);
    if (row.is_put()) {
      puts++;
      model[row.key] = {static_cast<std::uint32_t>(row.offset), row.size};
    } else if (const auto it = model.find(row.key); it != model.end() && it->second.is_live()) {
      it->second.size = it->second.size == 0 ? -1 : -it->second.size;
    }
    if (at + kIndexRowBytesLarge <= size) (void)parse_row_large(data + at);
  }
  if (map.keys() != model.size() || map.counts().files != puts) std::abort();
  for (const auto& [key, slot] : model) {
    if (map.find(key) != slot) std::abort();
  }
  return 0;
}
