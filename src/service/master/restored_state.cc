#include "service/master/restored_state.h"

#include <algorithm>
#include <set>

#include "api/raft.pb.h"
#include "base/crc32c.h"
#include "service/master/peer_calls.h"
#include "service/master/successor.h"
#include "storage/backup/image.h"

namespace holdfast::master {
namespace {

constexpr const char* kImage = "metadata.mfs";
constexpr const char* kKeptImage = "metadata.mfs.back";
constexpr const char* kOrigin = "restored-from";  // in the member's folder: which file it was made of
constexpr std::size_t kImagesKept = 1;

std::string mark_of(const backup::ImageHead& head, std::string_view bytes) {
  std::string check;
  append_be(check, crc32c(bytes_of(bytes)));
  return backup::text(head) + ", checksum " + hex(bytes_of(check)) + "\n";
}

// Why the image's cluster must not be succeeded, or "". Its members are asked whether they live.
std::string objection(const backup::Image& image, const std::string& self, const std::string& secret, io::Clock& clock) {
  std::set<std::string> places;
  for (const auto& member : image.head.configuration.members()) {
    if (!member.address.empty() && member.address != self) places.insert(member.address);
  }
  if (places.empty()) return "";
  RaftGreeting greeting;  // says nothing of itself: a caller that belongs to nothing
  greeting.set_format(1);
  greeting.set_phase(RAFT_PHASE_UNKNOWN);
  for (const auto& [place, answer] : ask_masters(secret, places, greeting, clock)) {
    if (answer.node().empty() && !answer.refusal().empty()) {
      return "the master at " + place + " is alive and refuses to say what it belongs to: " + answer.refusal();
    }
    if (ClusterId(uuid_of(answer.cluster())) == image.head.cluster) {
      return "the master at " + place + " of its cluster is alive and has more than any copy: start the others of that "
             "cluster, or go on with that one alone by `recover`. If it is to be given up, stop it first";
    }
    for (const auto& id : answer.superseded()) {
      if (ClusterId(uuid_of(id)) == image.head.cluster) {
        return "the master at " + place + " belongs to a cluster that has taken the place of the image's already; there must be "
               "one only. Move metadata.mfs elsewhere and start this master with -peers=" + place;
      }
    }
  }
  return "";
}

}  // namespace

Result<std::string> take_restored_state(const RuntimeConfig& config, io::Disk& disk, io::Clock& clock, io::Random& random) {
  const auto path = io::join(config.folder, kImage);
  if (!disk.info(path).ok()) return std::string();
  const auto bytes = disk.read_file(path, backup::kImageBytesMax);
  if (!bytes) return bytes.error();
  auto image = backup::decode_image(bytes_of(*bytes));
  if (!image) {
    return Error{image.error().code(), path + ": " + image.error().what() +
                                           ". Restore it anew with mfsmetarestore, or move it elsewhere"};
  }
  const auto mark = mark_of(image->head, *bytes);
  const auto put_away = [&]() -> Status {
    if (auto done = backup::shift_images(disk, config.folder, kKeptImage, kImagesKept); !done) return done;
    if (auto done = disk.rename(path, io::join(config.folder, kKeptImage)); !done) return done;
    return disk.sync_dir(config.folder);
  };
  const auto member = "m" + std::to_string(config.self.port);
  const auto folder = io::join(config.folder, member);
  if (disk.info(io::join(folder, "identity.json")).ok()) {
    if (const auto origin = disk.read_file(io::join(folder, kOrigin), 4096); origin && *origin == mark) {
      if (auto done = put_away(); !done) return done.error();
      return std::string();
    }
    return Error{Code::already_exists, path + " is a restored state, and " + folder + " holds another one: only one can go on. "
                                           "Move the one elsewhere that is not meant (a member whose folder is gone joins the "
                                           "other masters by itself)"};
  }
  if (const auto why = objection(*image, text(config.self), config.cluster_secret, clock); !why.empty()) {
    return Error{Code::refused, path + " (" + backup::text(image->head) + ") is not taken: " + why};
  }
  topology::Registry state(config.feature_level);
  const auto& head = image->head;
  if (auto done = state.restore({.applied = head.last.index, .term = head.last.term, .files = std::move(image->files)}); !done) {
    return done.error().at(path);
  }
  const auto staged = folder + ".restoring";
  if (auto done = disk.remove_all(staged); !done) return done.error();
  if (auto done = disk.make_folders(staged); !done) return done.error();
  const Predecessor predecessor{.cluster = head.cluster, .last = head.last, .term = head.last.term,
                                .configuration = head.configuration};
  const auto identity = make_successor(disk, random, staged, text(config.self), predecessor, state, config.segment_bytes);
  if (!identity) return identity.error().at(path);
  if (auto done = disk.replace_file(io::join(staged, kOrigin), mark); !done) return done.error();
  if (auto done = storage::store_identity(disk, io::join(staged, "identity.json"), *identity); !done) return done.error();
  // What may lie there holds nothing: a start that never came to a cluster has at most a lock.
  if (disk.info(io::join(folder, "vote")).ok()) {
    return Error{Code::corrupt, folder + " holds a vote without an identity: move it elsewhere"};
  }
  if (auto done = disk.remove_all(folder); !done) return done.error();
  if (auto done = disk.rename(staged, folder); !done) return done.error();
  if (auto done = disk.sync_dir(config.folder); !done) return done.error();
  if (auto done = put_away(); !done) return done.error();
  return "goes on from the restored state (" + backup::text(head) + ") as a new cluster, " + holdfast::text(identity->cluster) +
         ", generation " + holdfast::text(state.state().generation) + "; what was agreed on behind that entry is lost";
}

}  // namespace holdfast::master
