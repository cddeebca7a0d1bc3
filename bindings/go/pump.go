package elector

import (
	"sync"
	"time"

	"github.com/elector/elector/bindings/go/internal/library"
)

// The pump waits for news from the library, for all electors of this process: one goroutine, and one thread
// of the operating system while it waits. It hands changes to the electors' feeds and calls nobody's code,
// so nothing that the program does can hold it up. It runs while there are electors.
var pump pumping

type pumping struct {
	sync.Mutex
	electors map[*Elector]struct{}
	// Closed when the goroutine that serves these electors has ended.
	ended chan struct{}
}

func (p *pumping) add(e *Elector) {
	p.Lock()
	defer p.Unlock()
	if len(p.electors) == 0 {
		p.electors = make(map[*Elector]struct{})
		p.ended = make(chan struct{})
		go p.run(p.ended)
	}
	p.electors[e] = struct{}{}
}

// Takes an elector out. With the last one it ends the goroutine, and waits for that.
func (p *pumping) remove(e *Elector) {
	p.Lock()
	delete(p.electors, e)
	last, ended := len(p.electors) == 0, p.ended
	p.Unlock()
	if last {
		library.Wake()
		<-ended
	}
}

func (p *pumping) run(ended chan struct{}) {
	defer close(ended)
	// The library wakes whoever waits. To look once a second all the same costs nothing.
	const longest = time.Second
	var heard uint64
	var served []*Elector
	for {
		heard = library.WaitAny(heard, longest)
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

// The electors that are to be served; none if the goroutine that asks is not the one that serves them any
// more.
func (p *pumping) served(ended chan struct{}, into []*Elector) []*Elector {
	p.Lock()
	defer p.Unlock()
	if p.ended == ended {
		for e := range p.electors {
			into = append(into, e)
		}
	}
	return into
}
