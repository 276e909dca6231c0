#include "service/volume/scrub.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/volume/record_reader.h"

namespace holdfast::volume {
namespace {

constexpr std::size_t kReadBytes = 1_MiB;

struct Span {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  NeedleId key;
};

class Scrub {
 public:
  Scrub(std::shared_ptr<Volume> volume, Pacer& pacer, Cancel& cancel)
      : volume_(std::move(volume)), pacer_(pacer), cancel_(cancel) {}

  Result<Scrubbed> run(ScrubMode mode) {
    if (auto done = rows(); !done) return done.error();
    overlaps();
    if (mode == ScrubMode::full) {
      out_.files = 0;
      for (const auto& span : live_) {
        if (auto done = needle(span); !done) return done.error();
      }
    }
    return std::move(out_);
  }

 private:
  void damaged(std::string what) {
    out_.is_broken = true;
    if (out_.details.size() < Scrubbed::kDetailsMax) {
      out_.details.push_back(fmt::format("volume {}: {}", text(volume_->id()), what));
    }
  }

  Status go_on(std::uint64_t bytes) {
    if (pacer_.pass(bytes, cancel_)) return {};
    return Error(Code::unavailable, "the scrub was called off");
  }

  Status rows() {
    const auto idx_end = volume_->idx_bytes();
    const auto dat_end = volume_->dat_bytes();  // after the index's: it covers all rows
    if (idx_end % kIndexRowBytes != 0) damaged("its .idx ends in a part of a row");
    std::string piece(kReadBytes, '\0');
    for (std::uint64_t at = 0; at + kIndexRowBytes <= idx_end;) {
      const auto wanted = std::min<std::uint64_t>(kReadBytes, idx_end - at) / kIndexRowBytes * kIndexRowBytes;
      const auto got = volume_->read_idx(at, {reinterpret_cast<std::uint8_t*>(piece.data()), wanted});
      if (!got) return got.error();
      if (*got < kIndexRowBytes) {
        damaged("its .idx is shorter than it was");
        break;
      }
      const auto* bytes = bytes_of(piece).data();
      std::size_t i = 0;
      for (; i + kIndexRowBytes <= *got; i += kIndexRowBytes) row(parse_row(bytes + i), dat_end);
      at += i;
      if (auto may = go_on(i); !may) return may;
    }
    return {};
  }

  void row(const IndexRow& row, std::uint64_t dat_end) {
    out_.files++;
    if (!row.is_put()) return;
    const auto begin = row.offset * kAlignment;
    const auto end = begin + record_bytes(row.size, volume_->version());
    if (begin < volume_->first_needle() || end - padding_bytes(row.size, volume_->version()) > dat_end) {
      return damaged(fmt::format("needle {:x}: its row points at bytes {} to {} of a .dat of {}", row.key.value(), begin, end, dat_end));
    }
    const auto slot = volume_->find(row.key);
    if (slot && slot->is_live() && slot->offset == row.offset) live_.push_back({begin, end, row.key});
  }

  void overlaps() {
    std::sort(live_.begin(), live_.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    for (std::size_t i = 1; i < live_.size(); i++) {
      const auto& before = live_[i - 1];
      const auto& now = live_[i];
      if (before.begin == now.begin && before.key == now.key) continue;  // its row stands twice
      if (before.end > now.begin) {
        damaged(fmt::format("needles {:x} and {:x} overlap at byte {}", before.key.value(), now.key.value(), now.begin));
      }
    }
  }

  // A needle that was deleted or overwritten meanwhile is no damage.
  Status needle(const Span& span) {
    out_.files++;
    const auto slot = volume_->find(span.key);
    if (!slot || !slot->is_live() || slot->offset * kAlignment != span.begin) return {};
    const auto bytes = RecordReader::read(*volume_, span.begin, slot->size);
    if (!bytes) {
      damaged(fmt::format("needle {:x} at byte {}: {}", span.key.value(), span.begin, bytes.error().what()));
      return go_on(span.end - span.begin);
    }
    const auto found = parse(bytes_of(*bytes), slot->size, volume_->version());
    if (!found) {
      damaged(fmt::format("needle {:x} at byte {}: {}", span.key.value(), span.begin, found.error().what()));
    } else if (found->id != span.key) {
      damaged(fmt::format("needle {:x} at byte {}: needle {:x} lies there", span.key.value(), span.begin, found->id.value()));
    } else if (slot->size > 0 && !check_data(*found)) {
      damaged(fmt::format("needle {:x} at byte {}: the data's crc is wrong", span.key.value(), span.begin));
    }
    return go_on(span.end - span.begin);
  }

  const std::shared_ptr<Volume> volume_;
  Pacer& pacer_;
  Cancel& cancel_;
  Scrubbed out_;
  std::vector<Span> live_;  // each live needle's record
};

}  // namespace

Result<Scrubbed> scrub(const std::shared_ptr<Volume>& volume, ScrubMode mode, Pacer& pacer, Cancel& cancel) {
  return Scrub(volume, pacer, cancel).run(mode);
}

}  // namespace holdfast::volume
