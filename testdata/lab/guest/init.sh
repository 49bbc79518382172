#!/bin/busybox sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Init of the lab's guests, and of the crash kernel that takes their dump.
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
export PATH=/bin:/sbin PS1=

if [ -e /proc/vmcore ]; then
	echo "LAB-KDUMP-START $(uname -r)"
	stty raw -echo 4000000 -F /dev/ttyS1
	makedumpfile -l -d 31 /proc/vmcore /tmp/vmcore >/tmp/makedumpfile.log 2>&1
	echo "LAB-KDUMP-FILTERED $?"
	tail -3 /tmp/makedumpfile.log
	cat /tmp/vmcore >/dev/ttyS1
	sleep 1
	echo "LAB-KDUMP-DONE $(stat -c %s /tmp/vmcore) $(sha256sum </tmp/vmcore | cut -c1-64)"
	sleep 1000
fi

echo 0 >/proc/sys/kernel/kptr_restrict
echo -1 >/proc/sys/kernel/perf_event_paranoid
for module in /mod/*.ko; do
	[ -e "$module" ] && insmod "$module"
done
stty -echo </dev/ttyS0
if [ -e /kdump/vmlinuz ]; then
	kexec -p /kdump/vmlinuz --initrd=/kdump/initrd \
		--append="console=ttyS0 nr_cpus=1 reset_devices irqpoll nokaslr panic=5" &&
		echo "LAB-KEXEC-LOADED $(cat /sys/kernel/kexec_crash_loaded)"
fi
echo "LAB-READY $(uname -r)"
exec setsid cttyhack sh
