//go:build !(linux && amd64)

package bootclock

// Now returns false on this platform: the caller must read the clock in another way.
func Now() (uint64, bool) { return 0, false }
