#include "front/image/image_pool.h"

#include <gtest/gtest.h>

#include <future>

namespace holdfast::front {
namespace {

// The workers of these tests are this very program.
__attribute__((constructor)) void become_worker(int argc, char** argv) { become_image_worker_if_asked(argc, argv); }

std::string bytes_of_numbers(std::initializer_list<int> numbers) {
  std::string out;
  for (const int n : numbers) out.push_back(static_cast<char>(n));
  return out;
}

// A GIF of 80x40 pixels, all of the first colour: LZW codes of nine bits with a clear code often enough never to grow.
std::string gif(int width = 80, int height = 40) {
  std::string out = "GIF89a" + bytes_of_numbers({width & 255, width >> 8, height & 255, height >> 8, 0x80, 0, 0, 255, 0, 0, 0, 0, 255, 0x2c, 0, 0, 0, 0,
                                                 width & 255, width >> 8, height & 255, height >> 8, 0, 7});
  std::string codes;
  for (int i = 0; i < width * height; ++i) {
    if (i % 100 == 0) codes.push_back(static_cast<char>(0x80));  // clear: codes of 8 bits again
    codes.push_back(0);
  }
  codes.push_back(static_cast<char>(0x81));
  for (std::size_t at = 0; at < codes.size(); at += 255) {
    const auto piece = codes.substr(at, 255);
    out += static_cast<char>(piece.size()) + piece;
  }
  return out + bytes_of_numbers({0, 0x3b});
}

Result<std::optional<std::string>> run(ImagePool& pool, const ImageWish& wish, const std::string& image) {
  std::promise<Result<std::optional<std::string>>> promise;
  pool.run(wish, image, [&](Result<std::optional<std::string>> result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

// Of a PNG: what its first chunk says.
ImageSize png_size(const std::string& png) {
  const auto number = [&](std::size_t at) {
    std::int32_t n = 0;
    for (std::size_t i = 0; i < 4; ++i) n = n << 8 | static_cast<unsigned char>(png[at + i]);
    return n;
  };
  EXPECT_EQ(png.substr(1, 3), "PNG");
  return {number(16), number(20)};
}

ImageWish png_wish(int width, int height, ImageMode mode = ImageMode::plain) {
  return {.width = width, .height = height, .mode = mode, .format = ImageFormat::png};
}

// A thumbnail of a 80x40 image, as PNG.
std::string png(ImagePool& pool, const ImageWish& wish) {
  const auto result = run(pool, wish, gif());
  EXPECT_TRUE(result.ok()) << result.error().what();
  EXPECT_TRUE(result->has_value());
  return result->value_or("");
}

TEST(ImagePool, ResizesAndCuts) {
  metrics::Registry registry;
  ImagePool pool({}, registry);
  EXPECT_EQ(png_size(png(pool, png_wish(20, 0))), (ImageSize{20, 10}));
  EXPECT_EQ(png_size(png(pool, png_wish(20, 20))), (ImageSize{20, 20}));
  EXPECT_EQ(png_size(png(pool, png_wish(200, 10))), (ImageSize{200, 10}));
  EXPECT_EQ(png_size(png(pool, png_wish(30, 10, ImageMode::fit))), (ImageSize{20, 10}));
  EXPECT_EQ(png_size(png(pool, png_wish(20, 30, ImageMode::fill))), (ImageSize{20, 30}));
  auto cut = png_wish(0, 0);
  cut.x1 = 10;
  cut.x2 = 70;
  cut.y2 = 7;
  EXPECT_EQ(png_size(png(pool, cut)), (ImageSize{60, 7}));
  const auto untouched = run(pool, png_wish(80, 40), gif());
  ASSERT_TRUE(untouched.ok());
  EXPECT_FALSE(untouched->has_value());
  EXPECT_EQ(registry.counter("holdfast_volume_images_total", "", {{"outcome", "resized"}}).value(), 6u);
  // And from each kind to each kind.
  for (const auto format : {ImageFormat::jpeg, ImageFormat::gif, ImageFormat::png}) {
    auto wish = png_wish(40, 0);
    wish.format = format;
    const auto first = run(pool, wish, gif());
    ASSERT_TRUE(first.ok() && first->has_value()) << static_cast<int>(format);
    const auto second = run(pool, png_wish(20, 0), **first);
    ASSERT_TRUE(second.ok() && second->has_value()) << static_cast<int>(format);
    EXPECT_EQ(png_size(**second), (ImageSize{20, 10}));
  }
}

// Above 100 MiB decoded libvips would go through a file on disk if it were not told otherwise, and a worker may write none.
TEST(ImagePool, AnImageAsLargeAsMayBeIsResized) {
  metrics::Registry registry;
  ImagePool pool({.patience = 10min}, registry);  // a busy machine under a sanitizer
  const auto large = png(pool, png_wish(1'250'000, 39));
  ASSERT_EQ(png_size(large), (ImageSize{1'250'000, 39}));
  const auto small = run(pool, png_wish(1000, 20), large);
  ASSERT_TRUE(small.ok()) << small.error().what();
  ASSERT_TRUE(small->has_value());
  EXPECT_EQ(png_size(**small), (ImageSize{1000, 20}));
}

TEST(ImagePool, BadImagesCostNothingButTheirOwnResult) {
  metrics::Registry registry;
  ImagePool pool({}, registry);
  auto bomb = gif();
  for (const std::size_t at : {6u, 7u, 8u, 9u, 24u, 25u, 26u, 27u}) bomb[at] = static_cast<char>(0xff);  // 65535x65535
  for (const std::string& bad : {std::string(), std::string("no image at all"), std::string("\xff\xd8\xff garbage"), gif().substr(0, 20), bomb,
                                 std::string("<svg width='10' height='10'/>")}) {
    EXPECT_FALSE(run(pool, png_wish(20, 0), bad).ok()) << bad.substr(0, 10);
  }
  EXPECT_FALSE(run(pool, png_wish(INT32_MAX, 39), gif()).ok());
  EXPECT_FALSE(run(pool, png_wish(20, 0), std::string(kImageBytesMax + 1, 'x')).ok());
  EXPECT_EQ(png_size(png(pool, png_wish(20, 0))), (ImageSize{20, 10}));
}

// A little fuzzing: bits flipped, bytes cut and doubled in sound images of all kinds. Whatever comes back, the pool serves.
TEST(ImagePool, DamagedImagesDoNotStopIt) {
  metrics::Registry registry;
  ImagePool pool({.patience = 5s}, registry);
  std::vector<std::string> sound = {gif()};
  for (const auto format : {ImageFormat::jpeg, ImageFormat::png}) {
    auto wish = png_wish(60, 0);
    wish.format = format;
    sound.push_back(**run(pool, wish, gif()));
  }
  std::uint32_t state = 7;
  const auto random = [&] { return state = state * 1664525u + 1013904223u, state >> 8; };
  for (int round = 0; round < 300; ++round) {
    auto image = sound[static_cast<std::size_t>(round) % sound.size()];
    for (unsigned i = 0; i <= random() % 6; ++i) {
      const auto at = random() % image.size();
      switch (random() % 4) {
        case 0: image.resize(at + 1); break;
        case 1: image.insert(at, image.substr(at, random() % 50)); break;
        default: image[at] = static_cast<char>(random()); break;
      }
    }
    (void)run(pool, png_wish(1 + static_cast<int>(random() % 90), static_cast<int>(random() % 60)), image);
  }
  EXPECT_EQ(png_size(png(pool, png_wish(20, 0))), (ImageSize{20, 10}));
}

TEST(ImagePool, AWorkerThatDiesOrHangsIsReplacedAndItsRequestFails) {
  metrics::Registry registry;
  ImagePool dead({.workers = 1, .program = "/bin/false"}, registry);
  EXPECT_FALSE(run(dead, png_wish(20, 0), gif()).ok());
  EXPECT_FALSE(run(dead, png_wish(20, 0), gif()).ok());
  ImagePool none({.workers = 1, .program = "/nonexistent/program"}, registry);
  EXPECT_FALSE(run(none, png_wish(20, 0), gif()).ok());
  ImagePool silent({.workers = 1, .patience = 100ms, .program = "/bin/cat"}, registry);  // reads its terminal for ever, or ends
  EXPECT_FALSE(run(silent, png_wish(20, 0), gif()).ok());
  EXPECT_EQ(registry.counter("holdfast_volume_images_total", "", {{"outcome", "failed"}}).value(), 4u);
}

TEST(ImagePool, RefusesMoreThanMayWaitAndAnswersAllAtItsEnd) {
  metrics::Registry registry;
  std::atomic<int> answered{0};
  {
    ImagePool pool({.workers = 1, .waiting_max = 4}, registry);
    for (int i = 0; i < 50; ++i) pool.run(png_wish(20, 0), gif(), [&](const auto&) { ++answered; });
    EXPECT_GE(answered, 40);  // at once
  }
  EXPECT_EQ(answered, 50);
}

TEST(ImagePool, AWorkerWithoutWorkEndsAndAnotherOneComes) {
  metrics::Registry registry;
  ImagePool pool({.workers = 1, .idle = 10ms}, registry);
  EXPECT_EQ(png_size(png(pool, png_wish(20, 0))), (ImageSize{20, 10}));
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(png_size(png(pool, png_wish(20, 0))), (ImageSize{20, 10}));
}

}  // namespace
}  // namespace holdfast::front
