// mTLS for gRPC, as security.toml asks for it (spec/weed-cluster appendix B): both sides of a connection show a certificate
// that the same authority has signed. Host names are not checked, names of callers are when wanted.
//
// Certificates, keys and the authority are read again every minute, so they can be replaced without a restart; the new
// ones count for connections made from then on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
}  // namespace grpc

namespace holdfast::api {

// Paths of PEM files. An empty `ca` stands for plaintext.
struct TlsFiles {
  std::string ca;
  std::string cert;
  std::string key;

  // Whom a server answers: the common name of the caller's certificate is one of these, or ends in the domain
  // (".example.com"). Both empty: everybody who has a certificate.
  std::vector<std::string> allowed_names;
  std::string allowed_domain;
};

// What is wrong with the files, in words: one is missing, cannot be read, is no PEM, or the key is another's.
Status validate(const TlsFiles& files);

// For all channels of this process that are made from now on. Once, before the first channel; files are those of validate().
// Starts no thread: the library does when the first channel is made.
void use_tls_for_channels(const TlsFiles& files);
std::shared_ptr<grpc::ChannelCredentials> channel_credentials();

std::shared_ptr<grpc::ServerCredentials> server_credentials(const TlsFiles& files);

}  // namespace holdfast::api
