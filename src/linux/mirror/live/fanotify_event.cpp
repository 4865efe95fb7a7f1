#include "linux/mirror/live/fanotify_event.hpp"

#include <fcntl.h>
#include <sys/fanotify.h>

#include <cstring>

#include "linux/mirror/live/object.hpp"

#ifndef FAN_EVENT_INFO_TYPE_OLD_DFID_NAME
#define FAN_EVENT_INFO_TYPE_OLD_DFID_NAME 10
#endif
#ifndef FAN_EVENT_INFO_TYPE_NEW_DFID_NAME
#define FAN_EVENT_INFO_TYPE_NEW_DFID_NAME 12
#endif

namespace clusterd::live {

void read_info(const char* at, const char* end, Raw& raw) {
  while (at + sizeof(fanotify_event_info_header) <= end) {
    fanotify_event_info_header head{};
    std::memcpy(&head, at, sizeof head);
    if (head.len < sizeof(fanotify_event_info_fid) || at + head.len > end) return;
    const auto* fid = reinterpret_cast<const fanotify_event_info_fid*>(at);
    const auto* handle = reinterpret_cast<const file_handle*>(fid->handle);
    const char* name = reinterpret_cast<const char*>(handle->f_handle) + handle->handle_bytes;
    const char* const record_end = at + head.len;
    at = record_end;
    if (name > record_end) return;
    const std::string text = handle_text(handle);
    switch (head.info_type) {
      case FAN_EVENT_INFO_TYPE_FID:
        raw.object = text;
        break;
      case FAN_EVENT_INFO_TYPE_DFID_NAME:
      case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
        raw.one = {text, std::string(name, ::strnlen(name, static_cast<size_t>(record_end - name)))};
        break;
      case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
        raw.two = {text, std::string(name, ::strnlen(name, static_cast<size_t>(record_end - name)))};
        break;
      default:
        break;
    }
  }
}

}  // namespace clusterd::live
