package elector

import (
	"sync"
	"time"

	"github.com/elector/elector/bindings/go/internal/library"
)

// The poller waits for changes of all electors of this process. It is one goroutine, and occupies one thread
// of the operating system while it waits. It appends the changes to the electors' histories and calls no code
// of the program, so the program cannot delay it. It runs while there are electors.
var poller changePoller

type changePoller struct {
	sync.Mutex
	electors map[*Elector]struct{}
	// Closed when the goroutine that serves these electors has ended.
	ended chan struct{}
}

func (p *changePoller) add(e *Elector) {
	p.Lock()
	defer p.Unlock()
	if len(p.electors) == 0 {
		p.electors = make(map[*Elector]struct{})
		p.ended = make(chan struct{})
		go p.run(p.ended)
	}
	p.electors[e] = struct{}{}
}

// Removes an elector. With the last elector it ends the goroutine, and waits until it has ended.
func (p *changePoller) remove(e *Elector) {
	p.Lock()
	delete(p.electors, e)
	last, ended := len(p.electors) == 0, p.ended
	p.Unlock()
	if last {
		library.Wake()
		<-ended
	}
}

func (p *changePoller) run(ended chan struct{}) {
	defer close(ended)
	// The library wakes the poller for every change. Polling once a second in addition costs nothing.
	const longest = time.Second
	// The count of all changes when the poller last woke.
	var seen uint64
	var served []*Elector
	for {
		seen = library.WaitAny(seen, longest)
		served = p.served(ended, served[:0])
		if len(served) == 0 {
			return
		}
		for _, e := range served {
			e.fetch()
		}
		clear(served)
	}
}

// The electors to serve; none if another goroutine has replaced the calling one.
func (p *changePoller) served(ended chan struct{}, into []*Elector) []*Elector {
	p.Lock()
	defer p.Unlock()
	if p.ended == ended {
		for e := range p.electors {
			into = append(into, e)
		}
	}
	return into
}
