//go:build elector_system

package library

// The library that is installed on this system.

// #cgo pkg-config: elector
import "C"
