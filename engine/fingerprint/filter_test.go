package fingerprint

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/dpb-build/dpb/engine"
)

type memory struct{ bytes.Buffer }

func (*memory) Close() error { return nil }

// filtered runs Filter over the files and returns their copies and what was bad.
func filtered(t *testing.T, table Table, drop func(int, int64) bool) (copies []string, counts []Counts, bad []Unreadable) {
	t.Helper()
	files := make([]memory, len(table.Files))
	counts, err := Filter(t.Context(), table, drop, func(u Unreadable) error {
		bad = append(bad, u)
		return nil
	}, func(k int) (io.WriteCloser, error) { return &files[k], nil })
	if err != nil {
		t.Fatal(err)
	}
	for k := range files {
		copies = append(copies, files[k].String())
	}
	return copies, counts, bad
}

// TestFilter holds what is kept, what is dropped, and what is called unreadable.
func TestFilter(t *testing.T) {
	csv := Table{Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "BIGINT", NotNull: true}, {Name: "day", Type: "DATE"}}}
	csv.Files = []File{writeFile(t, "\ufeffid,name,day\r\n1,\"a\r\nb\",2017-06-05\r\n\r\n2,b,2017-06-06\r\nx,c,2017-06-06\r\n3,c\r\n,d,2017-06-06\r\n4,\"d\"d,2017-06-06\r\n5,\xff,2017-06-06\r\n6,e,2017-13-01\r\n7,f,")}
	copies, counts, bad := filtered(t, csv, func(_ int, record int64) bool { return record == 1 })
	if want := "\ufeffid,name,day\r\n1,\"a\r\nb\",2017-06-05\r\n\r\n7,f,"; copies[0] != want || counts[0] != (Counts{2, 1, 6}) {
		t.Errorf("the copy is %q, %+v\nwant        %q", copies[0], counts[0], want)
	}
	var got strings.Builder
	for _, u := range bad {
		fmt.Fprintf(&got, "%s:%d %q %s\n", u.Name, u.Line, u.Text, u.Why)
	}
	if want := `raw/x:6 "x,c,2017-06-06\r\n" id is "x", which is no BIGINT
raw/x:7 "3,c\r\n" it has 2 values and the header 3 columns
raw/x:8 ",d,2017-06-06\r\n" id is NOT NULL and has no value
raw/x:9 "4,\"d\"d,2017-06-06\r\n" text follows a value in quotes, or its quotes are not closed
raw/x:10 "5,\xff,2017-06-06\r\n" is no valid UTF-8
raw/x:11 "6,e,2017-13-01\r\n" day is "2017-13-01", which is no DATE
`; got.String() != want {
		t.Errorf("unreadable are\n%swant\n%s", got.String(), want)
	}
	_, _, err := Compute(t.Context(), csv, 2)
	if unreadable := new(UnreadableError); !errors.As(err, &unreadable) || err.Error() != `raw/x:6: id is "x", which is no BIGINT` {
		t.Errorf("Compute says %v", err)
	}
	json := Table{Format: engine.NDJSON, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}, Files: []File{writeFile(t, "{\"id\":1}\n\n{\"id\":1.5}\n{\"id\":2\n[3]\nnull\n{\"id\":4}")}}
	copies, counts, bad = filtered(t, json, nil)
	if copies[0] != "{\"id\":1}\n\nnull\n{\"id\":4}" || counts[0] != (Counts{3, 0, 3}) || bad[0].Line != 3 || bad[1].Line != 4 || bad[2].Line != 5 {
		t.Errorf("the copy is %q, %+v, %+v", copies[0], counts[0], bad)
	}
}

// TestFilterStops holds that without bad the first unreadable record is an error, and that errors of the caller's are handed on.
func TestFilterStops(t *testing.T) {
	table := Table{Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}, Files: []File{writeFile(t, "id\n1\nx\n")}}
	open := func(int) (io.WriteCloser, error) { return &memory{}, nil }
	if _, err := Filter(t.Context(), table, nil, nil, open); err == nil || err.Error() != `raw/x:3: id is "x", which is no BIGINT` {
		t.Errorf("without bad: %v", err)
	}
	enough := errors.New("enough")
	if _, err := Filter(t.Context(), table, nil, func(Unreadable) error { return enough }, open); !errors.Is(err, enough) {
		t.Errorf("an error of bad: %v", err)
	}
	if _, err := Filter(t.Context(), table, nil, nil, func(int) (io.WriteCloser, error) { return nil, enough }); !errors.Is(err, enough) {
		t.Errorf("an error of out: %v", err)
	}
}

// TestFilterRows holds that the readable records are the rows that Compute counts, in compressed files of several chunks too.
func TestFilterRows(t *testing.T) {
	t.Parallel()
	rows := randomTable(rand.New(rand.NewPCG(6, 6)), 5000)
	for _, format := range []engine.Format{engine.CSV, engine.NDJSON} {
		text := textOf(format, rows)
		for _, compression := range []string{"", "gzip", "zstd"} {
			table := Table{Format: format, Compression: compression, Columns: declared(), Files: []File{writeFile(t, compressed(t, text, compression))}}
			whole, _ := mustCompute(t, table, 2)
			if copies, counts, _ := filtered(t, table, nil); expanded(t, copies[0], compression) != text || counts[0].Kept != whole.Rows {
				t.Errorf("%s %s: nothing is dropped, and the copy differs", format, compression)
			}
			odd := func(_ int, record int64) bool { return record%2 == 1 }
			copies, counts, _ := filtered(t, table, odd)
			again, _, _ := filtered(t, table, odd)
			if copies[0] != again[0] {
				t.Errorf("%s %s: two copies differ", format, compression)
			}
			var even [][]string
			for k := 0; k < len(rows); k += 2 {
				even = append(even, rows[k])
			}
			if want := textOf(format, even); expanded(t, copies[0], compression) != want || counts[0].Kept != int64(len(even)) {
				t.Errorf("%s %s: every other row is dropped, and the copy differs", format, compression)
			}
		}
	}
}

func compressed(t *testing.T, text, compression string) string {
	t.Helper()
	var b bytes.Buffer
	w, finish, err := compressor(&b, compression)
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString(text)
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func expanded(t *testing.T, text, compression string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(text)
	var err error
	switch compression {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBrokenOff holds that a compressed text that ends too early is an error and no shorter table.
func TestBrokenOff(t *testing.T) {
	text := compressed(t, strings.Repeat("{}\n", 100_000), "gzip")
	for _, n := range []int{5, len(text) / 2, len(text) - 1} {
		table := Table{Format: engine.NDJSON, Compression: "gzip", Files: []File{writeFile(t, text[:n])}}
		if _, _, err := Compute(t.Context(), table, 1); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(text))
		}
	}
}

// FuzzState holds that the decoder accepts what encode writes, and that what it accepts has a document and merges.
func FuzzState(f *testing.F) {
	for _, n := range []int{0, 3, 200} {
		_, s := mustCompute(f, writeRows(f, engine.NDJSON, randomTable(rand.New(rand.NewPCG(7, 7)), n)), 1)
		f.Add([]byte(s))
	}
	var many strings.Builder
	for k := range limit + 2 {
		fmt.Fprintf(&many, "{\"n\":%d,\"t\":\"2017-06-05 %02d:%02d:00.%d\"}\n", k*k, k%24, k%60, k)
	}
	_, s := mustCompute(f, Table{Format: engine.NDJSON, Columns: []engine.Column{{Name: "n", Type: "BIGINT"}, {Name: "t", Type: "TIMESTAMP"}}, Files: []File{writeFile(f, many.String())}}, 1)
	f.Add([]byte(s))
	_, s = Opaque(1, 2)
	f.Add([]byte(s))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, state, err := Merge(b)
		if err != nil {
			return
		}
		if string(state) != string(b) {
			t.Error("merged alone it differs")
		}
		if _, state, err = Merge(b, b); err != nil {
			return // sums that no table has
		}
		if _, _, err := Merge(state); err != nil {
			t.Errorf("what was merged can't be read: %v", err)
		}
	})
}

// fuzzText holds that text is read or refused without a panic, alike for each number of threads and cut into chunks or not, and that Filter keeps what Compute reads.
func fuzzText(t *testing.T, format engine.Format, text string, columns []engine.Column) {
	table := Table{Format: format, Columns: columns, Files: []File{writeFile(t, text)}}
	one, _, err := Compute(t.Context(), table, 1)
	if _, planErr := planText(table); planErr != nil {
		return
	}
	copies, counts, bad := filtered(t, table, nil)
	if (err == nil) != (len(bad) == 0) || err == nil && (copies[0] != text || counts[0].Kept != one.Rows) {
		t.Fatalf("%q: Compute says %v, and Filter %+v of %q, %+v", text, err, bad, copies[0], counts)
	}
	table.Files = []File{writeFile(t, copies[0])}
	kept, _, err := Compute(t.Context(), table, 2)
	if err != nil || kept.Rows != counts[0].Kept {
		t.Fatalf("%q: what Filter keeps, %q, has %+v rows: %v", text, copies[0], kept, err)
	}
}

func FuzzCSV(f *testing.F) {
	for _, c := range csvTexts {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fuzzText(t, engine.CSV, text, nil)
		fuzzText(t, engine.CSV, "a,b\n"+text, []engine.Column{{Name: "a", Type: "BIGINT"}, {Name: "b", Type: "TIMESTAMP"}})
	})
}

func FuzzNDJSON(f *testing.F) {
	for k, c := range slices.Concat(jsonTexts, jsonValues) {
		f.Add(c, byte(k))
	}
	types := []string{"BIGINT", "VARCHAR", "DOUBLE", "JSON", "STRUCT(a INTEGER, b VARCHAR[])"}
	f.Fuzz(func(t *testing.T, text string, typ byte) {
		column := engine.Column{Name: "a", Type: types[int(typ)%len(types)]}
		fuzzText(t, engine.NDJSON, text, []engine.Column{column})
		fuzzText(t, engine.NDJSON, `{"a":`+text+"}\n", []engine.Column{column})
	})
}
