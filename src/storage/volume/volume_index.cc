#include "storage/volume/volume_index.h"

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/codec.h"
#include "base/log.h"

namespace holdfast::volume {
namespace {

constexpr std::uint8_t kNotesFormat = 1;
constexpr std::size_t kBatchEntries = 4096;  // written at a time when a whole index goes to disk
constexpr std::uint64_t kTried = 64;         // rows that are looked up before a cache is trusted
constexpr const char* kStale = "stale";      // in the cache's folder: it must not be trusted
constexpr int kClosingTries = 5000;          // of a millisecond, for lookups under way to end

void put_row(Writer& out, const IndexRow& row) {
  out.id(row.key);
  out.u64(row.offset);
  out.u32(static_cast<std::uint32_t>(row.size));
}

IndexRow take_row(Reader& in) {
  IndexRow row;
  row.key = in.id<NeedleId>();
  row.offset = in.u64();
  row.size = static_cast<std::int32_t>(in.u32());
  return row;
}

Result<IndexRow> row_at(const io::File& idx, std::uint64_t row) {
  std::uint8_t bytes[kIndexRowBytes];
  const auto got = idx.read(row * kIndexRowBytes, bytes);
  if (!got) return got.error();
  if (*got != sizeof bytes) return Error(Code::corrupt, idx.path() + ": ends early");
  return parse_row(bytes);
}

Status replay(const io::File& idx, std::uint64_t rows, NeedleMap& map) {
  std::string piece;
  for (std::uint64_t at = 0; at < rows * kIndexRowBytes;) {
    piece.resize(std::min<std::uint64_t>(1_MiB, rows * kIndexRowBytes - at));
    auto* bytes = reinterpret_cast<std::uint8_t*>(piece.data());
    const auto got = idx.read(at, {bytes, piece.size()});
    if (!got) return got.error();
    if (*got != piece.size()) return Error(Code::corrupt, idx.path() + ": ends early");
    for (std::size_t i = 0; i < piece.size(); i += kIndexRowBytes) map.apply(parse_row(bytes + i));
    at += piece.size();
  }
  return {};
}

// What is left of a cache must never be taken for one of the rows that come next: its name is surely gone.
void remove_cache(io::Disk& disk, const std::string& folder) {
  auto removed = disk.remove_all(folder);
  if (removed) removed = disk.sync_dir(io::folder_of(folder));
  if (!removed) LOG_WARNING("{}", removed.error().what());
}

std::string own_folder(const VolumeIndex::Source& source) {
  return io::join(source.folder, std::to_string(source.revision));
}

void remove_own(const VolumeIndex::Source& source) {
  if (auto removed = source.disk.remove_all(own_folder(source)); !removed) LOG_WARNING("{}", removed.error().what());
}

}  // namespace

// --- what is kept beside the slots ---

void VolumeIndex::Notes::take(const IndexRow& row) {
  known.rows++;
  if (known.rows == 1 || row.offset > known.furthest.offset) known.furthest = row;
  last = row;
}

std::string VolumeIndex::Notes::bytes() const {
  Writer out;
  out.u8(kNotesFormat);
  out.u32(revision);
  out.u64(known.rows);
  put_row(out, known.furthest);
  put_row(out, last);
  const auto& counts = tally.counts;
  for (const auto n : {counts.files, counts.file_bytes, counts.deletions, counts.deleted_bytes}) out.u64(n);
  out.id(counts.max_key);
  out.u64(tally.keys);
  out.u64(tally.live_keys);
  return out.take();
}

std::optional<VolumeIndex::Notes> VolumeIndex::Notes::parse(std::string_view bytes) {
  Reader in(bytes_of(bytes));
  Notes out;
  if (in.u8() != kNotesFormat) return {};
  out.revision = static_cast<std::uint16_t>(in.u32());
  out.known.rows = in.u64();
  out.known.furthest = take_row(in);
  out.last = take_row(in);
  auto& counts = out.tally.counts;
  for (auto* n : {&counts.files, &counts.file_bytes, &counts.deletions, &counts.deleted_bytes}) *n = in.u64();
  counts.max_key = in.id<NeedleId>();
  out.tally.keys = in.u64();
  out.tally.live_keys = in.u64();
  if (!in.ok() || in.left() != 0) return {};
  return out;
}

// --- to and from the disk ---

VolumeIndex::~VolumeIndex() { close(); }

Result<std::shared_ptr<IndexStore>> VolumeIndex::open_store(const Source& source) {
  auto& disk = source.disk;
  for (const auto& folder : {source.folder, own_folder(source)}) {
    if (auto made = disk.make_folder(folder); !made) return made.error();
  }
  // When the sync fails nobody knows what of the rows will be there: then what is there must not be trusted.
  auto before_flush = [this, &source] {
    auto synced = source.dat.sync();
    if (synced) synced = source.idx.sync();
    if (!synced) note_failure(synced.error());
  };
  auto opened = IndexStore::open(source.caches, own_folder(source), before_flush);
  if (!opened) return opened.error();
  return std::shared_ptr<IndexStore>(std::move(*opened));
}

std::optional<VolumeIndex::Known> VolumeIndex::open(const Source& source, std::uint64_t rows) {
  const auto name = std::to_string(source.revision);
  const auto names = source.disk.list(source.folder);
  if (!names) return {};
  const auto has = [&](const std::string& wanted) { return std::count(names->begin(), names->end(), wanted) > 0; };
  if (!has(name) || has(kStale)) {
    remove_cache(source.disk, source.folder);
    return {};
  }
  source_ = std::make_unique<const Source>(source);
  std::optional<Notes> notes;
  auto opened = open_store(*source_);
  if (opened) {
    if (const auto bytes = (*opened)->notes()) notes = Notes::parse(*bytes);
    if (notes && !is_true(**opened, *notes, rows)) notes.reset();
    if (is_discarded_) notes.reset();
  }
  if (!notes) {
    LOG_INFO("{}: is made anew from the .idx{}", source.folder, opened ? "" : ": " + opened.error().what());
    const bool is_busy = !opened && opened.error().code() == Code::busy;
    if (opened) opened->reset();
    source_.reset();
    is_discarded_ = false;
    // What somebody else has open is not ours to remove; without a cache the index is in memory.
    if (is_busy) return {};
    remove_cache(source.disk, source.folder);
    return {};
  }
  for (const auto& other : *names) {
    if (other != name) (void)source.disk.remove_all(io::join(source.folder, other));  // of a vacuum, over or broken off
  }
  Guard applying(apply_mutex_);
  notes_ = *notes;
  rows_on_disk_ = rows_tended_ = notes->known.rows;
  Guard guard(mutex_);
  memory_ = NeedleMap();
  tally_ = notes->tally;
  store_ = std::move(*opened);
  counts_in_notes_ = true;
  return notes->known;
}

// Whether the cache tells of this .idx. The last row it knows must be there; and of rows all over the .idx, the key must
// be known, in a place not before that of the row.
bool VolumeIndex::is_true(const IndexStore& store, const Notes& notes, std::uint64_t rows) const {
  const auto known = notes.known.rows;
  if (notes.revision != source_->revision || known > rows) return false;
  if (known == 0) return true;
  const auto last = row_at(source_->idx, known - 1);
  if (!last || *last != notes.last) return false;
  const auto step = std::max<std::uint64_t>(1, known / kTried);
  for (std::uint64_t at = 0; at < known; at += step) {
    const auto row = row_at(source_->idx, at);
    if (!row) return false;
    const auto slot = store.find(row->key);
    if (!slot) return false;
    if (row->is_put() && (!*slot || (*slot)->offset < static_cast<std::uint32_t>(row->offset))) return false;
  }
  return true;
}

Status VolumeIndex::move_to_disk(const Source& source, const Known& known) {
  close();
  remove_own(source);
  source_ = std::make_unique<const Source>(source);
  is_discarded_ = false;
  Notes notes;
  notes.revision = source.revision;
  notes.known = known;
  auto opened = open_store(*source_);
  auto moved = opened ? write_all(**opened, notes) : Status(opened.error());
  if (moved && is_discarded_) moved = Error(Code::io, "what it is made from could not be synced");
  if (!moved) {
    is_discarded_ = true;
    return moved;
  }
  Guard applying(apply_mutex_);
  notes_ = notes;
  rows_on_disk_ = rows_tended_ = known.rows;
  Guard guard(mutex_);
  memory_ = NeedleMap();
  tally_ = notes.tally;
  store_ = std::move(*opened);
  counts_in_notes_ = true;
  return {};
}

// All that is in memory, and with the last of it the notes: until they are there nobody trusts any of it.
Status VolumeIndex::write_all(IndexStore& store, Notes& notes) const {
  if (notes.known.rows > 0) {
    const auto last = row_at(source_->idx, notes.known.rows - 1);
    if (!last) return last.error();
    notes.last = *last;
  }
  std::vector<IndexStore::Entry> entries;
  for (NeedleId from(0);;) {
    entries.clear();
    {
      Guard guard(mutex_);
      notes.tally = memory_.tally();
      memory_.collect(from, kBatchEntries, entries);
    }
    const bool is_last = entries.size() < kBatchEntries || entries.back().first.value() == UINT64_MAX;
    if (auto written = store.write(entries, is_last ? notes.bytes() : ""); !written) return written;
    if (is_last) break;
    from = NeedleId(entries.back().first.value() + 1);
  }
  return store.flush();
}

void VolumeIndex::close() {
  std::shared_ptr<IndexStore> closing;
  {
    Guard applying(apply_mutex_);
    Guard guard(mutex_);
    closing.swap(store_);
  }
  if (closing) {
    const std::weak_ptr<IndexStore> waited_for = closing;
    closing.reset();
    for (int i = 0; i < kClosingTries && !waited_for.expired(); i++) std::this_thread::sleep_for(1ms);
  }
  if (is_discarded_ && source_) remove_own(*source_);
}

void VolumeIndex::clear() {
  close();
  is_discarded_ = false;
  if (source_) remove_cache(source_->disk, source_->folder);
  source_.reset();
  Guard guard(mutex_);
  memory_ = NeedleMap();
  counts_in_notes_ = false;
}

// --- answers ---

std::shared_ptr<IndexStore> VolumeIndex::store() const {
  Guard guard(mutex_);
  return store_;
}

std::optional<Slot> VolumeIndex::find_on_disk(const IndexStore& store, NeedleId key) const {
  const auto found = store.find(key);
  if (found) return *found;
  Guard applying(apply_mutex_);
  if (auto read = fall_back(found.error()); !read) return {};
  Guard guard(mutex_);
  return memory_.find(key);
}

bool VolumeIndex::find_now_on_disk(const IndexStore& store, NeedleId key, std::optional<Slot>& out) const {
  const auto found = store.find_now(key);
  if (found) out = *found;
  return found.ok();  // what is wrong is looked into where there is time for it
}

bool VolumeIndex::is_on_disk() const { return store() != nullptr; }

Tally VolumeIndex::tally() const {
  Guard guard(mutex_);
  return counts_in_notes_ ? tally_ : memory_.tally();
}

std::size_t VolumeIndex::memory_bytes() const {
  if (const auto on_disk = store()) return on_disk->memory_bytes();
  Guard guard(mutex_);
  return memory_.memory_bytes();
}

void VolumeIndex::collect(NeedleId from, std::size_t entries_max,
                          std::vector<std::pair<NeedleId, Slot>>& out) const {
  if (const auto on_disk = store()) {
    const auto before = out.size();
    const auto collected = on_disk->collect(from, entries_max, out);
    if (collected) return;
    out.resize(before);
    Guard applying(apply_mutex_);
    if (auto read = fall_back(collected.error()); !read) return;
  }
  Guard guard(mutex_);
  memory_.collect(from, entries_max, out);
}

// --- changes ---

Status VolumeIndex::apply(std::span<const IndexRow> rows) {
  std::shared_ptr<IndexStore> store;
  {
    Guard guard(mutex_);
    if (!store_) {
      for (const auto& row : rows) memory_.apply(row);
      return {};
    }
    store = store_;
  }
  return apply_on_disk(store, rows);
}

Status VolumeIndex::apply_on_disk(const std::shared_ptr<IndexStore>& store, std::span<const IndexRow> rows) {
  Guard applying(apply_mutex_);
  auto notes = notes_;
  std::vector<IndexStore::Entry> entries;
  std::unordered_map<std::uint64_t, Slot> changed;  // by the rows before
  entries.reserve(rows.size());
  const auto write = [&]() -> Status {
    for (const auto& row : rows) {
      std::optional<Slot> old;
      if (const auto it = changed.find(row.key.value()); it != changed.end()) {
        old = it->second;
      } else {
        const auto found = store->find(row.key);
        if (!found) return found.error();
        old = *found;
      }
      notes.take(row);
      if (const auto now = notes.tally.apply(row, old ? &*old : nullptr)) {
        entries.emplace_back(row.key, *now);
        if (rows.size() > 1) changed[row.key.value()] = *now;
      }
    }
    return store->write(entries, notes.bytes());
  };
  auto written = is_on_disk() ? write() : Status(Error(Code::io, "was given up"));
  if (written) {
    notes_ = notes;
    Guard guard(mutex_);
    tally_ = notes.tally;
    return {};
  }
  if (auto read = fall_back(written.error()); !read) return read;
  Guard guard(mutex_);
  for (const auto& row : rows) memory_.apply(row);
  return {};
}

void VolumeIndex::note_failure(const Error& why) const {
  if (is_discarded_.exchange(true)) return;
  LOG_ERROR("{}: {}: it is made anew at the next start", source_->folder, why.what());
  // Also when the process dies before it can be removed.
  (void)source_->disk.replace_file(io::join(source_->folder, kStale), "");
}

// All that the store should have is read into memory from the .idx.
Status VolumeIndex::fall_back(const Error& why) const {
  if (!is_on_disk()) return {};  // somebody else was quicker
  note_failure(why);
  NeedleMap map;
  if (auto read = replay(source_->idx, notes_.known.rows, map); !read) {
    LOG_ERROR("{}: nor can the .idx be read: {}", source_->folder, read.error().what());
    return read;
  }
  LOG_WARNING("{}: {} rows of the .idx were read into memory instead", source_->folder, notes_.known.rows);
  Guard guard(mutex_);
  memory_ = std::move(map);
  counts_in_notes_ = false;
  store_.reset();
  return {};
}

void VolumeIndex::tend() {
  const auto on_disk = store();
  if (!on_disk) return;
  {
    Guard applying(apply_mutex_);
    const auto rows = notes_.known.rows;
    const bool has_waited = rows == std::exchange(rows_tended_, rows) && rows != rows_on_disk_;
    if (!has_waited) return;
    rows_on_disk_ = rows;
  }
  if (auto flushed = on_disk->flush(); !flushed) LOG_WARNING("{}", flushed.error().what());
}

}  // namespace holdfast::volume
