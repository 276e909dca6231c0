// The JSON of the key-value space, for its routes (docs/kv.md). Values that are UTF-8 stand as they are under "value",
// others under "valueBase64".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "service/master/key_values.h"

namespace holdfast::front {

// `applied`: of a stale read.
void append_kv_record(std::string& body, std::string_view key, const kv::Item& item, std::optional<kv::Revision> space,
                      std::optional<Index> applied, bool pretty);
void append_kv_list(std::string& body, const kv::List& list, std::optional<Index> applied, bool keys_only, bool pretty);
void append_kv_changes(std::string& body, const kv::Changes& changes, bool pretty);

// {"error": text} with where the key and the space stand.
void append_kv_error(std::string& body, std::string_view text, kv::Revision key, std::optional<kv::Revision> space, bool pretty);

// What was done.
void append_kv_written(std::string& body, const kv::Command& command, const kv::Answer& answer, bool pretty);

}  // namespace holdfast::front
