#include "storage/backup/image.h"

#include "base/codec.h"
#include "base/crc32c.h"
#include "storage/raft/snapshots.h"

namespace holdfast::backup {
namespace {

constexpr std::string_view kMagic = "HFIMAGE\n";
constexpr std::string_view kEnd = "HFIMGEND";
constexpr std::uint32_t kFormat = 1;
constexpr std::size_t kFixedBytes = 8 + 4 + 4;  // magic, format, length of the head
constexpr std::size_t kHeadBytesMax = 64 << 10;

Error damaged(const std::string& what) { return Error{Code::corrupt, what}; }

Result<ImageHead> decode_head(BytesView bytes) {
  Reader in(bytes);
  ImageHead head;
  head.cluster = in.id<ClusterId>();
  head.generation = in.id<Generation>();
  head.last.index = in.id<Index>();
  head.last.term = in.id<Term>();
  head.check = in.u32();
  head.feature_level = in.u32();
  head.made = io::WallTime(Duration(static_cast<std::int64_t>(in.u64())));
  const auto configuration = in.text();
  if (!in.at_end()) return damaged("the head does not parse");
  auto members = raft::decode_configuration(configuration);
  if (!members) return members.error().at("the head");
  head.configuration = std::move(*members);
  return head;
}

}  // namespace

std::string encode(const Image& image) {
  Writer head;
  head.id(image.head.cluster);
  head.id(image.head.generation);
  head.id(image.head.last.index);
  head.id(image.head.last.term);
  head.u32(image.head.check);
  head.u32(image.head.feature_level);
  head.u64(static_cast<std::uint64_t>(image.head.made.time_since_epoch().count()));
  head.text(raft::encode(image.head.configuration));
  std::string out(kMagic);
  append_be(out, kFormat);
  append_be(out, static_cast<std::uint32_t>(head.bytes().size()));
  out += head.bytes();
  append_be(out, crc32c(bytes_of(out)));
  const auto body = storage::encode_snapshot_body(image.files);
  append_be(out, static_cast<std::uint64_t>(body.size()));
  out += body;
  append_be(out, crc32c(bytes_of(out)));
  return out.append(kEnd);
}

Result<Image> decode_image(BytesView bytes) {
  const auto all = text_of(bytes);
  if (all.size() < kFixedBytes || !all.starts_with(kMagic)) {
    if (all.starts_with("MFSM ")) return Error{Code::unsupported, "an image of MooseFS, whose metadata this program cannot read"};
    return damaged("no image: it does not begin as one");
  }
  const auto format = load_be<std::uint32_t>(all.data() + 8);
  if (format != kFormat) {
    return Error{Code::unsupported, "an image of format " + std::to_string(format) + ", this build reads " +
                                        std::to_string(kFormat) + ": use the newer one"};
  }
  const std::size_t head_bytes = load_be<std::uint32_t>(all.data() + 12);
  if (head_bytes > kHeadBytesMax) return damaged("the length of the head makes no sense");
  const std::size_t body_at = kFixedBytes + head_bytes + 4 + 8;
  const auto cut_off = [&](std::size_t least) {
    return damaged("cut off after " + std::to_string(all.size()) + " bytes, of at least " + std::to_string(least));
  };
  if (all.size() < body_at) return cut_off(body_at);
  const auto head_view = bytes.first(kFixedBytes + head_bytes);
  if (load_be<std::uint32_t>(all.data() + kFixedBytes + head_bytes) != crc32c(head_view)) {
    return damaged("the head is damaged: its checksum is another");
  }
  auto head = decode_head(head_view.subspan(kFixedBytes));
  if (!head) return head.error();
  const auto body_bytes = load_be<std::uint64_t>(all.data() + body_at - 8);
  if (body_bytes > kImageBytesMax) return damaged("the length of the body makes no sense");
  const std::size_t end = body_at + body_bytes;
  if (all.size() < end + 4 + kEnd.size()) return cut_off(end + 4 + kEnd.size());
  if (all.size() > end + 4 + kEnd.size()) {
    return damaged(std::to_string(all.size() - end - 4 - kEnd.size()) + " bytes stand behind its end");
  }
  if (all.substr(end + 4) != kEnd || load_be<std::uint32_t>(all.data() + end) != crc32c(bytes.first(end))) {
    return damaged("the body is damaged: its checksum is another");
  }
  auto files = storage::decode_snapshot_body(bytes.subspan(body_at, body_bytes));
  if (!files) return files.error();
  return Image{std::move(*head), std::move(*files)};
}

std::string text(const ImageHead& head) {
  return "generation " + text(head.generation) + ", entry " + text(head.last.index) + " of term " + text(head.last.term) +
         ", cluster " + text(head.cluster);
}

bool is_newer(const ImageHead& a, const ImageHead& b) {
  return a.generation != b.generation ? a.generation > b.generation : a.last.index > b.last.index;
}

Result<Image> load_image(io::Disk& disk, const std::string& path) {
  const auto bytes = disk.read_file(path, kImageBytesMax);
  if (!bytes) return bytes.error();
  auto image = decode_image(bytes_of(*bytes));
  if (!image) return image.error().at(path);
  return image;
}

Status shift_images(io::Disk& disk, const std::string& folder, const std::string& name, std::size_t keep) {
  const auto path = [&](std::size_t number) {
    return io::join(folder, number == 0 ? name : name + "." + std::to_string(number));
  };
  // From the oldest on, so that each is there under one of its two names at any moment.
  for (std::size_t number = keep; number-- > 0;) {
    if (!disk.info(path(number)).ok()) continue;
    if (auto done = disk.rename(path(number), path(number + 1)); !done) return done;
  }
  // Of a time when more were kept.
  for (std::size_t number = keep + 1; disk.info(path(number)).ok(); ++number) {
    if (auto done = disk.remove(path(number)); !done) return done;
  }
  return {};
}

Status store_image(io::Disk& disk, const std::string& folder, const std::string& name, const std::string& temporary,
                   std::string_view bytes, std::size_t keep) {
  const auto fresh = io::join(folder, temporary);
  {
    auto file = disk.open(fresh, {.write = true, .create = true, .truncate = true});
    if (!file) return file.error();
    if (auto done = (*file)->write(0, bytes_of(bytes)); !done) return done;
    if (auto done = (*file)->sync(); !done) return done;
  }
  if (auto done = shift_images(disk, folder, name, keep); !done) return done;
  if (auto done = disk.rename(fresh, io::join(folder, name)); !done) return done;
  return disk.sync_dir(folder);
}

}  // namespace holdfast::backup
