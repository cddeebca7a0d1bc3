package elector_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// How long a test waits for a change that must come, on the slowest machine.
const soon = time.Minute

// Most tests wait most of the time, so more of them run at once than there are processors.
func TestMain(m *testing.M) {
	// A flag on the command line is parsed later, and overrides this.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const shortLease = 600 * time.Millisecond

// A lease that expires within a test. A test must not assume that such a candidate keeps leading.
func short(options elector.Options) elector.Options {
	options.Lease, options.Margin = shortLease, 50*time.Millisecond
	return options
}

// A lease for which neither the expiry nor a look (once in a third of it) comes within soon.
func long(options elector.Options) elector.Options {
	options.Lease = 5 * time.Minute
	return options
}

// A lease for several terms in a row that a busy machine does not end. The shorter a lease is, the more
// operations its candidate may send.
func brisk(options elector.Options) elector.Options {
	options.Lease = 10 * time.Second
	return options
}

func candidate(t testing.TB, options elector.Options) *elector.Elector {
	t.Helper()
	if options.Election == "" {
		options.Election = "nightly"
	}
	made, err := elector.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close() })
	return made
}

// A store in memory that no other test uses.
func memory(t testing.TB) string { return "memory:" + t.Name() }

func within(t testing.TB, timeout time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Closes an elector. On a busy machine the store need not confirm the release within a second.
func end(t testing.TB, subject *elector.Elector) {
	t.Helper()
	if err := subject.Close(); err != nil && !errors.Is(err, elector.ErrTimeout) {
		t.Fatal(err)
	}
}

func lead(t testing.TB, candidate *elector.Elector) uint64 {
	t.Helper()
	must(t, candidate.Campaign())
	return awaitLeader(t, candidate)
}

func awaitLeader(t testing.TB, candidate *elector.Elector) uint64 {
	t.Helper()
	token, err := candidate.WaitUntilLeader(within(t, soon))
	if err != nil {
		t.Fatalf("not leader: %v; the store: %v", err, candidate.LastError())
	}
	return token
}

// Waits until a candidate leads under a larger token than this.
func awaitLarger(t testing.TB, candidate *elector.Elector, token uint64) {
	t.Helper()
	eventually(t, "a larger token", func() bool { return candidate.Token() > token })
}

// Returns a function that reads the next change, and fails the test if none comes in time.
func reader(t testing.TB, candidate *elector.Elector) func() elector.Change {
	ctx, cancel := context.WithCancel(context.Background())
	next, stop := iter.Pull(candidate.Changes(ctx))
	t.Cleanup(stop)
	return func() elector.Change {
		t.Helper()
		late := time.AfterFunc(soon, cancel)
		defer late.Stop()
		change, ok := next()
		if !ok {
			t.Fatal("no change came in time")
		}
		return change
	}
}

// The next change that is neither a renewal nor a change of the leader.
func nextTurn(t testing.TB, next func() elector.Change) elector.Change {
	t.Helper()
	for {
		change := next()
		if change.Event != elector.EventRenewed && change.Event != elector.EventLeaderChanged {
			return change
		}
	}
}

func expect(t testing.TB, next func() elector.Change, events ...elector.Event) elector.Change {
	t.Helper()
	var change elector.Change
	for _, event := range events {
		if change = nextTurn(t, next); change.Event != event {
			t.Fatalf("%v instead of %v", change.Event, event)
		}
	}
	return change
}

// Waits until a condition is true, and fails the test if that takes too long.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

// A store in a file whose writers the test can block, by taking SQLite's lock for writers.
type file struct {
	t    testing.TB
	path string
	lock *os.File
}

func newFile(t testing.TB) *file { return &file{t: t, path: t.TempDir() + "/leases.db"} }

func (f *file) store() string { return "sqlite:" + f.path }

// Makes each write to the store wait, and fail after its timeout. The store must have been used before.
func (f *file) hang() {
	f.t.Helper()
	if f.lock == nil {
		lock, err := os.OpenFile(f.path+"-shm", os.O_RDWR, 0)
		must(f.t, err)
		// Closing the file would release SQLite's own locks of this process: see fcntl(2). So it stays open.
		f.lock = lock
	}
	f.fcntl(syscall.F_WRLCK)
}

func (f *file) remove() { must(f.t, os.Remove(f.path)) }

func (f *file) work() { f.fcntl(syscall.F_UNLCK) }

func (f *file) fcntl(kind int16) {
	f.t.Helper()
	// F_OFD_SETLK, which conflicts with SQLite's locks though they are of the same process, and
	// WAL_WRITE_LOCK.
	const set, writers = 37, 120
	lock := syscall.Flock_t{Type: kind, Start: writers, Len: 1}
	eventually(f.t, "the lock of SQLite's writers", func() bool {
		return syscall.FcntlFlock(f.lock.Fd(), set, &lock) == nil
	})
}

// The number of threads of this process that belong to the library.
func libraryThreads(t testing.TB) int {
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	count := 0
	for _, task := range tasks {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%s/comm", task.Name()))
		if strings.HasPrefix(string(name), "elector-") {
			count++
		}
	}
	return count
}
