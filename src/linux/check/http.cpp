#include "linux/check/http.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <array>
#include <memory>

namespace clusterd {

namespace {

constexpr size_t kBodyLimit = 1 << 20;

struct Body {
  std::string text;
  bool cut = false;
};

size_t keep(const char* data, size_t /*one*/, size_t size, void* target) {
  auto& body = *static_cast<Body*>(target);
  if (body.text.size() + size > kBodyLimit) {
    body.cut = true;
    return 0;  // ends the transfer
  }
  body.text.append(data, size);
  return size;
}

struct Free {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string why(CURLcode code, const std::array<char, CURL_ERROR_SIZE>& buffer) {
  const std::string text = buffer.front() != '\0' ? buffer.data() : curl_easy_strerror(code);
  if (code == CURLE_PEER_FAILED_VERIFICATION)
    return text + " (correct the certificate, or write verify = false)";
  return text;
}

}  // namespace

Verdict ask_http(const HttpQuestion& question) {
  const std::unique_ptr<CURL, Free> curl(curl_easy_init());
  if (!curl) return {false, "libcurl cannot be used"};
  const std::unique_ptr<curl_slist, Free> there(
      curl_slist_append(nullptr, ("::" + question.connect).c_str()));
  std::array<char, CURL_ERROR_SIZE> error{};
  Body body;
  CURL* c = curl.get();
  curl_easy_setopt(c, CURLOPT_URL, question.url.c_str());
  curl_easy_setopt(c, CURLOPT_CONNECT_TO, there.get());
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_PROXY, "");
  curl_easy_setopt(c, CURLOPT_USERAGENT, "clusterd-check");
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(to_ms(question.timeout)));
  curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, question.verify ? 1L : 0L);
  curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, question.verify ? 2L : 0L);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error.data());
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &body);
  const CURLcode code = curl_easy_perform(c);
  if (code != CURLE_OK && !body.cut) return {false, question.connect + ": " + why(code, error)};
  long status = 0;
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
  if (status < question.status_least || status > question.status_most)
    return {false, fmt::format("status {}, wanted {}", status,
                               question.status_least == question.status_most
                                   ? std::to_string(question.status_least)
                                   : fmt::format("{}-{}", question.status_least, question.status_most))};
  if (!question.body.empty() && body.text.find(question.body) == std::string::npos)
    return {false, fmt::format("status {}, but {} does not contain \"{:.60}\"", status,
                               body.cut ? "the first 1 MiB of the answer" : "the answer", question.body)};
  return {true, fmt::format("status {}", status)};
}

}  // namespace clusterd
