#include "storage/raft/log.h"

#include <algorithm>

#include "base/check.h"

namespace holdfast::storage {
namespace {

constexpr std::string_view kSuffix = ".seg";
constexpr std::size_t kSegmentsMax = 1 << 16;
constexpr std::string_view kReserve = "reserve";
// Far above any segment_bytes in use; a larger file is none of ours.
constexpr std::uint64_t kSegmentBytesMax = 1_GiB;

std::string sequence_name(std::uint64_t sequence) {
  std::string bytes;
  append_be(bytes, sequence);
  return hex(bytes_of(bytes)) + std::string(kSuffix);
}

std::optional<std::uint64_t> sequence_of(std::string_view name) {
  if (name.size() != 16 + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  std::string bytes;
  if (!unhex(name.substr(0, 16), bytes)) return std::nullopt;
  return load_be<std::uint64_t>(bytes.data());
}

}  // namespace

RaftLog::RaftLog(io::Disk& disk, io::Random& random, std::string folder, Options options)
    : disk_(disk), random_(random), folder_(std::move(folder)), options_(options) {
  CHECK(options_.segment_bytes > kSegmentHeaderBytes);
}

Result<std::unique_ptr<RaftLog>> RaftLog::open(io::Disk& disk, io::Random& random, const std::string& folder,
                                               Options options, Found* found) {
  if (auto done = disk.make_folder(folder); !done) return done.error();
  if (auto done = disk.sync_dir(io::folder_of(folder)); !done) return done.error();
  std::unique_ptr<RaftLog> log(new RaftLog(disk, random, folder, options));
  if (auto done = log->recover(found); !done) return done.error();
  return log;
}

std::string RaftLog::path_of(std::uint64_t sequence) const { return io::join(folder_, sequence_name(sequence)); }

Status RaftLog::broken(Error error) {
  broken_ = std::move(error);
  return *broken_;
}

// ---------------------------------------------------------------------------------------------------- recovery

Status RaftLog::recover(Found* found) {
  const auto names = disk_.list(folder_);
  if (!names) return names.error();
  std::vector<std::uint64_t> sequences;
  for (const auto& name : *names) {
    if (const auto sequence = sequence_of(name)) {
      sequences.push_back(*sequence);
    } else if (name != kReserve) {
      found->remarks.push_back(io::join(folder_, name) + ": not a file of the log, left alone");
    }
  }
  const auto reserve = disk_.info(io::join(folder_, std::string(kReserve)));
  reserve_ = reserve && reserve->size >= options_.segment_bytes;  // a shorter one was being made

  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const std::string path = path_of(sequences[i]);
    auto bytes = disk_.read_file(path, kSegmentBytesMax);
    if (!bytes) return bytes.error();
    auto file = disk_.open(path, {.write = true});
    if (!file) return file.error();
    const bool is_last = i + 1 == sequences.size();
    auto parsed = parse_segment(bytes_of(*bytes), sequences[i]);
    if (!parsed) {
      if (parsed.error().code() == Code::unsupported || is_last) return parsed.error().at(path);
      // A segment's head is synced before its name appears: a bad one has rotted. What it held shows by where the next
      // one begins.
      found->remarks.push_back(path + ": " + parsed.error().what());
      segments_.push_back({.sequence = sequences[i], .file = std::move(*file), .readable = false});
      suspect_ = true;
      continue;
    }
    if (parsed->header.cluster != options_.cluster || parsed->header.voter != options_.voter) {
      return Error{Code::refused, path + ": belongs to cluster " + text(parsed->header.cluster) + ", member " +
                                      text(parsed->header.voter) +
                                      ". Files of two masters were mixed in this folder: restore it, or remove the "
                                      "whole member folder so that this master joins as a new member"};
    }
    if (!segments_.empty() && sequences[i] != segments_.back().sequence + 1) {
      // Places are found by counting from the front: what lies before a gap is as good as gone.
      found->remarks.push_back(path + ": the segment before it is missing");
      suspect_ = true;
      for (auto sequence = segments_.back().sequence + 1; sequence < sequences[i]; ++sequence) {
        if (segments_.size() > kSegmentsMax) return Error{Code::corrupt, path + ": too many segments are missing"};
        segments_.push_back({.sequence = sequence, .readable = false});
      }
    }
    segments_.push_back({.sequence = sequences[i], .header = parsed->header, .file = std::move(*file)});
    if (is_last) {
      end_ = parsed->end;
      chain_ = parsed->chain;
      hole_ = parsed->durable >= parsed->header.first + parsed->entries.size();
      if (!hole_ && parsed->garbage_end > parsed->end) found->torn_bytes = parsed->garbage_end - parsed->end;
      if (auto done = rewrite_tail(*parsed, hole_); !done) return done;
    }
    if (auto done = take_in(std::move(*parsed), found); !done) return done.error().at(path);
  }

  if (suspect_ && last().index > options_.covered) drop_suspects(found);
  durable_ = last();
  if (found->reached && *found->reached <= durable_) found->reached.reset();
  found->first = first_;
  found->before = before_;
  if (segments_.empty()) return roll(end(), last(), false);
  return {};
}

// A segment that cannot be read may have replaced a suffix of what stands before it, nobody knows from where on: only
// what a snapshot covers is certain. The rest counts as missing, and is sent again.
void RaftLog::drop_suspects(Found* found) {
  found->reached = std::max(found->reached.value_or(raft::LogPosition{}), last());
  const auto keep = options_.covered < first_ ? 0 : options_.covered.next() - first_;
  places_.resize(keep);
  found->entries.resize(keep);
  hole_ = true;
  found->remarks.push_back("log: entries from " + text(end()) +
                           " on may be older than those of a segment that is gone; they are not used");
}

// Joins what one segment holds to what the earlier ones left.
Status RaftLog::take_in(ParsedSegment parsed, Found* found) {
  const auto& header = parsed.header;
  const auto reaches = [&](raft::LogPosition position) {
    found->reached = std::max(found->reached.value_or(raft::LogPosition{}), position);
  };
  const bool nothing_before = segments_.size() == 1;
  const bool gap_is_covered = header.first > end() && header.before.index <= options_.covered;
  // A suffix that begins below the first entry replaces them all (the segments between were being removed).
  if (nothing_before || header.reset || gap_is_covered || header.first < first_) {
    places_.clear();
    found->entries.clear();
    found->reached.reset();
    found->reset = header.reset;
    suspect_ = false;
    first_ = header.first;
    before_ = header.before;
  } else if (suspect_ && header.first <= end() && position_before(header.first) != header.before) {
    // What stands before is not what this segment continues: the segment between had replaced it.
    hole_ = true;
    reaches(header.before);
    if (!parsed.entries.empty()) reaches({.term = parsed.places.back().term, .index = parsed.entries.back().index});
    return {};
  } else if (header.first < end()) {
    // A suffix was replaced.
    const auto keep = header.first - first_;
    places_.resize(keep);
    found->entries.resize(keep);
    found->reached.reset();
  } else if (header.first > end()) {
    // Entries between are gone, though this segment was begun only after they were durable.
    hole_ = true;  // what is sent again does not continue this segment
    reaches(header.before);
    if (!parsed.entries.empty()) reaches({.term = parsed.places.back().term, .index = parsed.entries.back().index});
    return {};
  }
  if (last() != header.before) return Error{Code::corrupt, "does not continue the entry before it"};
  suspect_ = false;  // equal here, so equal in all that comes before (log matching)
  for (std::size_t i = 0; i < parsed.entries.size(); ++i) {
    places_.push_back({.segment = static_cast<std::uint32_t>(segments_.back().sequence),
                       .data_bytes = parsed.places[i].data_bytes,
                       .offset = parsed.places[i].offset,
                       .term = parsed.places[i].term});
    found->entries.push_back(std::move(parsed.entries[i]));
  }
  if (parsed.durable >= end()) reaches({.term = parsed.durable_term, .index = parsed.durable});
  return {};
}

// Writes the last segment's good bytes again, and zeros over the torn ones behind them.
Status RaftLog::rewrite_tail(const ParsedSegment& parsed, bool keep_garbage) {
  auto& file = *segments_.back().file;
  std::string bytes(parsed.end, '\0');
  const auto got = file.read(0, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
  if (!got) return got.error();
  if (!keep_garbage && parsed.garbage_end > parsed.end) bytes.resize(parsed.garbage_end, '\0');
  if (auto done = file.write(0, bytes_of(bytes)); !done) return done;
  if (auto done = file.sync(); !done) return done;
  return disk_.sync_dir(folder_);
}

// ---------------------------------------------------------------------------------------------------- writing

Status RaftLog::append(std::span<const Entry> entries) {
  if (broken_) return *broken_;
  if (entries.empty()) return {};
  const Index from = entries.front().index;
  CHECK(from >= first_ && from <= end());
  if (from < end() || hole_) {
    places_.resize(from - first_);
    if (auto done = roll(from, last(), false); !done) return done;
  }

  std::string buffer;
  std::uint64_t offset = end_;
  for (const auto& entry : entries) {
    CHECK(entry.index == end());
    CHECK(entry.term >= last().term);
    CHECK(kSegmentHeaderBytes + record_bytes(entry.data.size()) <= options_.segment_bytes);
    if (end_ + record_bytes(entry.data.size()) > options_.segment_bytes) {
      if (auto done = flush(&buffer, offset); !done) return done;
      if (auto done = roll(end(), last(), false); !done) return done;
      offset = end_;
    }
    places_.push_back({.segment = static_cast<std::uint32_t>(segments_.back().sequence),
                       .data_bytes = static_cast<std::uint32_t>(entry.data.size()),
                       .offset = end_,
                       .term = entry.term});
    append_record(buffer, entry, std::min(durable_.index, entry.index.previous()), segments_.back().header.salt,
                  &chain_);
    end_ += record_bytes(entry.data.size());
  }
  return flush(&buffer, offset);
}

Status RaftLog::flush(std::string* buffer, std::uint64_t offset) {
  if (buffer->empty()) return {};
  unsynced_ = true;
  if (auto done = segments_.back().file->write(offset, bytes_of(*buffer)); !done) return broken(done.error());
  buffer->clear();
  return {};
}

Status RaftLog::sync() {
  if (broken_) return *broken_;
  if (unsynced_) {
    if (auto done = segments_.back().file->sync(); !done) return broken(done.error());
    unsynced_ = false;
  }
  durable_ = last();
  return {};
}

// Begins a new segment with the entry `first`. All that came before is durable first, so that a later segment's
// existence proves the earlier entries; and the header is durable before any entry counts on it.
Status RaftLog::roll(Index first, raft::LogPosition before, bool reset) {
  if (unsynced_) {
    if (auto done = segments_.back().file->sync(); !done) return broken(done.error());
    unsynced_ = false;
  }
  if (!reserve_) {
    if (auto done = make_reserve(); !done) return broken(done.error());
  }
  const std::string reserve = io::join(folder_, std::string(kReserve));
  auto file = disk_.open(reserve, {.write = true});
  if (!file) return broken(file.error());
  const std::uint64_t sequence = segments_.empty() ? 1 : segments_.back().sequence + 1;
  const SegmentHeader header{.cluster = options_.cluster,
                             .voter = options_.voter,
                             .first = first,
                             .before = before,
                             .salt = random_.next(),
                             .reset = reset,
                             .sequence = sequence};
  if (auto done = (*file)->write(0, bytes_of(encode(header))); !done) return broken(done.error());
  if (auto done = (*file)->sync(); !done) return broken(done.error());
  const std::string path = path_of(sequence);
  if (auto done = disk_.rename(reserve, path); !done) return broken(done.error());
  if (auto done = disk_.sync_dir(folder_); !done) return broken(done.error());
  reserve_ = false;
  file = disk_.open(path, {.write = true});
  if (!file) return broken(file.error());
  segments_.push_back({.sequence = sequence, .header = header, .file = std::move(*file)});
  end_ = kSegmentHeaderBytes;
  chain_ = chain_begin(header);
  durable_ = before;
  hole_ = false;
  return {};
}

Status RaftLog::make_reserve() {
  if (broken_) return *broken_;
  if (reserve_) return {};
  const std::string path = io::join(folder_, std::string(kReserve));
  auto file = disk_.open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return file.error();
  auto done = (*file)->allocate(0, options_.segment_bytes, false);
  if (!done && done.error().code() == Code::unsupported) {
    done = (*file)->write(0, bytes_of(std::string(options_.segment_bytes, '\0')));
  }
  if (!done) {
    (void)disk_.remove(path);
    return done.error();
  }
  if (done = (*file)->sync(); !done) return done.error();
  reserve_ = true;
  return {};
}

Status RaftLog::reset(raft::LogPosition last) {
  if (broken_) return *broken_;
  if (auto done = roll(last.index.next(), last, true); !done) return done;
  places_.clear();
  first_ = last.index.next();
  before_ = last;
  durable_ = last;
  return compact(first_);
}

Status RaftLog::compact(Index first) {
  if (broken_) return *broken_;
  // Of the oldest segment nothing is wanted when the one after it begins at or below `first`. (A segment that was
  // replaced as a whole begins above its successor; it goes when that one is old enough.)
  while (segments_.size() > 1) {
    const auto& next = segments_[1].header;
    if (!segments_[1].readable || next.first > first) break;
    if (segments_.front().file) {
      if (auto done = disk_.remove(path_of(segments_.front().sequence)); !done) return broken(done.error());
    }
    segments_.pop_front();
    const auto& header = segments_.front().header;
    if (header.first > first_ && header.first <= end()) {
      before_ = position_before(header.first);
      const auto gone = std::min<std::uint64_t>(places_.size(), header.first - first_);
      places_.erase(places_.begin(), places_.begin() + static_cast<std::ptrdiff_t>(gone));
      first_ = header.first;
    }
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------- reading

raft::LogPosition RaftLog::position_before(Index index) const {
  if (index == first_) return before_;
  const auto at = index - first_ - 1;
  CHECK(index > first_ && at < places_.size());
  return {.term = places_[at].term, .index = index.previous()};
}

raft::LogPosition RaftLog::last() const { return position_before(end()); }

bool RaftLog::replaced_since(std::uint64_t sequence, Index index) const {
  return std::any_of(segments_.begin(), segments_.end(), [&](const Segment& segment) {
    return segment.sequence > sequence && segment.readable && (segment.header.first <= index || segment.header.reset);
  });
}

std::uint64_t RaftLog::bytes() const {
  if (segments_.empty()) return 0;
  return (segments_.size() - 1) * options_.segment_bytes + end_;
}

const RaftLog::Segment* RaftLog::segment_of(const Place& place) const {
  const auto at = place.segment - static_cast<std::uint32_t>(segments_.front().sequence);
  return at < segments_.size() ? &segments_[at] : nullptr;
}

Result<RaftLog::Fetched> RaftLog::read(Index from, std::size_t bytes_max) const {
  if (from < first_ || from >= end()) {
    return Error{Code::not_found, "log entry " + text(from) + ": not between " + text(first_) + " and " + text(end())};
  }
  Fetched fetched{.previous_term = position_before(from).term};
  std::size_t taken = 0;
  for (Index index = from; index < end(); index = index.next()) {
    const auto& place = places_[index - first_];
    taken += place.data_bytes;
    if (taken > bytes_max && !fetched.entries.empty()) break;
    const auto* segment = segment_of(place);
    if (segment == nullptr || !segment->file) return Error{Code::not_found, "log entry " + text(index) + ": no segment"};
    std::string record(kRecordHeaderBytes + place.data_bytes, '\0');
    const auto got =
        segment->file->read(place.offset, {reinterpret_cast<std::uint8_t*>(record.data()), record.size()});
    if (!got) return got.error();
    auto entry = decode_record(bytes_of(std::string_view(record).substr(0, *got)), index, segment->header.salt);
    if (!entry) return entry.error().at(segment->file->path());
    if (entry->term != place.term) return Error{Code::corrupt, "log entry " + text(index) + ": of another term"};
    fetched.entries.push_back(std::move(*entry));
  }
  return fetched;
}

}  // namespace holdfast::storage
