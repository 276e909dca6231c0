#include "test/sim/disk_store.h"

#include "base/bytes.h"
#include "base/check.h"
#include "io/sim/disk.h"
#include "storage/raft/raft_store.h"

namespace holdfast::sim {
namespace {

constexpr char kFolder[] = "m";
constexpr std::uint64_t kSegmentBytes = 16_KiB;  // small, so that runs have many

class DiskStore final : public Store {
 public:
  DiskStore(std::uint64_t seed, NodeId voter)
      : random_(seed), disk_(random_.next()), options_{ClusterId(Uuid{1, 1}), voter, kSegmentBytes} {
    CHECK(disk_.make_folder(kFolder).ok());
    CHECK(disk_.sync_dir(".").ok());
  }

  void found(const raft::Configuration& configuration) override {
    CHECK(storage::RaftStore::found(disk_, random_, kFolder, options_, configuration).ok());
  }
  void begin() override { CHECK(storage::RaftStore::begin(disk_, random_, kFolder, options_).ok()); }

  Result<raft::Start> open() override {
    disk_.set_faults(torn());
    auto opened = storage::RaftStore::open(disk_, random_, kFolder, options_);
    apply_faults();
    if (!opened) return opened.error();
    store_ = std::move(opened->store);
    for (const auto& remark : opened->remarks) remarks_ += " [" + remark + "]";
    return opened->start;
  }

  Status write(const raft::Output& out) override {
    return store_->write(out.log_reset, out.hard_state, out.appended);
  }
  Status sync() override { return store_->sync(); }

  raft::EntriesFetched fetch(const raft::LogRead& read) override {
    auto found = store_->log().read(read.from, read.bytes_max);
    if (!found) return {read.peer, read.from, Term(0), {}};
    return {read.peer, read.from, found->previous_term, std::move(found->entries)};
  }

  Result<raft::SnapshotTaken> take_snapshot(raft::SnapshotMeta meta,
                                            const std::vector<topology::CheckpointFile>& files,
                                            Index keep_from) override {
    return store_->take_snapshot(std::move(meta), files, keep_from);
  }

  std::optional<raft::SnapshotPieceRead> read_piece(const raft::SnapshotRead& read) override {
    auto piece = store_->snapshots().read(read);
    return piece ? *piece : std::nullopt;
  }
  raft::SnapshotPieceWritten write_piece(const raft::SnapshotWrite& write) override {
    return store_->snapshots().write(write);
  }
  Result<std::vector<topology::CheckpointFile>> load_snapshot(raft::LogPosition position) override {
    return store_->snapshots().load(position);
  }

  void crash(bool power_loss) override {
    store_.reset();
    if (power_loss) {
      disk_.crash();
    } else {
      disk_.kill_process();
    }
  }

  // One bit of a file of the log, the vote or a snapshot.
  bool rot() override {
    std::vector<std::string> files = {io::join(kFolder, "vote")};
    for (const char* sub : {"log", "snapshot"}) {
      const auto folder = io::join(kFolder, sub);
      const auto names = disk_.list(folder);
      if (!names) continue;
      for (const auto& name : *names) files.push_back(io::join(folder, name));
    }
    const auto& path = files[random_.below(files.size())];
    const auto info = disk_.info(path);
    if (!info || info->size == 0) return false;
    return disk_.rot(path, random_.below(std::min<std::uint64_t>(info->size, 4096)), random_.below(8));
  }

  bool misdirect() override {
    const auto folder = io::join(kFolder, "log");
    const auto names = disk_.list(folder);
    if (!names || names->empty()) return false;
    const auto& meant = (*names)[random_.below(names->size())];
    const auto& hit = random_.below(4) == 0 ? (*names)[random_.below(names->size())] : meant;
    disk_.set_faults({});
    const bool done = misdirect(io::join(folder, meant), io::join(folder, hit));
    apply_faults();
    return done;
  }

  std::string remarks() override { return std::exchange(remarks_, {}); }

  void fail_sometimes(bool on) override {
    failing_ = on;
    apply_faults();
  }

 private:
  bool misdirect(const std::string& meant, const std::string& hit) {
    constexpr std::uint64_t kBlock = 512;
    const auto blocks = [](const std::string& bytes) {
      return std::min<std::uint64_t>(bytes.size(), 4096) / kBlock;  // where something is: segments fill from the front
    };
    auto source = disk_.read_file(meant, kSegmentBytes * 2);
    auto target = disk_.read_file(hit, kSegmentBytes * 2);
    if (!source || !target || blocks(*source) == 0 || blocks(*target) == 0) return false;
    const auto from = random_.below(blocks(*source)) * kBlock;
    const auto to = random_.below(blocks(*target)) * kBlock;
    const std::string block = source->substr(from, kBlock);
    const bool missing = random_.below(2) == 0;
    if (target->substr(to, kBlock) == block && !missing) return false;
    const auto put = [&](const std::string& path, std::uint64_t at, const std::string& bytes) {
      auto file = disk_.open(path, {.write = true});
      return file && (*file)->write(at, bytes_of(bytes)).ok() && (*file)->sync().ok();
    };
    CHECK(put(hit, to, block));
    if (missing && !(hit == meant && from == to)) CHECK(put(meant, from, std::string(kBlock, '\0')));
    return true;
  }

  static io::sim::DiskFaults torn() { return {.torn_sector_ppm = 300'000}; }
  void apply_faults() {
    auto faults = torn();
    if (failing_) {
      faults.write_error_ppm = 10'000;
      faults.sync_error_ppm = 10'000;
    }
    disk_.set_faults(faults);
  }

  Random random_;
  io::sim::SimDisk disk_;
  const storage::RaftStore::Options options_;
  std::unique_ptr<storage::RaftStore> store_;
  bool failing_ = false;
  std::string remarks_;
};

}  // namespace

std::unique_ptr<Store> make_disk_store(std::uint64_t seed, NodeId voter) {
  return std::make_unique<DiskStore>(seed, voter);
}

}  // namespace holdfast::sim
