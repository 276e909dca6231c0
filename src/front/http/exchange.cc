// Exchange and Head: what handlers see of a Connection.
#include "front/http/connection.h"

namespace holdfast::http {

namespace {

Task collect(Exchange& exchange, std::size_t bytes_max, std::function<void(Result<std::string>)> done) {
  std::string all;
  const auto announced = exchange.request().body_bytes;
  if (announced && *announced > bytes_max) {
    done(Error(Code::no_space, "request body too large"));
    co_return;
  }
  if (announced) all.reserve(static_cast<std::size_t>(*announced));
  while (true) {
    auto piece = co_await exchange.read_body();
    if (!piece) {
      done(piece.error());
      co_return;
    }
    if (piece->empty()) break;
    if (piece->size() > bytes_max - all.size()) {
      done(Error(Code::no_space, "request body too large"));
      co_return;
    }
    all.append(text_of(*piece));
  }
  done(std::move(all));
}

}  // namespace

io::EventLoop& Exchange::loop() { return connection_.loop(); }
std::uint64_t Exchange::body_bytes_sent() const { return connection_.body_bytes_sent(); }

std::string_view Exchange::request_id() const {
  return head_.has_request_id_ ? std::string_view(head_.request_id_.data(), head_.request_id_.size()) : std::string_view();
}

Head& Exchange::head(int status) {
  head_.has_request_id_ = false;
  connection_.head(status);
  if (const auto& more = connection_.server_options().every_head) more(head_);
  return head_;
}
void Exchange::finish(std::string_view body) { connection_.finish(body, {}, std::nullopt); }
void Exchange::finish(std::string_view first, std::string_view second) {
  connection_.finish(first, second, std::nullopt);
}
void Exchange::finish_without_body(std::uint64_t length) { connection_.finish({}, {}, length); }
void Exchange::respond(const Response& response) {
  head(response.status);
  for (const auto& [name, value] : response.headers) head_.add(name, value);
  finish(response.body);
}
void Exchange::begin(std::optional<std::uint64_t> length) { connection_.begin(length); }
bool Exchange::WriteAwaiter::await_ready() { return exchange.connection_.write_ready(piece); }
void Exchange::WriteAwaiter::await_suspend(std::coroutine_handle<> waiting) {
  exchange.connection_.write_wait(waiting);
}
Status Exchange::WriteAwaiter::await_resume() { return exchange.connection_.write_outcome(); }
void Exchange::end() { connection_.end(); }
void Exchange::abort() { connection_.abort(); }
bool Exchange::ReadAwaiter::await_ready() { return exchange.connection_.read_ready(); }
void Exchange::ReadAwaiter::await_suspend(std::coroutine_handle<> waiting) { exchange.connection_.read_wait(waiting); }
Result<BytesView> Exchange::ReadAwaiter::await_resume() { return exchange.connection_.read_outcome(); }
void Exchange::read_all(std::size_t bytes_max, std::function<void(Result<std::string>)> done) {
  collect(*this, bytes_max, std::move(done));
}
bool Exchange::is_broken() const { return connection_.is_broken(); }

Head& Head::add(std::string_view name, std::string_view value) {
  out_->append_line(name, value);
  if (value.size() == kRequestIdBytes && name == "X-Amz-Request-Id") {
    std::copy(value.begin(), value.end(), request_id_.begin());
    has_request_id_ = true;
  }
  return *this;
}

Head& Head::add_lines(std::string_view lines) {
  out_->append(lines);
  return *this;
}

Head& Head::add(std::string_view name, std::uint64_t value) {
  out_->append(name).append(": ");
  out_->append_number(value);
  out_->append("\r\n");
  return *this;
}

}  // namespace holdfast::http
