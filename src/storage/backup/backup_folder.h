// BackupFolder: what a metalogger keeps: images and change logs, each in several generations, as plain files.
//
//     metadata_ml.mfs.back, .1, .2 ...            the masters' whole state now and then, the newest without a number
//     changelog_ml.0.mfs, changelog_ml.1.mfs ...  what was committed since, the newest in .0
//     metadata_ml.tmp                             an image on its way
//     before-<generation>-<cluster>/              files of a cluster that another one has succeeded
//
// Whatever happens, no file is removed that is needed to get from the newest image to the last entry, and none because of
// what somebody said: only because there are enough newer ones (spec/moosefs-ha 15, number 2).
//
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/disk.h"
#include "storage/backup/change_log.h"
#include "storage/backup/image.h"

namespace holdfast::backup {

class BackupFolder {
 public:
  struct Options {
    std::string folder;
    std::size_t logs_kept = 50;           // change logs, the one being written included
    std::size_t images_kept = 3;          // older images, besides the newest
  };

  // Makes the folder when missing and finds out how far its files go without a gap. A torn last line is cut off: it is asked
  // for again. What else is wrong is in remarks(); the files stay as they are.
  static Result<std::unique_ptr<BackupFolder>> open(io::Disk& disk, Options options);

  [[nodiscard]] const std::vector<std::string>& remarks() const { return remarks_; }

  // Whose state this is; empty while there is nothing.
  [[nodiscard]] ClusterId cluster() const { return cluster_; }
  [[nodiscard]] Generation generation() const { return generation_; }
  // The newest image and the last entry behind it; all on disk. Index 0: nothing.
  [[nodiscard]] const std::optional<ImageHead>& image() const { return image_; }
  [[nodiscard]] raft::LogPosition position() const { return position_; }

  // check_of() the entry at position(); 0: not known.
  [[nodiscard]] std::uint32_t check() const { return check_; }

  // The entries right behind position(); on disk when this returns. After an error none of them counts, and the next call
  // goes on in a file of its own.
  Status append(const std::vector<Change>& changes, Generation generation);

  // Takes an image, checked; the logs go on behind it. It is of the same cluster, or the folder is empty; it is not older
  // than the newest one here. position() moves up to it when it is behind: what lies between is then in no change log.
  Status take_image(std::string_view bytes);

  // The next change begins a new file. Nothing, when the one being written has none yet.
  Status rotate();

  // All files go into a folder of their own, and this one is empty: another cluster has taken the old one's place. Answers
  // the name of that folder.
  Result<std::string> set_aside();

 private:
  BackupFolder(io::Disk& disk, Options options) : disk_(disk), options_(std::move(options)) {}
  Status read();
  std::string log_name(std::size_t number) const;
  std::string path(const std::string& name) const { return io::join(options_.folder, name); }
  Status begin_log();
  Status shift_logs();

  io::Disk& disk_;
  const Options options_;
  std::vector<std::string> remarks_;
  ClusterId cluster_;
  Generation generation_;
  std::optional<ImageHead> image_;
  raft::LogPosition position_;
  std::uint32_t check_ = 0;
  std::vector<Index> last_of_;          // the last entry of changelog_ml.<number>.mfs; of a gap in the numbers 0
  std::unique_ptr<io::File> log_;       // changelog_ml.0.mfs, while it is being written
  std::uint64_t log_bytes_ = 0;
  bool log_is_empty_ = false;           // has no change yet
};

}  // namespace holdfast::backup
