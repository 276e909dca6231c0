// Bytes as a log entry and as a checkpoint: either is answered in words or does what two members agree on.
#include <cstdint>

#include "base/check.h"
#include "base/crc32c.h"
#include "core/topology/registry.h"

using namespace holdfast;
using namespace holdfast::topology;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView bytes(data, size);
  Registry a, b;
  const auto answers = a.apply(Index(1), Term(1), bytes);
  CHECK(b.apply(Index(1), Term(1), bytes).ok() == answers.ok());
  CHECK(a.digest() == b.digest());
  if (answers.ok()) {
    for (const auto& answer : *answers) CHECK(decode_answer(answer).ok() || !decode_answer(answer).error().what().empty());
    Registry c;
    CHECK(c.restore(a.checkpoint()).ok());
    CHECK(c.digest() == a.digest());
  }

  // A checkpoint with a right checksum over wrong bytes.
  std::string state(text_of(bytes));
  append_be(state, crc32c(bytes));
  (void)b.restore({Index(2), Term(1), {{"registry", std::move(state)}}});
  (void)b.checkpoint();
  return 0;
}
