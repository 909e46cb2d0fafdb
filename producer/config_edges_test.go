package producer

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// edgeRow is the behaviour of one property with one value at an end of its range. config_edges_table_test.go has all
// rows.
type edgeRow struct {
	property, value string
	with            propertyMap // other settings for the value
	refused         string      // the error for a refused value, empty for an accepted value
	does            string      // the check of an accepted value
	test            func(e *edge)
}

// edge is an accepted value in use, in virtual time.
type edge struct {
	*testing.T
	cfg      Config
	brokers  testbroker.Config
	c        *testbroker.Cluster
	p        *Producer
	mu       sync.Mutex
	dials    []dialAttempt
	gone     []string // silent addresses
	prepared bool
}

// dialAttempt is one attempt of the producer to connect.
type dialAttempt struct {
	address string
	at      time.Time
}

// prepare starts the cluster, once. Tests with another cluster than a broker with topic t set e.brokers before.
func (e *edge) prepare() {
	if e.prepared {
		return
	}
	e.prepared = true
	if e.brokers.Topics == nil {
		e.brokers.Topics = map[string]int32{"t": 8}
	}
	e.c = testbroker.New(e.T, e.brokers)
	e.cfg.BootstrapServers = e.c.Bootstrap()
	e.cfg.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		e.mu.Lock()
		e.dials = append(e.dials, dialAttempt{address, time.Now()})
		gone := slices.Contains(e.gone, address)
		e.mu.Unlock()
		if gone {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return e.c.Dial(ctx, network, address)
	}
}

// start makes the producer; the test's end closes it.
func (e *edge) start() {
	e.prepare()
	p, err := New(e.cfg)
	require.NoError(e, err)
	e.p = p
	e.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
}

// warm is start, with a first record acknowledged in partition 0.
func (e *edge) warm() {
	e.start()
	require.NoError(e, e.get(e.send("warm")))
	synctest.Wait()
}

func (e *edge) send(value string) Future {
	return e.p.Send(context.Background(), &Record{Topic: "t", Partition: InPartition(0), Value: []byte(value)}, nil)
}

func (e *edge) get(f Future) error {
	_, err := f.Get(context.Background())
	return err
}

// delivers requires that records are delivered.
func (e *edge) delivers() {
	e.warm()
	for _, value := range []string{"", "x", strings.Repeat("y", 5000)} {
		require.NoError(e, e.get(e.send(value)))
	}
	require.Equal(e, 4, e.c.Records("t"))
}

// fails requires that a record fails for a reason, and returns the time and the error.
func (e *edge) fails(reason error, maybe bool) (time.Duration, error) {
	e.Helper()
	began := time.Now()
	err := e.get(e.send("x"))
	require.ErrorIs(e, err, reason)
	require.Equal(e, maybe, MaybeWritten(err), "%v", err)
	return time.Since(began), err
}

// dialsTo returns the connections to an address since a time; the empty address means all.
func (e *edge) dialsTo(address string, since time.Time) (at []time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.dials {
		if (address == "" || d.address == address) && !d.at.Before(since) {
			at = append(at, d.at)
		}
	}
	return at
}

// gaps requires that the times are apart by the pauses of a backoff with 20 % of jitter. Later times do not matter.
func (e *edge) gaps(at []time.Time, want ...time.Duration) {
	e.Helper()
	require.Greater(e, len(at), len(want), "%v", at)
	for i, w := range want {
		require.InDelta(e, w, at[i+1].Sub(at[i]), 0.2*float64(w)+1, "gap %d", i)
	}
}

// attempts are the times of the Produce requests after the first one.
func (e *edge) attempts() (at []time.Time) {
	for _, r := range e.c.Produces()[1:] {
		at = append(at, r.Time)
	}
	return at
}

// later lets a second pass, in which all pending work ends, and returns the time.
func (e *edge) later() time.Time {
	time.Sleep(time.Second)
	return time.Now()
}

// tooFewReplicas fails every Produce request with a retriable error.
func (e *edge) tooFewReplicas() {
	e.c.On(protocol.Produce).Do(testbroker.Fail(protocol.NotEnoughReplicas))
}

// metadataOf counts the Metadata requests with topic t since a time.
func (e *edge) metadataOf(since time.Time) (count int) {
	for _, r := range e.c.RequestsOf(protocol.Metadata) {
		if m := r.Message.(*protocol.MetadataRequest); !r.Time.Before(since) && len(m.Topics) > 0 {
			count++
		}
	}
	return count
}

// TestEachOptionAtTheEndsOfItsRange is one test for each row of the table.
func TestEachOptionAtTheEndsOfItsRange(t *testing.T) {
	for _, row := range edgeRows() {
		t.Run(row.property+"="+shorten(row.value), func(t *testing.T) {
			m := propertyMap{row.property: row.value, "bootstrap.servers": "localhost:9092"}
			for name, value := range row.with {
				m[name] = value
			}
			m[row.property] = row.value
			cfg, err := ParseProperties(m)
			if row.refused != "" {
				require.Nil(t, row.test)
				require.ErrorContains(t, err, row.property)
				require.ErrorContains(t, err, row.refused)
				if row.value != "" {
					require.ErrorContains(t, err, configQuote(row.value))
				}
				require.NotNil(t, configOneError(t, err))
				return
			}
			require.NoError(t, err)
			require.NoError(t, cfg.Validate(), "the same is right as a field")
			require.NotEmpty(t, row.does)
			if row.property == "send.buffer.bytes" || row.property == "receive.buffer.bytes" {
				// real sockets, real time
				row.test(&edge{T: t, cfg: cfg, brokers: testbroker.Config{Network: testbroker.TCP}})
				return
			}
			synctest.Test(t, func(t *testing.T) { row.test(&edge{T: t, cfg: cfg}) })
		})
	}
}

// TestTheTableHasEachEndOfEachRange requires that the table is complete: for each number it has 0, -1, 1, the largest
// value and one more.
func TestTheTableHasEachEndOfEachRange(t *testing.T) {
	there := map[string]bool{}
	for _, row := range edgeRows() {
		require.False(t, there[row.property+"="+row.value], "%s=%s twice", row.property, row.value)
		there[row.property+"="+row.value] = true
		require.NotNil(t, configOptionOf(row.property), row.property)
	}
	for i := range configOptions {
		o := &configOptions[i]
		var want []string
		switch o.ptr(new(Config)).(type) {
		case *int, *int64, *time.Duration:
			want = []string{"-1", "0", "1", "2147483647", "2147483648"}
			if o.max == configMaxLong {
				want = []string{"-1", "0", "1", "9223372036854775807", "9223372036854775808"}
			}
			if o.levels != 0 {
				want = []string{"-1", "0", "1", "2147483647"}
			}
		case *[]string:
			want = []string{"", "a:0", "a:1", "a:65535", "a:65536"}
		case *string:
			want = []string{"", "x", strings.Repeat("x", math.MaxInt16), strings.Repeat("x", math.MaxInt16+1)}
		default:
			want = append([]string{"", "0", "1", "-1"}, o.values...)
		}
		for _, value := range want {
			require.True(t, there[o.property+"="+value], "no row for %s=%s", o.property, shorten(value))
		}
	}
}

// TestFieldsAreRefusedAsTheirPropertiesAre: a field refuses the same numbers as its property.
func TestFieldsAreRefusedAsTheirPropertiesAre(t *testing.T) {
	for _, row := range edgeRows() {
		o := configOptionOf(row.property)
		c := validConfig()
		var n int64
		switch row.value {
		case "-1":
			n = -1
		case "0":
		default:
			continue
		}
		switch p := o.ptr(&c).(type) {
		case *int:
			*p = int(n)
		case *int64:
			*p = n
		case *time.Duration:
			*p = time.Duration(n) * time.Millisecond
		default:
			continue
		}
		var e *ConfigError
		own := false
		for _, err := range joined(c.Validate()) {
			own = own || errors.As(err, &e) && e.Field == o.field && strings.Contains(e.Problem, "not in the range")
		}
		require.Equal(t, row.refused != "", own, "%s=%s: %v", row.property, row.value, c.Validate())
	}
}

func joined(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return nil
}

// TestAllDurationsAtTheirLargestDeliver: sums and multiples of the durations fit into 64 bits.
func TestAllDurationsAtTheirLargestDeliver(t *testing.T) {
	m := propertyMap{"bootstrap.servers": "localhost:9092"}
	for i := range configOptions {
		o := &configOptions[i]
		if _, is := o.ptr(new(Config)).(*time.Duration); is {
			m[o.property] = "9223372036854775807"
			if o.max == configMaxInt {
				m[o.property] = "2147483647"
			}
		}
	}
	cfg, err := ParseProperties(m)
	require.NoError(t, err)
	bounded := cfg.bounded()
	for i := range configOptions {
		if d, is := configOptions[i].ptr(&bounded).(*time.Duration); is {
			require.Positive(t, *d)
			require.Positive(t, 5**d, "%s: five times as long does not fit", configOptions[i].property)
			require.Positive(t, time.Now().Add(*d).UnixNano(), configOptions[i].property)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		e := &edge{T: t, cfg: cfg}
		e.delivers()
	})
}

// TestThePageShowsTheTable compares docs/options.md with the table; -update-readme writes it.
func TestThePageShowsTheTable(t *testing.T) {
	const path = "../docs/options.md"
	if *updateReadme {
		require.NoError(t, os.WriteFile(path, []byte(edgesMarkdown()), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, edgesMarkdown(), strings.ReplaceAll(string(text), "\r\n", "\n"),
		"go test ./producer -run TestThePageShowsTheTable -update-readme writes it")
}

// edgesMarkdown returns the table as the page shows it, in the order of the options.
func edgesMarkdown() string {
	var b strings.Builder
	b.WriteString("# Options at the ends of their ranges\n\n" +
		"What each option does with its special values: 0, -1, 1, the largest one, and the first ones outside its\n" +
		"range. A refused value is an error of `ParseProperties`, and of `New` where the field has it; the error\n" +
		"names the property and the value. The others behave as in Java's producer, but for the shortest backoff,\n" +
		"which is a millisecond. Java accepts a few of the refused values, and then cannot deliver. A field's\n" +
		"positive duration below a millisecond is refused, too: `Linger = 20` means 20ns, and the error asks whether\n" +
		"`20*time.Millisecond` was meant.\n\n" +
		"`producer.TestEachOptionAtTheEndsOfItsRange` has one test for each row, and this page is made from its table.\n\n" +
		"| property | value | what happens |\n|---|---|---|\n")
	rows := edgeRows()
	for i := range configOptions {
		for _, row := range rows {
			if row.property != configOptions[i].property {
				continue
			}
			does := row.does
			if row.refused != "" {
				does = "refused: " + row.refused
			}
			b.WriteString("| `" + row.property + "` | " + edgeValue(row.value) + " | " + does + " |\n")
		}
	}
	return b.String()
}

// edgeValue returns a value as the page shows it.
func edgeValue(value string) string {
	switch {
	case value == "":
		return "(empty)"
	case len(value) > 100:
		return strconv.Itoa(len(value)) + " bytes"
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
		return "`" + strconv.QuoteToASCII(value) + "`"
	}
	return "`" + value + "`"
}
