// The first message of a live mirror's connection, and the answer to it.
#include "mirror/live_hello.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_livehello(Bytes input) {
  const auto bytes = std::as_bytes(input);
  if (const auto hello = mirror::decode_hello(bytes)) {
    const auto again = mirror::decode_hello(mirror::encode(*hello));
    require(again && *again == *hello, "a hello is read back as it was");
  }
  if (const auto answer = mirror::decode_answer(bytes)) {
    const auto again = mirror::decode_answer(mirror::encode(*answer));
    require(again && *again == *answer, "an answer is read back as it was");
  }
}

}  // namespace clusterd::fuzz
