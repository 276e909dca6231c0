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

io::TlsContextFiles https_files(const Settings& security, const std::string& prefix) {
  return {.cert = expand_home(security.string(prefix + ".cert")),
          .key = expand_home(security.string(prefix + ".key")),
          .ca = expand_home(security.string(prefix + ".ca"))};
}

Result<std::shared_ptr<io::TlsContext>> https(const Settings& security, const std::string& prefix, io::TlsContext::Options options) {
  const auto wrong = [](const std::string& text) { return Error{Code::invalid, "security.toml: " + text}; };
  if (options.files.cert.empty() != options.files.key.empty()) {
    const char* is = options.files.cert.empty() ? ".key" : ".cert";
    const char* missing = options.files.cert.empty() ? ".cert" : ".key";
    return wrong(prefix + is + " is set, but " + prefix + missing + " is not: HTTPS needs both, or remove it");
  }
  const auto low = io::tls_version(security.string("tls.min_version"), io::kTls12);
  if (!low) return low.error().at("security.toml: tls.min_version");
  const auto high = io::tls_version(security.string("tls.max_version"), io::kTls13);
  if (!high) return high.error().at("security.toml: tls.max_version");
  if (*low > *high) return wrong("tls.min_version is above tls.max_version");
  options.version_min = *low;
  options.version_max = *high;
  auto made = io::TlsContext::make(std::move(options));
  if (!made) return made.error().at("security.toml: " + prefix);
  return made;
}

}  // namespace

Result<std::shared_ptr<io::TlsContext>> https_of_server(const Settings& security, std::string_view part) {
  const std::string prefix = "https." + std::string(part);
  const auto files = https_files(security, prefix);
  if (files.cert.empty() && files.key.empty()) {
    if (files.ca.empty()) return std::shared_ptr<io::TlsContext>();
    return Error(Code::invalid, "security.toml: " + prefix + ".ca is set, but " + prefix + ".cert and .key are not: without them "
                                "requests would come unprotected and from anybody");
  }
  return https(security, prefix, {.files = files, .is_server = true});
}

Result<std::shared_ptr<io::TlsContext>> https_of_caller(const Settings& security) {
  if (!security.boolean("https.client.enabled", false)) return std::shared_ptr<io::TlsContext>();
  const bool checks = !security.boolean("https.client.insecure_skip_verify", false);
  return https(security, "https.client", {.files = https_files(security, "https.client"), .is_server = false, .checks_server = checks});
}

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
