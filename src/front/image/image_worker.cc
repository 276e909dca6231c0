#include "front/image/image_worker.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vips/vips.h>
#include <vips/vector.h>  // not part of the above

#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace holdfast::front {

namespace {

constexpr rlim_t kMemoryMax = rlim_t{1} << 30;  // address space: libraries, and an image of kImagePixelsMax with room to work
constexpr int kJpegQuality = 75;                // of what is made smaller, as upstream's
constexpr int kUprightQuality = 95;             // of what is stored instead of the original

// The few functions of libvips that are used. The types are the header's, so a call is checked like any other.
struct Vips {
#define HOLDFAST_VIPS(name) decltype(&::name) name = nullptr;
#define HOLDFAST_VIPS_ALL                                                                                         \
  HOLDFAST_VIPS(vips_init)                                                                                        \
  HOLDFAST_VIPS(vips_block_untrusted_set)                                                                         \
  HOLDFAST_VIPS(vips_concurrency_set)                                                                             \
  HOLDFAST_VIPS(vips_vector_set_enabled)                                                                          \
  HOLDFAST_VIPS(vips_cache_set_max)                                                                               \
  HOLDFAST_VIPS(vips_jpegload_buffer)                                                                             \
  HOLDFAST_VIPS(vips_pngload_buffer)                                                                              \
  HOLDFAST_VIPS(vips_gifload_buffer)                                                                              \
  HOLDFAST_VIPS(vips_webpload_buffer)                                                                             \
  HOLDFAST_VIPS(vips_jpegsave_buffer)                                                                             \
  HOLDFAST_VIPS(vips_pngsave_buffer)                                                                              \
  HOLDFAST_VIPS(vips_gifsave_buffer)                                                                              \
  HOLDFAST_VIPS(vips_extract_area)                                                                                \
  HOLDFAST_VIPS(vips_resize)                                                                                      \
  HOLDFAST_VIPS(vips_autorot)                                                                                     \
  HOLDFAST_VIPS(vips_image_get_width)                                                                             \
  HOLDFAST_VIPS(vips_image_get_height)                                                                            \
  HOLDFAST_VIPS(vips_image_get_orientation)                                                                       \
  HOLDFAST_VIPS(vips_error_buffer)                                                                                \
  HOLDFAST_VIPS(vips_error_clear)                                                                                 \
  HOLDFAST_VIPS(g_object_unref)                                                                                   \
  HOLDFAST_VIPS(g_free)
  HOLDFAST_VIPS_ALL
#undef HOLDFAST_VIPS

  std::string trouble;  // "" once it is loaded

  Vips() {
    void* library = ::dlopen("libvips.so.42", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      trouble = ::dlerror();
      return;
    }
    // What libvips is linked with is found by its handle too.
#define HOLDFAST_VIPS(function)                                                       \
  function = reinterpret_cast<decltype(function)>(::dlsym(library, #function));       \
  if (function == nullptr && trouble.empty()) trouble = "libvips.so.42 has no " #function;
    HOLDFAST_VIPS_ALL
#undef HOLDFAST_VIPS
    if (trouble.empty() && vips_init("holdfast") != 0) trouble = "libvips does not start";
    if (!trouble.empty()) return;
    vips_block_untrusted_set(TRUE);
    vips_vector_set_enabled(FALSE);  // no machine code is made at run time, which systemd's unit forbids
    vips_concurrency_set(1);  // requests run beside each other in several processes
    vips_cache_set_max(0);
  }
};

class Image {
 public:
  Image(const Vips& vips, VipsImage* image) : vips_(vips), image_(image) {}
  Image(const Image&) = delete;
  ~Image() { set(nullptr); }

  void set(VipsImage* image) {
    if (image_ != nullptr) vips_.g_object_unref(image_);
    image_ = image;
  }
  VipsImage* get() const { return image_; }
  explicit operator bool() const { return image_ != nullptr; }
  ImageSize size() const { return {vips_.vips_image_get_width(image_), vips_.vips_image_get_height(image_)}; }

 private:
  const Vips& vips_;
  VipsImage* image_;
};

enum class Kind { jpeg, png, gif, webp, none };

// Only by what it begins with: each kind has its own decoder, and no other is ever tried.
Kind kind_of(std::string_view data) {
  using namespace std::string_view_literals;
  if (data.starts_with("\xff\xd8\xff"sv)) return Kind::jpeg;
  if (data.starts_with("\x89PNG\r\n\x1a\n"sv)) return Kind::png;
  if (data.starts_with("GIF87a"sv) || data.starts_with("GIF89a"sv)) return Kind::gif;
  if (data.starts_with("RIFF"sv) && data.size() > 12 && data.substr(8, 4) == "WEBP"sv) return Kind::webp;
  return Kind::none;
}

// Half an image is none.
VipsImage* open_image(const Vips& vips, std::string& data, int shrink) {
  VipsImage* out = nullptr;
  int status = -1;
  switch (kind_of(data)) {
    case Kind::jpeg: status = vips.vips_jpegload_buffer(data.data(), data.size(), &out, "shrink", shrink, "fail_on", VIPS_FAIL_ON_ERROR, nullptr); break;
    case Kind::png: status = vips.vips_pngload_buffer(data.data(), data.size(), &out, "fail_on", VIPS_FAIL_ON_ERROR, nullptr); break;
    case Kind::gif: status = vips.vips_gifload_buffer(data.data(), data.size(), &out, "fail_on", VIPS_FAIL_ON_ERROR, nullptr); break;
    case Kind::webp: status = vips.vips_webpload_buffer(data.data(), data.size(), &out, "fail_on", VIPS_FAIL_ON_ERROR, nullptr); break;
    case Kind::none: break;
  }
  return status == 0 ? out : nullptr;
}

struct Done {
  ImageOutcome outcome = ImageOutcome::bad;
  std::string bytes;
};

class Work {
 public:
  Work(const Vips& vips, const ImageWish& wish, std::string& data) : vips_(vips), wish_(wish), data_(data) {}

  Done run() {
    if (!vips_.trouble.empty()) return {ImageOutcome::unavailable, vips_.trouble};
    if (kind_of(data_) == Kind::none) return {ImageOutcome::bad, "neither JPEG, PNG, GIF nor WebP"};
    Image image(vips_, open_image(vips_, data_, 1));
    if (!image) return failed();
    if (wish_.upright) return turn(image);
    const auto steps = image_steps(wish_, image.size());
    if (!steps) return {ImageOutcome::bad, steps.error().what()};
    if (steps->are_none()) return {ImageOutcome::untouched, {}};
    if (!steps->cut && steps->resize && !reopen_smaller(image, *steps->resize)) return failed();
    if (steps->cut && !cut(image, *steps->cut)) return failed();
    if (steps->resize && !resize(image, *steps->resize)) return failed();
    if (steps->middle && !cut(image, *steps->middle)) return failed();
    return save(image, kJpegQuality);
  }

 private:
  Done failed() {
    Done done{ImageOutcome::bad, vips_.vips_error_buffer()};
    vips_.vips_error_clear();
    if (done.bytes.size() > 500) done.bytes.resize(500);
    while (!done.bytes.empty() && done.bytes.back() == '\n') done.bytes.pop_back();
    return done;
  }

  // A JPEG can be decoded at a half, a quarter or an eighth of its size, which is the quicker way down to twice the target.
  bool reopen_smaller(Image& image, ImageSize target) {
    if (kind_of(data_) != Kind::jpeg) return true;
    const auto size = image.size();
    int shrink = 1;
    while (shrink < 8 && size.width / (shrink * 2) >= target.width * 2 && size.height / (shrink * 2) >= target.height * 2) shrink *= 2;
    if (shrink == 1) return true;
    image.set(open_image(vips_, data_, shrink));
    return static_cast<bool>(image);
  }

  bool cut(Image& image, const ImageBox& box) {
    // The size after a resize may be a pixel off.
    const auto size = image.size();
    const int width = std::min(box.size.width, size.width);
    const int height = std::min(box.size.height, size.height);
    VipsImage* out = nullptr;
    if (vips_.vips_extract_area(image.get(), &out, std::min(box.x, size.width - width), std::min(box.y, size.height - height), width, height,
                                nullptr) != 0) {
      return false;
    }
    image.set(out);
    return true;
  }

  bool resize(Image& image, ImageSize target) {
    const auto size = image.size();
    VipsImage* out = nullptr;
    if (vips_.vips_resize(image.get(), &out, static_cast<double>(target.width) / size.width, "vscale",
                          static_cast<double>(target.height) / size.height, nullptr) != 0) {
      return false;
    }
    image.set(out);
    return true;
  }

  Done turn(Image& image) {
    if (kind_of(data_) != Kind::jpeg || vips_.vips_image_get_orientation(image.get()) <= 1) return {ImageOutcome::untouched, {}};
    const auto size = image.size();
    if (std::int64_t{size.width} * size.height > kImagePixelsMax) return {ImageOutcome::bad, "too many pixels"};
    VipsImage* out = nullptr;
    if (vips_.vips_autorot(image.get(), &out, nullptr) != 0) return failed();
    image.set(out);
    return save(image, kUprightQuality);
  }

  Done save(Image& image, int quality) {
    void* bytes = nullptr;
    std::size_t size = 0;
    int status = -1;
    switch (wish_.format) {
      case ImageFormat::jpeg: status = vips_.vips_jpegsave_buffer(image.get(), &bytes, &size, "Q", quality, nullptr); break;
      case ImageFormat::png: status = vips_.vips_pngsave_buffer(image.get(), &bytes, &size, nullptr); break;
      case ImageFormat::gif: status = vips_.vips_gifsave_buffer(image.get(), &bytes, &size, nullptr); break;
    }
    if (status != 0) return failed();
    Done done{ImageOutcome::done, std::string(static_cast<const char*>(bytes), size)};
    vips_.g_free(bytes);
    return done;
  }

  const Vips& vips_;
  const ImageWish wish_;
  std::string& data_;
};

bool receive(void* to, std::size_t n) {
  auto* at = static_cast<char*>(to);
  while (n > 0) {
    const auto got = ::recv(kImageWorkerSocket, at, n, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    n -= static_cast<std::size_t>(got);
  }
  return true;
}

bool send(const void* from, std::size_t n) {
  const auto* at = static_cast<const char*>(from);
  while (n > 0) {
    const auto sent = ::send(kImageWorkerSocket, at, n, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    n -= static_cast<std::size_t>(sent);
  }
  return true;
}

void limit(__rlimit_resource what, rlim_t most) {
  const rlimit both{most, most};
  (void)::setrlimit(what, &both);
}

// Whatever goes wrong in here stays in here.
void lock_down() {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);  // with the thread that started it, if that does not close the socket first
  (void)::prctl(PR_SET_NAME, kImageWorkerTitle);
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);  // a library that wants a file for its machine code gets an error, and does without
  (void)::signal(SIGXFSZ, SIG_IGN);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  limit(RLIMIT_AS, kMemoryMax);  // a sanitizer reserves terabytes
#endif
  // If memory runs out on this machine, this is the process to go.
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file >= 0) {
    (void)!::write(file, "1000", 4);
    ::close(file);
  }
}

[[noreturn]] void work() {
  lock_down();
  // What a library writes is nobody's to read.
  const int nothing = ::open("/dev/null", O_RDWR);
  (void)::clearenv();  // nor its settings and folders anybody's to say
  (void)::setenv("VIPS_DISC_THRESHOLD", "1g", 1);  // large images stay in memory: there is no file for them (lock_down)
  for (int i = 0; i < 3; ++i) (void)::dup2(nothing, i);
  const Vips vips;
  std::string data;
  ImageRequest request;
  while (receive(&request, sizeof request)) {
    if (request.bytes > kImageBytesMax) break;
    data.resize(static_cast<std::size_t>(request.bytes));
    if (!receive(data.data(), data.size())) break;
    const Done done = Work(vips, request.wish, data).run();
    ImageAnswer answer;
    ::memset(static_cast<void*>(&answer), 0, sizeof answer);
    answer.outcome = done.outcome;
    answer.bytes = done.bytes.size();
    if (!send(&answer, sizeof answer) || !send(done.bytes.data(), done.bytes.size())) break;
  }
  ::_exit(0);
}

}  // namespace

void become_image_worker_if_asked(int argc, char** argv) {
  if (argc != 1 || std::string_view(argv[0]) != kImageWorkerTitle) return;
  int kind = 0;
  socklen_t length = sizeof kind;
  if (::getsockopt(kImageWorkerSocket, SOL_SOCKET, SO_TYPE, &kind, &length) != 0 || kind != SOCK_STREAM) {
    (void)std::fprintf(stderr, "a volume server starts this by itself\n");
    ::_exit(2);
  }
  work();
}

}  // namespace holdfast::front
