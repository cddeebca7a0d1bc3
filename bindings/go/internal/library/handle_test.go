//go:build unix

package library

import (
	"math"
	"testing"
	"time"
)

func TestATimeIsRoundedUpToMillisecondsAndNeverForEver(t *testing.T) {
	const most = math.MaxUint32 - 1
	for given, want := range map[time.Duration]uint32{
		math.MinInt64:                     0,
		-1:                                0,
		0:                                 0,
		1:                                 1,
		time.Millisecond:                  1,
		time.Millisecond + 1:              2,
		(most - 1) * time.Millisecond:     most - 1,
		math.MaxUint32 * time.Millisecond: most,
		math.MaxInt64 - time.Millisecond:  most,
		math.MaxInt64:                     most,
	} {
		if found := uint32(milliseconds(given)); found != want {
			t.Errorf("%v is %d ms instead of %d", given, found, want)
		}
	}
}
