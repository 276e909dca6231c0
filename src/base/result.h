// Result<T>: a value or an Error. For expected outcomes and the world's failures (style page, section 5).
//
// An Error's code says what the caller can do, its text says where it passed, outermost first:
// "volume 7: crc mismatch". front/ maps codes to HTTP, gRPC and errno in one table.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace holdfast {

enum class Code {
  not_found,        // it is not there; looking again does not help
  already_exists,   // it is there, and differs
  invalid,          // the request is wrong: mend it, do not repeat it
  unsupported,      // this build does not do that
  not_leader,       // go to the leader
  stale,            // you decided on old state: read again
  busy,             // a bound is reached: wait and retry
  unavailable,      // nobody can do it now (no leader, no quorum): retry later
  timed_out,        // surely without effect
  outcome_unknown,  // may have taken effect: retry with the same id or look
  read_only,        // the place takes no writes
  no_space,         // the disk is full
  corrupt,          // bytes read back are not the bytes written
  io,               // the disk or the network failed
  refused,          // not allowed: white list, foreign cluster, older term
  internal,         // should not happen, but is no reason to stop
};

// "not_found", "already_exists", ... for logs and metrics.
const char* text(Code code);

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string what) : code_(code), what_(std::move(what)) {}

  Code code() const { return code_; }
  const std::string& what() const { return what_; }

  // The same error seen from one step further out: "place: what".
  Error at(const std::string& place) const { return Error(code_, place + ": " + what_); }

 private:
  Code code_;
  std::string what_;
};

// An Error from errno: "open ./1/7.dat: No such file or directory" with the fitting code.
Error errno_error(int error_number, const std::string& doing);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: by design

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  T& value() {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const Error& error() const {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: by design

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    CHECK(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace holdfast
