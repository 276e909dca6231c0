#include "front/image/image_plan.h"

#include <algorithm>
#include <cmath>

namespace holdfast::front {

namespace {

std::int32_t at_least_one(double length) {
  return static_cast<std::int32_t>(std::clamp(length, 1.0, static_cast<double>(INT32_MAX)));
}

std::int64_t pixels(ImageSize size) { return std::int64_t{size.width} * size.height; }

bool is_too_much(ImageSize size) { return pixels(size) > kImagePixelsMax; }

}  // namespace

std::optional<ImageFormat> image_format_of(std::string_view ext) {
  const auto is = [ext](std::string_view other) {
    return std::equal(ext.begin(), ext.end(), other.begin(), other.end(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
  };
  if (is(".jpg") || is(".jpeg")) return ImageFormat::jpeg;
  if (is(".png") || is(".webp")) return ImageFormat::png;
  if (is(".gif")) return ImageFormat::gif;
  return std::nullopt;
}

Result<ImageSteps> image_steps(const ImageWish& wish, ImageSize source) {
  if (is_too_much(source)) return Error(Code::no_space, "too many pixels");
  ImageSteps steps;
  auto size = source;
  if (wish.cuts() && wish.x2 <= source.width && wish.y2 <= source.height) {
    size = {wish.x2 - wish.x1, wish.y2 - wish.y1};
    steps.cut = ImageBox{wish.x1, wish.y1, size};
  }
  const bool shrinks = (wish.width > 0 && size.width > wish.width) || (wish.height > 0 && size.height > wish.height);
  if (!shrinks) return steps;

  const double across = size.width;
  const double down = size.height;
  const bool is_square_of_none = wish.width == wish.height && size.width != size.height;
  ImageSize target{wish.width, wish.height};
  if (wish.width <= 0) {
    target.width = at_least_one(std::floor(wish.height * across / down + 0.5));
  } else if (wish.height <= 0) {
    target.height = at_least_one(std::floor(wish.width * down / across + 0.5));
  } else if (wish.mode == ImageMode::fit) {
    const double scale = std::min(wish.width / across, wish.height / down);
    // A hair's breadth for what the division loses: 3 times a third is all of it.
    target = {at_least_one(std::floor(across * scale + 1e-9)), at_least_one(std::floor(down * scale + 1e-9))};
  } else if (wish.mode == ImageMode::fill || is_square_of_none) {
    const double scale = std::max(wish.width / across, wish.height / down);
    target = {std::max(wish.width, at_least_one(std::floor(across * scale + 0.5))),
              std::max(wish.height, at_least_one(std::floor(down * scale + 0.5)))};
    if (target.width != wish.width || target.height != wish.height) {
      steps.middle = ImageBox{(target.width - wish.width) / 2, (target.height - wish.height) / 2, {wish.width, wish.height}};
    }
  }
  if (is_too_much(target)) return Error(Code::no_space, "too many pixels asked for");
  steps.resize = target;
  return steps;
}

}  // namespace holdfast::front
