package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/dpb-build/dpb/engine"
)

// secretive is a job with secrets, given as NAME=VALUE.
func secretive(t *testing.T, secrets ...string) *Job {
	values := map[string]string{}
	j := &Job{Target: &engine.Target{}, Dir: t.TempDir(), Secret: func(name string) (string, bool) { v, ok := values[name]; return v, ok }}
	for _, s := range secrets {
		name, value, _ := strings.Cut(s, "=")
		values[name] = value
		j.Target.Secrets = append(j.Target.Secrets, engine.Secret{Name: name})
	}
	return j
}

func TestMasks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		secrets    []string
		text, want string
	}{
		{[]string{"A=secret"}, "a secret, secretsecret", "a [secret A], [secret A][secret A]"},
		{[]string{"A=abc", "B=abcdef"}, "abcdef abc abcde", "[secret B] [secret A] [secret A]de"},
		{[]string{"A=aa"}, "aaa", "[secret A]a"},
		{[]string{"A="}, "nothing to mask", "nothing to mask"},
		{[]string{"A=x"}, "one character: x", "one character: [secret A]"},
		{[]string{"A=\xff\x00"}, "bytes \xff\x00!", "bytes [secret A]!"},
		{[]string{"KEY=-----BEGIN KEY-----\nMIIBVQIBADANBg\nabc\n"}, "  -----BEGIN KEY-----\n  MIIBVQIBADANBg\n  abc", "  [secret KEY]\n  [secret KEY]\n  abc"},
		{[]string{"KEY=first line\nsecond line"}, "first line\nsecond line", "[secret KEY]"},
	} {
		j := secretive(t, c.secrets...)
		m := j.masks()
		if m == nil {
			if c.text != c.want {
				t.Errorf("%q: nothing is masked", c.secrets)
			}
			continue
		}
		var b strings.Builder
		if err := m.copy(&b, iotest.OneByteReader(strings.NewReader(c.text))); err != nil || b.String() != c.want {
			t.Errorf("%q in %q: got %q, %v; want %q", c.secrets, c.text, b.String(), err, c.want)
		}
		if err := j.masked(errors.New(c.text)); err.Error() != c.want {
			t.Errorf("as an error: %q; want %q", err, c.want)
		}
	}
}

// TestMasksAcrossPieces: a secret is masked wherever it lies in a log that is longer than what is read at once.
func TestMasksAcrossPieces(t *testing.T) {
	t.Parallel()
	m := secretive(t, "A=0123456789", "B=zz").masks()
	const piece = 1 << 20
	for at := piece - 12; at <= piece+2; at++ {
		text := strings.Repeat("-", at) + "0123456789" + strings.Repeat("-", piece) + "0123456789zz0123456789"
		want := strings.Repeat("-", at) + "[secret A]" + strings.Repeat("-", piece) + "[secret A][secret B][secret A]"
		var b strings.Builder
		if err := m.copy(&b, strings.NewReader(text)); err != nil || b.String() != want {
			t.Fatalf("a secret at %d was not masked, %v", at, err)
		}
	}
}

func TestMaskedErrorStaysWhatItIs(t *testing.T) {
	t.Parallel()
	err := secretive(t, "A=token").masked(&fs.PathError{Op: "open", Path: "/x/token", Err: fs.ErrNotExist})
	if err.Error() != "open /x/[secret A]: file does not exist" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestLogOfAnotherName: what a job put in the place of its log is not read.
func TestLogOfAnotherName(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{nil, {"A=token"}} {
		j := secretive(t, secrets...)
		log, err := os.OpenFile(filepath.Join(j.Dir, "log"), os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		other := filepath.Join(t.TempDir(), "other")
		fmt.Fprint(log, "what it wrote")
		if err := errors.Join(os.WriteFile(other, []byte("a token of others"), 0o666), os.Remove(log.Name()), os.Symlink(other, log.Name())); err != nil {
			t.Fatal(err)
		}
		o := Outcome{Log: log.Name()}
		if err := o.readLog(j, log); err != nil || len(o.Tail) != 1 || o.Tail[0] != "what it wrote" {
			t.Errorf("got %q, %v", o.Tail, err)
		}
		if kept, err := os.ReadFile(o.Log); string(kept) != "what it wrote" {
			t.Errorf("kept %q, %v", kept, err)
		}
		if untouched, err := os.ReadFile(other); string(untouched) != "a token of others" {
			t.Errorf("the other file holds %q, %v", untouched, err)
		}
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]string{
		0: "", 100: "whole", 130: "whole", 140: "[dpb: 40 bytes were left out here]", 100_000: "[dpb: 99900 bytes were left out here]",
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		text := strings.Repeat("a", size/2) + strings.Repeat("z", size-size/2)
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := shorten(f, int64(size), 100); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f.Name())
		if want == "whole" || want == "" {
			want = text
		} else {
			want = strings.Repeat("a", 50) + "\n" + want + "\n" + strings.Repeat("z", 50)
		}
		if string(got) != want {
			t.Errorf("of %d bytes: %.200q, %v", size, got, err)
		}
	}
}
