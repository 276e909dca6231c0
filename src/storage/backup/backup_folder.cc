#include "storage/backup/backup_folder.h"

#include <algorithm>

#include "base/check.h"
#include "storage/backup/restore.h"

namespace holdfast::backup {
namespace {

constexpr const char* kImageName = "metadata_ml.mfs.back";
constexpr const char* kTemporary = "metadata_ml.tmp";
constexpr const char* kLogStem = "changelog_ml.";
constexpr std::size_t kLogNumberMax = 20'000;  // twice the most that may be kept

// 0 for changelog_ml.0.mfs; empty for any other kind of name.
std::optional<std::size_t> log_number(const std::string& name) {
  if (!is_change_log_name(name) || !name.starts_with(kLogStem)) return std::nullopt;
  std::size_t number = 0;
  for (std::size_t at = std::string_view(kLogStem).size(); name[at] != '.'; ++at) number = number * 10 + static_cast<std::size_t>(name[at] - '0');
  return number;
}

}  // namespace

std::string BackupFolder::log_name(std::size_t number) const { return kLogStem + std::to_string(number) + ".mfs"; }

Result<std::unique_ptr<BackupFolder>> BackupFolder::open(io::Disk& disk, Options options) {
  if (auto done = disk.make_folders(options.folder); !done) return done.error();
  std::unique_ptr<BackupFolder> folder(new BackupFolder(disk, std::move(options)));
  if (auto done = folder->read(); !done) return done.error();
  return folder;
}

Status BackupFolder::read() {
  auto content = read_folder(disk_, options_.folder);
  if (!content) return content.error();
  remarks_ = content->remarks;
  // Of two clusters the one with the newest image counts; without an image that of the newest log.
  if (content->image) {
    image_ = content->image->head;
    cluster_ = image_->cluster;
    generation_ = image_->generation;
    position_ = image_->last;
    check_ = image_->check;
  }
  for (const auto& log : content->logs) {
    const auto number = log_number(log.name);
    if (!number || *number > kLogNumberMax) continue;
    if (last_of_.size() <= *number) last_of_.resize(*number + 1);
    const auto& changes = log.parsed.changes;
    last_of_[*number] = changes.empty() ? (log.parsed.head ? log.parsed.head->after.index : Index()) : changes.back().entry.index;
    if (*number == 0 && cluster_.value().empty() && log.parsed.head) {
      cluster_ = log.parsed.head->cluster;
      generation_ = log.parsed.head->generation;
    }
  }
  const auto chain = chain_of(cluster_, position_, content->logs);
  remarks_.insert(remarks_.end(), chain.remarks.begin(), chain.remarks.end());
  remarks_.insert(remarks_.end(), chain.losses.begin(), chain.losses.end());
  position_ = chain.reached;
  for (const auto& log : content->logs) {
    if (log.parsed.head && log.parsed.head->cluster != cluster_) continue;
    for (const auto& change : log.parsed.changes) {
      if (change.entry.index == position_.index && change.entry.term == position_.term) check_ = check_of(change.entry);
    }
  }

  // The newest log goes on if it ends where the chain does and is whole up to there.
  for (const auto& log : content->logs) {
    if (log.name != log_name(0) || !log.parsed.head || log.parsed.head->cluster != cluster_) continue;
    const auto& parsed = log.parsed;
    const raft::LogPosition end = parsed.changes.empty() ? parsed.head->after
                                                         : raft::LogPosition{.term = parsed.changes.back().entry.term,
                                                                             .index = parsed.changes.back().entry.index};
    generation_ = std::max(generation_, parsed.head->generation);
    if (end != position_ || !parsed.faults.empty()) break;
    auto file = disk_.open(path(log.name), {.write = true});
    if (!file) return file.error();
    if (parsed.torn) {
      if (auto done = (*file)->truncate(parsed.whole); !done) return done;
      if (auto done = (*file)->sync(); !done) return done;
    }
    log_ = std::move(*file);
    log_bytes_ = parsed.whole;
    log_is_empty_ = parsed.changes.empty();
  }
  return {};
}

// Each log becomes the next older one; those that are too many and not needed go.
Status BackupFolder::shift_logs() {
  const Index needed = image_ ? image_->last.index : Index();  // logs that end there, or before, are in the image
  for (std::size_t number = last_of_.size(); number-- > 0;) {
    const auto name = path(log_name(number));
    if (!disk_.info(name).ok()) continue;
    if (number + 1 >= options_.logs_kept && image_ && last_of_[number] <= needed) {
      if (auto done = disk_.remove(name); !done) return done;
    } else if (auto done = disk_.rename(name, path(log_name(number + 1))); !done) {
      return done;
    }
  }
  last_of_.insert(last_of_.begin(), Index());
  while (last_of_.size() > 1 && !disk_.info(path(log_name(last_of_.size() - 1))).ok()) last_of_.pop_back();
  return {};
}

Status BackupFolder::begin_log() {
  if (disk_.info(path(log_name(0))).ok()) {
    if (auto done = shift_logs(); !done) return done;
  }
  auto file = disk_.open(path(log_name(0)), {.write = true, .create = true, .truncate = true});
  if (!file) return file.error();
  const auto head = encode(ChangeLogHead{cluster_, generation_, position_});
  if (auto done = (*file)->write(0, bytes_of(head)); !done) return done;
  if (auto done = (*file)->sync(); !done) return done;
  if (auto done = disk_.sync_dir(options_.folder); !done) return done;
  if (last_of_.empty()) last_of_.resize(1);
  last_of_[0] = position_.index;
  log_ = std::move(*file);
  log_bytes_ = head.size();
  log_is_empty_ = true;
  return {};
}

Status BackupFolder::append(const std::vector<Change>& changes, Generation generation) {
  if (changes.empty()) return {};
  CHECK(!cluster_.value().empty());
  generation_ = generation;
  if (!log_) {
    if (auto done = begin_log(); !done) return done;
  }
  std::string lines;
  auto end = position_;
  for (const auto& change : changes) {
    CHECK(change.entry.index == end.index.next());
    lines += encode(cluster_, change);
    end = {.term = change.entry.term, .index = change.entry.index};
  }
  Status done = log_->write(log_bytes_, bytes_of(lines));
  if (done) done = log_->sync();
  if (!done) {
    // Nobody knows what of it is on disk; whole lines there may be, and are the same ones again in the next file.
    log_.reset();
    return done;
  }
  log_bytes_ += lines.size();
  log_is_empty_ = false;
  position_ = end;
  check_ = check_of(changes.back().entry);
  last_of_[0] = end.index;
  return {};
}

Status BackupFolder::take_image(std::string_view bytes) {
  auto image = decode_image(bytes_of(bytes));
  if (!image) return image.error();
  const auto& head = image->head;
  if (!cluster_.value().empty() && head.cluster != cluster_) {
    return Error{Code::refused, "an image of another cluster, " + text(head.cluster)};
  }
  if (image_ && is_newer(*image_, head)) {
    return Error{Code::stale, "an image of before: " + text(head) + "; there is one of " + text(*image_)};
  }
  if (auto done = store_image(disk_, options_.folder, kImageName, kTemporary, bytes, options_.images_kept); !done) {
    return done;
  }
  cluster_ = head.cluster;
  generation_ = std::max(generation_, head.generation);
  image_ = head;
  if (position_.index < head.last.index) {
    position_ = head.last;
    check_ = head.check;
    log_.reset();  // what comes does not follow its last line
    return {};
  }
  return rotate();
}

Status BackupFolder::rotate() {
  if (log_ && log_is_empty_) return {};
  log_.reset();
  return {};
}

Result<std::string> BackupFolder::set_aside() {
  log_.reset();
  const std::string stem = "before-" + text(generation_) + "-" + text(cluster_).substr(0, 8);
  std::string aside = stem;
  for (int number = 2; disk_.info(path(aside)).ok(); ++number) aside = stem + "." + std::to_string(number);
  if (auto done = disk_.make_folder(path(aside)); !done) return done.error();
  const auto names = disk_.list(options_.folder);
  if (!names) return names.error();
  for (const auto& name : *names) {
    if (!is_image_name(name) && !is_change_log_name(name)) continue;
    if (auto done = disk_.rename(path(name), io::join(path(aside), name)); !done) return done.error();
  }
  for (const auto& place : {path(aside), options_.folder}) {
    if (auto done = disk_.sync_dir(place); !done) return done.error();
  }
  cluster_ = {};
  generation_ = {};
  image_.reset();
  position_ = {};
  check_ = 0;
  last_of_.clear();
  return aside;
}

}  // namespace holdfast::backup
