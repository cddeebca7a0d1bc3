//go:build unix

package library

// #include <stdlib.h>
// #include "elector.h"
import "C"

import (
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// Options describe an elector. A zero option has the library's default.
type Options struct {
	Election, Store, Candidate, Meta, Schema string
	CreateTable                              *bool
	Lease, Renew, Jitter, Margin             time.Duration
	Strict, ProgressGate                     bool
}

// New makes an elector.
func New(options Options) (Handle, *Fault) {
	if found := uint32(C.elector_abi_version()); found != C.ELECTOR_ABI_VERSION {
		return Handle{}, &Fault{StatusInvalidArgument, fmt.Sprintf(
			"this package was made for version %d of the library's interface, and the library %s that is linked "+
				"has version %d; build both from the same release",
			C.ELECTOR_ABI_VERSION, C.GoString(C.elector_version()), found)}
	}
	draft := draft{options: C.elector_options_new()}
	defer C.elector_options_free(draft.options)
	draft.describe(options)
	var handle Handle
	if draft.fault == nil {
		status := C.elector_new(draft.options, &handle.elector, &draft.said)
		draft.fault = made(status, &draft.said)
	}
	if draft.fault == nil {
		handle.view = C.elector_get_view(handle.elector)
	}
	return handle, draft.fault
}

// Options of the library under construction. Setting stops at the first option that the library refuses.
type draft struct {
	options *C.struct_elector_options
	said    C.struct_elector_error
	fault   *Fault
}

func (d *draft) describe(options Options) {
	// The election is always set, so that the library reports an empty name.
	d.text("election", options.Election, func(text *C.char) C.enum_elector_status {
		return C.elector_options_set_election(d.options, text, &d.said)
	})
	d.optional("store", options.Store, func(text *C.char) C.enum_elector_status {
		return C.elector_options_set_store(d.options, text, &d.said)
	})
	d.optional("candidate", options.Candidate, func(text *C.char) C.enum_elector_status {
		return C.elector_options_set_candidate(d.options, text, &d.said)
	})
	d.optional("meta", options.Meta, func(text *C.char) C.enum_elector_status {
		return C.elector_options_set_meta(d.options, text, &d.said)
	})
	d.optional("schema", options.Schema, func(text *C.char) C.enum_elector_status {
		return C.elector_options_set_schema(d.options, text, &d.said)
	})
	d.time("lease", options.Lease, func(ms C.uint64_t) C.enum_elector_status {
		return C.elector_options_set_lease_ms(d.options, ms, &d.said)
	})
	d.time("renew", options.Renew, func(ms C.uint64_t) C.enum_elector_status {
		return C.elector_options_set_renew_ms(d.options, ms, &d.said)
	})
	d.time("jitter", options.Jitter, func(ms C.uint64_t) C.enum_elector_status {
		return C.elector_options_set_jitter_ms(d.options, ms, &d.said)
	})
	d.time("margin", options.Margin, func(ms C.uint64_t) C.enum_elector_status {
		return C.elector_options_set_margin_ms(d.options, ms, &d.said)
	})
	d.flag(options.Strict, func() C.enum_elector_status {
		return C.elector_options_set_strict(d.options, true, &d.said)
	})
	d.flag(options.ProgressGate, func() C.enum_elector_status {
		return C.elector_options_set_progress_gate(d.options, true, &d.said)
	})
	d.flag(options.CreateTable != nil, func() C.enum_elector_status {
		return C.elector_options_set_create_table(d.options, C.bool(*options.CreateTable), &d.said)
	})
}

func (d *draft) flag(given bool, set func() C.enum_elector_status) {
	if given && d.fault == nil {
		d.fault = made(set(), &d.said)
	}
}

func (d *draft) optional(name, value string, set func(*C.char) C.enum_elector_status) {
	if value != "" {
		d.text(name, value, set)
	}
}

func (d *draft) text(name, value string, set func(*C.char) C.enum_elector_status) {
	if d.fault != nil {
		return
	}
	// C would cut the text at the NUL.
	if at := strings.IndexByte(value, 0); at >= 0 {
		d.fault = refusal("the %s %q has a NUL at byte %d; leave it out", name, value, at)
		return
	}
	text := C.CString(value)
	defer C.free(unsafe.Pointer(text))
	d.fault = made(set(text), &d.said)
}

func (d *draft) time(name string, value time.Duration, set func(C.uint64_t) C.enum_elector_status) {
	if d.fault == nil {
		d.fault = CheckTime(name, value)
	}
	if d.fault == nil {
		d.fault = made(set(C.uint64_t(value/time.Millisecond)), &d.said)
	}
}

// CheckTime refuses a negative time and a fraction of a millisecond.
func CheckTime(name string, value time.Duration) *Fault {
	if value >= 0 && value%time.Millisecond == 0 {
		return nil
	}
	return refusal("%s is %v; give it in whole milliseconds, or 0 for the default", name, value)
}

func refusal(format string, values ...any) *Fault {
	return &Fault{StatusInvalidArgument, fmt.Sprintf(format, values...)}
}
