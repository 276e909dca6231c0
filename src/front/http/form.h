// Parameters that come in the body: url-encoded forms and the plain fields of multipart forms. Upstream reads them on
// every data route of the master, and a body's value wins over the query's (spec/weed-cluster 2.1).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "front/http/server.h"
#include "front/http/url.h"

namespace holdfast::front {

// Forms of parameters are small; more is answered with 413.
inline constexpr std::size_t kFormBytesMax = 1 << 20;

// Whether the body of `request` is a form that counts: POST, PUT and PATCH with one of the two types.
bool has_form(const http::Request& request);

// Adds the fields of `body`. Parts that are files (have a file name) are passed over; a multipart body that breaks off
// gives the fields before the break.
void add_form(Params& params, std::string_view content_type, std::string_view body);

// The value of parameter `name` of a header value like `multipart/form-data; boundary="x y"`; "" when absent.
std::string header_parameter(std::string_view value, std::string_view name);

}  // namespace holdfast::front
