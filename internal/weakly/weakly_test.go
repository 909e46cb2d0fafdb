package weakly

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// value has a pointer: the runtime joins small values without one, and keeps them together.
type value struct{ called *int }

func (v *value) call() { *v.called++ }

func TestDoCallsOnlyReachableFunctions(t *testing.T) {
	v := &value{called: new(int)}
	do := Do(v, (*value).call)
	do()
	do()
	require.Equal(t, 2, *v.called)
}

// A stopped timer stays in the runtime's heap for a while.
func TestATimerKeepsNothingAlive(t *testing.T) {
	v := &value{called: new(int)}
	timer := time.AfterFunc(time.Hour, Do(v, (*value).call))
	pointer := weak.Make(v)
	runtime.KeepAlive(v)
	runtime.GC()
	require.Nil(t, pointer.Value())
	require.True(t, timer.Stop())
}
