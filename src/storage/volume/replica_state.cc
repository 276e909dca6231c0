#include "storage/volume/replica_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/bytes.h"

namespace holdfast::volume {

std::string ReplicaState::json(std::uint64_t epoch, std::uint64_t outdated_by) {
  return fmt::format("{{\"format\": {}, \"epoch\": {}, \"outdated_by\": {}}}\n", kFormat, epoch, outdated_by);
}

Status ReplicaState::load() {
  const auto content = disk_.read_file(path_, 4_KiB);
  if (!content) {
    if (content.error().code() == Code::not_found) return {};
    return content.error();
  }
  boost::json::error_code failed;
  const auto value = boost::json::parse(*content, failed);
  const auto corrupt = [&] {
    return Error(Code::corrupt, path_ + " cannot be read, and nobody knows which copies this one belongs to: bring the "
                                        "file back, or remove the volume where others have it");
  };
  if (failed || !value.is_object()) return corrupt();
  const auto number = [&](const char* name) -> std::optional<std::uint64_t> {
    const auto* member = value.get_object().if_contains(name);
    if (member == nullptr) return std::nullopt;
    boost::json::error_code bad;
    const auto read = member->to_number<std::uint64_t>(bad);
    return bad ? std::nullopt : std::optional(read);
  };
  const auto format = number("format");
  const auto epoch = number("epoch");
  const auto outdated_by = number("outdated_by");
  if (format && *format > kFormat) return Error(Code::unsupported, path_ + ": written by a newer version");
  if (!format || !epoch || !outdated_by) return corrupt();
  const Guard guard(mutex_);
  epoch_ = *epoch;
  outdated_by_ = *outdated_by;
  return {};
}

Status ReplicaState::write(io::Disk& disk, const std::string& path, std::uint64_t epoch) {
  return disk.replace_file(path, json(epoch, 0));
}

std::uint64_t ReplicaState::epoch() const {
  const Guard guard(mutex_);
  return epoch_;
}

std::uint64_t ReplicaState::outdated_by() const {
  const Guard guard(mutex_);
  return outdated_by_;
}

bool ReplicaState::is_frozen() const { return adopting_ || (token_ != 0 && clock_.now() < frozen_until_); }

Status ReplicaState::may_write(std::optional<std::uint64_t> epoch) const {
  const Guard guard(mutex_);
  if (outdated_by_ != 0) {
    return Error(Code::read_only, fmt::format("this copy of the volume is of epoch {}, and others of epoch {} have taken "
                                              "its place", epoch_, outdated_by_));
  }
  if (epoch && *epoch != epoch_) {
    return Error(Code::stale, fmt::format("the volume's copies are of epoch {} here and of epoch {} where the write came "
                                          "from: look the volume up again", epoch_, *epoch));
  }
  if (is_frozen()) return Error(Code::busy, "a copy of the volume is being made: it takes no write for now");
  return {};
}

Status ReplicaState::freeze(std::uint64_t token, Duration time) {
  const Guard guard(mutex_);
  if (token == 0) return Error(Code::invalid, "a freeze needs a token");
  if (adopting_) return Error(Code::busy, "the volume is just moved on to another epoch");
  if (outdated_by_ != 0) return Error(Code::read_only, "this copy of the volume is outdated");
  token_ = token;
  frozen_until_ = clock_.now() + time;
  return {};
}

Status ReplicaState::extend(std::uint64_t token, Duration time) {
  const Guard guard(mutex_);
  if (token_ != token || !is_frozen()) return Error(Code::stale, "the freeze is over");
  frozen_until_ = std::max(frozen_until_, clock_.now() + time);
  return {};
}

void ReplicaState::thaw(std::uint64_t token) {
  const Guard guard(mutex_);
  if (token_ == token) token_ = 0;
}

Status ReplicaState::adopt(std::optional<std::uint64_t> token, std::uint64_t from, std::uint64_t to) {
  const Guard changes(changes_mutex_);
  {
    const Guard guard(mutex_);
    if (outdated_by_ != 0) return Error(Code::read_only, "this copy of the volume is outdated");
    if (!token && epoch_ == to) return {};  // the same order once more
    if (epoch_ != from || to <= from) {
      return Error(Code::stale, fmt::format("the volume is of epoch {}, not {}", epoch_, from));
    }
    if (token && (token_ != *token || !is_frozen())) return Error(Code::stale, "the freeze is over");
    adopting_ = true;  // whatever the clock says: nothing is written until it is on disk
  }
  const auto written = disk_.replace_file(path_, json(to, 0));
  const Guard guard(mutex_);
  adopting_ = false;
  if (!written) return written;
  epoch_ = to;
  token_ = 0;
  return {};
}

Status ReplicaState::outdate(std::uint64_t by) {
  const Guard changes(changes_mutex_);
  std::uint64_t epoch = 0;
  {
    const Guard guard(mutex_);
    if (by <= epoch_) return Error(Code::stale, fmt::format("the volume is of epoch {}, which {} is not above", epoch_, by));
    if (outdated_by_ >= by) return {};
    epoch = epoch_;
    outdated_by_ = by;  // at once, and after a restart if the disk obeys
  }
  return disk_.replace_file(path_, json(epoch, by));
}

}  // namespace holdfast::volume
