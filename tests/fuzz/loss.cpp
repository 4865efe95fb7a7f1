// A line of the list of changes that a returning node keeps while it is being brought up to date.
#include "mirror/loss.hpp"

#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_loss(Bytes input) {
  const auto candidate = mirror::parse_candidate(text_of(input));
  if (!candidate) return;
  using Change = mirror::Candidate::Change;
  require(candidate->here || candidate->mirrored, "there is a version of it");
  require((candidate->change == Change::kDeleted) == !candidate->here &&
              (candidate->change == Change::kCreated) == !candidate->mirrored,
          "the versions say what has changed");
  require(mirror::is_clean_path(candidate->path()), "the path leads nowhere else");
  std::string line = mirror::write_candidate(*candidate);
  require(!line.empty() && line.back() == '\n' && line.find('\n') == line.size() - 1, "one line");
  line.pop_back();
  const auto again = mirror::parse_candidate(line);
  require(again && *again == *candidate, "a change is read back as it was");
  if (candidate->here) {
    require(!mirror::is_lost(*candidate, &*candidate->here, false), "what is still there is not lost");
    require(mirror::is_lost(*candidate, nullptr, false), "what is gone is lost");
  }
}

}  // namespace clusterd::fuzz
