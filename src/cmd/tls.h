// What security.toml says of gRPC (spec/weed-cluster appendix B): grpc.ca, grpc.<part>.cert and .key, and whom to answer.
#pragma once

#include <string_view>

#include "api/tls.h"
#include "base/result.h"
#include "cmd/settings.h"

namespace holdfast::cmd {

// Of a server: part is "master" or "volume". No ca when nothing is set. An error names the key that is missing, or the file
// that cannot be used: a server that was meant to be protected must not start without.
Result<api::TlsFiles> tls_of_server(const Settings& security, std::string_view part);

// Of whoever calls; part "client" for tools. grpc.<part>.client_cert and .client_key come before .cert and .key.
Result<api::TlsFiles> tls_of_caller(const Settings& security, std::string_view part);

}  // namespace holdfast::cmd
