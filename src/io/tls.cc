#include "io/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace holdfast::io {

namespace {

constexpr auto kLookInterval = std::chrono::minutes(1);  // between looks at the files, as gRPC's (api/tls.h)
constexpr std::size_t kRecordBytes = 16384;  // the most that one TLS record carries (RFC 8446 5.1)

// What the library has queued for this thread, the last line of it; the queue is empty afterwards.
std::string library_error(std::string_view fallback) {
  unsigned long code = 0;
  for (unsigned long next = ERR_get_error(); next != 0; next = ERR_get_error()) code = next;
  if (code == 0) return std::string(fallback);
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? std::string(fallback) : reason;
}

// What was wrong with a file: the first line queued. Those above it say only which part of the library had the trouble.
std::string file_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "cannot be read";
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) return "is no PEM file of its kind";
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "cannot be read" : reason;
}

int no_password(char*, int, int, void*) { return 0; }  // asked for at the terminal otherwise

// Names as clients ask for them ("http/1.1"), RFC 7301; others are as if nothing was asked.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_bytes, const unsigned char* in, unsigned in_bytes, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_bytes, kHttp11, sizeof kHttp11 - 1, in, in_bytes);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

// The library's own way to a socket raises SIGPIPE when the other side has gone.
int read_socket(BIO* bio, char* to, int room) {
  BIO_clear_retry_flags(bio);
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
  const auto n = ::recv(fd, to, static_cast<std::size_t>(room), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) BIO_set_retry_read(bio);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(n);
}

int write_socket(BIO* bio, const char* from, int bytes) {
  BIO_clear_retry_flags(bio);
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
  const auto n = ::send(fd, from, static_cast<std::size_t>(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

long control_socket(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return 0;
}

BIO* make_bio(int fd) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    CHECK(made != nullptr);
    BIO_meth_set_read(made, read_socket);
    BIO_meth_set_write(made, write_socket);
    BIO_meth_set_ctrl(made, control_socket);
    return made;
  }();
  BIO* bio = BIO_new(method);
  CHECK(bio != nullptr);
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  return bio;
}

SSL* make_ssl(SSL_CTX* context, int fd) {
  SSL* ssl = SSL_new(context);
  CHECK(ssl != nullptr);
  BIO* bio = make_bio(fd);
  SSL_set_bio(ssl, bio, bio);
  return ssl;
}

bool is_address(const std::string& host) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  return address != nullptr;
}

}  // namespace

Result<int> tls_version(std::string_view text, int fallback) {
  if (text.empty()) return fallback;
  for (const std::string_view prefix : {"TLS", "tls"}) {
    if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  }
  while (text.starts_with(' ') || text.starts_with('v') || text.starts_with('_')) text.remove_prefix(1);
  if (text == "1.2" || text == "12") return kTls12;
  if (text == "1.3" || text == "13") return kTls13;
  return Error(Code::invalid, "TLS version \"" + std::string(text) + "\" is not served: there are 1.2 and 1.3");
}

struct TlsContext::Library {
  explicit Library(SSL_CTX* c) : context(c) {}
  ~Library() { SSL_CTX_free(context); }
  Library(const Library&) = delete;
  SSL_CTX* const context;
};

struct TlsSocket::Inside {
  Inside(std::shared_ptr<TlsContext::Library> of, SSL* s) : library(std::move(of)), ssl(s) {}
  ~Inside() { SSL_free(ssl); }
  Inside(const Inside&) = delete;

  // After a call that has not succeeded; sets errno as a system call would.
  Step failed(int result) {
    const int kind = SSL_get_error(ssl, result);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
      errno = EAGAIN;
      return kind == SSL_ERROR_WANT_READ ? Step::wants_read : Step::wants_write;
    }
    const int system = errno;
    is_over = true;
    if (const unsigned long code = ERR_peek_error(); ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST && ERR_GET_LIB(code) == ERR_LIB_SSL) {
      is_plain = true;
    }
    if (const long verdict = SSL_get_verify_result(ssl); verdict != X509_V_OK) {
      why = std::string("certificate: ") + X509_verify_cert_error_string(verdict);
      ERR_clear_error();
    } else {
      why = library_error(kind == SSL_ERROR_SYSCALL && system != 0 ? std::strerror(system) : "the connection ended inside TLS");
    }
    errno = kind == SSL_ERROR_SYSCALL && system != 0 ? system : EPROTO;
    return Step::failed;
  }

  const std::shared_ptr<TlsContext::Library> library;  // what the certificates of this connection came from
  SSL* const ssl;
  std::string why;
  bool is_plain = false;
  bool is_over = false;  // after a fatal error the library must not be called again
};

TlsContext::TlsContext(Options options) : options_(std::move(options)) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::make(Options options) {
  std::shared_ptr<TlsContext> made(new TlsContext(std::move(options)));
  if (auto read = made->read_again(); !read) return read.error();
  return made;
}

Status TlsContext::read_again() {
  const auto seen = stamp();  // before: what changes while they are read is seen at the next look
  auto loaded = load();
  const Guard guard(mutex_);
  looked_ = std::chrono::steady_clock::now();
  stamp_ = seen;
  if (!loaded) return loaded.error();
  library_ = std::move(*loaded);
  return {};
}

std::string TlsContext::stamp() const {
  std::string all;
  for (const auto* path : {&options_.files.cert, &options_.files.key, &options_.files.ca}) {
    struct stat about {};
    if (path->empty() || ::stat(path->c_str(), &about) != 0) continue;
    all += std::to_string(about.st_ino) + "," + std::to_string(about.st_size) + "," + std::to_string(about.st_mtim.tv_sec) + "," +
           std::to_string(about.st_mtim.tv_nsec) + ";";
  }
  return all;
}

std::shared_ptr<TlsContext::Library> TlsContext::current() {
  const auto now = std::chrono::steady_clock::now();
  std::string before;
  {
    const Guard guard(mutex_);
    if (now - looked_ < kLookInterval) return library_;
    looked_ = now;  // others need not look as well
    before = stamp_;
  }
  if (stamp() != before) {
    const auto read = read_again();
    if (read) {
      LOG_INFO("the certificates of HTTPS have changed and are read again ({})", options_.files.cert);
    } else {
      LOG_ERROR("the certificates of HTTPS have changed and cannot be used: {}; those from before stay", read.error().what());
    }
  }
  const Guard guard(mutex_);
  return library_;
}

Result<std::shared_ptr<TlsContext::Library>> TlsContext::load() const {
  ERR_clear_error();
  auto library = std::make_shared<Library>(SSL_CTX_new(options_.is_server ? TLS_server_method() : TLS_client_method()));
  SSL_CTX* context = library->context;
  CHECK(context != nullptr);
  const auto wrong = [](std::string what) { return Error(Code::invalid, std::move(what) + ": " + file_error()); };

  SSL_CTX_set_min_proto_version(context, options_.version_min);
  SSL_CTX_set_max_proto_version(context, options_.version_max);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Half a record may be taken and the rest come from another place in memory; idle connections keep no buffers.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);  // one recv for what has arrived, not two for each record
  SSL_CTX_set_default_passwd_cb(context, no_password);
  const auto& files = options_.files;
  if (!files.cert.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context, files.cert.c_str()) != 1) return wrong("certificate " + files.cert);
    const std::string& key = files.key;
    if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) return wrong("key " + key);
    if (SSL_CTX_check_private_key(context) != 1) return wrong("key " + key + " is not that of certificate " + files.cert);
  } else if (options_.is_server) {
    return Error(Code::invalid, "a server needs a certificate and its key");
  }
  if (!files.ca.empty()) {
    if (SSL_CTX_load_verify_locations(context, files.ca.c_str(), nullptr) != 1) return wrong("authority " + files.ca);
    if (options_.is_server) {
      SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(files.ca.c_str()));
      SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
  } else if (!options_.is_server && options_.checks_server) {
    SSL_CTX_set_default_verify_paths(context);
  }
  if (options_.is_server) {
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    static constexpr unsigned char kName[] = "holdfast";
    SSL_CTX_set_session_id_context(context, kName, sizeof kName - 1);
  } else {
    SSL_CTX_set_verify(context, options_.checks_server ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  }
  ERR_clear_error();
  return library;
}

std::unique_ptr<TlsSocket> TlsContext::accept(int fd) {
  auto library = current();
  SSL* ssl = make_ssl(library->context, fd);
  SSL_set_accept_state(ssl);
  return std::make_unique<TlsSocket>(std::make_unique<TlsSocket::Inside>(std::move(library), ssl));
}

std::unique_ptr<TlsSocket> TlsContext::connect(int fd, const std::string& host) {
  auto library = current();
  SSL* ssl = make_ssl(library->context, fd);
  SSL_set_connect_state(ssl);
  if (is_address(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, host.c_str());
    SSL_set1_host(ssl, host.c_str());
  }
  return std::make_unique<TlsSocket>(std::make_unique<TlsSocket::Inside>(std::move(library), ssl));
}

TlsSocket::TlsSocket(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
TlsSocket::~TlsSocket() = default;

TlsSocket::Step TlsSocket::handshake() {
  if (inside_->is_over) return Step::failed;
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(inside_->ssl);
  return result == 1 ? Step::done : inside_->failed(result);
}

ssize_t TlsSocket::receive(char* to, std::size_t room) {
  if (inside_->is_over) {
    errno = EPROTO;
    return -1;
  }
  ERR_clear_error();
  errno = 0;
  std::size_t n = 0;
  const int result = SSL_read_ex(inside_->ssl, to, room, &n);
  if (result == 1) return static_cast<ssize_t>(n);
  if (SSL_get_error(inside_->ssl, result) == SSL_ERROR_ZERO_RETURN) return 0;
  inside_->failed(result);
  return -1;
}

ssize_t TlsSocket::send(std::span<const iovec> pieces) {
  if (inside_->is_over) {
    errno = EPROTO;
    return -1;
  }
  while (!pieces.empty() && pieces.front().iov_len == 0) pieces = pieces.subspan(1);
  if (pieces.empty()) return 0;
  // Small pieces share a record, so that a head and its body leave together. What is in it depends on nothing but the
  // bytes to be sent: the library wants to see them again after EAGAIN.
  const char* from = static_cast<const char*>(pieces.front().iov_base);
  std::size_t bytes = pieces.front().iov_len;
  std::array<char, kRecordBytes> record;
  if (bytes < kRecordBytes && pieces.size() > 1) {
    bytes = 0;
    for (const auto& piece : pieces) {
      const auto part = std::min(piece.iov_len, record.size() - bytes);
      if (part == 0) continue;
      std::memcpy(record.data() + bytes, piece.iov_base, part);
      bytes += part;
    }
    from = record.data();
  }
  ERR_clear_error();
  errno = 0;
  std::size_t n = 0;
  const int result = SSL_write_ex(inside_->ssl, from, std::min(bytes, kRecordBytes), &n);
  if (result == 1) return static_cast<ssize_t>(n);
  inside_->failed(result);
  return -1;
}

bool TlsSocket::has_pending() const { return SSL_has_pending(inside_->ssl) == 1; }

void TlsSocket::shut() {
  if (inside_->is_over || SSL_in_init(inside_->ssl) != 0) return;
  ERR_clear_error();
  SSL_shutdown(inside_->ssl);
  ERR_clear_error();
}

const std::string& TlsSocket::why() const { return inside_->why; }

bool TlsSocket::is_plain_http() const { return inside_->is_plain; }

}  // namespace holdfast::io
