#include "cmd/volume_transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "client/volume_source.h"
#include "cmd/client_tools.h"
#include "cmd/in_parallel.h"
#include "core/topology/report.h"
#include "core/volume/index_row.h"

namespace holdfast::cmd {
namespace {

namespace pb = volume_server_pb;
using topology::Picture;
using topology::PictureServer;

Status mark_read_only(Shell& shell, VolumeId volume, const PictureServer& server, bool on_disk = true) {
  pb::VolumeMarkReadonlyRequest request;
  request.set_volume_id(volume.value());
  request.set_persist(on_disk);
  const auto done = shell.servers.call(server.address.grpc(), request);
  if (!done) return done.error();
  return {};
}

// Of the .vif; nullopt when there is none, or it cannot be read.
std::optional<bool> is_marked(VolumeId volume, const PictureServer& server) {
  std::string text;
  const auto copied = client::VolumeSource::at(server.address)
                          ->copy_file({.volume = volume, .extension = ".vif", .stop_offset = 1 << 20, .ignore_missing = true},
                                      [&](BytesView piece) -> Status {
                                        text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
                                        return {};
                                      });
  boost::json::error_code fault;
  if (!copied || text.empty()) return {};
  const auto json = boost::json::parse(text, fault);
  if (fault || !json.is_object()) return {};
  for (const char* name : {"readOnly", "read_only"}) {
    if (const auto* value = json.as_object().if_contains(name); value != nullptr && value->is_bool()) return value->as_bool();
  }
  return false;
}

Result<pb::ReadVolumeFileStatusResponse> file_status(Shell& shell, VolumeId volume, const PictureServer& server) {
  pb::ReadVolumeFileStatusRequest request;
  request.set_volume_id(volume.value());
  return shell.servers.call(server.address.grpc(), request);
}

}  // namespace

// ---- frozen volumes

Result<Freeze::Before> Freeze::before(const PictureServer& server) {
  pb::VolumeStatusRequest request;
  request.set_volume_id(volume_.value());
  const auto status = shell_.servers.call(server.address.grpc(), request);
  if (!status) return status.error();
  if (!status->is_read_only()) return Before::writable;
  return is_marked(volume_, server).value_or(false) ? Before::marked : Before::hindered;
}

Status Freeze::take(const Servers& holders) {
  for (const auto* server : holders) {
    const auto* copy = server->find(volume_);
    if (copy != nullptr && copy->is_remote()) {
      return Error(Code::refused, fmt::format("volume {} lies in {}, and only {} knows where: bring it back first, with volume.tier.download",
                                              volume_.value(), copy->remote_storage_name, server->id));
    }
  }
  for (const auto* server : holders) {
    const auto state = before(*server);
    if (!state) return state.error();
    if (*state != Before::marked) {
      shell_.note_frozen(server->id, volume_, true);
      before_[server->address.grpc()] = {server->id, *state};
      if (auto marked = mark_read_only(shell_, volume_, *server, on_disk_); !marked) return marked;
    } else {
      before_[server->address.grpc()] = {server->id, *state};
    }
  }
  return {};
}

void Freeze::add(const PictureServer& server) {
  const bool was_marked = std::any_of(before_.begin(), before_.end(), [](const auto& b) { return b.second.second == Before::marked; });
  before_[server.address.grpc()] = {server.id, was_marked ? Before::marked : Before::writable};
  if (!was_marked) shell_.note_frozen(server.id, volume_, true);
}

void Freeze::replaced(const PictureServer& server) {
  const auto copy = before_.find(server.address.grpc());
  if (copy != before_.end() && copy->second.second == Before::hindered) copy->second.second = Before::writable;
}

void Freeze::forget(const PictureServer& server) {
  before_.erase(server.address.grpc());
  shell_.note_frozen(server.id, volume_, false);
}

Status Freeze::thaw() {
  Status first;
  for (const auto& [grpc, state] : std::exchange(before_, {})) {
    const auto& [id, before] = state;
    if (before == Before::hindered) {
      Shell::say("volume {} at {} took no writes before and stays read-only", volume_.value(), id);
    } else if (before == Before::writable) {
      pb::VolumeMarkWritableRequest request;
      request.set_volume_id(volume_.value());
      const auto done = shell_.servers.call(grpc, request);
      if (!done) {
        Shell::say("volume {} at {} stays read-only: {}", volume_.value(), id, done.error().what());
        if (first) first = done.error();
        continue;
      }
    }
    shell_.note_frozen(id, volume_, false);
  }
  return first;
}

// ---- a read-only copy that is to be mended

Result<bool> Opened::is_closed() {
  pb::VolumeStatusRequest request;
  request.set_volume_id(volume_.value());
  const auto status = shell_.servers.call(server_.address.grpc(), request);
  if (!status) return status.error();
  return status->is_read_only();
}

Status Opened::open() {
  const auto closed = is_closed();
  if (!closed) return closed.error();
  if (!*closed) return {};
  was_marked_ = is_marked(volume_, server_).value_or(false);
  pb::VolumeMarkWritableRequest request;
  request.set_volume_id(volume_.value());
  const auto done = shell_.servers.call(server_.address.grpc(), request);
  if (!done) return done.error();
  is_open_ = true;
  return {};
}

Status Opened::close() {
  if (!std::exchange(is_open_, false)) return {};
  auto marked = mark_read_only(shell_, volume_, server_, was_marked_);
  if (!marked) Shell::say("volume {} at {} takes writes now: {}", volume_.value(), server_.id, marked.error().what());
  return marked;
}

Status unmark(Shell& shell, VolumeId volume, const PictureServer& server) {
  if (is_marked(volume, server).value_or(true)) return {};
  pb::VolumeMarkWritableRequest request;
  request.set_volume_id(volume.value());
  const auto done = shell.servers.call(server.address.grpc(), request);
  if (!done) return done.error();
  return {};
}

// ---- copies

Status may_take(const PictureServer& server, const std::string& disk_type) {
  if (server.free_slots(disk_type) > 0) return {};
  return Error(Code::no_space, fmt::format("{} takes no volume of type {}: it is full, leaving, or in maintenance", server.id,
                                           topology::disk_type_name(disk_type)));
}

Result<bool> holds(Shell& shell, VolumeId volume, const PictureServer& server) {
  pb::VolumeStatusRequest request;
  request.set_volume_id(volume.value());
  const auto status = shell.servers.call(server.address.grpc(), request);
  if (status) return true;
  if (status.error().what().find("not found volume id") != std::string::npos) return false;
  return status.error();
}

Status may_go_on(const Shell& shell, const TransferOptions& options) {
  return options.no_lock ? Status() : shell.locked();
}

Status delete_copy(Shell& shell, VolumeId volume, const PictureServer& server) {
  pb::VolumeDeleteRequest request;
  request.set_volume_id(volume.value());
  request.set_keep_remote_data(true);
  const auto done = shell.servers.call(server.address.grpc(), request);
  if (done) return {};
  const auto there = holds(shell, volume, server);
  if (there && !*there) return {};
  return done.error();
}

Status replace_frozen(Shell& shell, VolumeId volume, const PictureServer& source, const PictureServer& target,
                      const TransferOptions& options) {
  pb::VolumeCopyRequest request;
  request.set_volume_id(volume.value());
  request.set_source_data_node(text(source.address));
  request.set_disk_type(options.disk_type);
  request.set_io_byte_per_second(options.bytes_per_second);
  const auto copied = shell.servers.copy(target.address.grpc(), request, [&](std::int64_t bytes) {
    Shell::say("volume {}: {} copied", volume.value(), human_bytes(static_cast<std::uint64_t>(bytes)));
  });
  if (!copied) return copied.error();
  // It is read-only by the mark that came along; this is for targets that do not look at it.
  if (auto marked = mark_read_only(shell, volume, target); !marked) return marked;
  const auto from = file_status(shell, volume, source);
  if (!from) return from.error();
  const auto to = file_status(shell, volume, target);
  if (!to) return to.error();
  if (from->dat_file_size() != to->dat_file_size() || from->idx_file_size() != to->idx_file_size() ||
      from->file_count() != to->file_count() || from->compaction_revision() != to->compaction_revision()) {
    return Error(Code::stale, fmt::format("the copy of volume {} at {} ({} bytes, {} files) is not what {} has now ({} bytes, "
                                          "{} files): try again",
                                          volume.value(), target.id, to->dat_file_size(), to->file_count(), source.id,
                                          from->dat_file_size(), from->file_count()));
  }
  return {};
}

Status copy_frozen(Shell& shell, VolumeId volume, const PictureServer& source, const PictureServer& target,
                   const TransferOptions& options) {
  const auto there = holds(shell, volume, target);
  if (!there) return there.error();
  if (*there) {
    return Error(Code::already_exists, fmt::format("{} has volume {} already: it would be lost", target.id, volume.value()));
  }
  auto copied = replace_frozen(shell, volume, source, target, options);
  if (copied) return {};
  // Only while its source is there for certain.
  const auto kept = holds(shell, volume, source);
  const auto made = holds(shell, volume, target);
  if (kept && *kept && made && *made) {
    if (auto gone = delete_copy(shell, volume, target); !gone) {
      Shell::say("volume {}: the copy at {} could not be taken back: {}", volume.value(), target.id, gone.error().what());
    }
  }
  return copied;
}

Status copy_volume(Shell& shell, const Picture& picture, VolumeId volume, const PictureServer& source,
                   const PictureServer& target, const TransferOptions& options) {
  Freeze freeze(shell, volume);
  if (auto frozen = freeze.take(picture.holders(volume)); !frozen) return frozen;
  if (auto copied = copy_frozen(shell, volume, source, target, options); !copied) return copied;
  freeze.add(target);
  auto thawed = freeze.thaw();
  shell.wait_for(volume, target.id, true);
  return thawed;
}

Status move_volume(Shell& shell, const Picture& picture, VolumeId volume, const PictureServer& source,
                   const PictureServer& target, const TransferOptions& options) {
  Freeze freeze(shell, volume);
  if (auto frozen = freeze.take(picture.holders(volume)); !frozen) return frozen;
  if (auto copied = copy_frozen(shell, volume, source, target, options); !copied) return copied;
  if (auto may = may_go_on(shell, options); !may) {
    (void)delete_copy(shell, volume, target);
    return may;
  }
  freeze.add(target);
  if (auto gone = delete_copy(shell, volume, source); !gone) {
    const auto there = holds(shell, volume, source);
    if (there && *there) {  // it has it still: the copy goes, all is as before
      if (auto undone = delete_copy(shell, volume, target); undone) freeze.forget(target);
      return gone;
    }
    freeze.leave();
    return gone.error().at(fmt::format("whether volume {} is still at {} cannot be told; all its copies stay read-only until "
                                       "that is known (volume.mark -writable)", volume.value(), source.id));
  }
  freeze.forget(source);
  auto thawed = freeze.thaw();
  shell.wait_for(volume, source.id, false);
  shell.wait_for(volume, target.id, true);
  return thawed;
}

// ---- what is in a copy

Result<CopyIndex> read_index(VolumeId volume, const PictureServer& server) {
  const auto source = client::VolumeSource::at(server.address);
  const auto status = source->status(volume);
  if (!status) return status.error();
  CopyIndex out{.compaction_revision = status->compaction_revision};
  std::string rest;
  const auto copied = source->copy_file(
      {.volume = volume, .extension = ".idx", .compaction_revision = status->compaction_revision, .stop_offset = status->idx_bytes},
      [&](BytesView piece) -> Status {
        rest.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        std::size_t at = 0;
        for (; at + volume::kIndexRowBytes <= rest.size(); at += volume::kIndexRowBytes) {
          const auto row = volume::parse_row(reinterpret_cast<const std::uint8_t*>(rest.data()) + at);
          auto& place = out.files[row.key.value()];
          place = row.is_put() ? CopyIndex::Place{row.offset * 8, row.size} : CopyIndex::Place{row.offset * 8, -1};
        }
        rest.erase(0, at);
        return {};
      });
  if (!copied) return copied.error();
  if (copied->bytes != status->idx_bytes || !rest.empty()) {
    return Error(Code::stale, fmt::format("the index of volume {} at {} changed while it was read", volume.value(), server.id));
  }
  return out;
}

std::string Difference::text() const {
  return fmt::format("{} files only in the first, {} only in the second, {} differ", only_first.size(), only_second.size(),
                     differing.size());
}

Result<Difference> compare(Shell& shell, VolumeId volume, const PictureServer& first, const CopyIndex& first_index,
                           const PictureServer& second, const CopyIndex& second_index, bool contents) {
  Difference out;
  std::vector<std::uint64_t> both;
  const auto is_live = [](const CopyIndex& index, std::uint64_t key) {
    const auto found = index.files.find(key);
    return found != index.files.end() && found->second.is_live();
  };
  for (const auto& [key, place] : first_index.files) {
    if (!place.is_live()) continue;
    if (!is_live(second_index, key)) {
      out.only_first.push_back(key);
    } else if (second_index.files.at(key).size != place.size) {
      out.differing.push_back(key);
    } else {
      both.push_back(key);
    }
  }
  for (const auto& [key, place] : second_index.files) {
    if (place.is_live() && !is_live(first_index, key)) out.only_second.push_back(key);
  }
  if (!contents) return out;
  std::vector<char> differs(both.size());
  const auto meta = [&](const PictureServer& server, const CopyIndex& index, std::uint64_t key) {
    const auto& place = index.files.at(key);
    pb::ReadNeedleMetaRequest request;
    request.set_volume_id(volume.value());
    request.set_needle_id(key);
    request.set_offset(static_cast<std::int64_t>(place.offset));
    request.set_size(place.size);
    return shell.servers.call(server.address.grpc(), request);
  };
  const auto read = in_parallel(both.size(), [&](std::size_t i) -> Status {
    const auto a = meta(first, first_index, both[i]);
    if (!a) return a.error();
    const auto b = meta(second, second_index, both[i]);
    if (!b) return b.error();
    differs[i] = a->cookie() != b->cookie() || a->crc() != b->crc() || a->ttl() != b->ttl();
    return {};
  });
  if (!read) return read.error();
  for (std::size_t i = 0; i < both.size(); ++i) {
    if (differs[i] != 0) out.differing.push_back(both[i]);
  }
  return out;
}

Result<Difference> compare(Shell& shell, VolumeId volume, const PictureServer& first, const PictureServer& second) {
  const auto first_index = read_index(volume, first);
  if (!first_index) return first_index.error();
  const auto second_index = read_index(volume, second);
  if (!second_index) return second_index.error();
  return compare(shell, volume, first, *first_index, second, *second_index, /*contents=*/true);
}

Status check_equal(Shell& shell, VolumeId volume, const Servers& holders) {
  for (std::size_t i = 1; i < holders.size(); ++i) {
    const auto difference = compare(shell, volume, *holders[0], *holders[i]);
    if (!difference) return difference.error();
    if (!difference->is_none()) {
      return Error(Code::stale, fmt::format("volume {} at {} and {}: {}; volume.check.disk tells more", volume.value(),
                                            holders[0]->id, holders[i]->id, difference->text()));
    }
  }
  return {};
}

}  // namespace holdfast::cmd
