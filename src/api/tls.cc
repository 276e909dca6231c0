#include "api/tls.h"

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <fstream>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"

namespace holdfast::api {

namespace {

namespace tls = grpc::experimental;

constexpr unsigned kReadAgainSeconds = 60;

// Which certificate the caller showed: the library has found it to be of the authority before it asks here.
class Allowed final : public tls::ExternalCertificateVerifier {
 public:
  explicit Allowed(TlsFiles files) : files_(std::move(files)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>, grpc::Status* status) override {
    const auto given = request->common_name();
    const std::string_view name(given.data(), given.size());
    const auto& names = files_.allowed_names;
    const bool is_named = std::find(names.begin(), names.end(), name) != names.end();
    const bool is_below = !files_.allowed_domain.empty() && name.ends_with(files_.allowed_domain);
    if (!is_named && !is_below) {
      LOG_WARNING("a gRPC connection is refused: the certificate of {} is not among allowed_commonNames of security.toml", name);
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the name in the certificate is not allowed");
    }
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const TlsFiles files_;
};

std::shared_ptr<tls::CertificateProviderInterface> provider_of(const TlsFiles& files) {
  return std::make_shared<tls::FileWatcherCertificateProvider>(files.key, files.cert, files.ca, kReadAgainSeconds);
}

Status validate_file(const std::string& path, std::string_view what, std::string_view mark) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) return Error{Code::not_found, std::string(what) + ": " + path + " cannot be read"};
  if (text.find("-----BEGIN ") == std::string::npos || text.find(mark) == std::string::npos) {
    return Error{Code::invalid, std::string(what) + ": " + path + " is no PEM file with a " + std::string(mark)};
  }
  return {};
}

// A pair that does not fit would be noticed by each connection that fails, and by nobody else.
Status validate_pair(const TlsFiles& files) {
  const auto open = [](const std::string& path) {
    return std::unique_ptr<BIO, int (*)(BIO*)>(BIO_new_file(path.c_str(), "r"), BIO_free);
  };
  const auto cert_file = open(files.cert);
  const auto key_file = open(files.key);
  if (!cert_file || !key_file) return Error{Code::not_found, "the certificate of gRPC or its key cannot be read"};
  const std::unique_ptr<X509, void (*)(X509*)> cert(PEM_read_bio_X509(cert_file.get(), nullptr, nullptr, nullptr), X509_free);
  if (!cert) return Error{Code::invalid, "the certificate of gRPC: " + files.cert + " holds none that can be read"};
  char no_password[] = "";  // asked for at the terminal otherwise
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      PEM_read_bio_PrivateKey(key_file.get(), nullptr, nullptr, no_password), EVP_PKEY_free);
  if (!key) return Error{Code::invalid, "the key of gRPC: " + files.key + " cannot be read; one with a password cannot be used"};
  if (X509_check_private_key(cert.get(), key.get()) != 1) {
    return Error{Code::invalid, "the key of gRPC: " + files.key + " does not belong to the certificate " + files.cert};
  }
  return {};
}

std::shared_ptr<grpc::ChannelCredentials> channel_credentials_of(const TlsFiles& files) {
  if (files.ca.empty()) return grpc::InsecureChannelCredentials();
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(provider_of(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  options.set_check_call_host(false);
  options.set_certificate_verifier(std::make_shared<tls::NoOpCertificateVerifier>());
  return tls::TlsCredentials(options);
}

struct ForChannels {
  Mutex mutex;  // leaf
  TlsFiles files HOLDFAST_GUARDED_BY(mutex);
  std::shared_ptr<grpc::ChannelCredentials> made HOLDFAST_GUARDED_BY(mutex);
};
ForChannels& for_channels() {
  static auto* one = new ForChannels;  // never destroyed: channels may outlive main()
  return *one;
}

}  // namespace

Status validate(const TlsFiles& files) {
  if (files.ca.empty()) return {};
  if (files.cert.empty() || files.key.empty()) {
    return Error{Code::invalid, "grpc.ca is set, but certificate or key are not: with it gRPC is by mutual TLS, and both sides need one"};
  }
  if (auto done = validate_file(files.ca, "the authority of gRPC", "CERTIFICATE"); !done) return done;
  if (auto done = validate_file(files.cert, "the certificate of gRPC", "CERTIFICATE"); !done) return done;
  if (auto done = validate_file(files.key, "the key of gRPC", "PRIVATE KEY"); !done) return done;
  return validate_pair(files);
}

void use_tls_for_channels(const TlsFiles& files) {
  auto& all = for_channels();
  Guard guard(all.mutex);
  all.files = files;
  all.made.reset();
}

std::shared_ptr<grpc::ChannelCredentials> channel_credentials() {
  auto& all = for_channels();
  Guard guard(all.mutex);
  if (!all.made) all.made = channel_credentials_of(all.files);
  return all.made;
}

std::shared_ptr<grpc::ServerCredentials> server_credentials(const TlsFiles& files) {
  if (files.ca.empty()) return grpc::InsecureServerCredentials();
  tls::TlsServerCredentialsOptions options(provider_of(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  if (files.allowed_names.empty() && files.allowed_domain.empty()) {
    options.set_certificate_verifier(std::make_shared<tls::NoOpCertificateVerifier>());
  } else {
    options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<Allowed>(files));
  }
  return tls::TlsServerCredentials(options);
}

}  // namespace holdfast::api
