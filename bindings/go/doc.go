// Package elector is leader election and leases: of all processes that stand for an election one leads, for
// as long as it keeps its lease in the store, which is PostgreSQL, SQLite or memory.
//
// # What is promised
//
// At no instant do two candidates of an election both answer true to [Elector.IsLeader], as long as a
// leader's clock and the store's run at rates that differ by at most 1 % over one lease. Each term has a
// fencing token larger than all before it. On PostgreSQL, a transaction that [Elector.GuardTx] let pass for
// an old leader cannot commit after a new leader was elected.
//
// # What is not
//
// That work which was started while leading stops in time: it must end before its trust is over, which the
// context that [Elector.Run] gives it says, or be checked by its token, or by the guard, where it lands. Nor
// one leader when the store's wall clock is stepped forward and the next leader had not read it before, when
// a promoted standby has lost commits, when a live row is deleted by hand, when the SQLite file is moved away
// or mounted over, or when a virtual machine is frozen without its clocks noticing; tokens protect what
// checks them.
//
// # How to use it
//
// [New] makes an elector. Then either [Elector.Run] does the rest: it calls a function whenever this
// candidate is elected, with a context that ends in time. Or the program calls [Elector.Campaign] once, and
// asks [Elector.IsLeader] wherever it matters, which costs no more than reading a clock. [Elector.Close]
// ends it.
//
// All methods may be called by any number of goroutines at once, Close too. After Close, and on the zero
// Elector, they fail with [ErrClosed], or say that this candidate does not lead.
//
// # How it works
//
// The library, which this package links, serves all electors of one store with one connection and two threads
// of its own. One goroutine of this package waits for news of all electors of the process. No thread of the
// library runs Go code.
package elector
