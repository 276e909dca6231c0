#include "storage/ec/shard_sources.h"

#include <fmt/format.h>

namespace holdfast::ec {
namespace {

constexpr std::size_t kVectorBytes = 64;

}  // namespace

StepRoom::StepRoom(unsigned shards)
    : bytes_(std::make_unique_for_overwrite<std::uint8_t[]>(shards * kStepBytes + kVectorBytes)) {
  const auto at = reinterpret_cast<std::uintptr_t>(bytes_.get());
  begin_ = bytes_.get() + (kVectorBytes - at % kVectorBytes) % kVectorBytes;
}

Result<ShardSources> ShardSources::open(io::Disk& disk, Scheme scheme, const std::map<ShardId, std::string>& paths,
                                        std::vector<ShardId> wanted, std::uint32_t sum_block_bytes) {
  std::vector<ShardId> present;
  for (const auto& [id, path] : paths) present.push_back(id);
  std::vector<ShardId> missing;
  for (const auto id : wanted) {
    if (!paths.contains(id)) missing.push_back(id);
  }
  Codec codec(scheme);
  auto plan = missing.empty() ? Result<Codec::Plan>(Codec::Plan()) : codec.plan(present, missing);
  if (!plan) return plan.error();
  ShardSources out(std::move(codec), std::move(*plan), kShardsMax * 2);
  std::vector<ShardId> needed = out.plan_.sources();
  for (const auto id : wanted) {
    if (paths.contains(id)) needed.push_back(id);
  }
  for (const auto id : needed) {
    if (out.files_.contains(id)) continue;
    auto file = disk.open(paths.at(id), {});
    if (!file) return file.error();
    const auto size = (*file)->size();
    if (!size) return size.error();
    if (!out.files_.empty() && *size != out.shard_bytes_) {
      return Error(Code::corrupt, fmt::format("{} is {} bytes long and another shard {}", paths.at(id), *size,
                                              out.shard_bytes_));
    }
    out.shard_bytes_ = *size;
    out.files_.emplace(id, std::move(*file));
    if (sum_block_bytes > 0) out.summers_.emplace(id, ShardSummer(id, sum_block_bytes));
  }
  out.wanted_ = std::move(wanted);
  return out;
}

Result<std::vector<BytesView>> ShardSources::read(std::uint64_t offset, std::size_t bytes) {
  CHECK(bytes <= kStepBytes && offset + bytes <= shard_bytes_);
  for (auto& [id, file] : files_) {
    const std::span<std::uint8_t> into(room_.of(id), bytes);
    const auto got = file->read(offset, into);
    if (!got) return got.error();
    if (*got != bytes) return Error(Code::corrupt, file->path() + ": ends early");
    if (const auto it = summers_.find(id); it != summers_.end()) it->second.add(into);
  }
  // What is made lies behind what is read, by its id as well.
  std::vector<const std::uint8_t*> from;
  std::vector<std::uint8_t*> to;
  for (const auto id : plan_.sources()) from.push_back(room_.of(id));
  for (const auto id : plan_.wanted()) to.push_back(room_.of(kShardsMax + id));
  if (!to.empty()) plan_.run(from, to, bytes);
  std::vector<BytesView> out;
  for (const auto id : wanted_) out.emplace_back(room_.of(files_.contains(id) ? id : kShardsMax + id), bytes);
  return out;
}

std::vector<ShardChecksums> ShardSources::finish_sums() {
  std::vector<ShardChecksums> out;
  for (auto& [id, summer] : summers_) out.push_back(summer.finish());
  return out;
}

}  // namespace holdfast::ec
