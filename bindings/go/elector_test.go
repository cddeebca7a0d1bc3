package elector_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// Runs a scenario on each store that needs no server.
func onEachStore(t *testing.T, scenario func(t *testing.T, store string)) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) { t.Parallel(); scenario(t, memory(t)) })
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); scenario(t, newFile(t).store()) })
}

func TestAReleaseHandsOverAtOnceWithALargerToken(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		first := candidate(t, long(elector.Options{Store: store, Candidate: "a", Meta: "at home"}))
		second := candidate(t, long(elector.Options{Store: store, Candidate: "b"}))
		old := lead(t, first)
		must(t, second.Campaign())
		eventually(t, "the second candidate knows the leader", func() bool {
			leader, known := second.Leader()
			return known && leader == elector.Leader{Candidate: "a", Meta: "at home"}
		})
		if second.IsLeader() || second.Token() != 0 {
			t.Error("the lease is held")
		}

		must(t, first.Release(within(t, soon)))
		if first.IsLeader() {
			t.Error("it released")
		}
		// A notification, not the expiry of the lease, wakes the next candidate.
		if token := awaitLeader(t, second); token <= old {
			t.Errorf("token %d after %d", token, old)
		}
	})
}

func TestReleaseAndDrainTakeEffectBeforeTheyReturn(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		elector := candidate(t, brisk(elector.Options{Store: store}))
		for range 20 {
			lead(t, elector)
			// With a context that has ended, Release does not wait.
			over := within(t, 0)
			if err := elector.Release(over); !errors.Is(err, over.Err()) {
				t.Fatal(err)
			}
			if elector.IsLeader() || elector.Token() != 0 {
				t.Fatal("released")
			}
			token := lead(t, elector)
			must(t, elector.Drain())
			if elector.IsLeader() || elector.Token() != 0 {
				t.Fatal("draining")
			}
			found := elector.Leadership()
			if found.IsLeader || found.Token != token || found.WorkFor == 0 || found.TrustedFor <= found.WorkFor {
				t.Fatalf("draining keeps the lease: %+v", found)
			}
			must(t, elector.Drained())
			if found = elector.Leadership(); found.Token != 0 || found.TrustedFor != 0 || found.WorkFor != 0 {
				t.Fatalf("drained: %+v", found)
			}
		}
	})
}

func TestTrustEndsByTheClockAloneWhenTheStoreHangs(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	elected := candidate(t, short(elector.Options{Store: file.store()}))
	next := reader(t, elected)
	lead(t, elected)
	expect(t, next, elector.EventElected)
	file.hang()
	started := time.Now()
	for {
		// The time is read before the call, so that a pause in between does not fail the test.
		elapsed := time.Since(started)
		if !elected.IsLeader() {
			break
		}
		if elapsed > shortLease {
			t.Fatalf("a lease of %v is trusted for less", shortLease)
		}
	}
	stopped := false
	change := nextTurn(t, next)
	for ; change.Event != elector.EventDeposed; change = nextTurn(t, next) {
		stopped = stopped || change.Event == elector.EventStopNewWork
	}
	if !stopped || change.Reason != elector.ReasonExpired {
		t.Errorf("%+v, with a warning: %v", change, stopped)
	}
	file.work()
	awaitLeader(t, elected)
}

func TestAStoreThatComesBackInTimeSavesTheTerm(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	elected := candidate(t, elector.Options{
		Election: "nightly", Store: file.store(), Lease: 20 * time.Second, Renew: 200 * time.Millisecond,
	})
	token := lead(t, elected)
	next := reader(t, elected)
	file.hang()
	if change := expect(t, next, elector.EventAtRisk); change.Token != token {
		t.Errorf("%+v", change)
	}
	// The term's attempt may time out while the store still waits for its lock.
	eventually(t, "an error", func() bool { return errors.Is(elected.LastError(), elector.ErrStore) })
	file.work()
	for next().Event != elector.EventRenewed {
	}
	if found := elected.Token(); found != token {
		t.Errorf("token %d instead of %d", found, token)
	}
	eventually(t, "no error", func() bool { return elected.LastError() == nil })
}

func TestADeletedFileEndsLeadership(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	elected := candidate(t, long(elector.Options{Store: file.store()}))
	candidate(t, long(elector.Options{Election: "never campaigns", Store: file.store()}))
	next := reader(t, elected)
	old := lead(t, elected)
	file.remove()
	change := expect(t, next, elector.EventElected, elector.EventDeposed)
	if change.Reason != elector.ReasonRevoked || change.Token != old {
		t.Errorf("%+v", change)
	}
}

// The lease is short, because in a new file a candidate leads only after a lease: another candidate may still
// trust its lease in the old file.
func TestAFileAnewIsLedInWithALargerToken(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	elected := candidate(t, short(elector.Options{Store: file.store()}))
	candidate(t, short(elector.Options{Election: "never campaigns", Store: file.store()}))
	old := lead(t, elected)
	file.remove()
	eventually(t, "a new file", func() bool { _, err := os.Stat(file.path); return err == nil })
	awaitLarger(t, elected, old)
}

func TestTheProgressGateLetsALivelyHostLeadOn(t *testing.T) {
	t.Parallel()
	gated := candidate(t, brisk(elector.Options{Store: memory(t), Renew: time.Second, ProgressGate: true}))
	token := lead(t, gated)
	// The lease of a silent host is renewed for half a lease, and then trusted for less than one lease.
	for lively := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		must(t, gated.Alive())
		since := time.Since(lively)
		found := gated.Leadership()
		if !found.IsLeader || found.Token != token || since > soon {
			t.Fatalf("the host calls Alive, and after %v it has %+v", since, found)
		}
		if since+found.TrustedFor > 15*time.Second {
			return
		}
	}
}

func TestTheProgressGateLetsASilentHostLose(t *testing.T) {
	t.Parallel()
	gated := candidate(t, brisk(elector.Options{Store: memory(t), Renew: time.Second, ProgressGate: true}))
	next := reader(t, gated)
	must(t, gated.Campaign())
	expect(t, next, elector.EventElected, elector.EventAtRisk)
	turn := nextTurn(t, next)
	// On a busy machine the term may have been at risk before.
	for turn.Event == elector.EventAtRisk {
		turn = nextTurn(t, next)
	}
	if turn.Event != elector.EventStopNewWork {
		t.Errorf("%+v", turn)
	}
	if change := expect(t, next, elector.EventDeposed); change.Reason != elector.ReasonStalled {
		t.Errorf("%+v", change)
	}
	must(t, gated.Alive())
	expect(t, next, elector.EventElected)
}

func TestAStrictCandidateTakesOverOnlyAfterAFullLeaseOfItsOwnClock(t *testing.T) {
	t.Parallel()
	strict := func(name string) *elector.Elector {
		return candidate(t, short(elector.Options{Store: memory(t), Candidate: name, Strict: true}))
	}
	first, second := strict("a"), strict("b")
	started := time.Now()
	old := lead(t, first)
	if took := time.Since(started); took < shortLease {
		t.Errorf("%v: an absent row may be a lost row too", took)
	}
	// The time is read before the candidate first looks at the row, since the row may stay unchanged from
	// then on.
	stood := time.Now()
	must(t, second.Campaign())
	must(t, first.Release(within(t, soon)))
	awaitLarger(t, second, old)
	if took := time.Since(stood); took < shortLease {
		t.Errorf("it took over after %v", took)
	}
}

func TestElectorsOfOneStoreShareTwoThreadsWhichEndWithThem(t *testing.T) {
	// Not in parallel with other tests, so that all threads of the library belong to this test.
	eventually(t, "the threads of other tests end", func() bool { return libraryThreads(t) == 0 })
	var electors []*elector.Elector
	for n := range 300 {
		electors = append(electors, candidate(t, long(elector.Options{
			Election: fmt.Sprint("shared-", n), Store: memory(t),
		})))
	}
	for _, elector := range electors {
		must(t, elector.Campaign())
	}
	for _, elector := range electors {
		awaitLeader(t, elector)
	}
	if threads := libraryThreads(t); threads > 4 {
		t.Errorf("%d threads", threads)
	}
	for _, elector := range electors {
		end(t, elector)
	}
	eventually(t, "the threads end", func() bool { return libraryThreads(t) == 0 })
}

func TestWrongInputIsRefusedBeforeAnythingStarts(t *testing.T) {
	const second = time.Second
	long := strings.Repeat("x", 65537)
	refusals := []struct {
		options elector.Options
		kind    error
		text    string
	}{
		{elector.Options{}, elector.ErrInvalidArgument, "the election name is empty"},
		{elector.Options{Election: "x", Candidate: "a\x00b"}, elector.ErrInvalidArgument, "NUL at byte 1"},
		{elector.Options{Election: "x", Candidate: "a\xffb"}, elector.ErrInvalidArgument, "UTF-8"},
		{elector.Options{Election: "x", Meta: long}, elector.ErrInvalidArgument, "65537 bytes"},
		{elector.Options{Election: "x", Lease: 50 * time.Millisecond}, elector.ErrInvalidTiming, "lease of 50 ms"},
		{elector.Options{Election: "x", Lease: 1500 * time.Microsecond}, elector.ErrInvalidArgument, "1.5ms"},
		{elector.Options{Election: "x", Renew: -second}, elector.ErrInvalidArgument, "renew is -1s"},
		{elector.Options{Election: "x", Drain: -second}, elector.ErrInvalidArgument, "drain is -1s"},
		{elector.Options{Election: "x", Drain: 1500 * time.Microsecond}, elector.ErrInvalidArgument, "1.5ms"},
		{elector.Options{Election: "x", Lease: second, Renew: second}, elector.ErrInvalidTiming, "1000 ms"},
		{elector.Options{Election: "x", Store: "carrier-pigeon:loft"}, elector.ErrInvalidArgument, "known schemes"},
		{elector.Options{Election: "x", Schema: "leases"}, elector.ErrInvalidArgument, "schema"},
	}
	for _, refusal := range refusals {
		if refusal.options.Store == "" {
			refusal.options.Store = memory(t)
		}
		made, err := elector.New(refusal.options)
		if made != nil || !errors.Is(err, refusal.kind) || !strings.Contains(fmt.Sprint(err), refusal.text) {
			t.Errorf("%+v: %v", refusal.options, err)
		}
	}
}

func TestAnOptionThatIsNotSetHasItsDefault(t *testing.T) {
	store := newFile(t).store()
	t.Setenv("ELECTOR_STORE", store)
	plain := candidate(t, elector.Options{Election: "defaults"})
	lead(t, plain)
	// The remaining trust depends on the time of the check; each renewal extends it again.
	eventually(t, "trust for most of a lease of 10 s", func() bool {
		found := plain.Leadership()
		if found.TrustedFor > 10*time.Second {
			t.Errorf("a lease of 10 s: %+v", found)
		}
		return found.IsLeader && found.TrustedFor > 5*time.Second
	})
	name, err := os.Hostname()
	must(t, err)
	leader, known := plain.Leader()
	if want := fmt.Sprintf("%s-%d", name, os.Getpid()); !known || leader.Candidate != want || leader.Meta != "" {
		t.Errorf("%+v, %v instead of %s", leader, known, want)
	}
	if plain.Election() != "defaults" {
		t.Error(plain.Election())
	}
}

func TestConnectSaysWhatIsWrongWithTheStore(t *testing.T) {
	t.Parallel()
	good := candidate(t, elector.Options{Store: newFile(t).store()})
	must(t, good.Connect(within(t, soon)))
	nowhere := candidate(t, elector.Options{Store: "sqlite:/proc/nowhere/leases.db"})
	err := nowhere.Connect(within(t, soon))
	if !errors.Is(err, elector.ErrStore) && !errors.Is(err, elector.ErrStoreRefused) {
		t.Error(err)
	}
	late := within(t, 0)
	if err := good.Connect(late); !errors.Is(err, elector.ErrTimeout) || !errors.Is(err, late.Err()) {
		t.Error(err)
	}
}
