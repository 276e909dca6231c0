#include "io/sim/disk.h"

#include <algorithm>
#include <set>

#include "base/check.h"

namespace holdfast::io::sim {
namespace {

constexpr std::uint64_t kLengthChange = UINT64_MAX;

// "./a//b/" -> "a/b": one spelling for each file.
std::string plain(const std::string& path) {
  std::string out = path.starts_with('/') ? "/" : "";
  std::size_t begin = 0;
  while (begin < path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (!out.empty() && out.back() != '/') out += '/';
    out += part;
  }
  return out.empty() ? "." : out;
}

// One write to one sector, or (sector = kLengthChange) one change of length, in the order they were made.
struct Write {
  std::uint64_t sector = 0;
  std::string bytes;        // the whole sector after this write, cut at the file's end
  std::uint64_t length = 0;  // of the file after this write
};

// Makes `content` what it is once `write` reached the device.
void put(std::string& content, const Write& write) {
  if (write.sector == kLengthChange) {
    content.resize(write.length, '\0');
    return;
  }
  const std::uint64_t begin = write.sector * kSectorBytes;
  if (content.size() < begin + write.bytes.size()) content.resize(begin + write.bytes.size(), '\0');
  content.replace(begin, write.bytes.size(), write.bytes);
}

}  // namespace

struct SimDisk::Node {
  bool is_folder = false;
  std::string opened_as;
  std::string content;         // as the process sees it
  std::string device;          // as it was at the last sync
  std::vector<Write> pending;  // device + pending = content
  std::uint64_t reserved = 0;  // allocated behind the end
};

class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<SimDisk::Node> node, std::string path, bool writable)
      : disk_(disk), epoch_(disk.epoch_), node_(std::move(node)), path_(std::move(path)), writable_(writable) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    if (auto dead = alive(); !dead) return dead.error();
    if (disk_.random_.chance(disk_.faults_.read_error_ppm)) return Error{Code::io, "read " + path_ + ": EIO (simulated)"};
    const std::string& content = node_->content;
    if (offset >= content.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(out.size(), content.size() - offset);
    std::copy_n(content.begin() + static_cast<std::ptrdiff_t>(offset), count, out.begin());
    return count;
  }

  Result<std::size_t> read_cached(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    return read(offset, out);
  }

  Status write(std::uint64_t offset, BytesView bytes) override { return write_pieces(offset, {&bytes, 1}); }

  Status write_pieces(std::uint64_t offset, std::span<const BytesView> pieces) override {
    if (auto may = writing(); !may) return may;
    std::string joined;
    for (const auto piece : pieces) joined += text_of(piece);
    const std::uint64_t end = offset + joined.size();
    const std::uint64_t room = std::max<std::uint64_t>(node_->content.size(), node_->reserved);
    if (end > room && disk_.used() + (end - room) > disk_.faults_.capacity) {
      return Error{Code::no_space, "write " + path_ + ": disk full (simulated)"};
    }
    const bool broken = disk_.random_.chance(disk_.faults_.write_error_ppm);
    if (broken) joined.resize(disk_.random_.below(joined.size() + 1));
    apply(offset, joined);
    if (broken) return Error{Code::io, "write " + path_ + ": EIO (simulated)"};
    return {};
  }

  Status sync() override {
    if (auto may = alive(); !may) return may;
    if (auto may = disk_.changing("sync " + path_); !may) return may;
    if (disk_.random_.chance(disk_.faults_.sync_error_ppm)) {
      // Some sectors got there; the kernel marks the others clean all the same, so that no later sync writes them.
      std::vector<Write> dropped;
      dropped.swap(node_->pending);
      for (const auto& write : dropped) {
        if (disk_.random_.chance(500'000)) put(node_->device, write);
      }
      return Error{Code::io, "sync " + path_ + ": EIO (simulated)"};
    }
    for (const auto& write : node_->pending) put(node_->device, write);
    node_->pending.clear();
    return {};
  }

  Result<std::uint64_t> size() const override {
    if (auto may = alive(); !may) return may.error();
    return static_cast<std::uint64_t>(node_->content.size());
  }

  Status truncate(std::uint64_t size) override {
    if (auto may = writing(); !may) return may;
    if (size == node_->content.size()) return {};
    node_->content.resize(size, '\0');
    node_->pending.push_back({.sector = kLengthChange, .length = size});
    return {};
  }

  Status allocate(std::uint64_t offset, std::uint64_t length, bool keep_size) override {
    if (auto may = writing(); !may) return may;
    const std::uint64_t end = offset + length;
    const std::uint64_t room = std::max<std::uint64_t>(node_->content.size(), node_->reserved);
    if (end > room && disk_.used() + (end - room) > disk_.faults_.capacity) {
      return Error{Code::no_space, "allocate " + path_ + ": disk full (simulated)"};
    }
    node_->reserved = std::max(node_->reserved, end);
    if (!keep_size && end > node_->content.size()) {
      node_->content.resize(end, '\0');
      node_->pending.push_back({.sector = kLengthChange, .length = end});
    }
    return {};
  }

  int descriptor() const override { return -1; }
  const std::string& path() const override { return path_; }

 private:
  Status alive() const {
    if (epoch_ != disk_.epoch_) return Error{Code::io, path_ + ": the process that opened this file is dead"};
    return {};
  }

  Status writing() {
    if (auto may = alive(); !may) return may;
    if (!writable_) return Error{Code::invalid, path_ + ": opened for reading"};
    return disk_.changing("write " + path_);
  }

  void apply(std::uint64_t offset, const std::string& bytes) {
    if (bytes.empty()) return;
    std::string& content = node_->content;
    const std::uint64_t old_size = content.size();
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size(), '\0');
    content.replace(offset, bytes.size(), bytes);
    // The zeros of a gap come with the new length, not as sectors of their own.
    if (offset > old_size) node_->pending.push_back({.sector = kLengthChange, .length = offset});
    for (std::uint64_t sector = offset / kSectorBytes; sector * kSectorBytes < offset + bytes.size(); ++sector) {
      const std::uint64_t begin = sector * kSectorBytes;
      const std::uint64_t end = std::min<std::uint64_t>(content.size(), begin + kSectorBytes);
      node_->pending.push_back({.sector = sector, .bytes = content.substr(begin, end - begin), .length = content.size()});
    }
  }

  SimDisk& disk_;
  const std::uint64_t epoch_;
  const std::shared_ptr<SimDisk::Node> node_;  // shared with the disk's names; lives on when the name is removed
  const std::string path_;
  const bool writable_;
};

class SimLock final : public FolderLock {
 public:
  SimLock(SimDisk& disk, std::string path) : disk_(disk), epoch_(disk.epoch_), path_(std::move(path)) {}
  ~SimLock() override {
    if (epoch_ == disk_.epoch_) disk_.locks_.erase(path_);
  }

 private:
  SimDisk& disk_;
  const std::uint64_t epoch_;
  const std::string path_;
};

SimDisk::SimDisk(std::uint64_t seed, DiskFaults faults) : random_(seed), faults_(faults) {
  auto root = std::make_shared<Node>();
  root->is_folder = true;
  for (const char* name : {".", "/"}) names_[name] = durable_[name] = root;
}

SimDisk::~SimDisk() = default;

Status SimDisk::changing(const std::string& what) {
  const auto operation = operations_++;
  if (before_operation_) {
    if (auto may = before_operation_(operation, what); !may) return may;
  }
  if (operation >= fail_from_) return Error{Code::io, what + ": EIO (stopped here by the test)"};
  return {};
}

std::shared_ptr<SimDisk::Node> SimDisk::find(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : found->second;
}

void SimDisk::set_name(const std::string& path, std::shared_ptr<Node> node) {
  if (node) {
    names_[path] = node;
  } else {
    names_.erase(path);
  }
  changes_.push_back({path, std::move(node)});
}

Result<std::unique_ptr<File>> SimDisk::open(const std::string& given, OpenOptions options) {
  const std::string path = plain(given);
  auto node = find(path);
  if (node && node->is_folder) return Error{Code::invalid, "open " + path + ": is a folder"};
  if (node && options.create && options.exclusive) return Error{Code::already_exists, "open " + path + ": exists"};
  if (!node) {
    const auto parent = find(folder_of(path));
    if (!options.create || !parent || !parent->is_folder) return Error{Code::not_found, "open " + path + ": No such file"};
    if (auto may = changing("open " + path); !may) return may.error();
    node = std::make_shared<Node>();
    node->opened_as = path;
    set_name(path, node);
  }
  auto file = std::make_unique<SimFile>(*this, node, path, options.write);
  if (options.truncate) {
    if (auto done = file->truncate(0); !done) return done.error();
  }
  return std::unique_ptr<File>(std::move(file));
}

Result<FileInfo> SimDisk::info(const std::string& given) {
  const auto node = find(plain(given));
  if (!node) return Error{Code::not_found, "stat " + given + ": No such file"};
  return FileInfo{.size = node->content.size(), .is_folder = node->is_folder, .modified = {}, .device = 1};
}

Result<std::vector<std::string>> SimDisk::list(const std::string& given) {
  const std::string folder = plain(given);
  const auto node = find(folder);
  if (!node || !node->is_folder) return Error{Code::not_found, "list " + folder + ": No such folder"};
  std::vector<std::string> found;
  for (const auto& [path, unused] : names_) {
    if (path != folder && path != "." && folder_of(path) == folder) {
      found.push_back(path.substr(folder == "." ? 0 : join(folder, "").size()));
    }
  }
  return found;
}

Status SimDisk::make_folder(const std::string& given) {
  const std::string path = plain(given);
  if (const auto there = find(path)) {
    if (there->is_folder) return {};
    return Error{Code::already_exists, "make folder " + path + ": is a file"};
  }
  if (!find(folder_of(path))) return Error{Code::not_found, "make folder " + path + ": no parent"};
  if (auto may = changing("make folder " + path); !may) return may;
  auto node = std::make_shared<Node>();
  node->is_folder = true;
  set_name(path, std::move(node));
  return {};
}

Status SimDisk::remove(const std::string& given) {
  const std::string path = plain(given);
  const auto node = find(path);
  if (!node) return Error{Code::not_found, "remove " + path + ": No such file"};
  if (node->is_folder) {
    const auto inside = list(path);
    if (inside && !inside->empty()) return Error{Code::invalid, "remove " + path + ": not empty"};
  }
  if (auto may = changing("remove " + path); !may) return may;
  set_name(path, nullptr);
  return {};
}

namespace {

// `from` becomes `to`; a folder takes along what is in it.
template <typename Names, typename Node>
void move_name(Names& names, const std::string& from, const std::string& to, const Node& node) {
  std::vector<std::pair<std::string, Node>> moved = {{to, node}};
  for (auto it = names.lower_bound(from + "/"); it != names.end() && it->first.starts_with(from + "/");) {
    moved.emplace_back(to + it->first.substr(from.size()), it->second);
    it = names.erase(it);
  }
  names.erase(from);
  for (auto& [path, child] : moved) names[path] = child;
}

}  // namespace

Status SimDisk::rename(const std::string& given_from, const std::string& given_to) {
  const std::string from = plain(given_from);
  const std::string to = plain(given_to);
  const auto node = find(from);
  if (!node) return Error{Code::not_found, "rename " + from + ": No such file"};
  if (auto may = changing("rename " + from); !may) return may;
  // One change of the journal, so that no crash sees neither name or both, nor half of a folder.
  move_name(names_, from, to, node);
  changes_.push_back({from + '\0' + to, node});
  return {};
}

Status SimDisk::sync_dir(const std::string& given) {
  const std::string folder = plain(given);
  if (!find(folder)) return Error{Code::not_found, "sync " + folder + ": No such folder"};
  if (auto may = changing("sync " + folder); !may) return may;
  // The journal is one: syncing a folder brings everything before it along.
  const auto all = changes_.size();
  for (std::size_t i = 0; i < all; ++i) {
    const auto& change = changes_[i];
    const auto split = change.path.find('\0');
    if (split != std::string::npos) {
      move_name(durable_, change.path.substr(0, split), change.path.substr(split + 1), change.node);
    } else if (change.node) {
      durable_[change.path] = change.node;
    } else {
      durable_.erase(change.path);
    }
  }
  changes_.clear();
  return {};
}

Result<Space> SimDisk::space(const std::string&) {
  const std::uint64_t taken = used();
  return Space{.total = faults_.capacity, .free = faults_.capacity > taken ? faults_.capacity - taken : 0};
}

Result<std::unique_ptr<FolderLock>> SimDisk::lock(const std::string& given) {
  const std::string path = plain(given);
  auto file = open(path, {.write = true, .create = true});
  if (!file) return file.error();
  if (const auto held = locks_.find(path); held != locks_.end() && held->second == epoch_) {
    return Error{Code::busy, path + ": another process holds this folder"};
  }
  locks_[path] = epoch_;
  return std::unique_ptr<FolderLock>(std::make_unique<SimLock>(*this, path));
}

std::uint64_t SimDisk::used() const {
  std::uint64_t sum = 0;
  for (const auto& [path, node] : names_) {
    if (!node->is_folder) sum += std::max<std::uint64_t>(node->content.size(), node->reserved);
  }
  return sum;
}

namespace {

template <typename Nodes>
auto each_once(const Nodes& nodes) {
  std::vector<typename Nodes::mapped_type> out;
  std::set<const void*> seen;
  for (const auto& [path, node] : nodes) {
    if (seen.insert(node.get()).second) out.push_back(node);
  }
  return out;
}

}  // namespace

std::vector<SimDisk::Pending> SimDisk::pending() const {
  std::vector<Pending> out;
  for (const auto& node : each_once(names_)) {
    for (const auto& write : node->pending) out.push_back({node->opened_as, write.sector, out.size()});
  }
  return out;
}

std::size_t SimDisk::pending_names() const { return changes_.size(); }

void SimDisk::crash() {
  // Most crashes come between quiet moments (all kept or none), the others anywhere.
  const std::uint64_t mood = random_.below(4);
  const std::uint64_t keep_ppm = mood == 0 ? 0 : mood == 1 ? 1'000'000 : random_.below(1'000'001);
  const std::size_t names_kept = mood == 1 ? changes_.size() : random_.below(changes_.size() + 1);
  crash_keeping([&](const Pending&) { return random_.chance(keep_ppm); }, names_kept);
}

void SimDisk::crash_keeping(const std::function<bool(const Pending&)>& keep, std::size_t names_kept) {
  changes_.resize(std::min(names_kept, changes_.size()));
  // Decide in the order pending() lists, before any name is dropped.
  std::uint64_t ordinal = 0;
  for (const auto& node : each_once(names_)) {
    for (auto& write : node->pending) {
      if (!keep({node->opened_as, write.sector, ordinal++})) continue;
      if (write.sector != kLengthChange && random_.chance(faults_.torn_sector_ppm)) {
        // The front of the sector is new, the rest what stood there before.
        const std::size_t torn_at = random_.below(write.bytes.size() + 1);
        const std::uint64_t begin = write.sector * kSectorBytes;
        for (std::size_t i = torn_at; i < write.bytes.size(); ++i) {
          write.bytes[i] = begin + i < node->device.size() ? node->device[begin + i] : '\0';
        }
      }
      put(node->device, write);
    }
    node->pending.clear();
  }
  (void)sync_dir(".");
  if (fail_from_ != UINT64_MAX) {  // sync_dir above was refused: apply the names all the same
    fail_from_ = UINT64_MAX;
    (void)sync_dir(".");
  }
  names_ = durable_;
  after_crash();
}

void SimDisk::after_crash() {
  for (const auto& node : each_once(names_)) {
    node->pending.clear();
    node->content = node->device;
  }
  changes_.clear();
  locks_.clear();
  ++epoch_;
  fail_from_ = UINT64_MAX;
}

void SimDisk::kill_process() {
  locks_.clear();
  ++epoch_;
  fail_from_ = UINT64_MAX;
}

void SimDisk::fail_at(std::uint64_t operations_from_now) { fail_from_ = operations_ + operations_from_now; }
void SimDisk::fail_never() { fail_from_ = UINT64_MAX; }

bool SimDisk::rot(const std::string& path, std::uint64_t byte, unsigned bit) {
  const auto node = find(plain(path));
  if (!node || byte >= node->content.size()) return false;
  node->content[byte] = static_cast<char>(node->content[byte] ^ (1 << bit));
  if (byte < node->device.size()) node->device[byte] = static_cast<char>(node->device[byte] ^ (1 << bit));
  return true;
}

std::unique_ptr<SimDisk> SimDisk::clone(std::uint64_t seed) const {
  auto copy = std::make_unique<SimDisk>(seed, faults_);
  std::map<const Node*, std::shared_ptr<Node>> copies;
  const auto copied = [&](const std::shared_ptr<Node>& node) -> std::shared_ptr<Node> {
    if (!node) return nullptr;
    auto& mine = copies[node.get()];
    if (!mine) mine = std::make_shared<Node>(*node);
    return mine;
  };
  copy->names_.clear();
  copy->durable_.clear();
  for (const auto& [path, node] : names_) copy->names_[path] = copied(node);
  for (const auto& [path, node] : durable_) copy->durable_[path] = copied(node);
  for (const auto& change : changes_) copy->changes_.push_back({change.path, copied(change.node)});
  copy->operations_ = operations_;
  return copy;
}

}  // namespace holdfast::io::sim
