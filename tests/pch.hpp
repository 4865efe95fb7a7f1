// Precompiled for the tests, as src/pch.hpp is for everything else.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pch.hpp"
