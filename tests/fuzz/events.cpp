// The file of notices, as `status` and `events` read it, and the JSON that is made of it.
#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "ctl/render.hpp"
#include "daemon/status_json.hpp"
#include "linux/state/event_log.hpp"
#include "scratch.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_events(Bytes input) {
  static const Scratch scratch;
  Feed feed(input);
  const uint64_t after = feed.byte();
  scratch.write("events.jsonl", text_of(feed.rest()));
  const EventLog log(scratch.path(), 1 << 20);
  const auto lines = log.read(500);
  std::vector<std::string> texts;
  for (const EventLine& line : lines) texts.push_back(line.text);
  const std::string json = events_json(texts, after);
  boost::system::error_code error;
  const auto value = boost::json::parse(json, error);
  require(!error && value.is_object(), "what clients get is JSON");
  require(value.get_object().at("events").get_array().size() == lines.size(), "no line is lost");
  unsigned long long last = 0;
  (void)ctl::render_events(json, {}, last);
}

}  // namespace clusterd::fuzz
