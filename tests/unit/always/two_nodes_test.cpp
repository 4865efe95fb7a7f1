// Two nodes that edit, look, take, forget and are away in any order: no edit is ever overwritten by one that
// did not know of it, and with a human's help both end with the same.
#include <gmock/gmock.h>

#include <array>
#include <random>

#include "always/rules.hpp"

namespace clusterd::always {
namespace {

const AlwaysConfig kListed{{"/etc/hosts", "/etc/site/"}, {}};
const std::array<std::string, 5> kPaths{"/etc/hosts", "/etc/site/a", "/etc/site/b", "/etc/site/c",
                                        "/etc/site/d"};

// How many edits of each node a state of a path rests on.
struct History {
  std::array<unsigned, 2> edits{};
  [[nodiscard]] bool knows(const History& other) const {
    return edits[0] >= other.edits[0] && edits[1] >= other.edits[1];
  }
  void learn(const History& other) {
    for (size_t n = 0; n < 2; ++n) edits.at(n) = std::max(edits.at(n), other.edits.at(n));
  }
};
using Histories = std::map<std::string, History>;

struct Node {
  Word word;
  Histories histories;  // of what is there, or was last
  Histories ever;       // of all that has ever been there
  // What it last heard of the other one: it may have changed since.
  Word heard;
  Histories heard_histories, heard_ever;
  bool has_heard = false;
};

class Two {
 public:
  explicit Two(unsigned seed) : random_(seed) {
    for (size_t n = 0; n < 2; ++n) {
      forget(n);
      for (const std::string& path : kPaths) put(n, path, "begin");
    }
    old_ = nodes_;
  }

  void step() {
    const size_t n = below(2);
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
        return edit(n, kPaths.at(below(kPaths.size())), std::to_string(++contents_));
      case 3:
        return edit(n, kPaths.at(below(kPaths.size())), "");
      case 4:
        if (below(20) == 0) forget(n);
        return;
      case 5:
        if (below(20) == 0) put_back(n);
        return;
      case 6:
      case 7:
      case 8:
        return hear(n);
      default:
        return act(n);
    }
  }

  // Both are well, and a human decides whatever waits.
  void settle() {
    for (int round = 0; round < 12; ++round) {
      for (size_t n = 0; n < 2; ++n) {
        hear(n);
        act(n);
        if (round < 6) decide(n);
      }
    }
    for (const std::string& path : kPaths) {
      EXPECT_TRUE(same(entry(0, path), entry(1, path))) << path;
    }
    EXPECT_EQ(stuck(judge(kListed, {"a", "b"}, nodes_[0].word, nodes_[1].word)), "");
  }

 private:
  size_t below(size_t end) { return random_() % end; }

  [[nodiscard]] const Entry& entry(size_t n, const std::string& path) const {
    static const Entry kNone;
    const auto found = nodes_.at(n).word.entries.find(path);
    return found == nodes_.at(n).word.entries.end() ? kNone : found->second;
  }

  void put(size_t n, const std::string& path, const std::string& content) {
    if (content.empty()) {
      nodes_.at(n).word.entries.erase(path);
      return;
    }
    Entry made;
    made.kind = Kind::kFile;
    made.content = digest_of(content);
    nodes_.at(n).word.entries[path] = made;
  }

  void edit(size_t n, const std::string& path, const std::string& content) {
    if (content.empty() && !entry(n, path).there()) return;
    put(n, path, content);
    History& history = nodes_.at(n).histories[path];
    ++history.edits.at(n);
    nodes_.at(n).ever[path].learn(history);
  }

  void forget(size_t n) {
    nodes_.at(n).word.store = {"store " + std::to_string(++stores_), 0};
    nodes_.at(n).word.seen = {};
    nodes_.at(n).word.agreed.clear();
  }

  // From a backup: the store, which the other node has long seen the successors of, and mostly the files,
  // too.
  void put_back(size_t n) {
    const Node& old = old_.at(n);
    const StoreMark& seen = nodes_.at(1 - n).word.seen;
    if (old.word.store.id != seen.id || old.word.store.turn >= seen.turn) {
      old_.at(n) = nodes_.at(n);
      return;
    }
    Node& node = nodes_.at(n);
    if (below(4) != 0) {
      node.word.entries = old.word.entries;
      node.histories = old.histories;
      node.ever = old.ever;
    }
    node.word.store = old.word.store;
    node.word.seen = old.word.seen;
    node.word.agreed = old.word.agreed;
    node.has_heard = false;
    if (below(2) == 0) forget(n);
  }

  void hear(size_t n) {
    nodes_.at(n).heard = nodes_.at(1 - n).word;
    nodes_.at(n).heard_histories = nodes_.at(1 - n).histories;
    nodes_.at(n).heard_ever = nodes_.at(1 - n).ever;
    nodes_.at(n).has_heard = true;
  }

  [[nodiscard]] std::vector<Finding> judged(size_t n) const {
    return judge(kListed, {n == 0 ? "a" : "b", n == 0 ? "b" : "a"}, nodes_.at(n).word, nodes_.at(n).heard);
  }

  void agree(size_t n) {
    Node& node = nodes_.at(n);
    const auto findings = judged(n);
    for (const Finding& finding : findings)
      if (finding.verdict == Verdict::kAgree && stores_match(node.word, node.heard))
        node.histories[finding.path].learn(node.heard_histories[finding.path]);
    const Stored stored = noted(findings, node.word, node.heard, "store " + std::to_string(++stores_));
    node.word.store = stored.store;
    node.word.seen = stored.seen;
    node.word.agreed = stored.agreed;
  }

  void act(size_t n) {
    Node& node = nodes_.at(n);
    if (!node.has_heard) return;
    agree(n);
    if (!stores_match(node.word, node.heard)) return;
    for (const Finding& finding : judged(n)) {
      if (finding.verdict != Verdict::kTake) continue;
      // A file comes from the other node as it is now, or not at all.
      if (finding.theirs.there() && !same(finding.theirs, entry(1 - n, finding.path))) continue;
      const History &mine = node.histories[finding.path], &theirs = node.heard_histories[finding.path];
      // Who has deleted it may have had it at any time before.
      const History& known = finding.theirs.there() ? theirs : node.heard_ever[finding.path];
      const bool decided = decided_.contains(finding.path);
      EXPECT_TRUE(decided || known.knows(mine) || !finding.mine.there())
          << finding.path << ": an edit is overwritten by one that did not know of it";
      if (finding.theirs.there())
        node.word.entries[finding.path] = finding.theirs;
      else
        node.word.entries.erase(finding.path);
      // Where nothing is, nothing can be lost: what is copied there brings its own history.
      if (finding.mine.there())
        node.histories[finding.path].learn(theirs);
      else
        node.histories[finding.path] = theirs;
      node.ever[finding.path].learn(theirs);
    }
    agree(n);
    node.has_heard = false;  // what it has taken, it has taken from that
  }

  void decide(size_t n) {
    Node& node = nodes_.at(n);
    hear(n);
    const auto findings = judged(n);
    for (const Finding& finding : findings) {
      if (finding.verdict != Verdict::kConflict) continue;
      const auto all = kept(findings, node.word, node.heard, finding.path, below(2) == 0);
      ASSERT_TRUE(all);
      node.word.agreed = *all;
      ++node.word.store.turn;
      decided_[finding.path] = true;
    }
  }

  std::mt19937 random_;
  std::array<Node, 2> nodes_, old_;
  std::map<std::string, bool> decided_;
  unsigned contents_ = 0, stores_ = 0;
};

TEST(TwoNodes, NoEditIsOverwrittenByOneThatDidNotKnowOfIt) {
  for (unsigned seed = 1; seed <= 3000 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Two two(seed);
    for (int n = 0; n < 120; ++n) two.step();
    two.settle();
  }
}

}  // namespace
}  // namespace clusterd::always
