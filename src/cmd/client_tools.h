// What `upload`, `download` and `benchmark` share: a way to the cluster, and a line of progress on terminals.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"
#include "client/http_pool.h"
#include "client/master_client.h"
#include "io/event_loop.h"

namespace holdfast::cmd {

// Event loops, pooled HTTP connections and the masters, made and ended in the right order.
class ClientTools {
 public:
  // `masters` is a comma-separated list; its Error names what is no address.
  // `patience` bounds how long one question to the masters may take as a whole, elections included.
  static Result<std::unique_ptr<ClientTools>> make(const std::string& masters, Duration patience,
                                                   std::size_t loops = 1);
  ~ClientTools();

  io::EventLoops loops;
  client::HttpPool http;
  client::MasterClient masters;

 private:
  ClientTools(std::vector<Address> seeds, Duration patience, std::size_t loop_count);
};

// One line on stderr that is written over again and again while something runs, and wiped at the end. Silent when
// stderr is no terminal. Thread-safe.
class Progress {
 public:
  Progress();
  ~Progress() { clear(); }

  bool is_shown() const { return is_terminal_; }

  // At most ten times a second, unless `always`.
  void show(const std::string& line, bool always = false);
  void clear();

 private:
  const bool is_terminal_;
  const bool has_colours_;
  Mutex mutex_;
  Instant shown_ HOLDFAST_GUARDED_BY(mutex_) = kDistantPast;
  bool is_dirty_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

// Whether colours may be written to this descriptor: a terminal, and neither NO_COLOR nor TERM=dumb.
bool wants_colours(int descriptor);

// What a master refused, as upstream's clients print it: "rpc error: code = Unknown desc = ...".
std::string rpc_text(const Error& error);

// "12 B", "3.4 KB", "56.7 MB": powers of 1024, as people read them.
std::string human_bytes(std::uint64_t bytes);

// CLOCK_MONOTONIC, for measuring.
Instant now();

// The header of one part of a multipart body, and what ends the body; RFC 7578. `name` is put in quotes.
std::string multipart_head(std::string_view boundary, std::string_view name, std::string_view content_type,
                           std::string_view idempotency_key);
std::string multipart_tail(std::string_view boundary);

// Percent-encodes all but letters, digits and -_.~ for use in a query.
std::string query_escape(std::string_view text);

// The file name in a Content-Disposition, without any folders; "" when there is none that is safe to use.
std::string disposition_name(std::string_view header);

// What a volume server says in `{"error":"..."}`, else the body itself, else the status.
std::string error_of_answer(const client::HttpAnswer& answer);

}  // namespace holdfast::cmd
