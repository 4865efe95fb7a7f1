// What a machine lacks to run its services: programs, folders, room; told once, and at each change.
#include "linux/units/machine_lacks.hpp"

#include <gmock/gmock.h>

#include <filesystem>

#include "units_fixture.hpp"

namespace clusterd {
namespace {

using testing::HasSubstr;

ServiceConfig service_with(UnitConfig::Kind kind) {
  ServiceConfig service;
  service.name = "web";
  service.units.emplace_back().kind = kind;
  return service;
}

TEST(Lacks, ProgramsThatAreNotThereOrMayNotBeExecuted) {
  const TemporaryFolder folder;
  const std::string program = folder.path() + "/app";
  ServiceConfig service = service_with(UnitConfig::Kind::kRun);
  service.units[0].start = program + " --fast";
  EXPECT_EQ(lacks_of_files(service, folder.path()), program + " does not exist");
  std::ofstream(program) << "#!/bin/sh\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_read);
  EXPECT_EQ(lacks_of_files(service, folder.path()), program + " may not be executed");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  EXPECT_EQ(lacks_of_files(service, folder.path()), "");

  service = service_with(UnitConfig::Kind::kLsb);
  service.units[0].script = "/no/init.d/web";
  EXPECT_EQ(lacks_of_files(service, folder.path()), "/no/init.d/web does not exist");
}

TEST(Lacks, EachProgramIsNamedOnce) {
  const TemporaryFolder folder;
  ServiceConfig service = service_with(UnitConfig::Kind::kCommand);
  service.units[0].start = "/no/app start";
  service.units[0].stop = "/no/app stop";
  service.units[0].status = "/no/ask";
  EXPECT_EQ(lacks_of_files(service, folder.path()), "/no/app does not exist; /no/ask does not exist");
}

TEST(Lacks, NothingIsSaidOfWhatOnlyAShellUnderstands) {
  const TemporaryFolder folder;
  for (const char* command : {"test -e /no/app", "\"/no/app\" start", "/no/$APP", "A=1 /no/app", "/no/a;b"}) {
    ServiceConfig service = service_with(UnitConfig::Kind::kRun);
    service.units[0].start = command;
    EXPECT_EQ(lacks_of_files(service, folder.path()), "") << command;
  }
}

TEST(Lacks, AgentsAndFoldersToMountOn) {
  const TemporaryFolder folder;
  ServiceConfig service = service_with(UnitConfig::Kind::kOcf);
  service.units[0].ocf.provider = "nobody";
  service.units[0].ocf.type = "Nothing";
  EXPECT_THAT(lacks_of_files(service, folder.path()), HasSubstr("is not installed on this node"));
  service = service_with(UnitConfig::Kind::kMount);
  service.units[0].mount.where = folder.path() + "/data";
  EXPECT_EQ(lacks_of_files(service, folder.path()), folder.path() + "/data is no folder to mount on");
  std::filesystem::create_directory(folder.path() + "/data");
  EXPECT_EQ(lacks_of_files(service, folder.path()), "");
}

TEST(Lacks, Room) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  EXPECT_EQ(lack_of_room("/srv", 100 * kGiB, 0), "/srv has only 0 MiB left");
  EXPECT_EQ(lack_of_room("/srv", 100 * kGiB, kGiB - 1), "/srv has only 1023 MiB left");
  EXPECT_EQ(lack_of_room("/srv", 100 * kGiB, kGiB), "");
  EXPECT_EQ(lack_of_room("/srv", kGiB, kGiB / 10), "") << "a small disk with a tenth left";
  EXPECT_EQ(lack_of_room("/srv", 0, 0), "");
}

TEST(Lacks, AreToldForEachServiceFirstAndThenAtEachChange) {
  const TemporaryFolder folder;
  const std::string program = folder.path() + "/app";
  Config config;
  config.services = {service_with(UnitConfig::Kind::kRun), service_with(UnitConfig::Kind::kRun)};
  config.services[0].units[0].start = program;
  config.services[1].units[0].start = "/bin/sh";
  std::vector<LackReport> told;
  EventLoop loop;
  const MachineLacks lacks(
      loop, config, folder.path(), [&](const Event& event) { told.push_back(std::get<LackReport>(event)); },
      std::chrono::milliseconds(20));
  ASSERT_TRUE(loop.run_until([&] { return told.size() == 2; }, std::chrono::seconds(60)));
  EXPECT_EQ(told[0].service, ServiceId(0));
  EXPECT_EQ(told[0].lacks, program + " does not exist");
  EXPECT_EQ(told[1].service, ServiceId(1));
  EXPECT_EQ(told[1].lacks, "");
  std::filesystem::create_symlink("/bin/sh", program);
  ASSERT_TRUE(loop.run_until([&] { return told.size() == 3; }, std::chrono::seconds(60)));
  EXPECT_EQ(told[2].service, ServiceId(0));
  EXPECT_EQ(told[2].lacks, "");
}

TEST(Lacks, WhatSomebodyElseHasFoundIsAddedOnce) {
  const TemporaryFolder folder;
  const std::string program = folder.path() + "/app";
  Config config;
  config.services = {service_with(UnitConfig::Kind::kRun), service_with(UnitConfig::Kind::kRun)};
  config.services[0].units[0].start = program;
  config.services[1].units[0].start = "/bin/sh";
  std::vector<LackReport> told;
  EventLoop loop;
  MachineLacks lacks(
      loop, config, folder.path(), [&](const Event& event) { told.push_back(std::get<LackReport>(event)); },
      std::chrono::milliseconds(20));
  lacks.also({{program + " does not exist", "/no/more does not exist"}});
  ASSERT_TRUE(loop.run_until([&] { return told.size() == 2; }, std::chrono::seconds(60)));
  EXPECT_EQ(told[0].lacks, program + " does not exist; /no/more does not exist");
  EXPECT_EQ(told[1].lacks, "");
  lacks.also({{}, {"/no/other does not exist"}});
  ASSERT_TRUE(loop.run_until([&] { return told.size() == 4; }, std::chrono::seconds(60)));
  EXPECT_EQ(told[2].lacks, program + " does not exist");
  EXPECT_EQ(told[3].service, ServiceId(1));
  EXPECT_EQ(told[3].lacks, "/no/other does not exist");
  // The end of another one's path is another path.
  lacks.also({{"/app does not exist"}});
  ASSERT_TRUE(loop.run_until([&] { return told.size() == 6; }, std::chrono::seconds(60)));
  EXPECT_EQ(told[4].lacks, program + " does not exist; /app does not exist");
}

}  // namespace
}  // namespace clusterd
