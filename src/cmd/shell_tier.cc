// Commands that bring volumes to disks of another type.
#include <fmt/format.h>

#include <algorithm>

#include "cmd/client_tools.h"
#include "cmd/shell_commands.h"
#include "cmd/volume_transfer.h"
#include "core/topology/report.h"
#include "core/topology/tier_plan.h"

namespace holdfast::cmd {
namespace {

using enum FlagType;
using topology::Picture;
using topology::TierMove;
namespace pb = volume_server_pb;

// ---- volume.tier.move

void declare_move(FlagSet& flags) {
  flags.add({"fromDiskType", string, "hdd", "from disks of this type"});
  flags.add({"toDiskType", string, "", "to disks of this type"});
  declare_full_and_quiet(flags);
  flags.add({"toReplication", string, "", "with another placement `xyz` there; empty: as they are"});
  flags.add({"ioBytePerSecond", integer, "0", "no faster than so many bytes per second; 0: as the targets are set"});
  declare_apply(flags);
  flags.add({"parallelLimit", integer, "0", "volumes at the same time", Support::inert});
}

// One volume. It stands still meanwhile and is read all the time. Its copies are held against each other first, since the new
// ones are all made from one.
class TierMoving {
 public:
  TierMoving(Shell& shell, const Picture& picture, const TierMove& move, TransferOptions options)
      : shell_(shell), picture_(picture), move_(move), options_(std::move(options)), freeze_(shell, move.volume) {}

  Status run() {
    for (const auto& id : move_.holders) present_.push_back(picture_.find(id));
    if (auto frozen = freeze_.take(present_); !frozen) return frozen;
    if (auto equal = check_equal(shell_, move_.volume, present_); !equal) return equal;
    auto done = make_copies();
    if (done) done = configure();
    if (!done) {
      take_back();
      return done;
    }
    for (const auto& id : move_.holders) {
      if (is_final(id) || !is_present(id)) continue;
      if (auto gone = drop(id); !gone) return gone;
    }
    auto thawed = freeze_.thaw();
    shell_.wait_until([&](const Picture& now) {
      const auto holders = now.holders(move_.volume);
      return holders.size() == present_.size() && std::all_of(holders.begin(), holders.end(), [&](const auto* holder) {
               return topology::disk_type_name(holder->find(move_.volume)->disk_type) == options_.disk_type;
             });
    });
    return thawed;
  }

 private:
  bool is_present(const std::string& id) const {
    return std::any_of(present_.begin(), present_.end(), [&](const auto* server) { return server->id == id; });
  }
  static bool is_in(const std::vector<std::string>& list, const std::string& id) {
    return std::find(list.begin(), list.end(), id) != list.end();
  }
  bool is_final(const std::string& id) const { return is_in(move_.stay, id) || is_in(move_.targets, id); }

  Status make_copies() {
    for (const auto& id : move_.targets) {
      if (auto locked = shell_.locked(); !locked) return locked;
      if (is_present(id)) {
        if (auto gone = drop(id); !gone) return gone;
      }
      const auto& source = *present_.back();
      Shell::say("volume {}: copy from {} to {}", move_.volume.value(), source.id, id);
      const auto* target = picture_.find(id);
      if (auto copied = copy_frozen(shell_, move_.volume, source, *target, options_); !copied) return copied;
      freeze_.add(*target);
      present_.push_back(target);
      made_.push_back(target);
    }
    return shell_.locked();
  }

  Status configure() {
    const bool changes = std::any_of(move_.holders.begin(), move_.holders.end(), [&](const auto& id) {
      return picture_.find(id)->find(move_.volume)->replica_placement != move_.placement;
    });
    for (const auto* server : present_) {
      if (!changes || !is_final(server->id)) continue;
      pb::VolumeConfigureRequest request;
      request.set_volume_id(move_.volume.value());
      request.set_replication(text(move_.placement));
      const auto done = shell_.servers.call(server->address.grpc(), request);
      if (!done) return done.error();
      if (!done->error().empty()) return Error(Code::internal, server->id + ": " + done->error());
    }
    return {};
  }

  Status drop(const std::string& id) {
    const auto* server = picture_.find(id);
    if (auto gone = delete_copy(shell_, move_.volume, *server); !gone) {
      const auto there = holds(shell_, move_.volume, *server);
      if (there && *there) return gone;
      freeze_.leave();
      return gone.error().at(fmt::format("whether volume {} is still at {} cannot be told; all its copies stay read-only until "
                                         "that is known (volume.mark -writable)", move_.volume.value(), id));
    }
    is_dropped_ = true;
    freeze_.forget(*server);
    std::erase(present_, server);
    return {};
  }

  // While all old copies are there the new ones go, and all is as before.
  void take_back() {
    if (is_dropped_) {
      Shell::say("volume {}: some of its copies are moved; the same command goes on from there", move_.volume.value());
      return;
    }
    for (const auto* server : made_) {
      if (auto gone = delete_copy(shell_, move_.volume, *server); !gone) {
        Shell::say("volume {}: the copy at {} could not be taken back: {}", move_.volume.value(), server->id, gone.error().what());
      } else {
        freeze_.forget(*server);
      }
    }
  }

  Shell& shell_;
  const Picture& picture_;
  const TierMove& move_;
  const TransferOptions options_;
  Freeze freeze_;
  Servers present_;  // copies that are there now; a new one comes last
  Servers made_;
  bool is_dropped_ = false;
};

std::string places_text(const TierMove& move) {
  std::string out = fmt::format("from {} to {}", fmt::join(move.holders, ", "), fmt::join(move.targets, ", "));
  if (!move.stay.empty()) out += fmt::format(", beside {}", fmt::join(move.stay, ", "));
  return out;
}

std::string volumes_text(const std::vector<VolumeId>& volumes) {
  std::vector<std::uint32_t> ids;
  for (const auto volume : volumes) ids.push_back(volume.value());
  return fmt::format("{}", fmt::join(ids, " "));
}

// What the plan was made of may be long past.
Status move_one(Shell& shell, const TierMove& move, const TransferOptions& options) {
  if (auto locked = shell.locked(); !locked) return locked;
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  std::vector<std::string> holders;
  for (const auto* holder : picture->holders(move.volume)) holders.push_back(holder->id);
  if (holders != move.holders) return Error(Code::stale, "its copies are not where they were: try again");
  for (const auto& id : move.targets) {
    const auto* target = picture->find(id);
    if (target == nullptr) return Error(Code::stale, id + " is gone: try again");
    if (auto may = may_take(*target, topology::canonical_disk_type(options.disk_type)); !may) return may;
  }
  return TierMoving(shell, *picture, move, options).run();
}

Status tier_move(Shell& shell, const FlagSet& flags) {
  topology::TierWish wish{.from = topology::canonical_disk_type(flags.string("fromDiskType")),
                          .to = topology::canonical_disk_type(flags.string("toDiskType"))};
  if (flags.string("toDiskType").empty()) return Error(Code::invalid, "-toDiskType must say which disks, as ssd");
  if (wish.from == wish.to) return Error(Code::invalid, "-fromDiskType and -toDiskType are the same");
  if (!flags.string("toReplication").empty()) {
    const auto placement = ReplicaPlacement::parse(flags.string("toReplication"));
    if (!placement) return placement.error().at("-toReplication");
    wish.placement = *placement;
  }
  const auto picture = shell.picture();
  if (!picture) return picture.error();
  if (std::none_of(picture->servers.begin(), picture->servers.end(), [&](const auto& s) { return s.disks.contains(wish.to); })) {
    return Error(Code::not_found, fmt::format("no volume server has disks of type {}: start one with -disk={}",
                                              topology::disk_type_name(wish.to), topology::disk_type_name(wish.to)));
  }
  wish.wanted = [chosen = full_and_quiet(flags, picture->volume_size_limit)](const VolumeInfo& volume) {
    return !volume.is_remote() && chosen(volume);
  };
  const auto plan = topology::plan_tier(*picture, wish);
  for (const auto& move : plan.moves) {
    Shell::say("volume {}{}: {}, {} each", move.volume.value(), move.collection.empty() ? "" : " of collection " + move.collection,
               places_text(move), human_bytes(move.bytes));
  }
  if (plan.moves.empty()) Shell::say("nothing to move");
  const TransferOptions options{.disk_type = topology::disk_type_name(wish.to),  // "" would be as at the source
                                .bytes_per_second = flags.integer("ioBytePerSecond")};
  std::size_t failed = 0;
  for (const auto& move : plan.moves) {
    if (!applies(flags)) continue;
    const auto moved = move_one(shell, move, options);
    if (!moved) ++failed;
    Shell::say("volume {}: {}", move.volume.value(), moved ? "moved" : "was not moved: " + moved.error().what());
    if (auto locked = shell.locked(); !locked) return locked;
  }
  if (!plan.short_of.empty()) {
    Shell::say("volumes {} lack copies and stay: volume.fix.replication makes them", volumes_text(plan.short_of));
  }
  if (failed > 0) return Error(Code::unavailable, fmt::format("{} of {} volumes were not moved", failed, plan.moves.size()));
  if (!plan.stuck.empty()) {
    return Error(Code::no_space, fmt::format("volumes {} stay: there is no place on {} for all their copies; add slots or servers",
                                             volumes_text(plan.stuck), topology::disk_type_name(wish.to)));
  }
  return {};
}

constexpr ShellCommand kCommands[] = {
    {"volume.tier.move",
     "moves volumes that are full and quiet to disks of another type, as from hdd to ssd. All copies go, and stand as the\n"
     "  placement asks; files can be read all the time.",
     declare_move, tier_move, true},
};

}  // namespace

std::span<const ShellCommand> tier_commands() { return kCommands; }

}  // namespace holdfast::cmd
