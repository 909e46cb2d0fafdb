// Package replay feeds the log of a producer's delivery cores to fresh cores, and compares their decisions.
package replay

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/internal/loggate"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Run reads a log at sender.LevelTrace, of slog's text or JSON handler, and feeds the events of every partition to a
// delivery core of its own. An error names the line at which a core decides differently than the log says.
func Run(log io.Reader) (events int, err error) {
	deliveries := map[string]*replayed{}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		line, err := readLine(lines.Text())
		if err != nil {
			return events, fmt.Errorf("line %d: %w", n, err)
		}
		if line["msg"] == loggate.Dropped && line["trace"] != "0" {
			return events, fmt.Errorf("line %d: %s lines of the trace were dropped before this one, so that the rest does not replay", n, line["trace"])
		}
		if line["msg"] != "core" || line["event"] == "" {
			continue
		}
		place := line["topic"] + "/" + line["partition"]
		if line["event"] == "new" {
			deliveries[place] = newReplayed(line)
		}
		r := deliveries[place]
		if r == nil {
			return events, fmt.Errorf("line %d: the log does not have the beginning of %s", n, place)
		}
		if err := r.event(line); err != nil {
			return events, fmt.Errorf("line %d: %s, %s: %w\n%s", n, place, line["event"], err, lines.Text())
		}
		events++
	}
	return events, lines.Err()
}

// fields are the attributes of a log line.
type fields map[string]string

// readLine reads a line of slog's text or JSON handler; other lines have no attributes.
func readLine(text string) (fields, error) {
	f := fields{}
	if strings.HasPrefix(text, "{") {
		var attrs map[string]any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&attrs); err != nil {
			return nil, err
		}
		for k, v := range attrs {
			f[k] = fmt.Sprint(v)
		}
		return f, nil
	}
	for text != "" {
		key, rest, found := strings.Cut(text, "=")
		if !found {
			break
		}
		if !strings.HasPrefix(rest, `"`) {
			f[key], text, _ = strings.Cut(rest, " ")
			continue
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, err
		}
		text = strings.TrimPrefix(rest[len(quoted):], " ")
		if f[key], err = strconv.Unquote(quoted); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// number is an attribute as an integer. The trace has it in the lines in question.
func (f fields) number(key string) int64 {
	n, err := strconv.ParseInt(f[key], 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// replayEpoch is the start time of a replay.
var replayEpoch = time.Unix(1_000_000_000, 0)

func (f fields) time(key string) time.Time { return replayEpoch.Add(time.Duration(f.number(key))) }

func (f fields) yes(key string) bool { return f[key] == "true" }

func (f fields) fate() record.Fate {
	for _, fate := range []record.Fate{record.FateNotWritten, record.FateRejected, record.FateMaybeWritten} {
		if fate.String() == f["fate"] {
			return fate
		}
	}
	return record.FateAcknowledged
}

// replayed is a delivery core fed from a trace.
type replayed struct {
	cfg      delivery.Config
	delivery *delivery.Partition
	batches  map[string]*delivery.Batch
	backoffs []string // of the event at hand
}

// numberedBatch is the owner of a replayed batch: its number in the trace.
type numberedBatch string

func (n numberedBatch) String() string { return string(n) }

func newReplayed(f fields) *replayed {
	r := &replayed{batches: map[string]*delivery.Batch{}}
	r.cfg = delivery.Config{
		Topic: f["topic"], Partition: int32(f.number("partition")), Acks: int16(f.number("acks")),
		Idempotent:  f.yes("idempotent"),
		MaxInFlight: int(f.number("inflight")), Retries: int(f.number("retries")),
		DeliveryTimeout: time.Duration(f.number("timeout")),
		Strict:          true,
		Backoff: func(int) time.Duration {
			if len(r.backoffs) == 0 {
				panic("no backoff was drawn then")
			}
			d, err := strconv.ParseInt(r.backoffs[0], 10, 64)
			if err != nil {
				panic(err)
			}
			r.backoffs = r.backoffs[1:]
			return time.Duration(d)
		},
	}
	r.delivery = delivery.New(&r.cfg)
	return r
}

// event feeds one event to the core, and compares its outcomes.
func (r *replayed) event(f fields) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	r.backoffs = strings.Fields(f["backoff"])
	var b *delivery.Batch
	if name, of := f["batch"]; of && f["event"] != "sealed" {
		if b = r.batches[name]; b == nil {
			return fmt.Errorf("there is no batch %s", name)
		}
	}
	if b != nil {
		err = r.batchEvent(f, b)
	} else {
		err = r.partitionEvent(f)
	}
	if err != nil {
		return err
	}
	if len(r.backoffs) > 0 {
		return errors.New("a backoff was drawn then, and none now")
	}
	if does := delivery.Describe(r.delivery.Drain(nil)); does != f["does"] {
		return fmt.Errorf("now it does %q", does)
	}
	return nil
}

func (r *replayed) batchEvent(f fields, b *delivery.Batch) error {
	switch f["event"] {
	case "prepared":
		r.delivery.Prepared(b, int(f.number("size")))
	case "replaced":
		return r.replaced(b, f["parts"])
	case "sent":
		return r.sent(f, b)
	case "written":
		r.delivery.WriteFinished(b)
	case "answered":
		a := delivery.Answer{
			Code: protocol.ErrorCode(f.number("code")), Message: f["message"], Offset: f.number("offset"),
			Time: f.number("time"), ByID: f.yes("byID"),
		}
		if f["blamed"] != "" {
			if err := json.Unmarshal([]byte(f["blamed"]), &a.Blamed); err != nil {
				return err
			}
		}
		r.delivery.Answered(b, uint32(f.number("attempt")), &a, f.time("at"))
	case "disconnected":
		r.delivery.Disconnected(b, uint32(f.number("attempt")), f.yes("sent"), errors.New(f["cause"]), f.time("at"))
	case "unsendable":
		r.delivery.Unsendable(b, uint32(f.number("attempt")), errors.New(f["cause"]))
	default:
		return errors.New("this event is not known")
	}
	return nil
}

func (r *replayed) partitionEvent(f fields) error {
	switch f["event"] {
	case "new":
	case "sealed":
		r.delivery.Sealed(r.batch(f["batch"], int32(f.number("count")), int(f.number("size")), f.time("created")))
	case "identity":
		return r.identity(delivery.Identity{ID: f.number("producer"), Epoch: int16(f.number("epoch")), Valid: true,
			Cluster: f["cluster"]})
	case "leader":
		r.delivery.LeaderMoved(int32(f.number("leader")), int32(f.number("leaderEpoch")), f.time("at"))
	case "topicID":
		id, err := base64.RawURLEncoding.DecodeString(f["id"])
		if err != nil {
			return err
		}
		r.delivery.TopicIs(protocol.UUID(id))
	case "cluster":
		r.delivery.ClusterIs(f["id"])
	case "tick":
		r.delivery.Tick(f.time("at"))
	case "refused":
		r.delivery.Refused(&record.Error{
			Topic: r.cfg.Topic, Partition: r.cfg.Partition, Err: errors.New(f["cause"]), Fate: f.fate(),
			Detail: f["detail"],
		})
	case "closed":
		r.delivery.Closed(errors.New(f["cause"]), f["detail"])
	default:
		return errors.New("this event is not known")
	}
	return nil
}

// identity gives the core the identity of the trace, if it needs one.
func (r *replayed) identity(id delivery.Identity) error {
	if !r.delivery.NeedsIdentity() {
		return errors.New("now it needs no identity")
	}
	r.delivery.IdentityReceived(id)
	return nil
}

// sent asks the core for its decision.
func (r *replayed) sent(f fields, b *delivery.Batch) error {
	d := r.delivery.Next(f.time("at"), delivery.Room{Bytes: math.MaxInt, ByName: f.yes("byName")})
	if d.Kind != delivery.Send || d.Batch != b {
		return fmt.Errorf("now it decides %v of %v", d.Kind, d.Batch)
	}
	id := b.Identity()
	if id.ID != f.number("producer") || int64(id.Epoch) != f.number("epoch") ||
		int64(b.Sequence()) != f.number("sequence") {
		return fmt.Errorf("now it has %v sequence %d", id, b.Sequence())
	}
	return nil
}

// batch makes the batch with that number.
func (r *replayed) batch(name string, count int32, size int, created time.Time) *delivery.Batch {
	b := delivery.NewBatch(count, size, created, numberedBatch(name))
	r.batches[name] = &b
	return &b
}

func (r *replayed) replaced(b *delivery.Batch, list string) error {
	var parts []*delivery.Batch
	for text := range strings.FieldsSeq(list) {
		var name string
		var count int32
		var size int
		if _, err := fmt.Sscanf(strings.ReplaceAll(text, ":", " "), "%s %d %d", &name, &count, &size); err != nil {
			return err
		}
		parts = append(parts, r.batch(name, count, size, b.Created()))
	}
	r.delivery.Replaced(b, parts)
	return nil
}
