// Any bytes are read without harm, as an image and as a change log; and what was written is read back whatever stands
// behind it.
#include <cstddef>

#include "base/check.h"
#include "storage/backup/restore.h"

using namespace holdfast;
using namespace holdfast::backup;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView bytes(data, size);
  (void)decode_image(bytes);
  (void)parse_change_log(text_of(bytes));
  const ClusterId cluster(Uuid{1, 2});
  if (const auto change = decode_change(cluster, text_of(bytes))) {
    CHECK(encode(cluster, *change) == std::string(text_of(bytes)) + "\n");
  }

  // The input behind good lines: they stay, and what follows them is changes, faults or torn.
  std::string log = encode(ChangeLogHead{cluster, Generation(1), {}});
  const std::size_t good = size > 0 ? data[0] % 4 : 0;
  for (std::size_t i = 1; i <= good; ++i) {
    log += encode(cluster, {.entry = {.term = Term(1), .index = Index(i), .data = std::string(i * 3, 'x')}, .time = 7});
  }
  const std::size_t whole = log.size();
  log += text_of(bytes);
  std::vector<SourceLog> logs{{"fuzzed", parse_change_log(log)}};
  const auto& parsed = logs[0].parsed;
  CHECK(parsed.head && parsed.changes.size() >= good && parsed.whole >= whole);
  CHECK(parsed.torn.has_value() == !log.ends_with('\n'));
  const auto chain = chain_of(cluster, {}, logs);
  CHECK(chain.reached.index >= Index(good) || !chain.losses.empty());
  CHECK(chain.highest >= chain.reached.index);
  return 0;
}
