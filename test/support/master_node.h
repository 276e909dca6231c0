// For tests of the master's routes: a server on loopback over a FakeMaster, and answers taken apart.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "front/http/master_routes.h"
#include "front/http/test_client.h"
#include "io/posix/clock.h"
#include "io/posix/random.h"
#include "test/support/fake_master.h"

namespace holdfast::front::fake {

// An answer taken apart.
struct Answer {
  explicit Answer(const std::string& text) {
    const auto end = text.find("\r\n\r\n");
    head = text.substr(0, end == std::string::npos ? text.size() : end + 2);
    if (end != std::string::npos) body = text.substr(end + 4);
    if (head.size() > 12) status = std::atoi(head.c_str() + 9);
  }
  // "" when absent.
  std::string header(const std::string& name) const {
    const auto found = head.find("\r\n" + name + ": ");
    if (found == std::string::npos) return "";
    const auto start = found + name.size() + 4;
    return head.substr(start, head.find("\r\n", start) - start);
  }
  bool has(const std::string& name) const { return head.find("\r\n" + name + ": ") != std::string::npos; }

  int status = 0;
  std::string head;
  std::string body;
};

class Node {
 public:
  explicit Node(io::EventLoops& loops, MasterRoutes::Options options = {}, std::uint16_t port = 0)
      : pool_(loops),
        routes_({.master = master,
                 .pool = pool_,
                 .loops = loops,
                 .clock = clock_,
                 .random = random_,
                 .white_list = white_list,
                 .metrics = registry,
                 .transfer_leadership =
                     [this](std::optional<NodeId> target, std::function<void(Status)> done) {
                       transfers.push_back(target);
                       done(transfer_outcome);
                     }},
                std::move(options)),
        server_(std::make_unique<http::Server>(loops, routes_, http::ServerOptions{.observer = &routes_.observer()})) {
    auto listening = server_->listen("127.0.0.1", port);
    EXPECT_TRUE(listening.ok()) << listening.error().what();
    port_ = listening.ok() ? *listening : 0;
    auto view = std::make_shared<master::View>();
    master.cluster.view = view;
  }
  ~Node() { stop(); }

  void stop() {
    if (server_) server_->stop(0s);
    server_.reset();
  }

  Answer send(const std::string& text) {
    http::test::Client client(port_);
    client.send(text);
    // The connection is closed after the answer, which also shows that a HEAD has no body.
    return Answer(client.read_to_end());
  }
  Answer ask(const std::string& method, const std::string& target, const std::string& headers = "", const std::string& body = "") {
    const auto length = body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return send(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + length + "\r\n" + body);
  }
  Answer get(const std::string& target) { return ask("GET", target); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::uint16_t port() const { return port_; }

  test::FakeMaster master;
  WhiteList white_list;
  metrics::Registry registry;
  std::vector<std::optional<NodeId>> transfers;  // asked for; read after the answer
  Status transfer_outcome;

 private:
  client::HttpPool pool_;
  io::posix::SystemClock clock_;
  io::posix::SystemRandom random_;
  MasterRoutes routes_;
  std::unique_ptr<http::Server> server_;
  std::uint16_t port_ = 0;
};

}  // namespace holdfast::front::fake
