/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Symbols of every sort that a vmlinux has, at known distances. Linked to 0xffffffff81000000. */
	.text
	.globl	_stext
_stext:
	.globl	__do_softirq
	.type	__do_softirq, @function
__do_softirq:
local_alias:
	.weak	weak_alias
	.type	weak_alias, @function
weak_alias:
	.skip	16, 0x90
	.size	__do_softirq, . - __do_softirq

	.type	__pfx_twice, @function
__pfx_twice:
	.skip	16, 0x90
	.size	__pfx_twice, 16
	.type	twice, @function
twice:
	.skip	8, 0x90
	.size	twice, . - twice
	.skip	8, 0xcc

	.globl	_etext
_etext:

	.data
	.skip	64
	.globl	x86_pmu
	.type	x86_pmu, @object
	.size	x86_pmu, 64
x86_pmu:
	.skip	64
	.type	panic_cpu, @object
	.size	panic_cpu, 4
panic_cpu:
	.long	-1

	.section .percpu, "aw"
	.globl	__per_cpu_start
__per_cpu_start:
	.skip	0x40
	.globl	cpu_hw_events
	.type	cpu_hw_events, @object
	.size	cpu_hw_events, 0x20
cpu_hw_events:
	.skip	0x20

	.set	absolute_value, 0xffffffff81000004
	.section .note.GNU-stack, "", @progbits
