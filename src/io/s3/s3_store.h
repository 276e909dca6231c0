// S3Store: a bucket of Amazon S3, or of what speaks like it, as an ObjectStore.
//
// Requests are signed with Signature Version 4, contents included, so that what arrives is what was sent also over plain
// http; without an access key they are not signed. Buckets are named in the path. Files above kPartsAbove go in parts; when
// one of them fails for good the upload is aborted, so that no parts stay behind that somebody pays for.
//
// libcurl.so.4 is loaded when the first store is made, not when the program starts: who keeps nothing in S3 needs neither
// the library nor the time and memory that it takes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "io/object_store.h"

namespace holdfast::io::s3 {

struct S3Options {
  std::string name;  // for words in errors, "s3.cold"
  std::string endpoint;  // "http://host:port" or "https://..."; "": Amazon's of the region
  std::string region;    // "": us-east-1
  std::string bucket;
  std::string access_key;
  std::string secret_key;
  std::string storage_class;  // "": the bucket's own

  // For tests.
  std::uint64_t parts_above = 64_MiB;
  Duration retry_pause = 200ms;  // doubles from one try to the next
};

// invalid: the options cannot be; unsupported: there is no libcurl on this machine.
Result<std::unique_ptr<ObjectStore>> make_s3_store(S3Options options);

}  // namespace holdfast::io::s3
