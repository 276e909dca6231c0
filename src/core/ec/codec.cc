#include "core/ec/codec.h"

#include <isa-l/erasure_code.h>

#include <algorithm>

namespace holdfast::ec {
namespace {

constexpr std::size_t kTableBytes = 32;        // of one factor, for ISA-L
constexpr std::size_t kStepBytesMax = 1 << 30;  // ISA-L counts in int

std::uint8_t power(std::uint8_t base, unsigned exponent) {
  std::uint8_t out = 1;
  for (unsigned i = 0; i < exponent; i++) out = gf_mul(out, base);
  return out;
}

// ISA-L takes pointers to what it does not change as if it did.
void multiply(unsigned sources, unsigned rows, const std::vector<std::uint8_t>& tables,
              std::span<const std::uint8_t* const> from, std::span<std::uint8_t* const> to, std::size_t bytes) {
  CHECK(from.size() == sources && to.size() == rows);
  if (rows == 0) return;
  std::uint8_t* in[kShardsMax];
  std::uint8_t* out[kShardsMax];
  for (std::size_t at = 0; at < bytes; at += kStepBytesMax) {
    for (unsigned i = 0; i < sources; i++) in[i] = const_cast<std::uint8_t*>(from[i]) + at;
    for (unsigned i = 0; i < rows; i++) out[i] = to[i] + at;
    ec_encode_data(static_cast<int>(std::min(kStepBytesMax, bytes - at)), static_cast<int>(sources),
                   static_cast<int>(rows), const_cast<std::uint8_t*>(tables.data()), in, out);
  }
}

std::vector<std::uint8_t> tables_of(unsigned sources, unsigned rows, const std::uint8_t* factors) {
  std::vector<std::uint8_t> tables(kTableBytes * sources * rows);
  if (rows > 0) {
    ec_init_tables(static_cast<int>(sources), static_cast<int>(rows), const_cast<std::uint8_t*>(factors), tables.data());
  }
  return tables;
}

}  // namespace

Codec::Codec(Scheme scheme) : scheme_(scheme) {
  CHECK(scheme.is_valid());
  const auto data = scheme.data;
  std::vector<std::uint8_t> vandermonde(std::size_t{scheme.total()} * data);
  for (unsigned r = 0; r < scheme.total(); r++) {
    for (unsigned c = 0; c < data; c++) vandermonde[r * data + c] = power(static_cast<std::uint8_t>(r), c);
  }
  std::vector<std::uint8_t> top(vandermonde.begin(), vandermonde.begin() + std::size_t{data} * data);
  std::vector<std::uint8_t> inverse(top.size());
  CHECK(gf_invert_matrix(top.data(), inverse.data(), static_cast<int>(data)) == 0);  // rows 0..data-1 are distinct
  matrix_.resize(vandermonde.size());
  for (unsigned r = 0; r < scheme.total(); r++) {
    for (unsigned c = 0; c < data; c++) {
      std::uint8_t sum = 0;
      for (unsigned i = 0; i < data; i++) sum ^= gf_mul(vandermonde[r * data + i], inverse[i * data + c]);
      matrix_[r * data + c] = sum;
    }
  }
  encode_tables_ = tables_of(data, scheme.parity, &matrix_[std::size_t{data} * data]);
}

std::span<const std::uint8_t> Codec::row(ShardId shard) const {
  CHECK(shard < scheme_.total());
  return {&matrix_[std::size_t{shard} * scheme_.data], scheme_.data};
}

void Codec::encode(std::span<const std::uint8_t* const> data, std::span<std::uint8_t* const> parity,
                   std::size_t bytes) const {
  multiply(scheme_.data, scheme_.parity, encode_tables_, data, parity, bytes);
}

void Codec::Plan::run(std::span<const std::uint8_t* const> from, std::span<std::uint8_t* const> to,
                      std::size_t bytes) const {
  multiply(static_cast<unsigned>(sources_.size()), static_cast<unsigned>(wanted_.size()), tables_, from, to, bytes);
}

Result<Codec::Plan> Codec::plan(std::vector<ShardId> present, std::vector<ShardId> wanted) const {
  const auto data = scheme_.data;
  for (const auto* ids : {&present, &wanted}) {
    for (const auto id : *ids) {
      if (id >= scheme_.total()) {
        return Error(Code::invalid, "there is no shard " + std::to_string(id) + " in " + text(scheme_));
      }
    }
  }
  std::sort(present.begin(), present.end());
  present.erase(std::unique(present.begin(), present.end()), present.end());
  if (present.size() < data) {
    return Error(Code::unavailable, "only " + std::to_string(present.size()) + " of the " + std::to_string(data) +
                                        " shards it takes are there");
  }
  present.resize(data);
  std::vector<std::uint8_t> square;
  for (const auto id : present) {
    const auto factors = row(id);
    square.insert(square.end(), factors.begin(), factors.end());
  }
  std::vector<std::uint8_t> inverse(square.size());
  if (gf_invert_matrix(square.data(), inverse.data(), static_cast<int>(data)) != 0) {
    return Error(Code::internal, "the matrix of these shards has no inverse");
  }
  std::vector<std::uint8_t> factors;
  for (const auto id : wanted) {
    const auto wanted_row = row(id);
    for (unsigned c = 0; c < data; c++) {
      std::uint8_t sum = 0;
      for (unsigned i = 0; i < data; i++) sum ^= gf_mul(wanted_row[i], inverse[i * data + c]);
      factors.push_back(sum);
    }
  }
  Plan out;
  out.tables_ = tables_of(data, static_cast<unsigned>(wanted.size()), factors.data());
  out.sources_ = std::move(present);
  out.wanted_ = std::move(wanted);
  return out;
}

}  // namespace holdfast::ec
