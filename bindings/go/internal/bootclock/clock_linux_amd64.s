#include "textflag.h"

// The size of the stack for a function of the vDSO. Such functions need some hundred bytes, but in a kernel
// that was compiled with stack checks they touch a whole page below their own frame.
#define ROOM 5120

// func call(function, clock uintptr) (seconds, nanoseconds int64, status int32)
//
// The frame has ROOM bytes, 8 bytes for alignment, and 32 bytes for the result, above the part that C may
// use.
//
// Runs C code on the goroutine's stack, by the C calling convention: arguments in DI and SI, and the stack
// aligned to 16 bytes at the call. This is safe because
//   - the frame is so large that the usual check at this function's entry, which grows the stack, makes room
//     for everything that C may use: SP is raised by ROOM first, and C grows down into this frame;
//   - ADJSP informs the assembler of every move of SP, so that a profiler's signal handler can walk the stack
//     at every instruction here; in the vDSO, whose addresses Go does not know, it does not walk the stack
//     but counts "vDSO";
//   - signal handlers run on a stack of their own, and Go preempts a goroutine only in Go code, never in
//     assembly or in code that it does not know: so the stack is not moved while C has an address in it;
//   - C preserves BX, BP and R12 to R15; an assembly function may change all other registers;
//   - the kernel's function reads memory and the processor's counter, and never blocks. If it cannot read the
//     machine's clock in this way, it makes the system call itself.
TEXT ·call(SB), 0, $5160-36
	MOVQ	function+0(FP), AX
	MOVQ	clock+8(FP), DI
	TESTQ	$15, SP
	JNZ	odd
	ADJSP	$(-ROOM)
	MOVQ	SP, SI
	CALL	AX
	MOVQ	0(SP), CX
	MOVQ	8(SP), DX
	ADJSP	$ROOM
	JMP	done
odd:
	// SP is always a multiple of 8.
	ADJSP	$(-ROOM-8)
	MOVQ	SP, SI
	CALL	AX
	MOVQ	0(SP), CX
	MOVQ	8(SP), DX
	ADJSP	$(ROOM+8)
done:
	MOVQ	CX, seconds+16(FP)
	MOVQ	DX, nanoseconds+24(FP)
	MOVL	AX, status+32(FP)
	RET
