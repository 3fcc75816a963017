//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// eitherWay does something that reads tables, and does it again, with CSV read from one end to the other, if the engine could not read it otherwise.
func eitherWay[T any](do func(sequential bool) (T, error)) (T, error) {
	v, err := do(false)
	if notParallel(err) {
		return do(true)
	}
	return v, err
}

// reader opens a session that sees the job's inputs, may write the files given, and reaches nothing else.
func (j *job) reader(ctx context.Context, sequential bool, writes []string) (*session, error) {
	s, err := j.confined(ctx, sequential, writes)
	if err != nil {
		return nil, err
	}
	for i := range j.Inputs {
		if err = s.view(ctx, &j.Inputs[i]); err != nil {
			break
		}
	}
	if err == nil {
		err = s.lock(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// confined opens a session that can reach the files of the job's inputs and those that it may write.
func (j *job) confined(ctx context.Context, sequential bool, writes []string) (*session, error) {
	if err := os.MkdirAll(j.spill, 0o700); err != nil {
		return nil, err
	}
	var err error
	if j.Inputs, err = withoutMarks(j.Inputs, j.spill); err != nil {
		return nil, err
	}
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	s.sequential = sequential
	files := slices.Clone(writes)
	for _, t := range j.Inputs {
		for _, p := range t.Parts {
			files = append(files, p.Files...)
			for _, f := range p.Files {
				s.names[f] = describe(&t, p)
			}
		}
	}
	err = s.exec(ctx, fmt.Sprintf("SET threads=%d", j.threads()))
	if err == nil {
		err = s.limit(ctx, j.memory(), j.spill)
	}
	if err == nil {
		err = s.confine(ctx, files)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}
