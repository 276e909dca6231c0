#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>

#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "io/posix/udp.h"

namespace holdfast::io {
namespace {

class SystemDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "holdfast-io-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
  }
  void TearDown() override { ASSERT_TRUE(disk.remove_all(folder).ok()); }
  std::string path(const std::string& name) const { return join(folder, name); }

  posix::SystemDisk disk;
  std::string folder;
};

std::string read_all(const File& file, std::uint64_t offset, std::size_t length) {
  std::string out(length, '\0');
  const auto got = file.read(offset, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  if (!got) return "error: " + got.error().what();
  out.resize(*got);
  return out;
}

TEST_F(SystemDiskTest, WhatIsWrittenInPiecesIsReadAsOne) {
  auto file = disk.open(path("a"), {.write = true, .create = true});
  ASSERT_TRUE(file.ok());
  const std::array pieces{bytes_of("one "), bytes_of(""), bytes_of("two "), bytes_of("three")};
  ASSERT_TRUE((*file)->write_pieces(2, pieces).ok());
  ASSERT_TRUE((*file)->sync().ok());
  EXPECT_EQ(read_all(**file, 0, 100), std::string("\0\0one two three", 15));
  EXPECT_EQ(*(*file)->size(), 15u);
}

TEST_F(SystemDiskTest, MoreThanOneCallsWorthOfPiecesArriveInOrder) {
  auto file = disk.open(path("a"), {.write = true, .create = true});
  ASSERT_TRUE(file.ok());
  std::vector<std::string> texts;
  std::string whole;
  for (int i = 0; i < 1000; ++i) texts.push_back(std::to_string(i) + ",");
  std::vector<BytesView> pieces;
  for (const auto& text : texts) {
    pieces.push_back(bytes_of(text));
    whole += text;
  }
  ASSERT_TRUE((*file)->write_pieces(0, pieces).ok());
  EXPECT_EQ(read_all(**file, 0, whole.size() + 1), whole);
}

TEST_F(SystemDiskTest, AReadBehindTheEndIsShortAndNotAnError) {
  ASSERT_TRUE(disk.replace_file(path("a"), "12345").ok());
  auto file = disk.open(path("a"), {});
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(read_all(**file, 3, 10), "45");
  EXPECT_EQ(read_all(**file, 9, 10), "");
}

TEST_F(SystemDiskTest, ACachedReadGivesBytesOrSaysBusy) {
  ASSERT_TRUE(disk.replace_file(path("a"), "12345").ok());
  auto file = disk.open(path("a"), {});
  std::array<std::uint8_t, 5> out{};
  const auto got = (*file)->read_cached(0, out);
  if (got) {
    EXPECT_EQ(text_of(out), "12345");
  } else {
    EXPECT_EQ(got.error().code(), Code::busy);
  }
}

TEST_F(SystemDiskTest, ReplacingAFileLeavesNoTemporaryBehind) {
  ASSERT_TRUE(disk.replace_file(path("a"), "old").ok());
  ASSERT_TRUE(disk.replace_file(path("a"), "new").ok());
  EXPECT_EQ(*disk.read_file(path("a"), 100), "new");
  EXPECT_EQ(*disk.list(folder), std::vector<std::string>{"a"});
  EXPECT_EQ(disk.read_file(path("a"), 2).error().code(), Code::invalid);
}

TEST_F(SystemDiskTest, AMissingFileIsNotFoundAndNamed) {
  const auto file = disk.open(path("none"), {});
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code(), Code::not_found);
  EXPECT_NE(file.error().what().find("none"), std::string::npos);
}

TEST_F(SystemDiskTest, ExclusiveCreationRefusesAnExistingFile) {
  ASSERT_TRUE(disk.replace_file(path("a"), "old").ok());
  const auto file = disk.open(path("a"), {.write = true, .create = true, .exclusive = true});
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code(), Code::already_exists);
}

TEST_F(SystemDiskTest, FoldersAreMadeWithTheirParentsAndRemovedWithTheirChildren) {
  ASSERT_TRUE(disk.make_folders(path("x/y/z")).ok());
  ASSERT_TRUE(disk.make_folders(path("x/y/z")).ok());
  ASSERT_TRUE(disk.replace_file(path("x/y/z/f"), "1").ok());
  ASSERT_TRUE(disk.remove_all(path("x")).ok());
  EXPECT_EQ(disk.info(path("x")).error().code(), Code::not_found);
  EXPECT_TRUE(disk.remove_all(path("x")).ok());
}

TEST_F(SystemDiskTest, ALockIsHeldOnceAndNamesItsHolder) {
  {
    auto first = disk.lock(path("lock"));
    ASSERT_TRUE(first.ok());
    const auto second = disk.lock(path("lock"));
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code(), Code::busy);
    EXPECT_NE(second.error().what().find(std::to_string(getpid())), std::string::npos);
  }
  EXPECT_TRUE(disk.lock(path("lock")).ok());
}

TEST_F(SystemDiskTest, AllocatedRoomReadsAsZerosAndKeepsTheSizeWhenAsked) {
  auto file = disk.open(path("a"), {.write = true, .create = true});
  const auto kept = (*file)->allocate(0, 4096, true);
  if (!kept) GTEST_SKIP() << kept.error().what();
  EXPECT_EQ(*(*file)->size(), 0u);
  ASSERT_TRUE((*file)->allocate(0, 4096, false).ok());
  EXPECT_EQ(read_all(**file, 0, 8192), std::string(4096, '\0'));
}

TEST(UdpSocketTest, DatagramsArriveWhateverFamilyTheSocketListensOn) {
  for (const std::string listen : {"127.0.0.1", "", "0.0.0.0", "localhost"}) {
    auto receiver = posix::UdpSocket::bind(listen, 0);
    ASSERT_TRUE(receiver.ok()) << receiver.error().what();
    auto sender = posix::UdpSocket::bind("", 0);
    ASSERT_TRUE(sender.ok());
    const auto target = posix::resolve_udp("localhost", receiver->port());
    ASSERT_TRUE(target.ok());
    ASSERT_TRUE(sender->send(*target, bytes_of("beat")));
    pollfd readable{.fd = receiver->descriptor(), .events = POLLIN};
    ASSERT_EQ(::poll(&readable, 1, 5000), 1) << "listening on '" << listen << "'";
    std::array<std::uint8_t, 16> out{};
    const auto length = receiver->receive(out);
    ASSERT_TRUE(length.has_value());
    EXPECT_EQ(text_of(BytesView(out).first(*length)), "beat");
    EXPECT_FALSE(receiver->receive(out).has_value());
  }
}

TEST(UdpSocketTest, SeveralGoTogetherAndOneThatCannotGoHoldsUpNoOther) {
  auto first = posix::UdpSocket::bind("127.0.0.1", 0);
  auto second = posix::UdpSocket::bind("127.0.0.1", 0);
  auto sender = posix::UdpSocket::bind("0.0.0.0", 0);
  ASSERT_TRUE(first.ok() && second.ok() && sender.ok());
  const auto to_first = posix::resolve_udp("127.0.0.1", first->port());
  const auto to_second = posix::resolve_udp("127.0.0.1", second->port());
  const auto elsewhere = posix::resolve_udp("::1", second->port());
  ASSERT_TRUE(to_first.ok() && to_second.ok());
  const std::string too_long(70'000, 'x');
  std::vector<std::string> contents;
  std::vector<posix::UdpSocket::Outgoing> all;
  for (int i = 0; i < 20; ++i) contents.push_back(std::to_string(i));
  for (int i = 0; i < 20; ++i) {
    all.push_back({.to = i % 2 == 0 ? *to_first : *to_second, .datagram = bytes_of(contents[i])});
    if (i == 4) all.push_back({.to = *to_first, .datagram = bytes_of(too_long)});
    if (i == 9) all.push_back({.to = posix::UdpPeer(), .datagram = bytes_of("nowhere")});
    if (i == 12 && elsewhere.ok()) all.push_back({.to = *elsewhere, .datagram = bytes_of("another family")});
  }
  sender->send(all);
  for (const auto& one : all) {
    const std::string text(text_of(one.datagram));
    EXPECT_EQ(one.taken, std::find(contents.begin(), contents.end(), text) != contents.end()) << text.substr(0, 20);
  }
  for (int i = 0; i < 20; ++i) {
    const auto& socket = i % 2 == 0 ? *first : *second;
    pollfd readable{.fd = socket.descriptor(), .events = POLLIN};
    ASSERT_EQ(::poll(&readable, 1, 5000), 1) << i;
    std::array<std::uint8_t, 16> out{};
    const auto length = socket.receive(out);
    ASSERT_TRUE(length.has_value());
    EXPECT_EQ(text_of(BytesView(out).first(*length)), contents[i]);
  }
}

TEST(UdpSocketTest, ALongerDatagramThanTheBufferIsDropped) {
  auto socket = posix::UdpSocket::bind("127.0.0.1", 0);
  ASSERT_TRUE(socket.ok());
  const auto self = posix::resolve_udp("127.0.0.1", socket->port());
  ASSERT_TRUE(self.ok());
  ASSERT_TRUE(socket->send(*self, bytes_of(std::string(100, 'x'))));
  ASSERT_TRUE(socket->send(*self, bytes_of("short")));
  pollfd readable{.fd = socket->descriptor(), .events = POLLIN};
  ASSERT_EQ(::poll(&readable, 1, 5000), 1);
  std::array<std::uint8_t, 16> out{};
  EXPECT_EQ(socket->receive(out), std::optional<std::size_t>(5));
}

TEST(UdpSocketTest, ABatchHoldsAllThatIsHereInOrderWithoutLongOnes) {
  auto socket = posix::UdpSocket::bind("127.0.0.1", 0);
  ASSERT_TRUE(socket.ok());
  const auto self = posix::resolve_udp("127.0.0.1", socket->port());
  ASSERT_TRUE(self.ok());
  posix::DatagramBatch batch;
  socket->receive(&batch);
  EXPECT_EQ(batch.size(), 0u);
  EXPECT_FALSE(batch.is_full());

  ASSERT_TRUE(socket->send(*self, bytes_of("one")));
  ASSERT_TRUE(socket->send(*self, bytes_of(std::string(posix::DatagramBatch::kBytesEach + 1, 'x'))));
  ASSERT_TRUE(socket->send(*self, bytes_of("")));
  ASSERT_TRUE(socket->send(*self, bytes_of(std::string(posix::DatagramBatch::kBytesEach, 'y'))));
  socket->receive(&batch);
  ASSERT_EQ(batch.size(), 3u);
  EXPECT_EQ(text_of(batch[0]), "one");
  EXPECT_EQ(text_of(batch[1]), "");
  EXPECT_EQ(text_of(batch[2]), std::string(posix::DatagramBatch::kBytesEach, 'y'));
  EXPECT_FALSE(batch.is_full());

  for (std::size_t i = 0; i < posix::DatagramBatch::kCount + 1; ++i) {
    ASSERT_TRUE(socket->send(*self, bytes_of(std::to_string(i))));
  }
  socket->receive(&batch);
  EXPECT_TRUE(batch.is_full());
  EXPECT_EQ(text_of(batch[15]), "15");
  socket->receive(&batch);
  ASSERT_EQ(batch.size(), 1u);
  EXPECT_EQ(text_of(batch[0]), "16");
}

TEST(Paths, FolderOfIsTheParent) {
  EXPECT_EQ(folder_of("a/b/c"), "a/b");
  EXPECT_EQ(folder_of("c"), ".");
  EXPECT_EQ(folder_of("/c"), "/");
  EXPECT_EQ(join("a/", "b"), "a/b");
}

TEST(SystemClockTest, NeverGoesBack) {
  const Instant first = posix::system_clock().now();
  EXPECT_LE(first, posix::system_clock().now());
}

TEST(RandomTest, BelowStaysBelowAndReachesAll) {
  std::array<int, 3> seen{};
  for (int i = 0; i < 300; ++i) ++seen[posix::system_random().below(3)];
  for (const int count : seen) EXPECT_GT(count, 0);
  EXPECT_NE(posix::system_random().uuid(), posix::system_random().uuid());
}

}  // namespace
}  // namespace holdfast::io
