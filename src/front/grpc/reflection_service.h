// Server reflection: what a gRPC server serves, told to who asks (grpcurl, test tools, generic clients), under both names
// that the protocol has, v1 and v1alpha. As upstream's servers do.
//
// Made with the callback interface: the library's own would bring polling threads with it.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>
#include <vector>

namespace holdfast::front {

// "master_pb.Seaweed" of a service of ours; "" of any other.
std::string name_of(const grpc::Service& service);

// To be registered beside the services of these names ("" is left out).
std::vector<std::unique_ptr<grpc::Service>> make_reflection_services(const std::vector<std::string>& names);

}  // namespace holdfast::front
