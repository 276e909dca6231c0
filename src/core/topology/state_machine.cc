#include "core/topology/state_machine.h"

#include "base/check.h"
#include "base/codec.h"

namespace holdfast::topology {

namespace {

constexpr std::uint8_t kBatchFormat = 1;

}  // namespace

std::string encode_batch(const std::vector<Request>& requests) {
  Writer out;
  out.u8(kBatchFormat);
  out.u32(static_cast<std::uint32_t>(requests.size()));
  for (const Request& r : requests) {
    out.uuid(r.id.session);
    out.u64(r.id.sequence);
    out.u64(r.answered_below);
    out.text(r.command);
  }
  std::string bytes = out.take();
  CHECK(bytes.size() <= kBatchBytesMax);
  return bytes;
}

Result<std::vector<Request>> decode_batch(BytesView bytes) {
  Reader in(bytes);
  if (const std::uint8_t format = in.u8(); format != kBatchFormat) {
    return Error(Code::unsupported, "batch format " + std::to_string(format) + " is newer than this build's " +
                                        std::to_string(kBatchFormat));
  }
  std::vector<Request> requests(in.count(kRequestHeadBytes));
  for (Request& r : requests) {
    r.id.session = in.uuid();
    r.id.sequence = in.u64();
    r.answered_below = in.u64();
    r.command = in.text();
  }
  if (!in.at_end()) return Error(Code::corrupt, "batch of " + std::to_string(bytes.size()) + " bytes does not parse");
  return requests;
}

}  // namespace holdfast::topology
