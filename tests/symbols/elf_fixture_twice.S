/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A second unit: names that the first one has as well. */
	.text
	.type	twice, @function
twice:
	.skip	32, 0x90
	.size	twice, . - twice
	.data
	.globl	panic_cpu
	.type	panic_cpu, @object
	.size	panic_cpu, 4
panic_cpu:
	.long	-1
	.section .note.GNU-stack, "", @progbits
