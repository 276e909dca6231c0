// The process in which images are decoded. Libraries that decode images have been broken by crafted files again and
// again, so none of that happens in the server: it starts this program once more as a worker (posix_spawn of
// /proc/self/exe, see ImagePool), which has one socket, little memory, no files to write, and is killed when it takes too
// long. What it answers is only bytes to send to the client who asked.
//
// libvips is loaded by the worker when it starts (dlopen), not by the server: a server that never resizes an image
// carries none of its some eighty libraries, and one on a machine without them serves images as they are stored.
//
// On the wire, a stream socket between two processes of one program: ImageRequest and `bytes` of the image; ImageAnswer
// and `bytes` of the result, or of a text that says what is wrong.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "front/image/image_plan.h"

namespace holdfast::front {

// An image of more bytes is not looked at, and a result of more is not taken.
inline constexpr std::uint64_t kImageBytesMax = 32_MiB;

struct ImageRequest {
  ImageWish wish;
  std::uint64_t bytes = 0;
};

enum class ImageOutcome : std::uint32_t {
  done,
  untouched,    // it is to be sent as it is
  bad,          // no image that is known here, damaged, or too large
  unavailable,  // libvips cannot be loaded
};

struct ImageAnswer {
  ImageOutcome outcome = ImageOutcome::bad;
  std::uint64_t bytes = 0;
};

// First thing in main(): in a process that was started as a worker it does not return.
void become_image_worker_if_asked(int argc, char** argv);

// How the pool names it, as argv[0].
inline constexpr const char* kImageWorkerTitle = "holdfast-images";
inline constexpr int kImageWorkerSocket = 3;

}  // namespace holdfast::front
