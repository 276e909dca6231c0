// Images in another size, and upright ones (spec/weed-cluster 3.8). Decoded in processes of their own: front/image/.
#include <charconv>

#include "base/log.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

using http::Exchange;

namespace {

constexpr std::size_t kExifWithin = 64_KiB;  // the segment with the orientation comes first, and holds no more

// As Go's Atoi; anything else counts as not given.
std::int32_t number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

bool is_webp(std::string_view ext) { return ext.size() == 5 && io::http1::same_name(ext, ".webp"); }

}  // namespace

std::string_view extension(std::string_view name) {
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot);
}

std::optional<ImageWish> image_wish(const Asked& asked, std::string_view stored_name) {
  ImageWish wish;
  wish.width = std::max(0, number(asked.param("width")));
  wish.height = std::max(0, number(asked.param("height")));
  wish.x1 = number(asked.param("crop_x1"));
  wish.y1 = number(asked.param("crop_y1"));
  wish.x2 = number(asked.param("crop_x2"));
  wish.y2 = number(asked.param("crop_y2"));
  if (!wish.resizes() && !wish.cuts()) return std::nullopt;
  const auto ext = asked.path.ext.empty() ? extension(stored_name) : asked.path.ext;
  const auto format = image_format_of(ext);
  if (!format) return std::nullopt;
  wish.format = *format;
  if (is_webp(ext)) wish.x2 = wish.y2 = 0;  // resized, but not cut
  if (!wish.resizes() && !wish.cuts()) return std::nullopt;
  const auto mode = asked.param("mode");
  wish.mode = mode == "fit" ? ImageMode::fit : mode == "fill" ? ImageMode::fill : ImageMode::plain;
  return wish;
}

Task VolumeRoutes::Inside::answer_image(Exchange& exchange, std::unique_ptr<Asked> asked, volume::Found found,
                                        ImageWish wish) {
  keep(found);
  HeaderList headers;
  if (collect_headers(exchange, *asked, found, headers)) co_return;
  auto load_all = [&found] { return whole_data(found, kImageBytesMax); };
  auto image = co_await on_pool<std::string>(exchange.loop(), load_all, found.body.get());
  Result<std::optional<std::string>> resized = Error(Code::invalid, "");
  if (image) {
    auto start = [&](auto done) { images->run(wish, std::move(*image), done); };
    resized = co_await awaited<Result<std::optional<std::string>>>(exchange.loop(), start);
  } else {
    resized = image.error();
  }
  if (!resized || !resized->has_value()) {
    if (!resized) LOG_V(1, "{} is sent as it is stored: {}", text(asked->id), resized.error().what());
    asked->as_stored = true;
    answer_found(exchange, *asked, found);
    co_return;
  }
  const bool is_type_asked_for = !asked->param("response-content-type").empty();
  if (wish.format == ImageFormat::png && headers.stored_type == "image/webp" && !is_type_asked_for) {
    headers.set("Content-Type", "image/png");  // which it is now
    headers.stored_type = "image/png";
  }
  answer_data(exchange, *asked, headers, **resized);
}

Async<Status> VolumeRoutes::Inside::turn_upright(io::EventLoop& loop, UploadBody& body) {
  if (body.size() > kImageBytesMax) co_return Error(Code::no_space, "the image is too large to be turned");
  auto load_all = [&body] { return body.whole(); };
  auto image = co_await on_pool<std::string>(loop, load_all);
  if (!image) co_return image.error();
  // Most say nothing of how they were taken, or lie upright: no need to decode those.
  if (std::string_view(*image).substr(0, kExifWithin).find("Exif") == std::string_view::npos) co_return Status();
  ImageWish wish;
  wish.upright = true;
  auto start = [&](auto done) { images->run(wish, std::move(*image), done); };
  auto turned = co_await awaited<Result<std::optional<std::string>>>(loop, start);
  if (!turned) co_return turned.error();
  if (turned->has_value()) body.replace(std::move(**turned));
  co_return Status();
}

}  // namespace holdfast::front
