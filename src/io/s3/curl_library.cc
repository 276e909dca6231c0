#include "io/s3/curl_library.h"

#include <dlfcn.h>

namespace holdfast::io::s3 {

CurlLibrary::CurlLibrary() {
  void* const library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    trouble_ = "libcurl.so.4 cannot be loaded, which reaches S3: install the package libcurl4";
    return;
  }
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    if (function == nullptr) trouble_ = std::string("libcurl.so.4 has no ") + name + ": it is too old";
  };
  find(global_init, "curl_global_init");
  find(easy_init, "curl_easy_init");
  find(easy_cleanup, "curl_easy_cleanup");
  find(easy_reset, "curl_easy_reset");
  find(easy_setopt, "curl_easy_setopt");
  find(easy_perform, "curl_easy_perform");
  find(easy_getinfo, "curl_easy_getinfo");
  find(easy_strerror, "curl_easy_strerror");
  find(slist_append, "curl_slist_append");
  find(slist_free_all, "curl_slist_free_all");
  if (trouble_.empty() && global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) trouble_ = "libcurl does not start";
}

Result<const CurlLibrary*> CurlLibrary::load() {
  static const CurlLibrary library;
  if (!library.trouble_.empty()) return Error(Code::unsupported, library.trouble_);
  return &library;
}

}  // namespace holdfast::io::s3
