// Random values of any type that an archive can visit: each test of the recorder's codec meets every field of
// every event, also those that are added later.
#pragma once

#include <random>

#include "base/archive.hpp"
#include "core/actions.hpp"
#include "core/events.hpp"

namespace clusterd::testing {

class RandomValues {
 public:
  explicit RandomValues(uint64_t seed) : random_(seed) {}

  template <class T>
  void operator()(T& value) {
    put(value);
  }
  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool once_in(uint64_t n) { return below(n) == 0; }

  Event event() {
    Event out;
    put(out);
    return out;
  }

 private:
  uint64_t wide() { return random_() >> below(64); }  // of every magnitude

  template <class T>
  void put(T& v) {
    using namespace archive;
    if constexpr (std::is_same_v<T, bool>) {
      v = once_in(2);
    } else if constexpr (std::is_enum_v<T>) {
      uint64_t value = below(32);
      while (!is_enumerator<T>(value)) value = below(32);
      v = static_cast<T>(value);
    } else if constexpr (std::is_integral_v<T>) {
      v = static_cast<T>(wide());
    } else if constexpr (std::is_same_v<T, std::string>) {
      v.resize(below(20));
      for (char& c : v) c = static_cast<char>(below(256));
    } else if constexpr (IsIndex<T>::value) {
      v.value = static_cast<uint16_t>(once_in(4) ? wide() : below(4));
    } else if constexpr (std::is_same_v<T, Instant>) {
      v = once_in(5) ? kNever : once_in(5) ? kLongAgo : Instant(Duration(static_cast<int64_t>(wide())));
    } else if constexpr (IsTime<T>::value) {
      v = T(typename T::duration(static_cast<int64_t>(wide())));
    } else if constexpr (IsDuration<T>::value) {
      v = T(static_cast<int64_t>(wide()));
    } else if constexpr (IsOptional<T>::value) {
      v.reset();
      if (once_in(2)) put(v.emplace());
    } else if constexpr (IsList<T>::value) {
      v.clear();
      for (uint64_t left = below(5); left > 0; --left) {
        typename T::value_type element{};
        put(element);
        v.push_back(element);
      }
    } else if constexpr (IsArray<T>::value) {
      for (auto& element : v) put(element);
    } else if constexpr (IsVariant<T>::value) {
      alternative(v, below(std::variant_size_v<T>), std::make_index_sequence<std::variant_size_v<T>>());
    } else {
      boost::pfr::for_each_field(v, [this](auto& field) { this->put(field); });
    }
  }
  template <class T, size_t... I>
  void alternative(T& v, uint64_t index, std::index_sequence<I...> /*unused*/) {
    ((index == I ? put(v.template emplace<I>()) : void()), ...);
  }
  std::mt19937_64 random_;
};

// The bytes of a value, for comparing what has no operator==.
template <class T>
std::vector<uint8_t> bytes_of(const T& value) {
  std::vector<uint8_t> out;
  ByteWriter writer(out);
  Saver saver(writer, Instant{});
  saver(value);
  return out;
}

}  // namespace clusterd::testing
