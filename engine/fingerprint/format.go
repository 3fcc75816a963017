package fingerprint

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// text writes a value as SQL does.
func (c *column) text(v value) string {
	switch k := c.kind; k.is {
	case boolean:
		return strconv.FormatBool(v.hi != 0)
	case integer:
		if k.class == wides {
			return wide{v.hi, v.lo}.big().String()
		}
		return strconv.FormatInt(v.hi, 10)
	case decimal:
		return k.decimalText(v)
	case float:
		return floatText(ofOrderKey(v.hi), k.width)
	case date:
		return dateText(v.hi)
	case clock:
		return clockText(v.hi, k.scale) + zoneText(k.zone)
	case timestamp:
		return k.timestampText(v.hi)
	case blob:
		return cut(blobText(v.text))
	}
	return cut(v.text)
}

func (k kind) decimalText(v value) string {
	x := big.NewInt(v.hi)
	if k.class == wides {
		x = wide{v.hi, v.lo}.big()
	}
	digits, sign := new(big.Int).Abs(x).String(), ""
	if x.Sign() < 0 {
		sign = "-"
	}
	if k.scale == 0 {
		return sign + digits
	}
	whole := k.scale + 1
	if k.width == k.scale {
		whole = k.scale // the engine writes .50
	}
	if len(digits) < whole {
		digits = strings.Repeat("0", whole-len(digits)) + digits
	}
	return sign + digits[:len(digits)-k.scale] + "." + digits[len(digits)-k.scale:]
}

// floatText is the shortest text that is read as the number.
func floatText(f float64, width int) string {
	switch {
	case f != f:
		return "nan"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'f', -1, 64)), "+")
	}
	s := strconv.FormatFloat(f, 'e', -1, width)
	_, exponent, _ := strings.Cut(s, "e")
	if e, _ := strconv.Atoi(exponent); e < -4 || e >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, width)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

const (
	dateInfinity = math.MaxInt32
	timeInfinity = math.MaxInt64
)

func dateText(days int64) string {
	switch days {
	case dateInfinity:
		return "infinity"
	case -dateInfinity:
		return "-infinity"
	}
	text, bc := civilText(days)
	return text + bc
}

// civilText writes a date, and what follows it if it is before Christ.
func civilText(days int64) (text, bc string) {
	y, m, d := civil(days)
	if y <= 0 {
		y, bc = 1-y, " (BC)"
	}
	return fmt.Sprintf("%04d-%02d-%02d", y, m, d), bc
}

// civil is Hinnant's algorithm (chrono-compatible low-level date algorithms, civil_from_days).
func civil(days int64) (year, month, day int64) {
	days += 719468
	era := floorDiv(days, 146097)
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	month = (mp+2)%12 + 1
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, doy - (153*mp+2)/5 + 1
}

// daysOf is the inverse (days_from_civil).
func daysOf(year, month, day int64) int64 {
	if month <= 2 {
		year--
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	doy := (153*((month+9)%12)+2)/5 + day - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

var pow10 = func() (p [19]int64) {
	p[0] = 1
	for k := range len(p) - 1 {
		p[k+1] = 10 * p[k]
	}
	return p
}()

func clockText(t int64, scale int) string {
	unit := pow10[scale]
	seconds := floorDiv(t, unit)
	fraction := t - seconds*unit
	text := fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if fraction != 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%0*d", scale, fraction), "0")
	}
	return text
}

func (k kind) timestampText(t int64) string {
	switch t {
	case timeInfinity:
		return "infinity"
	case -timeInfinity:
		return "-infinity"
	}
	day := 86400 * pow10[k.scale]
	days := floorDiv(t, day)
	date, bc := civilText(days)
	return date + bc + " " + clockText(t-days*day, k.scale) + zoneText(k.zone)
}

// zoneText follows a time that has a zone: all are told in UTC.
func zoneText(zone bool) string {
	if zone {
		return "+00"
	}
	return ""
}

// blobText writes what is not printable, and what has a meaning in such a text, as \xAB.
func blobText(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 32 && c <= 126 && c != '\\' && c != '\'' && c != '"' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02X`, c)
		}
	}
	return b.String()
}

// uuidText writes 16 bytes as a UUID.
func uuidText(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// wideOfBig is a number as 128 bits, the nearest of them.
func wideOfBig(x *big.Int) wide {
	switch {
	case x.BitLen() > 127 && x.Sign() < 0:
		return wide{math.MinInt64, 0}
	case x.BitLen() > 127:
		return wide{math.MaxInt64, math.MaxUint64}
	}
	magnitude := new(big.Int).Abs(x)
	w := wide{int64(new(big.Int).Rsh(magnitude, 64).Uint64()), magnitude.Uint64()}
	if x.Sign() < 0 {
		return w.neg()
	}
	return w
}
