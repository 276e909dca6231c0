// Registers: is a history of reads and writes of single registers linearizable?
//
// Every write writes a value of its own, so each read names the write it saw. For such histories the question has an
// exact answer in O(n log n) (Gibbons and Korach, "Testing shared memories", 1997): of each value take all its
// operations, the write and the reads that saw it; f is the earliest end among them, s the latest beginning. If f < s
// the register surely held the value during [f, s] (a forward zone), else it held it at some instant of [s, f]
// (a backward zone). The history is linearizable iff no read ends before its write begins, no two forward zones
// overlap, and no backward zone lies within a forward one.
//
// An operation whose outcome its caller never learned may take effect at any later time: a write without an end. One
// that nobody saw puts no bound on anything and is left out; a read without an answer likewise.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace holdfast::sim {

class Registers {
 public:
  using Value = std::uint64_t;  // 0 is what every register holds at first

  void wrote(std::uint64_t key, Value value, Instant begin, std::optional<Instant> end);
  void read(std::uint64_t key, Value value, Instant begin, Instant end);

  // A sentence about the first contradiction, or nothing.
  std::optional<std::string> contradiction() const;

  std::size_t size() const { return size_; }

 private:
  struct Value_ {
    bool written = false;
    Instant write_begin = kDistantPast;
    Instant first_end = kDistantFuture;   // f
    Instant last_begin = kDistantPast;    // s
    Instant first_read_end = kDistantFuture;
    std::size_t reads = 0;
  };
  std::map<std::uint64_t, std::map<Value, Value_>> keys_;
  std::size_t size_ = 0;
};

}  // namespace holdfast::sim
