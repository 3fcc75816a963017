package hcl

import (
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/dpb-build/dpb/engine"
)

// Format returns the canonical formatting of a file's text, or its mistakes of syntax. Formatting twice changes nothing.
func Format(file string, src []byte) ([]byte, []engine.Problem) {
	if _, problems := parseText(file, src); len(problems) > 0 {
		return nil, problems
	}
	return hclwrite.Format(src), nil
}
