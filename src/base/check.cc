#include "base/check.h"

#include <cstdlib>

#include "base/log.h"

namespace holdfast {

void check_failed(const char* file, int line, const char* condition) {
  log::write(log::Severity::fatal, file, line, std::string("CHECK failed: ") + condition);
  std::abort();
}

}  // namespace holdfast
