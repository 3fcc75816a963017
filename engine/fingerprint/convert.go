package fingerprint

import (
	"fmt"
	"math/big"
)

// convert makes values of one kind values of a wider one.
func (v *vector) convert(from, to kind) error {
	switch {
	case from.name == to.name:
		return nil
	case from.is == integer && to.is == integer:
		if from.class == ints && to.class == wides {
			v.widen()
		}
		return nil
	case from.is == integer && to.is == float && from.class == ints:
		v.floats = resize(v.floats, v.values)
		for i, x := range v.ints {
			v.floats[i] = float64(x)
		}
		return nil
	case from.is == float && to.is == float:
		return nil
	case from.is == date && to.is == timestamp:
		return v.multiply(86400 * pow10[to.scale])
	case (from.is == integer || from.is == decimal) && to.is == decimal:
		return v.convertDecimal(from, to)
	}
	return fmt.Errorf("it is %s and is read as %s", from.name, to.name)
}

// convertDecimal appends zeros to a number's digits.
func (v *vector) convertDecimal(from, to kind) error {
	scale := from.scale
	if from.is == integer {
		scale = 0
	}
	if to.class == ints && from.class == ints {
		return v.multiply(pow10[to.scale-scale])
	}
	if from.class == ints {
		v.widen()
	}
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(to.scale-scale)), nil)
	for i, x := range v.wides {
		v.wides[i] = wideOfBig(new(big.Int).Mul(x.big(), factor))
	}
	return nil
}
