#include "model/volume_digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace holdfast {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are hashed as they lie in memory");

constexpr std::uint64_t kCountMax = 0xffffffff;

class Packed {
 public:
  template <typename T>
  Packed& add(T value) {
    std::memcpy(bytes_.data() + size_, &value, sizeof value);
    size_ += sizeof value;
    return *this;
  }
  std::uint64_t hash() const { return XXH64(bytes_.data(), size_, 0); }

 private:
  std::array<char, 57> bytes_{};
  std::size_t size_ = 0;
};

std::uint64_t fold(std::uint64_t hash, std::uint64_t part) {
  hash = (hash ^ part) * 0x9E3779B97F4A7C15;
  return hash ^ (hash >> 29);
}

std::uint64_t hash_of_text(std::string_view text) { return XXH64(text.data(), text.size(), 0); }

}  // namespace

std::uint64_t hash_of(const DigestedVolume& volume) {
  const auto count = [](std::uint64_t n) { return std::min(n, kCountMax); };
  auto hash = Packed()
                  .add(volume.id)
                  .add(volume.size)
                  .add(count(volume.file_count))
                  .add(count(volume.delete_count))
                  .add(volume.deleted_byte_count)
                  .add(volume.replica_placement)
                  .add(volume.version)
                  .add(volume.ttl)
                  .add(volume.compact_revision)
                  .add(volume.disk_id)
                  .add(static_cast<std::uint8_t>(volume.read_only))
                  .hash();
  hash = fold(hash, Packed().add(volume.modified_at_second).hash());
  hash = fold(hash, hash_of_text(volume.collection));
  hash = fold(hash, hash_of_text(volume.disk_type));
  return fold(hash, hash_of_text(volume.remote_storage_name));
}

}  // namespace holdfast
