#include "cmd/tls.h"

#include <string>

#include "cmd/paths.h"

namespace holdfast::cmd {

namespace {

Result<api::TlsFiles> files_of(const Settings& security, const std::string& cert, const std::string& key) {
  api::TlsFiles files{.ca = expand_home(security.string("grpc.ca")),
                      .cert = expand_home(security.string(cert)),
                      .key = expand_home(security.string(key))};
  const auto wrong = [](const std::string& text) { return Error{Code::invalid, "security.toml: " + text}; };
  if (files.ca.empty()) {
    if (files.cert.empty() && files.key.empty()) return files;
    return wrong("grpc.ca is not set, but " + (files.cert.empty() ? key : cert) +
                 " is: name the authority that has signed the certificates of all parts, or remove both");
  }
  if (files.cert.empty() || files.key.empty()) {
    return wrong("grpc.ca is set, but " + (files.cert.empty() ? cert : key) +
                 " is not: with grpc.ca all gRPC is by mutual TLS, and this part needs a certificate and its key as well");
  }
  if (auto done = api::validate(files); !done) return done.error().at("security.toml");
  return files;
}

}  // namespace

Result<api::TlsFiles> tls_of_server(const Settings& security, std::string_view part) {
  const std::string prefix = "grpc." + std::string(part);
  auto files = files_of(security, prefix + ".cert", prefix + ".key");
  if (!files) return files;
  files->allowed_names = split_names(security.string(prefix + ".allowed_commonNames"));
  files->allowed_domain = security.string("grpc.allowed_wildcard_domain");
  return files;
}

Result<api::TlsFiles> tls_of_caller(const Settings& security, std::string_view part) {
  const std::string prefix = "grpc." + std::string(part);
  const bool own = !security.string(prefix + ".client_cert").empty();
  return files_of(security, prefix + (own ? ".client_cert" : ".cert"), prefix + (own ? ".client_key" : ".key"));
}

}  // namespace holdfast::cmd
