#include "base/address.hpp"

#include <gtest/gtest.h>

namespace clusterd {
namespace {

TEST(IpAddress, RoundTripsBothFamilies) {
  for (const char* text : {"192.168.1.20", "0.0.0.0", "fd00::20", "::1"}) {
    const auto parsed = IpAddress::parse(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->text(), text);
  }
}

TEST(IpAddress, RefusesWhatIsNone) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "fd00::g", "localhost"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
}

TEST(Prefix, KnowsItsMembers) {
  const auto prefix = Prefix::parse("192.168.1.20/24");
  ASSERT_TRUE(prefix);
  EXPECT_TRUE(prefix->contains(*IpAddress::parse("192.168.1.255")));
  EXPECT_FALSE(prefix->contains(*IpAddress::parse("192.168.2.1")));
  EXPECT_FALSE(prefix->contains(*IpAddress::parse("fd00::1")));
}

TEST(Prefix, RefusesBadLengths) {
  for (const char* text :
       {"10.0.0.1", "10.0.0.1/33", "10.0.0.1/", "10.0.0.1/-1", "fd00::1/129", "10.0.0.1/8x"}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

TEST(MacAddress, RoundTripsAndRefuses) {
  EXPECT_EQ(MacAddress::parse("00:10:4b:63:1c:08")->text(), "00:10:4b:63:1c:08");
  for (const char* text : {"", "00:10:4b:63:1c", "00-10-4b-63-1c-08", "00:10:4b:63:1c:0g"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

TEST(MacAddress, DerivedIsLocalUnicastAndTellsServicesApart) {
  const auto web = MacAddress::derived("office", "web");
  EXPECT_EQ(web.bytes[0] & 0x03, 0x02);
  EXPECT_EQ(web, MacAddress::derived("office", "web"));
  EXPECT_NE(web, MacAddress::derived("office", "mail"));
  EXPECT_NE(web, MacAddress::derived("lab", "web"));
  EXPECT_NE(MacAddress::derived("ab", "c"), MacAddress::derived("a", "bc"));
}

}  // namespace
}  // namespace clusterd
