// CHECK: an assertion that stays on in every build.
//
// For our own mistakes only. Bytes from outside (disk, wire, command line) never meet CHECK: they become an Error.
// A failed CHECK writes one line to stderr and aborts; the replicas carry on.
#pragma once

namespace holdfast {

[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace holdfast

#define CHECK(condition)                                             \
  (__builtin_expect(static_cast<bool>(condition), 1)                 \
       ? static_cast<void>(0)                                        \
       : ::holdfast::check_failed(__FILE__, __LINE__, #condition))
