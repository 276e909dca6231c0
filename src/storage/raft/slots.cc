#include "storage/raft/slots.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/crc32c.h"

namespace holdfast::storage {
namespace {

// 0 magic, 4 format, 6 length of the value, 8 checksum of all the rest of the slot, 12 zero, 16 sequence, 24 value.
std::string encode_slot(std::string_view magic, std::uint16_t format, std::uint64_t sequence, std::string_view value) {
  std::string slot(kSlotBytes, '\0');
  auto* at = reinterpret_cast<std::uint8_t*>(slot.data());
  std::copy(magic.begin(), magic.end(), slot.begin());
  store_be<std::uint16_t>(at + 4, format);
  store_be<std::uint16_t>(at + 6, static_cast<std::uint16_t>(value.size()));
  store_be<std::uint64_t>(at + 16, sequence);
  std::copy(value.begin(), value.end(), slot.begin() + 24);
  store_be<std::uint32_t>(at + 8, crc32c(bytes_of(slot)));  // over zeros in its own place
  return slot;
}

struct Slot {
  enum class State { empty, good, bad, newer_format } state = State::empty;
  std::uint64_t sequence = 0;
  std::string value;
};

Slot decode_slot(std::string slot, std::string_view magic, std::uint16_t format) {
  if (std::all_of(slot.begin(), slot.end(), [](char c) { return c == '\0'; })) return {};
  auto* at = reinterpret_cast<std::uint8_t*>(slot.data());
  const auto checksum = load_be<std::uint32_t>(at + 8);
  store_be<std::uint32_t>(at + 8, 0);
  const auto length = load_be<std::uint16_t>(at + 6);
  if (crc32c(bytes_of(slot)) != checksum || slot.substr(0, 4) != magic || length > kSlotValueBytesMax) {
    return {.state = Slot::State::bad};
  }
  if (load_be<std::uint16_t>(at + 4) != format) return {.state = Slot::State::newer_format};
  return {.state = Slot::State::good, .sequence = load_be<std::uint64_t>(at + 16), .value = slot.substr(24, length)};
}

}  // namespace

Result<SlotFile> SlotFile::open(io::Disk& disk, const std::string& path, std::string_view magic,
                                std::uint16_t format) {
  CHECK(magic.size() == 4);
  const bool missing = !disk.info(path).ok();
  auto file = disk.open(path, {.write = true, .create = true});
  if (!file) return file.error();
  constexpr std::uint64_t kLength = kSlotDistance + kSlotBytes;
  const auto size = (*file)->size();
  if (!size) return size.error();
  if (*size < kLength) {
    // Written, not only reserved: the device must have room for each slot from now on.
    const std::string zeros(kLength - *size, '\0');
    if (auto done = (*file)->write(*size, bytes_of(zeros)); !done) return done.error();
    if (auto done = (*file)->sync(); !done) return done.error();
  }
  if (missing) {
    if (auto done = disk.sync_dir(io::folder_of(path)); !done) return done.error();
  }
  SlotFile slots(std::move(*file), magic, format);
  if (auto done = slots.load(); !done) return done.error().at(path);
  return slots;
}

Status SlotFile::load() {
  std::array<Slot, 2> slots;
  for (int i = 0; i < 2; ++i) {
    std::string bytes(kSlotBytes, '\0');
    const auto got = file_->read(static_cast<std::uint64_t>(i) * kSlotDistance,
                                 {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
    if (!got) return got.error();
    slots[i] = decode_slot(std::move(bytes), magic_, format_);
    if (slots[i].state == Slot::State::newer_format) {
      return Error{Code::unsupported, "written by a newer build: start a newer holdfast"};
    }
  }
  for (int i = 0; i < 2; ++i) {
    if (slots[i].state != Slot::State::good) continue;
    if (value_ && slots[i].sequence <= sequence_) continue;
    value_ = slots[i].value;
    sequence_ = slots[i].sequence;
    written_ = synced_ = i;
  }
  // One bad slot beside an empty one is the very first write, torn: nothing was promised yet.
  damaged_ = !value_ && slots[0].state == Slot::State::bad && slots[1].state == Slot::State::bad;
  if (!value_) return {};
  const auto again = encode_slot(magic_, format_, sequence_, *value_);
  if (auto done = file_->write(static_cast<std::uint64_t>(synced_) * kSlotDistance, bytes_of(again)); !done) return done;
  return file_->sync();
}

Status SlotFile::write(std::string_view value) {
  CHECK(value.size() <= kSlotValueBytesMax);
  const int target = 1 - synced_;
  const auto slot = encode_slot(magic_, format_, sequence_ + 1, value);
  if (auto done = file_->write(static_cast<std::uint64_t>(target) * kSlotDistance, bytes_of(slot)); !done) return done;
  written_ = target;
  ++sequence_;
  value_ = std::string(value);
  damaged_ = false;
  return {};
}

Status SlotFile::sync() {
  if (auto done = file_->sync(); !done) return done;
  synced_ = written_;
  return {};
}

}  // namespace holdfast::storage
