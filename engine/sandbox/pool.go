package sandbox

import (
	"errors"
	"fmt"
	"sync"
)

// Mode says whether programs have to be isolated.
type Mode string

const (
	Auto    Mode = "auto"    // where this machine can; else they run without, and that is told
	Require Mode = "require" // what can't be isolated does not run, and what was made without does not count
	Off     Mode = "off"
)

// Modes lists the modes.
func Modes() []Mode { return []Mode{Require, Auto, Off} }

// Pool keeps boxes for programs that run side by side. It is safe for concurrent use.
type Pool struct {
	Mode Mode
	Root Root

	mu     sync.Mutex
	idle   []*Box
	reason string // why there are none; "" if that is not known
}

// Get returns a box for one program, nil if it is to run without. Put takes it back.
func (p *Pool) Get() (*Box, error) {
	if p.Mode == Off {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		b := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return b, nil
	}
	if p.reason != "" {
		return nil, p.lacking()
	}
	b, err := New(p.Root)
	if none := (*UnavailableError)(nil); errors.As(err, &none) && none.lasting { // others are trouble of the moment, after which jobs are isolated again
		p.reason = none.Reason
		return nil, p.lacking()
	}
	return b, err
}

// lacking is an error only where programs must be isolated.
func (p *Pool) lacking() error {
	if p.Mode == Require {
		return fmt.Errorf("this job can't be isolated, as --sandbox=require asks: %w", &UnavailableError{Reason: p.reason})
	}
	return nil
}

// Reason says why programs ran without a box although they were to have one; "" if none did.
func (p *Pool) Reason() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Mode != Auto {
		return ""
	}
	return p.reason
}

// Put takes back a box in which nothing runs any more.
func (p *Pool) Put(b *Box) {
	if b == nil {
		return
	}
	if b.lost() {
		b.Close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, b)
}

// Close ends all boxes that are not in use.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.idle {
		b.Close()
	}
	p.idle = nil
}
