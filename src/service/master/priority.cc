#include "service/master/priority.h"

#include <sys/resource.h>
#include <unistd.h>

namespace holdfast::master {
namespace {

constexpr int kNice = -10;

}  // namespace

void go_before_bulk_work() {
  const auto thread = static_cast<id_t>(::gettid());
  if (::getpriority(PRIO_PROCESS, thread) > kNice) (void)::setpriority(PRIO_PROCESS, thread, kNice);
}

}  // namespace holdfast::master
