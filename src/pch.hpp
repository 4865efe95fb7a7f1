// Precompiled for every source file (CMakeLists.txt): standard headers and fmt alone, which take half of a
// compilation. It is no substitute for includes: each file includes what it uses, and compiles without it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <variant>
#include <vector>
