package ledger

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

var update = flag.Bool("update", false, "write the pinned formats anew; a change of them needs a new formatVersion")

func pinned(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was; a change needs a new formatVersion.\n got:\n%s\nwant:\n%s", file, got, want)
	}
}

// TestPinnedSchema holds the tables still: a ledger that was written yesterday must be understood today.
func TestPinnedSchema(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	var b strings.Builder
	for _, q := range []string{"PRAGMA application_id", "PRAGMA user_version", "PRAGMA journal_mode", "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"} {
		if strings.HasPrefix(q, "PRAGMA") {
			fmt.Fprintf(&b, "-- %s: ", strings.TrimPrefix(q, "PRAGMA "))
		}
		err := l.read(func(c *sqlite.Conn) error {
			return sqlitex.ExecuteTransient(c, q, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
				_, err := fmt.Fprintln(&b, s.ColumnText(0))
				return err
			}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pinned(t, "../../testdata/format/ledger.sql", b.String())
}

// TestPinnedRecords holds the records' own form still.
func TestPinnedRecords(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, x := range []struct {
		name   string
		record any
	}{
		{"result", sampleResult()}, {"run", sampleRun()}, {"run of a build", sampleRunOfBuild()}, {"build", sampleBuild()}, {"version", sampleVersion(1)}, {"split", sampleSplit()}, {"fingerprint", sampleFingerprint()},
		{"metric", number(0.42)}, {"null metric", (*float64)(nil)}, {"judgement", sampleJudgement()}, {"acceptance", sampleAcceptance()},
	} {
		body, err := encode(x.record)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", x.name, body)
	}
	fmt.Fprintf(&b, "outputs of a pointer %q\n", encodeOutputs(visible(sampleVersion(1))))
	pinned(t, "../../testdata/format/records.txt", b.String())
}

// TestDecodeRefuses: what can't be read whole is damage.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good, err := encode(sampleRun())
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string]string{
		"cut short":       string(good[:len(good)-1]),
		"more behind":     string(good) + "{}",
		"unknown field":   `{"Colour":1,` + string(good[1:]),
		"another type":    strings.Replace(string(good), `"ExitCode":3`, `"ExitCode":"3"`, 1),
		"not JSON at all": "x",
		"nothing":         "",
	} {
		if _, err := decode[engine.Run]([]byte(b)); err == nil || !strings.HasPrefix(err.Error(), "damaged record") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestDecodeOlder: a record of before a field was thought of is no damage.
func TestDecodeOlder(t *testing.T) {
	t.Parallel()
	b, err := encode(sampleRun())
	if err != nil {
		t.Fatal(err)
	}
	want := sampleRun()
	want.ExitCode = 0
	got, err := decode[engine.Run]([]byte(strings.Replace(string(b), `"ExitCode":3,`, "", 1)))
	same(t, "run", got, want, err)
}

// checkCanonical: what encode wrote is read, and written again with the same bytes.
func checkCanonical[T any](t *testing.T, v T) (b []byte) {
	t.Helper()
	b, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	read, err := decode[T](b)
	if err != nil {
		t.Fatalf("%q can't be read: %v", b, err)
	}
	if again, err := encode(read); err != nil || !bytes.Equal(again, b) {
		t.Errorf("%q is written again as %q, %v", b, again, err)
	}
	return b
}

// TestInvalidText: a job may say anything, also what is no UTF-8.
func TestInvalidText(t *testing.T) {
	t.Parallel()
	r := sampleRun()
	r.Failure = "caf\xe9 \ufffd \\ufffd"
	if b := checkCanonical(t, r); !strings.Contains(string(b), "\"caf\ufffd \ufffd \\\\ufffd\"") {
		t.Errorf("it is written %s", b)
	}
	v := sampleVersion(1)
	v.Provenance.User, v.Provenance.Host = "\xff", "\xc3"
	checkCanonical(t, v)
	split := sampleSplit()
	split.Samples["unscored"] = []string{"1,caf\xe9"}
	checkCanonical(t, split)
	f := sampleFingerprint()
	f.Columns[0].Top[0].Value = "caf\xe9"
	checkCanonical(t, f)
}

func FuzzEncodeText(f *testing.F) {
	for _, s := range []string{"", "exit code 3", "\xff\ufffd", "\\ufffd", "\u2028<\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := sampleRun()
		r.Failure = s
		checkCanonical(t, r)
	})
}

// fuzzRecord: what is accepted is written in a form that stays the same.
func fuzzRecord[T any](f *testing.F, sample T) {
	fuzzWritten(f, sample, func(T) bool { return true })
}

// fuzzWritten is fuzzRecord for records of which not all that are accepted can be written.
func fuzzWritten[T any](f *testing.F, sample T, canWrite func(T) bool) {
	for _, v := range []T{sample, *new(T)} {
		b, err := encode(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode[T](b)
		if err != nil || !canWrite(v) {
			return
		}
		checkCanonical(t, v)
	})
}

// haveStatus: a finding whose status is missing is not written again.
func haveStatus(findings []engine.Finding) bool {
	return !slices.ContainsFunc(findings, func(f engine.Finding) bool { return f.Status == 0 })
}

func FuzzDecodeResult(f *testing.F)  { fuzzRecord(f, sampleResult()) }
func FuzzDecodeRun(f *testing.F)     { fuzzRecord(f, sampleRun()) }
func FuzzDecodeVersion(f *testing.F) { fuzzRecord(f, sampleVersion(1)) }
func FuzzDecodeBuild(f *testing.F)   { fuzzRecord(f, sampleBuild()) }

func FuzzDecodeSplit(f *testing.F)       { fuzzRecord(f, sampleSplit()) }
func FuzzDecodeFingerprint(f *testing.F) { fuzzRecord(f, sampleFingerprint()) }
func FuzzDecodeMetric(f *testing.F)      { fuzzRecord(f, number(0.42)) }

func FuzzDecodeJudgement(f *testing.F) {
	fuzzWritten(f, sampleJudgement(), func(j engine.Judgement) bool { return haveStatus(j.Findings) })
}

func FuzzDecodeAcceptance(f *testing.F) {
	fuzzWritten(f, sampleAcceptance(), func(a engine.Acceptance) bool { return haveStatus(a.Findings) })
}

func sampleOutputs() [][]engine.OutputResult {
	return [][]engine.OutputResult{
		{},
		visible(sampleVersion(1)),
		{{Name: "a", Tree: cache.TreeDigest{1}, Rows: -1}, {Name: "b", Rows: -1, Columns: columns}, {Name: strings.Repeat("c", 200), Rows: -1, Columns: columns[:1]}, {Rows: -1}},
	}
}

func TestOutputsCodec(t *testing.T) {
	t.Parallel()
	d := outputDecoder{}
	for range 2 { // the second time with what the decoder remembers
		for _, outputs := range sampleOutputs() {
			b := encodeOutputs(outputs)
			got, err := d.decode(b)
			if err != nil || !reflect.DeepEqual(got, outputs) {
				t.Errorf("%v came back as %v, %v", outputs, got, err)
			}
			for k := range b {
				if got, err := d.decode(b[:k]); err == nil {
					t.Errorf("the first %d of %d bytes of %v were taken for %v", k, len(b), outputs, got)
				}
			}
			if _, err := d.decode(append(b, 0)); err == nil {
				t.Error("one byte more was taken")
			}
		}
	}
}

func FuzzDecodeOutputs(f *testing.F) {
	for _, outputs := range sampleOutputs() {
		f.Add(encodeOutputs(outputs))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := outputDecoder{}
		outputs, err := d.decode(b)
		if err != nil {
			return
		}
		if again := encodeOutputs(outputs); !bytes.Equal(again, b) {
			t.Errorf("%x was taken, and is written %x", b, again)
		}
	})
}
