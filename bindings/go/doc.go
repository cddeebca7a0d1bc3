// Package elector provides leader election and leases. Of all processes that campaign in an election, one
// leads, for as long as it keeps its lease in the store. The store is PostgreSQL, SQLite or memory.
//
// # What is promised
//
// At no instant do two candidates of an election both answer true to [Elector.IsLeader], as long as a
// leader's clock and the store's run at rates that differ by at most 1 % over one lease. Each term has a
// fencing token larger than all tokens before it. On PostgreSQL, a transaction that [Elector.GuardTx]
// accepted for an old leader cannot commit after a new leader was elected.
//
// # What is not promised
//
// Work that was started while leading does not stop by itself. It must end when the context that
// [Elector.Run] gives it ends, or its target must check the fencing token, or a guard must fence its
// transaction.
//
// There may be two leaders when the store's wall clock is stepped forward and the next leader had not read it
// before, when a promoted standby has lost commits, when a live row is deleted by hand, when the SQLite file
// is moved away or mounted over, or when a virtual machine is frozen without its clocks noticing. Tokens
// still protect every resource that checks them. [Options].Strict covers the first two.
//
// # How to use it
//
// [New] makes an elector. Then choose one of two ways. [Elector.Run] calls a function whenever this candidate
// is elected, with a context that ends in time. Or the program calls [Elector.Campaign] once, and then calls
// [Elector.IsLeader] before every piece of work, which costs no more than reading a clock. [Elector.Close]
// ends the elector.
//
// Any number of goroutines may call all methods at the same time, including Close. After Close, and on the
// zero Elector, a method fails with [ErrClosed], or says that this candidate does not lead.
//
// # How it works
//
// This package links Elector's C library, which serves all electors of one store with one connection and two
// threads. One goroutine of this package waits for changes of all electors of the process. No thread of the
// library runs Go code.
package elector
