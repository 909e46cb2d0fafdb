package transport

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/statechart"
)

// awaitedCall is a call with a waiting sender. Its Done closes ended.
func awaitedCall(body string) (one *Call, ended chan struct{}, result *outcome) {
	one, _ = call(body)
	ended, result = make(chan struct{}), new(outcome)
	one.ReadInline = true
	one.Done = func(body []byte, err error) {
		*result = outcome{string(body), err, time.Now()}
		close(ended)
	}
	return one, ended, result
}

// ask sends an awaited call and waits for its answer.
func ask(c *Conn, body string) outcome {
	one, ended, result := awaitedCall(body)
	if c.Send(one) == nil {
		c.ReadUntil(ended)
	}
	<-ended
	return *result
}

// settled is ask, and then waits until the reader of the answer has continued. Only one goroutine of a bubble may call
// it.
func settled(c *Conn, body string) outcome {
	result := ask(c, body)
	synctest.Wait()
	return result
}

// readers counts the reading goroutines of the caller's bubble. It ignores other bubbles, because goroutines of an
// earlier test may still be ending.
func readers() (n int) {
	buf := make([]byte, 1<<20)
	mine := bubbleOf(string(buf[:runtime.Stack(buf, false)]))
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if bubbleOf(stack) == mine && strings.Contains(stack, "transport.(*Conn).read(") {
			n++
		}
	}
	return n
}

// bubbleOf returns the name of a goroutine's bubble from a stack's first line.
func bubbleOf(stack string) string {
	first, _, _ := strings.Cut(stack, "]:")
	_, bubble, _ := strings.Cut(first, "synctest bubble ")
	return bubble
}

func (c *Conn) rests() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parkedReader.reader != nil
}

func (c *Conn) restless() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parkedReader.not
}

func TestReadUntilReadsOnTheCallersGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, echo)
		synctest.Wait()
		require.Equal(t, 1, readers())
		require.Equal(t, "one", settled(c, "one").body)
		synctest.Wait()
		require.True(t, c.rests())
		require.Zero(t, readers(), "nobody reads where nothing is to be read")

		// The Done of the next call runs on that call's own goroutine.
		one, ended, _ := awaitedCall("two")
		mine, where := "TestReadUntilReadsOnTheCallersGoroutine", ""
		done := one.Done
		one.Done = func(body []byte, err error) {
			buf := make([]byte, 1<<16)
			where = string(buf[:runtime.Stack(buf, false)])
			done(body, err)
		}
		require.NoError(t, c.Send(one))
		c.ReadUntil(ended)
		require.True(t, isClosed(ended))
		require.Contains(t, where, mine)
		require.True(t, c.rests())
	})
}

func TestACallThatNobodyAwaitsIsAnsweredToAConnectionThatRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, echo)
		for range 3 {
			require.NoError(t, ask(c, "x").err)
			one, done := call("y")
			require.NoError(t, c.Send(one))
			require.Equal(t, "y", (<-done).body)
			synctest.Wait()
			require.Equal(t, 1, readers(), "after a call that nobody awaits a goroutine goes on reading")
		}
	})
}

func TestAConnectionThatRestsSeesThatTheBrokerHasClosedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			if r, err := p.next(); err == nil {
				p.answer(r, string(r.body))
			}
		})
		require.NoError(t, ask(c, "x").err)
		began := time.Now()
		<-c.Closed()
		require.ErrorIs(t, c.Err(), ErrDisconnected)
		require.LessOrEqual(t, time.Since(began), restFor)
	})
}

func TestAConnectionThatHasRestedEndsWhenItIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{MaxIdle: time.Minute}, echo)
		began := time.Now()
		require.NoError(t, ask(c, "x").err)
		<-c.Closed()
		require.ErrorIs(t, c.Err(), ErrIdle)
		require.Equal(t, time.Minute, time.Since(began))
	})
}

// slowEcho answers each request after a delay. The test may change the delay.
func slowEcho(after *atomic.Int64) func(p *peer) {
	return func(p *peer) {
		for {
			r, err := p.next()
			if err != nil {
				return
			}
			time.Sleep(time.Duration(after.Load()))
			p.answer(r, string(r.body))
		}
	}
}

func TestAwaitHasNoMorePatienceThanItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after atomic.Int64
		c := connect(t, Options{}, slowEcho(&after))
		require.NoError(t, settled(c, "x").err)
		require.True(t, c.rests())

		after.Store(int64(time.Second))
		began := time.Now()
		one, ended, result := awaitedCall("slow")
		require.NoError(t, c.Send(one))
		c.ReadUntil(ended)
		require.LessOrEqual(t, time.Since(began), patience)
		require.False(t, isClosed(ended))
		<-ended
		require.Equal(t, "slow", result.body)
		require.Equal(t, time.Second, time.Since(began))

		// A connection with late answers keeps its reader for a pause, and then parks it again.
		after.Store(0)
		require.NoError(t, settled(c, "y").err)
		require.True(t, c.rests(), "the answer has come long after it was found to be slow")
		after.Store(int64(patience + time.Millisecond))
		require.NoError(t, settled(c, "y").err)
		require.False(t, c.rests())
		after.Store(0)
		require.NoError(t, settled(c, "y").err)
		require.False(t, c.rests())
		time.Sleep(restlessFor)
		require.NoError(t, settled(c, "y").err)
		require.True(t, c.rests())
	})
}

// lateAgain sends requests until an answer is too late for its ReadUntil, and returns the length of the pause without
// parking.
func lateAgain(t *testing.T, c *Conn) time.Duration {
	for before := c.restless(); c.restless().Equal(before); {
		require.NoError(t, settled(c, "x").err)
	}
	return time.Until(c.restless())
}

func TestAConnectionThatIsLateAgainAndAgainRestsEverLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after atomic.Int64
		c := connect(t, Options{}, slowEcho(&after))
		const late = patience + time.Millisecond
		after.Store(int64(late))
		pause := lateAgain(t, c)
		for range 10 {
			next := lateAgain(t, c)
			require.LessOrEqual(t, next, restlessForLong)
			require.True(t, next > pause || pause > restlessForLong/2, "%v after %v", next, pause)
			pause = next
		}
		require.Greater(t, pause, restlessForLong/2)

		// Single late answers, far apart, cause only the shortest pause.
		for range 10 {
			after.Store(0)
			time.Sleep(2 * restlessForLong)
			require.NoError(t, settled(c, "x").err)
			require.True(t, c.rests())
			after.Store(int64(late))
			require.LessOrEqual(t, lateAgain(t, c), restlessFor)
		}
	})
}

func TestReadUntilEndsWithoutAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after atomic.Int64
		c := connect(t, Options{}, slowEcho(&after))
		require.NoError(t, settled(c, "x").err)

		after.Store(int64(time.Minute / 10))
		one, done := call("y")
		one.ReadInline = true
		elsewhere := make(chan struct{})
		time.AfterFunc(patience/2, func() { close(elsewhere) })
		require.NoError(t, c.Send(one))
		began := time.Now()
		c.ReadUntil(elsewhere)
		require.LessOrEqual(t, time.Since(began), patience)
		require.Equal(t, "y", (<-done).body)

		happened := make(chan struct{})
		close(happened)
		time.Sleep(restlessFor)
		after.Store(0)
		require.NoError(t, settled(c, "z").err)
		require.True(t, c.rests())
		c.ReadUntil(happened)
		require.True(t, c.rests(), "there was nothing to read")
	})
}

func TestOthersAnswersComeWhileOneAwaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after atomic.Int64
		c := connect(t, Options{}, slowEcho(&after))
		require.NoError(t, ask(c, "x").err)
		after.Store(int64(time.Millisecond / 2))
		one, ended, result := awaitedCall("first")
		var wait sync.WaitGroup
		for i := range 10 {
			wait.Go(func() {
				time.Sleep(time.Duration(i+1) * 100 * time.Microsecond)
				two, done := call(fmt.Sprint(i))
				if c.Send(two) != nil || (<-done).body != fmt.Sprint(i) {
					t.Error("no answer for ", i)
				}
			})
		}
		require.NoError(t, c.Send(one))
		c.ReadUntil(ended)
		require.True(t, isClosed(ended))
		require.Equal(t, "first", result.body)
		wait.Wait()
	})
}

func TestCloseBetweenSendAndAwaitFailsTheCallOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		c := connect(t, Options{}, func(p *peer) {
			if r, err := p.next(); err == nil {
				p.answer(r, string(r.body))
			}
			_, _ = p.next()
			<-stop
		})
		require.NoError(t, settled(c, "x").err)
		one, ended, result := awaitedCall("y")
		require.NoError(t, c.Send(one))
		require.True(t, c.rests())
		c.Close(errors.New("enough"))
		c.ReadUntil(ended)
		<-ended // a second Done would close it again
		require.ErrorContains(t, result.err, "enough")
		require.True(t, failure(t, result.err).Sent)
		require.ErrorContains(t, settled(c, "z").err, "enough")
		require.Zero(t, c.InFlight())
	})
}

func TestAConnectionThatIsClosedWhileItRestsLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, echo)
		require.NoError(t, settled(c, "x").err)
		require.True(t, c.rests())
		c.Close(nil)
		time.Sleep(2 * restFor)
		synctest.Wait()
		require.Zero(t, readers())
	})
}

func TestReadUntilSetsDeadlinesRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, counting := counted(t)
		const n, pause = 10_000, 50 * time.Microsecond
		for range n {
			require.NoError(t, ask(c, "x").err)
			time.Sleep(pause)
		}
		require.LessOrEqual(t, counting.reads.Load(), int64(n*pause/(patience/2))+10)
		require.LessOrEqual(t, counting.writes.Load(), int64(6))
	})
}

// TestEveryAwaitedCallHasOneOutcome: the calls run over sockets, with other calls in between, and the test cuts
// connections at any time.
func TestEveryAwaitedCallHasOneOutcome(t *testing.T) {
	for seed := range 20 {
		address := listen(t, func(p *peer) {
			p.greet()
			for n := 0; n < 100+seed*30; n++ {
				r, err := p.next()
				if err != nil {
					return
				}
				if n%97 == 96 {
					time.Sleep(2 * patience)
				}
				p.answer(r, string(r.body))
			}
		})
		c, err := Dial(t.Context(), &Options{RequestTimeout: time.Minute}, address)
		require.NoError(t, err)
		var wait sync.WaitGroup
		var wrong atomic.Int64
		for g := range 3 {
			wait.Go(func() {
				for i := range 200 {
					body := fmt.Sprint(g, " ", i)
					if (i+g)%3 == 0 {
						one, done := call(body)
						_ = c.Send(one)
						if o := <-done; o.err == nil && o.body != body {
							wrong.Add(1)
						}
					} else if o := ask(c, body); o.err == nil && o.body != body {
						wrong.Add(1)
					}
					if seed%4 == 3 && i == 150 {
						c.Close(nil)
					}
				}
			})
		}
		wait.Wait()
		c.Close(nil)
		require.Zero(t, wrong.Load())
		require.Zero(t, c.InFlight())
	}
}

// TestTheReadersChartNamesEveryFunctionThatHandsItOn: the chart must have each function that takes, parks, runs or ends
// the reader.
func TestTheReadersChartNamesEveryFunctionThatHandsItOn(t *testing.T) {
	drawn, err := statechart.OfType("await.go", "parkedReader")
	require.NoError(t, err)
	inChart := make(map[string]bool)
	for _, one := range drawn {
		inChart[one.Method] = true
	}
	inCode := map[string]bool{"drain": true}
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && handsReaderOn(f) {
				inCode[f.Name.Name] = true
			}
		}
	}
	require.True(t, inCode["start"], "the reader's first goroutine")
	delete(inCode, "start")
	require.Equal(t, inCode, inChart)
}

// handsReaderOn reports whether f takes, parks, runs or ends the reader, or changes Conn.delivering.
func handsReaderOn(f *ast.FuncDecl) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if called, ok := n.Fun.(*ast.SelectorExpr); ok {
				found = found || slices.Contains([]string{"takeLocked", "restLocked", "read", "drain"}, called.Sel.Name)
			}
		case *ast.AssignStmt:
			for _, to := range n.Lhs {
				field, ok := to.(*ast.SelectorExpr)
				found = found || ok && field.Sel.Name == "delivering"
			}
		}
		return true
	})
	return found
}
