#include "storage/raft/snapshots.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"

namespace holdfast::storage {
namespace {

constexpr std::string_view kMagic = "HFRAFTSN";
constexpr std::string_view kBodyMagic = "HFSN";
constexpr std::uint16_t kFormat = 1;
constexpr std::uint64_t kHeadBytes = 32768;  // room for the largest configuration
constexpr std::uint64_t kHeadFixedBytes = 72;
constexpr std::size_t kFilesMax = 4096;
constexpr std::string_view kSuffix = ".snap";
constexpr std::string_view kPart = ".part";
static_assert(kHeadFixedBytes + 3 + raft::kMembersMax * (35 + raft::kAddressBytesMax) <= kHeadBytes);

std::string be_hex(std::uint64_t value) {
  std::string bytes;
  append_be(bytes, value);
  return hex(bytes_of(bytes));
}

// 0 magic, 8 format, 10 length of the configuration, 12 checksum of the head (over zeros here), 16 cluster,
// 32 index, 40 term, 48 index of the configuration, 56 length of the body, 64 zero, 72 configuration.
std::string encode_head(ClusterId cluster, const raft::SnapshotMeta& meta) {
  const std::string configuration = raft::encode(meta.configuration);
  std::string head(kHeadBytes, '\0');
  CHECK(kHeadFixedBytes + configuration.size() <= kHeadBytes);
  auto* at = reinterpret_cast<std::uint8_t*>(head.data());
  std::copy(kMagic.begin(), kMagic.end(), head.begin());
  store_be<std::uint16_t>(at + 8, kFormat);
  store_be<std::uint16_t>(at + 10, static_cast<std::uint16_t>(configuration.size()));
  store_be<std::uint64_t>(at + 16, cluster.value().high);
  store_be<std::uint64_t>(at + 24, cluster.value().low);
  store_be<std::uint64_t>(at + 32, meta.last.index.value());
  store_be<std::uint64_t>(at + 40, meta.last.term.value());
  store_be<std::uint64_t>(at + 48, meta.configuration_index.value());
  store_be<std::uint64_t>(at + 56, meta.bytes);
  std::copy(configuration.begin(), configuration.end(), head.begin() + kHeadFixedBytes);
  store_be<std::uint32_t>(at + 12, crc32c(bytes_of(head)));
  return head;
}

Result<raft::SnapshotMeta> decode_head(std::string head, ClusterId cluster) {
  if (head.size() != kHeadBytes || !head.starts_with(kMagic)) return Error{Code::corrupt, "not a snapshot"};
  auto* at = reinterpret_cast<std::uint8_t*>(head.data());
  const auto checksum = load_be<std::uint32_t>(at + 12);
  store_be<std::uint32_t>(at + 12, 0);
  if (crc32c(bytes_of(head)) != checksum) return Error{Code::corrupt, "snapshot head: checksum mismatch"};
  const auto format = load_be<std::uint16_t>(at + 8);
  if (format != kFormat) {
    return Error{Code::unsupported, "snapshot of format " + std::to_string(format) + ": start a newer holdfast"};
  }
  const ClusterId stored(Uuid{load_be<std::uint64_t>(at + 16), load_be<std::uint64_t>(at + 24)});
  if (stored != cluster) return Error{Code::refused, "snapshot of another cluster, " + text(stored)};
  const auto length = load_be<std::uint16_t>(at + 10);
  if (kHeadFixedBytes + length > kHeadBytes) return Error{Code::corrupt, "snapshot head: bad length"};
  auto configuration = raft::decode_configuration(std::string_view(head).substr(kHeadFixedBytes, length));
  if (!configuration) return configuration.error();
  return raft::SnapshotMeta{.last = {.term = Term(load_be<std::uint64_t>(at + 40)),
                                     .index = Index(load_be<std::uint64_t>(at + 32))},
                            .configuration = std::move(*configuration),
                            .configuration_index = Index(load_be<std::uint64_t>(at + 48)),
                            .bytes = load_be<std::uint64_t>(at + 56)};
}

Result<std::string> read_exactly(const io::File& file, std::uint64_t offset, std::uint64_t length) {
  std::string bytes(length, '\0');
  const auto got = file.read(offset, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
  if (!got) return got.error();
  if (*got != length) return Error{Code::corrupt, file.path() + ": shorter than it says"};
  return bytes;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- body

// "HFSN", u16 format, u16 files; per file u16 length of the name, u64 length, u32 checksum of the content, name,
// content; u32 checksum of all before.
std::string encode_snapshot_body(const std::vector<topology::CheckpointFile>& files) {
  CHECK(files.size() <= kFilesMax);
  std::string out(kBodyMagic);
  append_be<std::uint16_t>(out, kFormat);
  append_be<std::uint16_t>(out, static_cast<std::uint16_t>(files.size()));
  for (const auto& file : files) {
    append_be<std::uint16_t>(out, static_cast<std::uint16_t>(file.name.size()));
    append_be<std::uint64_t>(out, file.bytes.size());
    append_be<std::uint32_t>(out, crc32c(bytes_of(file.bytes)));
    out += file.name;
    out += file.bytes;
  }
  append_be<std::uint32_t>(out, crc32c(bytes_of(out)));
  return out;
}

Result<std::vector<topology::CheckpointFile>> decode_snapshot_body(BytesView bytes) {
  const Error damaged{Code::corrupt, "snapshot body: checksum mismatch"};
  if (bytes.size() < 12 || text_of(bytes.first(4)) != kBodyMagic) return damaged;
  const auto content = bytes.first(bytes.size() - 4);
  if (crc32c(content) != load_be<std::uint32_t>(bytes.data() + content.size())) return damaged;
  if (load_be<std::uint16_t>(bytes.data() + 4) != kFormat) {
    return Error{Code::unsupported, "snapshot body of a newer format: start a newer holdfast"};
  }
  const auto count = load_be<std::uint16_t>(bytes.data() + 6);
  std::vector<topology::CheckpointFile> files;
  std::size_t at = 8;
  for (std::uint16_t i = 0; i < count; ++i) {
    if (content.size() - at < 14) return damaged;
    const std::uint64_t name = load_be<std::uint16_t>(bytes.data() + at);
    const auto length = load_be<std::uint64_t>(bytes.data() + at + 2);
    const auto checksum = load_be<std::uint32_t>(bytes.data() + at + 10);
    at += 14;
    if (name > content.size() - at || length > content.size() - at - name) return damaged;
    const auto file = content.subspan(at + name, length);
    if (crc32c(file) != checksum) return damaged;
    files.push_back({.name = std::string(text_of(content.subspan(at, name))), .bytes = std::string(text_of(file))});
    at += name + length;
  }
  if (at != content.size()) return damaged;
  return files;
}

// ---------------------------------------------------------------------------------------------------- store

Result<std::unique_ptr<SnapshotStore>> SnapshotStore::open(io::Disk& disk, const std::string& folder,
                                                           ClusterId cluster) {
  if (auto done = disk.make_folder(folder); !done) return done.error();
  if (auto done = disk.sync_dir(io::folder_of(folder)); !done) return done.error();
  std::unique_ptr<SnapshotStore> store(new SnapshotStore(disk, folder, cluster));
  if (auto done = store->look(); !done) return done.error();
  return store;
}

std::string SnapshotStore::path_of(raft::LogPosition position) const {
  return io::join(folder_, be_hex(position.index.value()) + "-" + be_hex(position.term.value()) + std::string(kSuffix));
}

Status SnapshotStore::look() {
  const auto names = disk_.list(folder_);
  if (!names) return names.error();
  for (const auto& name : *names) {
    const std::string path = io::join(folder_, name);
    if (name.ends_with(kPart)) {
      if (auto done = disk_.remove(path); !done) return done;
      continue;
    }
    if (!name.ends_with(kSuffix)) continue;
    auto file = disk_.open(path, {});
    if (!file) return file.error();
    auto head = read_exactly(**file, 0, kHeadBytes);
    auto meta = head ? decode_head(std::move(*head), cluster_) : Result<raft::SnapshotMeta>(head.error());
    if (!meta) {
      if (meta.error().code() != Code::corrupt) return meta.error().at(path);
      remarks_.push_back(path + ": " + meta.error().what() + "; an older one is used if there is one");
      continue;
    }
    if (const auto files = load(meta->last); !files) {
      if (files.error().code() != Code::corrupt) return files.error().at(path);
      remarks_.push_back(path + ": " + files.error().what() + "; an older one is used if there is one");
      continue;
    }
    stored_.push_back(std::move(*meta));
  }
  std::sort(stored_.begin(), stored_.end(), [](const auto& a, const auto& b) { return a.last.index < b.last.index; });
  return {};
}

Result<std::string> SnapshotStore::body(const raft::SnapshotMeta& meta) const {
  auto file = disk_.open(path_of(meta.last), {});
  if (!file) return file.error();
  return read_exactly(**file, kHeadBytes, meta.bytes);
}

Result<std::vector<topology::CheckpointFile>> SnapshotStore::load(raft::LogPosition position) const {
  // Reads the head again rather than stored_, which belongs to the log thread.
  auto file = disk_.open(path_of(position), {});
  if (!file) return file.error();
  auto head = read_exactly(**file, 0, kHeadBytes);
  if (!head) return head.error();
  const auto meta = decode_head(std::move(*head), cluster_);
  if (!meta) return meta.error();
  if (meta->bytes > kSnapshotBytesMax) return Error{Code::corrupt, "snapshot of an impossible length"};
  const auto bytes = read_exactly(**file, kHeadBytes, meta->bytes);
  if (!bytes) return bytes.error();
  return decode_snapshot_body(bytes_of(*bytes));
}

// The body stands in `file`: adds the head, then the name. Only the rename makes it a snapshot.
Status SnapshotStore::finish(io::File& file, const std::string& part, const raft::SnapshotMeta& meta) {
  if (auto done = file.write(0, bytes_of(encode_head(cluster_, meta))); !done) return done;
  if (auto done = file.sync(); !done) return done;
  if (auto done = disk_.rename(part, path_of(meta.last)); !done) return done;
  if (auto done = disk_.sync_dir(folder_); !done) return done;
  std::erase_if(stored_, [&](const auto& other) { return other.last.index == meta.last.index; });
  stored_.push_back(meta);
  std::sort(stored_.begin(), stored_.end(), [](const auto& a, const auto& b) { return a.last.index < b.last.index; });
  return drop_old();
}

Status SnapshotStore::drop_old() {
  while (stored_.size() > kSnapshotsKept) {
    if (auto done = disk_.remove(path_of(stored_.front().last)); !done) return done;
    stored_.erase(stored_.begin());
  }
  return {};
}

Result<raft::SnapshotMeta> SnapshotStore::store(raft::SnapshotMeta meta,
                                                const std::vector<topology::CheckpointFile>& files) {
  const std::string body = encode_snapshot_body(files);
  if (body.size() > kSnapshotBytesMax) return Error{Code::invalid, "the state is too large for a snapshot"};
  meta.bytes = body.size();
  const std::string part = io::join(folder_, "taken" + std::string(kPart));
  auto file = disk_.open(part, {.write = true, .create = true, .truncate = true});
  if (!file) return file.error();
  if (auto done = (*file)->write(kHeadBytes, bytes_of(body)); !done) return done.error();
  if (auto done = finish(**file, part, meta); !done) return done.error();
  return meta;
}

Result<std::optional<raft::SnapshotPieceRead>> SnapshotStore::read(const raft::SnapshotRead& request) {
  if (stored_.empty()) return std::optional<raft::SnapshotPieceRead>();
  const auto same = std::find_if(stored_.begin(), stored_.end(),
                                 [&](const auto& meta) { return meta.last == request.snapshot; });
  const auto& meta = same == stored_.end() ? stored_.back() : *same;
  const std::uint64_t offset = same == stored_.end() ? 0 : request.offset;
  if (offset > meta.bytes) return std::optional<raft::SnapshotPieceRead>();
  if (offset == 0) {
    if (const auto files = load(meta.last); !files) return files.error();
  }
  auto file = disk_.open(path_of(meta.last), {});
  if (!file) return file.error();
  const auto length = std::min<std::uint64_t>(request.bytes_max, meta.bytes - offset);
  auto bytes = read_exactly(**file, kHeadBytes + offset, length);
  if (!bytes) return bytes.error();
  return std::optional(raft::SnapshotPieceRead{.peer = request.peer,
                                               .meta = meta,
                                               .offset = offset,
                                               .data = std::move(*bytes),
                                               .last = offset + length == meta.bytes});
}

raft::SnapshotPieceWritten SnapshotStore::write(const raft::SnapshotWrite& piece) {
  const auto failed = [&](const std::string& why) {
    LOG_WARNING("snapshot {} from the leader: {}", text(piece.meta.last.index), why);
    incoming_.reset();
    return raft::SnapshotPieceWritten{.meta = piece.meta, .failed = true};
  };
  const std::string part = io::join(folder_, "received" + std::string(kPart));
  if (piece.meta.bytes > kSnapshotBytesMax) return failed("too large");
  if (piece.offset == 0) {
    auto file = disk_.open(part, {.write = true, .create = true, .truncate = true});
    if (!file) return failed(file.error().what());
    incoming_ = Incoming{.meta = piece.meta, .file = std::move(*file)};
  }
  if (!incoming_ || incoming_->meta != piece.meta || incoming_->next != piece.offset) return failed("pieces do not fit");
  if (auto done = incoming_->file->write(kHeadBytes + piece.offset, bytes_of(piece.data.view())); !done) {
    return failed(done.error().what());
  }
  incoming_->next += piece.data.size();
  if (!piece.last) return {.meta = piece.meta, .next_offset = incoming_->next};

  if (incoming_->next != piece.meta.bytes) return failed("of another length than announced");
  const auto bytes = read_exactly(*incoming_->file, kHeadBytes, piece.meta.bytes);
  if (!bytes) return failed(bytes.error().what());
  if (const auto files = decode_snapshot_body(bytes_of(*bytes)); !files) return failed(files.error().what());
  if (auto done = finish(*incoming_->file, part, piece.meta); !done) return failed(done.error().what());
  incoming_.reset();
  return {.meta = piece.meta, .next_offset = piece.meta.bytes, .complete = true};
}

}  // namespace holdfast::storage
