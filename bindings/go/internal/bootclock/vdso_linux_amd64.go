package bootclock

import (
	"bytes"
	"encoding/binary"
	"os"
	"unsafe"
)

// The comments give the names of these constants in elf(5) and getauxval(3).
const (
	auxVDSO        = 33 // AT_SYSINFO_EHDR
	loadSegment    = 1  // PT_LOAD
	dynamicSegment = 2  // PT_DYNAMIC
	stringTable    = 5  // DT_STRTAB
	symbolTable    = 6  // DT_SYMTAB
	symbolSize     = 24 // sizeof(Elf64_Sym)
	functionSymbol = 2  // STT_FUNC
)

// An ELF image in memory. A read beyond its end panics.
type image []byte

func (i image) u16(at uint64) uint64 { return uint64(binary.LittleEndian.Uint16(i[at:])) }
func (i image) u32(at uint64) uint64 { return uint64(binary.LittleEndian.Uint32(i[at:])) }
func (i image) u64(at uint64) uint64 { return binary.LittleEndian.Uint64(i[at:]) }

// The address of a function of the vDSO, the small library that the kernel maps into every process. It is 0
// if the vDSO or the function is missing, or if the vDSO does not have the expected form.
func lookUp(function string) uintptr {
	base := vdso()
	if base == 0 {
		return 0
	}
	// The first page has the headers, which give the size of the image.
	size, _, _ := segments(memory(base, uint64(os.Getpagesize())))
	at, found := in(memory(base, size), function)
	if !found {
		return 0
	}
	return base + uintptr(at)
}

// The offset of a function in an image.
func in(whole image, function string) (at uint64, found bool) {
	// If a table points out of the image, the function counts as not found.
	defer func() {
		if recover() != nil {
			at, found = 0, false
		}
	}()
	_, wanted, dynamic := segments(whole)
	symbols, strings := tables(whole, dynamic)
	// The linker puts the names behind the symbols, which gives the number of symbols.
	names := whole[strings-wanted:]
	for at := symbols - wanted; at+symbolSize <= strings-wanted; at += symbolSize {
		isFunction := whole[at+4]&15 == functionSymbol && whole.u16(at+6) != 0
		if isFunction && bytes.HasPrefix(names[whole.u32(at):], append([]byte(function), 0)) {
			start := whole.u64(at+8) - wanted
			return start, start < uint64(len(whole))
		}
	}
	return 0, false
}

// The address of the vDSO, or 0.
func vdso() uintptr {
	vector, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return 0
	}
	for ; len(vector) >= 16; vector = vector[16:] {
		if binary.LittleEndian.Uint64(vector) == auxVDSO {
			return uintptr(binary.LittleEndian.Uint64(vector[8:]))
		}
	}
	return 0
}

// The size of the image, the address for which it was linked, and the address of its dynamic section.
func segments(head image) (size, wanted, dynamic uint64) {
	const header, entry = 64, 56 // sizeof(Elf64_Ehdr) and of an Elf64_Phdr
	if len(head) < header || !bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) {
		return 0, 0, 0
	}
	at := head.u64(32)
	for count := head.u16(56); count > 0 && at < uint64(len(head)-entry); count-- {
		switch head.u32(at) {
		case loadSegment:
			wanted, size = head.u64(at+16), head.u64(at+40)
		case dynamicSegment:
			dynamic = head.u64(at + 8)
		}
		at += entry
	}
	return size, wanted, dynamic
}

// The addresses of the symbols and of their names.
func tables(whole image, dynamic uint64) (symbols, strings uint64) {
	for at := dynamic; whole.u64(at) != 0; at += 16 {
		switch whole.u64(at) {
		case symbolTable:
			symbols = whole.u64(at + 8)
		case stringTable:
			strings = whole.u64(at + 8)
		}
	}
	return symbols, strings
}

// The memory at an address that the kernel gave. It is not Go's memory, and lives as long as the process.
func memory(address uintptr, size uint64) image {
	start := *(*unsafe.Pointer)(unsafe.Pointer(&address))
	return unsafe.Slice((*byte)(start), size)
}
