// What becomes of an image that is asked for smaller (spec/weed-cluster 3.8): first a cut, then a resize, each only where
// it applies. Pure: sizes in, sizes out.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace holdfast::front {

enum class ImageFormat : std::uint8_t { jpeg, png, gif };

// By the extension, in any case: ".jpg"; a .webp is answered as PNG. Nothing: no kind of image that is resized here.
std::optional<ImageFormat> image_format_of(std::string_view ext);

enum class ImageMode : std::uint8_t {
  plain,  // to the size asked for, in whatever shape; a square of what is no square: its middle
  fit,    // within it
  fill,   // all of it, the middle of what is too much
};

// Plain numbers throughout: it goes to another process as it lies in memory.
struct ImageWish {
  std::int32_t width = 0;  // 0: not asked for
  std::int32_t height = 0;
  std::int32_t x1 = 0;  // the cut; nothing unless x2 and y2 lie beyond them
  std::int32_t y1 = 0;
  std::int32_t x2 = 0;
  std::int32_t y2 = 0;
  ImageMode mode = ImageMode::plain;
  ImageFormat format = ImageFormat::jpeg;
  bool upright = false;  // turned as its EXIF orientation says, and nothing else

  bool resizes() const { return width > 0 || height > 0; }
  bool cuts() const { return x1 >= 0 && y1 >= 0 && x2 > x1 && y2 > y1; }
};

// More pixels than these, before or after, are too much work for one request: the image is sent as it is.
inline constexpr std::int64_t kImagePixelsMax = 50'000'000;

struct ImageSize {
  std::int32_t width = 0;
  std::int32_t height = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

struct ImageBox {
  std::int32_t x = 0;
  std::int32_t y = 0;
  ImageSize size;
  friend bool operator==(const ImageBox&, const ImageBox&) = default;
};

// In this order; all absent: it is sent as it is.
struct ImageSteps {
  std::optional<ImageBox> cut;
  std::optional<ImageSize> resize;
  std::optional<ImageBox> middle;  // of the resized one

  bool are_none() const { return !cut && !resize && !middle; }
  friend bool operator==(const ImageSteps&, const ImageSteps&) = default;
};

// Code::no_space: above kImagePixelsMax.
Result<ImageSteps> image_steps(const ImageWish& wish, ImageSize source);

}  // namespace holdfast::front
