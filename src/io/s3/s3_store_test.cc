#include "io/s3/s3_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "io/sim/disk.h"

namespace holdfast::io::s3 {
namespace {

// test/cluster/s3_server.py in a process of its own.
class Bucket {
 public:
  Bucket() {
    int in[2];
    int out[2];
    EXPECT_EQ(::pipe(in), 0);
    EXPECT_EQ(::pipe(out), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      ::execlp("python3", "python3", HOLDFAST_S3_SERVER, "0", "cold", "AKID", "se/cr+et", nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    to_ = ::fdopen(in[1], "w");
    from_ = ::fdopen(out[0], "r");
    const auto ready = line();
    EXPECT_TRUE(ready.starts_with("ready ")) << "test/cluster/s3_server.py does not start";
    port_ = ready.size() > 6 ? ready.substr(6) : "0";
  }
  ~Bucket() {
    ::fclose(to_);
    ::fclose(from_);
    ::waitpid(pid_, nullptr, 0);
  }

  std::string tell(const std::string& command) {
    std::fprintf(to_, "%s\n", command.c_str());
    std::fflush(to_);
    return line();
  }
  S3Options options() const {
    return {.name = "s3.cold", .endpoint = "http://127.0.0.1:" + port_, .region = "test-region-1", .bucket = "cold",
            .access_key = "AKID", .secret_key = "se/cr+et", .retry_pause = 1ms};
  }

 private:
  std::string line() {
    std::string out;
    for (int c = std::fgetc(from_); c != EOF && c != '\n'; c = std::fgetc(from_)) out.push_back(static_cast<char>(c));
    return out;
  }

  pid_t pid_ = -1;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
  std::string port_;
};

class S3Store : public ::testing::Test {
 protected:
  std::unique_ptr<ObjectStore> store() { return store(bucket_.options()); }
  static std::unique_ptr<ObjectStore> store(S3Options options) {
    auto made = make_s3_store(std::move(options));
    EXPECT_TRUE(made.ok()) << made.error().what();
    return std::move(*made);
  }
  const File& file(const std::string& content) {
    file_ = std::move(*disk_.open("/f", {.write = true, .create = true, .truncate = true}));
    EXPECT_TRUE(file_->write(0, bytes_of(content)).ok());
    return *file_;
  }
  static std::string random_text(std::size_t bytes) {
    std::string out(bytes, '\0');
    std::uint64_t state = 42;
    for (auto& c : out) c = static_cast<char>((state = state * 6364136223846793005u + 1442695040888963407u) >> 56);
    return out;
  }
  static Result<std::string> read(ObjectStore& store, const std::string& key, std::uint64_t offset, std::size_t bytes) {
    std::string out(bytes, '\0');
    const auto done = store.read(key, offset, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    return done ? Result<std::string>(out) : done.error();
  }

  Bucket bucket_;
  sim::SimDisk disk_{1};
  std::unique_ptr<File> file_;
};

TEST_F(S3Store, ReadsRangesOfWhatItPut) {
  const auto s3 = store();
  ASSERT_TRUE(s3->put("pics_7.x y+z.dat", file("0123456789"), 10, {}).ok());
  EXPECT_EQ(*s3->size("pics_7.x y+z.dat"), 10u);
  EXPECT_EQ(*read(*s3, "pics_7.x y+z.dat", 3, 4), "3456");
  EXPECT_EQ(*read(*s3, "pics_7.x y+z.dat", 9, 1), "9");
  ASSERT_TRUE(s3->remove("pics_7.x y+z.dat").ok());
  EXPECT_EQ(s3->size("pics_7.x y+z.dat").error().code(), Code::not_found);
  EXPECT_TRUE(s3->remove("pics_7.x y+z.dat").ok());
}

TEST_F(S3Store, APartOfAFileIsPutWhenNoMoreIsAskedFor) {
  const auto s3 = store();
  ASSERT_TRUE(s3->put("k", file("0123456789"), 4, {}).ok());
  EXPECT_EQ(*s3->size("k"), 4u);
}

TEST_F(S3Store, AnObjectThatEndsEarlyIsCorrupt) {
  const auto s3 = store();
  ASSERT_TRUE(s3->put("k", file("0123456789"), 10, {}).ok());
  EXPECT_EQ(read(*s3, "k", 8, 4).error().code(), Code::corrupt);
  EXPECT_EQ(read(*s3, "k", 20, 4).error().code(), Code::corrupt);
}

TEST_F(S3Store, ABucketWithoutRangesIsNoneToReadFrom) {
  const auto s3 = store();
  ASSERT_TRUE(s3->put("k", file("0123456789"), 10, {}).ok());
  bucket_.tell("ignore-ranges");
  const auto less = read(*s3, "k", 3, 4);
  EXPECT_EQ(less.error().what(), "s3.cold (bucket cold): k: it sends no ranges of objects");
  EXPECT_EQ(read(*s3, "k", 3, 100).error().code(), Code::unsupported);
}

TEST_F(S3Store, LargeFilesGoInParts) {
  auto options = bucket_.options();
  options.parts_above = 1_MiB;
  options.storage_class = "GLACIER_IR";
  const auto s3 = store(options);
  const auto content = random_text(40_MiB + 12345);
  std::uint64_t told = 0;
  ASSERT_TRUE(s3->put("big", file(content), content.size(), [&](std::uint64_t bytes) {
    EXPECT_GE(bytes, told);
    told = bytes;
    return true;
  }).ok());
  EXPECT_GT(told, 32_MiB);
  EXPECT_EQ(bucket_.tell("state").substr(0, 70), R"({"objects": {"big": [41955385, "GLACIER_IR"]}, "uploads": 0, "requests)");
  EXPECT_EQ(*read(*s3, "big", 0, content.size()), content);
}

TEST_F(S3Store, AnUploadInPartsThatFailsLeavesNoneBehind) {
  auto options = bucket_.options();
  options.parts_above = 1_MiB;
  const auto s3 = store(options);
  const auto content = random_text(20_MiB);
  const auto put = s3->put("big", file(content), content.size(), [](std::uint64_t bytes) { return bytes < 17_MiB; });
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().what(), "the upload was called off");
  EXPECT_EQ(bucket_.tell("state").substr(0, 29), R"({"objects": {}, "uploads": 0,)");
}

TEST_F(S3Store, WhatMayBeBetterLaterIsTriedAgain) {
  const auto s3 = store();
  for (const auto* trouble : {"fail 503 2", "fail 500 1", "fail cut 2"}) {
    bucket_.tell(trouble);
    ASSERT_TRUE(s3->put("k", file("0123456789"), 10, {}).ok()) << trouble;
    bucket_.tell(trouble);
    EXPECT_EQ(*read(*s3, "k", 0, 10), "0123456789") << trouble;
  }
}

TEST_F(S3Store, ItGivesUpAndRepeatsWhatTheBucketSays) {
  const auto s3 = store();
  bucket_.tell("fail 503 100");
  const auto size = s3->size("k");
  EXPECT_EQ(size.error().code(), Code::unavailable);
  const auto got = read(*s3, "k", 0, 1);
  EXPECT_EQ(got.error().code(), Code::unavailable);
  EXPECT_EQ(got.error().what(), "s3.cold (bucket cold): k: SlowDown: as the test asked for");
}

TEST_F(S3Store, AWrongSecretIsRefusedAtOnce) {
  auto options = bucket_.options();
  options.secret_key = "other";
  const auto put = store(options)->put("k", file("x"), 1, {});
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().code(), Code::refused);
  EXPECT_EQ(put.error().what(), "s3.cold (bucket cold): k: SignatureDoesNotMatch: The request signature we calculated "
                                "does not match the signature you provided.");
  EXPECT_NE(bucket_.tell("state").find("\"requests\": 1}"), std::string::npos);
}

TEST_F(S3Store, AnotherBucketIsNoMissingObject) {
  auto options = bucket_.options();
  options.bucket = "warm";
  EXPECT_EQ(read(*store(options), "k", 0, 1).error().code(), Code::refused);
}

TEST_F(S3Store, NobodyThereIsUnavailable) {
  auto options = bucket_.options();
  options.endpoint = "http://127.0.0.1:1";
  EXPECT_EQ(store(options)->size("k").error().code(), Code::unavailable);
}

TEST_F(S3Store, ConnectionsAreKept) {
  const auto s3 = store();
  ASSERT_TRUE(s3->put("k", file("0123456789"), 10, {}).ok());
  std::vector<std::thread> readers;
  for (int i = 0; i < 8; i++) {
    readers.emplace_back([&] {
      for (int n = 0; n < 20; n++) EXPECT_EQ(*read(*s3, "k", 2, 3), "234");
    });
  }
  for (auto& reader : readers) reader.join();
  const auto state = bucket_.tell("connections");
  EXPECT_LE(std::stoi(state), 9) << "of 161 requests by 8 threads";
}

TEST(S3Options, ThatCannotBeAreSaidToBeSo) {
  const auto wrong = [](S3Options options) {
    const auto made = make_s3_store(std::move(options));
    return made.ok() ? std::string("(ok)") : made.error().what();
  };
  EXPECT_EQ(wrong({.name = "s3"}), "s3: no bucket is named");
  EXPECT_EQ(wrong({.name = "s3", .bucket = "b", .access_key = "a"}), "s3: of access key and secret key one is missing");
  EXPECT_EQ(wrong({.name = "s3", .endpoint = "localhost:9000", .bucket = "b"}),
            "s3: its endpoint must begin with http:// or https://, not \"localhost:9000\"");
}

}  // namespace
}  // namespace holdfast::io::s3
