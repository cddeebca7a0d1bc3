#include "textflag.h"

// The stack that a function of the vDSO gets. Such functions need some hundred bytes, but a kernel that was
// compiled with stack checks has them touch a whole page below their own frame.
#define ROOM 5120

// func call(function, clock uintptr) (seconds, nanoseconds int64, status int32)
//
// The frame is ROOM, 8 bytes to align it with, and 32 in which the answer is put, above what C may use.
//
// Runs C code on the goroutine's stack, as the C calling convention wants it: arguments in DI and SI, stack
// aligned to 16 bytes at the call. That is safe because
//   - the frame below is so large that the usual check at this function's entry, which grows the stack,
//     makes room for all that C may use: SP is raised by ROOM first, and C grows down into this frame;
//   - ADJSP tells the assembler each move of SP, so that a profiler's signal can walk the stack at every
//     instruction here; in the vDSO, whose addresses Go does not know, it does not walk but counts "vDSO";
//   - signals run on a stack of their own, and Go preempts a goroutine only in Go code, never in assembly
//     or in code that it does not know: so the stack is not moved while C has an address in it;
//   - C keeps BX, BP and R12 to R15; the rest a function like this may destroy;
//   - the kernel's function reads memory and the processor's counter. It never blocks. Where the machine's
//     clock cannot be read so, it makes the system call itself.
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
