package fingerprint

import (
	"math"
	"strings"
)

// parseTime reads a date or time. Offsets from UTC count only where the type has a zone, or nanoseconds: so does the SQL engine.
func (k kind) parseTime(t string) (int64, bool) {
	switch {
	case k.is == clock:
		return k.parseClock(t)
	case k.is == date:
		return parseDate(t)
	}
	if v, ok := special(t); ok {
		return int64(v) * timeInfinity, true
	}
	p := timeParser{text: t}
	days, nanos, ok := p.timestamp()
	if !ok {
		return 0, false
	}
	if k.zone || k.scale == 9 {
		nanos -= p.offset * 1e9
	}
	return k.instant(days, nanos)
}

// instant is a time of a type's precision: finer ones are rounded, microseconds cut.
func (k kind) instant(days, nanos int64) (int64, bool) {
	day := 86400 * pow10[min(k.scale, 6)]
	if k.scale == 9 {
		day *= 1000
		if days > math.MaxInt64/day || days < math.MinInt64/day {
			return 0, false
		}
		v := days*day + nanos
		return v, (v > days*day) == (nanos > 0) && v != timeInfinity
	}
	micros := floorDiv(nanos, 1000)
	const limit = math.MaxInt64 / 86400_000000
	if days > limit || days < -limit-1 {
		return 0, false
	}
	v := days*86400_000000 + micros
	if days > 0 && v < 0 || days < 0 && v > 0 || v == timeInfinity || v == math.MinInt64 {
		return 0, false
	}
	unit := pow10[6-k.scale]
	if half := unit / 2; v < 0 {
		v -= half
	} else {
		v += half
	}
	return v / unit, true
}

// special reads the names of days without a number: -1 and 1 are infinities.
func special(t string) (int, bool) {
	switch strings.ToLower(strings.TrimFunc(t, func(r rune) bool { return r < 128 && isSpace(byte(r)) })) {
	case "infinity", "inf":
		return 1, true
	case "-infinity", "-inf":
		return -1, true
	case "epoch":
		return 0, true
	}
	return 0, false
}

// parseDate reads a date that has no time with it, unless that is midnight.
func parseDate(t string) (int64, bool) {
	if v, ok := special(t); ok {
		return int64(v) * dateInfinity, true
	}
	p := timeParser{text: t}
	days, nanos, ok := p.timestamp()
	return days, ok && nanos == 0 && days > -dateInfinity && days < dateInfinity
}

func (k kind) parseClock(t string) (int64, bool) {
	p := timeParser{text: t}
	p.spaces()
	at := p.at
	if _, ok := p.date(); !ok {
		p.at = at
	} else if p.at == len(t) {
		return 0, true
	} else if !p.take(" T") {
		return 0, false
	}
	nanos, ok := p.clock()
	if !ok || !p.zone() {
		return 0, false
	}
	if k.zone {
		nanos = ((nanos-p.offset*1e9)%86400e9 + 86400e9) % 86400e9
	}
	return nanos / pow10[9-k.scale], true
}

// timeParser reads a text from left to right.
type timeParser struct {
	text   string
	at     int
	offset int64 // from UTC, seconds
}

func (p *timeParser) spaces() {
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
}

// take skips one of some characters.
func (p *timeParser) take(set string) bool {
	if p.at < len(p.text) && strings.IndexByte(set, p.text[p.at]) >= 0 {
		p.at++
		return true
	}
	return false
}

// digits reads a number of so many digits.
func (p *timeParser) digits(least, most int) (v int64, ok bool) {
	n := 0
	for ; n < most && p.at < len(p.text) && isDigit(p.text[p.at]); n++ {
		v = v*10 + int64(p.text[p.at]-'0')
		p.at++
	}
	return v, n >= least
}

// timestamp reads a date, a time and a zone; the last two may lack.
func (p *timeParser) timestamp() (days, nanos int64, ok bool) {
	p.spaces()
	days, ok = p.date()
	if !ok || p.at == len(p.text) {
		return days, 0, ok
	}
	if !p.take(" T") {
		return 0, 0, false
	}
	nanos, ok = p.clock()
	return days, nanos, ok && p.zone()
}

var monthDays = [...]int64{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

func (p *timeParser) date() (days int64, ok bool) {
	negative := p.take("-")
	year, ok := p.digits(1, 8)
	if !ok || p.at == len(p.text) {
		return 0, false
	}
	separator := p.text[p.at : p.at+1]
	if !p.take(`-/\ `) {
		return 0, false
	}
	month, ok := p.digits(1, 2)
	if !ok || month < 1 || month > 12 || !p.take(separator) {
		return 0, false
	}
	day, ok := p.digits(1, 2)
	if rest := p.text[p.at:]; len(rest) >= 5 && strings.EqualFold(rest[:5], " (bc)") {
		p.at += 5
		year = 1 - year
	}
	if negative {
		year = -year
	}
	leap := year%4 == 0 && (year%100 != 0 || year%400 == 0)
	if !ok || day < 1 || day > monthDays[month-1] && !(month == 2 && day == 29 && leap) || p.at < len(p.text) && isDigit(p.text[p.at]) {
		return 0, false
	}
	return daysOf(year, month, day), true
}

// clock reads a time of day in nanoseconds. It may end in a colon.
func (p *timeParser) clock() (nanos int64, ok bool) {
	p.spaces()
	hour, ok := p.digits(1, 2)
	if !ok || !p.take(":") {
		return 0, false
	}
	minute, ok := p.digits(1, 2)
	if !ok || minute > 59 {
		return 0, false
	}
	second, fraction := int64(0), int64(0)
	if p.at < len(p.text) {
		if !p.take(":") {
			return 0, false
		}
		if second, ok = p.digits(1, 2); !ok && p.at < len(p.text) || second > 59 {
			return 0, false
		}
		if p.take(".") {
			from := p.at
			fraction, _ = p.digits(0, 9)
			fraction *= pow10[9-(p.at-from)]
			for p.at < len(p.text) && isDigit(p.text[p.at]) {
				p.at++
			}
		}
	}
	nanos = (hour*3600+minute*60+second)*1e9 + fraction
	return nanos, nanos <= 86400e9
}

// zone reads what may follow a time: Z, UTC after a space, or an offset, and then spaces.
func (p *timeParser) zone() bool {
	switch {
	case p.take("Z"):
	case p.at < len(p.text) && (p.text[p.at] == '+' || p.text[p.at] == '-'):
		if !p.readOffset() {
			return false
		}
	case len(p.text)-p.at >= 4 && strings.EqualFold(p.text[p.at:p.at+4], " utc"):
		p.at += 4
	}
	p.spaces()
	return p.at == len(p.text)
}

// readOffset reads +02, +0230, +02:30 and +02:30:15.
func (p *timeParser) readOffset() bool {
	negative := p.take("-")
	if !negative {
		p.take("+")
	}
	hours, ok := p.digits(2, 2)
	if !ok {
		return false
	}
	p.offset = hours * 3600
	for unit := int64(60); unit > 0; unit /= 60 {
		colon := p.take(":")
		v, ok := p.digits(2, 2)
		if !ok {
			if colon {
				return false
			}
			break
		}
		p.offset += v * unit
	}
	if negative {
		p.offset = -p.offset
	}
	return true
}
