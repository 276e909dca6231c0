#include "api/test_authority.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

namespace holdfast::api {
namespace {

constexpr long kClocksDiffer = 300;  // seconds by which a certificate is valid before it was made
constexpr long kDay = 86400;
constexpr int kDaysMax = 3650;

template <auto release>
struct Free {
  template <typename T>
  void operator()(T* what) const {
    release(what);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;

Error failed(const char* what) {
  char words[256] = "no reason given";
  if (const auto code = ERR_get_error(); code != 0) ERR_error_string_n(code, words, sizeof words);
  return Error{Code::internal, std::string(what) + ": " + words};
}

// What goes into file names and common names as it is.
bool is_plain(const std::string& text, std::string_view more) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
  });
}

bool is_address(const std::string& host) {
  unsigned char room[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), room) == 1 || ::inet_pton(AF_INET6, host.c_str(), room) == 1;
}

// "DNS:localhost,IP:127.0.0.1"
std::string alternative_names(const std::vector<std::string>& hosts) {
  std::string out;
  for (const auto& host : hosts) out += (out.empty() ? "" : ",") + std::string(is_address(host) ? "IP:" : "DNS:") + host;
  return out;
}

bool extend(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>> extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x3f) | 0x40);  // positive, and of full length
  const std::unique_ptr<BIGNUM, Free<BN_free>> number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

struct Wanted {
  std::string common_name;
  std::string hosts;  // as alternative_names() has them
  int days = 0;
  bool is_authority = false;
};

// Signed by `issuer` with its key, or by itself where that is null.
Certificate certify(const Wanted& wanted, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  Certificate certificate(X509_new());
  X509* const it = certificate.get();
  if (it == nullptr || X509_set_version(it, 2) != 1 || !set_serial(it) || X509_set_pubkey(it, key) != 1) return nullptr;
  if (X509_gmtime_adj(X509_getm_notBefore(it), -kClocksDiffer) == nullptr) return nullptr;
  if (X509_gmtime_adj(X509_getm_notAfter(it), wanted.days * kDay) == nullptr) return nullptr;
  const auto* name = reinterpret_cast<const unsigned char*>(wanted.common_name.c_str());
  X509_NAME* const subject = X509_get_subject_name(it);
  if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0) != 1) return nullptr;
  X509* const signer = issuer != nullptr ? issuer : it;
  if (X509_set_issuer_name(it, X509_get_subject_name(signer)) != 1) return nullptr;

  bool is_extended = extend(it, signer, NID_subject_key_identifier, "hash") &&
                     extend(it, signer, NID_authority_key_identifier, "keyid:always");
  if (wanted.is_authority) {
    is_extended = is_extended && extend(it, signer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                  extend(it, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    is_extended = is_extended && extend(it, signer, NID_basic_constraints, "critical,CA:FALSE") &&
                  extend(it, signer, NID_key_usage, "critical,digitalSignature") &&
                  extend(it, signer, NID_ext_key_usage, "serverAuth,clientAuth") &&
                  (wanted.hosts.empty() || extend(it, signer, NID_subject_alt_name, wanted.hosts.c_str()));
  }
  if (!is_extended || X509_sign(it, issuer_key != nullptr ? issuer_key : key, EVP_sha256()) == 0) return nullptr;
  return certificate;
}

template <typename Write>
Result<std::string> pem(Write write) {
  const std::unique_ptr<BIO, Free<BIO_free_all>> out(BIO_new(BIO_s_mem()));
  if (!out || write(out.get()) != 1) return failed("writing PEM");
  char* data = nullptr;
  const long length = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<std::size_t>(length));
}

Status add(std::vector<PemFile>& files, const std::string& stem, X509* certificate, EVP_PKEY* key) {
  auto public_part = pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
  if (!public_part) return public_part.error();
  auto secret = pem([&](BIO* out) { return PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); });
  if (!secret) return secret.error();
  files.push_back({stem + ".crt", std::move(*public_part), false});
  files.push_back({stem + ".key", std::move(*secret), true});
  return {};
}

Status validate(const TestAuthorityOptions& options) {
  if (options.parts.empty()) return Error{Code::invalid, "no part is named"};
  if (options.days < 1 || options.days > kDaysMax) return Error{Code::invalid, "days are 1 to 3650"};
  std::set<std::string> seen{"ca"};
  for (const auto& part : options.parts) {
    if (!is_plain(part, "-_")) return Error{Code::invalid, "\"" + part + "\" cannot be a part's name: letters, digits, - and _"};
    if (!seen.insert(part).second) return Error{Code::invalid, "\"" + part + "\" is there twice"};
  }
  for (const auto& host : options.hosts) {
    if (!is_address(host) && !is_plain(host, "-_.*")) return Error{Code::invalid, "\"" + host + "\" is neither a host name nor an address"};
  }
  return {};
}

}  // namespace

Result<std::vector<PemFile>> make_test_authority(const TestAuthorityOptions& options) {
  if (auto sound = validate(options); !sound) return sound.error();
  std::vector<PemFile> files;
  const Key authority_key(EVP_EC_gen("P-256"));
  if (!authority_key) return failed("making a key");
  const auto authority =
      certify({.common_name = "Holdfast test authority", .days = options.days, .is_authority = true}, authority_key.get(), nullptr, nullptr);
  if (!authority) return failed("making the authority");
  if (auto added = add(files, "ca", authority.get(), authority_key.get()); !added) return added.error();
  for (const auto& part : options.parts) {
    const Key key(EVP_EC_gen("P-256"));
    if (!key) return failed("making a key");
    const auto certificate = certify({.common_name = part, .hosts = alternative_names(options.hosts), .days = options.days}, key.get(),
                                     authority.get(), authority_key.get());
    if (!certificate) return failed("signing a certificate");
    if (auto added = add(files, part, certificate.get(), key.get()); !added) return added.error();
  }
  return files;
}

}  // namespace holdfast::api
