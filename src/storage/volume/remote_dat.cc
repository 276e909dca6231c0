#include "storage/volume/remote_dat.h"

#include <algorithm>

namespace holdfast::volume {

RemoteDat::RemoteDat(RemoteTier& tier, const RemoteFile& where)
    : tier_(tier), name_(where.backend_name()), key_(where.key), size_(where.file_size), path_(name_ + ":" + key_) {}

Result<std::size_t> RemoteDat::read(std::uint64_t offset, std::span<std::uint8_t> out) const {
  const auto there = offset >= size_ ? 0 : std::min<std::uint64_t>(out.size(), size_ - offset);
  if (there == 0) return std::size_t{0};
  const auto store = tier_.find(name_);
  const auto read = store ? (*store)->read(key_, offset, out.first(there)) : Status(store.error());
  if (!read) return Error(Code::unavailable, read.error().what());
  return static_cast<std::size_t>(there);
}

Result<std::size_t> RemoteDat::read_cached(std::uint64_t, std::span<std::uint8_t>) const {
  return Error(Code::busy, path_ + ": lies in a remote tier");
}

Error RemoteDat::read_only() const { return Error(Code::read_only, path_ + ": lies in a remote tier, where it does not change"); }

Status RemoteDat::write(std::uint64_t, BytesView) { return read_only(); }
Status RemoteDat::write_pieces(std::uint64_t, std::span<const BytesView>) { return read_only(); }
Status RemoteDat::truncate(std::uint64_t) { return read_only(); }
Status RemoteDat::allocate(std::uint64_t, std::uint64_t, bool) { return read_only(); }

}  // namespace holdfast::volume
