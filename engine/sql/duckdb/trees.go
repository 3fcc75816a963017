//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"
)

// wanted is a syntax tree that somebody waits for.
type wanted struct {
	ctx  context.Context
	text string
	done bool
	tree []byte
	err  error
}

// waiting are those that nobody has asked the engine for yet.
type waiting struct {
	mu   sync.Mutex
	list []*wanted
}

func (w *waiting) add(x *wanted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, x)
}

func (w *waiting) take() (all []*wanted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, w.list = w.list, nil
	return all
}

// tree is a statement's syntax tree, as JSON. Who comes first asks for all that came meanwhile: a query takes six times as long as what it asks for.
func (p *plan) tree(ctx context.Context, text string) ([]byte, error) {
	if !utf8.ValidString(text) { // which the driver can't put in a list
		return nil, errors.New("the statement is not UTF-8")
	}
	x := &wanted{ctx: ctx, text: text}
	p.waiting.add(x)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !x.done {
		p.answer(p.waiting.take())
	}
	return x.tree, x.err
}

// answer asks for trees together and, if that fails, for each alone, as one text may be at fault.
func (p *plan) answer(all []*wanted) {
	if p.ask == nil && len(all) > 1 && p.serializeAll(all) == nil {
		return
	}
	for _, x := range all {
		if x.done = true; p.ask != nil {
			x.tree, x.err = p.ask(x.text)
		} else if err := p.serializeAll([]*wanted{x}); err != nil {
			x.err = p.session.failure(x.ctx, err)
		}
	}
}

// serializeAll asks the engine for the trees of some texts, if it answers for all of them.
func (p *plan) serializeAll(all []*wanted) (err error) {
	ctx := context.WithoutCancel(all[0].ctx)
	if p.serialize == nil {
		const query = "SELECT CAST(json_serialize_sql(text) AS VARCHAR) FROM (SELECT unnest(l) AS text, generate_subscripts(l, 1) AS k FROM (SELECT CAST(? AS VARCHAR[]) AS l)) ORDER BY k"
		if p.serialize, err = p.session.conn.PrepareContext(ctx, query); err != nil {
			return err
		}
	}
	texts := make([]any, len(all))
	for k, x := range all {
		texts[k] = x.text
	}
	rows, err := p.serialize.QueryContext(ctx, texts)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for ; n < len(all) && rows.Next(); n++ {
		if err := rows.Scan(&all[n].tree); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil || n < len(all) {
		return fmt.Errorf("%d trees of %d: %w", n, len(all), err)
	}
	for _, x := range all {
		x.done = true
	}
	return nil
}
