// An authority for trials of mutual TLS, and what it signs: a certificate and its key for each part of a cluster. For a trial: the
// authority's key lies beside the others, and nobody can revoke anything.
//
// Keys are of the curve P-256. Each certificate may be shown by who calls and by who is called, since masters and volume servers
// are both; its common name is the part's name, and it is good for the hosts that were named. Touches no file.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace holdfast::api {

struct TestAuthorityOptions {
  std::vector<std::string> parts;  // "master", "client": the common names, and the stems of the files
  std::vector<std::string> hosts;  // names and addresses of the machines
  int days = 30;                   // how long all of it is valid, from five minutes ago on: clocks differ
};

struct PemFile {
  std::string name;  // "ca.crt", "ca.key", "master.crt", ...
  std::string text;
  bool is_secret = false;  // a key: for its owner's eyes only
};

// The authority's two files first, then two for each part. The Error names what cannot be had: no part, a name that cannot be one.
Result<std::vector<PemFile>> make_test_authority(const TestAuthorityOptions& options);

}  // namespace holdfast::api
