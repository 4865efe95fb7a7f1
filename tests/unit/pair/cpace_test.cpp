// CPace against the vectors of draft-irtf-cfrg-cpace-21, appendix B.3 (and A.1.2, A.1.4), and its abort
// conditions.
#include "pair/cpace.hpp"

#include <gtest/gtest.h>
#include <sodium.h>

namespace clusterd::pair {
namespace {

std::string bytes(std::string_view hex) {
  std::string out(hex.size() / 2, '\0');
  size_t length = 0;
  EXPECT_EQ(sodium_hex2bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), hex.data(), hex.size(),
                           nullptr, &length, nullptr),
            0);
  out.resize(length);
  return out;
}
template <size_t N>
std::array<uint8_t, N> array(std::string_view hex) {
  const std::string text = bytes(hex);
  std::array<uint8_t, N> out{};
  EXPECT_EQ(text.size(), N);
  std::copy_n(text.begin(), std::min(N, text.size()), out.begin());
  return out;
}
template <class Bytes>
std::string hex(const Bytes& data) {
  std::string out(data.size() * 2 + 1, '\0');
  sodium_bin2hex(out.data(), out.size(), reinterpret_cast<const unsigned char*>(data.data()), data.size());
  out.pop_back();
  return out;
}

const std::string kCode = "Password";
const std::string kChannel = bytes("0b415f696e69746961746f720b425f726573706f6e646572");
const std::string kSession = bytes("7e4b4791d6a8ef019b936c79fb7f2c57");
const auto kYa = array<32>("da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08");
const auto kYb = array<32>("d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d");

TEST(CPace, Lengths) {
  EXPECT_EQ(hex(prepend_len("")), "00");
  EXPECT_EQ(hex(prepend_len("1234")), "0431323334");
  EXPECT_EQ(hex(prepend_len(std::string(127, 'x')).substr(0, 2)), "7f78");
  EXPECT_EQ(hex(prepend_len(std::string(128, 'x')).substr(0, 3)), "800178");
  EXPECT_EQ(hex(prepend_len(std::string(300, 'x')).substr(0, 3)), "ac0278");
}

TEST(CPace, Generator) {
  EXPECT_EQ(hex(generator_string(kCode, kChannel, kSession)),
            "11435061636552697374726574746f3235350850617373776f726464" + std::string(200, '0') +
                "180b415f696e69746961746f720b425f726573706f6e646572107e4b4791d6a8ef019b936c79fb7f2c57");
  EXPECT_EQ(hex(generator(kCode, kChannel, kSession)),
            "222b6b195fe84b1652badb6f6a3ae3d24341e7306967f0b8115b40d5698c7e56");
}

TEST(CPace, KeyOfInitiatorAndResponder) {
  const Point g = generator(kCode, kChannel, kSession);
  const auto a = share(g, kYa);
  const auto b = share(g, kYb);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(hex(*a), "d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157");
  EXPECT_EQ(hex(*b), "3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258");
  const Side initiator{*a, "ADa"};
  const Side responder{*b, "ADb"};
  const std::string expected =
      "b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd2b38950a39dfd5d4a79164614c2984f7daa460"
      "b588c1e80c"
      "3fa2068af7900447";
  const auto of_a = session_key(kYa, *b, kSession, initiator, responder);
  const auto of_b = session_key(kYb, *a, kSession, initiator, responder);
  ASSERT_TRUE(of_a && of_b);
  EXPECT_EQ(hex(*of_a), expected);
  EXPECT_EQ(hex(*of_b), expected);
}

TEST(CPace, ProductsOfPoints) {
  const auto s = array<32>("7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05");
  const auto x = array<32>("2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c");
  const auto product = share(x, s);
  ASSERT_TRUE(product);
  EXPECT_EQ(hex(*product), "7c13645fe790a468f62c39beb7388e541d8405d1ade69d1778c5fe3e7f6b600e");
}

TEST(CPace, AbortsAtInvalidAndNeutralPoints) {
  const auto s = array<32>("7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05");
  const auto invalid = array<32>("2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c");
  EXPECT_FALSE(session_key(s, invalid, kSession, {}, {}));
  EXPECT_FALSE(session_key(s, Point{}, kSession, {}, {})) << "the neutral element";
}

TEST(CPace, ConfirmationsDependOnEverything) {
  SessionKey key{};
  key[0] = 1;
  const Side side{array<32>("2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c"), "a"};
  const Tag tag = confirmation(key, kSession, side);
  EXPECT_TRUE(same(tag, confirmation(key, kSession, side)));
  EXPECT_FALSE(same(tag, confirmation(key, kSession, {side.share, "b"})));
  EXPECT_FALSE(same(tag, confirmation(key, kSession + "x", side)));
  EXPECT_FALSE(same(tag, confirmation(SessionKey{}, kSession, side)));
}

}  // namespace
}  // namespace clusterd::pair
