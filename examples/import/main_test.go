package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// crashAfter is set in the crashing process: the number of its interceptor's calls before the crash.
const crashAfter = "SAMSA_IMPORT_CRASH_AFTER"

func TestMain(m *testing.M) {
	if os.Getenv(crashAfter) != "" {
		crash()
	}
	goleak.VerifyTestMain(m)
}

// fixture is a file, and a cluster with a topic of three partitions.
type fixture struct {
	*testbroker.Cluster
	file string
	out  *lockedBuffer
}

// lockedBuffer is for the importer's lines and the producer's log together.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newFixture(t *testing.T, network testbroker.Network, lines ...string) *fixture {
	t.Helper()
	f := &fixture{file: filepath.Join(t.TempDir(), "events.jsonl")}
	f.Cluster = testbroker.New(t, testbroker.Config{Network: network, Topics: map[string]int32{"events": 3}})
	require.NoError(t, os.WriteFile(f.file, []byte(strings.Join(lines, "")), 0o600))
	return f
}

// importer returns an importer with the flags. Batches are small, so a file needs many requests.
func (f *fixture) importer(t *testing.T, flags ...string) *importer {
	t.Helper()
	f.out = &lockedBuffer{}
	im, err := parse(append([]string{"-bootstrap", f.Bootstrap()[0], "-topic", "events", "-file", f.file}, flags...),
		f.out)
	require.NoError(t, err)
	im.cfg.Dialer = f.Dial
	im.cfg.BatchSize, im.cfg.MaxRequestSize = 512, 4096
	return im
}

// start runs an importer. The channel gets the error of run.
func start(ctx context.Context, im *importer) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- im.run(ctx) }()
	return ended
}

// values returns how often each value is in the log.
func (f *fixture) values() map[string]int {
	found := map[string]int{}
	for partition := range int32(3) {
		for _, r := range f.Log("events", partition) {
			found[string(r.Value)]++
		}
	}
	return found
}

// kept returns the content of a file beside the input, empty if there is none.
func (f *fixture) kept(suffix string) string {
	text, err := os.ReadFile(f.file + suffix)
	if err != nil {
		return ""
	}
	return string(text)
}

func (f *fixture) checkpoint(t *testing.T) (c checkpoint) {
	t.Helper()
	if text := f.kept(".checkpoint"); text != "" {
		require.NoError(t, json.Unmarshal([]byte(text), &c), text)
	}
	return c
}

// requireTrueWatermark checks that every good line before the watermark is in the log, or in the file of maybe written
// lines.
func (f *fixture) requireTrueWatermark(t *testing.T, lines []string) checkpoint {
	t.Helper()
	c := f.checkpoint(t)
	inLog, maybe := f.values(), strings.Split(f.kept(".maybe-written"), "\n")
	for i, l := range lines[:c.Lines] {
		text := strings.TrimSuffix(l, "\n")
		if !isBad(text) {
			require.True(t, inLog[text] > 0 || slices.Contains(maybe, text),
				"line %d of %d before the watermark has no outcome", i+1, c.Lines)
		}
	}
	require.EqualValues(t, len(strings.Join(lines[:c.Lines], "")), c.Offset)
	return c
}

// numbered returns lines of JSON. Some are bad: larger than a request.
func numbered(count int) []string {
	lines := make([]string, 0, count)
	for i := range count {
		lines = append(lines, fmt.Sprintf(`{"id":"%d","n":%d}`+"\n", i%17, i))
	}
	return lines
}

func withBad(lines []string, each int) []string {
	lines = slices.Clone(lines)
	for i := each; i < len(lines); i += each {
		lines[i] = fmt.Sprintf("bad %d%s\n", i, strings.Repeat("x", 4000+i))
	}
	return lines
}

func isBad(text string) bool { return strings.HasPrefix(text, "bad ") }

func TestImportSendsEachLineOnceAndASecondRunSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := numbered(3000)
		f := newFixture(t, testbroker.Memory, lines...)
		for range 2 {
			require.NoError(t, f.importer(t).run(t.Context()), f.out)
			require.Equal(t, 3000, f.Records("events"))
			require.Contains(t, f.out.String(),
				"100%  3000 lines settled: 3000 acknowledged, 0 rejected, 0 maybe written\n")
		}
		require.Contains(t, f.out.String(), "resuming behind line 3000\n")
		require.EqualValues(t, 3000, f.requireTrueWatermark(t, lines).Lines)
		require.NoFileExists(t, f.file+".rejected")
		require.NoFileExists(t, f.file+".maybe-written")
	})
}

func TestKeysComeFromTheIDOfJSONAndTheFirstFieldOfCSV(t *testing.T) {
	require.Equal(t, "a1", string(keyOf([]byte(`{"id":"a1","n":1}`))))
	require.Equal(t, "17", string(keyOf([]byte(`{"n":1,"id":17}`))))
	require.Empty(t, keyOf([]byte(`{"n":1}`)))
	require.Empty(t, keyOf([]byte(`{"n":`)))
	require.Equal(t, "a1", string(keyOf([]byte("a1,b,c"))))
}

func TestHeaderAndBlankLinesAreNoRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, testbroker.Memory, "id,name\r\n", "1,book\r\n", "\r\n", "\n", "2,lamp")
		require.NoError(t, f.importer(t, "-header").run(t.Context()), f.out)
		require.Equal(t, map[string]int{"1,book": 1, "2,lamp": 1}, f.values())
		require.EqualValues(t, 3, f.checkpoint(t).Skipped)
		require.NoError(t, f.importer(t, "-header").run(t.Context()), "the last line has no line break")
		require.Equal(t, 2, f.Records("events"))
	})
}

func TestOnlyRejectedLinesGoToTheRejectFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := withBad(numbered(500), 100)
		// longer than the reader's buffer, and without a line break
		lines = append(lines, "bad "+strings.Repeat("y", 10_000))
		f := newFixture(t, testbroker.Memory, lines...)
		require.NoError(t, f.importer(t).run(t.Context()), f.out)
		require.Equal(t, 496, f.Records("events"))
		require.Equal(t, lines[100]+lines[200]+lines[300]+lines[400]+lines[500]+"\n", f.kept(".rejected"))
		require.Empty(t, f.kept(".maybe-written"))
		require.Contains(t, f.out.String(), "failed with record_too_large: 5 lines\n")
		require.Contains(t, f.out.String(),
			"line 101 goes to "+f.file+".rejected, the first one with record_too_large: ")
	})
}

func TestLinesThatABrokerRejectsGoToTheRejectFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := numbered(3)
		f := newFixture(t, testbroker.Memory, `{"n":"no key"}`+"\n", lines[0], lines[1], `{"n":"no key either"}`+"\n",
			lines[2])
		f.SetSettings("events", testbroker.TopicSettings{Compacted: true})
		require.NoError(t, f.importer(t).run(t.Context()), f.out)
		require.Equal(t, `{"n":"no key"}`+"\n"+`{"n":"no key either"}`+"\n", f.kept(".rejected"))
		require.Equal(t, 3, f.Records("events"))
	})
}

func TestTooManyRejectedLinesStopTheImportBeforeTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := numbered(20)
		f := newFixture(t, testbroker.Memory, lines...)
		f.Deny("events")
		err := f.importer(t, "-max-rejected", "3").run(t.Context())
		require.ErrorContains(t, err, "line 4 is rejected, as were 3 before it (-max-rejected)")
		require.ErrorContains(t, err, "TOPIC_AUTHORIZATION_FAILED")
		require.Equal(t, strings.Join(lines[:3], ""), f.kept(".rejected"))
		require.EqualValues(t, 3, f.checkpoint(t).Lines)

		f.Allow("events")
		require.NoError(t, f.importer(t, "-max-rejected", "3").run(t.Context()), f.out)
		require.Equal(t, 17, f.Records("events"))
		require.Equal(t, strings.Join(lines[:3], ""), f.kept(".rejected"))
	})
}

func TestLinesThatWereNotWrittenAreSentAgainABoundedNumberOfTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, testbroker.Memory, numbered(1)...)
		refusal := f.On(protocol.Produce).Do(testbroker.Fail(protocol.NotEnoughReplicas))
		im := f.importer(t, "-retries", "2", "-pause", "1m")
		im.cfg.Retries = 1
		begin := time.Now()
		err := im.run(t.Context())
		require.ErrorContains(t, err, "line 1 was not written in 3 attempts: ")
		require.ErrorContains(t, err, "NOT_ENOUGH_REPLICAS")
		require.GreaterOrEqual(t, time.Since(begin), 2*time.Minute)
		require.Equal(t, 6, refusal.Hits(), "each attempt of the importer is a request and a retry")
		require.Zero(t, f.checkpoint(t).Lines)
		require.NoFileExists(t, f.file+".rejected")

		refusal.End()
		require.NoError(t, f.importer(t).run(t.Context()), f.out)
		require.Equal(t, 1, f.Records("events"))
	})
}

func TestLinesThatMayBeWrittenAreReportedSeparatelyAndNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := numbered(60)
		f := newFixture(t, testbroker.Memory, lines...)
		f.On(protocol.Produce).Do(testbroker.SwallowAnswer())
		im := f.importer(t)
		im.cfg.DeliveryTimeout, im.cfg.RequestTimeout, im.cfg.MaxInFlight = 3*time.Second, time.Second, 5
		im.cfg.BatchSize = 4096 // one batch for each partition, all in flight
		require.NoError(t, im.run(t.Context()), f.out)
		require.Equal(t, strings.Join(lines, ""), f.kept(".maybe-written"))
		require.Empty(t, f.kept(".rejected"))
		require.EqualValues(t, 60, f.checkpoint(t).MaybeWritten)
		require.Equal(t, 60, f.Records("events"))
	})
}

func TestTheWatermarkStopsAtTheFirstLineWithoutAnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := numbered(2000)
		f := newFixture(t, testbroker.Memory, lines...)
		release := make(chan struct{})
		f.On(protocol.Produce).Partition("events", 0).Skip(1).Do(testbroker.Hold(release))
		ended := start(t.Context(), f.importer(t, "-window", "500"))
		time.Sleep(10 * time.Second) // virtual: checkpoints are written meanwhile
		synctest.Wait()
		c := f.requireTrueWatermark(t, lines)
		require.Positive(t, c.Lines)
		require.Less(t, c.Lines, int64(2000))
		require.Greater(t, f.Records("events"), int(c.Lines), "other partitions are ahead of the watermark")
		close(release)
		require.NoError(t, <-ended, f.out)
		require.EqualValues(t, 2000, f.requireTrueWatermark(t, lines).Lines)
		require.Equal(t, 2000, f.Records("events"))
	})
}

func TestTheWindowBoundsTheLinesThatAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, testbroker.Memory, numbered(1000)...)
		release := make(chan struct{})
		f.On(protocol.Produce).Do(testbroker.Hold(release))
		im := f.importer(t, "-window", "10")
		ended := start(t.Context(), im)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, im.lines, 10)
		records, _ := im.producer.Buffered()
		require.Equal(t, 10, records)
		close(release)
		require.NoError(t, <-ended, f.out)
		require.Equal(t, 1000, f.Records("events"))
	})
}

func TestABrokerThatIsDownForAWhileCostsNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := withBad(numbered(3000), 1000)
		f := newFixture(t, testbroker.Memory, lines...)
		im := f.importer(t, "-window", "400", "-retries", "100")
		im.cfg.DeliveryTimeout, im.cfg.RequestTimeout, im.cfg.MaxBlock = 3*time.Second, time.Second, time.Second
		ended := start(t.Context(), im)
		f.WaitRecords(t.Context(), "events", 500)
		f.StopBroker(1)
		time.Sleep(time.Minute) // virtual: longer than the producer's own retries
		f.requireTrueWatermark(t, lines)
		f.StartBroker(1)
		require.NoError(t, <-ended, f.out)
		require.Contains(t, f.out.String(), " was not written, next attempt in 1s: ")
		require.Equal(t, lines[1000]+lines[2000], f.kept(".rejected"))
		require.EqualValues(t, 3000, f.requireTrueWatermark(t, lines).Lines)
	})
}

func TestAShutdownWhileTheBrokerIsDownRejectsNoGoodLine(t *testing.T) {
	for _, how := range []string{"before the first line", "in the middle"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines := numbered(3000)
				f := newFixture(t, testbroker.Memory, lines...)
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				if how == "before the first line" {
					f.StopBroker(1)
				}
				ended := start(ctx, f.importer(t, "-window", "2000"))
				if how == "in the middle" {
					f.WaitRecords(t.Context(), "events", 500)
					f.StopBroker(1)
				}
				time.Sleep(2 * time.Second)
				begin := time.Now()
				interrupt()
				require.ErrorContains(t, <-ended, "interrupted")
				require.LessOrEqual(t, time.Since(begin), 11*time.Second, "the drain timeout, in virtual time")
				require.NoFileExists(t, f.file+".rejected")
				c := f.requireTrueWatermark(t, lines)
				require.Less(t, c.Lines, int64(3000))
				if how == "before the first line" {
					require.Zero(t, c.Lines)
				}
				const inFlight = 5 * 3 * 20 // requests, batches in each, and a bit more than the lines in a batch
				require.LessOrEqual(t, c.MaybeWritten, int64(inFlight), "the other lines were not written")
				require.Contains(t, f.out.String(), "Run the same command again to continue behind it; ")

				f.StartBroker(1)
				require.NoError(t, f.importer(t).run(t.Context()), f.out)
				require.NoFileExists(t, f.file+".rejected")
				require.EqualValues(t, 3000, f.requireTrueWatermark(t, lines).Lines)
			})
		})
	}
}

func TestAnInterruptWithAWorkingBrokerDeliversTheReadLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := numbered(3000)
		f := newFixture(t, testbroker.Memory, lines...)
		release := make(chan struct{})
		f.On(protocol.Produce).Skip(10).Do(testbroker.Hold(release))
		ctx, interrupt := context.WithCancel(t.Context())
		im := f.importer(t, "-window", "1000")
		ended := start(ctx, im)
		time.Sleep(time.Second)
		interrupt()
		close(release)
		require.ErrorContains(t, <-ended, "interrupted")
		c := f.requireTrueWatermark(t, lines)
		require.EqualValues(t, f.Records("events"), c.Lines, "nothing was read that has no outcome")
		require.Empty(t, im.lines)

		require.NoError(t, f.importer(t).run(t.Context()), f.out)
		require.Equal(t, 3000, f.Records("events"), "no line is in the log twice")
	})
}

func TestACheckpointThatDoesNotFitTheFileIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, testbroker.Memory, "one\n", "two\n")
		for _, text := range []string{`{"offset":5,"lines":1}`, `{"offset":9,"lines":2}`, `{"offset":-1}`} {
			require.NoError(t, os.WriteFile(f.file+".checkpoint", []byte(text), 0o600))
			require.ErrorContains(t, f.importer(t).run(t.Context()), "does not fit the file", text)
		}
		require.NoError(t, os.WriteFile(f.file+".checkpoint", []byte(`{"off`), 0o600))
		require.ErrorContains(t, f.importer(t).run(t.Context()), ".checkpoint: unexpected end of JSON input")
		require.Zero(t, f.Records("events"))
	})
}

func TestACheckpointThatACrashLeftHalfWrittenIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, testbroker.Memory, "one\n", "two\n", "three\n")
		require.NoError(t, os.WriteFile(f.file+".checkpoint", []byte(`{"offset":4,"lines":1}`), 0o600))
		require.NoError(t, os.WriteFile(f.file+".checkpoint.tmp", []byte(`{"off`), 0o600))
		require.NoError(t, os.WriteFile(f.file+".rejected", []byte("of the crashed run\n"), 0o600))
		require.NoError(t, f.importer(t).run(t.Context()), f.out)
		require.Equal(t, map[string]int{"two": 1, "three": 1}, f.values())
		require.Empty(t, f.kept(".rejected"), "a run that crashed wrote it behind its last checkpoint")
	})
}

func TestARejectFileThatTheUserHasRemovedStartsAtItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := "bad " + strings.Repeat("x", 5000) + "\n"
		f := newFixture(t, testbroker.Memory, "one\n", bad)
		require.NoError(t, os.WriteFile(f.file+".checkpoint",
			[]byte(`{"offset":4,"lines":1,"rejected":1,"rejected_bytes":99}`), 0o600))
		require.NoError(t, f.importer(t).run(t.Context()), f.out)
		require.Equal(t, bad, f.kept(".rejected"))
	})
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{{}, {"-topic", "t"}, {"-topic", "t", "-file", "f", "more"},
		{"-topic", "t", "-file", "f", "-window", "0"}} {
		var out bytes.Buffer
		_, err := parse(args, &out)
		require.Error(t, err)
		require.Contains(t, out.String(), "import needs -topic and -file")
	}
}

// crasher kills its process, as kill -9 does, at one of its calls.
type crasher struct {
	calls atomic.Int64
	after int64
}

func (c *crasher) count() {
	if c.calls.Add(1) == c.after {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		fmt.Fprintln(os.Stderr, "killed:", err)
		select {}
	}
}

func (c *crasher) OnSend(r *producer.Record) *producer.Record {
	c.count()
	return r
}

func (c *crasher) OnAcknowledgement(producer.RecordMetadata, error) { c.count() }

func (c *crasher) Close() {}

// crash is the crashing process.
func crash() {
	var c crasher
	if _, err := fmt.Sscan(os.Getenv(crashAfter), &c.after); err != nil {
		panic(err)
	}
	im, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	im.cfg.BatchSize, im.cfg.MaxRequestSize = 512, 4096
	im.cfg.Interceptors = []producer.Interceptor{&c}
	if err := im.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Each run is killed at a random one of its sends and acknowledgements, and the next run resumes.
func TestACrashLosesNoLineAndRejectsNoGoodLine(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	lines := withBad(numbered(2000), 150)
	f := newFixture(t, testbroker.TCP, lines...)
	program, err := os.Executable()
	require.NoError(t, err)
	crashes, last := 0, checkpoint{}
	for {
		// After some crashes the run may end. Before, it dies within 1500 of its 4000 calls.
		after := 1 + random.IntN(1500)
		if crashes >= 6 {
			after = 1 << 30
		}
		cmd := exec.CommandContext(t.Context(), program, "-bootstrap", f.Bootstrap()[0], "-topic", "events", "-file",
			f.file, "-window", "300", "-every", "1ms")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", crashAfter, after))
		out, err := cmd.CombinedOutput()
		c := f.requireTrueWatermark(t, lines)
		require.GreaterOrEqual(t, c.Lines, last.Lines, "the watermark never goes back")
		last = c
		if err == nil {
			break
		}
		require.Equal(t, -1, cmd.ProcessState.ExitCode(), "the run failed instead of crashing: %s", out)
		crashes++
	}
	require.EqualValues(t, 2000, last.Lines)
	var bad []string
	for _, l := range lines {
		if isBad(l) {
			bad = append(bad, l)
		}
	}
	require.Equal(t, strings.Join(bad, ""), f.kept(".rejected"), "each bad line once, and no good line")
	require.Empty(t, f.kept(".maybe-written"))
	require.Len(t, f.values(), 2000-len(bad))
	require.EqualValues(t, len(bad), last.Rejected)
}
