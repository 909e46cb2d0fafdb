package load

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoundedKeepsFiveDigits(t *testing.T) {
	r := Result{Client: "samsa", Records: 1234567, Rate: 1234567.8, CPU: 0.123456789, P50: 100, Wire: 1e-7}
	require.Equal(t, Result{Client: "samsa", Records: 1234567, Rate: 1234600, CPU: 0.12346, P50: 100, Wire: 1e-7},
		r.Rounded())
}
