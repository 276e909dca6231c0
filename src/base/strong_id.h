// StrongId: an integer (or other value) with a type of its own, so that a Term cannot be passed for an Index.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <string>

namespace holdfast {

template <typename Tag, typename Value>
class StrongId {
 public:
  using ValueType = Value;

  constexpr StrongId() : value_{} {}
  constexpr explicit StrongId(Value value) : value_(value) {}

  constexpr const Value& value() const { return value_; }
  friend constexpr auto operator<=>(const StrongId&, const StrongId&) = default;

  // The following ids: next() is one further, a + n and a - b are plain distances.
  constexpr StrongId next() const { return StrongId(value_ + 1); }
  constexpr StrongId previous() const { return StrongId(value_ - 1); }
  friend constexpr StrongId operator+(StrongId a, Value n) { return StrongId(a.value_ + n); }
  friend constexpr StrongId operator-(StrongId a, Value n) { return StrongId(a.value_ - n); }
  friend constexpr Value operator-(StrongId a, StrongId b) { return a.value_ - b.value_; }

 private:
  Value value_;
};

template <typename Tag, typename Value>
std::string text(const StrongId<Tag, Value>& id) {
  return std::to_string(id.value());
}

}  // namespace holdfast

template <typename Tag, typename Value>
struct std::hash<holdfast::StrongId<Tag, Value>> {
  std::size_t operator()(const holdfast::StrongId<Tag, Value>& id) const noexcept {
    return std::hash<Value>{}(id.value());
  }
};
