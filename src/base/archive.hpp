// Plain values written to bytes, read from bytes, or hashed, without a line of code per type.
//
// Aggregates are visited field by field (Boost.PFR), so a field that is added to an event, an action or the
// persisted state is recorded and compared from then on, and cannot be forgotten. A class with private state
// offers
//
//     template <class Archive> void fields(Archive& archive) { archive(one_, two_); }
//
// which serves both directions. Enumerators are checked against those that the type names; counts against
// what is left of the input. Instants are written relative to a base, which makes them short.
//
// The layout follows the types, so bytes are good for one version of them only: `shape_of<T>()` is a number
// that changes with every change of T, to be stored beside them.
#pragma once

#include <array>
#include <boost/pfr/core.hpp>
#include <boost/pfr/tuple_size.hpp>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/ids.hpp"

namespace clusterd {

namespace archive {

template <class T>
struct IsIndex : std::false_type {};
template <class Tag>
struct IsIndex<Index<Tag>> : std::true_type {};
template <class T>
struct IsTime : std::false_type {};
template <class Clock, class D>
struct IsTime<std::chrono::time_point<Clock, D>> : std::true_type {};
template <class T>
struct IsDuration : std::false_type {};
template <class Rep, class Period>
struct IsDuration<std::chrono::duration<Rep, Period>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsList : std::false_type {};
template <class T>
struct IsList<std::vector<T>> : std::true_type {};
template <class T>
struct IsList<std::deque<T>> : std::true_type {};
template <class T>
struct IsArray : std::false_type {};
template <class T, size_t N>
struct IsArray<std::array<T, N>> : std::true_type {};
template <class T>
struct IsVariant : std::false_type {};
template <class... T>
struct IsVariant<std::variant<T...>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class K, class V>
struct IsMap<std::map<K, V>> : std::true_type {};

template <class T, class Archive>
concept HasFields = requires(T& value, Archive& a) {
  value.fields(a);
};

// Which numbers below 32 a type names: the compiler prints a value without a name as a cast.
template <class E, E V>
consteval bool is_named() {
  const std::string_view name = __PRETTY_FUNCTION__;
  const size_t at = name.rfind("V = ");
  return at != std::string_view::npos && name[at + 4] != '(';
}
template <class E, size_t... I>
consteval uint32_t named_bits(std::index_sequence<I...> /*unused*/) {
  return ((is_named<E, static_cast<E>(I)>() ? 1U << I : 0U) | ...);
}
template <class E>
inline constexpr uint32_t kNamed = named_bits<E>(std::make_index_sequence<32>());
template <class E>
constexpr bool is_enumerator(uint64_t value) {
  constexpr uint32_t kBits = kNamed<E>;
  return value < 32 && ((kBits >> value) & 1U) != 0;
}

consteval uint64_t mixed(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 29U);
}

template <class T>
consteval uint64_t shape();

template <class T, size_t... I>
consteval uint64_t shape_of_fields(std::index_sequence<I...> /*unused*/) {
  uint64_t hash = mixed(90, sizeof...(I));
  ((hash = mixed(hash, shape<boost::pfr::tuple_element_t<I, T>>())), ...);
  return hash;
}
template <class... T>
consteval uint64_t shape_of_alternatives(std::variant<T...>* /*unused*/) {
  uint64_t hash = 91;
  ((hash = mixed(hash, shape<T>())), ...);
  return hash;
}

template <class T>
consteval uint64_t shape() {
  if constexpr (std::is_same_v<T, bool>) {
    return 1;
  } else if constexpr (std::is_enum_v<T>) {
    return mixed(2, kNamed<T>);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return mixed(3, sizeof(T) * 2 + (std::is_signed_v<T> ? 1 : 0));
  } else if constexpr (std::is_same_v<T, std::string>) {
    return 4;
  } else if constexpr (IsIndex<T>::value) {
    return 5;
  } else if constexpr (IsTime<T>::value) {
    return 6;
  } else if constexpr (IsDuration<T>::value) {
    return 7;
  } else if constexpr (IsOptional<T>::value) {
    return mixed(8, shape<typename T::value_type>());
  } else if constexpr (IsList<T>::value) {
    return mixed(9, shape<typename T::value_type>());
  } else if constexpr (IsArray<T>::value) {
    return mixed(mixed(10, shape<typename T::value_type>()), std::tuple_size_v<T>);
  } else if constexpr (IsVariant<T>::value) {
    return shape_of_alternatives(static_cast<T*>(nullptr));
  } else {
    return shape_of_fields<T>(std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
  }
}

}  // namespace archive

template <class T>
consteval uint64_t shape_of() {
  return archive::shape<T>();
}

// Writes. Never changes what it visits, although `fields` is not const.
class Saver {
 public:
  static constexpr bool kLoads = false;
  Saver(ByteWriter& out, Instant base) : out_(out), base_(base) {}

  template <class... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }
  // Of what is read (see Loader); what is written is as it should be.
  void fail_if(bool /*condition*/) {}
  template <class A, class B>
  void same_size(const A& /*list*/, const B& /*table*/) {}

 private:
  template <class T>
  void put(const T& v) {
    using namespace archive;
    if constexpr (HasFields<T, Saver>) {
      const_cast<T&>(v).fields(*this);
    } else if constexpr (std::is_same_v<T, bool>) {
      out_.flag(v);
    } else if constexpr (std::is_enum_v<T>) {
      out_.u8(static_cast<uint8_t>(v));
    } else if constexpr (std::is_unsigned_v<T>) {
      out_.number(v);
    } else if constexpr (std::is_integral_v<T>) {
      out_.signed_number(v);
    } else if constexpr (std::is_same_v<T, std::string>) {
      out_.text(v);
    } else if constexpr (IsIndex<T>::value) {
      out_.number(static_cast<uint64_t>(v.value));
    } else if constexpr (std::is_same_v<T, Instant>) {
      instant(v);
    } else if constexpr (IsTime<T>::value) {
      out_.signed_number(v.time_since_epoch().count());
    } else if constexpr (IsDuration<T>::value) {
      out_.signed_number(v.count());
    } else if constexpr (IsOptional<T>::value) {
      out_.flag(v.has_value());
      if (v) put(*v);
    } else if constexpr (IsMap<T>::value) {
      out_.number(v.size());
      for (const auto& [key, value] : v) (*this)(key, value);
    } else if constexpr (IsList<T>::value) {
      out_.number(v.size());
      // The cast is for vector<bool>, whose elements are none.
      for (const auto& element : v) put(static_cast<const typename T::value_type&>(element));
    } else if constexpr (IsArray<T>::value) {
      for (const auto& element : v) put(element);
    } else if constexpr (IsVariant<T>::value) {
      out_.u8(static_cast<uint8_t>(v.index()));
      std::visit([this](const auto& alternative) { this->put(alternative); }, v);
    } else {
      boost::pfr::for_each_field(v, [this](const auto& field) { this->put(field); });
    }
  }
  // "Never" and "long ago" are the same from every base.
  void instant(Instant v) {
    out_.u8(v == kNever ? 1 : v == kLongAgo ? 2 : 0);
    if (v != kNever && v != kLongAgo) {
      out_.signed_number(static_cast<int64_t>(static_cast<uint64_t>(v.time_since_epoch().count()) -
                                              static_cast<uint64_t>(base_.time_since_epoch().count())));
    }
  }
  ByteWriter& out_;
  Instant base_;
};

// Reads what a Saver with the same base wrote; what does not fit makes the reader bad.
class Loader {
 public:
  static constexpr bool kLoads = true;
  static constexpr size_t kMaxCount = 1U << 20U;
  Loader(ByteReader& in, Instant base) : in_(in), base_(base) {}

  template <class... T>
  void operator()(T&... values) {
    (get(values), ...);
  }
  [[nodiscard]] bool bad() const { return in_.bad(); }
  // Checks within `fields`: whatever the bytes say, indices must go on fitting their tables.
  void fail_if(bool condition) { in_.fail_if(condition); }
  template <class A, class B>
  void same_size(const A& list, const B& table) {
    in_.fail_if(list.size() != table.size());
  }

 private:
  template <class T>
  void get(T& v) {
    using namespace archive;
    if (in_.bad()) return;
    if constexpr (HasFields<T, Loader>) {
      v.fields(*this);
    } else if constexpr (std::is_same_v<T, bool>) {
      v = in_.flag();
    } else if constexpr (std::is_enum_v<T>) {
      const uint64_t value = in_.u8();
      in_.fail_if(!is_enumerator<T>(value));
      if (!in_.bad()) v = static_cast<T>(value);
    } else if constexpr (std::is_unsigned_v<T>) {
      v = static_cast<T>(in_.limited(in_.number(), std::numeric_limits<T>::max()));
    } else if constexpr (std::is_integral_v<T>) {
      const int64_t wide = in_.signed_number();
      in_.fail_if(!std::in_range<T>(wide));
      v = static_cast<T>(wide);
    } else if constexpr (std::is_same_v<T, std::string>) {
      v = in_.text();
    } else if constexpr (IsIndex<T>::value) {
      v.value = static_cast<uint16_t>(in_.limited(in_.number(), std::numeric_limits<uint16_t>::max()));
    } else if constexpr (std::is_same_v<T, Instant>) {
      instant(v);
    } else if constexpr (IsTime<T>::value) {
      v = T(typename T::duration(in_.signed_number()));
    } else if constexpr (IsDuration<T>::value) {
      v = T(in_.signed_number());
    } else if constexpr (IsOptional<T>::value) {
      v.reset();
      if (!in_.flag()) return;
      typename T::value_type value{};  // no emplace(): clang 14 does not see a nested class's constructor in time
      get(value);
      v.emplace(std::move(value));
    } else if constexpr (IsMap<T>::value) {
      v.clear();
      for (size_t left = in_.count(kMaxCount); left > 0 && !in_.bad(); --left) {
        typename T::key_type key{};
        get(key);
        get(v[key]);
      }
    } else if constexpr (IsList<T>::value) {
      list(v);
    } else if constexpr (IsArray<T>::value) {
      for (auto& element : v) get(element);
    } else if constexpr (IsVariant<T>::value) {
      const auto index = in_.limited(in_.u8(), std::variant_size_v<T> - 1);
      alternative(v, static_cast<size_t>(index), std::make_index_sequence<std::variant_size_v<T>>());
    } else {
      boost::pfr::for_each_field(v, [this](auto& field) { this->get(field); });
    }
  }
  template <class T>
  void list(T& v) {
    v.clear();
    // Grows with what is really there: an element may be larger in memory than its bytes are.
    for (size_t left = in_.count(kMaxCount); left > 0 && !in_.bad(); --left) {
      typename T::value_type element{};
      get(element);
      v.push_back(std::move(element));
    }
  }
  template <class T, size_t... I>
  void alternative(T& v, size_t index, std::index_sequence<I...> /*unused*/) {
    ((index == I ? get(v.template emplace<I>()) : void()), ...);
  }
  void instant(Instant& v) {
    switch (in_.limited(in_.u8(), 2)) {
      case 1:
        v = kNever;
        return;
      case 2:
        v = kLongAgo;
        return;
      default: {
        const auto sum = static_cast<uint64_t>(in_.signed_number()) +
                         static_cast<uint64_t>(base_.time_since_epoch().count());
        v = Instant(Duration(static_cast<int64_t>(sum)));
      }
    }
  }
  ByteReader& in_;
  Instant base_;
};

// A 64-bit hash of all that is visited: tells decisions apart, is no protection against forgery.
class Hasher {
 public:
  static constexpr bool kLoads = false;
  template <class... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }
  [[nodiscard]] uint64_t value() const { return hash_; }

 private:
  void mix(uint64_t v) {
    hash_ = (hash_ ^ v) * 0x9e3779b97f4a7c15ULL;
    hash_ ^= hash_ >> 29U;
  }
  template <class T>
  void put(const T& v) {
    using namespace archive;
    if constexpr (std::is_enum_v<T> || std::is_arithmetic_v<T>) {
      mix(static_cast<uint64_t>(v));
    } else if constexpr (std::is_same_v<T, std::string>) {
      mix(v.size());
      for (const char c : v) mix(static_cast<uint8_t>(c));
    } else if constexpr (IsIndex<T>::value) {
      mix(v.value);
    } else if constexpr (IsTime<T>::value) {
      mix(static_cast<uint64_t>(v.time_since_epoch().count()));
    } else if constexpr (IsDuration<T>::value) {
      mix(static_cast<uint64_t>(v.count()));
    } else if constexpr (IsOptional<T>::value) {
      mix(v.has_value() ? 1 : 0);
      if (v) put(*v);
    } else if constexpr (IsList<T>::value) {
      mix(v.size());
      for (const auto& element : v) put(static_cast<const typename T::value_type&>(element));
    } else if constexpr (IsArray<T>::value) {
      for (const auto& element : v) put(element);
    } else if constexpr (IsVariant<T>::value) {
      mix(v.index());
      std::visit([this](const auto& alternative) { this->put(alternative); }, v);
    } else {
      boost::pfr::for_each_field(v, [this](const auto& field) { this->put(field); });
    }
  }
  uint64_t hash_ = 0x243f6a8885a308d3ULL;
};

}  // namespace clusterd
