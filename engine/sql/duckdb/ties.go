//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

var (
	// tying are types of which two values can be equal and differ: 0 and -0, one month and thirty days.
	tying = regexp.MustCompile(`\b(DOUBLE|FLOAT|REAL|FLOAT4|FLOAT8|INTERVAL)\b`)
	// choosing are words that keep one of many equal values.
	choosing = regexp.MustCompile(`^(DISTINCT|GROUP|UNION|INTERSECT|EXCEPT|MIN|MAX|MEDIAN|MAD|MODE|QUANTILE.*|HISTOGRAM.*)$`)
	quoted   = regexp.MustCompile(`'(?:[^']|'')*'|"(?:[^"]|"")*"`)
)

var fieldName = regexp.MustCompile(`(^|[(]|, )(\w+) `)

// bare is a type with blanks for the names and texts in it, which could look like types.
func bare(typ string) string {
	typ = quoted.ReplaceAllStringFunc(typ, func(s string) string { return strings.Repeat("_", len(s)) })
	out := []byte(typ)
	for _, m := range fieldName.FindAllStringSubmatchIndex(typ, -1) {
		if m[4] > 0 && !strings.HasPrefix(typ[m[1]:], "WITH ") {
			copy(out[m[4]:m[5]], strings.Repeat("_", m[5]-m[4]))
		}
	}
	return string(out)
}

// serial says whether a statement's value could depend on threads for what the gate can't know, types.
func (w *writer) serial(ctx context.Context) (bool, error) {
	types, err := w.types(ctx)
	if err != nil {
		return false, err
	}
	tokens, err := dpbsql.Tokens(w.command.source.Text)
	if err != nil {
		return false, err
	}
	if len(w.report.Sums) > 0 && (w.hugeSums(types, tokens) || !w.sumsIntegers(ctx)) {
		return true, nil
	}
	return chooses(tokens) && w.ties(types, tokens), nil
}

// types are those of the columns of all inputs and of the result.
func (w *writer) types(ctx context.Context) ([]string, error) {
	var out []string
	for _, t := range w.report.Inputs {
		columns, err := w.session.describe(ctx, name(t.Text))
		if err != nil {
			return nil, err
		}
		for _, c := range columns {
			out = append(out, bare(c.Type))
		}
	}
	for _, c := range w.columns {
		out = append(out, bare(c.Type))
	}
	return out, nil
}

func chooses(tokens []dpbsql.Token) bool {
	for i, t := range tokens {
		word := spelled(t)
		if choosing.MatchString(word) && !(word == "UNION" && i+1 < len(tokens) && tokens[i+1].Is("ALL")) {
			return true
		}
	}
	return false
}

// spelled is a token as a name in capitals, "" for texts, numbers and parameters.
func spelled(t dpbsql.Token) string {
	switch t.Kind {
	case dpbsql.Word, dpbsql.Quoted, dpbsql.Operator:
		return strings.ToUpper(strings.Trim(t.Text, `"`))
	}
	return ""
}

// ties says whether a type of which values tie is among the columns, or is named or could be made in the text.
func (w *writer) ties(types []string, tokens []dpbsql.Token) bool {
	return slices.ContainsFunc(types, tying.MatchString) || slices.ContainsFunc(tokens, func(t dpbsql.Token) bool {
		word := spelled(t)
		return tying.MatchString(word) || makers().ties[strings.ToLower(word)] || t.Kind == dpbsql.Number && strings.ContainsAny(t.Text, "eE")
	})
}

// hugeSums says whether a sum could be over UHUGEINT: the engine makes a DOUBLE of it.
func (w *writer) hugeSums(types []string, tokens []dpbsql.Token) bool {
	huge := func(typ string) bool { return strings.Contains(typ, "UHUGEINT") || strings.Contains(typ, "UINT128") }
	return slices.ContainsFunc(types, huge) || slices.ContainsFunc(tokens, func(t dpbsql.Token) bool {
		word := spelled(t)
		return huge(word) || makers().huge[strings.ToLower(word)] || t.Kind == dpbsql.Number && len(t.Text) > 38
	})
}

// made are functions, and operators, that can make a value of some types from values of others.
type made struct{ ties, huge map[string]bool }

func makers() made {
	p, err := planner()
	if err != nil {
		return made{}
	}
	return p.made
}

func (p *plan) loadMakers(ctx context.Context) error {
	p.made = made{map[string]bool{}, map[string]bool{}}
	rows, err := p.session.texts(ctx, `SELECT lower(function_name), coalesce(return_type, ''), coalesce(CAST(parameter_types AS VARCHAR), '')
		FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate') AND function_name <> '-'`)
	if err != nil {
		return err
	}
	whole := map[string]bool{}
	for _, r := range rows {
		whole[r[0]] = whole[r[0]] || strings.Contains(r[2], "BIGINT")
	}
	for _, r := range rows {
		if tying.MatchString(r[1]) && (!tying.MatchString(r[2]) || !whole[r[0]]) {
			p.made.ties[r[0]] = true
		}
		if strings.Contains(r[1], "UHUGEINT") && !strings.Contains(r[2], "UHUGEINT") {
			p.made.huge[r[0]] = true
		}
	}
	for name, f := range p.functions {
		for _, c := range f.Calls {
			p.made.ties[name] = p.made.ties[name] || p.made.ties[c]
			p.made.huge[name] = p.made.huge[name] || p.made.huge[c]
		}
	}
	return nil
}

// lossy are types that a format would change the values of, or can't hold.
var lossy = map[engine.Format]*regexp.Regexp{
	engine.Parquet: regexp.MustCompile(`\b(INTERVAL|BIT|UNION|BIGNUM|TIME WITH TIME ZONE)\b`),
	engine.CSV:     regexp.MustCompile(`\b(UNION|VARIANT)\b`),
	engine.NDJSON:  regexp.MustCompile(`\b(BLOB|BIT|UNION|BIGNUM|VARIANT)\b`),
}
