// CurlLibrary: libcurl, loaded when it is first asked for. Its types and constants are those of its header.
//
// Thread-safe.
#pragma once

#include <curl/curl.h>

#include <string>

#include "base/result.h"

namespace holdfast::io::s3 {

class CurlLibrary {
 public:
  // unsupported when it is not to be had; the next call does not try again.
  static Result<const CurlLibrary*> load();

  decltype(&::curl_global_init) global_init = nullptr;
  decltype(&::curl_easy_init) easy_init = nullptr;
  decltype(&::curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&::curl_easy_reset) easy_reset = nullptr;
  decltype(&::curl_easy_setopt) easy_setopt = nullptr;
  decltype(&::curl_easy_perform) easy_perform = nullptr;
  decltype(&::curl_easy_getinfo) easy_getinfo = nullptr;
  decltype(&::curl_easy_strerror) easy_strerror = nullptr;
  decltype(&::curl_slist_append) slist_append = nullptr;
  decltype(&::curl_slist_free_all) slist_free_all = nullptr;

 private:
  CurlLibrary();

  std::string trouble_;  // "" once it is loaded
};

}  // namespace holdfast::io::s3
