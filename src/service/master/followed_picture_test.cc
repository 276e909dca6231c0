#include "service/master/followed_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <thread>

#include "api/master.pb.h"
#include "io/posix/clock.h"
#include "io/posix/random.h"
#include "service/master/remote_orders.h"

namespace holdfast::master {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FollowedPictureTest : public testing::Test {
 protected:
  FollowedPictureTest() {
    Options options;
    options.knows_collections = false;
    options.leader_wait = Duration(0);
    master_ = Master::create(options, io::posix::system_clock(), io::posix::system_random());
    master_->start(consensus_, *orders_);
    picture_ = std::make_unique<FollowedPicture>(*master_, 100ms);
  }
  ~FollowedPictureTest() override {
    picture_.reset();
    master_->stop();
  }

  static master_pb::VolumeLocation server(int n, std::vector<std::uint32_t> volumes, std::vector<std::uint32_t> gone = {}) {
    master_pb::VolumeLocation location;
    location.set_url("10.0.0." + std::to_string(n) + ":8080");
    location.set_public_url("pub" + std::to_string(n) + ":80");
    location.set_grpc_port(18080);
    for (const auto id : volumes) location.add_new_vids(id);
    for (const auto id : gone) location.add_deleted_vids(id);
    return location;
  }

  std::vector<std::string> places(std::uint32_t volume) {
    std::vector<std::string> urls;
    const auto answer = master_->lookup(VolumeId(volume), "any collection");
    if (answer.locations == nullptr) return urls;
    for (const auto& place : answer.locations->places) urls.push_back(place.url);
    std::sort(urls.begin(), urls.end());
    return urls;
  }

  NoConsensus consensus_{Uuid{1, 2}};
  const std::unique_ptr<VolumeOrders> orders_ = make_remote_orders();
  std::unique_ptr<Master> master_;
  std::unique_ptr<FollowedPicture> picture_;
};

TEST_F(FollowedPictureTest, VolumesComeAndGo) {
  picture_->begin();
  picture_->take(server(1, {1, 2}));
  picture_->take(server(2, {2}));
  EXPECT_THAT(places(1), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(places(2), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
  EXPECT_EQ(master_->lookup(VolumeId(1), "").locations->places[0].public_url, "pub1:80");
  picture_->take(server(1, {3}, {2}));
  EXPECT_THAT(places(1), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(places(2), ElementsAre("10.0.0.2:8080"));
  EXPECT_THAT(places(3), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(places(4), IsEmpty());
}

TEST_F(FollowedPictureTest, ANewPictureReplacesTheOldOneServerByServer) {
  picture_->begin();
  picture_->take(server(1, {1, 2}));
  picture_->take(server(2, {2}));
  picture_->begin();
  EXPECT_THAT(places(1), ElementsAre("10.0.0.1:8080"));  // nothing is forgotten before something else is told
  picture_->take(server(1, {2}));
  EXPECT_THAT(places(1), IsEmpty());
  EXPECT_THAT(places(2), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (picture_->servers() > 1 && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(picture_->servers(), 1u);  // the second one was not told of again
}

TEST_F(FollowedPictureTest, StrangeMessagesAreNoServers) {
  picture_->begin();
  master_pb::VolumeLocation location;
  location.set_leader("m:9333.19333");
  picture_->take(location);
  location.set_url("no address");
  picture_->take(location);
  EXPECT_EQ(picture_->servers(), 0u);
}

TEST_F(FollowedPictureTest, NothingIsAgreedOn) {
  EXPECT_FALSE(master_->try_assign({}).has_value());
  EXPECT_FALSE(master_->leader().has_value());
  std::promise<Code> said;
  consensus_.propose("x", [&](const Result<std::string>& result) { said.set_value(result.error().code()); });
  EXPECT_EQ(said.get_future().get(), Code::not_leader);
}

}  // namespace
}  // namespace holdfast::master
