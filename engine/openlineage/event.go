// Package openlineage tells what jobs do as events of OpenLineage, and delivers them without a build waiting for who hears them.
package openlineage

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/zeebo/blake3"
)

// Types of events: a run has one START, and then one of the others.
const (
	Start    = "START"
	Complete = "COMPLETE"
	Fail     = "FAIL"
	Abort    = "ABORT"
)

// spec is where OpenLineage publishes its schemas, which the events of this package follow: versions as of August 2026.
const spec = "https://openlineage.io/spec/"

// Event is a RunEvent: a run of a job started, or ended.
type Event struct {
	Time     time.Time
	Type     string
	Producer string // URI of the program that tells it
	Run      Run
	Job      Job
	Inputs   []Dataset
	Outputs  []Dataset
}

// Run is one run of a job.
type Run struct {
	ID     string `json:"runId"` // a UUID, see RunID
	Facets Facets `json:"facets,omitempty"`
}

// Job is what runs, by a name that stays the same.
type Job struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Facets    Facets `json:"facets,omitempty"`
}

// Dataset is what a run reads or writes. Facets say what it is, InputFacets and OutputFacets what it was for this run.
type Dataset struct {
	Namespace    string `json:"namespace"`
	Name         string `json:"name"`
	Facets       Facets `json:"facets,omitempty"`
	InputFacets  Facets `json:"inputFacets,omitempty"`
	OutputFacets Facets `json:"outputFacets,omitempty"`
}

// Encode writes the event as one line of JSON, with its end.
func (e *Event) Encode() ([]byte, error) {
	for _, facets := range e.facets() {
		facets.sign(e.Producer)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Time     string    `json:"eventTime"`
		Producer string    `json:"producer"`
		Schema   string    `json:"schemaURL"`
		Type     string    `json:"eventType"`
		Run      Run       `json:"run"`
		Job      Job       `json:"job"`
		Inputs   []Dataset `json:"inputs,omitempty"`
		Outputs  []Dataset `json:"outputs,omitempty"`
	}{Time(e.Time), e.Producer, spec + "2-0-2/OpenLineage.json#/$defs/RunEvent", e.Type, e.Run, e.Job, e.Inputs, e.Outputs})
	return b.Bytes(), err
}

func (e *Event) facets() []Facets {
	out := []Facets{e.Run.Facets, e.Job.Facets}
	for _, list := range [][]Dataset{e.Inputs, e.Outputs} {
		for _, d := range list {
			out = append(out, d.Facets, d.InputFacets, d.OutputFacets)
		}
	}
	return out
}

// Time writes an instant as events do: RFC 3339 in UTC.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }

// RunID is a UUID of version 7 (RFC 9562), as OpenLineage recommends: its first bits are the instant, so that ids sort by time. The others are a hash of the seeds, so that
// the same run has the same id in all its events without anybody keeping it.
func RunID(at time.Time, seeds ...string) string {
	h := blake3.NewDeriveKey("dpb openlineage run v1")
	for _, s := range seeds {
		_, _ = h.WriteString(s + "\x00") // a hash takes all
	}
	var id uuid.UUID
	copy(id[:], h.Sum(nil))
	ms := uint64(at.UnixMilli())
	for k := range 6 {
		id[k] = byte(ms >> (40 - 8*k))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id.String()
}
