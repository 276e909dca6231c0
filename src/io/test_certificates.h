// For tests: an authority, certificates it signs, and their PEM files in a folder of the test's own.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "base/check.h"

namespace holdfast::io {

class TestCertificates {
 public:
  TestCertificates() {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-tls-XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    make_authority("ca");
  }
  ~TestCertificates() { std::filesystem::remove_all(folder_); }
  TestCertificates(const TestCertificates&) = delete;

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // <name>.crt and <name>.key, signed by itself; what issue() makes from then on is signed by it.
  void make_authority(const std::string& name) {
    authority_.reset();
    authority_key_.reset(EVP_EC_gen("P-256"));
    authority_ = certificate(name, authority_key_.get(), "CA:TRUE", "");
    write(name, authority_.get(), authority_key_.get());
  }

  // `names`: subjectAltName as OpenSSL writes it, "DNS:localhost,IP:127.0.0.1".
  void issue(const std::string& name, const std::string& names) {
    const Key key(EVP_EC_gen("P-256"));
    write(name, certificate(name, key.get(), "CA:FALSE", names).get(), key.get());
  }

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Certificate = std::unique_ptr<X509, Free>;

  Certificate certificate(const std::string& name, EVP_PKEY* key, const char* constraints, const std::string& names) {
    Certificate made(X509_new());
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
    X509_set_pubkey(made.get(), key);
    X509_NAME* subject = X509_get_subject_name(made.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(made.get(), authority_ ? X509_get_subject_name(authority_.get()) : subject);
    add(made.get(), NID_basic_constraints, constraints);
    if (!names.empty()) add(made.get(), NID_subject_alt_name, names.c_str());
    CHECK(X509_sign(made.get(), authority_ && std::string(constraints) == "CA:FALSE" ? authority_key_.get() : key, EVP_sha256()) != 0);
    return made;
  }
  static void add(X509* to, int kind, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    CHECK(extension != nullptr);
    X509_add_ext(to, extension, -1);
    X509_EXTENSION_free(extension);
  }
  void write(const std::string& name, X509* certificate, EVP_PKEY* key) {
    std::FILE* file = std::fopen(path(name + ".crt").c_str(), "w");
    CHECK(file != nullptr && PEM_write_X509(file, certificate) == 1);
    std::fclose(file);
    file = std::fopen(path(name + ".key").c_str(), "w");
    CHECK(file != nullptr && PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    std::fclose(file);
  }

  std::string folder_;
  Key authority_key_;
  Certificate authority_;
  long serial_ = 0;
};

}  // namespace holdfast::io
