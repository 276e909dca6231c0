// The writing half of Volume: the queue, the batches, and what to do when the disk says no.
#include <algorithm>
#include <variant>

#include "base/crc32c.h"
#include "base/log.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {
namespace {

constexpr std::size_t kCopyBytes = 1_MiB;   // pieces in which spooled bodies go to the .dat
constexpr int kLoopBatchesMax = 4;          // then a thread that has other work hands the writing over

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::string hex_number(std::uint32_t n) { return fmt::format("{:x}", n); }

}  // namespace

// --- operations ---

NeedleId Volume::Operation::key() const {
  if (const auto* put = std::get_if<Put>(&what)) return put->needle.id;
  return std::get<Remove>(what).id;
}

bool Volume::Operation::fsync() const {
  return std::visit([](const auto& one) { return one.fsync; }, what);
}

std::uint64_t Volume::Operation::data_bytes() const {
  const auto* put = std::get_if<Put>(&what);
  if (put == nullptr) return 0;
  return put->spool ? put->spool->size() : put->needle.data.size();
}

void Volume::Operation::finish(const Error& error) {
  std::visit([&](auto& one) { one.done(error); }, what);
}

void Volume::Operation::finish() {
  if (auto* put = std::get_if<Put>(&what)) {
    put->done(outcome);
  } else {
    std::get<Remove>(what).done(removed_size);
  }
}

struct Volume::Batch {
  std::uint64_t begin = 0;  // where its first record lies
  std::uint64_t end = 0;
  std::uint64_t last_append_at_ns = 0;
  bool fsync = false;
  std::vector<OperationPtr> appended;
};

void Volume::put(Put put, bool may_block) {
  if ((put.spool ? put.spool->size() : put.needle.data.size()) > kDataBytesMax) {
    return put.done(Error(Code::invalid, "file over the limited " + std::to_string(kDataBytesMax) + " bytes"));
  }
  auto operation = std::make_unique<Operation>();
  operation->crc = put.spool ? put.spool->crc() : crc32c(put.needle.data);
  operation->what = std::move(put);
  enqueue(std::move(operation), may_block);
}

void Volume::remove(Remove remove, bool may_block) {
  auto operation = std::make_unique<Operation>();
  operation->what = std::move(remove);
  enqueue(std::move(operation), may_block);
}

// --- the queue ---

void Volume::enqueue(OperationPtr operation, bool may_block) {
  bool retired = false;
  std::shared_ptr<Volume> successor;
  {
    Guard guard(queue_mutex_);
    successor = successor_;
    retired = retired_;
    if (!successor && !retired && queue_.size() < kWaitingMax) {
      queue_.push_back(std::move(operation));
      if (writer_at_work_) return;
      writer_at_work_ = true;
    }
  }
  if (successor) return successor->enqueue(std::move(operation), may_block);
  if (operation) {
    operation->finish(retired ? Error(Code::not_found, "volume " + text(id()) + " not found")
                              : Error(Code::busy, "volume " + text(id()) + " has too many writes waiting"));
    return;
  }
  write_queued(may_block);
}

bool Volume::needs_pool(const Operation& operation) const {
  const auto* put = std::get_if<Put>(&operation.what);
  if (put == nullptr) return true;  // the old needle is to be read
  if (index_.is_on_disk()) return true;
  if (put->fsync || put->spool || put->needle.data.size() > kLoopAppendBytesMax) return true;
  if (around_.clock.now().time_since_epoch().count() < slow_until_ns_.load(std::memory_order_relaxed)) return true;
  return find(put->needle.id).has_value();
}

// Runs as the one writer until nothing is queued, or hands that over to the pool.
void Volume::write_queued(bool may_block) {
  const auto self = shared_from_this();  // a `done` may drop the last other reference
  for (int batches = 0;; batches++) {
    std::deque<OperationPtr> taken;
    {
      Guard guard(queue_mutex_);
      if (pauses_wanted_ > 0) {  // who pauses goes on with the queue
        writer_at_work_ = false;
        writer_gone_.notify_all();
        return;
      }
      std::uint64_t bytes = 0;
      while (!queue_.empty() && taken.size() < kBatchPutsMax && bytes < kBatchBytesMax) {
        if (!may_block && (batches >= kLoopBatchesMax || needs_pool(*queue_.front()))) break;
        bytes += queue_.front()->data_bytes();
        taken.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      if (taken.empty() && queue_.empty()) {
        writer_at_work_ = false;
        writer_gone_.notify_all();
        return;
      }
    }
    if (taken.empty()) {
      if (pool().post([self] { self->write_queued(true); })) return;
      may_block = true;  // the pool is stopping: finish what is queued right here
      continue;
    }
    const auto begun = around_.clock.now();
    carry_out(taken);
    const auto ended = around_.clock.now();
    if (!may_block && ended - begun > kSlowAppend) {
      slow_until_ns_.store((ended + kSlowMemory).time_since_epoch().count(), std::memory_order_relaxed);
    }
  }
}

void Volume::pause() {
  Guard guard(queue_mutex_);
  pauses_wanted_++;
  while (writer_at_work_) writer_gone_.wait(queue_mutex_);
  pauses_wanted_--;
  writer_at_work_ = true;
}

void Volume::resume() { write_queued(true); }

// Whoever was writing has ended, here and in those that took this one's place.
void Volume::drain() {
  pause();
  resume();
  if (const auto next = successor()) next->drain();
}

Status Volume::freeze(std::uint64_t token, Duration time) {
  if (auto frozen = replica_->freeze(token, time); !frozen) return frozen;
  drain();
  return {};
}

void Volume::hand_over(const std::shared_ptr<Volume>& successor) {
  std::deque<OperationPtr> queued;
  {
    // Whoever marks this volume from now on finds the successor; whoever did before has left the mark here.
    Guard marks(marks_mutex_);
    successor->marked_read_only_ = marked_read_only_.load();
    successor->may_delete_when_marked_ = may_delete_when_marked_.load();
    successor->replica_placement_ = replica_placement_.load();
    successor->low_space_ = low_space_.load();
    {
      Guard settings(settings_mutex_);
      Guard theirs(successor->settings_mutex_);
      successor->settings_ = settings_;
    }
    Guard guard(queue_mutex_);
    successor_ = successor;
    queued.swap(queue_);
    writer_at_work_ = false;
    writer_gone_.notify_all();
  }
  for (auto& operation : queued) successor->enqueue(std::move(operation), true);
}

// --- a batch ---

// Prepares one operation after the other until one needs what an earlier one of the same batch writes, appends those,
// and goes on with the rest.
void Volume::carry_out(std::deque<OperationPtr>& operations) {
  while (!operations.empty()) {
    Batch batch;
    batch.begin = batch.end = aligned(dat_bytes());
    batch.last_append_at_ns = last_append_at_ns();
    while (!operations.empty()) {
      auto& next = *operations.front();
      const auto same_key = [&](const OperationPtr& earlier) { return earlier->key() == next.key(); };
      const bool spooled = std::holds_alternative<Put>(next.what) && std::get<Put>(next.what).spool;
      if (!batch.appended.empty() &&
          (spooled || std::any_of(batch.appended.begin(), batch.appended.end(), same_key))) {
        break;
      }
      auto operation = std::move(operations.front());
      operations.pop_front();
      const bool to_append = std::holds_alternative<Put>(operation->what)
                                 ? prepare_put(*operation, std::get<Put>(operation->what), batch)
                                 : prepare_remove(*operation, std::get<Remove>(operation->what), batch);
      if (to_append) {
        batch.fsync |= operation->fsync();
        batch.appended.push_back(std::move(operation));
      }
      if (spooled) break;
    }
    if (batch.appended.empty()) continue;
    if (auto appended = append(batch); !appended) {
      note_write_error(appended.error());
      for (auto& operation : batch.appended) operation->finish(appended.error());
      continue;
    }
    publish(batch);
    for (auto& operation : batch.appended) operation->finish();
  }
}

// Whether the needle is to be appended; otherwise it has been answered.
bool Volume::prepare_put(Operation& operation, Put& put, Batch& batch) {
  auto& needle = put.needle;
  const auto answer = [&](Error error) {
    operation.finish(error);
    return false;
  };
  if (is_read_only()) return answer(Error(Code::read_only, "volume " + text(id()) + " is read only"));
  if (auto may = replica_->may_write(put.epoch); !may) return answer(may.error().at("volume " + text(id())));
  needle.data_size = static_cast<std::uint32_t>(operation.data_bytes());
  if (batch.end >= kDatBytesMax && needle.data_size > 0) {
    return answer(Error(Code::no_space, "volume " + text(id()) + " has reached its largest size of 32 GiB"));
  }
  if (const auto old = find(needle.id)) {
    const auto cookie = guarding_cookie(needle.id, *old, needle.cookie);
    if (!cookie) return answer(cookie.error().at("volume " + text(id())));
    if (*cookie) {
      if (put.inherit_cookie && needle.cookie == Cookie(0)) needle.cookie = **cookie;
      if (put.check_cookie && **cookie != needle.cookie) {
        return answer(Error(Code::already_exists, "mismatching cookie " + hex_number(needle.cookie.value())));
      }
      const auto unchanged = **cookie == needle.cookie ? is_unchanged(put, *old, operation.crc) : Result<bool>(false);
      if (unchanged.ok() && *unchanged) {
        // Who wrote it before may not have asked for that.
        if (put.fsync) {
          if (auto synced = sync_records(); !synced) return answer(synced.error());
        }
        operation.outcome = {.unchanged = true, .crc = operation.crc, .size = old->size};
        operation.finish();
        return false;
      }
    }
  }
  if (needle.ttl.is_none() && !ttl().is_none()) {
    needle.ttl = ttl();
    needle.flags |= kFlagTtl;
  }
  needle.append_at_ns = batch.last_append_at_ns = std::max(wall_ns(), batch.last_append_at_ns + 1);
  encode_around(needle, operation.crc, version(), operation.encoded);
  operation.outcome = {.unchanged = false, .crc = operation.crc, .size = operation.encoded.size};
  operation.row = {needle.id, batch.end / kAlignment, operation.encoded.size};
  batch.end += operation.encoded.bytes(needle.data_size);
  return true;
}

// The cookie of a needle that is to be overwritten, deleted ones included; nothing when what lies there is no needle
// any more: what nobody can read guards nothing.
Result<std::optional<Cookie>> Volume::guarding_cookie(NeedleId key, const Slot& old, Cookie wanted) {
  std::uint8_t bytes[kHeaderBytes];
  const auto got = dat_->read(std::uint64_t{old.offset} * kAlignment, bytes);
  if (!got) return got.error();
  const auto header = NeedleHeader::parse(bytes);
  // -1 is a deleted empty file, and in version 1 also a deleted file of one byte.
  const bool is_its_size = header.size == old.size || header.size == -old.size || (old.size == -1 && header.size == 0);
  const bool is_zero = header.cookie == Cookie(0) && header.id == NeedleId(0) && header.size == 0;
  bool is_there = *got == sizeof bytes && header.id == key && is_its_size && !is_zero;
  if (is_there && header.cookie == wanted) return std::optional(header.cookie);
  if (is_there && header.size > 0 && static_cast<std::uint64_t>(header.size) <= kInlineBytesMax) {
    // Refusing a writer for a record that was torn would leave its key unusable for ever.
    const auto length = record_bytes(header.size, version());
    const auto room = std::make_unique_for_overwrite<std::uint8_t[]>(length);
    const auto needle = read_record({old.offset, header.size}, room.get(), length, false, key);
    is_there = needle.ok() && check_data(*needle);
  }
  if (is_there) return std::optional(header.cookie);
  LOG_ERROR("volume {}: needle {:x} is overwritten, its old record is unreadable", text(id()), key.value());
  return std::optional<Cookie>();
}

// The same bytes under the same cookie (checked by the caller) in a volume without ttl; never for empty files.
Result<bool> Volume::is_unchanged(const Put& put, const Slot& old, std::uint32_t crc) {
  const auto data_size = put.needle.data_size;
  if (data_size == 0 || !old.is_live() || !ttl().is_none()) return false;
  if (static_cast<std::uint64_t>(old.size) < data_size) return false;
  if (static_cast<std::uint64_t>(old.size) <= kInlineBytesMax && !put.spool) {
    const auto bytes = record_bytes(old.size, version());
    const auto room = std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
    const auto needle = read_record(old, room.get(), bytes, false, put.needle.id);
    if (!needle) return needle.error();
    return needle->data.size() == data_size && crc_matches(crc, needle->stored_crc) &&
           std::equal(needle->data.begin(), needle->data.end(), put.needle.data.begin());
  }
  if (static_cast<std::uint64_t>(old.size) <= kInlineBytesMax) return false;  // a spooled body is larger than that
  const auto found = read_large(old, put.needle.id);
  if (!found) return found.error();
  if (found->needle.data_size != data_size || !crc_matches(crc, found->needle.stored_crc)) return false;
  std::string theirs(kCopyBytes, '\0');
  std::string ours(kCopyBytes, '\0');
  for (std::uint64_t at = 0; at < data_size; at += kCopyBytes) {
    const auto bytes = std::min<std::uint64_t>(kCopyBytes, data_size - at);
    const std::span<std::uint8_t> a(reinterpret_cast<std::uint8_t*>(theirs.data()), bytes);
    if (auto read = found->body->read(at, a); !read) return read.error();
    BytesView b = put.needle.data;
    if (put.spool) {
      const std::span<std::uint8_t> room(reinterpret_cast<std::uint8_t*>(ours.data()), bytes);
      if (auto read = put.spool->read(at, room); !read) return read.error();
      b = room;
    } else {
      b = b.subspan(at, bytes);
    }
    if (!std::equal(a.begin(), a.end(), b.begin())) return false;
  }
  return true;
}

bool Volume::prepare_remove(Operation& operation, Remove& remove, Batch& batch) {
  const auto answer = [&](Error error) {
    operation.finish(error);
    return false;
  };
  const auto slot = find(remove.id);
  if (!slot || !slot->is_live()) return answer(Error(Code::not_found, "not found"));
  const auto data_size = static_cast<std::uint64_t>(slot->size);
  Cookie cookie = remove.cookie;
  std::uint32_t crc = 0;
  if (!remove.check_cookie) {
    cookie = Cookie(0);
  } else if (data_size == 0 || is_fetched_) {
    // Only its header tells an empty file's cookie; and of a file in a remote tier no more is worth the way.
    std::uint8_t header_bytes[kHeaderBytes];
    const auto got = dat_->read(std::uint64_t{slot->offset} * kAlignment, header_bytes);
    if (!got && is_fetched_) return answer(got.error());  // it is not gone because nobody answers
    if (!got || *got != sizeof header_bytes) return answer(Error(Code::not_found, "unreadable"));
    const auto header = NeedleHeader::parse(header_bytes);
    if (header.id != remove.id && data_size > 0) return answer(Error(Code::not_found, "another needle lies there"));
    if (header.id == remove.id && header.cookie != remove.cookie) {
      return answer(Error(Code::refused, "File Random Cookie does not match."));
    }
  } else {
    Found large;
    NeedleView needle;
    std::unique_ptr<std::uint8_t[]> room;
    if (data_size > kInlineBytesMax) {
      auto found = read_large(*slot, remove.id);
      if (!found) return answer(Error(Code::not_found, found.error().what()));
      large = std::move(*found);
      needle = large.needle;
      crc = needle.stored_crc;
      if (data_size <= kCheckedBytesMax) {
        const auto checked = checked_crc(large);
        if (!checked) return answer(Error(Code::not_found, checked.error().what()));
        crc = *checked;
      }
    } else {
      const auto bytes = record_bytes(slot->size, version());
      room = std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
      const auto read = read_record(*slot, room.get(), bytes, false, remove.id);
      if (!read) return answer(Error(Code::not_found, read.error().what()));
      if (!check_data(*read)) return answer(Error(Code::not_found, "the data's crc is wrong"));
      needle = *read;
      crc = crc32c(needle.data);
    }
    if (needle.is_expired(wall_ns())) return answer(Error(Code::not_found, "expired"));
    if (needle.cookie != remove.cookie) return answer(Error(Code::refused, "File Random Cookie does not match."));
  }
  const bool only_marked = (remote_ || (marked_read_only_ && may_delete_when_marked_)) && !unwritable_ && !damaged_;
  if (is_read_only() && !only_marked) {
    return answer(Error(Code::read_only, "volume " + text(id()) + " is read only"));
  }
  if (auto may = replica_->may_write(remove.epoch); !may) return answer(may.error().at("volume " + text(id())));
  operation.removed_size = slot->size;
  if (remote_) {  // its .dat does not change
    operation.row = {remove.id, 0, kTombstoneSize};
    return true;
  }
  NeedleView tombstone;
  tombstone.id = remove.id;
  tombstone.cookie = cookie;
  tombstone.append_at_ns = batch.last_append_at_ns = std::max(wall_ns(), batch.last_append_at_ns + 1);
  encode_around(tombstone, crc, version(), operation.encoded);
  // Beyond 32 GiB the offset does not fit; only its being there matters for a deletion.
  operation.row = {remove.id, batch.end / kAlignment & 0xffffffffu, kTombstoneSize};
  batch.end += operation.encoded.bytes(0);
  return true;
}

// --- the disk ---

Status Volume::append(Batch& batch) {
  const auto old_dat_end = dat_bytes();
  const auto old_idx_end = idx_bytes();
  if (!remote_) {
    if (auto written = append_bodies(batch, batch.begin); !written) {
      return cut_back(old_dat_end, written.error());
    }
    if (batch.fsync) {
      if (auto synced = sync_records(); !synced) return cut_back(old_dat_end, synced.error());
    }
  }
  std::string rows;
  rows.reserve(batch.appended.size() * kIndexRowBytes);
  for (const auto& operation : batch.appended) append_row(rows, operation->row);
  if (auto written = idx_->write(old_idx_end, bytes_of(rows)); !written) {
    if (auto cut = idx_->truncate(old_idx_end); !cut) damaged_ = true;
    return remote_ ? written : cut_back(old_dat_end, written.error());
  }
  if (!remote_) {
    dat_end_.store(batch.end, std::memory_order_relaxed);
  } else if (batch.fsync) {
    if (auto synced = sync_rows(); !synced) return synced;
  }
  idx_end_.store(old_idx_end + rows.size(), std::memory_order_relaxed);
  return {};
}

Status Volume::sync_records() {
  auto synced = dat_->sync();
  if (!synced) {
    damaged_ = true;
    LOG_ERROR("volume {}: {}: it is read-only from now on, since nobody knows what is on disk", text(id()), synced.error().what());
  }
  return synced;
}

// Of a volume in a remote tier, whose deletions nothing else tells of.
Status Volume::sync_rows() {
  auto synced = idx_->sync();
  if (!synced) {
    damaged_ = true;
    LOG_ERROR("volume {}: {}: it takes no more deletions, since nobody knows what is on disk", text(id()), synced.error().what());
  }
  return synced;
}

Status Volume::append_bodies(Batch& batch, std::uint64_t at) {
  if (batch.appended.size() == 1 && std::holds_alternative<Put>(batch.appended[0]->what)) {
    const auto& operation = *batch.appended[0];
    if (const auto& spool = std::get<Put>(operation.what).spool) {
      // Head last: until it is there the record is none, whatever a crash leaves of it.
      const auto data_at = at + operation.encoded.head.size();
      std::string piece(kCopyBytes, '\0');
      for (std::uint64_t done = 0; done < spool->size();) {
        const auto bytes = std::min<std::uint64_t>(kCopyBytes, spool->size() - done);
        const std::span<std::uint8_t> room(reinterpret_cast<std::uint8_t*>(piece.data()), bytes);
        if (auto read = spool->read(done, room); !read) return read;
        if (auto written = dat_->write(data_at + done, room); !written) return written;
        done += bytes;
      }
      if (auto written = dat_->write(data_at + spool->size(), bytes_of(operation.encoded.tail)); !written) {
        return written;
      }
      return dat_->write(at, bytes_of(operation.encoded.head));
    }
  }
  std::vector<BytesView> pieces;
  pieces.reserve(batch.appended.size() * 3);
  for (const auto& operation : batch.appended) {
    pieces.push_back(bytes_of(operation->encoded.head));
    if (const auto* put = std::get_if<Put>(&operation->what)) pieces.push_back(put->needle.data);
    pieces.push_back(bytes_of(operation->encoded.tail));
  }
  return dat_->write_pieces(at, pieces);
}

// Takes a failed batch back. The error to answer with is `cause`.
Status Volume::cut_back(std::uint64_t dat_end, const Error& cause) {
  if (auto cut = dat_->truncate(dat_end); !cut) {
    damaged_ = true;
    LOG_ERROR("volume {}: a failed append could not be taken back ({}): read-only from now on", text(id()),
              cut.error().what());
  }
  return cause;
}

void Volume::publish(Batch& batch) {
  last_append_at_ns_.store(batch.last_append_at_ns, std::memory_order_relaxed);
  modified_at_second_.store(static_cast<std::int64_t>(wall_ns() / 1'000'000'000), std::memory_order_relaxed);
  if (io_errors_.load(std::memory_order_relaxed) != 0) io_errors_ = 0;
  std::vector<IndexRow> rows;
  rows.reserve(batch.appended.size());
  for (const auto& operation : batch.appended) rows.push_back(operation->row);
  if (auto applied = index_.apply(rows); !applied) {
    damaged_ = true;
    io_errors_ = kIoErrorsMax;  // so that other copies of it are read
    LOG_ERROR("volume {}: {}: it takes no more writes and is not reported to the masters", text(id()),
              applied.error().what());
  }
}

void Volume::note_write_error(const Error& error) {
  LOG_ERROR("volume {}: append: {}", text(id()), error.what());
  if (error.code() == Code::no_space) low_space_ = true;  // until the store finds room again
  if (error.code() == Code::io && ++io_errors_ == kIoErrorsMax) {
    LOG_ERROR("volume {}: {} I/O errors in a row: it takes no more writes and is not reported to the masters; look at "
              "the disk under {}", text(id()), kIoErrorsMax, place_.data_folder);
  }
}

}  // namespace holdfast::volume
