#include "service/volume/content.h"

#include <algorithm>

#include "storage/volume/record_reader.h"

namespace holdfast::volume {

void ContentEntry::append_to(std::string& out) const {
  append_be(out, key.value());
  append_be(out, cookie.value());
  append_be(out, static_cast<std::uint32_t>(size));
  append_be(out, crc);
  append_be(out, append_at_ns);
}

ContentEntry ContentEntry::parse(const std::uint8_t* bytes) {
  ContentEntry out;
  out.key = NeedleId(load_be<std::uint64_t>(bytes));
  out.cookie = Cookie(load_be<std::uint32_t>(bytes + 8));
  out.size = static_cast<std::int32_t>(load_be<std::uint32_t>(bytes + 12));
  out.crc = load_be<std::uint32_t>(bytes + 16);
  out.append_at_ns = load_be<std::uint64_t>(bytes + 20);
  return out;
}

Status walk_content(const std::shared_ptr<const Volume>& volume, Pacer& pacer, Cancel& cancel,
                    const std::function<Status(const ContentEntry&)>& visit) {
  constexpr int kRoundsMax = 100;
  RecordReader reader(volume, volume->first_needle());
  for (int rounds = 0;;) {
    const auto next = reader.next();
    if (!next) return next.error();
    if (!*next) {
      // What was passed over as overwritten is told by its last record, which may have come meanwhile.
      const auto before = reader.offset();
      reader.refresh();
      if (before >= volume->dat_bytes() || ++rounds > kRoundsMax) return {};
      continue;
    }
    const auto& record = **next;
    if (!pacer.pass(record.bytes, cancel)) return Error(Code::unavailable, "called off");
    ContentEntry entry{record.header.id, record.header.cookie, record.header.size, record.crc, record.append_at_ns};
    const auto slot = volume->find(entry.key);
    const bool is_live = slot && slot->is_live();
    if (is_live && slot->offset * kAlignment != record.offset) continue;  // overwritten since
    if (!is_live) {
      if (record.header.size != 0) continue;  // its deletion stands further on
      entry.size = kTombstoneSize;
    }
    if (auto told = visit(entry); !told) return told;
  }
}

Result<Coverage> Coverage::of(const std::shared_ptr<const Volume>& copy, bool stands_still, bool with_deletions, Pacer& pacer,
                              Cancel& cancel) {
  Coverage out;
  std::size_t live = 0;
  const auto walked = walk_content(copy, pacer, cancel, [&](const ContentEntry& entry) {
    live += entry.is_live() ? 1 : 0;
    out.files_.push_back({entry, !entry.is_live()});  // who never heard of a key has nothing to delete
    return Status();
  });
  if (!walked) return walked.error();
  // Fewer than the index knows: something of it cannot be read here, and then nothing can be said of it.
  if (stands_still && live != copy->live_needles()) {
    return Error(Code::corrupt, "the .dat and the index of volume " + text(copy->id()) + " tell of different files");
  }
  const auto is_before = [](const File& a, const File& b) { return a.entry.key < b.entry.key; };
  std::stable_sort(out.files_.begin(), out.files_.end(), is_before);
  auto end = out.files_.begin();
  for (auto at = out.files_.begin(); at != out.files_.end(); ++at) {
    if (end != out.files_.begin() && !is_before(*(end - 1), *at)) --end;  // a later word takes its place
    *end++ = *at;
  }
  out.files_.erase(end, out.files_.end());
  if (!with_deletions) std::erase_if(out.files_, [](const File& file) { return !file.entry.is_live(); });
  return out;
}

void Coverage::known(const ContentEntry& entry) {
  const auto at = std::lower_bound(files_.begin(), files_.end(), entry.key,
                                   [](const File& file, NeedleId key) { return file.entry.key < key; });
  if (at == files_.end() || at->entry.key != entry.key) return;
  const auto& mine = at->entry;
  if (!mine.is_live()) {
    // Of versions 1 and 2 nobody knows which came first.
    if (entry.is_live() && (mine.append_at_ns == 0 || entry.append_at_ns <= mine.append_at_ns)) at->known = false;
    return;
  }
  const bool is_same = entry.is_live() && entry.cookie == mine.cookie && entry.size == mine.size && entry.crc == mine.crc;
  // Times of versions 1 and 2 are not known, and prove nothing.
  const bool is_younger = mine.append_at_ns != 0 && entry.append_at_ns > mine.append_at_ns;
  if (is_same || is_younger) at->known = true;
}

Coverage::Answer Coverage::answer() const {
  Answer out;
  out.files = files_.size();
  for (const File& file : files_) {
    if (file.known) continue;
    if (out.missing++ == 0) out.example = file.entry.key;
  }
  return out;
}

}  // namespace holdfast::volume
