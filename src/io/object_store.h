// ObjectStore: a place outside this machine that keeps whole files under keys, such as a bucket of S3.
//
// An object never changes under its key: whoever writes takes a new key. Every call waits for the network, some for
// minutes, so none belongs on an event loop or among threads that others wait for. What fails is tried again where that
// may help (a refused connection, an answer that says "later"), for a bounded time.
//
// Errors: not_found, there is no such object; refused, the store does not let us (keys, permissions, its name);
// unavailable, nobody can say now; corrupt, the object ends before the range does; others as the local file's. Their
// words name the store and repeat its own message.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "io/disk.h"

namespace holdfast::io {

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Called now and then with how many bytes have gone out. False: it is called off, and the call answers `unavailable`.
  using Progress = std::function<bool(std::uint64_t bytes)>;

  // Stores the first `bytes` bytes of `file`, which must not change meanwhile, all or nothing: the object is there once
  // this returned ok, and after an error it is not, unless the answer alone was lost.
  virtual Status put(const std::string& key, const File& file, std::uint64_t bytes, const Progress& progress) = 0;

  virtual Result<std::uint64_t> size(const std::string& key) = 0;

  // Fills `out` with what lies at `offset`, by one request.
  virtual Status read(const std::string& key, std::uint64_t offset, std::span<std::uint8_t> out) = 0;

  virtual Status remove(const std::string& key) = 0;  // ok when it is not there
};

}  // namespace holdfast::io
