// The gRPC service holdfast.Raft (api/raft.proto): other masters' calls, handed to the LinkAcceptor. Register it on the
// master's one server, on port+10000.
#pragma once

#include <memory>

namespace grpc {
class Service;
}

namespace holdfast::master {
class LinkAcceptor;
}

namespace holdfast::front {

// `acceptor` outlives the server. Shutting the server down ends all links.
std::unique_ptr<grpc::Service> make_raft_service(master::LinkAcceptor& acceptor);

}  // namespace holdfast::front
