// `metarestore`, also called as mfsmetarestore: images and change logs become a state that a master can start on
// (docs/backups.md). Works on files only; no master needs to run.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <set>

#include "cmd/command.h"
#include "cmd/dump.h"
#include "cmd/mfs/lock_file.h"
#include "cmd/paths.h"
#include "cmd/plan.h"
#include "cmd/world.h"
#include "core/topology/registry.h"
#include "storage/backup/restore.h"

namespace holdfast::cmd {
namespace {

using namespace backup;

constexpr int kDone = 0;
constexpr int kNo = 1;  // damaged, incomplete, refused
constexpr const char* kResult = "metadata.mfs";
constexpr const char* kResultTemporary = "metadata.mfs.tmp";
constexpr std::size_t kResultsKept = 1;

void put(FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

int fail(const std::string& text) {
  put(stderr, fmt::format("metarestore: {}\n", text));
  return kNo;
}

// Everything there is to restore from.
struct Material {
  std::optional<Image> image;
  std::string image_name;
  ClusterId cluster;
  std::vector<SourceLog> logs;
  std::vector<std::string> remarks;
};

// -a: the newest whole image of the folder and all change logs in it.
Result<Material> from_folder(io::Disk& disk, const std::string& folder) {
  auto content = read_folder(disk, folder);
  if (!content) return content.error();
  Material material{.image = std::move(content->image),
                    .image_name = std::move(content->image_name),
                    .logs = std::move(content->logs),
                    .remarks = std::move(content->remarks)};
  if (!material.image && material.logs.empty()) {
    return Error{Code::not_found, folder + ": no image (metadata*) and no change log (changelog*) is there" +
                                      (material.remarks.empty() ? "" : ": " + material.remarks.front())};
  }
  return material;
}

// -m: this image, and these change logs.
Result<Material> from_names(io::Disk& disk, const std::string& image, const std::vector<std::string>& names) {
  Material material;
  if (!image.empty()) {
    auto loaded = load_image(disk, expand_home(image));
    if (!loaded) return loaded.error();
    material.image = std::move(*loaded);
    material.image_name = image;
  }
  std::optional<ClusterId> cluster;
  if (material.image) cluster = material.image->head.cluster;
  for (const auto& name : names) {
    auto log = load_change_log(disk, expand_home(name), cluster);
    if (!log) return log.error();
    material.logs.push_back(std::move(*log));
  }
  return material;
}

// Without an image the logs say whose they are, and must begin with the beginning.
Status settle_cluster(Material* material) {
  if (material->image) {
    material->cluster = material->image->head.cluster;
    return {};
  }
  std::set<ClusterId> clusters;
  for (const auto& log : material->logs) {
    if (log.parsed.head) clusters.insert(log.parsed.head->cluster);
  }
  if (clusters.empty()) return Error{Code::not_found, "there is no image, and no change log that can be read"};
  if (clusters.size() > 1) return Error{Code::invalid, "there is no image, and the change logs are of more than one cluster"};
  material->cluster = *clusters.begin();
  return {};
}

std::string of_log(const SourceLog& log) {
  const auto& changes = log.parsed.changes;
  if (changes.empty()) return log.name + ": no entries";
  return fmt::format("{}: entries {} to {}", log.name, text(changes.front().entry.index), text(changes.back().entry.index));
}

std::string of_state(const Image& image) {
  topology::Registry state(feature_level());
  const auto& head = image.head;
  if (!state.restore({.applied = head.last.index, .term = head.last.term, .files = image.files})) return "";
  std::string members;
  for (const auto& member : head.configuration.members()) members += " " + member.address + (member.voter ? "" : " (learns)");
  return fmt::format("  holds    volume ids up to {}, file keys below {}, {} folders of volume servers, {} keys of the key-value "
                     "space\n  members {}\n",
                     text(state.state().max_volume_id), text(state.state().next_key), state.state().dirs->size(),
                     state.kv().keys(), members);
}

std::string report_of(const Material& material, const Chain& chain) {
  std::string out = material.image ? fmt::format("  image    {}: {}\n", material.image_name, text(material.image->head))
                                   : fmt::format("  image    none: from the first entry on, cluster {}\n", text(material.cluster));
  for (const auto& log : material.logs) out += "  log      " + of_log(log) + "\n";
  for (const auto& remark : material.remarks) out += "  note     " + remark + "\n";
  for (const auto& remark : chain.remarks) out += "  note     " + remark + "\n";
  out += fmt::format("  reached  entry {} of term {}\n", text(chain.reached.index), text(chain.reached.term));
  return out;
}

int dump(const Material& material, const Chain& chain) {
  if (material.image) put(stdout, dump_of(*material.image));
  for (const auto& log : material.logs) {
    for (const auto& change : log.parsed.changes) put(stdout, dump_of(log.name, change));
  }
  for (const auto& loss : chain.losses) put(stderr, loss + "\n");
  return chain.losses.empty() ? kDone : kNo;
}

// A master that serves from this folder must not find another state in it.
Status refuse_running(const std::string& folder) {
  mfs::LockFile lock(io::join(folder, ".mfsmaster.lock"));
  const auto owner = lock.owner();
  if (owner && owner->has_value()) {
    return Error{Code::busy, fmt::format("mfsmaster runs in {} (process {}): stop it first, or give another folder by -d",
                                         folder, **owner)};
  }
  return {};
}

}  // namespace

int run_metarestore(const Call& call) {
  const auto& flags = call.flags;
  const bool is_automatic = flags.boolean("a");
  const std::string image = flags.string("m");
  const std::string output = expand_home(flags.string("o"));
  const bool only_looks = flags.boolean("verify") || flags.boolean("dump") || (!is_automatic && output.empty());
  if (is_automatic ? !image.empty() || !call.arguments.empty() : image.empty() && call.arguments.empty()) {
    put(stderr, "metarestore: either -a, for all that is in a folder, or -m with an image and the change logs as arguments\n");
    return kFailed;
  }
  World world(1);
  const std::string folder = expand_home(flags.string("d"));
  if (is_automatic && !only_looks && output.empty()) {
    if (const auto done = refuse_running(folder); !done) return fail(done.error().what());
  }
  auto material = is_automatic ? from_folder(world.disk, folder) : from_names(world.disk, image, call.arguments);
  if (!material) return fail(material.error().what());
  if (const auto done = settle_cluster(&*material); !done) return fail(done.error().what());
  const auto start = material->image ? material->image->head.last : raft::LogPosition();
  const auto chain = chain_of(material->cluster, start, material->logs);
  if (flags.boolean("dump") || (!is_automatic && output.empty() && !flags.boolean("verify"))) return dump(*material, chain);

  put(stdout, report_of(*material, chain));
  for (const auto& loss : chain.losses) put(stderr, fmt::format("  missing  {}\n", loss));
  const auto restored = apply(material->image, material->cluster, chain, feature_level(), world.clock.wall());
  if (!restored) return fail(restored.error().what());
  put(stdout, of_state(*restored));
  if (flags.boolean("verify")) return chain.losses.empty() ? kDone : kNo;
  if (!chain.losses.empty() && !flags.boolean("b") && !flags.boolean("i")) {
    return fail(fmt::format("nothing is written, since entries are missing: add the files that have them, or take the state at "
                            "entry {} with -b", text(chain.reached.index)));
  }
  const auto bytes = encode(*restored);
  std::string place = output;
  Status done;
  if (output.empty()) {
    place = io::join(folder, kResult);
    done = store_image(world.disk, folder, kResult, kResultTemporary, bytes, kResultsKept);
  } else {
    done = world.disk.replace_file(output, bytes);
  }
  if (!done) return fail(done.error().what());
  put(stdout, fmt::format("written    {}: {}\n", place, text(restored->head)));
  return kDone;
}

}  // namespace holdfast::cmd
