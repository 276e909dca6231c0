// What security.toml says of TLS (spec/weed-cluster appendix B). For gRPC grpc.ca, grpc.<part>.cert and .key, and whom to
// answer; for HTTP https.<part>.cert, .key and .ca, and https.client.* for all that this process calls.
#pragma once

#include <memory>
#include <string_view>

#include "api/tls.h"
#include "base/result.h"
#include "cmd/settings.h"
#include "io/tls.h"

namespace holdfast::cmd {

// Of a server: part is "master" or "volume". No ca when nothing is set. An error names the key that is missing, or the file
// that cannot be used: a server that was meant to be protected must not start without.
Result<api::TlsFiles> tls_of_server(const Settings& security, std::string_view part);

// Of whoever calls; part "client" for tools. grpc.<part>.client_cert and .client_key come before .cert and .key.
Result<api::TlsFiles> tls_of_caller(const Settings& security, std::string_view part);

// Of a server's HTTP ports; null when nothing is set. part is "master" or "volume"; with .ca clients must show a certificate.
Result<std::shared_ptr<io::TlsContext>> https_of_server(const Settings& security, std::string_view part);

// Of whoever calls; null unless https.client.enabled.
Result<std::shared_ptr<io::TlsContext>> https_of_caller(const Settings& security);

}  // namespace holdfast::cmd
