// clusterd-sim: random faults against the simulated cluster, one seed per run.
//
//   clusterd-sim [--seed N] [--seeds M] [--profile P] [--jobs J] [--minutes T] [--verbose] [--trace FILE]
//   clusterd-sim --corpus FILE      the seeds that once found something
//
// Prints each seed that finds something, and how fast it went. Exit code 1: something was found.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/canary.hpp"
#include "sim/campaign.hpp"
#include "sim/marks.hpp"

namespace clusterd::sim {
namespace {

struct Job {
  uint64_t seed = 0;
  std::string profile;
  bool scheduled = false;
  bool scenes = true;
  bool related = false;
  bool effects = false;
  bool arp = true;
};

struct Total {
  uint64_t seeds = 0, findings = 0, excused = 0, faults = 0, takeovers = 0;
  int64_t simulated = 0;  // ns
  uint64_t hash = 0;
};

uint64_t seed_under_way = 0;

void on_abort(int) {
  char line[64];
  const int length =
      std::snprintf(line, sizeof line, "seed %llu: an assertion failed, or an exception was thrown\n",
                    static_cast<unsigned long long>(seed_under_way));
  if (::write(STDOUT_FILENO, line, static_cast<size_t>(length)) < 0) ::_exit(3);
  ::_exit(3);
}

// Each line: SEED [PROFILE [live [scenes [related] [effects] [arp]]]] [# what it found]; without the words as
// seeds were before there were live mirrors, scenes, hosts that answer by ARP; two are --relations and
// --effects.
std::vector<Job> read_corpus(const std::string& file, const std::string& profile) {
  std::vector<Job> out;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    Job job;
    if (!(words >> job.seed)) continue;
    if (!(words >> job.profile)) job.profile = profile;
    std::string mirrors;
    std::string scenes;
    words >> mirrors >> scenes;
    job.scheduled = mirrors != "live";
    job.scenes = scenes == "scenes";
    job.arp = false;
    for (std::string word; words >> word;) {
      job.related = job.related || word == "related";
      job.effects = job.effects || word == "effects";
      job.arp = job.arp || word == "arp";
    }
    out.push_back(job);
  }
  return out;
}

// One name, or two with a comma between them. False: there is no such canary (or the list was asked for).
bool switch_on(const std::string& canaries) {
  const size_t comma = canaries.find(',');
  const auto first = canary_by_name(canaries.substr(0, comma));
  const auto second = comma == std::string::npos ? Canary::kNone : canary_by_name(canaries.substr(comma + 1));
  if (first && second) {
    set_canary(*first, *second);
    return true;
  }
  for (const CanaryInfo& info : kCanaries) fmt::print("{:24} {:4} {}\n", info.name, info.rule, info.what);
  return false;
}

struct Work {
  size_t first = 0, step = 1;  // every step-th job
  bool print_hashes = false;
  bool first_finding = false;  // ends the work
  double seconds = 0;          // begin no further run after that time; 0: no limit
  std::string marks;
};

Total work(const std::vector<Job>& jobs, const Work& share, CampaignOptions options) {
  std::signal(SIGABRT, on_abort);
  Total total;
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = share.first; i < jobs.size(); i += share.step) {
    const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (share.seconds > 0 && passed >= share.seconds) break;
    seed_under_way = jobs.at(i).seed;
    options.profile = jobs.at(i).profile;
    options.scheduled = jobs.at(i).scheduled;
    options.scenes = jobs.at(i).scenes;
    options.relations = jobs.at(i).related;
    options.effects = jobs.at(i).effects;
    options.arp = jobs.at(i).arp;
    if (options.verbose) fmt::print("seed {}\n", seed_under_way);
    const Outcome outcome = run_seed(jobs.at(i).seed, options);
    ++total.seeds;
    total.excused += outcome.excused;
    total.faults += outcome.faults;
    total.takeovers += outcome.takeovers;
    total.simulated += outcome.simulated.count();
    total.hash ^= outcome.hash * (seed_under_way * 2 + 1);
    if (share.print_hashes) fmt::print("seed {} hash {:016x}\n", seed_under_way, outcome.hash);
    if (outcome.finding.empty()) continue;
    ++total.findings;
    fmt::print("seed {}: {}\n", seed_under_way, outcome.finding);
    std::fflush(stdout);
    if (share.first_finding) break;
  }
  std::fflush(stdout);
  if (!share.marks.empty() && !append_marks(share.marks)) fmt::print("{} cannot be written\n", share.marks);
  return total;
}

void add(Total& sum, const Total& part) {
  sum.seeds += part.seeds;
  sum.findings += part.findings;
  sum.excused += part.excused;
  sum.faults += part.faults;
  sum.takeovers += part.takeovers;
  sum.simulated += part.simulated;
  sum.hash ^= part.hash;
}

// One process per job, so that an assertion of the core ends one of them only.
Total work_in_children(const std::vector<Job>& jobs, unsigned children, const CampaignOptions& options,
                       const Work& all) {
  std::vector<std::pair<pid_t, int>> started;
  for (unsigned i = 0; i < children; ++i) {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    std::fflush(stdout);
    const pid_t pid = ::fork();
    if (pid == 0) {
      const Total total =
          work(jobs, {i, children, false, all.first_finding, all.seconds, all.marks}, options);
      ::_exit(::write(ends[1], &total, sizeof total) == sizeof total ? 0 : 1);
    }
    ::close(ends[1]);
    started.emplace_back(pid, ends[0]);
  }
  Total sum;
  for (const auto& [pid, pipe] : started) {
    Total total;
    if (::read(pipe, &total, sizeof total) == sizeof total) {
      add(sum, total);
    } else {
      ++sum.findings;
    }
    ::close(pipe);
    ::waitpid(pid, nullptr, 0);
  }
  return sum;
}

int run(int argc, char** argv) {
  CampaignOptions options;
  uint64_t seed = 1;
  uint64_t seeds = 1;
  unsigned children = 1;
  unsigned minutes = 8;
  Work all;
  std::string corpus;
  std::string canary;
  CLI::App app{"Random faults against a simulated cluster of two production nodes.", "clusterd-sim"};
  app.add_option("--seed", seed, "first seed");
  app.add_option("--seeds", seeds, "how many seeds");
  app.add_option("--corpus", corpus, "run the seeds that this file names")->check(CLI::ExistingFile);
  app.add_option("--profile", options.profile, "timing, or \"any\": drawn by each seed")
      ->check(CLI::IsMember({"any", "steady", "fast", "realtime"}));
  app.add_option("--minutes", minutes, "simulated minutes of faults per seed")->check(CLI::Range(1U, 600U));
  app.add_option("--seconds", all.seconds, "begin no further seed after that time");
  app.add_option("--jobs", children, "processes")->check(CLI::Range(1U, 64U));
  app.add_option("--trace", options.trace_file, "write the events of the (last) run to this file");
  app.add_option("--canary", canary,
                 "break this rule of the core, or two with a comma between (\"list\": print all)");
  app.add_option("--marks", all.marks, "append the marks that were reached to this file");
  app.add_flag("--effects", options.effects, "services with effects = \"node\", watchdogs and fences, too");
  app.add_flag("--relations", options.relations, "two to four services with relations to each other");
  app.add_flag("--scheduled", options.scheduled,
               "neither live mirrors nor scenes: each seed as it was before there were any");
  app.add_flag("!--no-arp", options.arp,
               "no hosts that answer by ARP: each seed as it was before there were any");
  app.add_flag("!--no-scenes", options.scenes, "no scenes: each seed as it was before there were any");
  app.add_flag("--first", all.first_finding, "stop at the first seed that finds something");
  app.add_flag("--hash", all.print_hashes, "print the hash of each run");
  app.add_flag("--verbose", options.verbose, "print what the nodes say");
  CLI11_PARSE(app, argc, argv);
  options.length = std::chrono::minutes(minutes);
  if (!canary.empty() && !switch_on(canary)) return 2;

  std::vector<Job> jobs;
  if (!corpus.empty()) {
    jobs = read_corpus(corpus, options.profile);
  } else {
    for (uint64_t s = seed; s < seed + seeds; ++s)
      jobs.push_back({s, options.profile, options.scheduled, options.scenes, options.relations,
                      options.effects, options.arp});
  }
  const auto begin = std::chrono::steady_clock::now();
  const Total total =
      children > 1 ? work_in_children(jobs, children, options, all) : work(jobs, all, options);
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double hours = static_cast<double>(total.simulated) / 3.6e12;
  fmt::print(
      "{} seeds, {} findings; {} faults, {} takeovers, {} excused; {:.1f} simulated hours in {:.1f} s "
      "({:.0f} seeds per minute and process); hash {:016x}\n",
      total.seeds, total.findings, total.faults, total.takeovers, total.excused, hours, took,
      static_cast<double>(total.seeds) / took * 60 / children, total.hash);
  return total.findings == 0 ? 0 : 1;
}

}  // namespace
}  // namespace clusterd::sim

int main(int argc, char** argv) { return clusterd::sim::run(argc, argv); }
