//! What a WebAssembly module without the standard library needs: an allocator, and what happens at a panic.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size, unreachable};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr::null_mut;

const PAGE: usize = 65_536;

/// The free blocks of each power of two, as linked lists, and the memory that was never given out.
struct Blocks {
    free: [*mut u8; 32],
    from: usize,
    end: usize,
}

struct Allocator(UnsafeCell<Blocks>);

// SAFETY: a module without shared memory has one thread.
unsafe impl Sync for Allocator {}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(UnsafeCell::new(Blocks { free: [null_mut(); 32], from: 0, end: 0 }));

/// The power of two whose blocks a layout gets: large enough for it, and aligned to their size.
fn class(layout: Layout) -> u32 {
    layout.size().max(layout.align()).max(16).next_power_of_two().trailing_zeros()
}

unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class(layout);
        // SAFETY: one thread, and no reference to the blocks lives on; a free block holds the next one.
        unsafe {
            let blocks = &mut *self.0.get();
            let list = &mut blocks.free[class as usize & 31];
            let block = *list;
            if !block.is_null() {
                *list = *block.cast();
                return block;
            }
            blocks.carve(1 << class)
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; the block is not used any more.
        unsafe {
            let list = &mut (*self.0.get()).free[class(layout) as usize & 31];
            *block.cast() = *list;
            *list = block;
        }
    }
}

impl Blocks {
    /// A block of memory that was never given out; null if there is none.
    fn carve(&mut self, size: usize) -> *mut u8 {
        let at = self.from.next_multiple_of(size);
        if at + size > self.end {
            let pages = size.div_ceil(PAGE);
            let old = memory_grow(0, pages);
            if old == usize::MAX {
                return null_mut();
            }
            if old * PAGE != self.end {
                self.from = old * PAGE;
            }
            self.end = memory_size(0) * PAGE;
            return self.carve(size);
        }
        self.from = at + size;
        at as *mut u8
    }
}

/// What the standard library calls, which was built without the instruction for it.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    // SAFETY: as C has it.
    unsafe { core::ptr::copy(from, to, size) };
    to
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    unreachable()
}
