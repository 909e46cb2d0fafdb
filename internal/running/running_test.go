package running

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// hang makes n goroutines that hang until the function it returns is called. All have begun.
func hang(n int) (release func()) {
	until, begun := make(chan struct{}), make(chan struct{})
	for range n {
		go waits(until, begun)
		<-begun
	}
	return func() { close(until) }
}

func waits(until, begun chan struct{}) {
	begun <- struct{}{}
	<-until
}

func waiting() (n int) {
	for _, name := range Goroutines() {
		if name == "internal/running.waits" {
			n++
		}
	}
	return n
}

func TestGoroutinesAreThoseOfTheBubble(t *testing.T) {
	defer hang(1)()
	synctest.Test(t, func(t *testing.T) {
		require.Zero(t, waiting())
		release := hang(200) // their stacks exceed the first buffer
		require.Equal(t, 200, waiting())
		release()
		synctest.Wait()
		require.Zero(t, waiting())
	})
}

func TestGoroutinesOutsideOfBubblesAreThoseOfNoBubble(t *testing.T) {
	defer hang(1)()
	require.Positive(t, waiting())
	synctest.Test(t, func(t *testing.T) { require.Zero(t, waiting()) })
}
