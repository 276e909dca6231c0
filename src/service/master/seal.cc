#include "service/master/seal.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <fstream>

#include "api/hmac.h"
#include "base/check.h"
#include "model/address.h"

namespace holdfast::master {
namespace {

constexpr std::string_view kDatagramMagic = "HFS1";
constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kDatagramMacBytes = 16;
constexpr std::size_t kNumberBytes = 16;

std::string hmac(std::string_view key, std::string_view bytes) {
  return std::string(text_of(api::hmac_sha256(bytes_of(key), bytes_of(bytes))));
}

bool same(std::string_view a, std::string_view b) { return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

std::string random_number() {
  std::string out(kNumberBytes, '\0');
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) == 1);
  return out;
}

std::string uuid_text(const Uuid& uuid) {
  std::string out;
  append_be(out, uuid.high);
  append_be(out, uuid.low);
  return out;
}

std::string numbered(std::uint64_t number, std::string_view content) {
  std::string out;
  append_be(out, number);
  out.append(content);
  return out;
}

// What an answer that is not sealed says of why, if it does.
std::string words_of(const RaftGreeting& reply) { return reply.refusal(); }
std::string words_of(const RaftJoinReply& reply) { return reply.text(); }
bool says_only_words(const RaftGreeting& reply) { return reply.node().empty() && !reply.refusal().empty(); }
bool says_only_words(const RaftJoinReply&) { return false; }  // such words are an answer there

// By its own word, which nothing proves: only what is an address gets into a log.
std::string called(const RaftGreeting& greeting) {
  return Address::parse(greeting.address()) ? ", which calls itself " + greeting.address() + "," : "";
}

// What helps a caller without the secret, or with another one. Who names no address is no master yet, or no more: `recover`.
std::string way_in(const RaftGreeting& greeting, const char* of_a_master) {
  return greeting.address().empty() ? "give it the -clusterSecretFile that this master was started with" : of_a_master;
}

}  // namespace

Seal::Seal(std::string_view secret, io::Clock& clock) : clock_(clock) {
  if (!secret.empty()) key_ = hmac(secret, "holdfast masters 1");
}

// Length before each part, so that no two lists of parts are the same bytes.
std::string Seal::mac(std::string_view purpose, const std::string& call, std::string_view bytes) const {
  std::string all;
  for (const auto part : {purpose, std::string_view(call), bytes}) {
    append_be(all, static_cast<std::uint64_t>(part.size()));
    all.append(part);
  }
  return hmac(key_, all);
}

std::string Seal::seal_call(std::string_view purpose, RaftGreeting* greeting) const {
  if (!is_on()) return "";
  const auto number = random_number();
  greeting->set_number(number);
  greeting->set_wall(clock_.wall().time_since_epoch().count());
  const auto bytes = greeting->SerializeAsString();
  greeting->Clear();
  greeting->set_mac(mac(purpose, "", bytes));
  greeting->set_sealed(bytes);
  return number;
}

Result<std::string> Seal::open_call(std::string_view purpose, RaftGreeting* greeting) {
  if (!is_on()) {
    if (greeting->mac().empty()) return std::string();
    return Error{Code::refused, "the caller has a cluster secret and this master has none: start it with the same -clusterSecretFile"};
  }
  if (greeting->mac().empty()) {
    return Error{Code::refused, "this cluster has a secret and the caller" + called(*greeting) + " has none: " +
                                    way_in(*greeting, "start that master with the same -clusterSecretFile")};
  }
  RaftGreeting inner;
  const bool parses = inner.ParseFromString(greeting->sealed());
  if (!same(greeting->mac(), mac(purpose, "", greeting->sealed()))) {
    return Error{Code::refused, "the cluster secret of the caller" + (parses ? called(inner) : std::string()) + " is another one: " +
                                    way_in(inner, "give all masters the same -clusterSecretFile")};
  }
  if (!parses || inner.number().size() != kNumberBytes) return Error{Code::refused, "a call that cannot be read"};
  if (auto fresh = note_call(inner.number(), io::WallTime(Duration(inner.wall()))); !fresh) return fresh.error();
  *greeting = std::move(inner);
  return greeting->number();
}

Status Seal::note_call(const std::string& number, io::WallTime said) {
  const auto wall = clock_.wall();
  const auto off = said > wall ? said - wall : wall - said;
  if (off > kCallAge) {
    return Error{Code::refused, "the calendars differ by " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(off).count()) +
                                    " s: with a cluster secret those of the masters must agree within 5 minutes"};
  }
  const auto now = clock_.now();
  Guard guard(mutex_);
  // Twice the time: a call may have been said by a calendar that is ahead.
  while (!calls_in_order_.empty() && (now - calls_in_order_.front().first > 2 * kCallAge || calls_in_order_.size() >= kCallsKept)) {
    calls_.erase(calls_in_order_.front().second);
    calls_in_order_.pop_front();
  }
  if (!calls_.insert(number).second) return Error{Code::refused, "the same call a second time"};
  calls_in_order_.emplace_back(now, number);
  return {};
}

template <typename Reply>
std::string Seal::seal_answer(std::string_view purpose, const std::string& call, Reply* reply) const {
  if (!is_on()) return "";
  const auto number = random_number();
  reply->set_number(number);
  const auto bytes = reply->SerializeAsString();
  reply->Clear();
  reply->set_mac(mac(std::string(purpose) + " answer", call, bytes));
  reply->set_sealed(bytes);
  return number;
}

template <typename Reply>
Result<std::string> Seal::open_answer(std::string_view purpose, const std::string& call, Reply* reply) const {
  if (!is_on()) {
    // Who refuses for the want of a secret says nothing else, not even who it is.
    if (reply->mac().empty()) {
      return says_only_words(*reply) ? Result<std::string>(Error{Code::refused, "it says: " + words_of(*reply)}) : std::string();
    }
    return Error{Code::refused, "it has a cluster secret and this master has none: start this one with the same -clusterSecretFile"};
  }
  if (reply->mac().empty()) {
    const auto words = words_of(*reply);
    return Error{Code::refused, words.empty() ? "it knows no cluster secret: start it with the same -clusterSecretFile" : "it says: " + words};
  }
  if (!same(reply->mac(), mac(std::string(purpose) + " answer", call, reply->sealed()))) {
    return Error{Code::refused, "its cluster secret is another one than this master's: give all masters the same -clusterSecretFile"};
  }
  Reply inner;
  if (!inner.ParseFromString(reply->sealed())) return Error{Code::refused, "an answer that cannot be read"};
  *reply = std::move(inner);
  return reply->number();
}

template std::string Seal::seal_answer(std::string_view, const std::string&, RaftGreeting*) const;
template std::string Seal::seal_answer(std::string_view, const std::string&, RaftJoinReply*) const;
template Result<std::string> Seal::open_answer(std::string_view, const std::string&, RaftGreeting*) const;
template Result<std::string> Seal::open_answer(std::string_view, const std::string&, RaftJoinReply*) const;

// ---- streams

Seal::Stream Seal::stream(const std::string& call, const std::string& answer) const {
  Stream stream;
  if (is_on()) stream.key_ = mac("stream", call, answer);
  return stream;
}

void Seal::Stream::seal(RaftFrame* frame) {
  if (key_.empty()) return;
  const auto bytes = frame->SerializeAsString();
  frame->Clear();
  frame->set_mac(hmac(key_, numbered(count_++, bytes)));
  frame->set_sealed(bytes);
}

bool Seal::Stream::open(const RaftFrame& sealed, RaftFrame* frame) {
  if (!same(sealed.mac(), hmac(key_, numbered(count_, sealed.sealed())))) return false;
  ++count_;
  return frame->ParseFromString(sealed.sealed());
}

// ---- datagrams

std::string Seal::datagram_key(const Uuid& from, const Uuid& to) const {
  return is_on() ? mac("datagrams", uuid_text(from), uuid_text(to)) : "";
}

std::string seal_datagram(const std::string& key, const Uuid& from, std::uint64_t number, std::string_view content) {
  std::string out(kDatagramMagic);
  out += uuid_text(from);
  const auto signed_part = numbered(number, content);
  append_be(out, number);
  out += hmac(key, signed_part).substr(0, kDatagramMacBytes);
  out.append(content);
  return out;
}

std::optional<Uuid> datagram_sender(BytesView datagram) {
  if (datagram.size() < kDatagramSealBytes || text_of(datagram.first(4)) != kDatagramMagic) return std::nullopt;
  return Uuid{load_be<std::uint64_t>(datagram.data() + 4), load_be<std::uint64_t>(datagram.data() + 12)};
}

std::optional<DatagramGate::Opened> DatagramGate::open(BytesView datagram) {
  if (!datagram_sender(datagram)) return std::nullopt;
  const auto number = load_be<std::uint64_t>(datagram.data() + 20);
  const auto content = datagram.subspan(kDatagramSealBytes);
  const auto expected = hmac(key_, numbered(number, text_of(content))).substr(0, kDatagramMacBytes);
  if (!same(text_of(datagram.subspan(28, kDatagramMacBytes)), expected)) return std::nullopt;
  if (number == 0) return Opened{.content = content, .repeatable = true};
  if (number > highest_) {
    const auto by = number - highest_;
    seen_ = by >= kWindow ? 1 : seen_ << by | 1;
    highest_ = number;
    return Opened{.content = content};
  }
  const auto back = highest_ - number;
  if (back >= kWindow || (seen_ >> back & 1) != 0) return std::nullopt;
  seen_ |= std::uint64_t{1} << back;
  return Opened{.content = content};
}

// ---- where it comes from

Result<std::string> load_cluster_secret(const std::string& file, const std::string& given) {
  std::string secret = given;
  std::string from = "cluster.secret";
  if (!file.empty()) {
    from = file;
    struct stat info {};
    std::ifstream in(file, std::ios::binary);
    if (!in || ::stat(file.c_str(), &info) != 0) return Error{Code::not_found, "-clusterSecretFile: " + file + " cannot be read"};
    if ((info.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
      return Error{Code::refused, "-clusterSecretFile: " + file + " may be read or changed by others: chmod 600 " + file};
    }
    secret.clear();
    std::getline(in, secret);
    if (!secret.empty() && secret.back() == '\r') secret.pop_back();
    if (secret.empty()) return Error{Code::invalid, "-clusterSecretFile: the first line of " + file + " is empty"};
  }
  if (!secret.empty() && secret.size() < kClusterSecretBytesMin) {
    return Error{Code::invalid, from + ": a cluster secret has " + std::to_string(kClusterSecretBytesMin) +
                                    " bytes at least: openssl rand -hex 32"};
  }
  return secret;
}

}  // namespace holdfast::master
