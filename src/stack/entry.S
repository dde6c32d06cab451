/* The first code on a new stack. The stack pointer is aligned to 16, the frame pointer is zero: here the frame chain ends,
 * and the unwinder is told that there is nobody to return to. */
#if defined(__x86_64__)
	.text
	.globl even__stack_entry
	.hidden even__stack_entry
	.hidden even__stack_main
	.type even__stack_entry, @function
even__stack_entry:
	.cfi_startproc
	.cfi_undefined rip
	call even__stack_main
	ud2
	.cfi_endproc
	.size even__stack_entry, .-even__stack_entry
#elif defined(__aarch64__)
	.text
	.globl even__stack_entry
	.hidden even__stack_entry
	.hidden even__stack_main
	.type even__stack_entry, %function
even__stack_entry:
	.cfi_startproc
	.cfi_undefined x30
	mov x30, xzr
	bl even__stack_main
	brk #1
	.cfi_endproc
	.size even__stack_entry, .-even__stack_entry
#endif
	.section .note.GNU-stack, "", %progbits
