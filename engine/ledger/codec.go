package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/dpb-build/dpb/engine"
)

// encode writes a record as JSON, in the same bytes that it is written in again once it was read.
func encode[T any](v T) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil || !bytes.Contains(b, []byte(`\ufffd`)) {
		return b, err
	}
	// A text is no valid UTF-8. What stands for its bad bytes is a character like others from now on.
	if v, err = decode[T](b); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// decode reads a record. Fields may be missing, as in records of before they were thought of, but each must be known.
func decode[T any](b []byte) (v T, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err = d.Decode(&v); err != nil {
		return v, fmt.Errorf("damaged record: %w", err)
	}
	if _, err = d.Token(); err != io.EOF {
		return v, errors.New("damaged record: there is more behind it")
	}
	return v, nil
}

var errOutputs = errors.New("damaged record of outputs")

// encodeOutputs writes names, trees and columns in a form that is fast to read: a build reads that of each pointer.
func encodeOutputs(outputs []engine.OutputResult) (b []byte) {
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(len(outputs)))
	for _, o := range outputs {
		text(o.Name)
		b = append(b, o.Tree[:]...)
		b = binary.AppendUvarint(b, uint64(len(o.Columns)))
		for _, c := range o.Columns {
			text(c.Name)
			text(c.Type)
			notNull := byte(0)
			if c.NotNull {
				notNull = 1
			}
			b = append(b, notNull)
		}
	}
	return b
}

// outputDecoder reads what encodeOutputs wrote, sharing names and schemas that repeat.
type outputDecoder struct {
	b       []byte
	err     error
	names   map[string]string
	columns map[string][]engine.Column
}

func (d *outputDecoder) decode(b []byte) ([]engine.OutputResult, error) {
	if d.names == nil {
		d.names, d.columns = map[string]string{}, map[string][]engine.Column{}
	}
	d.b, d.err = b, nil
	n := d.number()
	if n > len(b) {
		return nil, errOutputs
	}
	out := make([]engine.OutputResult, n)
	for k := range out {
		o := &out[k]
		o.Name, o.Rows = d.text(), -1
		if len(d.b) < len(o.Tree) {
			return nil, errOutputs
		}
		d.b = d.b[copy(o.Tree[:], d.b):]
		o.Columns = d.schema()
	}
	if len(d.b) > 0 || d.err != nil {
		return nil, errOutputs
	}
	return out, nil
}

// schema reads columns, of which most outputs have none or those of the output before.
func (d *outputDecoder) schema() []engine.Column {
	start := d.b
	n := d.number()
	if n == 0 || n > len(d.b) {
		if n > 0 {
			d.err = errOutputs
		}
		return nil
	}
	columns := make([]engine.Column, n)
	for k := range columns {
		c := &columns[k]
		c.Name, c.Type = d.text(), d.text()
		if len(d.b) == 0 || d.b[0] > 1 {
			d.err = errOutputs
			return nil
		}
		c.NotNull, d.b = d.b[0] == 1, d.b[1:]
	}
	key := string(start[:len(start)-len(d.b)])
	if known, ok := d.columns[key]; ok {
		return known
	}
	d.columns[key] = columns
	return columns
}

func (d *outputDecoder) number() int {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > 1<<30 || w > 1 && d.b[w-1] == 0 {
		d.err, d.b = errOutputs, nil
		return 0
	}
	d.b = d.b[w:]
	return int(n)
}

func (d *outputDecoder) text() string {
	n := d.number()
	if n > len(d.b) {
		d.err, d.b = errOutputs, nil
		return ""
	}
	s, ok := d.names[string(d.b[:n])]
	if !ok {
		s = string(d.b[:n])
		d.names[s] = s
	}
	d.b = d.b[n:]
	return s
}
