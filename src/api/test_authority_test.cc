#include "api/test_authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

namespace holdfast::api {
namespace {

using ::testing::HasSubstr;

struct Parsed {
  std::unique_ptr<X509, void (*)(X509*)> certificate{nullptr, X509_free};
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key{nullptr, EVP_PKEY_free};
};

const std::string& text_of(const std::vector<PemFile>& files, const std::string& name) {
  for (const auto& file : files) {
    if (file.name == name) return file.text;
  }
  ADD_FAILURE() << name << " is not there";
  return files.front().text;
}

Parsed parsed(const std::vector<PemFile>& files, const std::string& stem) {
  const auto open = [&](const std::string& name) {
    const auto& text = text_of(files, name);
    return std::unique_ptr<BIO, int (*)(BIO*)>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free);
  };
  Parsed out;
  out.certificate.reset(PEM_read_bio_X509(open(stem + ".crt").get(), nullptr, nullptr, nullptr));
  out.key.reset(PEM_read_bio_PrivateKey(open(stem + ".key").get(), nullptr, nullptr, nullptr));
  return out;
}

TEST(TestAuthority, SignsACertificateOfEachPartThatBothSidesMayShow) {
  const auto files = make_test_authority({.parts = {"master", "client"}, .hosts = {"localhost", "127.0.0.1", "::1"}, .days = 3});
  ASSERT_TRUE(files.ok()) << files.error().what();
  ASSERT_EQ(files->size(), 6u);
  for (const auto& file : *files) EXPECT_EQ(file.is_secret, file.name.ends_with(".key")) << file.name;

  const auto authority = parsed(*files, "ca");
  ASSERT_TRUE(authority.certificate && authority.key);
  EXPECT_EQ(X509_check_ca(authority.certificate.get()), 1);
  const std::unique_ptr<X509_STORE, void (*)(X509_STORE*)> store(X509_STORE_new(), X509_STORE_free);
  X509_STORE_add_cert(store.get(), authority.certificate.get());
  for (const char* part : {"master", "client"}) {
    const auto own = parsed(*files, part);
    ASSERT_TRUE(own.certificate && own.key) << part;
    EXPECT_EQ(X509_check_private_key(own.certificate.get(), own.key.get()), 1) << part;
    EXPECT_EQ(X509_check_private_key(own.certificate.get(), authority.key.get()), 0) << part;
    EXPECT_EQ(X509_check_host(own.certificate.get(), "localhost", 0, 0, nullptr), 1);
    EXPECT_EQ(X509_check_ip_asc(own.certificate.get(), "127.0.0.1", 0), 1);
    EXPECT_EQ(X509_check_ip_asc(own.certificate.get(), "::1", 0), 1);
    EXPECT_EQ(X509_check_host(own.certificate.get(), "elsewhere", 0, 0, nullptr), 0);
    char name[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(own.certificate.get()), NID_commonName, name, sizeof name);
    EXPECT_STREQ(name, part);
    for (const int purpose : {X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER}) {
      const std::unique_ptr<X509_STORE_CTX, void (*)(X509_STORE_CTX*)> context(X509_STORE_CTX_new(), X509_STORE_CTX_free);
      X509_STORE_CTX_init(context.get(), store.get(), own.certificate.get(), nullptr);
      X509_STORE_CTX_set_purpose(context.get(), purpose);
      EXPECT_EQ(X509_verify_cert(context.get()), 1)
          << part << ": " << X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
    }
  }
}

TEST(TestAuthority, NoTwoAreAlike) {
  const auto one = make_test_authority({.parts = {"master"}});
  const auto two = make_test_authority({.parts = {"master"}});
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(text_of(*one, "ca.key"), text_of(*two, "ca.key"));
  const auto serial = [](const Parsed& of) { return ASN1_INTEGER_to_BN(X509_get_serialNumber(of.certificate.get()), nullptr); };
  const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> first(serial(parsed(*one, "master")), BN_free);
  const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> second(serial(parsed(*one, "ca")), BN_free);
  EXPECT_NE(BN_cmp(first.get(), second.get()), 0);
}

TEST(TestAuthority, WhatCannotBeANameIsRefused) {
  EXPECT_THAT(make_test_authority({.parts = {}}).error().what(), HasSubstr("no part"));
  EXPECT_THAT(make_test_authority({.parts = {"../x"}}).error().what(), HasSubstr("../x"));
  EXPECT_THAT(make_test_authority({.parts = {".."}}).error().what(), HasSubstr("cannot be"));
  EXPECT_THAT(make_test_authority({.parts = {"ca"}}).error().what(), HasSubstr("twice"));
  EXPECT_THAT(make_test_authority({.parts = {"a", "a"}}).error().what(), HasSubstr("twice"));
  EXPECT_THAT(make_test_authority({.parts = {"a"}, .hosts = {"x,DNS:evil"}}).error().what(), HasSubstr("neither"));
  EXPECT_THAT(make_test_authority({.parts = {"a"}, .days = 0}).error().what(), HasSubstr("days"));
}

}  // namespace
}  // namespace holdfast::api
