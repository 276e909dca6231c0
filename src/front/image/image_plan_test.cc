#include "front/image/image_plan.h"

#include <gtest/gtest.h>

namespace holdfast::front {
namespace {

constexpr ImageSize kSource{80, 40};

// What comes out at the end.
ImageSize outcome(const ImageWish& wish, ImageSize source = kSource) {
  const auto steps = image_steps(wish, source);
  EXPECT_TRUE(steps.ok());
  auto size = source;
  if (steps->cut) size = steps->cut->size;
  if (steps->resize) size = *steps->resize;
  if (steps->middle) size = steps->middle->size;
  return size;
}

ImageSize resized(int width, int height, ImageMode mode = ImageMode::plain, ImageSize source = kSource) {
  return outcome({.width = width, .height = height, .mode = mode}, source);
}

TEST(ImagePlan, ShrinksAsTheSpecSays) {
  EXPECT_EQ(resized(20, 0), (ImageSize{20, 10}));
  EXPECT_EQ(resized(0, 10), (ImageSize{20, 10}));
  EXPECT_EQ(resized(20, 30), (ImageSize{20, 30}));
  EXPECT_EQ(resized(200, 10), (ImageSize{200, 10}));
  EXPECT_EQ(resized(20, 20), (ImageSize{20, 20}));
  EXPECT_EQ(image_steps({.width = 20, .height = 20}, kSource)->middle, (ImageBox{10, 0, {20, 20}}));
  EXPECT_EQ(resized(20, 30, ImageMode::fit), (ImageSize{20, 10}));
  EXPECT_EQ(resized(30, 10, ImageMode::fit), (ImageSize{20, 10}));
  EXPECT_EQ(resized(200, 10, ImageMode::fit), (ImageSize{20, 10}));
  EXPECT_EQ(resized(20, 30, ImageMode::fill), (ImageSize{20, 30}));
  EXPECT_EQ(*image_steps({.width = 20, .height = 30, .mode = ImageMode::fill}, kSource),
            (ImageSteps{.resize = ImageSize{60, 30}, .middle = ImageBox{20, 0, {20, 30}}}));
  EXPECT_EQ(resized(1, 0, ImageMode::plain, {1000, 10}), (ImageSize{1, 1}));
  EXPECT_EQ(resized(30, 30, ImageMode::fit, {90, 90}), (ImageSize{30, 30}));
}

TEST(ImagePlan, NeverEnlargesAndLeavesAloneWhatFits) {
  for (const auto mode : {ImageMode::plain, ImageMode::fit, ImageMode::fill}) {
    for (const auto& [width, height] : {std::pair{80, 40}, {200, 0}, {0, 40}, {100, 100}, {80, 0}, {0, 0}, {-1, -5}}) {
      EXPECT_TRUE(image_steps({.width = width, .height = height, .mode = mode}, kSource)->are_none()) << width << "x" << height;
    }
  }
}

TEST(ImagePlan, CutsFirstAndOnlyWithinTheImage) {
  EXPECT_EQ(*image_steps({.x1 = 10, .y1 = 5, .x2 = 70, .y2 = 40}, kSource), (ImageSteps{.cut = ImageBox{10, 5, {60, 35}}}));
  EXPECT_EQ(outcome({.width = 30, .x1 = 10, .y1 = 0, .x2 = 70, .y2 = 40}), (ImageSize{30, 20}));
  for (const auto& wish : {ImageWish{.x2 = 81, .y2 = 40}, {.x2 = 80, .y2 = 41}, {.x1 = -1, .x2 = 5, .y2 = 5}, {.x1 = 5, .x2 = 5, .y2 = 5},
                           {.y1 = 6, .x2 = 5, .y2 = 5}}) {
    EXPECT_TRUE(image_steps(wish, kSource)->are_none());
  }
}

TEST(ImagePlan, HasABound) {
  EXPECT_FALSE(image_steps({.width = 1}, {INT32_MAX, INT32_MAX}).ok());
  EXPECT_FALSE(image_steps({.width = INT32_MAX, .height = 1}, {100, INT32_MAX / 100}).ok());
  EXPECT_FALSE(image_steps({.width = INT32_MAX, .height = 39}, kSource).ok());
  EXPECT_FALSE(image_steps({.width = 1, .height = INT32_MAX, .mode = ImageMode::fill}, {80, 40}).ok());
  EXPECT_EQ(resized(1, INT32_MAX, ImageMode::fit), (ImageSize{1, 1}));
}

TEST(ImagePlan, KnowsTheKindsByTheirExtension) {
  EXPECT_EQ(image_format_of(".JPEG"), ImageFormat::jpeg);
  EXPECT_EQ(image_format_of(".webp"), ImageFormat::png);
  EXPECT_EQ(image_format_of(".gif"), ImageFormat::gif);
  for (const char* ext : {"", ".", ".svg", ".jpgx", "jpg", ".tiff"}) EXPECT_FALSE(image_format_of(ext)) << ext;
}

}  // namespace
}  // namespace holdfast::front
