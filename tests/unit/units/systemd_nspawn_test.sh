#!/bin/sh
# Boots the real systemd in a container made of an overlay of / and runs the SystemdUnitTest cases of the given
# program inside. Needs root, systemd-container and dbus. Exit code 77: cannot be run here.
#   systemd_nspawn_test.sh PROGRAM
set -eu
program=$(realpath "$1")
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
command -v systemd-nspawn >/dev/null || { echo "needs the package systemd-container"; exit 77; }
[ -x /usr/bin/dbus-daemon ] && [ -x /lib/systemd/systemd ] || { echo "needs dbus and systemd"; exit 77; }

# Everything below happens in a mount namespace that goes away with this script.
if [ "${CDT_INSIDE:-}" != 1 ]; then
  exec env CDT_INSIDE=1 unshare --mount --propagation private "$0" "$program"
fi

name=cdt-units-$$
work=$(mktemp -d /tmp/cdt-units-XXXXXX)
clean_up() {
  ip netns del "$name" 2>/dev/null || true
  umount "$work" 2>/dev/null || umount -l "$work" 2>/dev/null || true
  rmdir "$work" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

mount -t tmpfs -o size=256m,mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/inner" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/inner" "$work/root"
root=$work/root
ip netns add "$name"

units=$root/etc/systemd/system
mkdir -p "$units"
unit() { # NAME, text of the [Service] section on stdin
  { printf '[Unit]\nDefaultDependencies=no\n[Service]\n'; cat; } > "$units/$1"
}
unit cdt-good.service <<'U'
ExecStart=/bin/sleep infinity
U
ln -s cdt-good.service "$units/cdt-alias.service"
ln -sf /dev/null "$units/cdt-masked.service"
unit cdt-restart.service <<'U'
ExecStart=/bin/sleep infinity
Restart=always
RestartSec=100
U
unit cdt-notify.service <<'U'
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'touch /run/cdt-ready; systemd-notify --ready; exec sleep infinity'
U
unit cdt-fail.service <<'U'
Type=oneshot
ExecStart=/bin/sh -c 'exit 3'
U
unit cdt-oneshot.service <<'U'
Type=oneshot
ExecStart=/bin/true
U
unit cdt-remain.service <<'U'
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
U
unit cdt-hang.service <<'U'
ExecStart=/bin/sh -c 'trap "" TERM; touch /run/cdt-hang-ready; while :; do sleep 1000; done'
TimeoutStopSec=1000
U
unit cdt-slow.service <<'U'
ExecStartPre=/bin/sleep 1000
ExecStart=/bin/sleep infinity
TimeoutStartSec=2000
U
# The tests themselves: a unit whose end powers the container off.
unit cdt-test.service <<'U'
Type=oneshot
Environment=CDT_SYSTEMD=1
ExecStart=/bin/sh -c '/opt/cdt/program --gtest_color=no "--gtest_filter=SystemdUnitTest.*" > /opt/cdt/out/log 2>&1; echo $? > /opt/cdt/out/code'
ExecStopPost=/bin/systemctl --no-block --force poweroff
TimeoutStartSec=300
U
printf '[Unit]\nRequires=dbus.socket cdt-test.service\nAfter=dbus.socket\n' > "$units/cdt.target"
printf '[Unit]\nAfter=dbus.socket\n' > "$work/inner.conf"
mkdir -p "$units/cdt-test.service.d" "$root/opt/cdt/out" "$work/out"
mv "$work/inner.conf" "$units/cdt-test.service.d/after.conf"
cp "$program" "$root/opt/cdt/program"
rm -f "$root/etc/machine-id"
: > "$root/etc/machine-id"

timeout --kill-after=10 240 systemd-nspawn --quiet --directory="$root" --network-namespace-path="/run/netns/$name" \
  --bind="$work/out:/opt/cdt/out" --machine="$name" --register=no --keep-unit --boot \
  systemd.unit=cdt.target systemd.show_status=no </dev/null >"$work/console" 2>&1 || true

if [ ! -s "$work/out/code" ]; then
  echo "the container did not run the tests:"
  tail -n 20 "$work/console"
  cat "$work/out/log" 2>/dev/null || true
  exit 1
fi
cat "$work/out/log"
exit "$(cat "$work/out/code")"
