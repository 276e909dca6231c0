// The metaloggers that a master knows of: as JSON (/cluster/metaloggers) and as a section of the page. Pure.
#pragma once

#include <string>
#include <vector>

#include "service/master/metalogger_status.h"

namespace holdfast::front {

void append_metaloggers(std::string& out, const std::vector<master::MetaloggerStatus>& metaloggers, bool pretty);

// Nothing when there are none.
void append_metaloggers_section(std::string& out, const std::vector<master::MetaloggerStatus>& metaloggers);

}  // namespace holdfast::front
