// SimDisk: a file system in memory that keeps exactly the promises of io/disk.h and no more.
//
// It remembers for every file which sectors were written since the last sync and for every folder which names
// changed since the last sync_dir. crash() then keeps a subset of those - chosen by the seed, or, for tests that
// enumerate, by the caller - and forgets the rest, as a power loss would. Names change in the order they were
// changed (a journal): a crash keeps a prefix of the unsynced ones. A file whose name was never made durable is gone
// whatever was synced into it.
//
// Faults by seed: EIO, a full disk, a sync that fails (after which any subset of the unsynced sectors is on disk but
// the page cache shows all: the trap that a process must not step into), torn sectors at a crash, rotten bits.
//
// Every change and sync counts as one operation; fail_at() makes the n-th and all later ones fail, which lets a test
// stop a writer at each point in turn.
//
// Files opened before a crash are dead: each call on them answers `io`. Not thread-safe: simulations have one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/sim/random.h"

namespace holdfast::io::sim {

inline constexpr std::uint64_t kSectorBytes = 512;

// Chances in parts per million of one operation.
struct DiskFaults {
  std::uint32_t read_error_ppm = 0;   // EIO, the bytes stay as they are
  std::uint32_t write_error_ppm = 0;  // EIO, a prefix may have been written
  std::uint32_t sync_error_ppm = 0;   // see above
  std::uint32_t torn_sector_ppm = 0;  // of the sectors a crash keeps: part old, part new
  std::uint64_t capacity = UINT64_MAX;  // bytes of all files; beyond it writes answer no_space
};

class SimFile;

class SimDisk final : public Disk {
 public:
  explicit SimDisk(std::uint64_t seed, DiskFaults faults = {});
  ~SimDisk() override;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Status make_folder(const std::string& path) override;
  Status remove(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status sync_dir(const std::string& folder) override;
  Result<Space> space(const std::string& path) override;
  Result<std::unique_ptr<FolderLock>> lock(const std::string& path) override;

  // --- for the test or simulator, not for the code under test ---

  void set_faults(DiskFaults faults) { faults_ = faults; }

  // Power loss: the seed decides which unsynced sectors and names stay. Locks are given back.
  void crash();

  // Power loss with the sectors decided by the caller: of the pending writes, in the order pending() lists them,
  // those stay for which `keep` says so; of the pending name changes the first `names_kept` stay.
  struct Pending {
    std::string path;       // as it was opened; the file may have been renamed since
    std::uint64_t sector;   // number of the sector; for a change of length UINT64_MAX
    std::uint64_t ordinal;  // counts within this list
  };
  [[nodiscard]] std::vector<Pending> pending() const;
  [[nodiscard]] std::size_t pending_names() const;
  void crash_keeping(const std::function<bool(const Pending&)>& keep, std::size_t names_kept);

  // The process dies and the machine lives: every write stays, locks are given back, open files are dead.
  void kill_process();

  // From the operation with this number on (0 = the next one) every change and sync answers `io` without effect.
  void fail_at(std::uint64_t operations_from_now);
  void fail_never();

  // Called before every change and sync with its number, counted from 0, and what it is: the place to look at the disk
  // as a crash right here would find it. What it answers, if not ok, is what the operation answers.
  using BeforeOperation = std::function<Status(std::uint64_t operation, const std::string& what)>;
  void before_operations(BeforeOperation call) { before_operation_ = std::move(call); }
  [[nodiscard]] std::uint64_t operations() const { return operations_; }

  // Flips one bit of the durable and the visible content. False when the file is shorter.
  bool rot(const std::string& path, std::uint64_t byte, unsigned bit);

  // A deep copy of the whole disk, with its open files dead: the start of several futures.
  [[nodiscard]] std::unique_ptr<SimDisk> clone(std::uint64_t seed) const;

  [[nodiscard]] std::uint64_t used() const;

 private:
  friend class SimFile;
  friend class SimLock;

  struct Node;  // a file or folder
  struct NameChange {
    std::string path;
    std::shared_ptr<Node> node;  // null: the name goes away
  };

  Status changing(const std::string& what);  // counts an operation; an error when it must fail
  void set_name(const std::string& path, std::shared_ptr<Node> node);
  std::shared_ptr<Node> find(const std::string& path) const;
  void after_crash();

  SeededRandom random_;
  DiskFaults faults_;
  std::uint64_t epoch_ = 0;  // counts crashes; a file of an older epoch is dead
  std::uint64_t operations_ = 0;
  std::uint64_t fail_from_ = UINT64_MAX;
  BeforeOperation before_operation_;
  std::map<std::string, std::shared_ptr<Node>> names_;    // as the process sees them
  std::map<std::string, std::shared_ptr<Node>> durable_;  // as the device has them
  std::vector<NameChange> changes_;                       // durable_ + changes_ = names_
  std::map<std::string, std::uint64_t> locks_;            // path -> epoch
};

}  // namespace holdfast::io::sim
