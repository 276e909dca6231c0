#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace holdfast {

const char* text(Code code) {
  switch (code) {
    case Code::not_found: return "not_found";
    case Code::already_exists: return "already_exists";
    case Code::invalid: return "invalid";
    case Code::unsupported: return "unsupported";
    case Code::not_leader: return "not_leader";
    case Code::stale: return "stale";
    case Code::busy: return "busy";
    case Code::unavailable: return "unavailable";
    case Code::timed_out: return "timed_out";
    case Code::outcome_unknown: return "outcome_unknown";
    case Code::read_only: return "read_only";
    case Code::no_space: return "no_space";
    case Code::corrupt: return "corrupt";
    case Code::io: return "io";
    case Code::refused: return "refused";
    case Code::internal: return "internal";
  }
  return "internal";
}

Error errno_error(int error_number, const std::string& doing) {
  Code code = Code::io;
  switch (error_number) {
    case ENOENT: code = Code::not_found; break;
    case EEXIST: code = Code::already_exists; break;
    case ENOSPC:
    case EDQUOT: code = Code::no_space; break;
    case EROFS: code = Code::read_only; break;
    case EACCES:
    case EPERM: code = Code::refused; break;
    case EINVAL: code = Code::invalid; break;
    default: break;
  }
  return Error(code, doing + ": " + std::strerror(error_number));
}

}  // namespace holdfast
