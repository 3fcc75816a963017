package hcl

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/dpb-build/dpb/engine"
)

var (
	durationForm = regexp.MustCompile(`^(\d{1,9}[smhdw])+$`)
	durationPart = regexp.MustCompile(`(\d+)([smhdw])`)
	sizeForm     = regexp.MustCompile(`^(\d{1,15}(?:\.\d{1,3})?) ?(B|[KMGT]B|[KMGT]iB)$`)
	shareForm    = regexp.MustCompile(`^(\d{1,3}(?:\.\d{1,9})?) ?%$`)
)

var durationUnits = map[string]time.Duration{
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// duration reads 30m, 12h, 7d, 1h30m; 0 if the attribute is absent or wrong.
func (b *block) duration(name string) time.Duration {
	s, ok := b.textAttr(name)
	if !ok {
		return 0
	}
	d, ok := parseDuration(s)
	if !ok {
		b.report(b.attr(name).Range(), `write "30m", "12h" or "7d"`, "%q is no duration", s)
	}
	return d
}

func parseDuration(s string) (time.Duration, bool) {
	if !durationForm.MatchString(s) {
		return 0, false
	}
	var sum float64
	for _, part := range durationPart.FindAllStringSubmatch(s, -1) {
		n, _ := strconv.ParseInt(part[1], 10, 64)
		sum += float64(n) * float64(durationUnits[part[2]])
	}
	if sum == 0 || sum >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(sum), true
}

var sizeUnits = map[string]float64{
	"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// size reads "256 MB", "2GiB" or a number of bytes; absent if the attribute is not there or wrong.
func (b *block) size(name string, absent int64) int64 {
	e := b.attr(name)
	if e == nil {
		return absent
	}
	v, ok := b.value(e, name)
	if !ok {
		return absent
	}
	switch v.Type() {
	case cty.Number:
		if n, ok := b.integer(e, name, 1, math.MaxInt64); ok {
			return n
		}
	case cty.String:
		if m := sizeForm.FindStringSubmatch(v.AsString()); m != nil {
			n, _ := strconv.ParseFloat(m[1], 64)
			if n *= sizeUnits[m[2]]; n >= 1 && n < math.MaxInt64 {
				return int64(n)
			}
		}
		b.report(e.Range(), `write "256MB" or "2GB"`, "%q is no size", v.AsString())
	default:
		b.mismatch(e, name, "a size", v)
	}
	return absent
}

// limit reads how many rows may be rejected: a number, or a share such as "0.1%".
func (b *block) limit(r *engine.Reject) {
	e := b.attr("limit")
	if e == nil {
		return
	}
	v, ok := b.value(e, "limit")
	if !ok {
		return
	}
	switch v.Type() {
	case cty.Number:
		b.limitRows(r, e, v.AsBigFloat())
	case cty.String:
		m := shareForm.FindStringSubmatch(v.AsString())
		if m == nil {
			b.report(e.Range(), `write a number of rows, or a share such as "0.1%"`, "%q is no limit", v.AsString())
			return
		}
		share, _ := strconv.ParseFloat(m[1]+"e-2", 64) // a division would round once more: 7 of 1000 rows are 0.7%
		if share > 1 {
			b.report(e.Range(), "", "a limit can't be more than 100%%")
		}
		r.IsShare, r.LimitShare = true, share
	default:
		b.mismatch(e, "limit", `a number of rows or a share such as "0.1%"`, v)
	}
}

func (b *block) limitRows(r *engine.Reject, e hclsyntax.Expression, n *big.Float) {
	rows, exact := n.Int64()
	switch {
	case exact != big.Exact && n.Sign() > 0 && n.Cmp(big.NewFloat(1)) < 0:
		share, _ := n.Float64()
		b.report(e.Range(), fmt.Sprintf("for a share write %q", formatPercent(share)), "limit is a whole number of rows, or a share in percent")
	case exact != big.Exact:
		b.report(e.Range(), `for a share write "0.1%"`, "limit is a whole number of rows, or a share in percent")
	case rows < 0:
		b.report(e.Range(), "", "limit must be at least 0")
	default:
		r.LimitRows = rows
	}
}

func formatPercent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e9)/1e7, 'f', -1, 64) + "%"
}

// due reads when a partition is promised.
func (b *block) due(t *engine.Target) engine.Due {
	s, ok := b.textAttr("due")
	if !ok {
		return engine.Due{}
	}
	at := b.attr("due").Range()
	d, ok := engine.ParseDue(s)
	switch {
	case !ok:
		b.report(at, `write "06:00", "+6h" or "+1d 09:00": a time of day, so long after the partition's end, or both`, "%q is no promise on time", s)
		return engine.Due{}
	case b.timeOf(t.PartitionBy) == nil && !b.loose:
		b.report(at, "promise it of a target with a partition of time in partition_by, such as what this one reads", "due counts from the end of a partition of time, and there is none")
		return engine.Due{}
	}
	d.Range = place(at)
	return d
}

// freeze reads when a partition is no longer rebuilt.
func (b *block) freeze(t *engine.Target) engine.Freeze {
	s, ok := b.textAttr("freeze")
	if !ok {
		return engine.Freeze{}
	}
	at := b.attr("freeze").Range()
	f, ok := engine.ParseFreeze(s)
	switch {
	case !ok:
		b.report(at, `write "built", or "+5d": so long after the partition's end`, "freeze can't be %q", s)
	case f.NeedsTime() && b.timeOf(t.PartitionBy) == nil && !b.loose:
		b.report(at, `write freeze = "built", or add a partition of time to partition_by`, "freeze = %q counts from the end of a partition of time, and there is none", s)
	}
	return f
}
