#include "storage/volume/index_store.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/iterator.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <rocksdb/write_buffer_manager.h>

#include <cstdarg>
#include <cstdio>

#include "base/log.h"

namespace holdfast::volume {
namespace {

constexpr std::size_t kKeyBytes = 8;
constexpr std::size_t kSlotBytes = 8;  // offset, size
// Behind all keys, so that it makes no table overlap with those of lower keys, which never change once written.
constexpr std::string_view kNotesKey("\xff\xff\xff\xff\xff\xff\xff\xff\xff", kKeyBytes + 1);

// What waits to be written of one volume: some 60,000 rows, carried out again after a crash in less than 0.1 s.
constexpr std::uint64_t kWriteBufferBytes = 8_MiB;
constexpr std::uint64_t kArenaBytes = 64_KiB;  // taken at a time, so that an idle volume takes no more
constexpr std::uint64_t kTableBytes = 16_MiB;
constexpr int kOpenTablesMax = 64;
constexpr int kBloomBitsPerKey = 10;  // a key that is new is known as such without the disk, 99 times of 100

std::string key_bytes(NeedleId key) {
  std::string out;
  append_be(out, key.value());
  return out;
}

std::string slot_bytes(const Slot& slot) {
  std::string out;
  append_be(out, slot.offset);
  append_be(out, static_cast<std::uint32_t>(slot.size));
  return out;
}

Result<Slot> parse_slot(const rocksdb::Slice& bytes) {
  if (bytes.size() != kSlotBytes) return Error(Code::corrupt, "an entry of the index on disk has a wrong length");
  return Slot{load_be<std::uint32_t>(bytes.data()), static_cast<std::int32_t>(load_be<std::uint32_t>(bytes.data() + 4))};
}

Error error_of(const rocksdb::Status& status) {
  auto code = Code::io;
  if (status.IsCorruption()) code = Code::corrupt;
  if (status.IsIncomplete() || status.IsBusy() || status.IsTryAgain()) code = Code::busy;
  if (status.IsNoSpace()) code = Code::no_space;
  return Error(code, "index on disk: " + status.ToString());
}

Status status_of(const rocksdb::Status& status) { return status.ok() ? Status() : Status(error_of(status)); }

class Log final : public rocksdb::Logger {
 public:
  Log() : Logger(rocksdb::InfoLogLevel::ERROR_LEVEL) {}
  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    char line[1000];
    std::vsnprintf(line, sizeof line, format, arguments);
    LOG_WARNING("index on disk: {}", line);
  }
};

class BeforeFlush final : public rocksdb::EventListener {
 public:
  explicit BeforeFlush(std::function<void()> call) : call_(std::move(call)) {}
  void OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) override { call_(); }

 private:
  const std::function<void()> call_;
};

}  // namespace

struct IndexCaches::Shared {
  std::shared_ptr<rocksdb::Cache> blocks;
  std::shared_ptr<rocksdb::WriteBufferManager> waiting;
};

IndexCaches::IndexCaches(std::uint64_t bytes) : shared_(std::make_unique<Shared>()) {
  shared_->blocks = rocksdb::NewLRUCache(bytes);
  shared_->waiting = std::make_shared<rocksdb::WriteBufferManager>(bytes);
}

IndexCaches::~IndexCaches() = default;

struct IndexStore::Inside {
  std::unique_ptr<rocksdb::DB> db;

  Result<std::optional<Slot>> find(NeedleId key, const rocksdb::ReadOptions& options) const {
    rocksdb::PinnableSlice value;
    const auto status = db->Get(options, db->DefaultColumnFamily(), key_bytes(key), &value);
    if (status.IsNotFound()) return std::optional<Slot>();
    if (!status.ok()) return error_of(status);
    const auto slot = parse_slot(value);
    if (!slot) return slot.error();
    return std::optional(*slot);
  }
};

IndexStore::IndexStore(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}

IndexStore::~IndexStore() {
  if (auto flushed = flush(); !flushed) LOG_WARNING("{}", flushed.error().what());
  (void)inside_->db->Close();
}

Result<std::unique_ptr<IndexStore>> IndexStore::open(const IndexCaches& caches, const std::string& folder,
                                                     std::function<void()> before_flush) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = caches.shared_->blocks;
  table.block_size = 4_KiB;
  // Also what finds the blocks lies in the cache, piece by piece: nothing grows with the number of files.
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kBloomBitsPerKey));
  table.format_version = 5;

  rocksdb::Options options;
  options.create_if_missing = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.write_buffer_manager = caches.shared_->waiting;
  options.write_buffer_size = kWriteBufferBytes;
  options.arena_block_size = kArenaBytes;
  options.max_write_buffer_number = 3;
  options.target_file_size_base = kTableBytes;
  options.max_open_files = kOpenTablesMax;
  options.compression = rocksdb::kNoCompression;
  options.max_background_jobs = 2;
  options.skip_stats_update_on_db_open = true;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.info_log = std::make_shared<Log>();
  options.listeners.push_back(std::make_shared<BeforeFlush>(std::move(before_flush)));

  rocksdb::DB* db = nullptr;
  const auto status = rocksdb::DB::Open(options, folder, &db);
  if (!status.ok()) {
    const auto error = error_of(status);
    // Its words are all it says when another holds the lock.
    return status.ToString().find("lock") == std::string::npos ? error : Error(Code::busy, error.what());
  }
  auto inside = std::make_unique<Inside>();
  inside->db.reset(db);
  return std::unique_ptr<IndexStore>(new IndexStore(std::move(inside)));
}

Result<std::optional<Slot>> IndexStore::find(NeedleId key) const { return inside_->find(key, {}); }

Result<std::optional<Slot>> IndexStore::find_now(NeedleId key) const {
  rocksdb::ReadOptions options;
  options.read_tier = rocksdb::kBlockCacheTier;
  return inside_->find(key, options);
}

Status IndexStore::write(std::span<const Entry> slots, std::string_view notes) {
  rocksdb::WriteBatch batch;
  for (const auto& [key, slot] : slots) {
    if (auto put = batch.Put(key_bytes(key), slot_bytes(slot)); !put.ok()) return error_of(put);
  }
  if (!notes.empty()) {
    if (auto put = batch.Put(rocksdb::Slice(kNotesKey), rocksdb::Slice(notes)); !put.ok()) return error_of(put);
  }
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return status_of(inside_->db->Write(options, &batch));
}

Result<std::string> IndexStore::notes() const {
  std::string out;
  const auto status = inside_->db->Get({}, rocksdb::Slice(kNotesKey), &out);
  if (status.IsNotFound()) return std::string();
  if (!status.ok()) return error_of(status);
  return out;
}

Status IndexStore::collect(NeedleId from, std::size_t entries_max, std::vector<Entry>& out) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;  // a vacuum goes through all of it once
  const std::unique_ptr<rocksdb::Iterator> at(inside_->db->NewIterator(options));
  std::size_t left = entries_max;
  for (at->Seek(key_bytes(from)); left > 0 && at->Valid(); at->Next(), left--) {
    if (at->key().size() != kKeyBytes) break;  // the notes
    const auto slot = parse_slot(at->value());
    if (!slot) return slot.error();
    out.emplace_back(NeedleId(load_be<std::uint64_t>(at->key().data())), *slot);
  }
  return status_of(at->status());
}

Status IndexStore::flush() { return status_of(inside_->db->Flush({})); }

std::size_t IndexStore::memory_bytes() const {
  std::uint64_t bytes = 0;
  (void)inside_->db->GetIntProperty(rocksdb::DB::Properties::kSizeAllMemTables, &bytes);
  return bytes;
}

}  // namespace holdfast::volume
