package ledger

import (
	"fmt"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// Began is when an environment had a first version of a target, of whatever partition: made by one of its builds, or judged in it. Zero: it has none. A version of which
// it is not known what build made it counts as any environment's.
func (l *Ledger) Began(workspace, environment string, label engine.Label) (time.Time, error) {
	made, _, err := find[engine.Version](l, `SELECT v.body FROM version v JOIN target t ON t.id = v.target LEFT JOIN build b ON b.id = v.body ->> 'Build'
		WHERE t.workspace = ? AND t.label = ? AND (b.id IS NULL OR b.body ->> 'environment' = ?) ORDER BY v.sequence LIMIT 1`, workspace, label.String(), environment)
	if err != nil {
		return time.Time{}, fmt.Errorf("the first version of %s: %w", label, err)
	}
	judged, ok, err := find[engine.Judgement](l, `SELECT body FROM judgement WHERE id = (SELECT min(j.id) FROM version v JOIN target t ON t.id = v.target
		JOIN judgement j ON j.environment = (SELECT id FROM environment WHERE name = ?) AND j.subject = v.id WHERE t.workspace = ? AND t.label = ?)`, environment, workspace, label.String())
	if first := made.Created; err != nil || !ok || !first.IsZero() && first.Before(judged.Made) {
		return first, err
	}
	return judged.Made, nil
}

// MadeIn says whether a version was made by a build of an environment, or it is not known by which one.
func (l *Ledger) MadeIn(environment string, v engine.Version) (bool, error) {
	if v.Build == 0 {
		return true, nil
	}
	b, ok, err := l.Build(v.Build)
	return !ok || b.Environment == environment, err
}
