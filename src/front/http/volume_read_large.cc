// Reads that do not fit one look at the page cache: large files piece by piece, and files unpacked for clients that
// cannot do it themselves (spec/weed-cluster 3.3, 3.4).
#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/gzip.h"
#include "base/log.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

using http::Exchange;

namespace {

constexpr std::size_t kPieceBytes = 256_KiB;   // read and sent at a time
constexpr std::size_t kSniffBytes = 512;
constexpr std::size_t kUnpackMemory = 8_MiB;   // unpacked files up to this are held whole
constexpr std::size_t kUnpackInput = 4_KiB;    // unpacked at a time: gzip makes at most about 4 MiB of it

}  // namespace

void keep(volume::Found& found) {
  auto& needle = found.needle;
  const auto bytes = needle.data.size() + needle.name.size() + needle.mime.size() + needle.pairs.size();
  auto owned = std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
  std::uint8_t* to = owned.get();
  const auto copied = [&to](std::string_view from) {
    std::copy(from.begin(), from.end(), to);
    const std::string_view kept(reinterpret_cast<const char*>(to), from.size());
    to += from.size();
    return kept;
  };
  needle.data = bytes_of(copied(text_of(needle.data)));
  needle.name = copied(needle.name);
  needle.mime = copied(needle.mime);
  needle.pairs = copied(needle.pairs);
  found.owned = std::move(owned);
}

Result<std::string> whole_data(const volume::Found& found, std::uint64_t bytes_max) {
  std::string data;
  if (found.body) {
    if (found.body->size() > bytes_max) return Error(Code::no_space, "above " + std::to_string(bytes_max) + " bytes");
    data.resize(static_cast<std::size_t>(found.body->size()));
    const std::span<std::uint8_t> out(reinterpret_cast<std::uint8_t*>(data.data()), data.size());
    if (auto read = found.body->read(0, out); !read) return read.error();
    if (!volume::crc_matches(crc32c(out), found.needle.stored_crc)) return Error(Code::corrupt, "crc mismatch");
  } else {
    data = text_of(found.needle.data);
  }
  if (!found.needle.has(volume::kFlagCompressed) || !gzip::is_gzip(bytes_of(data))) return data;
  return gzip::decompress(bytes_of(data), bytes_max);
}

Async<Status> VolumeRoutes::Inside::load(io::EventLoop& loop, const volume::Body& body, std::uint64_t offset,
                                         std::span<std::uint8_t> out) {
  if (out.empty() || body.read_now(offset, out)) co_return Status();
  auto work = [&body, offset, out] { return body.read(offset, out); };
  co_return co_await on_pool<void>(loop, work, &body);
}

// Sends `range` of the stored data; `first` is its beginning, read already. A whole file is held against its crc
// before the last piece leaves. False: it broke, and the connection is to be closed.
Async<bool> VolumeRoutes::Inside::send_body(Exchange& exchange, const volume::Found& found, ByteRange range,
                                            std::string first) {
  const auto& body = *found.body;
  const bool is_whole = range.begin == 0 && range.length == body.size();
  std::uint32_t crc = 0;
  std::string piece = std::move(first);
  std::uint64_t sent = 0;
  while (sent < range.length) {
    if (piece.empty()) {
      piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, range.length - sent)));
      const std::span<std::uint8_t> out(reinterpret_cast<std::uint8_t*>(piece.data()), piece.size());
      auto loaded = co_await load(exchange.loop(), body, range.begin + sent, out);
      if (!loaded) {
        LOG_ERROR("reading a file of {} bytes at {}: {}", body.size(), range.begin + sent, loaded.error().what());
        read_failed(loaded.error());
        co_return false;
      }
    }
    if (is_whole) {
      crc = crc32c(bytes_of(piece), crc);
      if (sent + piece.size() == range.length && !volume::crc_matches(crc, found.needle.stored_crc)) {
        LOG_ERROR("a file of {} bytes fails its checksum: the connection is closed before its last piece", body.size());
        read_failed({Code::corrupt, "crc mismatch"});
        co_return false;
      }
    }
    auto status = co_await exchange.write(std::string_view(piece));
    if (!status) co_return false;
    sent += piece.size();
    piece.clear();
  }
  co_return true;
}

Task VolumeRoutes::Inside::answer_large(Exchange& exchange, std::unique_ptr<Asked> asked, volume::Found found) {
  // The needle's texts may lie in the loop's shared buffer.
  const std::string name(found.needle.name);
  const std::string mime(found.needle.mime);
  const std::string pairs(found.needle.pairs);
  found.needle.name = name;
  found.needle.mime = mime;
  found.needle.pairs = pairs;

  HeaderList headers;
  if (collect_headers(exchange, *asked, found, headers)) co_return;
  const auto total = found.body->size();
  std::string first;
  if (found.needle.has(volume::kFlagCompressed)) {
    first.resize(2);
    const std::span<std::uint8_t> out(reinterpret_cast<std::uint8_t*>(first.data()), first.size());
    auto loaded = co_await load(exchange.loop(), *found.body, 0, out);
    if (!loaded) {
      read_failed(loaded.error());
      answer_nothing(exchange, 500);
      co_return;
    }
    if (gzip::is_gzip(bytes_of(first))) {
      if (!asked->takes_gzip) {
        answer_unpacked(exchange, std::move(asked), std::move(found), {});
        co_return;
      }
      headers.set("Content-Encoding", "gzip");
    }
    first.clear();
  }
  if (asked->is_head) {
    headers.write_to(head(exchange, 200));
    exchange.finish_without_body(total);
    co_return;
  }

  const auto wanted = ranges_to_send(asked->range, total);
  if (!wanted) {
    answer_bad_range(exchange, headers);
    co_return;
  }
  const auto& ranges = *wanted;

  if (ranges.size() > 1) {
    const MultiRange parts(ranges, total, headers.stored_type, random_boundary());
    headers.set("Content-Type", parts.content_type());
    headers.write_to(head(exchange, 206));
    exchange.begin(parts.length());
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const auto part_head = parts.head(i);
      auto status = co_await exchange.write(std::string_view(part_head));
      bool sent = status.ok();
      std::string nothing_yet;
      if (sent) sent = co_await send_body(exchange, found, ranges[i], std::move(nothing_yet));
      if (!sent) {
        exchange.abort();
        co_return;
      }
    }
    const auto tail = parts.tail();
    co_await exchange.write(std::string_view(tail));
    exchange.end();
    co_return;
  }

  ByteRange range{0, total};
  if (ranges.size() == 1) {
    range = ranges[0];
    headers.set("Content-Range", content_range(range, total));
  }
  first.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, range.length)));
  const std::span<std::uint8_t> out(reinterpret_cast<std::uint8_t*>(first.data()), first.size());
  auto loaded = co_await load(exchange.loop(), *found.body, range.begin, out);
  if (!loaded) {
    LOG_ERROR("reading a file of {} bytes: {}", total, loaded.error().what());
    read_failed(loaded.error());
    answer_nothing(exchange, 500);
    co_return;
  }
  if (!first.empty() && !headers.has("Content-Type") && !headers.has("Content-Encoding")) {
    headers.set("Content-Type", sniffed_type(bytes_of(std::string_view(first).substr(0, kSniffBytes))));
  }
  headers.write_to(head(exchange, ranges.empty() ? 200 : 206));
  exchange.begin(range.length);
  const bool sent = co_await send_body(exchange, found, range, std::move(first));
  if (sent) {
    exchange.end();
  } else {
    exchange.abort();
  }
}

namespace {

// A gzip stream read piece by piece, from memory or from a Body.
class PackedSource {
 public:
  PackedSource(const volume::Found& found, const std::string& data) : found_(found), data_(data) {}

  std::uint64_t size() const { return found_.body ? found_.body->size() : data_.size(); }

  // The next piece; empty at the end. May wait for the disk.
  Result<BytesView> next() {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(kUnpackInput, size() - at_));
    if (n == 0) return BytesView();
    if (!found_.body) {
      const auto piece = bytes_of(std::string_view(data_).substr(at_, n));
      at_ += n;
      return piece;
    }
    const std::span<std::uint8_t> out(room_.data(), n);
    if (auto status = found_.body->read(at_, out); !status) return status.error();
    at_ += n;
    crc_ = crc32c(out, crc_);
    if (at_ == size() && !volume::crc_matches(crc_, found_.needle.stored_crc)) {
      return Error(Code::corrupt, "crc mismatch");
    }
    return BytesView(out);
  }

 private:
  const volume::Found& found_;
  const std::string& data_;
  std::array<std::uint8_t, kUnpackInput> room_;
  std::uint64_t at_ = 0;
  std::uint32_t crc_ = 0;
};

struct Unpacked {
  std::uint64_t size = 0;
  std::string data;  // its beginning, all of it up to kUnpackMemory
};

// The whole way once, to learn the size (Content-Length and ranges need it) and whether the stream is sound.
Result<Unpacked> unpack(const volume::Found& found, const std::string& data) {
  PackedSource source(found, data);
  gzip::Decompressor unpacker;
  Unpacked out;
  while (true) {
    auto piece = source.next();
    if (!piece) return piece.error();
    if (piece->empty()) break;
    auto status = unpacker.add(*piece, [&](BytesView plain) {
      const auto room = kUnpackMemory - out.data.size();
      out.data.append(text_of(plain).substr(0, room));
      out.size += plain.size();
      return Status();
    });
    if (!status) return status.error();
  }
  if (auto status = unpacker.finish(); !status) return status.error();
  return out;
}

}  // namespace

Task VolumeRoutes::Inside::answer_unpacked(Exchange& exchange, std::unique_ptr<Asked> asked, volume::Found found,
                                           std::string data) {
  const std::string name(found.needle.name);
  const std::string mime(found.needle.mime);
  const std::string pairs(found.needle.pairs);
  found.needle.name = name;
  found.needle.mime = mime;
  found.needle.pairs = pairs;
  HeaderList headers;
  if (collect_headers(exchange, *asked, found, headers)) co_return;

  auto measure = [&] { return unpack(found, data); };
  auto unpacked = co_await on_pool<Unpacked>(exchange.loop(), measure, found.body.get());
  if (!unpacked) {
    LOG_ERROR("{} does not unpack: {}", text(asked->id), unpacked.error().what());
    read_failed(unpacked.error());
    answer_nothing(exchange, 500);
    co_return;
  }
  if (unpacked->size == unpacked->data.size()) {
    answer_data(exchange, *asked, headers, unpacked->data);
    co_return;
  }

  const auto total = unpacked->size;
  if (asked->is_head) {
    headers.write_to(head(exchange, 200));
    exchange.finish_without_body(total);
    co_return;
  }
  // A second time through, now sending. Several ranges of so large an unpacked file are not worth the passes they
  // would take: the whole is a valid answer too (RFC 9110 14.2).
  ByteRange range{0, total};
  bool is_partial = false;
  if (!asked->range.empty()) {
    auto parsed = parse_ranges(asked->range, total);
    if (!parsed) {
      answer_bad_range(exchange, headers);
      co_return;
    }
    if (parsed->size() == 1) {
      is_partial = true;
      range = parsed->front();
      headers.set("Content-Range", content_range(range, total));
    }
  }
  if (!headers.has("Content-Type") && !headers.has("Content-Encoding") && range.begin + kSniffBytes <= unpacked->data.size()) {
    headers.set("Content-Type", sniffed_type(bytes_of(unpacked->data).subspan(range.begin, kSniffBytes)));
  }
  unpacked->data = {};
  headers.write_to(head(exchange, is_partial ? 206 : 200));
  exchange.begin(range.length);
  PackedSource source(found, data);
  gzip::Decompressor unpacker;
  std::uint64_t at = 0;  // of the plain bytes
  std::uint64_t sent = 0;
  while (sent < range.length) {
    std::string plain;
    auto work = [&]() -> Status {
      while (plain.empty()) {
        auto piece = source.next();
        if (!piece) return piece.error();
        if (piece->empty()) return Error(Code::corrupt, "stream ends early");
        auto status = unpacker.add(*piece, [&](BytesView bytes) {
          auto part = text_of(bytes);
          const auto skip = at < range.begin ? std::min<std::uint64_t>(range.begin - at, part.size()) : 0;
          at += part.size();
          part.remove_prefix(static_cast<std::size_t>(skip));
          plain.append(part.substr(0, static_cast<std::size_t>(range.length - sent - plain.size())));
          return Status();
        });
        if (!status) return status;
      }
      return Status();
    };
    auto status = co_await on_pool<void>(exchange.loop(), work, found.body.get());
    if (!status) {
      LOG_ERROR("{} does not unpack: {}", text(asked->id), status.error().what());
      read_failed(status.error());
      exchange.abort();
      co_return;
    }
    auto written = co_await exchange.write(std::string_view(plain));
    if (!written) break;
    sent += plain.size();
  }
  exchange.end();
}

}  // namespace holdfast::front
