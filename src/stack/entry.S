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

/* How a function returns that has switched stacks (base.h); the compiler knows it by this name. */
	.globl __x86_return_thunk
	.hidden __x86_return_thunk
	.type __x86_return_thunk, @function
__x86_return_thunk:
	.cfi_startproc
	popq %rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	jmpq *%rcx
	.cfi_endproc
	.size __x86_return_thunk, .-__x86_return_thunk
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
