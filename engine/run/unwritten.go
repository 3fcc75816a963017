package run

import (
	"sync"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/fingerprint"
)

// unwritten holds what was found out in this build and is not in the ledger yet: consumers and verdicts go on before the commit. Each record takes what it wrote out
// again.
type unwritten struct {
	mu sync.Mutex
	m  map[any]any
}

// What is found by an id, by kind.
type (
	fingerprintKey cache.SectionDigest
	metricKey      cache.SectionDigest
	splitKey       cache.SectionDigest
	resultKey      cache.ActionKey
	versionKey     engine.VersionID
)

// measured is a fingerprint with the state that merges.
type measured struct {
	engine.Fingerprint
	state fingerprint.State
}

func (u *unwritten) add(key, value any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m == nil {
		u.m = map[any]any{}
	}
	u.m[key] = value
}

func (u *unwritten) remove(keys []any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, k := range keys {
		delete(u.m, k)
	}
}

// orLedger finds what is not written yet, or asks the ledger.
func orLedger[T any](u *unwritten, key any, ledger func() (T, bool, error)) (T, bool, error) {
	u.mu.Lock()
	v, ok := u.m[key]
	u.mu.Unlock()
	if ok {
		return v.(T), true, nil
	}
	return ledger()
}

func (s *Session) fingerprint(id cache.SectionDigest) (measured, bool, error) {
	return orLedger(&s.unwritten, fingerprintKey(id), func() (measured, bool, error) {
		f, ok, err := s.Ledger.Fingerprint(id)
		return measured{Fingerprint: f}, ok, err
	})
}

// state is what merges of a fingerprint that is known.
func (s *Session) state(id cache.SectionDigest, m measured) (fingerprint.State, error) {
	if m.state != nil {
		return m.state, nil
	}
	return s.Ledger.FingerprintState(id)
}

func (s *Session) metric(id cache.SectionDigest) (*float64, bool, error) {
	return orLedger(&s.unwritten, metricKey(id), func() (*float64, bool, error) { return s.Ledger.Metric(id) })
}

func (s *Session) split(id cache.SectionDigest) (engine.Split, bool, error) {
	return orLedger(&s.unwritten, splitKey(id), func() (engine.Split, bool, error) { return s.Ledger.Split(id) })
}

func (s *Session) result(key cache.ActionKey) (engine.Result, bool, error) {
	return orLedger(&s.unwritten, resultKey(key), func() (engine.Result, bool, error) { return s.Ledger.Result(key) })
}

func (s *Session) version(id engine.VersionID) (engine.Version, bool, error) {
	return orLedger(&s.unwritten, versionKey(id), func() (engine.Version, bool, error) { return s.Ledger.Version(id) })
}
