#include "cmd/volume_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <numeric>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/crc32c.h"
#include "client/volume_source.h"
#include "cmd/client_tools.h"
#include "cmd/in_parallel.h"
#include "core/topology/report.h"
#include "core/volume/index_row.h"
#include "core/volume/merge.h"
#include "core/volume/superblock.h"

namespace holdfast::cmd {
namespace {

namespace pb = volume_server_pb;
using topology::Picture;
using topology::PictureServer;
using volume::IndexRow;
using volume::MergeRecord;
using volume::Version;

constexpr std::uint64_t kDatBytesMax = 32_GiB;     // what the offsets of an index reach
constexpr std::uint64_t kBatchBytes = 8_MiB;       // records that are fetched at once
constexpr std::size_t kBatchRecords = 256;
constexpr std::uint64_t kProgressBytes = 128_MiB;

// All there is in a frozen copy.
struct ReadCopy {
  const PictureServer* server = nullptr;
  client::RemoteVolume status;
  volume::Superblock superblock;
  volume::MergeCopy content;
};

// Takes a .dat as it comes, from its beginning, and looks at the records that the index names.
class RecordPicker {
 public:
  explicit RecordPicker(const std::vector<IndexRow>& rows) : rows_(rows), order_(rows.size()), found_(rows.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](auto a, auto b) { return rows_[a].offset < rows_[b].offset; });
  }

  void take(BytesView piece) {
    if (head_.size() < volume::kSuperblockBytes) {
      head_ += text_of(piece.first(std::min(piece.size(), volume::kSuperblockBytes - head_.size())));
    }
    window_ += text_of(piece);
    for (; next_ < order_.size(); ++next_) {
      const auto& row = rows_[order_[next_]];
      const auto at = row.offset * volume::kAlignment;
      forget_before(at);
      const auto bytes = volume::record_bytes(std::max(row.size, 0), Version::v3);
      if (at < window_at_ || window_at_ + window_.size() < at + bytes) break;
      look(row, bytes_of(window_).subspan(at - window_at_, bytes), found_[order_[next_]]);
    }
    if (next_ == order_.size()) forget_before(window_at_ + window_.size());
  }

  const std::string& head() const { return head_; }

  // In the order of the index. What was overwritten or deleted later may be damaged; then it tells nothing. An Error names the first
  // file whose last record is.
  Result<std::vector<MergeRecord>> records() const {
    std::unordered_map<std::uint64_t, std::size_t> last;
    for (std::size_t i = 0; i < rows_.size(); ++i) last[rows_[i].key.value()] = i;
    std::vector<MergeRecord> out;
    std::uint64_t time = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      auto record = found_[i];
      if (rows_[i].offset == 0) {  // a deletion without a record: as old as what was before it
        record = {.key = rows_[i].key, .size = volume::kTombstoneSize, .append_at_ns = time};
      } else if (record.append_at_ns == 0) {
        if (last.at(rows_[i].key.value()) != i) continue;
        return Error(Code::corrupt, fmt::format("the record of file {:x} at {} is damaged", rows_[i].key.value(),
                                                rows_[i].offset * volume::kAlignment));
      }
      time = record.append_at_ns;
      out.push_back(record);
    }
    return out;
  }

 private:
  void forget_before(std::uint64_t offset) {
    if (offset <= window_at_) return;
    const auto bytes = std::min<std::uint64_t>(offset - window_at_, window_.size());
    window_.erase(0, bytes);
    window_at_ += bytes;
  }

  static void look(const IndexRow& row, BytesView bytes, MergeRecord& out) {
    const auto needle = volume::parse(bytes, std::max(row.size, 0), Version::v3);
    if (!needle || needle->id != row.key || (row.is_put() && row.size > 0 && !volume::check_data(*needle))) return;
    out = {.key = row.key,
           .offset = row.offset * volume::kAlignment,
           .size = row.is_put() ? row.size : volume::kTombstoneSize,
           .cookie = needle->cookie,
           .crc = row.is_put() ? crc32c(needle->data) : 0,
           .append_at_ns = needle->append_at_ns};
  }

  const std::vector<IndexRow>& rows_;
  std::vector<std::size_t> order_;  // of rows_, by offset
  std::vector<MergeRecord> found_;  // of each row; time 0: none that is whole
  std::size_t next_ = 0;
  std::string head_;
  std::string window_;  // from window_at_ on
  std::uint64_t window_at_ = 0;
};

Result<std::vector<IndexRow>> read_rows(client::VolumeSource& source, VolumeId volume, const client::RemoteVolume& status) {
  std::vector<IndexRow> rows;
  std::string rest;
  const auto copied = source.copy_file(
      {.volume = volume, .extension = ".idx", .compaction_revision = status.compaction_revision, .stop_offset = status.idx_bytes},
      [&](BytesView piece) -> Status {
        rest += text_of(piece);
        std::size_t at = 0;
        for (; at + volume::kIndexRowBytes <= rest.size(); at += volume::kIndexRowBytes) {
          rows.push_back(volume::parse_row(bytes_of(rest).data() + at));
        }
        rest.erase(0, at);
        return {};
      });
  if (!copied) return copied.error();
  if (copied->bytes != status.idx_bytes || !rest.empty()) return Error(Code::stale, "its index changed while it was read");
  return rows;
}

Result<ReadCopy> read_copy(VolumeId volume, const PictureServer& server) {
  const auto source = client::VolumeSource::at(server.address);
  auto status = source->status(volume);
  if (!status) return status.error();
  if (status->version != 3) {
    return Error(Code::unsupported, fmt::format("it is of version {}, whose records have no times", status->version));
  }
  const auto rows = read_rows(*source, volume, *status);
  if (!rows) return rows.error();
  RecordPicker picker(*rows);
  const auto copied = source->copy_file(
      {.volume = volume, .extension = ".dat", .compaction_revision = status->compaction_revision, .stop_offset = status->dat_bytes},
      [&](BytesView piece) -> Status {
        picker.take(piece);
        return {};
      });
  if (!copied) return copied.error();
  if (copied->bytes != status->dat_bytes) return Error(Code::stale, "its files changed while they were read");
  const auto superblock = volume::Superblock::parse(bytes_of(picker.head()));
  if (!superblock) return superblock.error();
  auto records = picker.records();
  if (!records) return records.error();
  return ReadCopy{.server = &server,
                  .status = *status,
                  .superblock = *superblock,
                  .content = {.records = std::move(*records), .is_compacted = status->compaction_revision > 0}};
}

// A small file beside the volume; "" when there is none.
Result<std::string> read_side_file(VolumeId volume, const PictureServer& server, const std::string& extension) {
  std::string out;
  const auto copied = client::VolumeSource::at(server.address)
                          ->copy_file({.volume = volume, .extension = extension, .stop_offset = 1_MiB, .ignore_missing = true},
                                      [&](BytesView piece) -> Status {
                                        out += text_of(piece);
                                        return {};
                                      });
  if (!copied) return copied.error();
  return out;
}

// What `.hfe` says; 0 without one.
Result<std::uint64_t> epoch_of(const std::string& hfe) {
  if (hfe.empty()) return std::uint64_t{0};
  boost::json::error_code fault;
  const auto json = boost::json::parse(hfe, fault);
  const auto* epoch = !fault && json.is_object() ? json.as_object().if_contains("epoch") : nullptr;
  if (epoch == nullptr || !epoch->is_number()) return Error(Code::corrupt, "its .hfe cannot be read");
  return epoch->to_number<std::uint64_t>(fault);
}

class Merging {
 public:
  Merging(Shell& shell, const Picture& picture, VolumeId volume, const MergeOptions& options)
      : shell_(shell), picture_(picture), volume_(volume), options_(options), holders_(picture.holders(volume)), freeze_(shell, volume) {}

  Status run() {
    if (auto may = may_begin(); !may) return may;
    if (auto frozen = freeze_.take(holders_); !frozen) return frozen;
    if (auto read = read_all(); !read) return read;
    plan_ = volume::plan_merge(contents_);
    tell_plan();
    if (std::all_of(plan_.outdated.begin(), plan_.outdated.end(), [](auto keys) { return keys == 0; })) {
      Shell::say("volume {}: the same files are in all copies; nothing is done", volume_.value());
      return freeze_.thaw();
    }
    if (!plan_.unclear.empty() && !options_.keeps_unclear) {
      return Error(Code::refused, fmt::format("{} files (the first: {:x}) are unknown to a copy that was vacuumed: whether they were deleted "
                                              "there or never came cannot be told; -keepUnclear keeps them",
                                              plan_.unclear.size(), plan_.unclear.front().value()));
    }
    if (const auto* merged = merged_already()) {
      Shell::say("volume {}: the copy at {} is the merged one already", volume_.value(), merged->id);
      if (auto replaced = replace_copies(*merged); !replaced) return replaced;
      Shell::say("volume {}: it has {} copies now; volume.fix.replication drops what is too many", volume_.value(), holders_.size());
      return finish();
    }
    const auto target = find_target();
    if (!target) return target.error();
    if (auto built = build(**target); !built) return built;
    if (auto replaced = replace_copies(**target); !replaced) return replaced;
    if (auto gone = delete_copy(shell_, volume_, **target); !gone) {
      freeze_.leave();
      return gone.error().at(fmt::format("all copies are merged and read-only; delete the one at {} (volume.delete), then "
                                         "volume.mark -writable", (*target)->id));
    }
    shell_.note_frozen((*target)->id, volume_, false);
    shell_.wait_for(volume_, (*target)->id, false);
    return finish();
  }

 private:
  const VolumeInfo& info() const { return *holders_.front()->find(volume_); }

  Status may_go_on() const { return cmd::may_go_on(shell_, {.no_lock = options_.no_lock}); }

  Status may_begin() const {
    if (holders_.empty()) return Error(Code::not_found, fmt::format("no server has volume {}", volume_.value()));
    if (holders_.size() == 1) {
      return Error(Code::invalid, fmt::format("volume {} has one copy only, at {}: nothing to merge", volume_.value(), holders_[0]->id));
    }
    return options_.target == nullptr ? Status() : may_build(*options_.target);
  }

  Status may_build(const PictureServer& server) const {
    if (server.find(volume_) != nullptr) return Error(Code::invalid, server.id + " has a copy itself: the merged one is built beside them");
    return may_take(server, info().disk_type);
  }

  Result<const PictureServer*> find_target() const {
    if (options_.target != nullptr) return options_.target;
    const auto room = [&](const PictureServer* server) {
      const auto& disk = server->disks.at(info().disk_type);
      return std::tuple(disk.free_bytes, disk.free);
    };
    const PictureServer* best = nullptr;
    for (const auto& server : picture_.servers) {
      if (may_build(server) && (best == nullptr || room(&server) > room(best))) best = &server;
    }
    if (best != nullptr) return best;
    return Error(Code::no_space, "the merged volume is built beside the copies, and no other server has a free slot: add one");
  }

  Status read_all() {
    for (const auto* server : holders_) {
      Shell::say("volume {}: reading the copy at {}", volume_.value(), server->id);
      auto copy = read_copy(volume_, *server);
      if (!copy) return copy.error().at(fmt::format("the copy at {}", server->id));
      if (!copies_.empty() && copy->superblock.ttl != copies_[0].superblock.ttl) {
        return Error(Code::stale, fmt::format("the copies at {} and {} have different times to live", copies_[0].server->id, server->id));
      }
      const auto hfe = read_side_file(volume_, *server, ".hfe");
      if (!hfe) return hfe.error();
      const auto epoch = epoch_of(*hfe);
      if (!epoch) return epoch.error().at(server->id);
      if (!copies_.empty() && *epoch != epoch_) {
        return Error(Code::stale, fmt::format("the copies at {} and {} are of different epochs: the leader mends that (docs/self-healing.md); "
                                              "try again then", copies_[0].server->id, server->id));
      }
      epoch_ = *epoch;
      hfe_ = *hfe;
      contents_.push_back(std::exchange(copy->content, {}));
      copies_.push_back(std::move(*copy));
    }
    return {};
  }

  void tell_plan() const {
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      Shell::say("volume {}: {} files at {} are not as in the merged volume", volume_.value(), plan_.outdated[i], copies_[i].server->id);
    }
    Shell::say("volume {}: merged, it has {} files and {} deletions", volume_.value(), plan_.files(), plan_.steps.size() - plan_.files());
  }

  // Where a merge broke off while copies were replaced: one of those that are right, if there are copies enough without it.
  const PictureServer* merged_already() const {
    if (holders_.size() <= static_cast<std::size_t>(info().replica_placement.copies())) return nullptr;
    const ReadCopy* best = nullptr;
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      if (plan_.outdated[i] != 0) continue;
      if (best == nullptr || copies_[i].status.compaction_revision > best->status.compaction_revision) best = &copies_[i];
    }
    return best == nullptr ? nullptr : best->server;
  }

  // ---- building

  Result<std::string> record_of(const volume::MergeStep& step) {
    const auto& record = step.record;
    if (record.is_deletion()) return volume::encode_deletion(record.key, record.cookie, 0, record.append_at_ns, Version::v3);
    pb::ReadNeedleBlobRequest request;
    request.set_volume_id(volume_.value());
    request.set_offset(static_cast<std::int64_t>(record.offset));
    request.set_size(record.size);
    auto blob = shell_.servers.call(copies_[step.copy].server->address.grpc(), request);
    if (!blob) return blob.error();
    auto bytes = std::move(*blob->mutable_needle_blob());
    const auto needle = volume::parse(bytes_of(bytes), record.size, Version::v3);
    if (!needle) return needle.error();
    if (needle->id != record.key || needle->cookie != record.cookie || needle->append_at_ns != record.append_at_ns ||
        crc32c(needle->data) != record.crc) {
      return Error(Code::corrupt, fmt::format("file {:x} at {} reads back as another one", record.key.value(), copies_[step.copy].server->id));
    }
    bytes.resize(volume::record_bytes(record.size, Version::v3), '\0');
    return bytes;
  }

  Status feed_dat(const client::VolumeAdmin::Give& give, const std::string& superblock) {
    if (auto given = give(bytes_of(superblock)); !given) return given;
    std::uint64_t sent = 0, told = 0;
    for (std::size_t begin = 0; begin < plan_.steps.size();) {
      std::size_t count = 0;
      for (std::uint64_t bytes = 0; begin + count < plan_.steps.size() && count < kBatchRecords && bytes < kBatchBytes; ++count) {
        bytes += volume::record_bytes(std::max(plan_.steps[begin + count].record.size, 0), Version::v3);
      }
      std::vector<std::string> records(count);
      const auto read = in_parallel(count, [&](std::size_t i) -> Status {
        auto record = record_of(plan_.steps[begin + i]);
        if (!record) return record.error();
        records[i] = std::move(*record);
        return {};
      });
      if (!read) return read;
      for (const auto& record : records) {
        if (auto given = give(bytes_of(record)); !given) return given;
        sent += record.size();
      }
      begin += count;
      if (sent - told < kProgressBytes) continue;
      told = sent;
      Shell::say("volume {}: {} merged", volume_.value(), human_bytes(sent));
    }
    return {};
  }

  Status build(const PictureServer& target) {
    const auto there = holds(shell_, volume_, target);
    if (!there) return there.error();
    if (*there) return Error(Code::already_exists, fmt::format("{} has volume {} already: it would be lost", target.id, volume_.value()));
    auto superblock = copies_[0].superblock;
    superblock.extra_bytes = 0;
    for (const auto& copy : copies_) superblock.compact_revision = std::max(superblock.compact_revision, copy.superblock.compact_revision);
    if (++superblock.compact_revision == 0) return Error(Code::unsupported, "a copy was compacted 65535 times: vacuum the volume first");
    const auto head = superblock.encode();
    std::string index;
    std::uint64_t at = head.size();
    for (const auto& step : plan_.steps) {
      volume::append_row(index, {step.record.key, at / volume::kAlignment, step.record.size});
      at += volume::record_bytes(std::max(step.record.size, 0), Version::v3);
    }
    if (at > kDatBytesMax) return Error(Code::no_space, "the merged volume would be larger than a volume can be: " + human_bytes(at));
    const auto vif = read_side_file(volume_, *holders_[0], ".vif");
    if (!vif) return vif.error();
    if (vif->empty()) return Error(Code::io, fmt::format("the copy at {} has no .vif to say that it is read-only", holders_[0]->id));
    if (auto may = may_go_on(); !may) return may;
    Shell::say("volume {}: building the merged volume at {}, {}", volume_.value(), target.id, human_bytes(at));
    const auto send = [&](const char* extension, std::uint64_t bytes, const std::function<Status(const client::VolumeAdmin::Give&)>& feed) {
      pb::ReceiveFileInfo file;
      file.set_volume_id(volume_.value());
      file.set_ext(extension);
      file.set_collection(info().collection);
      file.set_file_size(bytes);
      file.set_disk_type(topology::disk_type_name(info().disk_type));
      return shell_.servers.send_file(target.address.grpc(), file, feed);
    };
    const auto send_text = [&](const char* extension, const std::string& text) {
      return send(extension, text.size(), [&](const auto& give) { return give(bytes_of(text)); });
    };
    if (auto sent = send(".dat", at, [&](const auto& give) { return feed_dat(give, head); }); !sent) return sent;
    if (auto sent = send_text(".idx", index); !sent) return sent;
    if (auto sent = send_text(".vif", *vif); !sent) return sent;
    if (epoch_ != 0) {
      if (auto sent = send_text(".hfe", hfe_); !sent) return sent;
    }
    shell_.note_frozen(target.id, volume_, true);
    auto mounted = mount(target);
    if (mounted) mounted = check(target, superblock);
    if (mounted) return {};
    if (auto gone = delete_copy(shell_, volume_, target); !gone) {
      Shell::say("volume {}: what was built at {} could not be taken back: {}", volume_.value(), target.id, gone.error().what());
    }
    shell_.note_frozen(target.id, volume_, false);
    return mounted;
  }

  Status mount(const PictureServer& target) {
    pb::VolumeEcShardsToVolumeRequest adopt;
    adopt.set_volume_id(volume_.value());
    adopt.set_collection(info().collection);
    adopt.set_from_staged(true);
    adopt.set_disk_type(topology::disk_type_name(info().disk_type));
    if (const auto adopted = shell_.servers.call(target.address.grpc(), adopt); !adopted) return adopted.error();
    pb::VolumeMountRequest request;
    request.set_volume_id(volume_.value());
    if (const auto mounted = shell_.servers.call(target.address.grpc(), request); !mounted) return mounted.error();
    return {};
  }

  // Every record of it is what was planned, in the same order, and nothing can be written to it.
  Status check(const PictureServer& target, const volume::Superblock& superblock) {
    const auto made = read_copy(volume_, target);
    if (!made) return made.error().at(fmt::format("the merged volume at {}", target.id));
    const auto& records = made->content.records;
    bool is_right = made->status.compaction_revision == superblock.compact_revision && records.size() == plan_.steps.size();
    for (std::size_t i = 0; is_right && i < records.size(); ++i) {
      auto expected = plan_.steps[i].record;
      expected.offset = records[i].offset;
      is_right = records[i] == expected;
    }
    if (!is_right) return Error(Code::corrupt, fmt::format("the merged volume at {} reads back as another one", target.id));
    pb::VolumeStatusRequest request;
    request.set_volume_id(volume_.value());
    const auto status = shell_.servers.call(target.address.grpc(), request);
    if (!status) return status.error();
    if (!status->is_read_only()) return Error(Code::internal, fmt::format("the merged volume at {} takes writes", target.id));
    Shell::say("volume {}: the merged volume at {} is as planned", volume_.value(), target.id);
    return {};
  }

  // ---- putting it in place

  // A copy that may be deleted from while it is read-only can have changed since it was read.
  Status check_unchanged(const ReadCopy& copy) const {
    const auto now = client::VolumeSource::at(copy.server->address)->status(volume_);
    if (!now) return now.error();
    if (now->dat_bytes != copy.status.dat_bytes || now->idx_bytes != copy.status.idx_bytes ||
        now->compaction_revision != copy.status.compaction_revision) {
      return Error(Code::stale, fmt::format("the copy at {} changed meanwhile: try again", copy.server->id));
    }
    return {};
  }

  Status replace_copies(const PictureServer& merged) {
    const bool is_new = merged.find(volume_) == nullptr;
    Status done;
    std::size_t replaced = 0;
    for (std::size_t i = 0; done && i < copies_.size(); ++i) {
      const auto& server = *copies_[i].server;
      if (!is_new && plan_.outdated[i] == 0) continue;
      done = may_go_on();
      if (done) done = check_unchanged(copies_[i]);
      if (!done) break;
      Shell::say("volume {}: the merged volume goes to {}, in the place of the copy there", volume_.value(), server.id);
      ++replaced;
      done = replace_frozen(shell_, volume_, merged, server,
                            {.disk_type = topology::disk_type_name(server.find(volume_)->disk_type)});
      if (done) freeze_.replaced(server);
    }
    if (done) return {};
    if (is_new && replaced == 0) {  // all is as it was but for what was built
      if (auto gone = delete_copy(shell_, volume_, merged); gone) {
        shell_.note_frozen(merged.id, volume_, false);
        return done;
      }
    }
    freeze_.leave();
    return done.error().at(fmt::format("volume {} stays read-only, since its copies differ; the merged one is at {}. Give the command again, "
                                       "which goes on from there, and volume.mark -writable afterwards", volume_.value(), merged.id));
  }

  Status finish() {
    // Before anything is written again, so that a copy that was away does not count beside these.
    const auto epoch = shell_.masters.mend(volume_, "");
    if (epoch) {
      Shell::say("volume {}: its copies are of epoch {} now", volume_.value(), *epoch);
    } else {
      Shell::say("volume {}: no new epoch ({}): a copy that is away and comes back counts like the others", volume_.value(),
                 epoch.error().what());
    }
    auto thawed = freeze_.thaw();
    for (const auto* server : holders_) shell_.wait_for(volume_, server->id, true);  // until each has told its new epoch
    return thawed;
  }

  Shell& shell_;
  const Picture& picture_;
  const VolumeId volume_;
  const MergeOptions options_;
  const Servers holders_;
  Freeze freeze_;
  std::vector<ReadCopy> copies_;                // as the holders
  std::vector<volume::MergeCopy> contents_;     // of the copies
  volume::MergePlan plan_;
  std::uint64_t epoch_ = 0;                     // of all copies
  std::string hfe_;
};

}  // namespace

Status merge_volume(Shell& shell, const Picture& picture, VolumeId volume, const MergeOptions& options) {
  return Merging(shell, picture, volume, options).run();
}

}  // namespace holdfast::cmd
