package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"zombiezen.com/go/sqlite"
)

// conns are connections to one database: one that writes, whose pages stay known from one transaction to the next, and some that read, of which the one that was
// last used comes first: each has to look again at pages after a commit.
type conns struct {
	prepare func(*sqlite.Conn) error
	writer  chan *sqlite.Conn // nil of a ledger that is only read
	places  chan struct{}     // as many as readers are idle
	closed  chan struct{}

	mu       sync.Mutex
	idle     []*sqlite.Conn
	prepared map[*sqlite.Conn]bool
}

func openConns(name string, flags sqlite.OpenFlags, readers int, prepare func(*sqlite.Conn) error) (*conns, error) {
	p := &conns{prepare: prepare, places: make(chan struct{}, readers), closed: make(chan struct{}), prepared: map[*sqlite.Conn]bool{}}
	for range readers {
		c, err := sqlite.OpenConn(name, flags)
		if err != nil {
			return nil, errors.Join(err, p.closeIdle())
		}
		p.idle = append(p.idle, c)
		p.places <- struct{}{}
	}
	if flags&sqlite.OpenReadWrite != 0 {
		c, err := sqlite.OpenConn(name, flags)
		if err != nil {
			return nil, errors.Join(err, p.closeIdle())
		}
		p.writer = make(chan *sqlite.Conn, 1)
		p.writer <- c
	}
	return p, nil
}

var errClosed = errors.New("it was closed")

// reader takes a connection to read with, until it is given to done.
func (p *conns) reader() (*sqlite.Conn, error) {
	select {
	case <-p.closed:
		return nil, errClosed
	default:
	}
	select {
	case <-p.places:
	case <-p.closed:
		return nil, errClosed
	}
	p.mu.Lock()
	last := len(p.idle) - 1
	c := p.idle[last]
	p.idle = p.idle[:last]
	p.mu.Unlock()
	if err := p.ready(c); err != nil {
		p.done(c)
		return nil, err
	}
	return c, nil
}

// done gives a reader back.
func (p *conns) done(c *sqlite.Conn) {
	atRestOnly(c)
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	p.places <- struct{}{}
}

// write calls f with the connection that writes. What it does is interrupted when ctx ends.
func (p *conns) write(ctx context.Context, f func(*sqlite.Conn) error) error {
	if p.writer == nil {
		return errors.New("it was opened to be read")
	}
	select {
	case <-p.closed:
		return errClosed
	default:
	}
	select {
	case c := <-p.writer:
		defer func() { p.writer <- c }()
		if err := p.ready(c); err != nil {
			return err
		}
		if ctx.Done() != nil {
			c.SetInterrupt(ctx.Done())
			defer c.SetInterrupt(nil)
		}
		defer atRestOnly(c)
		return f(c)
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closed:
		return errClosed
	}
}

// ready prepares a connection that is used for the first time.
func (p *conns) ready(c *sqlite.Conn) error {
	p.mu.Lock()
	ready := p.prepared[c]
	p.mu.Unlock()
	if ready {
		return nil
	}
	if err := p.prepare(c); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepared[c] = true
	return nil
}

// atRestOnly panics if a statement was left in the middle: it would hold the pages that it reads for ever.
func atRestOnly(c *sqlite.Conn) {
	if q := c.CheckReset(); q != "" {
		panic(fmt.Sprintf("a statement was not read to its end: %s", q))
	}
}

// close waits for what is under way, and ends all use.
func (p *conns) close() error {
	close(p.closed)
	for range cap(p.places) {
		<-p.places
	}
	err := p.closeIdle()
	if p.writer != nil {
		err = errors.Join(err, (<-p.writer).Close())
	}
	return err
}

func (p *conns) closeIdle() (err error) {
	for _, c := range p.idle {
		err = errors.Join(err, c.Close())
	}
	return err
}
