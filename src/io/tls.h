// TLS over a TCP socket, for HTTP: what recv() and sendmsg() are to a plain connection, a TlsSocket is to one with TLS.
//
// TlsContext holds the certificates and is shared by all connections of a listener or a pool; thread-safe. Its files can be
// read again while it is in use: connections made from then on use the new ones. TlsSocket belongs to one connection and
// one thread. TLS 1.2 and 1.3; no renegotiation, no compression. Library: OpenSSL.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace holdfast::io {

// Paths of PEM files, each may be empty.
struct TlsContextFiles {
  std::string cert;  // with its chain; a server needs one, a client may have one
  std::string key;
  // Of a server: clients must show a certificate that one of these has signed. Of a client: who may sign servers'
  // certificates; empty: whom the system trusts.
  std::string ca;
};

// "1.2", "1.3", or as Go and SeaweedFS write it, "TLS 1.2"; others are an Error with what there is. "" is the fallback.
Result<int> tls_version(std::string_view text, int fallback);
inline constexpr int kTls12 = 0x0303;
inline constexpr int kTls13 = 0x0304;

class TlsSocket;

class TlsContext {
 public:
  struct Options {
    TlsContextFiles files;
    bool is_server = true;
    bool checks_server = true;  // of a client: the certificate must be signed by `ca` and name the host
    int version_min = kTls12;
    int version_max = kTls13;
  };
  // An Error says in words which file cannot be used and why: missing, no PEM, or a key of another certificate.
  static Result<std::shared_ptr<TlsContext>> make(Options options);
  ~TlsContext();

  // The files again. On an Error everything stays as it was. Happens by itself within a minute of a change, at the next
  // connection; what is wrong then is logged.
  Status read_again();

  // A connection on `fd`, which stays the caller's; `fd` is non-blocking. The handshake happens inside the first receive()
  // of a server; a client calls handshake().
  std::unique_ptr<TlsSocket> accept(int fd);
  std::unique_ptr<TlsSocket> connect(int fd, const std::string& host);  // a name or an address, without a port

  struct Library;  // the library's object, replaced as a whole

 private:
  explicit TlsContext(Options options);
  Result<std::shared_ptr<Library>> load() const;
  std::shared_ptr<Library> current();
  std::string stamp() const;  // differs when a file has changed

  const Options options_;
  Mutex mutex_;
  std::shared_ptr<Library> library_ HOLDFAST_GUARDED_BY(mutex_);
  std::string stamp_ HOLDFAST_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point looked_ HOLDFAST_GUARDED_BY(mutex_);
};

class TlsSocket {
 public:
  enum class Step { done, wants_read, wants_write, failed };

  struct Inside;
  explicit TlsSocket(std::unique_ptr<Inside> inside);
  ~TlsSocket();

  // A client's: again after the socket is ready for what was wanted, until done. Never waits.
  Step handshake();

  // As recv(MSG_DONTWAIT): more than 0 bytes; 0 at the end; -1 with errno, EAGAIN when the socket has to be waited for. A
  // short count does not mean that nothing is left: call until EAGAIN.
  ssize_t receive(char* to, std::size_t room);

  // As sendmsg(MSG_DONTWAIT). After EAGAIN the next call must begin with the same bytes, wherever they lie by then.
  ssize_t send(std::span<const iovec> pieces);

  // Bytes are decrypted and wait in here: the socket will not announce them.
  bool has_pending() const;

  // Tells the other side that nothing more comes. The socket itself stays open.
  void shut();

  // Why the last call failed, in words. "" when it did not.
  const std::string& why() const;
  // The first bytes of a client that speaks HTTP without TLS: it deserves an answer it can read.
  bool is_plain_http() const;

 private:
  std::unique_ptr<Inside> inside_;
};

}  // namespace holdfast::io
