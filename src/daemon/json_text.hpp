// JSON as text for machines and for people who look at it: compact, and numbers as people write them (Boost's
// own serializer writes 12.5 as 1.25E1).
#pragma once

#include <boost/json.hpp>
#include <string>

namespace clusterd {

[[nodiscard]] std::string json_text(const boost::json::value& value);

}  // namespace clusterd
