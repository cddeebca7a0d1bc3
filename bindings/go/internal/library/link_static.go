//go:build !elector_system && unix

package library

// The static library that `make -C bindings/c go` builds into lib, and the system's libraries that it needs.
// The C compiler adds libc, and libgcc_s where it is needed; naming libgcc_s here would rule out -static.

// #cgo CFLAGS: -I${SRCDIR}/../../include -I${SRCDIR}/../../lib
// #cgo darwin,amd64 CFLAGS: -DELECTOR_LIBRARY=libelector_darwin_amd64.a
// #cgo darwin,amd64 LDFLAGS: ${SRCDIR}/../../lib/libelector_darwin_amd64.a
// #cgo darwin,arm64 CFLAGS: -DELECTOR_LIBRARY=libelector_darwin_arm64.a
// #cgo darwin,arm64 LDFLAGS: ${SRCDIR}/../../lib/libelector_darwin_arm64.a
// #cgo linux,386 CFLAGS: -DELECTOR_LIBRARY=libelector_linux_386.a
// #cgo linux,386 LDFLAGS: ${SRCDIR}/../../lib/libelector_linux_386.a
// #cgo linux,amd64 CFLAGS: -DELECTOR_LIBRARY=libelector_linux_amd64.a
// #cgo linux,amd64 LDFLAGS: ${SRCDIR}/../../lib/libelector_linux_amd64.a
// #cgo linux,arm CFLAGS: -DELECTOR_LIBRARY=libelector_linux_arm.a
// #cgo linux,arm LDFLAGS: ${SRCDIR}/../../lib/libelector_linux_arm.a
// #cgo linux,arm64 CFLAGS: -DELECTOR_LIBRARY=libelector_linux_arm64.a
// #cgo linux,arm64 LDFLAGS: ${SRCDIR}/../../lib/libelector_linux_arm64.a
// #cgo linux,loong64 CFLAGS: -DELECTOR_LIBRARY=libelector_linux_loong64.a
// #cgo linux,loong64 LDFLAGS: ${SRCDIR}/../../lib/libelector_linux_loong64.a
// #cgo linux,ppc64le CFLAGS: -DELECTOR_LIBRARY=libelector_linux_ppc64le.a
// #cgo linux,ppc64le LDFLAGS: ${SRCDIR}/../../lib/libelector_linux_ppc64le.a
// #cgo linux,riscv64 CFLAGS: -DELECTOR_LIBRARY=libelector_linux_riscv64.a
// #cgo linux,riscv64 LDFLAGS: ${SRCDIR}/../../lib/libelector_linux_riscv64.a
// #cgo linux,s390x CFLAGS: -DELECTOR_LIBRARY=libelector_linux_s390x.a
// #cgo linux,s390x LDFLAGS: ${SRCDIR}/../../lib/libelector_linux_s390x.a
// #cgo linux LDFLAGS: -lutil -lrt -lpthread -lm -ldl
//
// #define TEXT(name) #name
// #define FILE(name) TEXT(name)
// #ifndef ELECTOR_LIBRARY
// #error "Elector has no static library for this platform: link an installed one, -tags elector_system"
// #elif !__has_include(FILE(ELECTOR_LIBRARY))
// #error "Elector's library for this platform is missing: run make -C bindings/c go in its clone;" \
//        "then go mod vendor again, if the package is vendored"
// #endif
import "C"

// Imported for their folders, which are vendored with them.
import (
	_ "github.com/elector/elector/bindings/go/include"
	_ "github.com/elector/elector/bindings/go/lib"
)
