#include "linux/gate/gate_program.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <gate.skel.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace clusterd {

namespace {

// Number of the gate's filters among those of priority 1.
constexpr uint32_t kFilterHandle = 0xc1d5;
constexpr uint32_t kPriority = 1;
constexpr std::array kDirections = {BPF_TC_INGRESS, BPF_TC_EGRESS};

struct AddressKey {
  uint32_t family = 0;
  std::array<uint8_t, 16> bytes{};
};
static_assert(sizeof(AddressKey) == 20);

struct SlotName {
  std::array<char, 64> text{};
};

AddressKey key_of(const IpAddress& address) {
  AddressKey key;
  key.family = address.is_v4() ? 4 : 6;
  key.bytes = address.bytes;
  return key;
}

// libbpf writes to stderr unless told otherwise; its last complaint goes into our error instead.
std::string last_complaint;

int keep_complaint(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 400> text{};
  // The format comes from libbpf, not from outside.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  std::vsnprintf(text.data(), text.size(), format, arguments);
#pragma GCC diagnostic pop
  last_complaint = text.data();
  while (!last_complaint.empty() && last_complaint.back() == '\n') last_complaint.pop_back();
  return 0;
}

bpf_tc_hook hook_of(int ifindex, bpf_tc_attach_point direction) {
  bpf_tc_hook hook{};
  hook.sz = sizeof(hook);
  hook.ifindex = ifindex;
  hook.attach_point = direction;
  return hook;
}

bpf_tc_opts filter_options() {
  bpf_tc_opts options{};
  options.sz = sizeof(options);
  options.handle = kFilterHandle;
  options.priority = kPriority;
  return options;
}

}  // namespace

class GateProgram::Impl {
 public:
  ~Impl() {
    if (deadlines_memory != MAP_FAILED) ::munmap(deadlines_memory, mapped_bytes);
    if (skeleton != nullptr) gate_bpf::destroy(skeleton);
  }
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // 0 or the error number.
  int load(const std::string& pin_dir) {
    skeleton = gate_bpf::open();
    if (skeleton == nullptr) return errno;
    if (!pin_dir.empty()) {
      for (bpf_map* map : {skeleton->maps.addresses, skeleton->maps.deadlines, skeleton->maps.names,
                           skeleton->maps.counters}) {
        const std::string path = pin_dir + "/" + bpf_map__name(map);
        if (const int error = bpf_map__set_pin_path(map, path.c_str())) return -error;
      }
    }
    if (const int error = gate_bpf::load(skeleton)) return -error;
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    mapped_bytes = (kSlots * sizeof(uint64_t) + page - 1) / page * page;
    deadlines_memory = ::mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                              bpf_map__fd(skeleton->maps.deadlines), 0);
    return deadlines_memory == MAP_FAILED ? errno : 0;
  }

  [[nodiscard]] const bpf_program* program(bpf_tc_attach_point direction) const {
    return direction == BPF_TC_EGRESS ? skeleton->progs.clusterd_egress : skeleton->progs.clusterd_ingress;
  }
  [[nodiscard]] std::atomic_ref<uint64_t> word(uint32_t slot) const {
    return std::atomic_ref<uint64_t>(static_cast<uint64_t*>(deadlines_memory)[slot]);
  }

  gate_bpf* skeleton = nullptr;
  void* deadlines_memory = MAP_FAILED;
  size_t mapped_bytes = 0;
};

GateProgram::GateProgram(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GateProgram::~GateProgram() = default;

std::string explain_bpf_error(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return "the kernel does not permit it: CAP_BPF and CAP_NET_ADMIN are needed, and neither a container "
             "nor "
             "kernel lockdown may forbid BPF";
    case ENOSYS:
      return "this kernel was built without BPF (CONFIG_BPF_SYSCALL)";
    case EOPNOTSUPP:
    case ENOENT:
      return "this kernel lacks tc's clsact queue or BPF classifier (CONFIG_NET_SCH_INGRESS, "
             "CONFIG_NET_CLS_BPF)";
    default:
      return std::strerror(error);
  }
}

Result<std::unique_ptr<GateProgram>> GateProgram::load(const std::string& pin_dir) {
  libbpf_set_print(keep_complaint);
  last_complaint.clear();
  auto impl = std::make_unique<Impl>();
  int error = impl->load(pin_dir);
  if (error == EINVAL && !pin_dir.empty()) {
    // Maps of another version do not fit. Starting with new ones means starting shut, which is safe.
    std::fprintf(stderr, "<4>gate: the maps under %s are of another version and are made anew (%s)\n",
                 pin_dir.c_str(), last_complaint.c_str());
    for (const char* map : {"addresses", "deadlines", "names", "counters"})
      ::unlink((pin_dir + "/" + map).c_str());
    impl = std::make_unique<Impl>();
    error = impl->load(pin_dir);
  }
  if (error != 0) {
    const std::string said = last_complaint.empty() ? "" : fmt::format(" ({})", last_complaint);
    return fail(error == EPERM ? Code::kConfig : Code::kRefused,
                fmt::format("the BPF gate cannot be loaded: {}{}", explain_bpf_error(error), said));
  }
  return std::unique_ptr<GateProgram>(new GateProgram(std::move(impl)));
}

Result<void> GateProgram::attach(const std::string& nic) {
  const auto ifindex = static_cast<int>(::if_nametoindex(nic.c_str()));
  if (ifindex == 0) return fail(Code::kRetry, fmt::format("{} is missing: the gate waits for it", nic));
  for (const bpf_tc_attach_point direction : kDirections) {
    const char* side = direction == BPF_TC_EGRESS ? "egress" : "ingress";
    bpf_tc_hook hook = hook_of(ifindex, direction);
    last_complaint.clear();
    if (const int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST) {
      return fail(error == -ENODEV ? Code::kRetry : Code::kConfig,
                  fmt::format("no clsact queue on {}: {}", nic, explain_bpf_error(-error)));
    }
    bpf_tc_opts options = filter_options();
    options.flags = BPF_TC_F_REPLACE;
    options.prog_fd = bpf_program__fd(impl_->program(direction));
    const int error = bpf_tc_attach(&hook, &options);
    if (error == -ENODEV) return fail(Code::kRetry, fmt::format("{} is missing: the gate waits for it", nic));
    if (error != 0) {
      return fail(Code::kConfig,
                  fmt::format("the gate cannot be attached to {} ({}): {}{}{}. It needs a clsact queue (not "
                              "'ingress') and priority 1 for itself; see 'tc filter show dev {} {}'",
                              nic, side, explain_bpf_error(-error), last_complaint.empty() ? "" : ": ",
                              last_complaint, nic, side));
    }
  }
  return {};
}

bool GateProgram::attached(const std::string& nic) const {
  const auto ifindex = static_cast<int>(::if_nametoindex(nic.c_str()));
  if (ifindex == 0) return false;
  return std::ranges::all_of(kDirections, [&](bpf_tc_attach_point direction) {
    bpf_tc_hook hook = hook_of(ifindex, direction);
    bpf_tc_opts options = filter_options();
    if (bpf_tc_query(&hook, &options) != 0) return false;
    bpf_prog_info info{};
    uint32_t bytes = sizeof(info);
    const int fd = bpf_program__fd(impl_->program(direction));
    return bpf_obj_get_info_by_fd(fd, &info, &bytes) == 0 && info.id == options.prog_id;
  });
}

void GateProgram::detach(const std::string& nic) {
  libbpf_set_print(keep_complaint);
  const auto ifindex = static_cast<int>(::if_nametoindex(nic.c_str()));
  if (ifindex == 0) return;
  for (const bpf_tc_attach_point direction : kDirections) {
    bpf_tc_hook hook = hook_of(ifindex, direction);
    bpf_tc_opts options = filter_options();
    bpf_tc_detach(&hook, &options);  // nothing there is fine
  }
}

void GateProgram::set_deadline(uint32_t slot, uint64_t boottime_ns) {
  impl_->word(slot).store(boottime_ns, std::memory_order_release);
}

uint64_t GateProgram::deadline(uint32_t slot) const {
  return impl_->word(slot).load(std::memory_order_acquire);
}

std::vector<GateProgram::Entry> GateProgram::addresses() const {
  std::vector<Entry> out;
  const int fd = bpf_map__fd(impl_->skeleton->maps.addresses);
  AddressKey key;
  const AddressKey* previous = nullptr;
  AddressKey last;
  while (bpf_map_get_next_key(fd, previous, &key) == 0) {
    uint32_t slot = 0;
    if (bpf_map_lookup_elem(fd, &key, &slot) == 0) {
      IpAddress address;
      address.family = key.family == 4 ? IpAddress::Family::kV4 : IpAddress::Family::kV6;
      address.bytes = key.bytes;
      out.push_back({address, slot});
    }
    last = key;
    previous = &last;
  }
  return out;
}

Result<void> GateProgram::put_address(const IpAddress& address, uint32_t slot) {
  const AddressKey key = key_of(address);
  const int error = bpf_map_update_elem(bpf_map__fd(impl_->skeleton->maps.addresses), &key, &slot, BPF_ANY);
  if (error == 0) return {};
  return fail(Code::kRefused,
              fmt::format("the gate cannot note {}: {}", address.text(), std::strerror(-error)));
}

void GateProgram::erase_address(const IpAddress& address) {
  const AddressKey key = key_of(address);
  bpf_map_delete_elem(bpf_map__fd(impl_->skeleton->maps.addresses), &key);
}

std::string GateProgram::name(uint32_t slot) const {
  SlotName name;
  if (bpf_map_lookup_elem(bpf_map__fd(impl_->skeleton->maps.names), &slot, &name) != 0) return {};
  return {name.text.data(), ::strnlen(name.text.data(), name.text.size())};
}

Result<void> GateProgram::set_name(uint32_t slot, const std::string& name) {
  SlotName value;
  name.copy(value.text.data(), value.text.size() - 1);
  const int error = bpf_map_update_elem(bpf_map__fd(impl_->skeleton->maps.names), &slot, &value, BPF_ANY);
  if (error == 0) return {};
  return fail(Code::kRefused, fmt::format("the gate cannot name slot {}: {}", slot, std::strerror(-error)));
}

GateProgram::Counts GateProgram::counts(uint32_t slot) const {
  const int processors = libbpf_num_possible_cpus();
  if (processors <= 0) return {};
  std::vector<std::array<uint64_t, 2>> values(static_cast<size_t>(processors));
  if (bpf_map_lookup_elem(bpf_map__fd(impl_->skeleton->maps.counters), &slot, values.data()) != 0) return {};
  Counts sum;
  for (const auto& value : values) {
    sum.passed += value[0];
    sum.dropped += value[1];
  }
  return sum;
}

}  // namespace clusterd
