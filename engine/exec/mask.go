package exec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maskLine is from which length on a line of a secret with several lines is masked by itself, as of a key that somebody prints indented.
const maskLine = 8

// masks replaces texts by what may be shown in their place.
type masks []mask

type mask struct{ secret, shown []byte }

// masks lists what must not be seen of a job's secrets, longer ones first, for a secret may begin with another.
func (j *Job) masks() (out masks) {
	if j.Secret == nil {
		return nil
	}
	for _, s := range j.Target.Secrets {
		value, ok := j.Secret(s.Name)
		if !ok || value == "" {
			continue
		}
		shown := []byte("[secret " + s.Name + "]")
		out = append(out, mask{[]byte(value), shown})
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= maskLine && line != value {
				out = append(out, mask{[]byte(line), shown})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b mask) int { return cmp.Compare(len(b.secret), len(a.secret)) })
	return out
}

// copy writes what it reads with secrets masked, also those that lie across the pieces in which it reads.
func (m masks) copy(to io.Writer, from io.Reader) error {
	overlap := len(m[0].secret) - 1 // what may be the beginning of one
	buf := make([]byte, 0, max(1<<20, 4*overlap))
	for {
		n, err := io.ReadFull(from, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		safe := len(buf)
		if !last {
			safe -= overlap
		}
		done, err := m.write(to, buf, safe)
		if err != nil || last {
			return err
		}
		buf = buf[:copy(buf, buf[done:])]
	}
}

// write writes all that begins in the first safe bytes, and says how many bytes that were.
func (m masks) write(to io.Writer, b []byte, safe int) (at int, err error) {
	next := make([]int, len(m)) // where each secret comes next
	for at < safe {
		first := -1
		for k := range m {
			if next[k] >= 0 && (next[k] < at || at == 0) {
				if next[k] = bytes.Index(b[at:], m[k].secret); next[k] >= 0 {
					next[k] += at
				}
			}
			if next[k] >= 0 && (first < 0 || next[k] < next[first]) {
				first = k
			}
		}
		if first < 0 || next[first] >= safe {
			_, err = to.Write(b[at:safe])
			return safe, err
		}
		if _, err = to.Write(b[at:next[first]]); err == nil {
			_, err = to.Write(m[first].shown)
		}
		if err != nil {
			return at, err
		}
		at = next[first] + len(m[first].secret)
	}
	return at, nil
}

// maskedError is an error whose text held a secret.
type maskedError struct {
	error
	text string
}

func (e *maskedError) Error() string { return e.text }
func (e *maskedError) Unwrap() error { return e.error }

// masked is an error as it may be shown and recorded: a job may name its files by a secret.
func (j *Job) masked(err error) error {
	m := j.masks()
	if err == nil || m == nil {
		return err
	}
	var b strings.Builder
	_ = m.copy(&b, strings.NewReader(err.Error())) // can't fail
	if b.String() == err.Error() {
		return err
	}
	return &maskedError{err, b.String()}
}

// maxLog is how much is kept of a log: its beginning and its end.
const maxLog = 64 << 20

// tidyLog masks secrets in a job's log and shortens it, and returns the file that is to be kept. What lies at the log's path is not asked: the job may have put something
// else there.
func (j *Job) tidyLog(log *os.File) (string, error) {
	m := j.masks()
	written, err := log.Stat()
	if err != nil {
		return "", err
	}
	if named, err := os.Lstat(log.Name()); m == nil && err == nil && os.SameFile(written, named) {
		return log.Name(), shorten(log, written.Size(), maxLog)
	}
	tidy, err := os.CreateTemp(j.Dir, "log-")
	if err != nil {
		return "", err
	}
	defer tidy.Close()
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if m == nil {
		_, err = io.Copy(tidy, log)
	} else {
		err = m.copy(tidy, log)
	}
	if err != nil {
		return "", err
	}
	size, err := tidy.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	return tidy.Name(), shorten(tidy, size, maxLog)
}

// shorten takes out the middle of a file that is longer than most.
func shorten(f *os.File, size, most int64) error {
	half := most / 2
	note := fmt.Appendf(nil, "\n[dpb: %d bytes were left out here]\n", size-2*half)
	if size <= most+int64(len(note)) {
		return nil
	}
	if _, err := f.WriteAt(note, half); err != nil {
		return err
	}
	to := half + int64(len(note))
	if _, err := io.Copy(io.NewOffsetWriter(f, to), io.NewSectionReader(f, size-half, half)); err != nil {
		return err
	}
	return f.Truncate(to + half)
}
