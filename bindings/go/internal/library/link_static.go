//go:build !elector_system

package library

// The library that `make -C bindings/c go` puts there, with what it needs of the system.

// #cgo CFLAGS: -I${SRCDIR}/../../include
// #cgo LDFLAGS: ${SRCDIR}/../../lib/libelector.a
// #cgo linux LDFLAGS: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"
