#include "storage/backup/restore.h"

#include <algorithm>

#include "core/topology/registry.h"

namespace holdfast::backup {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool has_image_stem(std::string_view name, std::string_view stem) {
  if (!name.starts_with(stem)) return false;
  const auto rest = name.substr(stem.size());
  return rest.empty() || (rest[0] == '.' && is_number(rest.substr(1)));
}

std::string entries(Index first, Index last) {
  return first == last ? "entry " + text(first) + " is missing"
                       : "entries " + text(first) + " to " + text(last) + " are missing";
}

struct Place {
  const Change* change;
  const SourceLog* log;
};

std::string at(const SourceLog& log, const Fault& fault) {
  return log.name + ": line " + std::to_string(fault.line) + " (byte " + std::to_string(fault.offset) + ", behind entry " +
         text(fault.after) + "): " + fault.text;
}

}  // namespace

bool is_image_name(const std::string& name) {
  return name == "metadata.mfs" || has_image_stem(name, "metadata.mfs.back") || has_image_stem(name, "metadata_ml.mfs.back");
}

bool is_change_log_name(const std::string& name) {
  for (const std::string_view stem : {"changelog.", "changelog_ml.", "changelog_ml_back."}) {
    if (!name.starts_with(stem) || !name.ends_with(".mfs") || name.size() < stem.size() + 4) continue;
    if (is_number(std::string_view(name).substr(stem.size(), name.size() - stem.size() - 4))) return true;
  }
  return false;
}

Result<SourceLog> load_change_log(io::Disk& disk, const std::string& path, std::optional<ClusterId> cluster) {
  const auto text = disk.read_file(path, kChangeLogBytesMax);
  if (!text) return text.error();
  return SourceLog{path.substr(path.rfind('/') + 1), parse_change_log(*text, cluster)};
}

Result<FolderContent> read_folder(io::Disk& disk, const std::string& folder) {
  const auto names = disk.list(folder);
  if (!names) return names.error();
  FolderContent content;
  for (const auto& name : *names) {
    if (!is_image_name(name)) continue;
    auto image = load_image(disk, io::join(folder, name));
    if (!image) {
      content.remarks.push_back(image.error().what() + "; left out");
    } else if (!content.image || is_newer(image->head, content.image->head)) {
      content.image = std::move(*image);
      content.image_name = name;
    }
  }
  std::optional<ClusterId> cluster;
  if (content.image) cluster = content.image->head.cluster;
  for (const auto& name : *names) {
    if (!is_change_log_name(name)) continue;
    auto log = load_change_log(disk, io::join(folder, name), cluster);
    if (log) {
      content.logs.push_back(std::move(*log));
    } else {
      content.remarks.push_back(log.error().what() + "; left out");
    }
  }
  return content;
}

Chain chain_of(ClusterId cluster, raft::LogPosition start, const std::vector<SourceLog>& logs) {
  Chain chain{.reached = start, .highest = start.index};
  std::vector<Place> places;
  std::vector<const SourceLog*> used;
  for (const auto& log : logs) {
    if (log.parsed.head && log.parsed.head->cluster != cluster) {
      chain.remarks.push_back(log.name + ": of another cluster, " + text(log.parsed.head->cluster) + "; left out");
      continue;
    }
    used.push_back(&log);
    if (log.parsed.torn) {
      chain.remarks.push_back(at(log, *log.parsed.torn) + "; all lines before it count");
    }
    for (const auto& change : log.parsed.changes) places.push_back({&change, &log});
  }
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.change->entry.index < b.change->entry.index;
  });
  if (!places.empty()) chain.highest = std::max(chain.highest, places.back().change->entry.index);

  const SourceLog* before = nullptr;  // where the chain's last entry is from
  for (const auto& place : places) {
    const auto& entry = place.change->entry;
    if (entry.index < chain.reached.index) continue;
    if (entry.index == chain.reached.index) {
      const bool same = chain.changes.empty() ? entry.term == start.term
                                              : entry == chain.changes.back()->entry;
      if (same) continue;
      chain.losses.push_back("entry " + text(entry.index) + " is one thing in " +
                             (before != nullptr ? before->name : "the image") + " and another in " + place.log->name +
                             ": they are not of one history");
      if (!chain.changes.empty()) {
        chain.changes.pop_back();
        chain.reached = chain.changes.empty() ? start
                                              : raft::LogPosition{.term = chain.changes.back()->entry.term,
                                                                  .index = chain.changes.back()->entry.index};
      }
      break;
    }
    if (entry.index > chain.reached.index.next()) {
      chain.losses.push_back(entries(chain.reached.index.next(), entry.index.previous()) + ": " +
                             (before != nullptr ? before->name + " goes up to " + text(chain.reached.index)
                                                : "the image goes up to " + text(chain.reached.index)) +
                             ", and " + place.log->name + " goes on with " + text(entry.index));
      break;
    }
    if (entry.term < chain.reached.term) {
      chain.losses.push_back("entry " + text(entry.index) + " in " + place.log->name + " is of term " + text(entry.term) +
                             ", below that of the entry before it: not of one history");
      break;
    }
    chain.changes.push_back(place.change);
    chain.reached = {.term = entry.term, .index = entry.index};
    before = place.log;
  }
  // A damaged line whose entry another file has, or the image, costs nothing. One behind the last that was reached may be the
  // newest of all.
  for (const auto* log : used) {
    for (const auto& fault : log->parsed.faults) {
      const bool costs = fault.after >= chain.reached.index && (fault.line > 1 || !log->parsed.changes.empty());
      (costs ? chain.losses : chain.remarks).push_back(at(*log, fault));
    }
  }
  return chain;
}

Result<Image> apply(const std::optional<Image>& start, ClusterId cluster, const Chain& chain, std::uint32_t feature_level,
                    io::WallTime made) {
  topology::Registry registry(feature_level);
  ImageHead head{.cluster = cluster};
  if (start) {
    head = start->head;
    const topology::Checkpoint checkpoint{.applied = head.last.index, .term = head.last.term, .files = start->files};
    if (auto done = registry.restore(checkpoint); !done) return done.error().at("the image");
  }
  for (const Change* change : chain.changes) {
    const auto& entry = change->entry;
    if (entry.format > kEntryFormat) {
      return Error{Code::unsupported, "entry " + text(entry.index) + " is of format " + std::to_string(entry.format) +
                                          ", which a newer build wrote: use that one"};
    }
    if (entry.kind == EntryKind::command) {
      if (auto done = registry.apply(entry.index, entry.term, bytes_of(entry.data.view())); !done) {
        return done.error().at("entry " + text(entry.index));
      }
    } else if (entry.kind == EntryKind::configuration) {
      auto configuration = raft::decode_configuration(entry.data.view());
      if (!configuration) return configuration.error().at("entry " + text(entry.index));
      head.configuration = std::move(*configuration);
    }
  }
  head.last = chain.reached;
  if (!chain.changes.empty()) head.check = check_of(chain.changes.back()->entry);
  head.made = made;
  head.generation = registry.state().generation;
  head.feature_level = registry.state().feature_level;
  return Image{std::move(head), registry.checkpoint().files};
}

}  // namespace holdfast::backup
