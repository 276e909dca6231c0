#include "service/volume/volume_receiver.h"

#include <condition_variable>
#include <mutex>
#include <set>

#include "base/log.h"
#include "service/volume/file_pull.h"
#include "storage/ec/ec_store.h"
#include "storage/volume/record_reader.h"

namespace holdfast::volume {
namespace {

constexpr std::uint64_t kSettingsBytesMax = 1_MiB;  // a .vif; upstream stops there too

// A `done` to wait for.
template <typename T>
class Answer {
 public:
  std::function<void(Result<T>)> done() {
    return [this](Result<T> result) {
      const Guard guard(mutex_);
      result_ = std::move(result);
      came_.notify_all();
    };
  }
  Result<T> wait() {
    const Guard guard(mutex_);
    while (!result_) came_.wait(mutex_);
    return *result_;
  }

 private:
  Mutex mutex_;
  Condition came_;
  std::optional<Result<T>> result_;
};

Status put(Volume& volume, const NeedleView& needle) {
  Answer<Put::Outcome> answer;
  volume.put({.needle = needle, .check_cookie = false, .done = answer.done()}, true);
  const auto outcome = answer.wait();
  if (!outcome) return outcome.error();
  return {};
}

Status remove(Volume& volume, NeedleId key) {
  Answer<std::int32_t> answer;
  volume.remove({.id = key, .check_cookie = false, .done = answer.done()}, true);
  const auto outcome = answer.wait();
  if (!outcome && outcome.error().code() != Code::not_found) return outcome.error();
  return {};
}

// The time of the needle that the last row of the index tells of.
std::uint64_t last_row_time(const Volume& volume) {
  for (auto rows = volume.idx_bytes() / kIndexRowBytes; rows > 0 && volume.version() == Version::v3; rows--) {
    std::uint8_t bytes[kIndexRowBytes];
    const auto got = volume.read_idx((rows - 1) * kIndexRowBytes, bytes);
    if (!got || *got != sizeof bytes) return 0;
    const auto row = parse_row(bytes);
    if (row.offset == 0) continue;
    RecordReader reader(volume.shared_from_this(), row.offset * kAlignment);
    const auto record = reader.next();
    return record && *record ? (*record)->append_at_ns : 0;
  }
  return 0;
}

}  // namespace

Result<Address> VolumeReceiver::source_of(const std::string& text) const {
  auto address = Address::parse(text);
  if (!address) return address.error().at("source");
  if (address->http() == options_.self) return Error(Code::invalid, "source " + text + " is this server itself");
  return address;
}

// --- a whole volume ---

Result<std::uint64_t> VolumeReceiver::copy(const Copy& copy, const std::function<bool(std::uint64_t)>& progress,
                                           Cancel& cancel) {
  const auto address = source_of(copy.source);
  if (!address) return address.error();
  const auto source = client::VolumeSource::at(*address);
  // Only a source that has the volume is reason enough to let go of a replica of our own.
  Result<client::RemoteVolume> remote = [&] {
    const Cancel::Hook hook(cancel, [&] { source->cancel(); });
    return source->status(copy.id);
  }();
  if (!remote) return remote.error();
  const auto wanted = copy.disk_type.empty() ? remote->disk_type : copy.disk_type;
  const auto place = store_.begin_copy({.id = copy.id,
                                        .collection = remote->collection,
                                        .disk_type = wanted == "hdd" ? "" : wanted,
                                        .bytes = remote->dat_bytes + remote->idx_bytes});
  if (!place) return place.error();
  options_.changed();  // an own replica may be gone
  // The copy takes its source's place among the copies, or stands beside it: it belongs to the same set.
  auto copied = pull(*source, *remote, copy, *place, true, progress, cancel);
  if (!copied) {
    LOG_WARNING("volume {}: its copy from {} broke off: {}", text(copy.id), copy.source, copied.error().what());
    store_.drop_copy(*place);
    return copied;
  }
  const auto volume = store_.end_copy(*place);
  if (!volume) return volume.error();
  options_.changed();
  LOG_INFO("volume {}: copied from {}, {} bytes", text(copy.id), copy.source, remote->dat_bytes);
  const auto time = last_row_time(**volume);
  return time != 0 ? time : *copied;
}

Result<VolumePlace> VolumeReceiver::fetch(const Copy& copy, Cancel& cancel) {
  const auto address = source_of(copy.source);
  if (!address) return address.error();
  const auto source = client::VolumeSource::at(*address);
  const auto remote = [&] {
    const Cancel::Hook hook(cancel, [&] { source->cancel(); });
    return source->status(copy.id);
  }();
  if (!remote) return remote.error();
  const auto place = store_.begin_copy({.id = copy.id,
                                        .collection = remote->collection,
                                        .disk_type = remote->disk_type == "hdd" ? "" : remote->disk_type,
                                        .bytes = remote->dat_bytes + remote->idx_bytes,
                                        .may_replace = false});
  if (!place) return place.error();
  const auto pulled = pull(*source, *remote, copy, *place, false, [](std::uint64_t) { return true; }, cancel);
  if (pulled) return place;
  store_.drop_copy(*place);
  return pulled.error();
}

// All files, checked against what the source said. The .dat's time, in ns.
Result<std::uint64_t> VolumeReceiver::pull(client::VolumeSource& source, const client::RemoteVolume& remote,
                                           const Copy& copy, const VolumePlace& place, bool with_epoch,
                                           const std::function<bool(std::uint64_t)>& progress, Cancel& cancel) {
  Pacer pacer(clock_, copy.bytes_per_second > 0 ? copy.bytes_per_second : options_.bytes_per_second);
  std::uint64_t moved = 0;
  std::uint64_t told = 0;
  const PullOptions pulling{.pacer = pacer, .cancel = cancel, .moved = [&](std::uint64_t bytes) {
                              moved += bytes;
                              if (moved - told < kProgressBytes) return;
                              told = moved;
                              if (!progress(moved)) cancel.set();
                            }};
  client::FileWish wish{.volume = copy.id,
                        .collection = remote.collection,
                        .extension = ".dat",
                        .compaction_revision = remote.compaction_revision,
                        .stop_offset = remote.dat_bytes};
  const auto dat = pull_file(source, wish, disk_, place.dat(), pulling);
  if (!dat) return dat.error();
  wish.extension = ".idx";
  wish.stop_offset = remote.idx_bytes;
  const auto idx = pull_file(source, wish, disk_, place.idx(), pulling);
  if (!idx) return idx.error();
  wish.extension = ".vif";
  wish.stop_offset = kSettingsBytesMax;
  wish.ignore_missing = true;
  if (const auto vif = pull_file(source, wish, disk_, place.vif(), pulling); !vif) return vif.error();
  if (with_epoch) {
    wish.extension = ReplicaState::kExtension;
    if (const auto hfe = pull_file(source, wish, disk_, place.hfe(), pulling); !hfe) return hfe.error();
  }
  const auto differs = [&](const char* what, std::uint64_t got, std::uint64_t expected) {
    return Error(Code::corrupt, "the " + std::string(what) + " of volume " + text(copy.id) + " came as " +
                                    std::to_string(got) + " bytes, not " + std::to_string(expected));
  };
  if (dat->bytes != remote.dat_bytes) return differs(".dat", dat->bytes, remote.dat_bytes);
  if (idx->bytes != remote.idx_bytes) return differs(".idx", idx->bytes, remote.idx_bytes);
  if (!idx->is_there) {  // an empty one that was not sent; the volume needs it all the same
    if (auto made = disk_.replace_file(place.idx(), ""); !made) return made.error();
  }
  if (dat->modified_ts_ns > 0) return static_cast<std::uint64_t>(dat->modified_ts_ns);
  return remote.dat_modified_seconds * 1'000'000'000;
}

// --- needles ---

Status VolumeReceiver::tail(VolumeId id, std::uint64_t since_ns, std::uint32_t idle_rounds, const std::string& source,
                            Cancel& cancel) {
  if (!store_.find(id)) return Error(Code::not_found, "receiver not found volume id " + text(id));
  const auto address = source_of(source);
  if (!address) return address.error();
  const auto upstream = client::VolumeSource::at(*address);
  const Cancel::Hook hook(cancel, [&] { upstream->cancel(); });
  return upstream->tail(id, since_ns, idle_rounds, [&](const client::TailRecord& record) -> Status {
    const auto volume = store_.find(id);  // a vacuum may have put another in its place
    if (!volume) return Error(Code::not_found, "receiver not found volume id " + text(id));
    return write(*volume, record);
  });
}

Status VolumeReceiver::write(Volume& volume, const client::TailRecord& record) {
  if (record.header.size() != kHeaderBytes || record.version < 1 || record.version > 3) {
    return Error(Code::corrupt, "the source sends what is no needle");
  }
  const auto header = NeedleHeader::parse(bytes_of(record.header).data());
  const auto bytes = record.header + record.body;
  const auto needle = parse(bytes_of(bytes), header.size, static_cast<Version>(record.version));
  if (!needle) return needle.error().at("a needle of the source");
  if (header.size == 0) {
    using Kind = client::TailRecord::Kind;
    const auto slot = volume.find(needle->id);
    // What a start finds in a .dat is read by the same rule (volume_loader.h).
    const bool looks_deleted = (slot && slot->is_live()) || needle->stored_crc != 0;
    if (record.kind == Kind::deletion || (record.kind == Kind::unknown && looks_deleted)) {
      return remove(volume, needle->id);
    }
  } else if (!check_data(*needle)) {
    return Error(Code::corrupt, fmt::format("needle {:x} of the source is damaged: mend or delete it there first", needle->id.value()));
  }
  return put(volume, *needle);
}

Status VolumeReceiver::write_blob(VolumeId id, NeedleId key, std::int32_t size, BytesView blob) {
  const auto volume = store_.find(id);
  if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
  if (blob.size() < kHeaderBytes) return Error(Code::invalid, "needle blob of " + std::to_string(blob.size()) + " bytes is too short");
  const auto header = NeedleHeader::parse(blob.data());
  if (header.size != size) {
    return Error(Code::invalid, "needle blob size " + std::to_string(header.size) + " does not match the size " + std::to_string(size));
  }
  if (header.id != key) {
    return Error(Code::invalid, fmt::format("needle blob id {:x} does not match the needle id {:x}", header.id.value(), key.value()));
  }
  if (size < 0 || blob.size() + kAlignment < record_bytes(size, volume->version())) {
    return Error(Code::invalid, "needle blob of " + std::to_string(blob.size()) + " bytes is shorter than its needle");
  }
  const auto needle = parse(blob, size, volume->version());
  if (!needle) return needle.error();
  if (size > 0 && !check_data(*needle)) return Error(Code::corrupt, fmt::format("needle {:x}: the data's crc is wrong", key.value()));
  return put(*volume, *needle);
}

// --- one file ---

namespace {

// Written under a name of its own; once it is whole `adopt` gives it the one that it is for.
class IncomingFile final : public VolumeReceiver::Incoming {
 public:
  using Adopt = std::function<Status(const std::string& incoming)>;
  IncomingFile(io::Disk& disk, std::string path, std::uint64_t expected, std::unique_ptr<io::File> file, Adopt adopt)
      : disk_(disk), path_(std::move(path)), expected_(expected), file_(std::move(file)), adopt_(std::move(adopt)) {}
  ~IncomingFile() override {
    if (!file_) return;
    file_.reset();
    if (auto removed = disk_.remove(path_ + kTemporary); !removed) LOG_WARNING("{}", removed.error().what());
  }

  Status append(BytesView bytes) override {
    if (expected_ != 0 && bytes.size() > expected_ - at_) {
      return Error(Code::invalid, "more bytes than the " + std::to_string(expected_) + " announced");
    }
    if (auto written = file_->write(at_, bytes); !written) return written;
    at_ += bytes.size();
    return {};
  }

  Result<std::uint64_t> finish() override {
    if (expected_ != 0 && at_ != expected_) {
      return Error(Code::invalid, "received " + std::to_string(at_) + " bytes, expected " + std::to_string(expected_));
    }
    if (auto synced = file_->sync(); !synced) return synced.error();
    if (auto adopted = adopt_(path_ + kTemporary); !adopted) return adopted.error();
    file_.reset();
    if (auto synced = disk_.sync_dir(io::folder_of(path_)); !synced) return synced.error();
    return at_;
  }

  static constexpr const char* kTemporary = ".tmp";

 private:
  io::Disk& disk_;
  const std::string path_;
  const std::uint64_t expected_;
  std::unique_ptr<io::File> file_;
  const Adopt adopt_;
  std::uint64_t at_ = 0;
};

}  // namespace

Result<std::string> VolumeReceiver::path_for(const FileInfo& info) {
  if (auto named = check_file_name(info.collection, info.extension); !named) return named.error();
  const auto name = VolumePlace{.id = info.id, .collection = info.collection}.base_name() + info.extension;
  if (info.is_ec_volume) {
    if (store_.ec().find(info.id)) {
      return Error(Code::refused, "ec volume " + text(info.id) + " is mounted: unmount its shards first");
    }
    const auto folder = store_.shard_folder(info.collection, info.id, info.extension, info.disk_id,
                                            info.disk_type == "hdd" ? "" : info.disk_type);
    if (!folder) return folder.error();
    return io::join(*folder, name);
  }
  const auto volume = store_.find(info.id);
  if (!volume) {
    if (info.disk_type.empty()) return Error(Code::not_found, "volume " + text(info.id) + " not found");
    const auto folder = store_.shard_folder(info.collection, info.id, info.extension, 0,
                                            info.disk_type == "hdd" ? "" : info.disk_type);
    if (!folder) return folder.error();
    return io::join(*folder, name + ".copying");
  }
  // Under a volume that is served no file may change its content.
  for (const auto* own : {".dat", ".idx", ".vif"}) {
    if (info.extension == own) {
      return Error(Code::refused, "volume " + text(info.id) + " is mounted: its " + own + " is not overwritten");
    }
  }
  return io::join(volume->place().data_folder, volume->place().base_name() + info.extension);
}

Result<std::unique_ptr<VolumeReceiver::Incoming>> VolumeReceiver::receive(const FileInfo& info) {
  const auto path = path_for(info);
  if (!path) return path.error();
  auto file = disk_.open(*path + IncomingFile::kTemporary, {.write = true, .create = true, .truncate = true});
  if (!file) return file.error();
  const auto adopt = [this, info, path = *path](const std::string& incoming) {
    return info.is_ec_volume ? store_.ec().take_over(info.id, info.collection, incoming, path) : disk_.rename(incoming, path);
  };
  return std::unique_ptr<Incoming>(std::make_unique<IncomingFile>(disk_, *path, info.bytes, std::move(*file), adopt));
}

}  // namespace holdfast::volume
