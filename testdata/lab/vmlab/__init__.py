# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes vmcores of real Debian kernels on demand: boots one in QEMU, gives it a PMU that it believes in, lets it
count, sample, throttle and crash, and writes the dump together with an independent reading of the live guest."""


class LabError(Exception):
    """Something went wrong; the message says what and what to do."""


class Skip(LabError):
    """This cannot be made here or now (no network, no QEMU, no space, kernel without the defect); says why."""
